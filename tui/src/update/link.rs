//! What the connection tells.

use kontena_wire::cluster::Cluster;

use crate::action::Action;
use crate::event::Link;
use crate::state::overlay::Overlay;
use crate::state::{Connection, State};
use crate::theme::Tone;
use crate::view::View;

pub(super) fn link(state: &mut State, event: Link) -> Vec<Action> {
    let now = state.now;
    match event {
        Link::Trying { target } => {
            // While nobody answers, the reason stays to be read.
            if !matches!(state.connection, Connection::Lost { .. }) {
                state.connection = Connection::Trying { target };
            }
        }
        Link::Connected { target } => {
            let again = matches!(state.connection, Connection::Lost { .. });
            let word = if again { "answers again" } else { "answers" };
            state.timeline.note(now, Tone::Good, format!("{target} {word}"));
            state.connection = Connection::Live { target };
            state.refresh_table(View::Events);
        }
        Link::Picture(cluster) => picture(state, *cluster),
        Link::Agents(list) => state.take_agents(list.map(|list| list.agents)),
        Link::Services(list) => {
            state.workloads.take_services(list);
            state.refresh_table(View::Services);
            state.refresh_table(View::Stacks);
        }
        Link::Stacks(list) => {
            state.workloads.take_stacks(list);
            state.refresh_table(View::Stacks);
        }
        Link::Service(place, sight) => state.workloads.service = Some((place, *sight)),
        Link::Stack(place, sight) => state.workloads.stack = Some((place, sight)),
        Link::Node(node, list) => state.workloads.node = Some((node, list.instances)),
        Link::GridEvents(list) => {
            if state.timeline.take_in_grid(&list.events) {
                state.refresh_table(View::Events);
            }
        }
        Link::Log(place, lines) => {
            if let Some(Overlay::Logs(logs)) = &mut state.overlay
                && logs.of == place
            {
                logs.take_in(lines);
            }
        }
        Link::Unavailable(reason) => state.tell(Tone::Warn, reason),
        Link::Happened { id, event } => {
            if state.timeline.take_in(id.as_deref(), &event) {
                state.refresh_table(View::Events);
            }
        }
        Link::Lost { target, reason, retry_ms } => {
            if !matches!(state.connection, Connection::Lost { .. }) {
                state.timeline.note(now, Tone::Bad, format!("{target} does not answer: {reason}"));
                state.refresh_table(View::Events);
            }
            let retry_at_ms = now.mono_ms.saturating_add(retry_ms);
            state.connection = Connection::Lost { target, reason, retry_at_ms };
        }
    }
    Vec::new()
}

/// Who acts in a picture, and under which term.
fn leader(cluster: &Cluster) -> Option<(&str, u64)> {
    let leader = cluster.leader.as_ref().filter(|leader| leader.acting)?;
    Some((&leader.name, leader.term))
}

fn picture(state: &mut State, cluster: Cluster) {
    let before = state.picture.as_ref();
    let known = before.is_some();
    let before = before.and_then(|picture| leader(&picture.cluster)).map(|(_, term)| term);
    let after = leader(&cluster).map(|(name, term)| (name.to_owned(), term));
    if known && before != after.as_ref().map(|(_, term)| *term) {
        match &after {
            Some((name, term)) => state.timeline.note_acting(state.now, name, *term),
            None => {
                state.timeline.note(state.now, Tone::Bad, "the picture shows no acting leader".to_owned());
            }
        }
    }
    state.take_picture(cluster);
}
