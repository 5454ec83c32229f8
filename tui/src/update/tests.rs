//! Each key, and what it does.

mod workloads;

use crate::action::{Action, Steer};
use crate::command::{ALL, Command};
use crate::event::{Event, Link, Mouse, Replay};
use crate::place::Look;
use crate::sample::{agents, cluster, press, send, state};
use crate::state::overlay::{Menu, Overlay};
use crate::state::workloads::Listed;
use crate::state::{Connection, State};
use crate::theme::Palette;
use crate::view::View;

const SIZE: (u16, u16) = (80, 24);

fn many() -> State {
    let mut state = state(SIZE);
    send(&mut state, 40, Event::Link(Link::Agents(Some(agents(100)))));
    press(&mut state, "2");
    state
}

fn selected(state: &State) -> String {
    let row = state.table().row().expect("a row");
    state.view.listing(state).cell(row, 0).text
}

fn menu(state: &State) -> &Menu {
    match &state.overlay {
        Some(Overlay::Menu(menu)) => menu,
        other => panic!("no menu: {other:?}"),
    }
}

fn note(state: &State) -> &str {
    state.note.as_ref().map_or("", |note| note.text.as_str())
}

/// Presses the first key of a command.
fn run(state: &mut State, command: Command) -> Vec<Action> {
    let key = state.preferences.keymap.key(command);
    press(state, &key)
}

#[test]
fn every_command_has_a_key_that_does_something() {
    for about in &ALL {
        let mut state = many();
        press(&mut state, "j j / n enter");
        let before = format!("{state:?}");
        let actions = run(&mut state, about.command);
        let changed = format!("{state:?}") != before || !actions.is_empty();
        // The view that is shown, and the mouseless detail, are the only ones with nothing to do here.
        assert!(changed || about.command == Command::Agents, "{}", about.name);
        assert!(!note(&state).contains("does nothing"), "{}", about.name);
    }
}

#[test]
fn rows_are_moved_through_by_arrows_and_by_letters() {
    let mut state = many();
    let page = state.table().page;
    assert_eq!(page, 18);
    for (keys, at) in [
        ("j", 1),
        ("down", 2),
        ("k", 1),
        ("up up up", 0),
        ("pagedown", page),
        ("ctrl-d", 2 * page),
        ("pageup", page),
        ("ctrl-u", 0),
        ("G", 99),
        ("j", 99),
        ("g", 0),
        ("end", 99),
        ("home", 0),
    ] {
        press(&mut state, keys);
        assert_eq!(state.table().selected, at, "{keys}");
    }
}

#[test]
fn views_are_reached_by_number_and_in_turn() {
    let mut state = state(SIZE);
    for (key, view) in [
        ("2", View::Agents),
        ("3", View::Services),
        ("4", View::Stacks),
        ("5", View::Duties),
        ("6", View::Events),
        ("1", View::Masters),
        ("tab", View::Agents),
        ("l", View::Services),
        ("right", View::Stacks),
        ("tab", View::Duties),
        ("l", View::Events),
        ("tab", View::Masters),
        ("h", View::Events),
        ("left", View::Duties),
        ("backtab", View::Stacks),
    ] {
        press(&mut state, key);
        assert_eq!(state.view, view, "{key}");
    }
}

#[test]
fn the_agents_are_asked_for_while_they_are_looked_at() {
    let mut state = state(SIZE);
    let look = |agents| [Action::Look(Look { agents, ..Look::default() })];
    assert_eq!(press(&mut state, "2"), look(true));
    assert_eq!(press(&mut state, "5"), look(false));
    assert_eq!(press(&mut state, "1"), []);
    send(&mut state, 50, Event::Link(Link::Agents(None)));
    assert!(matches!(state.agents, Listed::Unknown));
}

#[test]
fn the_selected_row_stays_selected_whatever_comes() {
    let mut state = many();
    press(&mut state, "j j j");
    assert_eq!(selected(&state), "node-4");
    let mut list = agents(100);
    list.agents.reverse();
    list.agents.retain(|agent| agent.name != "node-2");
    send(&mut state, 50, Event::Link(Link::Agents(Some(list))));
    assert_eq!(selected(&state), "node-4");
    assert_eq!(state.table().selected, 2);
}

#[test]
fn rows_are_sorted_by_any_column_both_ways_round() {
    let mut state = many();
    assert_eq!(selected(&state), "node-1");
    press(&mut state, "S");
    assert_eq!(selected(&state), "node-100");
    press(&mut state, "s");
    assert_eq!(note(&state), "sorted by state, the greatest first");
    press(&mut state, ": s o r t enter");
    for _ in 0..20 {
        press(&mut state, "s");
    }
    let columns = state.view.listing(&state).columns().len();
    press(&mut state, ":");
    for char in "sort by round".chars() {
        send(&mut state, 60, Event::Key(crate::key::Key::plain(crate::key::Code::Char(char))));
    }
    press(&mut state, "enter");
    assert_eq!(state.table().sort, Some(4));
    assert!(columns > 4);
}

#[test]
fn a_filter_is_typed_kept_and_dropped() {
    let mut state = many();
    press(&mut state, "/ n o d e 1 0 0");
    assert!(matches!(state.overlay, Some(Overlay::Filter(_))));
    assert_eq!(selected(&state), "node-100");
    press(&mut state, "enter");
    assert!(state.overlay.is_none());
    assert_eq!(state.table().order.len(), 1);
    press(&mut state, "esc");
    assert_eq!(state.table().order.len(), 100);
    press(&mut state, "/ ctrl-r ^ n o d e minus [ 1 2 ] $");
    assert_eq!(state.table().order.len(), 2);
    press(&mut state, "esc");
    assert_eq!((state.table().order.len(), state.overlay.is_none()), (100, true));
    send(&mut state, 60, Event::Key("/".parse().unwrap()));
    send(&mut state, 60, Event::Paste("node-7\n".to_owned()));
    assert_eq!(state.table().filter.text(), "node-7");
}

#[test]
fn details_lie_beside_the_list_or_over_it() {
    let mut narrow = state(SIZE);
    press(&mut narrow, "d");
    assert!(matches!(narrow.overlay, Some(Overlay::Detail { top: 0 })));
    press(&mut narrow, "G l");
    assert_eq!(narrow.table().selected, 1, "the next row, without closing");
    press(&mut narrow, "esc");
    assert!(narrow.overlay.is_none());
    let mut wide = state((120, 40));
    assert!(wide.detail);
    press(&mut wide, "space");
    assert!(!wide.detail && wide.overlay.is_none());
    press(&mut wide, "enter");
    assert!(matches!(wide.overlay, Some(Overlay::Detail { .. })));
}

#[test]
fn an_election_opens_as_a_sequence_that_is_stepped_and_played() {
    let mut state = state(SIZE);
    press(&mut state, "6 / e l e c t i o n enter enter");
    let shown = |state: &State| match &state.overlay {
        Some(Overlay::Failover(failover)) => {
            (failover.shown, failover.steps.len(), failover.playing.is_some())
        }
        other => panic!("{other:?}"),
    };
    let (at, all, playing) = shown(&state);
    assert!(at == all && all > 4 && !playing);
    press(&mut state, "k p left");
    assert_eq!(shown(&state).0, all - 3);
    press(&mut state, "j n");
    assert_eq!(shown(&state).0, all - 1);
    press(&mut state, "g");
    assert_eq!(shown(&state).0, 1);
    press(&mut state, "space");
    assert!(shown(&state).2);
    send(&mut state, 10_000, Event::Tick);
    assert_eq!(shown(&state), (all, all, false));
    assert!(matches!(press(&mut state, "y").as_slice(), [Action::Copy(text)] if text.contains("master-2")));
    press(&mut state, "esc");
    assert!(state.overlay.is_none());
}

#[test]
fn help_and_palette_know_every_command() {
    let mut state = state(SIZE);
    press(&mut state, "?");
    assert!(matches!(state.overlay, Some(Overlay::Help { top: 0 })));
    press(&mut state, "G");
    assert!(matches!(state.overlay, Some(Overlay::Help { top }) if top > 0 && top < 100));
    press(&mut state, "esc :");
    for about in &ALL {
        let listed = menu(&state).entries.iter().any(|entry| entry.label.starts_with(about.name));
        let elsewhere = matches!(about.command, Command::Palette | Command::KillLeader);
        assert!(listed || elsewhere, "{}", about.name);
    }
    press(&mut state, "d u t i e s : down up enter");
    assert!(state.overlay.is_none());
    assert_eq!(state.view, View::Duties);
}

#[test]
fn contexts_are_switched_and_the_old_picture_is_forgotten() {
    let mut state = state(SIZE);
    press(&mut state, "c");
    assert_eq!(menu(&state).selected, 0);
    assert_eq!(press(&mut state, "down enter"), [Action::Switch(1)]);
    assert!(state.picture.is_none() && state.timeline.items().is_empty());
    assert_eq!(state.cluster_name(), "local");
}

#[test]
fn rows_and_views_are_taken_along() {
    let mut state = state(SIZE);
    let actions = press(&mut state, "y");
    assert!(matches!(actions.as_slice(), [Action::Copy(text)] if text.starts_with("master-1\t○ standby")));
    let actions = press(&mut state, "Y");
    assert!(matches!(actions.as_slice(), [Action::Copy(text)] if text.lines().count() == 4));
    for (keys, extension, begin) in [
        ("e enter", "txt", "MASTER"),
        ("e down enter", "json", "["),
        ("e down down enter", "csv", "master,state"),
    ] {
        let actions = press(&mut state, keys);
        let [Action::Save { path, text }] = actions.as_slice() else { panic!("{actions:?}") };
        assert!(path.extension().is_some_and(|found| found == extension), "{path:?}");
        assert!(text.starts_with(begin), "{text}");
    }
    assert!(
        serde_json::from_str::<Vec<kontena_wire::cluster::Master>>(&{
            let actions = press(&mut state, "e down enter");
            let [Action::Save { text, .. }] = actions.as_slice() else { panic!("{actions:?}") };
            text.clone()
        })
        .is_ok()
    );
}

#[test]
fn the_shell_command_is_shown_and_copied() {
    let mut state = state(SIZE);
    press(&mut state, "!");
    let actions = press(&mut state, "y");
    assert_eq!(actions, [Action::Copy("kontena-master status --url http://10.0.0.1:9292".to_owned())]);
    assert!(state.overlay.is_none());
}

#[test]
fn harm_wants_the_name_of_the_cluster() {
    let mut state = state(SIZE);
    assert_eq!(press(&mut state, "D y e s enter"), []);
    assert_eq!(note(&state), "type prod first");
    assert!(state.overlay.is_some());
    assert_eq!(press(&mut state, "ctrl-u p r o d enter"), [Action::StepDown]);
    assert_eq!(press(&mut state, "D p r o d esc"), []);
    assert_eq!(note(&state), "nothing was done");
    let id = "01".repeat(16);
    assert_eq!(press(&mut state, "X p r o d enter"), [Action::Drain { id, name: "master-1".to_owned() }]);
    press(&mut state, "2 X");
    assert_eq!(note(&state), "choose the master to drain in the list of masters");
}

#[test]
fn read_only_means_it() {
    let mut state = state(SIZE);
    state.preferences.read_only = true;
    for key in ["D", "X"] {
        press(&mut state, key);
        assert!(state.overlay.is_none(), "{key}");
        assert!(note(&state).contains("read-only"), "{key}");
    }
}

#[test]
fn only_the_demo_kills() {
    let mut state = state(SIZE);
    assert_eq!(press(&mut state, "K"), []);
    assert!(note(&state).contains("only the demo"));
    state.demo = true;
    assert_eq!(press(&mut state, "K"), [Action::KillLeader]);
}

#[test]
fn the_look_is_changed_by_key() {
    let mut state = state(SIZE);
    press(&mut state, "t");
    assert_eq!(state.preferences.palette, Palette::Light);
    press(&mut state, "a");
    assert!(state.preferences.ascii);
    press(&mut state, "z");
    assert_eq!(state.preferences.zone.name(), "local");
    press(&mut state, "z");
    assert_eq!(state.preferences.zone.name(), "utc");
    assert_eq!(press(&mut state, "m"), [Action::Mouse(true)]);
    assert_eq!(press(&mut state, "m"), [Action::Mouse(false)]);
    assert_eq!(press(&mut state, "r"), [Action::Refresh]);
    assert_eq!(press(&mut state, "ctrl-z"), [Action::Suspend]);
    assert_eq!(press(&mut state, "q"), [Action::Quit]);
    press(&mut state, "f12");
    assert!(note(&state).contains("f12 does nothing here"));
}

#[test]
fn ctrl_c_ends_from_everywhere_and_q_does_not_end_what_is_typed() {
    for keys in ["", "?", ":", "c", "/", "D", "!", "enter"] {
        let mut state = state(SIZE);
        press(&mut state, keys);
        assert_eq!(press(&mut state, "ctrl-c"), [Action::Quit], "{keys}");
    }
    for keys in ["/", ":", "D"] {
        let mut state = state(SIZE);
        press(&mut state, keys);
        assert_eq!(press(&mut state, "q"), [], "{keys}");
    }
}

#[test]
fn a_lost_connection_keeps_the_picture_and_shows_its_age() {
    let mut state = state(SIZE);
    let lost = |reason: &str| {
        Event::Link(Link::Lost { target: "http://m".to_owned(), reason: reason.to_owned(), retry_ms: 500 })
    };
    let before = state.timeline.items().len();
    send(&mut state, 5_020, lost("gone"));
    send(&mut state, 6_020, lost("gone"));
    assert_eq!(state.timeline.items().len(), before + 1, "told once");
    assert_eq!(state.age_ms(), Some(6_000));
    assert_eq!(state.verdict().badge, "CONNECTION LOST");
    send(&mut state, 7_000, Event::Link(Link::Trying { target: "http://m".to_owned() }));
    assert!(matches!(state.connection, Connection::Lost { .. }), "the reason stays to be read");
    send(&mut state, 7_010, Event::Link(Link::Connected { target: "http://m".to_owned() }));
    send(&mut state, 7_020, Event::Link(Link::Picture(Box::new(cluster()))));
    assert_eq!(state.verdict().badge, "ALL IS WELL");
}

#[test]
fn without_a_leader_the_header_counts() {
    let mut state = state(SIZE);
    let mut nobody = cluster();
    nobody.leader = None;
    for ms in [1_000, 1_500, 2_400] {
        send(&mut state, ms, Event::Link(Link::Picture(Box::new(nobody.clone()))));
    }
    assert_eq!(state.verdict().text, "for 1.4 s (last term 14)");
    send(&mut state, 2_500, Event::Link(Link::Picture(Box::new(cluster()))));
    assert_eq!(state.leaderless_since, None);
}

#[test]
fn the_mouse_selects_rows_and_tabs() {
    let mut state = many();
    let click = |column, row| Event::Mouse { column, row, kind: Mouse::Click };
    send(&mut state, 60, click(5, 7));
    assert_eq!(state.table().selected, 3);
    send(&mut state, 60, Event::Mouse { column: 5, row: 7, kind: Mouse::Down });
    assert_eq!(state.table().selected, 6);
    send(&mut state, 60, Event::Mouse { column: 5, row: 7, kind: Mouse::Up });
    assert_eq!(state.table().selected, 3);
    send(&mut state, 60, click(2, 1));
    assert_eq!(state.view, View::Masters);
}

#[test]
fn a_record_is_steered_and_does_no_harm() {
    let mut state = state(SIZE);
    send(&mut state, 60, Event::Replay(Replay { done: 1, total: 9, playing: true, speed: 1.0 }));
    for (key, steer) in
        [("p", Steer::Toggle), (".", Steer::Step), ("+", Steer::Faster), ("minus", Steer::Slower)]
    {
        assert_eq!(press(&mut state, key), [Action::Replay(steer)]);
    }
    press(&mut state, "D");
    assert!(state.overlay.is_none() && note(&state).contains("this is a record"));
}
