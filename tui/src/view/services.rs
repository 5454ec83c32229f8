//! The services of all grids: what each shall be, what it is, and why it is not there yet.

use kontena_wire::services::{Deploy, Instance, Service, ServiceSight};
use serde_json::Value;

use super::{Cell, Column, Detail, Listing, SortKey, float, report};
use crate::glyph::Glyphs;
use crate::place::{NO_STACK, ServicePlace};
use crate::state::State;
use crate::state::workloads::{Condition, Listed, target};
use crate::theme::Tone;
use crate::time;

const NAME: usize = 0;
const STATE: usize = 1;
const INSTANCES: usize = 2;
const GRID: usize = 3;
const DEPLOY: usize = 4;
const IMAGE: usize = 5;
const STRATEGY: usize = 6;
const REVISION: usize = 7;

const COLUMNS: [Column; 8] = [
    Column::new("SERVICE", 18, 0).grow(3),
    Column::new("STATE", 11, 0),
    Column::new("INSTANCES", 9, 0).right(),
    Column::new("GRID", 10, 1).grow(1),
    Column::new("LAST DEPLOY", 19, 2),
    Column::new("IMAGE", 20, 3).grow(3),
    Column::new("STRATEGY", 8, 5),
    Column::new("REV", 4, 4).right(),
];

/// How many instances and steps are told one by one.
const SHOWN: usize = 60;

/// The listing.
pub(crate) struct Services<'a>(pub(crate) &'a State);

impl Services<'_> {
    fn service(&self, row: usize) -> Option<&Service> {
        self.0.workloads.services.rows().get(row)
    }
}

/// The state as a sign and a word.
pub(super) fn condition(condition: Condition, glyphs: &Glyphs) -> Cell {
    Cell::new(format!("{} {}", glyphs.condition(condition), condition.name()), condition.tone())
}

/// How many run of how many.
pub(super) fn instances(service: &Service) -> Cell {
    let target = target(service);
    let tone = match Condition::of(service) {
        Condition::Stopped | Condition::New => Tone::Dim,
        _ if service.running < target => Tone::Warn,
        _ => Tone::Plain,
    };
    Cell::new(format!("{}/{target}", service.running), tone)
}

/// How a deploy stands and since when.
pub(super) fn deploy(deploy: Option<&Deploy>, state: &State) -> Cell {
    let Some(deploy) = deploy else {
        return Cell::new(Glyphs::new(state.preferences.ascii).none, Tone::Dim);
    };
    let since = deploy.finished_at.as_ref().or(deploy.started_at.as_ref()).unwrap_or(&deploy.created_at);
    let passed = time::parse(since).and_then(|at| time::between(at, state.now.wall_ms)).unwrap_or(0);
    let ago = time::duration(passed);
    match deploy.state.as_str() {
        "success" => Cell::new(format!("done {ago} ago"), Tone::Dim),
        "error" => Cell::new(format!("failed {ago} ago"), Tone::Bad),
        "ongoing" => Cell::new(format!("for {ago}"), Tone::Note),
        _ => Cell::new(format!("waits {ago}"), Tone::Note),
    }
}

/// When a deploy was last heard of, for sorting.
pub(super) fn deploy_key(deploy: Option<&Deploy>) -> SortKey<'_> {
    let at = deploy.and_then(|deploy| time::parse(deploy.finished_at.as_ref().unwrap_or(&deploy.created_at)));
    at.map_or(SortKey::Nothing, |at| SortKey::Number(float(at)))
}

impl Listing for Services<'_> {
    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn len(&self) -> usize {
        self.0.workloads.services.rows().len()
    }

    fn id(&self, row: usize) -> String {
        self.service(row).map(|service| service.id.clone()).unwrap_or_default()
    }

    fn cell(&self, row: usize, column: usize) -> Cell {
        let Some(service) = self.service(row) else { return Cell::default() };
        match column {
            NAME => Cell::new(ServicePlace::of(service).to_string(), Tone::Accent),
            STATE => condition(Condition::of(service), &Glyphs::new(self.0.preferences.ascii)),
            INSTANCES => instances(service),
            GRID => Cell::plain(service.grid.clone()),
            DEPLOY => deploy(service.deploy.as_ref(), self.0),
            IMAGE => Cell::plain(service.image.clone()),
            STRATEGY => Cell::new(service.strategy.clone(), Tone::Dim),
            REVISION => Cell::new(service.revision.to_string(), Tone::Dim),
            _ => Cell::default(),
        }
    }

    fn sort_key(&self, row: usize, column: usize) -> SortKey<'_> {
        let Some(service) = self.service(row) else { return SortKey::Nothing };
        match column {
            NAME if service.stack == NO_STACK => SortKey::Path("", &service.name),
            NAME => SortKey::Path(&service.stack, &service.name),
            STATE => SortKey::Number(float(Condition::of(service) as i64)),
            INSTANCES => SortKey::Number(float(service.running)),
            GRID => SortKey::Text(&service.grid),
            DEPLOY => deploy_key(service.deploy.as_ref()),
            IMAGE => SortKey::Text(&service.image),
            STRATEGY => SortKey::Text(&service.strategy),
            REVISION => SortKey::Number(float(service.revision)),
            _ => SortKey::Nothing,
        }
    }

    fn haystack(&self, row: usize, text: &mut String) {
        let Some(service) = self.service(row) else { return };
        if service.stack != NO_STACK {
            text.push_str(&service.stack);
            text.push('/');
        }
        let state = Condition::of(service).name();
        for part in [&service.name, state, &service.grid, &service.image, &service.strategy] {
            text.push_str(part);
            text.push('\n');
        }
    }

    fn detail(&self, row: usize) -> Vec<Detail> {
        let Some(service) = self.service(row) else { return Vec::new() };
        let sight = self.0.workloads.sight(service);
        detail(service, sight, self.0)
    }

    fn json(&self, row: usize) -> Value {
        self.service(row).map_or(Value::Null, |service| serde_json::to_value(service).unwrap_or_default())
    }

    fn empty(&self) -> Vec<Cell> {
        let (first, then) = match (&self.0.picture, &self.0.workloads.services) {
            (None, _) => ("No master has answered yet.", ""),
            (_, Listed::Unasked) => ("Asking for the services.", ""),
            (_, Listed::Unknown) => (
                "This master does not list services (GET /v1/cluster/services).",
                "It is of an earlier version: connect to another one.",
            ),
            (_, Listed::Known(_)) => {
                ("There are no services yet.", "kontena service create, or kontena stack install, makes one.")
            }
        };
        vec![Cell::plain(first), Cell::new(then, Tone::Dim)]
    }

    fn shell(&self) -> String {
        match self.0.table().row().and_then(|row| self.service(row)) {
            Some(service) => {
                format!("kontena service show --grid {} {}", service.grid, ServicePlace::of(service))
            }
            None => "kontena service ls".to_owned(),
        }
    }
}

/// All about a service. What keeps it from running comes first.
pub(super) fn detail(service: &Service, sight: Option<&ServiceSight>, state: &State) -> Vec<Detail> {
    let glyphs = Glyphs::new(state.preferences.ascii);
    let judged = Condition::of(service);
    let mut lines = vec![
        Detail::Heading(ServicePlace::of(service).to_string()),
        Detail::Pair("state", condition(judged, &glyphs)),
        Detail::Text(Cell::new(judged.means(), Tone::Dim)),
    ];
    if let Some(sight) = sight
        && !matches!(judged, Condition::Running | Condition::Stopped | Condition::New)
    {
        lines.extend(
            report::troubles(sight)
                .into_iter()
                .map(|text| Detail::Text(Cell::new(format!("{} {text}", glyphs.warn), Tone::Warn))),
        );
    }
    lines.extend([
        Detail::Pair("instances", instances(service)),
        Detail::Pair("grid", Cell::plain(service.grid.clone())),
        Detail::Pair("image", Cell::plain(service.image.clone())),
        Detail::Pair("strategy", Cell::plain(strategy(service))),
        Detail::Pair("revision", Cell::plain(service.revision.to_string())),
        Detail::Blank,
        Detail::Heading("Instances".to_owned()),
    ]);
    let Some(sight) = sight else {
        lines.push(Detail::Text(Cell::new("asking for them", Tone::Dim)));
        return lines;
    };
    if sight.instances.is_empty() {
        lines.push(Detail::Text(Cell::new("there are none", Tone::Dim)));
    }
    for instance in sight.instances.iter().take(SHOWN) {
        let mut cell = self::instance(instance, &glyphs);
        let on = instance.node.as_deref().unwrap_or("no node");
        cell.text = format!("{} on {on}{}", cell.text, marks(instance));
        lines.push(Detail::Item(format!("#{}", instance.number), cell));
        if let Some(error) = &instance.error {
            lines.push(Detail::Item(String::new(), Cell::new(error.clone(), Tone::Bad)));
        }
    }
    rest(&mut lines, sight.instances.len());
    lines.push(Detail::Blank);
    report::deploys(&mut lines, sight, state);
    lines
}

fn strategy(service: &Service) -> String {
    let keeps = if service.stateful { ", keeps data" } else { "" };
    format!("{}{keeps}", service.strategy)
}

/// The state of an instance as a sign and a word.
pub(super) fn instance(instance: &Instance, glyphs: &Glyphs) -> Cell {
    let (sign, tone) = match (instance.state.as_str(), instance.desired_state.as_str()) {
        _ if instance.error.is_some() => (glyphs.bad, Tone::Bad),
        ("running", "running") => (glyphs.good, Tone::Good),
        ("running" | "initialized", _) => (glyphs.note, Tone::Note),
        (_, "stopped") => (glyphs.idle, Tone::Dim),
        _ => (glyphs.warn, Tone::Warn),
    };
    // An agent has not told of it yet.
    let word = if instance.state == "initialized" { "unknown" } else { &instance.state };
    Cell::new(format!("{sign} {word}"), tone)
}

/// What else there is to know about an instance.
pub(super) fn marks(instance: &Instance) -> String {
    let mut marks = String::new();
    if instance.deploy_rev.is_some() && instance.rev != instance.deploy_rev {
        marks.push_str(", not the last deploy yet");
    }
    if let Some(health) = &instance.health {
        marks.push_str(", ");
        marks.push_str(health);
    }
    if instance.desired_state == "stopped" && instance.state != "stopped" {
        marks.push_str(", shall stop");
    }
    marks
}

/// Says that there are more than are shown.
pub(super) fn rest(lines: &mut Vec<Detail>, count: usize) {
    if let Some(more) = count.checked_sub(SHOWN).filter(|more| *more > 0) {
        lines.push(Detail::Text(Cell::new(format!("and {more} more"), Tone::Dim)));
    }
}

/// The most of a list that is told one by one.
pub(super) const fn shown() -> usize {
    SHOWN
}
