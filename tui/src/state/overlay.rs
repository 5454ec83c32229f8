//! What can lie over the view: each takes the keys while it is there.

use tui_input::Input;

use super::State;
use super::failover::Failover;
use super::logs::Logs;
use crate::action::Operation;
use crate::command::{Command, offered};
use crate::export::Format;
use crate::filter::Filter;
use crate::theme::{PALETTES, Palette};
use crate::update::number;
use crate::view::View;

/// What lies over the view.
#[derive(Clone, Debug)]
pub(crate) enum Overlay {
    /// The line in which a filter is typed.
    Filter(Input),
    /// All keys. The first line shown.
    Help { top: usize },
    /// A list to choose from.
    Menu(Menu),
    /// The details of the selected row, where there is no room beside the list. The first line shown.
    Detail { top: usize },
    /// A question before harm.
    Confirm(Confirm),
    /// A shell command.
    Shell { text: String },
    /// A failover, step by step.
    Failover(Failover),
    /// The log of a service or a stack.
    Logs(Box<Logs>),
}

/// A list to choose from by typing.
#[derive(Clone, Debug)]
pub(crate) struct Menu {
    pub(crate) title: &'static str,
    pub(crate) input: Input,
    pub(crate) entries: Vec<Entry>,
    /// The entries that match what was typed.
    pub(crate) shown: Vec<usize>,
    pub(crate) selected: usize,
}

/// One choice.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) label: String,
    pub(crate) hint: String,
    pub(crate) choice: Choice,
}

/// What choosing does.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Choice {
    Run(Command),
    Sort(usize),
    Theme(Palette),
    Zone(String),
    Context(usize),
    Export(Format),
}

/// A question before harm.
#[derive(Clone, Debug)]
pub(crate) struct Confirm {
    pub(crate) harm: Harm,
    pub(crate) ask: Ask,
    pub(crate) input: Input,
    /// The shell command that does the same.
    pub(crate) shell: String,
}

/// What would be done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Harm {
    StepDown {
        leader: String,
    },
    Drain {
        id: String,
        name: String,
    },
    /// Something to a service or a stack, and what comes of it.
    Operate {
        title: &'static str,
        consequence: String,
        operation: Operation,
    },
}

/// What is an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// The key alone.
    Enter,
    /// This text, so that nobody does it by mistake.
    Text(String),
    /// How many instances there shall be.
    Number,
}

impl Menu {
    /// A menu with all of its entries shown.
    pub(crate) fn new(title: &'static str, entries: Vec<Entry>, selected: usize) -> Self {
        let shown = (0..entries.len()).collect();
        Self { title, input: Input::default(), entries, shown, selected }
    }

    /// Everything that one can do here.
    pub(crate) fn palette(state: &State) -> Self {
        let mut entries: Vec<Entry> = offered(state.demo)
            .filter(|about| about.command != Command::Palette)
            .map(|about| Entry {
                label: format!("{}: {}", about.name, about.does),
                hint: state.preferences.keymap.keys(about.command).join(" "),
                choice: Choice::Run(about.command),
            })
            .collect();
        let columns = state.view.listing(state).columns();
        entries.extend(columns.iter().enumerate().map(|(index, column)| Entry {
            label: format!("sort by {}", column.title.to_lowercase()),
            hint: state.view.title().to_owned(),
            choice: Choice::Sort(index),
        }));
        entries.extend(PALETTES.iter().map(|palette| Entry {
            label: format!("colours: {}", palette.name()),
            hint: String::new(),
            choice: Choice::Theme(*palette),
        }));
        entries.extend(["local", "utc"].iter().map(|zone| Entry {
            label: format!("time zone: {zone}"),
            hint: String::new(),
            choice: Choice::Zone((*zone).to_owned()),
        }));
        entries.extend(Self::contexts(state).entries);
        entries.extend(Self::exports(state.view).entries);
        Self::new("What do you want to do?", entries, 0)
    }

    /// Where one can connect.
    pub(crate) fn contexts(state: &State) -> Self {
        let entry = |(index, context): (usize, &super::ContextName)| Entry {
            label: format!("connect to {}", context.name),
            hint: match &context.warning {
                Some(warning) => format!("{warning}; {}", context.description),
                None => context.description.clone(),
            },
            choice: Choice::Context(index),
        };
        let entries = state.contexts.iter().enumerate().map(entry).collect();
        Self::new("Connect to", entries, state.context)
    }

    /// In which format a view can be written.
    pub(crate) fn exports(view: View) -> Self {
        let entry = |format: Format| Entry {
            label: format!("export {} as {}", view.title().to_lowercase(), format.name()),
            hint: format!(".{}", format.extension()),
            choice: Choice::Export(format),
        };
        Self::new("Write to a file", [Format::Text, Format::Json, Format::Csv].map(entry).to_vec(), 0)
    }

    /// Shows what matches the text typed so far.
    pub(crate) fn refresh(&mut self) {
        let mut filter = Filter::default();
        filter.set(self.input.value(), false);
        let mut score = filter.scorer();
        let mut found: Vec<(u32, usize)> = (self.entries.iter().enumerate())
            .filter_map(|(index, entry)| Some((score(&format!("{}\n{}", entry.label, entry.hint))?, index)))
            .collect();
        // The best first; equally good ones in their own order.
        found.sort_by_key(|(score, index)| (std::cmp::Reverse(*score), *index));
        self.shown = found.into_iter().map(|(_, index)| index).collect();
        self.selected = 0;
    }

    /// The entry under the cursor.
    pub(crate) fn chosen(&self) -> Option<&Entry> {
        self.entries.get(*self.shown.get(self.selected)?)
    }
}

impl Confirm {
    /// Whether the answer lets it be done.
    pub(crate) fn is_answered(&self) -> bool {
        match &self.ask {
            Ask::Enter => true,
            Ask::Text(wanted) => self.input.value().trim() == wanted,
            Ask::Number => number(self.input.value()).is_some(),
        }
    }

    /// What is to be typed.
    pub(crate) fn prompt(&self) -> String {
        match &self.ask {
            Ask::Enter => "Enter does it, esc leaves it.".to_owned(),
            Ask::Text(wanted) => format!("Type {wanted} to go on, esc to leave it:"),
            Ask::Number => "How many instances? Esc leaves it:".to_owned(),
        }
    }

    /// The shell command that does the same, with what was typed.
    pub(crate) fn shell(&self) -> String {
        match &self.ask {
            Ask::Number => {
                let typed = number(self.input.value());
                format!("{} {}", self.shell, typed.map_or_else(|| "N".to_owned(), |typed| typed.to_string()))
            }
            Ask::Enter | Ask::Text(_) => self.shell.clone(),
        }
    }
}
