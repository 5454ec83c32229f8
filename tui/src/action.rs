//! What the loop must do for the state machine: everything that touches the world.

use std::path::PathBuf;

use crate::place::Look;

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    /// End the program.
    Quit,
    /// Give the terminal back to the shell until it resumes us.
    Suspend,
    /// Connect to the context of this number.
    Switch(usize),
    /// Ask for the picture now.
    Refresh,
    /// What is looked at from now on.
    Look(Look),
    /// Do something to a service or a stack.
    Operate(Operation),
    /// Let another master lead.
    StepDown,
    /// Let a master stop serving.
    Drain { id: String, name: String },
    /// Kill the leader of the demo.
    KillLeader,
    /// Put text onto the user's clipboard.
    Copy(String),
    /// Write text to a new file.
    Save { path: PathBuf, text: String },
    /// Whether the terminal reports the mouse.
    Mouse(bool),
    /// Steer the replay of a record.
    Replay(Steer),
}

/// Something to be done to a service or a stack.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Operation {
    /// What it is called when its outcome is told.
    pub(crate) what: String,
    /// Where it is posted to.
    pub(crate) route: String,
    /// As JSON.
    pub(crate) body: String,
}

/// How a replay is steered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Steer {
    /// Play or pause.
    Toggle,
    /// One event further.
    Step,
    /// Twice as fast.
    Faster,
    /// Half as fast.
    Slower,
}
