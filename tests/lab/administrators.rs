//! Those who use the masters over HTTP: they give orders, and write secrets and remember what was acknowledged.

mod clients;
mod orders;
mod secrets;

use std::fmt;

use crate::login::CODE;

pub(crate) use clients::Clients;
pub(crate) use orders::{Orders, Wanted};
pub(crate) use secrets::{Pace, Secrets};

/// Grids that there are, and agents of each from the beginning.
pub(crate) const GRIDS: usize = 2;
/// Any key of a vault.
const VAULT: [(&str, &str); 2] = [
    ("VAULT_KEY", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
    ("VAULT_IV", "abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789"),
];

/// What masters must find in their environment for them: the first code, and a vault for the secrets.
pub(crate) fn environment() -> Vec<(&'static str, String)> {
    let code = ("INITIAL_ADMIN_CODE", CODE.to_owned());
    [code].into_iter().chain(VAULT.map(|(name, value)| (name, value.to_owned()))).collect()
}

/// A service, a stack or a node, in the grid of this place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Item {
    pub(crate) grid: usize,
    pub(crate) name: String,
}

/// What an administrator wants of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) item: Item,
    pub(crate) wish: Wish,
}

/// A change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// A new service, deployed.
    Make { strategy: &'static str, instances: u32 },
    /// Another number of instances.
    Scale { instances: u32 },
    /// Another image, deployed.
    Update { version: u32 },
    /// It runs no more, and keeps what it has.
    Stop,
    /// It runs again.
    Start,
    /// The service is no more.
    Remove,
    /// A new stack, deployed.
    Install { version: u32 },
    /// Another version of it, deployed.
    Upgrade { version: u32 },
    /// The stack is no more.
    RemoveStack,
    /// A node is to be left by all services.
    Drain,
    /// It is used again.
    Activate,
}

/// What a stack of this version consists of: names, instances, and what each links to.
pub(crate) fn services_of(version: u32) -> Vec<(&'static str, u32, Vec<&'static str>)> {
    let mut services = vec![("api", 1 + version % 2, vec!["db"]), ("db", 1, Vec::new())];
    // Each upgrade brings a service or takes one away.
    if version % 2 == 1 {
        services.push(("web", 2, vec!["api"]));
    } else {
        services.push(("worker", 1 + version % 3, vec!["db"]));
    }
    services
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "grid-{}/{}", self.grid + 1, self.name)
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { item, wish } = self;
        match wish {
            Wish::Make { strategy, instances } => {
                write!(f, "{item} is made ({strategy}, {instances} instances)")
            }
            Wish::Scale { instances } => write!(f, "{item} is scaled to {instances}"),
            Wish::Update { version } => write!(f, "{item} is updated to version {version}"),
            Wish::Stop => write!(f, "{item} is stopped"),
            Wish::Start => write!(f, "{item} is started"),
            Wish::Remove => write!(f, "{item} is removed"),
            Wish::Install { version } => write!(f, "the stack {item} is installed (version {version})"),
            Wish::Upgrade { version } => write!(f, "the stack {item} is upgraded to version {version}"),
            Wish::RemoveStack => write!(f, "the stack {item} is removed"),
            Wish::Drain => write!(f, "{item} is drained"),
            Wish::Activate => write!(f, "{item} is used again"),
        }
    }
}
