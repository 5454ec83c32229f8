//! The stacks of all grids, each with its services below. Sorting moves whole stacks: a service goes by what its
//! stack has in that column.

use kontena_wire::services::Service;
use kontena_wire::stacks::{Stack, StackSight};
use serde_json::{Value, json};

use super::services::{condition, deploy, deploy_key, instances};
use super::{Cell, Column, Detail, Listing, SortKey, float, report, services};
use crate::glyph::Glyphs;
use crate::place::{ServicePlace, StackPlace};
use crate::state::State;
use crate::state::workloads::{Branch, Condition, Listed, target};
use crate::theme::Tone;
use crate::time;

const NAME: usize = 0;
const STATE: usize = 1;
const INSTANCES: usize = 2;
const GRID: usize = 3;
const VERSION: usize = 4;
const REVISION: usize = 5;
const DEPLOY: usize = 6;
const FILE: usize = 7;

const COLUMNS: [Column; 8] = [
    Column::new("STACK", 20, 0).grow(2),
    Column::new("STATE", 11, 0),
    Column::new("INSTANCES", 9, 0).right(),
    Column::new("GRID", 10, 1).grow(1),
    Column::new("VERSION", 9, 3),
    Column::new("REV", 4, 4).right(),
    Column::new("LAST DEPLOY", 19, 2),
    Column::new("MADE FROM", 20, 5).grow(2),
];

/// The listing.
pub(crate) struct Stacks<'a>(pub(crate) &'a State);

impl Stacks<'_> {
    fn branch(&self, row: usize) -> Option<(&Branch, &Stack, Option<&Service>)> {
        let workloads = &self.0.workloads;
        let branch = workloads.tree.get(row)?;
        let service = branch.service.and_then(|place| workloads.services.rows().get(place));
        Some((branch, workloads.stacks.rows().get(branch.stack)?, service))
    }

    /// The services of a stack stand behind it.
    fn below(&self, row: usize) -> impl Iterator<Item = &Service> + Clone {
        let workloads = &self.0.workloads;
        let below = workloads.tree.iter().skip(row + 1).map_while(|branch| branch.service);
        below.filter_map(|place| workloads.services.rows().get(place))
    }

    /// The row of the stack that a row belongs to.
    fn head(&self, row: usize) -> usize {
        let tree = self.0.workloads.tree.get(..=row).unwrap_or_default();
        tree.iter().rposition(|branch| branch.service.is_none()).unwrap_or(row)
    }
}

impl Listing for Stacks<'_> {
    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn len(&self) -> usize {
        self.0.workloads.tree.len()
    }

    fn id(&self, row: usize) -> String {
        self.branch(row)
            .map(|(_, stack, service)| service.map_or(&stack.id, |service| &service.id).clone())
            .unwrap_or_default()
    }

    fn cell(&self, row: usize, column: usize) -> Cell {
        let Some((branch, stack, service)) = self.branch(row) else { return Cell::default() };
        let glyphs = Glyphs::new(self.0.preferences.ascii);
        let dim = |text: Option<&String>| Cell::new(text.map_or("", String::as_str), Tone::Dim);
        if let Some(service) = service {
            let twig = if branch.last { glyphs.last } else { glyphs.branch };
            return match column {
                NAME => Cell::plain(format!("{twig} {}", service.name)),
                STATE => condition(Condition::of(service), &glyphs),
                INSTANCES => instances(service),
                DEPLOY => deploy(service.deploy.as_ref(), self.0),
                REVISION => Cell::new(
                    service.stack_revision.map(|revision| revision.to_string()).unwrap_or_default(),
                    Tone::Dim,
                ),
                FILE => Cell::new(service.image.clone(), Tone::Dim),
                _ => Cell::default(),
            };
        }
        let revision = stack.revision.as_ref();
        match column {
            NAME => Cell::new(stack.name.clone(), Tone::Accent),
            STATE => condition(Condition::of_stack(stack, self.below(row)), &glyphs),
            INSTANCES => {
                let (running, all) = self
                    .below(row)
                    .fold((0, 0), |(a, b), service| (a + service.running, b + target(service)));
                Cell::plain(format!("{running}/{all}"))
            }
            GRID => Cell::plain(stack.grid.clone()),
            VERSION => dim(revision.and_then(|revision| revision.version.as_ref())),
            REVISION => Cell::new(revision.map(|r| r.revision.to_string()).unwrap_or_default(), Tone::Dim),
            DEPLOY => deploy(stack.deploy.as_ref(), self.0),
            FILE => dim(revision.and_then(|revision| revision.file.as_ref())),
            _ => Cell::default(),
        }
    }

    fn sort_key(&self, row: usize, column: usize) -> SortKey<'_> {
        let Some((_, stack, _)) = self.branch(row) else { return SortKey::Nothing };
        let revision = stack.revision.as_ref();
        let text = |text: Option<&'_ String>| text.is_some();
        match column {
            NAME => SortKey::Path(&stack.name, &stack.grid),
            STATE => {
                let worst = Condition::of_stack(stack, self.below(self.head(row)));
                SortKey::Number(float(worst as i64))
            }
            INSTANCES => {
                let running: i64 = self.below(self.head(row)).map(|service| service.running).sum();
                SortKey::Number(float(running))
            }
            GRID => SortKey::Text(&stack.grid),
            VERSION if text(revision.and_then(|r| r.version.as_ref())) => {
                SortKey::Text(revision.and_then(|r| r.version.as_deref()).unwrap_or_default())
            }
            REVISION => revision.map_or(SortKey::Nothing, |r| SortKey::Number(float(r.revision))),
            DEPLOY => deploy_key(stack.deploy.as_ref()),
            FILE if text(revision.and_then(|r| r.file.as_ref())) => {
                SortKey::Text(revision.and_then(|r| r.file.as_deref()).unwrap_or_default())
            }
            _ => SortKey::Nothing,
        }
    }

    fn haystack(&self, row: usize, text: &mut String) {
        let Some((_, stack, service)) = self.branch(row) else { return };
        let mut add = |part: &str| {
            text.push_str(part);
            text.push('\n');
        };
        add(&stack.name);
        add(&stack.grid);
        let own = |add: &mut dyn FnMut(&str), service: &Service| {
            add(&service.name);
            add(&service.image);
            add(Condition::of(service).name());
        };
        match service {
            Some(service) => own(&mut add, service),
            // A stack is found by what it is made of.
            None => self.below(row).for_each(|service| own(&mut add, service)),
        }
    }

    fn detail(&self, row: usize) -> Vec<Detail> {
        let Some((_, stack, service)) = self.branch(row) else { return Vec::new() };
        let workloads = &self.0.workloads;
        if let Some(service) = service {
            return services::detail(service, workloads.sight(service), self.0);
        }
        let judged = Condition::of_stack(stack, self.below(row));
        detail(stack, judged, self.below(row), workloads.stack_sight(stack), self.0)
    }

    fn json(&self, row: usize) -> Value {
        let Some((_, stack, service)) = self.branch(row) else { return Value::Null };
        match service {
            Some(service) => json!({ "service": service }),
            None => json!({ "stack": stack }),
        }
    }

    fn empty(&self) -> Vec<Cell> {
        let (first, then) = match (&self.0.picture, &self.0.workloads.stacks) {
            (None, _) => ("No master has answered yet.", ""),
            (_, Listed::Unasked) => ("Asking for the stacks.", ""),
            (_, Listed::Unknown) => (
                "This master does not list stacks (GET /v1/cluster/stacks).",
                "It is of an earlier version: connect to another one.",
            ),
            (_, Listed::Known(_)) => ("There are no stacks yet.", "kontena stack install makes one."),
        };
        vec![Cell::plain(first), Cell::new(then, Tone::Dim)]
    }

    fn shell(&self) -> String {
        match self.0.table().row().and_then(|row| self.branch(row)) {
            Some((_, _, Some(service))) => {
                format!("kontena service show --grid {} {}", service.grid, ServicePlace::of(service))
            }
            Some((_, stack, None)) => {
                format!("kontena stack show --grid {} {}", stack.grid, StackPlace::of(stack))
            }
            None => "kontena stack ls".to_owned(),
        }
    }
}

fn detail<'a>(
    stack: &Stack,
    judged: Condition,
    services: impl Iterator<Item = &'a Service>,
    sight: Option<&StackSight>,
    state: &State,
) -> Vec<Detail> {
    let glyphs = Glyphs::new(state.preferences.ascii);
    let zone = &state.preferences.zone;
    let mut lines = vec![
        Detail::Heading(stack.name.clone()),
        Detail::Pair("state", condition(judged, &glyphs)),
        Detail::Pair("grid", Cell::plain(stack.grid.clone())),
    ];
    let mut pair = |label, text: Option<&String>| {
        lines.extend(text.map(|text| Detail::Pair(label, Cell::plain(text.clone()))));
    };
    pair("parent", stack.parent.as_ref());
    let revision = stack.revision.as_ref();
    pair("version", revision.and_then(|revision| revision.version.as_ref()));
    pair("made from", revision.and_then(|revision| revision.file.as_ref()));
    pair("registry", revision.and_then(|revision| revision.registry.as_ref()));
    pair("exposes", revision.and_then(|revision| revision.expose.as_ref()));
    pair("labels", Some(&stack.labels.join(" ")).filter(|text| !text.is_empty()));
    lines.push(Detail::Blank);
    lines.push(Detail::Heading("Services".to_owned()));
    let before = lines.len();
    lines.extend(services.map(|service| {
        let Cell { text, tone } = condition(Condition::of(service), &glyphs);
        Detail::Text(Cell::new(format!("{text} {} {}", service.name, instances(service).text), tone))
    }));
    if lines.len() == before {
        lines.push(Detail::Text(Cell::new("it has none", Tone::Dim)));
    }
    lines.push(Detail::Blank);
    lines.push(Detail::Heading("Last deploy".to_owned()));
    match (&stack.deploy, sight.and_then(|sight| sight.deploys.first())) {
        (None, _) => lines.push(Detail::Text(Cell::new("it was never deployed", Tone::Dim))),
        (Some(deploy), told) => {
            report::one(&mut lines, deploy, state);
            for part in told.iter().filter(|told| told.deploy.id == deploy.id).flat_map(|told| &told.services)
            {
                let name = part.service.as_deref().unwrap_or("a service that is gone");
                let reason = part.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
                let tone = match part.state.as_str() {
                    "error" => Tone::Bad,
                    "success" => Tone::Plain,
                    _ => Tone::Note,
                };
                lines.push(Detail::Text(Cell::new(format!("{name} {}{reason}", part.state), tone)));
            }
        }
    }
    let Some(sight) = sight else { return lines };
    if !sight.revisions.is_empty() {
        lines.push(Detail::Blank);
        lines.push(Detail::Heading("Revisions".to_owned()));
    }
    for revision in &sight.revisions {
        let at = revision.created_at.as_deref().and_then(time::parse).map(|at| zone.full(at));
        let version = revision.version.as_deref().unwrap_or("without a version");
        let text = format!("{version}, {}", at.unwrap_or_else(|| "at an unknown time".to_owned()));
        lines.push(Detail::Item(revision.revision.to_string(), Cell::plain(text)));
    }
    if sight.deploys.len() > 1 {
        lines.push(Detail::Blank);
        lines.push(Detail::Heading("Deploys before".to_owned()));
    }
    lines.extend(sight.deploys.iter().skip(1).map(|one| Detail::Text(deploy(Some(&one.deploy), state))));
    lines
}
