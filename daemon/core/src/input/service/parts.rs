//! The lists and objects among a service's fields.

use crate::form::{Form, boolean, fields, float, integer, list, text};

/// A secret that instances get as a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretUse {
    /// Its name in the vault.
    pub secret: String,
    /// The variable.
    pub name: String,
}

impl SecretUse {
    pub(super) fn read(form: &mut Form<'_>) -> Option<Self> {
        let (secret, name) = (form.required("secret", &text()), form.required("name", &text()));
        Some(Self { secret: secret?, name: name? })
    }
}

/// A certificate that instances get as a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateUse {
    /// Its first domain.
    pub subject: String,
    /// The variable.
    pub name: String,
}

impl CertificateUse {
    pub(super) fn read(form: &mut Form<'_>) -> Option<Self> {
        let (subject, name) = (form.required("subject", &text()), form.required("name", &text()));
        Some(Self { subject: subject?, name: name? })
    }
}

/// A port that nodes offer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "by their documented names")]
pub struct PortInput {
    pub ip: String,
    pub protocol: String,
    pub node_port: i64,
    pub container_port: i64,
}

impl PortInput {
    pub(super) fn read(form: &mut Form<'_>) -> Option<Self> {
        let ip = form.optional("ip", &text()).unwrap_or_else(|| "0.0.0.0".to_owned());
        let protocol = form.optional("protocol", &text()).unwrap_or_else(|| "tcp".to_owned());
        let node_port = form.required("node_port", &integer());
        let container_port = form.required("container_port", &integer());
        Some(Self { ip, protocol, node_port: node_port?, container_port: container_port? })
    }
}

/// A link to another service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkInput {
    /// `service` of the same stack, or `stack/service`.
    pub name: String,
    /// What it is called here.
    pub alias: String,
}

impl LinkInput {
    pub(super) fn read(form: &mut Form<'_>) -> Option<Self> {
        let (name, alias) = (form.required("name", &text()), form.required("alias", &text()));
        Some(Self { name: name?, alias: alias? })
    }

    /// Its stack and name, seen from a service of `own`.
    #[must_use]
    pub fn target<'a>(&'a self, own: &'a str) -> (&'a str, &'a str) {
        self.name.split_once('/').unwrap_or((own, &self.name))
    }
}

/// `None`: not given. `Some(None)`: null, which is kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeployOptions {
    /// An instance counts as running once it answers there.
    pub wait_for_port: Option<Option<i64>>,
    /// The part of the instances that must stay up while others are replaced.
    pub min_health: Option<Option<f64>>,
    /// Seconds after which the service is deployed anew.
    pub interval: Option<Option<i64>>,
}

impl DeployOptions {
    #[expect(clippy::unnecessary_wraps, reason = "as all parts are read")]
    pub(super) fn read(form: &mut Form<'_>) -> Option<Self> {
        Some(Self {
            wait_for_port: form.nullable("wait_for_port", &integer()),
            min_health: form.nullable("min_health", &float()),
            interval: form.nullable("interval", &integer()),
        })
    }
}

/// A command to be run around the life of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "by their documented names")]
pub struct HookInput {
    pub kind: &'static str,
    pub name: String,
    pub cmd: String,
    pub instances: Vec<String>,
    pub oneshot: bool,
}

/// The occasions.
const HOOKS: [&str; 3] = ["pre_start", "post_start", "pre_stop"];

impl HookInput {
    #[expect(clippy::unnecessary_wraps, reason = "as all parts are read")]
    pub(super) fn read_all(form: &mut Form<'_>) -> Option<Vec<Self>> {
        let mut all = Vec::new();
        for kind in HOOKS {
            let read = move |form: &mut Form<'_>| Self::read(kind, form);
            all.extend(form.optional(kind, &list(fields(read))).unwrap_or_default());
        }
        Some(all)
    }

    fn read(kind: &'static str, form: &mut Form<'_>) -> Option<Self> {
        let (name, cmd) = (form.required("name", &text()), form.required("cmd", &text()));
        let instances = form.required("instances", &text());
        let oneshot = form.optional("oneshot", &boolean()).unwrap_or_default();
        let instances = instances?.split(',').map(|instance| instance.trim().to_owned()).collect();
        Some(Self { kind, name: name?, cmd: cmd?, instances, oneshot })
    }
}

/// How agents check instances.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "by their documented names")]
pub struct HealthCheckInput {
    pub port: Option<i64>,
    pub protocol: Option<String>,
    pub uri: String,
    pub timeout: i64,
    pub interval: i64,
    pub initial_delay: i64,
}

impl HealthCheckInput {
    pub(super) fn read(form: &mut Form<'_>) -> Option<Self> {
        let port = form.present("port", &integer().within(1, 65_535));
        let protocol = form.present("protocol", &text().one_of(&["http", "tcp"]));
        let uri = form.optional("uri", &text()).unwrap_or_else(|| "/".to_owned());
        let timeout = form.optional("timeout", &integer()).unwrap_or(10);
        let interval = form.optional("interval", &integer()).unwrap_or(60);
        let initial_delay = form.optional("initial_delay", &integer()).unwrap_or(10);
        Some(Self { port: port?, protocol: protocol?, uri, timeout, interval, initial_delay })
    }
}

/// Something mounted: a named volume, a directory of the node, or nobody's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountInput {
    /// A directory if it begins with a slash, else the name of a volume; `None` for an anonymous one.
    pub source: Option<String>,
    /// Where in the container.
    pub path: String,
    /// Comma list; `None` for an anonymous one.
    pub flags: Option<String>,
}

impl MountInput {
    /// Reads `/path`, `/host:/path[:flags]` or `volume:/path[:flags]`. Flags that more colons part are as those that
    /// commas do.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        let (first, path, flags) = (parts.next()?, parts.next(), parts.next());
        let is_path = |text: &str| text.starts_with('/');
        match path {
            None if is_path(first) => Some(Self { source: None, path: first.to_owned(), flags: None }),
            Some(path) if is_path(path) && (is_path(first) || super::is_strict_name(first)) => Some(Self {
                source: Some(first.to_owned()),
                path: path.to_owned(),
                flags: Some(flags.unwrap_or_default().replace(':', ",")),
            }),
            None | Some(_) => None,
        }
    }
}
