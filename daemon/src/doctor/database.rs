//! Checks of the database, and of what the masters left in it.

use std::collections::BTreeMap;
use std::time::Duration;

use kontena_core::clock::Clock;
use kontena_core::cloud::Target;
use kontena_server::clock::{SystemClock, wall_ms};
use kontena_server::scarcity::{self, Shortage};
use kontena_store::{CommandCounter, Facts, Failure, Known, MasterRow, Purpose, SetFacts, Store};
use kontena_wire::cluster::CloudState;

use super::{Finding, create_user, grant_monitoring};
use crate::config::Config;

const LIMIT: Duration = Duration::from_secs(5);
/// How often the round trip is measured.
const LOOKS: u32 = 10;
/// Two wall clocks that are further apart confuse people who read logs, though nothing depends on it.
const CLOCK_WARNING: i64 = 1000;
/// An original master writes messages far more often.
const SIGN_OF_LIFE: i64 = 60_000;

pub(super) async fn examine(config: &Config) -> Vec<Finding> {
    let settings = &config.settings;
    let opened = Store::open(&settings.database, Purpose::Main, &CommandCounter::default()).await;
    let store = match opened {
        Ok(store) => store,
        Err(error) => return vec![Finding::problem("database", error.to_string(), "mend mongodb.uri")],
    };
    let facts = match tokio::time::timeout(LIMIT, store.examine(LIMIT)).await {
        Ok(Ok(Ok(facts))) => facts,
        Ok(Ok(Err(unfit))) => return vec![unfit_for_use(&unfit.to_string())],
        Ok(Err(failure)) => return vec![unreachable(&failure.to_string())],
        Err(_) => return vec![unreachable(&format!("no answer within {LIMIT:?}"))],
    };
    let mut findings = vec![version(&facts)];
    findings.extend(asked("replica set", store.replica_set(LIMIT).await, set));
    findings.extend(asked("members", scarcity::of_members(&store, LIMIT).await, members));
    findings.push(round_trip(&store, settings.tunables.timing.call_limit).await);
    findings.push(clock(&store).await);
    if let Some(proof) = &settings.vault_proof {
        findings.extend(asked("vault key", store.sentinel().compare(proof, LIMIT).await, vault));
    } else {
        findings.push(Finding::warning(
            "vault key",
            "there is none: secrets and certificates cannot be kept",
            "set vault.key (kontena-master bootstrap makes one), the same on all masters",
        ));
    }
    let original = store.original_lock().last_sign_of_life(LIMIT).await;
    findings.extend(asked("original master", original, |at| original_master(at, wall_ms())));
    let masters = store.masters().all(LIMIT).await;
    if let Ok(rows) = &masters {
        let told = told_by_masters(rows, &findings);
        findings.extend(told);
    }
    findings.extend(asked("masters", masters, |rows| drift(&rows, &settings.fingerprint, &settings.version)));
    findings.extend(asked("Kontena Cloud", cloud(&store).await, |found| found));
    findings.extend(asked("unique names", store.duplicates(LIMIT).await, duplicates));
    store.close(Duration::from_millis(500)).await;
    findings
}

/// The link to Kontena Cloud: whether it is wanted, and how it does.
async fn cloud(store: &Store) -> Result<Vec<Finding>, Failure> {
    const CHECK: &str = "Kontena Cloud";
    // Only whether there is a secret matters here: it stays encrypted.
    let wanted = Target::from_configuration(&store.configurations().all().await?);
    let target = match wanted {
        Ok(target) => target,
        Err(off) => return Ok(vec![Finding::good(CHECK, format!("not linked: {off}"))]),
    };
    let position = store.cloud().position(LIMIT).await?;
    let (events, gaps) = position.map_or((0, 0), |position| (position.events, position.gaps));
    let mut findings = Vec::new();
    match store.cloud().link(LIMIT).await? {
        Some(link) if link.state == CloudState::Connected => findings.push(Finding::good(
            CHECK,
            format!("linked to {} by {}, {events} events told", link.why, link.master),
        )),
        Some(link) if link.state == CloudState::Down => findings.push(Finding::warning(
            CHECK,
            format!("{} is not reached by {}: {}", target.url, link.master, link.why),
            "see cloud.socket_uri, oauth2.client_id and oauth2.client_secret (kontena master config get), or switch \
             the link off: kontena master config set cloud.enabled=false",
        )),
        Some(_) | None => findings.push(Finding::unknown(
            CHECK,
            format!("it is wanted to {}, and no leader tried it yet", target.url),
            "a leader looks at the configuration each 30 s",
        )),
    }
    if gaps > 0 {
        findings.push(Finding::warning(
            CHECK,
            format!("events were missed {gaps} times, since the database did not remember far enough back"),
            "a larger oplog remembers longer (replSetResizeOplog)",
        ));
    }
    Ok(findings)
}

/// Turns an answer into findings; a question that was not answered is a finding itself.
fn asked<T, F: IntoIterator<Item = Finding>>(
    check: &'static str,
    answer: Result<T, Failure>,
    judge: impl FnOnce(T) -> F,
) -> Vec<Finding> {
    match answer {
        Ok(answer) => judge(answer).into_iter().collect(),
        Err(failure) => {
            let remedy =
                format!("the user needs readWrite on the database: {}", create_user("kontena_server"));
            vec![Finding::problem(check, format!("the database refused: {failure}"), remedy)]
        }
    }
}

fn unreachable(why: &str) -> Finding {
    let remedy = "see that mongod runs, that this host reaches it (nc -vz HOST 27017), and that user and password in \
                  mongodb.uri are right";
    Finding::problem("database", format!("does not answer: {why}"), remedy)
}

fn unfit_for_use(why: &str) -> Finding {
    Finding::problem("database", why, "see the README on the database")
}

fn version(facts: &Facts) -> Finding {
    let Facts { version, replica_set, members } = facts;
    Finding::good("database", format!("MongoDB {version}, replica set {replica_set} of {members}"))
}

fn set(known: Known<SetFacts>) -> Vec<Finding> {
    const CHECK: &str = "replica set";
    let Known::Fact(set) = known else {
        let remedy = format!("to have it checked: {}", grant_monitoring());
        return vec![Finding::unknown(CHECK, "this user may not see how the replica set is set up", remedy)];
    };
    let SetFacts { members, election_timeout, chains, majority_journals } = &set;
    let mut findings = Vec::new();
    let carrying = members.iter().filter(|member| !member.arbiter).count();
    if members.iter().any(|member| member.arbiter) {
        findings.push(Finding::warning(
            CHECK,
            "it has an arbiter: with one data member lost, a majority cannot acknowledge and no master leads",
            "replace the arbiter by a member that carries data (rs.remove, rs.add)",
        ));
    }
    if carrying < 3 {
        findings.push(Finding::warning(
            CHECK,
            format!("{carrying} members carry data: the loss of one stops all masters"),
            "three members survive the loss of one (rs.add)",
        ));
    }
    if !*majority_journals {
        findings.push(Finding::warning(
            CHECK,
            "a majority acknowledges before it has written to its journals: a power cut may lose what was acknowledged",
            "set writeConcernMajorityJournalDefault to true (rs.reconfig)",
        ));
    }
    if *election_timeout > Duration::from_secs(5) {
        findings.push(Finding::unknown(
            CHECK,
            format!("a lost primary is replaced after {} s, and nobody can write meanwhile", election_timeout.as_secs()),
            "in one data centre, settings.electionTimeoutMillis of 2000 and heartbeatIntervalMillis of 500 do better",
        ));
    }
    if *chains && carrying >= 3 {
        findings.push(Finding::unknown(
            CHECK,
            "members may copy from one another: nobody can write for some 14 s when one is lost that others copy from",
            "in one data centre, settings.chainingAllowed of false does better (rs.reconfig)",
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::good(
            CHECK,
            format!("it is set up well, with {carrying} members that carry data"),
        ));
    }
    findings
}

fn members(short: Vec<Shortage>) -> Vec<Finding> {
    const CHECK: &str = "members";
    if short.is_empty() {
        return vec![Finding::good(CHECK, "all of the database's members answer new connections from here")];
    }
    short.into_iter().map(|Shortage { what, remedy }| Finding::warning(CHECK, what, remedy)).collect()
}

async fn round_trip(store: &Store, call_limit: Duration) -> Finding {
    const CHECK: &str = "round trip";
    let mut longest = Duration::ZERO;
    for _ in 0..LOOKS {
        let began = SystemClock.now().monotonic;
        if let Err(failure) = store.look_at_lease(LIMIT).await {
            let found = format!("the lease cannot be read with linearizable concern: {failure}");
            return Finding::problem(CHECK, found, "see that the replica set has a primary: rs.status()");
        }
        longest = longest.max(SystemClock.now().monotonic.saturating_sub(began));
    }
    let found =
        format!("the slowest of {LOOKS} looks at the lease took {longest:.1?}; {call_limit:.0?} are allowed");
    if longest > call_limit / 2 {
        Finding::warning(CHECK, found, "set election.lease_ttl to a longer time, on all masters")
    } else {
        Finding::good(CHECK, found)
    }
}

async fn clock(store: &Store) -> Finding {
    const CHECK: &str = "clock";
    let before = wall_ms();
    match store.wall_clock(LIMIT).await {
        Ok(Some(theirs)) => {
            let offset = theirs - (before + (wall_ms() - before) / 2);
            let found = format!("{offset} ms from that of the database");
            if offset.abs() > CLOCK_WARNING {
                let remedy = "nothing is decided by it, but agents are refused whose clock differs from ours, and logs \
                              are hard to read: let chrony or systemd-timesyncd set it";
                Finding::warning(CHECK, found, remedy)
            } else {
                Finding::good(CHECK, found)
            }
        }
        Ok(None) | Err(_) => {
            Finding::unknown(CHECK, "the database does not tell its time", "nothing depends on it")
        }
    }
}

fn vault(agrees: Option<bool>) -> [Finding; 1] {
    const CHECK: &str = "vault key";
    [match agrees {
        Some(true) => Finding::good(CHECK, "it is the one that the masters of this database use"),
        None => {
            Finding::good(CHECK, "no master has used this database yet: the first one's key will be the one")
        }
        Some(false) => Finding::problem(
            CHECK,
            "it is not the one that the masters of this database use: this master will not stand",
            "copy [vault] from the configuration of another master",
        ),
    }]
}

fn original_master(last: Option<i64>, now: i64) -> [Finding; 1] {
    const CHECK: &str = "original master";
    let recent = last.filter(|at| now.saturating_sub(*at) < SIGN_OF_LIFE);
    [if recent.is_some() {
        Finding::problem(
            CHECK,
            "one is running on this database: both would schedule the same services",
            "stop it on its host, for instance systemctl disable --now kontena-server-api",
        )
    } else {
        Finding::good(CHECK, "none is running on this database")
    }]
}

/// What the masters themselves warn of, but for what was found here already.
fn told_by_masters(rows: &[MasterRow], found: &[Finding]) -> Vec<Finding> {
    let mut told = BTreeMap::<&str, Vec<&str>>::new();
    for row in rows.iter().filter(|row| !row.ended) {
        for warning in &row.warnings {
            told.entry(warning).or_default().push(&row.name);
        }
    }
    let each = told.into_iter().filter_map(|(warning, names)| {
        // What is wrong, and behind it what to do.
        let (what, remedy) = warning.rsplit_once(": ").unwrap_or((warning, "see there"));
        let is_new = found.iter().all(|finding| finding.found != what);
        is_new.then(|| Finding::warning("masters", format!("{}: {what}", names.join(", ")), remedy))
    });
    each.collect()
}

fn drift(rows: &[MasterRow], fingerprint: &str, version: &str) -> Vec<Finding> {
    const CHECK: &str = "masters";
    let living: Vec<_> = rows.iter().filter(|row| !row.ended).collect();
    let mut findings = Vec::new();
    for lost in rows.iter().filter(|row| row.is_missing(rows)) {
        findings.push(Finding::warning(
            CHECK,
            format!("{} was lost, and has not come back", lost.name),
            "see that its host runs, and systemctl status kontena-master there",
        ));
    }
    for row in &living {
        if row.fingerprint != fingerprint {
            findings.push(Finding::warning(
                CHECK,
                format!("the shared settings of {} differ from ours", row.name),
                "compare its configuration file with ours: [vault] must be the same",
            ));
        }
        if row.version != version {
            findings.push(Finding::warning(
                CHECK,
                format!("{} runs version {}, and this is {version}", row.name, row.version),
                "finish the upgrade: masters of two versions work together for the time of one only",
            ));
        }
        if let Some(why) = &row.unfit {
            findings.push(Finding::warning(
                CHECK,
                format!("{} does not stand: {why}", row.name),
                "see there",
            ));
        }
    }
    if findings.is_empty() {
        let leader =
            living.iter().find(|row| row.acting).map_or("none of them leads", |row| row.name.as_str());
        findings.push(match living.len() {
            0 => Finding::good(CHECK, "none has been here yet"),
            count => {
                Finding::good(CHECK, format!("{count} of the same version and settings; leader: {leader}"))
            }
        });
    }
    findings
}

fn duplicates(found: Vec<kontena_store::Duplicates>) -> Vec<Finding> {
    const CHECK: &str = "unique names";
    if found.is_empty() {
        return vec![Finding::good(CHECK, "nothing stands twice that should stand once")];
    }
    let tell = |duplicate: kontena_store::Duplicates| {
        let kontena_store::Duplicates { collection, fields, values, example } = duplicate;
        Finding::warning(
            CHECK,
            format!(
                "{values} values of {} stand twice in {collection}, such as {example}",
                fields.join(", ")
            ),
            "keep one of each: a unique index is made as soon as the rest is gone, and until then new ones are guarded",
        )
    };
    found.into_iter().map(tell).collect()
}
