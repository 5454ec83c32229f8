//! The fields that services are made of and changed by.

use serde_json::Value;

use super::parts::{
    CertificateUse, DeployOptions, HealthCheckInput, HookInput, LinkInput, MountInput, PortInput, SecretUse,
};
use crate::form::{Form, Invalid, boolean, fields, float, integer, list, text, text_map};
use crate::scheduler::INSTANCES_MAX;

/// The longest entry of an environment that engines take.
pub const ENV_MAX: usize = 131_072;

/// `None`: not given.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the fields of the service's document, by their documented names")]
pub struct ServiceFields {
    pub image: Option<String>,
    pub instances: Option<i64>,
    pub strategy: Option<String>,
    pub user: Option<String>,
    pub entrypoint: Option<String>,
    pub cmd: Option<Vec<String>>,
    pub env: Option<Vec<String>>,
    pub secrets: Option<Vec<SecretUse>>,
    pub certificates: Option<Vec<CertificateUse>>,
    pub ports: Option<Vec<PortInput>>,
    pub links: Option<Vec<LinkInput>>,
    pub affinity: Option<Vec<String>>,
    pub volumes: Option<Vec<String>>,
    pub volumes_from: Option<Vec<String>>,
    pub cap_add: Option<Vec<String>>,
    pub cap_drop: Option<Vec<String>>,
    pub devices: Option<Vec<String>>,
    pub cpus: Option<f64>,
    pub cpu_shares: Option<i64>,
    pub memory: Option<i64>,
    pub memory_swap: Option<i64>,
    pub shm_size: Option<i64>,
    pub privileged: Option<bool>,
    pub read_only: Option<bool>,
    pub net: Option<String>,
    pub pid: Option<String>,
    pub log_driver: Option<String>,
    pub log_opts: Option<Vec<(String, String)>>,
    pub deploy_opts: Option<DeployOptions>,
    pub hooks: Option<Vec<HookInput>>,
    pub health_check: Option<HealthCheckInput>,
    pub stop_signal: Option<String>,
    pub stop_grace_period: Option<i64>,
}

impl ServiceFields {
    /// Reads them. Some are given once and for all when a service is `new`.
    pub(super) fn read(form: &mut Form<'_>, image: Option<String>, new: bool) -> Self {
        let count = integer().within(0, INSTANCES_MAX.into());
        let entry = text().max(ENV_MAX).matching(|entry| entry.find('=').is_some_and(|at| at > 0));
        let texts = list(text());
        // Faults are told in this order, which is the original's.
        let strategy = form.optional("strategy", &text());
        let instances = form.optional("instances", &count);
        let counted = form.optional("container_count", &count);
        Self {
            image,
            instances: instances.or(counted),
            strategy,
            user: form.optional("user", &text()),
            cmd: form.optional("cmd", &texts),
            entrypoint: if new { form.optional("entrypoint", &text()) } else { None },
            env: form.optional("env", &list(entry)),
            secrets: form.optional("secrets", &list(fields(SecretUse::read))),
            certificates: form.optional("certificates", &list(fields(CertificateUse::read))),
            ports: form.optional("ports", &list(fields(PortInput::read))),
            links: form.optional("links", &list(fields(LinkInput::read))),
            affinity: form.optional("affinity", &texts),
            deploy_opts: form.optional("deploy_opts", &fields(DeployOptions::read)),
            volumes: form.optional("volumes", &texts),
            volumes_from: form.optional("volumes_from", &texts),
            cpus: form.optional("cpus", &float()),
            cpu_shares: form.optional("cpu_shares", &integer().within(0, 1024)),
            memory: form.optional("memory", &integer()),
            memory_swap: form.optional("memory_swap", &integer()),
            shm_size: form.optional("shm_size", &integer()),
            privileged: form.optional("privileged", &boolean()),
            cap_add: form.optional("cap_add", &texts),
            cap_drop: form.optional("cap_drop", &texts),
            net: form.optional("net", &text().matching(is_net)),
            log_opts: form.optional("log_opts", &text_map()),
            log_driver: form.optional("log_driver", &text()),
            devices: form.optional("devices", &texts),
            pid: if new { form.optional("pid", &text().one_of(&["host"])) } else { None },
            read_only: form.optional("read_only", &boolean()),
            hooks: form.optional("hooks", &fields(HookInput::read_all)),
            health_check: form.optional("health_check", &fields(HealthCheckInput::read)),
            stop_signal: form.optional("stop_signal", &text().matching(is_signal)),
            stop_grace_period: form
                .optional("stop_grace_period", &text().matching(|text| seconds(text).is_some()))
                .and_then(|text| seconds(&text)),
        }
    }

    /// What is wrong with the fields among themselves.
    pub(super) fn judge(&self) -> Invalid {
        let mut faults = Invalid::default();
        if self.strategy.as_deref().is_some_and(|name| !matches!(name, "ha" | "daemon" | "random")) {
            faults.add("strategy", "Strategy not supported");
        }
        if self.health_check.as_ref().is_some_and(|check| check.interval < check.timeout) {
            faults.add("health_check", "Interval has to be bigger than timeout");
        }
        let wrong = |text: &&String| MountInput::read(text).is_none();
        let volumes: Vec<Value> = self
            .volumes
            .iter()
            .flatten()
            .filter(wrong)
            .map(|text| Value::String(format!("Volume definition '{text}' not in right format")))
            .collect();
        if !volumes.is_empty() {
            faults.0.insert("volumes".to_owned(), Value::Array(volumes));
        }
        faults
    }
}

fn is_net(text: &str) -> bool {
    matches!(text, "bridge" | "host") || text.strip_prefix("container:").is_some_and(|name| !name.is_empty())
}

fn is_signal(text: &str) -> bool {
    let text = text.to_ascii_uppercase();
    let digits =
        |text: &str| !text.is_empty() && text.len() <= 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.strip_prefix("SIG") {
        None => digits(&text),
        Some(name) => {
            let real_time = name.strip_prefix("RTMIN+").or_else(|| name.strip_prefix("RTMAX-"));
            real_time.is_some_and(digits)
                || (!name.is_empty()
                    && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()))
        }
    }
}

/// Whole seconds of `1h2m3.5s`.
fn seconds(text: &str) -> Option<i64> {
    let mut total = 0.0_f64;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, tail) = rest.split_at(end);
        let number: f64 = number.parse().ok()?;
        let unit_end = tail.find(|letter: char| letter.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let factor = match unit.trim() {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 0.001,
            "us" | "µs" => 0.000_001,
            "ns" => 0.000_000_001,
            _ => return None,
        };
        total += number * factor;
        rest = tail;
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked to be in range")]
    (total.is_finite() && total < 1e9).then_some(total as i64)
}
