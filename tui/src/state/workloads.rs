//! What runs in the grids, as the masters told it last, and what that means for an eye that looks for trouble.

use kontena_wire::services::{Deploy, Instance, Service, ServiceList, ServiceSight};
use kontena_wire::stacks::{Stack, StackList, StackSight};

use crate::place::{NO_STACK, ServicePlace, StackPlace};
use crate::theme::Tone;

/// How many services and stacks are taken from a master's list.
const ROWS_MAX: usize = 20_000;

/// A list that is asked for only while somebody looks at it.
#[derive(Clone, Debug, Default)]
pub(crate) enum Listed<T> {
    /// Nobody looked at it yet.
    #[default]
    Unasked,
    /// The asked master does not list these.
    Unknown,
    Known(Vec<T>),
}

impl<T> Listed<T> {
    /// What a master told, but not more than `most`. None: it does not list these.
    pub(crate) fn told(rows: Option<Vec<T>>, most: usize) -> Self {
        rows.map_or(Self::Unknown, |mut rows| {
            rows.truncate(most);
            Self::Known(rows)
        })
    }

    pub(crate) fn rows(&self) -> &[T] {
        match self {
            Self::Known(rows) => rows,
            Self::Unasked | Self::Unknown => &[],
        }
    }

    pub(crate) fn is_known(&self) -> bool {
        matches!(self, Self::Known(_))
    }
}

/// A row of the stacks: a stack, or below it one of its services; by their places in the lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Branch {
    pub(crate) stack: usize,
    pub(crate) service: Option<usize>,
    /// The last of its stack.
    pub(crate) last: bool,
}

/// What is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Workloads {
    pub(crate) services: Listed<Service>,
    pub(crate) stacks: Listed<Stack>,
    /// There are more than are listed.
    pub(crate) truncated: bool,
    /// Stacks with their services below.
    pub(crate) tree: Vec<Branch>,
    /// The details that came last, and whose they are.
    pub(crate) service: Option<(ServicePlace, ServiceSight)>,
    pub(crate) stack: Option<(StackPlace, StackSight)>,
    pub(crate) node: Option<(String, Vec<Instance>)>,
}

impl Workloads {
    pub(crate) fn take_services(&mut self, list: Option<ServiceList>) {
        self.truncated = list.as_ref().is_some_and(|list| list.truncated);
        self.services = Listed::told(list.map(|list| list.services), ROWS_MAX);
        self.grow();
    }

    pub(crate) fn take_stacks(&mut self, list: Option<StackList>) {
        self.stacks = Listed::told(list.map(|list| list.stacks), ROWS_MAX);
        self.grow();
    }

    /// The details of a service, if they have come.
    pub(crate) fn sight(&self, of: &Service) -> Option<&ServiceSight> {
        let (place, sight) = self.service.as_ref()?;
        (place.name == of.name && place.stack == of.stack && place.grid == of.grid).then_some(sight)
    }

    /// The details of a stack, if they have come.
    pub(crate) fn stack_sight(&self, of: &Stack) -> Option<&StackSight> {
        let (place, sight) = self.stack.as_ref()?;
        (place.name == of.name && place.grid == of.grid).then_some(sight)
    }

    /// Puts the services below their stacks.
    fn grow(&mut self) {
        let (stacks, services) = (self.stacks.rows(), self.services.rows());
        let mut by_stack: Vec<usize> = (0..stacks.len()).collect();
        by_stack.sort_by_key(|place| stacks.get(*place).map(|stack| (&stack.grid, &stack.name)));
        let mut within: Vec<usize> = (0..services.len()).collect();
        within.retain(|place| services.get(*place).is_some_and(|service| service.stack != NO_STACK));
        let key = |place: &usize| {
            services.get(*place).map(|service| (&service.grid, &service.stack, &service.name))
        };
        within.sort_by_key(key);
        self.tree.clear();
        for place in by_stack {
            let Some(stack) = stacks.get(place) else { continue };
            self.tree.push(Branch { stack: place, service: None, last: false });
            let of = |found: &usize| services.get(*found).map(|found| (&found.grid, &found.stack));
            let begin = within.partition_point(|found| of(found) < Some((&stack.grid, &stack.name)));
            let below =
                within.iter().skip(begin).take_while(|found| of(found) == Some((&stack.grid, &stack.name)));
            self.tree.extend(below.map(|found| Branch { stack: place, service: Some(*found), last: false }));
            if let Some(branch) = self.tree.last_mut() {
                branch.last = branch.service.is_some();
            }
        }
    }
}

/// How a service or a stack does: the worst first, so that sorting brings trouble to the top.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Condition {
    DeployFailed,
    Failing,
    Short,
    Deploying,
    Waiting,
    Running,
    New,
    Stopped,
}

impl Condition {
    pub(crate) fn of(service: &Service) -> Self {
        let deploy = service.deploy.as_ref().map(|deploy| deploy.state.as_str());
        match (service.state.as_str(), deploy) {
            ("stopped", _) => Self::Stopped,
            (_, Some("ongoing")) => Self::Deploying,
            (_, Some("created")) => Self::Waiting,
            (_, Some("error")) => Self::DeployFailed,
            ("initialized", _) => Self::New,
            _ if service.failing > 0 => Self::Failing,
            _ if service.running < target(service) => Self::Short,
            _ => Self::Running,
        }
    }

    /// Of a stack: what the worst of its services has, or its own deploy.
    pub(crate) fn of_stack<'a>(stack: &Stack, services: impl Iterator<Item = &'a Service>) -> Self {
        let own = match stack.deploy.as_ref().map(|deploy: &Deploy| deploy.state.as_str()) {
            Some("error") => Some(Self::DeployFailed),
            Some("ongoing") => Some(Self::Deploying),
            Some("created") => Some(Self::Waiting),
            _ => None,
        };
        services.map(Self::of).chain(own).min().unwrap_or(Self::New)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::DeployFailed => "failed",
            Self::Failing => "failing",
            Self::Short => "short",
            Self::Deploying => "deploying",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::New => "new",
            Self::Stopped => "stopped",
        }
    }

    pub(crate) fn means(self) -> &'static str {
        match self {
            Self::DeployFailed => "its last deploy failed",
            Self::Failing => "instances report errors",
            Self::Short => "fewer instances run than are wanted",
            Self::Deploying => "a deploy is under way",
            Self::Waiting => "a deploy waits for its turn",
            Self::Running => "it runs as it should",
            Self::New => "it was never deployed",
            Self::Stopped => "somebody stopped it",
        }
    }

    pub(crate) fn tone(self) -> Tone {
        match self {
            Self::DeployFailed => Tone::Bad,
            Self::Failing | Self::Short => Tone::Warn,
            Self::Deploying | Self::Waiting => Tone::Note,
            Self::Running => Tone::Good,
            Self::New | Self::Stopped => Tone::Dim,
        }
    }
}

/// How many instances should run.
pub(crate) fn target(service: &Service) -> i64 {
    if service.strategy == "daemon" { service.instances } else { service.wanted }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{services, stacks};

    #[test]
    fn services_stand_below_their_stacks_and_those_without_one_nowhere() {
        let mut workloads = Workloads::default();
        workloads.take_stacks(Some(stacks()));
        workloads.take_services(Some(services(12)));
        let names: Vec<String> = workloads
            .tree
            .iter()
            .map(|branch| match branch.service {
                Some(service) => format!("- {}", workloads.services.rows()[service].name),
                None => workloads.stacks.rows()[branch.stack].name.clone(),
            })
            .collect();
        assert_eq!(names[0], "blog");
        assert!(names.iter().filter(|name| !name.starts_with('-')).count() == stacks().stacks.len());
        for branch in &workloads.tree {
            let stack = &workloads.stacks.rows()[branch.stack];
            let service = branch.service.map(|service| &workloads.services.rows()[service]);
            assert!(service.is_none_or(|found| (&found.grid, &found.stack) == (&stack.grid, &stack.name)));
        }
    }

    #[test]
    fn the_worst_is_told() {
        let mut service = services(1).services.remove(0);
        let mut is = |change: &dyn Fn(&mut Service)| {
            change(&mut service);
            Condition::of(&service).name()
        };
        let state = |state: &str| {
            let state = state.to_owned();
            move |service: &mut Service| service.deploy.as_mut().unwrap().state.clone_from(&state)
        };
        assert_eq!(is(&|service| (service.running, service.failing) = (service.wanted, 0)), "running");
        assert_eq!(is(&|service| service.running -= 1), "short");
        assert_eq!(is(&|service| service.failing = 1), "failing");
        assert_eq!(is(&state("error")), "failed");
        assert_eq!(is(&state("ongoing")), "deploying");
        assert_eq!(is(&|service| "stopped".clone_into(&mut service.state)), "stopped");
    }
}
