//! The agents on the hosts. The list may be long: whatever is asked of a row is answered without a copy of the
//! others.

use kontena_wire::agents::Agent;
use serde_json::Value;

use super::{Cell, Column, Detail, Listing, SortKey, float, services};
use crate::glyph::Glyphs;
use crate::state::State;
use crate::state::workloads::Listed;
use crate::theme::Tone;
use crate::time;

const NAME: usize = 0;
const STATE: usize = 1;
const GRID: usize = 2;
const MASTER: usize = 3;
const RTT: usize = 4;
const SINCE: usize = 5;
const VERSION: usize = 6;
const ID: usize = 7;

const COLUMNS: [Column; 8] = [
    Column::new("AGENT", 18, 0).grow(2),
    Column::new("STATE", 11, 0),
    Column::new("GRID", 12, 1).grow(1),
    Column::new("MASTER", 12, 2).grow(1),
    Column::new("ROUND TRIP", 10, 3).right(),
    Column::new("SINCE", 9, 4).right(),
    Column::new("VERSION", 8, 5),
    Column::new("ID", 26, 6).grow(1),
];

/// The listing.
pub(crate) struct Agents<'a>(pub(crate) &'a State);

impl Agents<'_> {
    fn agent(&self, row: usize) -> Option<&Agent> {
        self.0.agents.rows().get(row)
    }

    /// What runs on its node, or shall.
    fn instances(&self, lines: &mut Vec<Detail>, agent: &Agent) {
        let glyphs = Glyphs::new(self.0.preferences.ascii);
        let told = self.0.workloads.node.as_ref().filter(|(node, _)| *node == agent.id);
        let Some((_, instances)) = told else {
            return lines.push(Detail::Text(Cell::new("asking for them", Tone::Dim)));
        };
        if instances.is_empty() {
            lines.push(Detail::Text(Cell::new("there are none", Tone::Dim)));
        }
        for instance in instances.iter().take(services::shown()) {
            let service = instance.service.as_deref().unwrap_or("a service that is gone");
            let service = service.strip_prefix("null/").unwrap_or(service);
            let mut cell = services::instance(instance, &glyphs);
            cell.text = format!("{} {service} #{}{}", cell.text, instance.number, services::marks(instance));
            lines.push(Detail::Text(cell));
            if let Some(error) = &instance.error {
                lines.push(Detail::Item(String::new(), Cell::new(error.clone(), Tone::Bad)));
            }
        }
        services::rest(lines, instances.len());
    }

    fn since(&self, agent: &Agent) -> Option<u64> {
        time::between(time::parse(agent.since.as_deref()?)?, self.0.now.wall_ms)
    }
}

fn state_name(agent: &Agent) -> &'static str {
    if agent.connected { "online" } else { "offline" }
}

impl Listing for Agents<'_> {
    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn len(&self) -> usize {
        self.0.agents.rows().len()
    }

    fn id(&self, row: usize) -> String {
        self.agent(row).map(|agent| agent.id.clone()).unwrap_or_default()
    }

    fn cell(&self, row: usize, column: usize) -> Cell {
        let Some(agent) = self.agent(row) else { return Cell::default() };
        let glyphs = Glyphs::new(self.0.preferences.ascii);
        let none = || Cell::new(glyphs.none, Tone::Dim);
        match column {
            NAME => Cell::new(agent.name.clone(), Tone::Accent),
            STATE if agent.connected => Cell::new(format!("{} online", glyphs.good), Tone::Good),
            STATE => Cell::new(format!("{} offline", glyphs.bad), Tone::Bad),
            GRID => Cell::plain(agent.grid.clone()),
            MASTER => agent.master.clone().map_or_else(none, Cell::plain),
            RTT => agent.rtt_ms.map_or_else(none, |ms| Cell::plain(format!("{ms:.1} ms"))),
            SINCE => self.since(agent).map_or_else(none, |ms| Cell::new(time::duration(ms), Tone::Dim)),
            VERSION => agent.version.clone().map_or_else(none, |version| Cell::new(version, Tone::Dim)),
            ID => Cell::new(agent.id.clone(), Tone::Dim),
            _ => Cell::default(),
        }
    }

    fn sort_key(&self, row: usize, column: usize) -> SortKey<'_> {
        let Some(agent) = self.agent(row) else { return SortKey::Nothing };
        let text = |text: &'_ Option<String>| text.is_some();
        match column {
            NAME => SortKey::Text(&agent.name),
            STATE => SortKey::Text(state_name(agent)),
            GRID => SortKey::Text(&agent.grid),
            MASTER if text(&agent.master) => SortKey::Text(agent.master.as_deref().unwrap_or_default()),
            RTT => agent.rtt_ms.map_or(SortKey::Nothing, SortKey::Number),
            SINCE => self.since(agent).map_or(SortKey::Nothing, |ms| SortKey::Number(float(ms))),
            VERSION if text(&agent.version) => SortKey::Text(agent.version.as_deref().unwrap_or_default()),
            ID => SortKey::Text(&agent.id),
            _ => SortKey::Nothing,
        }
    }

    fn haystack(&self, row: usize, text: &mut String) {
        let Some(agent) = self.agent(row) else { return };
        let master = agent.master.as_deref().unwrap_or_default();
        let version = agent.version.as_deref().unwrap_or_default();
        for part in [&agent.name, state_name(agent), &agent.grid, master, version, &agent.id] {
            text.push_str(part);
            text.push('\n');
        }
    }

    fn detail(&self, row: usize) -> Vec<Detail> {
        let Some(agent) = self.agent(row) else { return Vec::new() };
        let zone = &self.0.preferences.zone;
        let since = agent.since.as_deref();
        let since = since.map(|text| time::parse(text).map_or_else(|| text.to_owned(), |at| zone.full(at)));
        let pair = |label, column| Detail::Pair(label, self.cell(row, column));
        let mut lines = vec![
            Detail::Heading(agent.name.clone()),
            pair("state", STATE),
            pair("grid", GRID),
            pair("master", MASTER),
            pair("round trip", RTT),
            Detail::Pair("since", Cell::plain(since.unwrap_or_else(|| "unknown".to_owned()))),
            pair("version", VERSION),
            pair("id", ID),
            Detail::Blank,
            Detail::Heading("Instances".to_owned()),
        ];
        self.instances(&mut lines, agent);
        lines
    }

    fn json(&self, row: usize) -> Value {
        self.agent(row).map_or(Value::Null, |agent| serde_json::to_value(agent).unwrap_or_default())
    }

    fn empty(&self) -> Vec<Cell> {
        let counts = self.0.picture.as_ref().map(|picture| picture.cluster.agents);
        let connected = counts.map_or(0, |agents| agents.connected);
        let count = match connected {
            0 => "No agent is connected.".to_owned(),
            1 => "One agent is connected.".to_owned(),
            more => format!("{more} agents are connected."),
        };
        let why = match (&self.0.agents, counts) {
            (_, None) => "No master has answered yet.",
            (Listed::Unasked, _) => "Asking for the list of them.",
            (Listed::Unknown, _) => {
                "This master counts them, but does not list them (GET /v1/cluster/agents)."
            }
            (Listed::Known(_), _) => "Agents appear here when they connect through any master.",
        };
        let mut lines = Vec::new();
        if counts.is_some() {
            lines.push(Cell::plain(count));
        }
        lines.push(Cell::new(why, Tone::Dim));
        lines
    }

    fn shell(&self) -> String {
        self.0.shell_curl("/v1/cluster/agents")
    }
}
