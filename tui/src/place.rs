//! What the user looks at and acts on: services and stacks by their names, as routes and commands have them.

use std::fmt;

use kontena_wire::services::Service;
use kontena_wire::stacks::Stack;
use serde::{Deserialize, Serialize};

/// The stack of services without one.
pub(crate) const NO_STACK: &str = "null";

/// Where a service is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ServicePlace {
    pub(crate) grid: String,
    pub(crate) stack: String,
    pub(crate) name: String,
}

/// Where a stack is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StackPlace {
    pub(crate) grid: String,
    pub(crate) name: String,
}

/// Whose details are looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Subject {
    /// A node, by its id.
    Node(String),
    Service(ServicePlace),
    Stack(StackPlace),
}

/// Whose log can be followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum LogOf {
    Service(ServicePlace),
    Stack(StackPlace),
}

/// All that is looked at, so that nothing else is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent lists")]
pub(crate) struct Look {
    pub(crate) agents: bool,
    pub(crate) services: bool,
    pub(crate) stacks: bool,
    pub(crate) grid_events: bool,
    pub(crate) of: Option<Subject>,
    /// Whose log is followed.
    pub(crate) log: Option<LogOf>,
}

impl ServicePlace {
    pub(crate) fn of(service: &Service) -> Self {
        Self { grid: service.grid.clone(), stack: service.stack.clone(), name: service.name.clone() }
    }

    /// The route that tells about it, and below which it is acted on.
    pub(crate) fn route(&self) -> String {
        let Self { grid, stack, name } = self;
        format!("/v1/cluster/services/{}/{}/{}", segment(grid), segment(stack), segment(name))
    }
}

impl StackPlace {
    pub(crate) fn of(stack: &Stack) -> Self {
        Self { grid: stack.grid.clone(), name: stack.name.clone() }
    }

    /// The route that tells about it, and below which it is acted on.
    pub(crate) fn route(&self) -> String {
        format!("/v1/cluster/stacks/{}/{}", segment(&self.grid), segment(&self.name))
    }
}

impl LogOf {
    pub(crate) fn grid(&self) -> &str {
        match self {
            Self::Service(place) => &place.grid,
            Self::Stack(place) => &place.grid,
        }
    }

    /// The route of the log.
    pub(crate) fn route(&self) -> String {
        let route = match self {
            Self::Service(place) => place.route(),
            Self::Stack(place) => place.route(),
        };
        format!("{route}/container_logs")
    }
}

impl fmt::Display for LogOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(place) => place.fmt(f),
            Self::Stack(place) => place.fmt(f),
        }
    }
}

/// As the original's command line names it within its grid.
impl fmt::Display for ServicePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.stack.as_str() {
            NO_STACK => f.write_str(&self.name),
            stack => write!(f, "{stack}/{}", self.name),
        }
    }
}

impl fmt::Display for StackPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A name as a part of a path. Those of the original need no change; what else a database may hold must not lead to
/// another route.
fn segment(name: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    name.bytes()
        .map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_one_part_of_its_route() {
        let place = |stack: &str, name: &str| ServicePlace {
            grid: "main".to_owned(),
            stack: stack.to_owned(),
            name: name.to_owned(),
        };
        assert_eq!(place("null", "web").route(), "/v1/cluster/services/main/null/web");
        assert_eq!(place("a/..", "ä?").route(), "/v1/cluster/services/main/a%2F../%C3%A4%3F");
        assert_eq!(
            (place("null", "web").to_string(), place("shop", "web").to_string()),
            ("web".into(), "shop/web".into())
        );
    }
}
