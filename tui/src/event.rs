//! Everything that can happen to the program, in one type: the queue, the recorder and the tests speak it.

use kontena_wire::agents::AgentList;
use kontena_wire::cluster::Cluster;
use kontena_wire::events;
use kontena_wire::grid_events::GridEventList;
use kontena_wire::services::{InstanceList, ServiceList, ServiceSight};
use kontena_wire::stacks::{StackList, StackSight};
use serde::{Deserialize, Serialize};

use crate::clock::Moment;
use crate::key::Key;
use crate::place::{LogOf, ServicePlace, StackPlace};
use crate::state::logs::Line;

/// An event with the moment at which it was taken from the queue.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Stamped {
    pub(crate) at: Moment,
    pub(crate) event: Event,
}

/// What can happen.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Event {
    /// Nothing but the passing of time.
    Tick,
    /// A key was pressed.
    Key(Key),
    /// Text was pasted.
    Paste(String),
    /// The mouse was used, where it is on.
    Mouse { column: u16, row: u16, kind: Mouse },
    /// The terminal has another size.
    Resize { columns: u16, rows: u16 },
    /// The connection.
    Link(Link),
    /// What came of something that the user asked for.
    Done { what: String, outcome: Result<String, String> },
    /// The replay of a record stands at another place.
    Replay(Replay),
}

/// What the mouse did.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Mouse {
    Click,
    Up,
    Down,
}

/// What the connection tells.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Link {
    /// A master is asked for the first time.
    Trying { target: String },
    /// It answers.
    Connected { target: String },
    /// How the masters stand.
    Picture(Box<Cluster>),
    /// The agents. None: this master does not list them.
    Agents(Option<AgentList>),
    /// The services. None: this master does not list them.
    Services(Option<ServiceList>),
    /// The stacks, likewise.
    Stacks(Option<StackList>),
    /// All about one service.
    Service(ServicePlace, Box<ServiceSight>),
    /// All about one stack.
    Stack(StackPlace, StackSight),
    /// What is on a node.
    Node(String, InstanceList),
    /// What the users of the grids were told.
    GridEvents(GridEventList),
    /// Lines of the log that is followed.
    Log(LogOf, Vec<Line>),
    /// Something that was looked at cannot be had.
    Unavailable(String),
    /// The feed.
    Happened { id: Option<String>, event: events::Event },
    /// Nobody answers. The next try comes by itself.
    Lost { target: String, reason: String, retry_ms: u64 },
}

/// Where the replay of a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Replay {
    pub(crate) done: usize,
    pub(crate) total: usize,
    pub(crate) playing: bool,
    pub(crate) speed: f64,
}
