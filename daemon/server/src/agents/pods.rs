//! The list of pods of a node. What is missing in it the agent destroys, so it is whole and certain or not given.

use futures_util::FutureExt;
use kontena_core::agents::pod::{Hook, Place, Port, Service, VolumeUse};
use kontena_core::agents::secrets::PodSecret;
use kontena_core::id::Id;
use kontena_core::vault::Vault;
use kontena_store::{
    Failure, HooksDone, InstanceRow, NetworkDefinition, PodNode, PodSources, RegistryLogin, VolumeDefinition,
};
use kontena_wire::rpc::{Fault, Value, loose, map};

use super::bodies::{texts, utc};
use super::{Agents, LIMIT};

/// All pods of a node.
pub(super) async fn list(agents: &Agents, node: Id) -> Result<Value, Fault> {
    let rows = agents.0.pods.ask(node).await.map_err(unavailable)?;
    // Boxed, since of ten thousand agents that come at once all wait for their rows, and few have any.
    let pods = if rows.is_empty() {
        migrated(agents).boxed().await?;
        node_of(agents, node).boxed().await?;
        Vec::new()
    } else {
        of_rows(agents, node, rows).boxed().await?
    };
    Ok(map([("service_pods", Value::Array(pods))]))
}

/// The node itself, read after what belongs to it: its removal takes all that from it at once, and until its agent is told
/// to stop it must not destroy what it has.
pub(super) async fn node_of(agents: &Agents, node: Id) -> Result<PodNode, Fault> {
    let found = agents.0.pod_nodes.ask(node).await.map_err(unavailable)?;
    found.ok_or_else(|| Fault::new(500, "RuntimeError: Node not found"))
}

/// That a node has no instances means something only in a database that has instances. This is asked once: no
/// database goes back.
async fn migrated(agents: &Agents) -> Result<(), Fault> {
    let look = || async {
        let instances = agents.0.store.service_instances();
        let are_migrated = instances.are_migrated(LIMIT).await.map_err(unavailable)?;
        are_migrated.then_some(()).ok_or_else(|| Fault::new(500, "RuntimeError: Migration not done"))
    };
    agents.0.migrated.get_or_try_init(look).await.copied()
}

async fn of_rows(agents: &Agents, node: Id, rows: Vec<InstanceRow>) -> Result<Vec<Value>, Fault> {
    let store = &agents.0.store;
    let place = node_of(agents, node).await?;
    let frozen = agents.0.frozen.of(&rows).await.map_err(unavailable)?;
    let unfrozen: Vec<Id> = rows.iter().filter(|row| row.frozen.is_none()).map(|row| row.service).collect();
    let current = match (place.grid, unfrozen.is_empty()) {
        (Some(grid), false) => store.pods().sources(grid, &unfrozen, LIMIT).await.map_err(unavailable)?,
        (None, false) | (_, true) => PodSources::default(),
    };
    let marks = frozen.values().flat_map(|sources| sources.once_only());
    let done = store.pods().hooks_done(marks.collect(), LIMIT).await.map_err(unavailable)?;
    let one = |row: &InstanceRow| {
        // What is not frozen tells itself where its hooks have run.
        let (sources, done) = match row.frozen {
            None => (&current, None),
            Some(id) => (&**frozen.get(&id).ok_or_else(|| uncertain("the definition"))?, Some(&done)),
        };
        pod(row, sources, &place, done, agents.0.vault.as_ref())
    };
    rows.iter().map(one).collect()
}

#[expect(clippy::needless_pass_by_value, reason = "to stand behind map_err")]
fn unavailable(failure: Failure) -> Fault {
    tracing::debug!(%failure, "the pods of a node cannot be told");
    Fault::new(503, "the pods of this node cannot be told with certainty")
}

impl Agents {
    /// The pod of one instance of a service that is linked to a load balancer, from a node whose agent is there.
    pub(crate) async fn pod_behind_balancer(&self, service: Id, nodes: &[Id]) -> Option<(Id, Value)> {
        let wanted = service.to_string();
        for node in nodes {
            if self.place(*node, LIMIT).await.is_err() {
                continue;
            }
            let Ok(list) = list(self, *node).await else { continue };
            let pods = loose::elements(loose::get(&list, "service_pods"));
            let pod = pods.iter().find(|pod| loose::text_at(pod, "service_id").as_deref() == Some(&wanted));
            let labels = pod.and_then(|pod| loose::get(pod, "labels"));
            if labels.is_some_and(|labels| loose::text_at(labels, "io.kontena.load_balancer.name").is_some())
            {
                return Some((*node, pod.cloned()?));
            }
        }
        None
    }
}

/// What one instance is told.
fn pod(
    row: &InstanceRow,
    sources: &PodSources,
    node: &PodNode,
    done: Option<&HooksDone>,
    vault: Option<&Vault>,
) -> Result<Value, Fault> {
    let InstanceRow { id: _, node: _, service, number, desired_state, deploy_rev, frozen: _ } = row;
    let service = sources.services.get(service).ok_or_else(|| uncertain("the service"))?;
    let stack = sources.stacks.get(&service.stack).ok_or_else(|| uncertain("the stack"))?;
    // Without its secrets an instance would be made anew, and wrongly.
    let secrets = service.open_secrets(&sources.safe, vault).map_err(|sealed| {
        tracing::warn!(SERVICE = %service.id, "the secrets of a service cannot be read: {sealed}");
        uncertain("the secrets")
    })?;
    let secrets = secrets.iter().map(secret_body).collect();
    let balancer =
        service.links.iter().filter_map(|link| sources.services.get(link)).find(|s| s.is_load_balancer());
    let balancer =
        balancer.and_then(|balancer| Some((balancer, sources.stacks.get(&balancer.stack)?.as_str())));
    let place =
        Place { grid: &sources.grid, stack, node: &node.name, number: *number, load_balancer: balancer };
    let deploy_rev = deploy_rev.as_deref().ok_or_else(|| uncertain("the deploy"))?;
    let exposed = sources.exposed.get(&service.stack) == Some(&service.name);
    let hooks =
        service.hooks_of(*number).filter(|hook| !done.is_some_and(|done| has_run(hook, *number, done)));
    let hooks = hooks.map(hook_body).collect();
    let told = Told { desired_state, deploy_rev, exposed, secrets, hooks };
    body(service, &place, told, sources, node).ok_or_else(|| uncertain("a volume"))
}

/// What ran once since the pod was frozen does not run again, nor does what the service does not have any more: that it
/// ran could not be noted.
fn has_run(hook: &Hook, number: i64, done: &HooksDone) -> bool {
    hook.oneshot && done.get(&hook.id).is_none_or(|done| done.contains(&number.to_string()))
}

fn uncertain(what: &str) -> Fault {
    Fault::new(503, format!("RuntimeError: {what} of an instance cannot be told"))
}

/// What does not follow from the service and its place.
struct Told<'a> {
    desired_state: &'a str,
    deploy_rev: &'a str,
    exposed: bool,
    secrets: Vec<Value>,
    hooks: Vec<Value>,
}

fn body(
    service: &Service,
    place: &Place<'_>,
    told: Told<'_>,
    sources: &PodSources,
    node: &PodNode,
) -> Option<Value> {
    let Told { desired_state, deploy_rev, exposed, secrets, hooks } = told;
    let (env, labels) = (service.environment(place), service.labels(place));
    let Service {
        id,
        grid: _,
        stack: _,
        name,
        image_name,
        revision,
        updated_at,
        stateful,
        user,
        cmd,
        entrypoint,
        memory,
        memory_swap,
        shm_size,
        cpu_shares,
        cpus,
        privileged,
        cap_add,
        cap_drop,
        devices,
        ports,
        volumes,
        volumes_from,
        net,
        log_driver,
        log_opts,
        pid,
        wait_for_port,
        stop_signal,
        stop_grace_period,
        env: _,
        links: _,
        hooks: _,
        networks,
        read_only,
        health_check: _,
        secrets: _,
        certificates: _,
    } = service;
    let number = place.number;
    let text = |text: &Option<String>| text.as_deref().map_or(Value::Nil, Value::from);
    let integer = |number: &Option<i64>| number.map_or(Value::Nil, Value::from);
    let volumes: Option<Vec<Value>> =
        volumes.iter().map(|volume| volume_body(service, volume, place, sources, node)).collect();
    let networks = networks.iter().filter_map(|network| sources.networks.get(network)).map(network_body);
    Some(map([
        ("id", Value::from(format!("{id}/{number}"))),
        ("desired_state", Value::from(desired_state)),
        ("service_id", Value::from(id.to_string())),
        ("service_name", Value::from(service.engine_name(place.stack))),
        ("service_revision", Value::from(*revision)),
        ("updated_at", Value::from(utc(*updated_at))),
        ("instance_number", Value::from(number)),
        ("image_name", Value::from(image_name.as_str())),
        ("image_credentials", sources.registries.get(service.registry()).map_or(Value::Nil, login_body)),
        ("deploy_rev", Value::from(deploy_rev)),
        ("stateful", Value::from(*stateful)),
        ("user", text(user)),
        ("cmd", cmd.as_deref().map_or(Value::Nil, texts)),
        ("entrypoint", text(entrypoint)),
        ("memory", integer(memory)),
        ("memory_swap", integer(memory_swap)),
        ("shm_size", integer(shm_size)),
        ("cpu_shares", integer(cpu_shares)),
        ("cpus", cpus.map_or(Value::Nil, Value::from)),
        ("privileged", privileged.map_or(Value::Nil, Value::from)),
        ("cap_add", texts(cap_add)),
        ("cap_drop", texts(cap_drop)),
        ("devices", texts(devices)),
        ("ports", Value::Array(ports.iter().map(port_body).collect())),
        ("volumes", Value::Array(volumes?)),
        ("volumes_from", texts(volumes_from)),
        ("net", Value::from(net.as_str())),
        ("hostname", Value::from(format!("{name}-{number}"))),
        ("domainname", Value::from(Service::domain(place.stack, place.grid))),
        ("exposed", Value::from(exposed)),
        ("log_driver", text(log_driver)),
        ("log_opts", pairs(log_opts)),
        ("pid", text(pid)),
        ("wait_for_port", integer(wait_for_port)),
        ("stop_signal", text(stop_signal)),
        ("stop_grace_period", Value::from(*stop_grace_period)),
        ("env", texts(&env)),
        ("secrets", Value::Array(secrets)),
        ("labels", pairs(&labels)),
        ("hooks", Value::Array(hooks)),
        ("networks", Value::Array(networks.collect())),
        ("read_only", Value::from(*read_only)),
    ]))
}

fn volume_body(
    service: &Service,
    used: &VolumeUse,
    place: &Place<'_>,
    sources: &PodSources,
    node: &PodNode,
) -> Option<Value> {
    let VolumeUse { bind_mount, path, flags, volume } = used;
    let text = |text: &Option<String>| text.as_deref().map_or(Value::Nil, Value::from);
    let Some(volume) = volume else {
        return Some(map([("bind_mount", text(bind_mount)), ("path", text(path)), ("flags", text(flags))]));
    };
    let VolumeDefinition { name, scope, driver, options } = sources.volumes.get(volume)?;
    let driver = match node.drivers.get(driver) {
        Some(version) => format!("{driver}:{version}"),
        None => driver.clone(),
    };
    Some(map([
        ("name", Value::from(service.volume_name(name, *scope, place.stack, place.number))),
        ("path", text(path)),
        ("flags", text(flags)),
        ("driver", Value::from(driver)),
        ("driver_opts", pairs(options)),
    ]))
}

fn port_body(port: &Port) -> Value {
    let Port { ip, protocol, node_port, container_port } = port;
    map([
        ("ip", Value::from(ip.as_str())),
        ("protocol", Value::from(protocol.as_str())),
        ("node_port", Value::from(*node_port)),
        ("container_port", Value::from(*container_port)),
    ])
}

fn hook_body(hook: &Hook) -> Value {
    let Hook { id, kind, cmd, oneshot, instances: _, done: _ } = hook;
    map([
        ("id", Value::from(id.to_string())),
        ("type", Value::from(kind.as_str())),
        ("cmd", Value::from(cmd.as_str())),
        ("oneshot", Value::from(*oneshot)),
    ])
}

fn secret_body(secret: &PodSecret) -> Value {
    let PodSecret { name, kind, value } = secret;
    map([
        ("name", Value::from(name.as_str())),
        ("type", Value::from(kind.as_str())),
        ("value", value.as_deref().map_or(Value::Nil, Value::from)),
    ])
}

fn network_body(network: &NetworkDefinition) -> Value {
    let NetworkDefinition { name, subnet, multicast, internal } = network;
    map([
        ("name", Value::from(name.as_str())),
        ("subnet", subnet.as_deref().map_or(Value::Nil, Value::from)),
        ("multicast", Value::from(*multicast)),
        ("internal", Value::from(*internal)),
    ])
}

fn login_body(login: &RegistryLogin) -> Value {
    let RegistryLogin { username, password, email } = login;
    let text = |text: &Option<String>| text.as_deref().map_or(Value::Nil, Value::from);
    map([("username", text(username)), ("password", text(password)), ("email", text(email))])
}

fn pairs(pairs: &[(String, String)]) -> Value {
    map(pairs.iter().map(|(key, value)| (key.as_str(), Value::from(value.as_str()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_oneshot_hook_runs_while_the_service_has_it_and_it_has_not_run() {
        let id = |byte| Id::from_bytes([byte; 12]);
        let hook = |byte, oneshot| Hook {
            id: id(byte),
            kind: "pre_start".to_owned(),
            cmd: String::new(),
            oneshot,
            instances: vec!["*".to_owned()],
            done: Vec::new(),
        };
        let done = HooksDone::from([(id(1), vec!["2".to_owned()])]);
        assert!(has_run(&hook(1, true), 2, &done) && !has_run(&hook(1, true), 1, &done));
        assert!(has_run(&hook(9, true), 1, &done), "the service has it no more");
        assert!(!has_run(&hook(9, false), 1, &done));
    }
}
