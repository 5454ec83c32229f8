//! What the user can ask for: the key map, the palette and the help are made from this list.

/// One command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Command {
    Down,
    Up,
    PageDown,
    PageUp,
    Top,
    Bottom,
    Masters,
    Agents,
    Services,
    Stacks,
    Duties,
    Events,
    NextView,
    PreviousView,
    Open,
    Detail,
    Back,
    Filter,
    SortNext,
    SortReverse,
    Palette,
    Help,
    Contexts,
    CopyRow,
    CopyView,
    Export,
    Shell,
    Logs,
    Deploy,
    Scale,
    Restart,
    Stop,
    Start,
    StepDown,
    Drain,
    Refresh,
    KillLeader,
    Theme,
    TimeZone,
    Mouse,
    Ascii,
    Suspend,
    Quit,
}

/// How a command is presented.
pub(crate) struct About {
    pub(crate) command: Command,
    /// As it is called in the palette and in the configuration.
    pub(crate) name: &'static str,
    /// What it does.
    pub(crate) does: &'static str,
    /// The heading in the help.
    pub(crate) group: &'static str,
    /// The keys, unless the configuration says otherwise.
    pub(crate) keys: &'static [&'static str],
}

const fn about(
    command: Command,
    name: &'static str,
    does: &'static str,
    group: &'static str,
    keys: &'static [&'static str],
) -> About {
    About { command, name, does, group, keys }
}

const MOVE: &str = "Move";
const LOOK: &str = "Look";
const FIND: &str = "Find";
const TAKE: &str = "Take along";
const ACT: &str = "Act";
const SET: &str = "Set up";

/// All commands, in the order of the help.
pub(crate) const ALL: [About; 43] = [
    about(Command::Down, "down", "next row", MOVE, &["j", "down"]),
    about(Command::Up, "up", "row before", MOVE, &["k", "up"]),
    about(Command::PageDown, "page-down", "a page further", MOVE, &["pagedown", "ctrl-d", "ctrl-f"]),
    about(Command::PageUp, "page-up", "a page back", MOVE, &["pageup", "ctrl-u", "ctrl-b"]),
    about(Command::Top, "top", "first row", MOVE, &["g", "home"]),
    about(Command::Bottom, "bottom", "last row", MOVE, &["G", "end"]),
    about(Command::Masters, "masters", "the masters", LOOK, &["1"]),
    about(Command::Agents, "agents", "the agents", LOOK, &["2"]),
    about(Command::Services, "services", "the services of all grids", LOOK, &["3"]),
    about(Command::Stacks, "stacks", "the stacks, with their services", LOOK, &["4"]),
    about(Command::Duties, "duties", "what the leader does", LOOK, &["5"]),
    about(Command::Events, "events", "what happened", LOOK, &["6"]),
    about(Command::NextView, "next-view", "next view", LOOK, &["tab", "l", "right"]),
    about(Command::PreviousView, "previous-view", "view before", LOOK, &["backtab", "h", "left"]),
    about(Command::Open, "open", "open the row; an election as a sequence", LOOK, &["enter"]),
    about(Command::Detail, "detail", "show or hide the details", LOOK, &["d", "space"]),
    about(Command::Logs, "logs", "follow the log of the service or stack", LOOK, &["L"]),
    about(Command::Back, "back", "close, or drop the filter", LOOK, &["esc"]),
    about(Command::Filter, "filter", "filter the rows; ctrl-r: regex", FIND, &["/"]),
    about(Command::SortNext, "sort", "sort by the next column", FIND, &["s"]),
    about(Command::SortReverse, "reverse", "sort the other way round", FIND, &["S"]),
    about(Command::Palette, "palette", "find any command", FIND, &[":", "ctrl-p"]),
    about(Command::Help, "help", "this page", FIND, &["?", "f1"]),
    about(Command::CopyRow, "copy", "copy the row to the clipboard", TAKE, &["y"]),
    about(Command::CopyView, "copy-view", "copy the whole view", TAKE, &["Y"]),
    about(Command::Export, "export", "write the view to a file", TAKE, &["e"]),
    about(Command::Shell, "show-command", "the shell command for this", TAKE, &["!"]),
    about(Command::Deploy, "deploy", "deploy the service or stack", ACT, &["u"]),
    about(Command::Scale, "scale", "change how many instances there are", ACT, &["n"]),
    about(Command::Restart, "restart", "restart the service or stack", ACT, &["R"]),
    about(Command::Stop, "stop", "stop the service or stack", ACT, &["x"]),
    about(Command::Start, "start", "let the stopped service run again", ACT, &["b"]),
    about(Command::StepDown, "step-down", "let another master lead", ACT, &["D"]),
    about(Command::Drain, "drain", "let this master stop serving", ACT, &["X"]),
    about(Command::Contexts, "contexts", "connect somewhere else", ACT, &["c"]),
    about(Command::Refresh, "refresh", "ask again now", ACT, &["r", "f5"]),
    about(Command::KillLeader, "kill-leader", "kill the leader's process: this is a demo", ACT, &["K"]),
    about(Command::Theme, "theme", "next colours", SET, &["t"]),
    about(Command::TimeZone, "time-zone", "local time or UTC", SET, &["z"]),
    about(Command::Mouse, "mouse", "mouse on or off", SET, &["m"]),
    about(Command::Ascii, "ascii", "plain characters only", SET, &["a"]),
    about(Command::Suspend, "suspend", "back to the shell; fg resumes", SET, &["ctrl-z"]),
    about(Command::Quit, "quit", "end", SET, &["q", "ctrl-c"]),
];

/// The commands that are offered: some are for the demo only.
pub(crate) fn offered(demo: bool) -> impl Iterator<Item = &'static About> {
    ALL.iter().filter(move |about| demo || about.command != Command::KillLeader)
}

impl Command {
    /// How it is presented.
    pub(crate) fn about(self) -> Option<&'static About> {
        ALL.iter().find(|about| about.command == self)
    }

    /// By the name in the configuration.
    pub(crate) fn named(name: &str) -> Option<Self> {
        ALL.iter().find(|about| about.name == name).map(|about| about.command)
    }
}
