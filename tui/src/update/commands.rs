//! What each command does.

use std::path::PathBuf;

use super::workloads;
use crate::action::{Action, Steer};
use crate::command::Command;
use crate::export::{Format, clean, export};
use crate::key::{Code, Key};
use crate::screen::layout;
use crate::state::failover::Failover;
use crate::state::overlay::{Ask, Choice, Confirm, Harm, Menu, Overlay};
use crate::state::{Shell, State};
use crate::theme::Tone;
use crate::time::Zone;
use crate::view::{VIEWS, View};

/// The keys that steer the replay of a record.
pub(super) fn steer(key: Key) -> Option<Steer> {
    match key.code {
        Code::Char('p') if !key.ctrl => Some(Steer::Toggle),
        Code::Char('.') => Some(Steer::Step),
        Code::Char('+') => Some(Steer::Faster),
        Code::Char('-') => Some(Steer::Slower),
        _ => None,
    }
}

pub(super) fn run(state: &mut State, command: Command) -> Vec<Action> {
    let page = isize::try_from(state.table().page.max(1)).unwrap_or(isize::MAX);
    match command {
        Command::Down => move_by(state, 1),
        Command::Up => move_by(state, -1),
        Command::PageDown => move_by(state, page),
        Command::PageUp => move_by(state, -page),
        Command::Top => select(state, 0),
        Command::Bottom => select(state, usize::MAX),
        Command::Masters => state.view = View::Masters,
        Command::Agents => state.view = View::Agents,
        Command::Services => state.view = View::Services,
        Command::Stacks => state.view = View::Stacks,
        Command::Duties => state.view = View::Duties,
        Command::Events => state.view = View::Events,
        Command::NextView => state.view = state.view.turned(1),
        Command::PreviousView => state.view = state.view.turned(VIEWS.len() - 1),
        Command::Open => open(state),
        Command::Detail => {
            if layout::has_side(state.size) {
                state.detail = !state.detail;
            } else {
                state.overlay = Some(Overlay::Detail { top: 0 });
            }
        }
        Command::Back => {
            let table = state.table_mut();
            if table.filter.is_empty() {
                state.note = None;
            } else {
                table.filter.set("", false);
                state.refresh_table(state.view);
            }
        }
        Command::Filter => {
            let text = state.table().filter.text().to_owned();
            state.overlay = Some(Overlay::Filter(text.into()));
        }
        Command::SortNext => {
            let columns = state.view.listing(state).columns();
            state.table_mut().sort_next(columns.len());
            sorted(state);
        }
        Command::SortReverse => {
            state.table_mut().reverse = !state.table().reverse;
            sorted(state);
        }
        Command::Palette => state.overlay = Some(Overlay::Menu(Menu::palette(state))),
        Command::Help => state.overlay = Some(Overlay::Help { top: 0 }),
        Command::Contexts => state.overlay = Some(Overlay::Menu(Menu::contexts(state))),
        Command::Export => state.overlay = Some(Overlay::Menu(Menu::exports(state.view))),
        Command::CopyRow => return copy_row(state),
        Command::CopyView => {
            let text = export(Format::Text, state.view.listing(state).as_ref(), state.table());
            state.tell(Tone::Good, format!("copied {} rows", state.table().order.len()));
            return vec![Action::Copy(text)];
        }
        Command::Shell => {
            let text = state.view.listing(state).shell();
            state.overlay = Some(Overlay::Shell { text });
        }
        Command::Logs => workloads::logs(state),
        Command::Deploy | Command::Scale | Command::Restart | Command::Stop | Command::Start => {
            workloads::act(state, command);
        }
        Command::StepDown => step_down(state),
        Command::Drain => drain(state),
        Command::KillLeader if state.demo => {
            state.tell(Tone::Warn, "killing the leader: watch the header, then open the election in Events");
            return vec![Action::KillLeader];
        }
        Command::KillLeader => {
            state.tell(Tone::Dim, "only the demo of the lab kills masters: cargo lab demo");
        }
        Command::Refresh => return vec![Action::Refresh],
        Command::Theme => set_theme(state, state.preferences.palette.next()),
        Command::TimeZone => {
            let next =
                if state.preferences.zone.name().eq_ignore_ascii_case("utc") { "local" } else { "utc" };
            set_zone(state, next);
        }
        Command::Mouse => {
            state.preferences.mouse = !state.preferences.mouse;
            let text = if state.preferences.mouse {
                "mouse on: hold shift to select text"
            } else {
                "mouse off: the terminal selects text"
            };
            state.tell(Tone::Note, text);
            return vec![Action::Mouse(state.preferences.mouse)];
        }
        Command::Ascii => state.preferences.ascii = !state.preferences.ascii,
        Command::Suspend => return vec![Action::Suspend],
        Command::Quit => return vec![Action::Quit],
    }
    Vec::new()
}

/// Does what was chosen in a menu.
pub(super) fn choose(state: &mut State, choice: Choice) -> Vec<Action> {
    match choice {
        Choice::Run(command) => return run(state, command),
        Choice::Sort(column) => {
            state.table_mut().sort = Some(column);
            sorted(state);
        }
        Choice::Theme(palette) => set_theme(state, palette),
        Choice::Zone(zone) => set_zone(state, &zone),
        Choice::Context(index) => {
            if let Some(context) = state.contexts.get(index) {
                let text = format!("connecting to {}", context.name);
                state.context = index;
                state.forget_cluster();
                state.connection = crate::state::Connection::Trying { target: context_target(state) };
                state.tell(Tone::Note, text);
                return vec![Action::Switch(index)];
            }
        }
        Choice::Export(format) => {
            let text = export(format, state.view.listing(state).as_ref(), state.table());
            let name = format!(
                "kontena-{}-{}.{}",
                state.view.title().to_lowercase(),
                state.preferences.zone.stamp(state.now.wall_ms),
                format.extension()
            );
            return vec![Action::Save { path: PathBuf::from(name), text }];
        }
    }
    Vec::new()
}

pub(super) fn move_by(state: &mut State, by: isize) {
    with_table(state, |table, listing| table.move_by(by, listing));
}

pub(super) fn select(state: &mut State, place: usize) {
    with_table(state, |table, listing| table.select(place, listing));
}

fn with_table(
    state: &mut State,
    change: impl FnOnce(&mut crate::state::table::Table, &dyn crate::view::Listing),
) {
    let mut table = std::mem::take(state.table_mut());
    change(&mut table, state.view.listing(state).as_ref());
    *state.table_mut() = table;
}

fn open(state: &mut State) {
    if state.view == View::Events
        && let Some(row) = state.table().row()
    {
        let items = state.timeline.items();
        let item = items.len().checked_sub(row + 1).and_then(|place| items.get(place));
        // Whatever belongs to a term opens the beginning of that term.
        if let Some(failover) =
            item.and_then(|item| item.term).and_then(|term| Failover::of(&state.timeline, term))
        {
            state.overlay = Some(Overlay::Failover(failover));
            return;
        }
    }
    if state.table().row().is_some() {
        state.overlay = Some(Overlay::Detail { top: 0 });
    }
}

fn sorted(state: &mut State) {
    state.refresh_table(state.view);
    let columns = state.view.listing(state).columns();
    let text = match state.table().sort.and_then(|column| columns.get(column)) {
        Some(column) => {
            let way = if state.table().reverse { "the greatest first" } else { "the least first" };
            format!("sorted by {}, {way}", column.title.to_lowercase())
        }
        None => "in the order in which they come".to_owned(),
    };
    state.tell(Tone::Dim, text);
}

fn copy_row(state: &mut State) -> Vec<Action> {
    let listing = state.view.listing(state);
    let Some(row) = state.table().row() else { return Vec::new() };
    let cells = (0..listing.columns().len()).map(|column| clean(&listing.cell(row, column).text));
    let text = cells.collect::<Vec<_>>().join("\t");
    drop(listing);
    state.tell(Tone::Good, "copied the row");
    vec![Action::Copy(text)]
}

fn set_theme(state: &mut State, palette: crate::theme::Palette) {
    state.preferences.palette = palette;
    let unseen = if state.preferences.no_color { " (NO_COLOR is set)" } else { "" };
    state.tell(Tone::Note, format!("colours: {}{unseen}", palette.name()));
}

fn set_zone(state: &mut State, name: &str) {
    match Zone::named(name) {
        Ok(zone) => {
            state.preferences.zone = zone;
            state.tell(Tone::Note, format!("times are {name}"));
        }
        Err(error) => state.tell(Tone::Bad, error),
    }
}

fn context_target(state: &State) -> String {
    match state.contexts.get(state.context).map(|context| &context.shell) {
        Some(Shell::Socket(target) | Shell::Url(target)) => target.clone(),
        None => String::new(),
    }
}

pub(super) fn may_act(state: &mut State) -> bool {
    let why = if state.replay.is_some() {
        "this is a record: nothing can be done to the masters in it"
    } else if state.preferences.read_only {
        "read-only: started with --read-only, or so configured"
    } else {
        return true;
    };
    state.tell(Tone::Warn, why);
    false
}

fn step_down(state: &mut State) {
    if !may_act(state) {
        return;
    }
    let leader = state.picture.as_ref().and_then(|picture| picture.cluster.leader.clone());
    let Some(leader) = leader else {
        return state.tell(Tone::Warn, "nobody leads: nothing to step down from");
    };
    let shell = match (&leader.url, state.contexts.get(state.context).map(|context| &context.shell)) {
        (Some(url), Some(Shell::Url(_))) => format!("kontena-master step-down --url {url}"),
        _ => "sudo kontena-master step-down".to_owned(),
    };
    ask(state, Harm::StepDown { leader: leader.name }, shell);
}

fn drain(state: &mut State) {
    if !may_act(state) {
        return;
    }
    let master = match (state.view, state.table().row()) {
        (View::Masters, Some(row)) => {
            state.picture.as_ref().and_then(|picture| picture.cluster.masters.get(row)).cloned()
        }
        _ => return state.tell(Tone::Warn, "choose the master to drain in the list of masters"),
    };
    let Some(master) = master else { return state.tell(Tone::Warn, "no master is selected") };
    let path = format!("/v1/cluster/masters/{}/drain", master.id);
    let shell = state.shell_curl(&path).replacen("curl -sN", "curl -sN -X POST", 1);
    ask(state, Harm::Drain { id: master.id, name: master.name }, shell);
}

fn ask(state: &mut State, harm: Harm, shell: String) {
    let ask = Ask::Text(state.cluster_name().to_owned());
    state.overlay = Some(Overlay::Confirm(Confirm { harm, ask, input: tui_input::Input::default(), shell }));
}
