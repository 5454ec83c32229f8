# What the scripted tests on hosts share: checks that tell what they saw, and a web server on the hosts' switch. Sourced
# by them; they set $work, a folder of their own.
# shellcheck shell=bash disable=SC2154,SC2034

hosts() { tests/hosts/hosts "$@"; }
on() { hosts exec "$@"; }
failed() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }
passed() { printf '  ok: %s\n' "$*"; }

# Runs the rest, which has to succeed; what it told is shown if not.
ok() { # WHAT CMD...
    local what=$1; shift
    "$@" >"$work/told" 2>&1 || { cat "$work/told" >&2; failed "$what"; }
    passed "$what"
}

# Runs the rest, which has to fail, and to tell why in words that match.
refused() { # WHAT PATTERN CMD...
    local what=$1 pattern=$2; shift 2
    if "$@" >"$work/told" 2>&1; then cat "$work/told" >&2; failed "$what: it was not refused"; fi
    grep -qE -e "$pattern" "$work/told" || { cat "$work/told" >&2; failed "$what: it was refused, but not with '$pattern'"; }
    passed "$what: $(grep -E -o -e "$pattern" "$work/told" | head -1)"
}

# Runs the rest again and again until it succeeds.
within() { # SECONDS WHAT CMD...
    local end=$((SECONDS + $1)) what=$2; shift 2
    until "$@" >"$work/told" 2>&1; do
        [ "$SECONDS" -lt "$end" ] || { cat "$work/told" >&2; failed "$what: not in time"; }
        sleep 0.2
    done
    passed "$what"
}

# Serves a folder at http://10.77.0.1:8000, which the first host has to reach.
serve() { # DIR
    # Not by the function: this process is the one to end.
    tests/hosts/hosts net python3 -m http.server --bind 10.77.0.1 --directory "$1" 8000 >"$work/server.log" 2>&1 &
    server=$!
    within 20 "the web server answers" on 1 curl --silent --show-error --output /dev/null http://10.77.0.1:8000/
}
