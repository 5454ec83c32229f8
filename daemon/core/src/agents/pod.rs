//! What a node is told of an instance of a service: the service's definition as its engine needs it, with the
//! names, labels and environment that follow from where it runs.

use super::secrets::SecretUse;
use crate::id::Id;

/// A service's definition.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields of the service's document, by their documented names")]
pub struct Service {
    pub id: Id,
    pub grid: Id,
    pub stack: Id,
    pub name: String,
    pub image_name: String,
    pub revision: i64,
    pub updated_at: i64,
    pub stateful: bool,
    pub user: Option<String>,
    pub cmd: Option<Vec<String>>,
    pub entrypoint: Option<String>,
    pub memory: Option<i64>,
    pub memory_swap: Option<i64>,
    pub shm_size: Option<i64>,
    pub cpu_shares: Option<i64>,
    pub cpus: Option<f64>,
    pub privileged: Option<bool>,
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    pub devices: Vec<String>,
    pub ports: Vec<Port>,
    pub volumes: Vec<VolumeUse>,
    pub volumes_from: Vec<String>,
    pub net: String,
    pub log_driver: Option<String>,
    pub log_opts: Vec<(String, String)>,
    pub pid: Option<String>,
    pub wait_for_port: Option<i64>,
    pub stop_signal: Option<String>,
    pub stop_grace_period: i64,
    pub env: Vec<String>,
    pub links: Vec<Id>,
    pub hooks: Vec<Hook>,
    pub networks: Vec<Id>,
    pub read_only: bool,
    pub health_check: Option<HealthCheck>,
    /// By their names in the vault.
    pub secrets: Vec<SecretUse>,
    /// By their subjects.
    pub certificates: Vec<SecretUse>,
}

/// A port that the node offers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "by their documented names")]
pub struct Port {
    pub ip: String,
    pub protocol: String,
    pub node_port: i64,
    pub container_port: i64,
}

/// Where a service mounts something.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "by their documented names")]
pub struct VolumeUse {
    pub bind_mount: Option<String>,
    pub path: Option<String>,
    pub flags: Option<String>,
    /// Of a named volume.
    pub volume: Option<Id>,
}

/// A command to be run around the life of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "by their documented names")]
pub struct Hook {
    pub id: Id,
    pub kind: String,
    pub cmd: String,
    pub oneshot: bool,
    pub instances: Vec<String>,
    pub done: Vec<String>,
}

/// How the agent checks an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "by their documented names")]
pub struct HealthCheck {
    pub protocol: String,
    pub uri: String,
    pub interval: i64,
    pub timeout: i64,
    pub initial_delay: i64,
    pub port: Option<i64>,
}

/// How the volumes of a service are shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Each instance has its own.
    Instance,
    /// The services of a stack share it.
    Stack,
    /// All services of the grid share it.
    Grid,
}

/// Where an instance runs.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The grid's name.
    pub grid: &'a str,
    /// The stack's name; `null` for none.
    pub stack: &'a str,
    /// The node's name.
    pub node: &'a str,
    /// The number of the instance.
    pub number: i64,
    /// The load balancer that the service is linked to, with the name of its stack.
    pub load_balancer: Option<(&'a Service, &'a str)>,
}

/// The name of the stack that is none.
const NO_STACK: &str = "null";

impl Service {
    /// Its name in the engine, without the number.
    #[must_use]
    pub fn engine_name(&self, stack: &str) -> String {
        if stack == NO_STACK { self.name.clone() } else { format!("{stack}.{}", self.name) }
    }

    /// Whether it is a load balancer that others are entered into.
    #[must_use]
    pub fn is_load_balancer(&self) -> bool {
        self.image_name.contains("kontena/lb")
            || self.env.iter().any(|entry| entry == "KONTENA_SERVICE_ROLE=lb")
    }

    fn variable(&self, name: &str) -> Option<&str> {
        self.env.iter().find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='))
    }

    /// The registry that its image comes from.
    #[must_use]
    pub fn registry(&self) -> &str {
        match self.image_name.split_once('/') {
            Some((host, _)) if host.contains(['.', ':']) => host,
            _ => "index.docker.io",
        }
    }

    /// The hooks that an instance has yet to run.
    pub fn hooks_of(&self, number: i64) -> impl Iterator<Item = &Hook> {
        let number = number.to_string();
        self.hooks.iter().filter(move |hook| {
            let wanted = hook.instances.iter().any(|instance| instance == "*" || *instance == number);
            wanted && !(hook.oneshot && hook.done.contains(&number))
        })
    }

    /// The domain of its instances.
    #[must_use]
    pub fn domain(stack: &str, grid: &str) -> String {
        if stack == NO_STACK {
            format!("{grid}.kontena.local")
        } else {
            format!("{stack}.{grid}.kontena.local")
        }
    }

    /// The environment of an instance: its own, then where it is.
    #[must_use]
    pub fn environment(&self, place: &Place<'_>) -> Vec<String> {
        let Place { grid, stack, node, number, load_balancer: _ } = place;
        let mut env = self.env.clone();
        env.extend([
            format!("KONTENA_SERVICE_ID={}", self.id),
            format!("KONTENA_SERVICE_NAME={}", self.name),
            format!("KONTENA_GRID_NAME={grid}"),
            format!("KONTENA_PLATFORM_NAME={grid}"),
            format!("KONTENA_STACK_NAME={stack}"),
            format!("KONTENA_NODE_NAME={node}"),
            format!("KONTENA_SERVICE_INSTANCE_NUMBER={number}"),
        ]);
        env
    }

    /// The labels of an instance.
    #[must_use]
    pub fn labels(&self, place: &Place<'_>) -> Vec<(String, String)> {
        let Place { grid, stack, node: _, number: _, load_balancer } = place;
        let mut labels = vec![
            ("io.kontena.service.id".to_owned(), self.id.to_string()),
            ("io.kontena.service.name".to_owned(), self.name.clone()),
            ("io.kontena.stack.name".to_owned(), (*stack).to_owned()),
            ("io.kontena.grid.name".to_owned(), (*grid).to_owned()),
            ("io.kontena.platform.name".to_owned(), (*grid).to_owned()),
        ];
        if let Some((balancer, stack)) = load_balancer {
            let name =
                if *stack == NO_STACK { balancer.name.clone() } else { format!("{stack}/{}", balancer.name) };
            let port = self.variable("KONTENA_LB_INTERNAL_PORT").unwrap_or("80");
            let mode = self.variable("KONTENA_LB_MODE").unwrap_or("http");
            labels.extend([
                ("io.kontena.load_balancer.name".to_owned(), name),
                ("io.kontena.load_balancer.internal_port".to_owned(), port.to_owned()),
                ("io.kontena.load_balancer.mode".to_owned(), mode.to_owned()),
            ]);
        }
        if let Some(check) = &self.health_check {
            let HealthCheck { protocol, uri, interval, timeout, initial_delay, port } = check;
            let mut add =
                |key: &str, value: String| labels.push((format!("io.kontena.health_check.{key}"), value));
            add("protocol", protocol.clone());
            if protocol == "http" {
                add("uri", uri.clone());
            }
            add("interval", interval.to_string());
            add("timeout", timeout.to_string());
            add("initial_delay", initial_delay.to_string());
            if let Some(port) = port {
                add("port", port.to_string());
            }
        }
        labels
    }

    /// The name of a volume in the engine.
    #[must_use]
    pub fn volume_name(&self, volume: &str, scope: Scope, stack: &str, number: i64) -> String {
        match scope {
            Scope::Instance => format!("{}.{volume}-{number}", self.engine_name(stack)),
            Scope::Stack => format!("{stack}.{volume}"),
            Scope::Grid => volume.to_owned(),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::agents) fn service(name: &str, env: &[&str]) -> Service {
        let id = Id::from_bytes([1; 12]);
        Service {
            id,
            grid: id,
            stack: id,
            name: name.to_owned(),
            image_name: "registry.example.com:5000/shop/web:1".to_owned(),
            revision: 1,
            updated_at: 0,
            stateful: false,
            user: None,
            cmd: None,
            entrypoint: None,
            memory: None,
            memory_swap: None,
            shm_size: None,
            cpu_shares: None,
            cpus: None,
            privileged: None,
            cap_add: Vec::new(),
            cap_drop: Vec::new(),
            devices: Vec::new(),
            ports: Vec::new(),
            volumes: Vec::new(),
            volumes_from: Vec::new(),
            net: "bridge".to_owned(),
            log_driver: None,
            log_opts: Vec::new(),
            pid: None,
            wait_for_port: None,
            stop_signal: None,
            stop_grace_period: 10,
            env: env.iter().map(|entry| (*entry).to_owned()).collect(),
            links: Vec::new(),
            hooks: Vec::new(),
            networks: Vec::new(),
            read_only: false,
            health_check: None,
            secrets: Vec::new(),
            certificates: Vec::new(),
        }
    }

    #[test]
    fn names_follow_from_the_stack() {
        let web = service("web", &[]);
        assert_eq!(
            (web.engine_name("null"), web.engine_name("shop")),
            ("web".to_owned(), "shop.web".to_owned())
        );
        assert_eq!(Service::domain("null", "main"), "main.kontena.local");
        assert_eq!(Service::domain("shop", "main"), "shop.main.kontena.local");
        assert_eq!(web.volume_name("data", Scope::Instance, "shop", 2), "shop.web.data-2");
        assert_eq!(web.volume_name("data", Scope::Stack, "shop", 2), "shop.data");
        assert_eq!(web.volume_name("data", Scope::Grid, "shop", 2), "data");
        assert_eq!(web.registry(), "registry.example.com:5000");
    }

    #[test]
    fn a_link_to_a_load_balancer_leaves_labels() {
        let balancer = service("lb", &["KONTENA_SERVICE_ROLE=lb"]);
        assert!(balancer.is_load_balancer());
        let web = service("web", &["KONTENA_LB_MODE=tcp"]);
        let place = Place {
            grid: "main",
            stack: "shop",
            node: "core-1",
            number: 1,
            load_balancer: Some((&balancer, "null")),
        };
        let labels = web.labels(&place);
        let label =
            |name: &str| labels.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
        assert_eq!(label("io.kontena.load_balancer.name"), Some("lb"));
        assert_eq!(label("io.kontena.load_balancer.internal_port"), Some("80"));
        assert_eq!(label("io.kontena.load_balancer.mode"), Some("tcp"));
    }

    #[test]
    fn a_hook_runs_for_its_instances_and_only_once_if_so_wanted() {
        let mut web = service("web", &[]);
        let hook = |oneshot, instances: &[&str], done: &[&str]| Hook {
            id: web.id,
            kind: "pre_start".to_owned(),
            cmd: "true".to_owned(),
            oneshot,
            instances: instances.iter().map(|number| (*number).to_owned()).collect(),
            done: done.iter().map(|number| (*number).to_owned()).collect(),
        };
        web.hooks = vec![hook(true, &["*"], &["1"]), hook(false, &["*"], &["1"]), hook(false, &["2"], &[])];
        assert_eq!((web.hooks_of(1).count(), web.hooks_of(2).count(), web.hooks_of(3).count()), (1, 3, 2));
    }
}
