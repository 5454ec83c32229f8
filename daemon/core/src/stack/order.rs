//! The order of a stack's services: each after those that it links to.

use std::collections::HashMap;
use std::fmt;
use std::fmt::Write as _;

/// A service with the names of those of its stack that it links to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linked {
    /// Its name.
    pub name: String,
    /// Names; one that is linked to under two aliases stands there twice.
    pub links: Vec<String>,
}

/// Why services have no order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkFault {
    /// A service links to one that is not in the stack.
    Missing {
        /// Which service.
        service: String,
        /// What it links to.
        link: String,
    },
    /// A service links to itself over others, or to such a one.
    Recursive {
        /// Which service.
        service: String,
        /// What it links to and what these link to, as the original shows it.
        links: String,
    },
}

impl LinkFault {
    /// The service whose links are wrong.
    #[must_use]
    pub fn service(&self) -> &str {
        match self {
            Self::Missing { service, .. } | Self::Recursive { service, .. } => service,
        }
    }
}

impl fmt::Display for LinkFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { service, link } => write!(f, "service {service} has missing links: {link}"),
            Self::Recursive { service, links } => {
                write!(f, "service {service} has recursive links: {links}")
            }
        }
    }
}

/// The positions of the services, each after those that it links to; else those with fewer links first, in their
/// order.
pub fn order(services: &[Linked]) -> Result<Vec<usize>, LinkFault> {
    let positions = positions(services);
    let mut links = Vec::with_capacity(services.len());
    for service in services {
        let mut targets = Vec::with_capacity(service.links.len());
        for link in &service.links {
            let target = positions.get(link.as_str()).copied();
            targets.push(
                target.ok_or_else(|| LinkFault::Missing {
                    service: service.name.clone(),
                    link: link.clone(),
                })?,
            );
        }
        links.push(targets);
    }
    let Sorted { order, circular } = sort(&links);
    match circular.first() {
        None => Ok(order),
        Some(first) => {
            let mut shown = Shown { services, links: &links, before: *first, text: String::new() };
            shown.nested(*first, &mut Vec::new());
            let service = services.get(*first).map(|service| service.name.clone()).unwrap_or_default();
            Err(LinkFault::Recursive { service, links: shown.text })
        }
    }
}

/// The same for services that are there already, whatever they link to: those in a circle come last.
#[must_use]
pub fn order_whatever(services: &[Linked]) -> Vec<usize> {
    let positions = positions(services);
    let known = |link: &String| positions.get(link.as_str()).copied();
    let links: Vec<Vec<usize>> =
        services.iter().map(|service| service.links.iter().filter_map(known).collect()).collect();
    let Sorted { mut order, circular } = sort(&links);
    order.extend(circular);
    order
}

fn positions(services: &[Linked]) -> HashMap<&str, usize> {
    services.iter().enumerate().map(|(at, service)| (service.name.as_str(), at)).collect()
}

struct Sorted {
    order: Vec<usize>,
    /// Those that are in a circle, or lead to one; in their order.
    circular: Vec<usize>,
}

/// A service's rank is the number of its links with those of all that it links to, and how deep they go.
fn sort(links: &[Vec<usize>]) -> Sorted {
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); links.len()];
    let mut open: Vec<usize> = links.iter().map(Vec::len).collect();
    for (user, targets) in links.iter().enumerate() {
        for target in targets {
            if let Some(users) = users.get_mut(*target) {
                users.push(user);
            }
        }
    }
    let mut ranks: Vec<(u64, u64)> = vec![(0, 0); links.len()];
    let mut ready: Vec<usize> = (0..links.len()).filter(|at| open.get(*at) == Some(&0)).collect();
    let mut done = vec![false; links.len()];
    while let Some(at) = ready.pop() {
        if let Some(done) = done.get_mut(at) {
            *done = true;
        }
        let (count, depth) = ranks.get(at).copied().unwrap_or_default();
        for user in users.get(at).into_iter().flatten() {
            if let (Some(rank), Some(open)) = (ranks.get_mut(*user), open.get_mut(*user)) {
                // The depth keeps the order where there are too many links to be counted.
                *rank = (rank.0.saturating_add(1).saturating_add(count), rank.1.max(depth + 1));
                *open -= 1;
                if *open == 0 {
                    ready.push(*user);
                }
            }
        }
    }
    let is_done = |at: &usize| done.get(*at).copied().unwrap_or_default();
    let mut order: Vec<usize> = (0..links.len()).filter(is_done).collect();
    order.sort_by_key(|at| ranks.get(*at).copied());
    Sorted { order, circular: (0..links.len()).filter(|at| !is_done(at)).collect() }
}

/// No message is longer, whatever the links.
const SHOWN_MAX: usize = 1_000;

/// Links within links, where a circle closes as `[...]`.
struct Shown<'a> {
    services: &'a [Linked],
    links: &'a [Vec<usize>],
    /// Those before this one are shown flat.
    before: usize,
    text: String,
}

impl Shown<'_> {
    fn nested(&mut self, at: usize, inside: &mut Vec<usize>) {
        if self.text.len() > SHOWN_MAX {
            return;
        }
        if inside.contains(&at) {
            self.text.push_str("[...]");
            return;
        }
        inside.push(at);
        self.text.push('[');
        if at < self.before {
            self.flat(at, &mut true);
        } else {
            let mut first = true;
            self.names(at, &mut first);
            for target in self.links.get(at).into_iter().flatten() {
                self.separate(&mut first);
                self.nested(*target, inside);
            }
        }
        self.text.push(']');
        inside.pop();
    }

    fn flat(&mut self, at: usize, first: &mut bool) {
        if self.text.len() > SHOWN_MAX {
            return;
        }
        self.names(at, first);
        for target in self.links.get(at).into_iter().flatten() {
            self.flat(*target, first);
        }
    }

    fn names(&mut self, at: usize, first: &mut bool) {
        for target in self.links.get(at).into_iter().flatten() {
            if self.text.len() > SHOWN_MAX {
                return;
            }
            self.separate(first);
            let name = self.services.get(*target).map_or("", |service| service.name.as_str());
            // Writing to a text does not fail.
            let _written = write!(self.text, "{name:?}");
        }
    }

    fn separate(&mut self, first: &mut bool) {
        if !std::mem::take(first) {
            self.text.push_str(", ");
        }
    }
}
