//! All that the program knows, as one value. It is changed by `update` only, and drawn from by reference.

pub(crate) mod failover;
pub(crate) mod logs;
pub(crate) mod overlay;
pub(crate) mod table;
pub(crate) mod timeline;
pub(crate) mod verdict;
pub(crate) mod workloads;

use std::collections::{HashMap, VecDeque};

use kontena_wire::agents::Agent;
use kontena_wire::cluster::Cluster;
use kontena_wire::services::Service;
use kontena_wire::stacks::Stack;

use crate::clock::Moment;
use crate::event::Replay;
use crate::place::{Look, ServicePlace, StackPlace, Subject};
use crate::preferences::Preferences;
use crate::screen::layout;
use crate::theme::Tone;
use crate::view::{VIEWS, View};
use overlay::Overlay;
use table::Table;
use timeline::Timeline;
use workloads::{Listed, Workloads};

/// How many round trips are remembered of each master.
const ROUND_TRIPS: usize = 64;
/// How many agents are taken from a master's list.
const AGENTS_MAX: usize = 100_000;

/// The state of the program.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) now: Moment,
    /// Columns and rows of the terminal.
    pub(crate) size: (u16, u16),
    pub(crate) preferences: Preferences,
    /// Where one can connect.
    pub(crate) contexts: Vec<ContextName>,
    /// Which of them is in use.
    pub(crate) context: usize,
    pub(crate) connection: Connection,
    pub(crate) picture: Option<Picture>,
    pub(crate) agents: Listed<Agent>,
    pub(crate) workloads: Workloads,
    /// What the connection was told is looked at.
    pub(crate) asked: Look,
    pub(crate) timeline: Timeline,
    /// The latest round trips to the database by master, in milliseconds, the newest last.
    pub(crate) round_trips: HashMap<String, VecDeque<f64>>,
    /// Since when nobody is known to lead.
    pub(crate) leaderless_since: Option<Moment>,
    pub(crate) view: View,
    pub(crate) tables: [Table; 6],
    /// Whether the details of the selected row are shown.
    pub(crate) detail: bool,
    pub(crate) overlay: Option<Overlay>,
    /// A word about what was just done.
    pub(crate) note: Option<Note>,
    pub(crate) replay: Option<Replay>,
    /// Whether this is the demo of the lab, in which masters may be killed.
    pub(crate) demo: bool,
}

/// A place to connect to, without its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContextName {
    pub(crate) name: String,
    /// Where it is and where that is from.
    pub(crate) description: String,
    /// What is the matter with it.
    pub(crate) warning: Option<String>,
    /// The options by which the commands of the daemon reach the same master.
    pub(crate) shell: Shell,
}

/// How the shell reaches a context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shell {
    /// The admin socket of this host.
    Socket(String),
    /// Over TCP.
    Url(String),
}

/// The connection to a master.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Connection {
    /// Asking this one.
    Trying { target: String },
    /// It answers.
    Live { target: String },
    /// Nobody does. Tried again at that monotonic time.
    Lost { target: String, reason: String, retry_at_ms: u64 },
}

/// What a master told last.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    pub(crate) cluster: Cluster,
    pub(crate) at: Moment,
}

/// What can be acted on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Chosen<'a> {
    Service(&'a Service),
    Stack(&'a Stack),
}

/// A word to the user.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Note {
    pub(crate) text: String,
    pub(crate) tone: Tone,
    pub(crate) since: Moment,
}

/// How long a note stays.
const NOTE_MS: u64 = 6000;

impl State {
    /// Before anything has happened.
    pub(crate) fn new(
        preferences: Preferences,
        contexts: Vec<ContextName>,
        context: usize,
        size: (u16, u16),
        now: Moment,
    ) -> Self {
        Self {
            now,
            size,
            preferences,
            contexts,
            context,
            connection: Connection::Trying { target: String::new() },
            picture: None,
            agents: Listed::default(),
            workloads: Workloads::default(),
            asked: Look::default(),
            timeline: Timeline::default(),
            round_trips: HashMap::new(),
            leaderless_since: None,
            view: View::Masters,
            tables: VIEWS.map(|view| if view == View::Events { Table::default() } else { Table::sorted(0) }),
            detail: size.0 >= 110,
            overlay: None,
            note: None,
            replay: None,
            demo: false,
        }
    }

    /// The table of the view that is shown.
    pub(crate) fn table(&self) -> &Table {
        &self.tables[self.view.index()]
    }

    pub(crate) fn table_mut(&mut self) -> &mut Table {
        &mut self.tables[self.view.index()]
    }

    /// What the cluster is called: as the context by which one came.
    pub(crate) fn cluster_name(&self) -> &str {
        self.contexts.get(self.context).map_or("unknown", |context| &context.name)
    }

    /// The age of what is shown, in milliseconds.
    pub(crate) fn age_ms(&self) -> Option<u64> {
        Some(self.now.since(self.picture.as_ref()?.at))
    }

    /// How long the lease stands if it is not renewed, and its ttl, in milliseconds.
    pub(crate) fn lease_left(&self) -> Option<(u64, u64)> {
        let picture = self.picture.as_ref()?;
        let lease = picture.cluster.lease?;
        let passed = lease.renewed_ms_ago.saturating_add(self.now.since(picture.at));
        Some((lease.ttl_ms.saturating_sub(passed), lease.ttl_ms))
    }

    /// The note, while it is fresh.
    pub(crate) fn fresh_note(&self) -> Option<&Note> {
        self.note.as_ref().filter(|note| self.now.since(note.since) < NOTE_MS)
    }

    pub(crate) fn tell(&mut self, tone: Tone, text: impl Into<String>) {
        self.note = Some(Note { text: text.into(), tone, since: self.now });
    }

    /// Forgets all that belongs to the cluster before.
    pub(crate) fn forget_cluster(&mut self) {
        self.picture = None;
        self.agents = Listed::default();
        self.workloads = Workloads::default();
        self.timeline = Timeline::default();
        self.round_trips.clear();
        self.leaderless_since = None;
        self.refresh_tables();
    }

    /// Takes over a new picture.
    pub(crate) fn take_picture(&mut self, mut cluster: Cluster) {
        let now = self.now;
        for master in &cluster.masters {
            if let Some(rtt) = master.mongo_rtt_ms {
                let samples = self.round_trips.entry(master.id.clone()).or_default();
                if samples.len() == ROUND_TRIPS {
                    samples.pop_front();
                }
                samples.push_back(rtt);
            }
        }
        self.round_trips.retain(|id, _| cluster.masters.iter().any(|master| &master.id == id));
        for reign in &cluster.history {
            self.timeline.take_in_reign(reign);
        }
        let leads = cluster.leader.as_ref().is_some_and(|leader| leader.acting);
        self.leaderless_since = if leads { None } else { self.leaderless_since.or(Some(now)) };
        // The link to Kontena Cloud is a line among what the leader does.
        cluster.duties.extend(cluster.cloud.as_ref().map(crate::view::cloud));
        self.picture = Some(Picture { cluster, at: now });
        self.refresh_tables();
    }

    pub(crate) fn take_agents(&mut self, rows: Option<Vec<Agent>>) {
        self.agents = Listed::told(rows, AGENTS_MAX);
        self.refresh_table(View::Agents);
    }

    /// Sorts and filters anew what may have changed with a picture.
    pub(crate) fn refresh_tables(&mut self) {
        for view in [View::Masters, View::Duties, View::Events] {
            self.refresh_table(view);
        }
        if !self.agents.is_known() {
            self.refresh_table(View::Agents);
        }
        if !self.workloads.services.is_known() {
            self.refresh_table(View::Services);
            self.refresh_table(View::Stacks);
        }
    }

    /// Sorts and filters a view anew.
    pub(crate) fn refresh_table(&mut self, view: View) {
        let mut table = std::mem::take(&mut self.tables[view.index()]);
        table.refresh(view.listing(self).as_ref());
        self.tables[view.index()] = table;
    }

    /// All that is looked at now.
    pub(crate) fn look(&self) -> Look {
        let detailed = (self.detail && layout::has_side(self.size))
            || matches!(self.overlay, Some(Overlay::Detail { .. }));
        Look {
            agents: self.view == View::Agents,
            services: matches!(self.view, View::Services | View::Stacks),
            stacks: self.view == View::Stacks,
            grid_events: self.view == View::Events || layout::has_recent(self),
            of: if detailed { self.subject() } else { None },
            log: match &self.overlay {
                Some(Overlay::Logs(logs)) => Some(logs.of.clone()),
                _ => None,
            },
        }
    }

    /// What has details of its own in the selected row.
    fn subject(&self) -> Option<Subject> {
        if self.view == View::Agents {
            return Some(Subject::Node(self.agents.rows().get(self.table().row()?)?.id.clone()));
        }
        Some(match self.chosen()? {
            Chosen::Service(service) => Subject::Service(ServicePlace::of(service)),
            Chosen::Stack(stack) => Subject::Stack(StackPlace::of(stack)),
        })
    }

    /// The service or stack in the selected row.
    pub(crate) fn chosen(&self) -> Option<Chosen<'_>> {
        let row = self.table().row()?;
        let workloads = &self.workloads;
        match self.view {
            View::Services => workloads.services.rows().get(row).map(Chosen::Service),
            View::Stacks => {
                let branch = workloads.tree.get(row)?;
                match branch.service {
                    Some(place) => workloads.services.rows().get(place).map(Chosen::Service),
                    None => workloads.stacks.rows().get(branch.stack).map(Chosen::Stack),
                }
            }
            View::Masters | View::Agents | View::Duties | View::Events => None,
        }
    }

    /// How the daemon's commands are pointed at the same master.
    pub(crate) fn shell_url(&self) -> String {
        match self.contexts.get(self.context).map(|context| &context.shell) {
            Some(Shell::Url(url)) => format!(" --url {url}"),
            Some(Shell::Socket(_)) | None => String::new(),
        }
    }

    /// A request in the shell. The token is read from where it is, never written out.
    pub(crate) fn shell_curl(&self, path: &str) -> String {
        match self.contexts.get(self.context).map(|context| &context.shell) {
            Some(Shell::Socket(socket)) => {
                format!("sudo curl -sN --unix-socket {socket} http://localhost{path}")
            }
            Some(Shell::Url(url)) => {
                format!("curl -sN -H \"Authorization: Bearer $KONTENA_TOKEN\" {url}{path}")
            }
            None => String::new(),
        }
    }
}
