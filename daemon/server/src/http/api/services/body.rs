//! A service as clients see it.

use kontena_core::agents::pod::{HealthCheck, Hook, Port, VolumeUse};
use kontena_core::agents::secrets::SecretUse;
use kontena_store::{GridRow, ServiceRow, ServiceSurroundings};
use kontena_wire::api;
use serde_json::Value;

use crate::http::api::answer::time;

/// What services are shown among.
pub(in crate::http::api) struct Shown<'a> {
    pub(in crate::http::api) grid: &'a GridRow,
    pub(in crate::http::api) around: &'a ServiceSurroundings,
}

impl Shown<'_> {
    pub(in crate::http::api) fn service(&self, row: &ServiceRow) -> api::Service {
        let Self { grid, around } = self;
        let definition = &row.definition;
        let stack = around.stacks.get(&definition.stack).map_or("null", String::as_str);
        let counts = around.counts.get(&definition.id).copied().unwrap_or_default();
        let affinity =
            if row.affinity.is_empty() { grid.default_affinity.clone() } else { row.affinity.clone() };
        let secret = |secret: &SecretUse| api::ServiceSecret {
            name: secret.name.clone(),
            secret: secret.source.clone(),
            kind: secret.kind.clone(),
        };
        let certificate = |certificate: &SecretUse| api::ServiceCertificate {
            subject: certificate.source.clone(),
            name: certificate.name.clone(),
            kind: certificate.kind.clone(),
        };
        let link = |(alias, service): &(String, kontena_core::id::Id)| {
            let path = around.links.get(service)?;
            let name = path.strip_prefix("null/").unwrap_or(path).to_owned();
            Some(api::ServiceLink { id: format!("{}/{path}", grid.name), alias: alias.clone(), name })
        };
        let checked = definition.health_check.as_ref();
        api::Service {
            id: format!("{}/{stack}/{}", grid.name, definition.name),
            created_at: time(row.created_at),
            updated_at: time(definition.updated_at),
            image: definition.image_name.clone(),
            affinity,
            name: definition.name.clone(),
            stateful: definition.stateful,
            user: definition.user.clone(),
            instances: row.instances,
            cmd: definition.cmd.clone(),
            entrypoint: definition.entrypoint.clone(),
            net: definition.net.clone(),
            dns: format!(
                "{}.{}",
                definition.name,
                kontena_core::agents::pod::Service::domain(stack, &grid.name)
            ),
            ports: definition.ports.iter().map(port).collect(),
            env: definition.env.clone(),
            secrets: definition.secrets.iter().map(secret).collect(),
            memory: definition.memory,
            memory_swap: definition.memory_swap,
            shm_size: definition.shm_size,
            cpus: definition.cpus,
            cpu_shares: definition.cpu_shares,
            volumes: definition.volumes.iter().map(|volume| self.volume(volume)).collect(),
            volumes_from: definition.volumes_from.clone(),
            cap_add: definition.cap_add.clone(),
            cap_drop: definition.cap_drop.clone(),
            state: row.state.clone(),
            grid: api::GridName { id: grid.name.clone() },
            stack: api::Named { id: format!("{}/{stack}", grid.name), name: stack.to_owned() },
            links: row.links.iter().filter_map(link).collect(),
            log_driver: definition.log_driver.clone(),
            log_opts: definition
                .log_opts
                .iter()
                .map(|(key, value)| (key.clone(), Value::String(value.clone())))
                .collect(),
            strategy: row.strategy.clone(),
            deploy_opts: api::ServiceDeployOptions {
                interval: row.interval,
                min_health: row.min_health,
                wait_for_port: definition.wait_for_port,
            },
            pid: definition.pid.clone(),
            read_only: definition.read_only,
            instance_counts: api::InstanceCounts { total: counts.total, running: counts.running },
            hooks: definition.hooks.iter().zip(&row.hook_names).map(hook).collect(),
            revision: definition.revision,
            stack_revision: row.stack_revision,
            health_check: checked.map(health_check),
            health_status: checked.map(|_| api::ServiceHealth {
                healthy: counts.healthy,
                unhealthy: counts.unhealthy,
                total: counts.total,
            }),
            stop_signal: definition.stop_signal.clone(),
            stop_grace_period: definition.stop_grace_period,
            certificates: definition.certificates.iter().map(certificate).collect(),
        }
    }

    fn volume(&self, used: &VolumeUse) -> String {
        let VolumeUse { bind_mount, path, flags, volume } = used;
        let name = volume.and_then(|id| self.around.volumes.get(&id)).or(bind_mount.as_ref());
        let mut parts: Vec<&str> = name.map(String::as_str).into_iter().collect();
        parts.extend(path.as_deref());
        parts.extend(flags.as_deref().filter(|flags| !flags.is_empty()));
        parts.join(":")
    }
}

fn port(port: &Port) -> api::ServicePort {
    let Port { ip, protocol, node_port, container_port } = port.clone();
    api::ServicePort { ip, protocol, node_port, container_port }
}

fn hook((hook, name): (&Hook, &String)) -> api::ServiceHook {
    api::ServiceHook {
        cmd: hook.cmd.clone(),
        name: name.clone(),
        oneshot: hook.oneshot,
        kind: hook.kind.clone(),
    }
}

fn health_check(check: &HealthCheck) -> api::ServiceHealthCheck {
    let HealthCheck { protocol, uri, interval, timeout, initial_delay, port } = check.clone();
    api::ServiceHealthCheck { protocol, uri, port, timeout, initial_delay, interval }
}
