//! The keys of services, stacks and logs.

use super::{SIZE, note, run, selected};
use crate::action::{Action, Operation};
use crate::command::Command;
use crate::event::{Event, Link};
use crate::place::{LogOf, Look, ServicePlace, StackPlace, Subject};
use crate::sample::{full, log, press, send, services, stacks};
use crate::state::State;
use crate::state::logs::Logs;
use crate::state::overlay::Overlay;
use crate::state::workloads::Condition;

/// The one without a number, which is in the other grid.
fn cache() -> ServicePlace {
    ServicePlace { grid: "staging".to_owned(), stack: "null".to_owned(), name: "cache".to_owned() }
}

/// Filters so that one row is left.
fn only(state: &mut State, view: &str, text: &str) {
    press(state, view);
    press(state, "/");
    send(state, 60, Event::Paste(text.to_owned()));
    press(state, "enter g");
}

fn looks(actions: &[Action]) -> Option<&Look> {
    actions.iter().rev().find_map(|action| match action {
        Action::Look(look) => Some(look),
        _ => None,
    })
}

fn logs(state: &State) -> &Logs {
    match &state.overlay {
        Some(Overlay::Logs(logs)) => logs,
        other => panic!("no log: {other:?}"),
    }
}

#[test]
fn only_what_is_looked_at_is_asked_for() {
    let mut state = full(SIZE);
    let actions = press(&mut state, "3");
    assert_eq!(looks(&actions), Some(&Look { services: true, ..Look::default() }));
    let actions = press(&mut state, "4");
    assert_eq!(looks(&actions), Some(&Look { services: true, stacks: true, ..Look::default() }));
    let actions = press(&mut state, "6");
    assert_eq!(looks(&actions), Some(&Look { grid_events: true, ..Look::default() }));
    // Details are asked for where they are shown, of what is selected.
    let actions = press(&mut state, "3 enter");
    let of = looks(&actions).and_then(|look| look.of.clone());
    assert_eq!(of, Some(Subject::Service(cache())));
    let actions = press(&mut state, "l");
    assert!(matches!(looks(&actions).and_then(|look| look.of.as_ref()), Some(Subject::Service(_))));
    let actions = press(&mut state, "esc");
    assert_eq!(looks(&actions).map(|look| look.of.is_none()), Some(true));
    let actions = press(&mut state, "4 d");
    let stack = StackPlace { grid: "production".to_owned(), name: "blog".to_owned() };
    assert_eq!(looks(&actions).and_then(|look| look.of.clone()), Some(Subject::Stack(stack)));
    let actions = press(&mut state, "esc 2 d");
    assert!(matches!(looks(&actions).and_then(|look| look.of.as_ref()), Some(Subject::Node(_))));
    // A large terminal has room for what happened, and for details.
    let mut state = full((120, 40));
    let actions = press(&mut state, "3");
    assert_eq!(looks(&actions).map(|look| (look.grid_events, look.of.is_some())), Some((true, true)));
}

#[test]
fn services_are_acted_on_after_a_question() {
    let mut state = full(SIZE);
    only(&mut state, "3", "web-1 staging");
    let name = selected(&state);
    let route_of = match state.chosen() {
        Some(crate::state::Chosen::Service(service)) => ServicePlace::of(service),
        other => panic!("{other:?}"),
    };
    assert!(route_of.route().starts_with("/v1/cluster/services/staging/"));
    let route = |verb: &str| format!("{}/{verb}", route_of.route());
    let operation = |verb: &str, body: &str| {
        let body = body.to_owned();
        Action::Operate(Operation { what: format!("{verb} of {name}"), route: route(verb), body })
    };
    for (key, verb) in [("u", "deploy"), ("R", "restart"), ("b", "start")] {
        assert_eq!(press(&mut state, &format!("{key} esc")), [], "{verb}");
        assert_eq!(note(&state), "nothing was done");
        assert_eq!(press(&mut state, &format!("{key} enter")), [operation(verb, "{}")], "{verb}");
    }
    assert_eq!(press(&mut state, "x enter"), [], "it wants the name");
    assert_eq!(note(&state), "type web-1 first");
    assert_eq!(press(&mut state, "w e b minus 1 enter"), [operation("stop", "{}")]);
    assert_eq!(press(&mut state, "n enter"), [], "it wants a number");
    for typed in ["minus 1", "7 0 0 0 0", "x"] {
        assert_eq!(press(&mut state, &format!("ctrl-u {typed} enter")), [], "{typed}");
    }
    assert_eq!(press(&mut state, "ctrl-u 1 2 enter"), [operation("scale", "{\"instances\":12}")]);
}

#[test]
fn the_command_of_the_original_is_shown_before_it_is_done() {
    let mut state = full(SIZE);
    only(&mut state, "3", "cache staging");
    let shell = |state: &State| match &state.overlay {
        Some(Overlay::Confirm(confirm)) => confirm.shell(),
        other => panic!("{other:?}"),
    };
    press(&mut state, "n");
    assert_eq!(shell(&state), "kontena service scale --grid staging cache N");
    press(&mut state, "4");
    assert_eq!(shell(&state), "kontena service scale --grid staging cache 4");
    press(&mut state, "esc 4 G u");
    assert!(shell(&state).starts_with("kontena service deploy --grid staging shop/"), "{}", shell(&state));
    press(&mut state, "esc g u");
    assert_eq!(shell(&state), "kontena stack deploy --grid production blog");
    press(&mut state, "esc !");
    assert!(
        matches!(&state.overlay, Some(Overlay::Shell { text }) if text == "kontena stack show --grid production blog")
    );
}

#[test]
fn stacks_are_acted_on_as_a_whole_and_their_services_alone() {
    let mut state = full(SIZE);
    press(&mut state, "4");
    assert_eq!(selected(&state), "blog");
    let operation = |verb: &str| {
        let route = format!("/v1/cluster/stacks/production/blog/{verb}");
        Action::Operate(Operation { what: format!("{verb} of blog"), route, body: "{}".to_owned() })
    };
    assert_eq!(press(&mut state, "u enter"), [operation("deploy")]);
    assert_eq!(press(&mut state, "R enter"), [operation("restart")]);
    assert_eq!(press(&mut state, "x b l o g enter"), [operation("stop")]);
    for (key, why) in [("b", "by deploying"), ("n", "one of the services")] {
        press(&mut state, key);
        assert!(state.overlay.is_none() && note(&state).contains(why), "{key}: {}", note(&state));
    }
    press(&mut state, "L");
    assert_eq!(logs(&state).of.route(), "/v1/cluster/stacks/production/blog/container_logs");
    let actions = press(&mut state, "esc j u enter");
    assert!(
        matches!(actions.as_slice(), [.., Action::Operate(operation)] if operation.route.starts_with("/v1/cluster/services/production/blog/")),
        "{actions:?}"
    );
}

#[test]
fn read_only_and_records_refuse_all_of_it() {
    let commands = [Command::Deploy, Command::Scale, Command::Restart, Command::Stop, Command::Start];
    for command in commands {
        let mut state = full(SIZE);
        state.preferences.read_only = true;
        press(&mut state, "3");
        assert_eq!(run(&mut state, command), []);
        assert!(state.overlay.is_none() && note(&state).contains("read-only"), "{command:?}");
        press(&mut state, "1");
        state.preferences.read_only = false;
        assert_eq!(run(&mut state, command), []);
        assert!(note(&state).contains("choose a service"), "{command:?}");
    }
    // Reading is no harm.
    let mut state = full(SIZE);
    state.preferences.read_only = true;
    press(&mut state, "3 L");
    logs(&state);
}

#[test]
fn trouble_sorts_to_the_top_and_stacks_stay_whole() {
    let mut state = full(SIZE);
    press(&mut state, "3 s");
    assert_eq!(note(&state), "sorted by state, the least first");
    let rows = state.workloads.services.rows();
    let shown: Vec<Condition> = state.table().order.iter().map(|row| Condition::of(&rows[*row])).collect();
    assert!(shown.is_sorted() && shown[0] == Condition::DeployFailed, "{shown:?}");
    for keys in ["4", "s", "S", "s", "s", "S", "s", "s", "s"] {
        press(&mut state, keys);
        let tree = &state.workloads.tree;
        let order = &state.table().order;
        let heads = order.iter().filter(|row| tree[**row].service.is_none()).count();
        assert_eq!(heads, stacks().stacks.len());
        for pair in order.windows(2) {
            let [above, below] = [tree[pair[0]], tree[pair[1]]];
            assert!(below.service.is_none() || above.stack == below.stack, "{keys}");
        }
    }
    // A stack is found by what is in it.
    press(&mut state, "/ w o r k e r enter");
    let tree = &state.workloads.tree;
    let found: Vec<bool> = state.table().order.iter().map(|row| tree[*row].service.is_none()).collect();
    assert!(found.contains(&true) && found.contains(&false), "{found:?}");
}

#[test]
fn changes_come_in_while_a_service_stays_selected() {
    let mut state = full(SIZE);
    press(&mut state, "3 j j j");
    let before = selected(&state);
    let mut list = services(14);
    list.services.reverse();
    list.services.iter_mut().for_each(|service| service.running = 0);
    send(&mut state, 70, Event::Link(Link::Services(Some(list))));
    assert_eq!(selected(&state), before);
    let row = state.table().row().unwrap();
    assert!(state.view.listing(&state).cell(row, 2).text.starts_with("0/"));
}

#[test]
fn a_log_is_followed_held_and_searched() {
    let mut state = full(SIZE);
    only(&mut state, "3", "cache staging");
    let actions = press(&mut state, "L");
    assert_eq!(looks(&actions).and_then(|look| look.log.clone()), Some(LogOf::Service(cache())));
    assert!(!logs(&state).answered);
    let tell = |state: &mut State, from| {
        send(state, 80, Event::Link(Link::Log(LogOf::Service(cache()), log(from, 100))));
    };
    tell(&mut state, 0);
    let page = logs(&state).page;
    assert_eq!((logs(&state).first(), page), (100 - page, 19));
    assert_eq!(
        logs(&state).lines[9].text,
        "ERROR request 9 failed: connection refused",
        "without its colours"
    );
    // Lines of a log that was left come late.
    let other = LogOf::Service(ServicePlace { name: "other".to_owned(), ..cache() });
    send(&mut state, 80, Event::Link(Link::Log(other, log(0, 5))));
    assert_eq!(logs(&state).lines.len(), 100);
    press(&mut state, "p");
    tell(&mut state, 100);
    assert_eq!((logs(&state).first(), logs(&state).fresh), (100 - page, 100));
    press(&mut state, "p");
    assert_eq!((logs(&state).first(), logs(&state).fresh), (200 - page, 0));
    press(&mut state, "g");
    assert_eq!(logs(&state).first(), 0);
    press(&mut state, "j pagedown k pageup");
    assert_eq!(logs(&state).first(), 0);
    press(&mut state, "G");
    assert!(logs(&state).follows());
    press(&mut state, "/ e r r o r enter");
    assert_eq!(logs(&state).found, Some(199));
    press(&mut state, "n");
    assert_eq!(logs(&state).found, Some(189));
    press(&mut state, "N N");
    assert_eq!(logs(&state).found, Some(9), "around the end");
    press(&mut state, "/ ctrl-u ctrl-r ^ E R R O R $ enter");
    assert_eq!(logs(&state).found, None);
    assert!(note(&state).contains("in none of these lines"));
    press(&mut state, "l l h");
    assert_eq!(logs(&state).left, 20);
    assert!(
        matches!(press(&mut state, "y").as_slice(), [Action::Copy(text)] if text.lines().count() == page)
    );
    assert!(matches!(press(&mut state, "Y").as_slice(), [Action::Copy(text)] if text.lines().count() == 200));
    assert!(
        matches!(press(&mut state, "e").as_slice(), [Action::Save { path, .. }] if path.to_string_lossy().contains("cache"))
    );
    press(&mut state, "esc");
    assert!(logs(&state).search.is_empty(), "the search goes first");
    let actions = press(&mut state, "esc");
    assert!(state.overlay.is_none());
    assert_eq!(looks(&actions).map(|look| look.log.is_none()), Some(true));
}

#[test]
fn details_act_and_open_logs_too() {
    let mut state = full(SIZE);
    only(&mut state, "3", "cache staging");
    press(&mut state, "enter");
    assert!(matches!(state.overlay, Some(Overlay::Detail { .. })));
    press(&mut state, "L");
    logs(&state);
    press(&mut state, "esc enter n");
    assert!(matches!(state.overlay, Some(Overlay::Confirm(_))));
}
