//! The routes of the contract, and the table of those that are tested.

use std::collections::BTreeMap;

use super::Kind;

const CONTRACT: &[(&str, &str)] = &[
    ("GET", "/"),
    ("GET", "/code"),
    ("GET", "/v1/ping"),
    ("POST", "/v1/auth"),
    ("ANY", "/oauth2/token"),
    ("POST", "/oauth2/authorize"),
    ("GET", "/oauth2/tokens"),
    ("GET", "/oauth2/tokens/:x"),
    ("DELETE", "/oauth2/tokens/:x"),
    ("GET", "/authenticate"),
    ("GET", "/cb"),
    ("GET", "/v1/user"),
    ("GET", "/v1/users"),
    ("DELETE", "/v1/users/:email"),
    ("POST", "/v1/users/:email/roles"),
    ("DELETE", "/v1/users/:email/roles/:role"),
    ("GET", "/v1/config"),
    ("PATCH", "/v1/config"),
    ("PUT", "/v1/config"),
    ("DELETE", "/v1/config"),
    ("GET", "/v1/config/:key"),
    ("DELETE", "/v1/config/:key"),
    ("GET", "/v1/audit_logs"),
    ("GET", "/v1/grids"),
    ("POST", "/v1/grids"),
    ("GET", "/v1/grids/:grid"),
    ("PUT", "/v1/grids/:grid"),
    ("DELETE", "/v1/grids/:grid"),
    ("GET", "/v1/grids/:grid/users"),
    ("POST", "/v1/grids/:grid/users"),
    ("DELETE", "/v1/grids/:grid/users/:email"),
    ("GET", "/v1/grids/:grid/nodes"),
    ("POST", "/v1/grids/:grid/nodes"),
    ("GET", "/v1/grids/:grid/external_registries"),
    ("POST", "/v1/grids/:grid/external_registries"),
    ("GET", "/v1/grids/:grid/secrets"),
    ("POST", "/v1/grids/:grid/secrets"),
    ("PUT", "/v1/grids/:grid/secrets/:name"),
    ("GET", "/v1/grids/:grid/certificates"),
    ("POST", "/v1/grids/:grid/certificates"),
    ("GET", "/v1/grids/:grid/domain_authorizations"),
    ("POST", "/v1/grids/:grid/domain_authorizations"),
    ("GET", "/v1/grids/:grid/services"),
    ("POST", "/v1/grids/:grid/services"),
    ("GET", "/v1/services/:grid/:stack/:service"),
    ("PUT", "/v1/services/:grid/:stack/:service"),
    ("DELETE", "/v1/services/:grid/:stack/:service"),
    ("POST", "/v1/services/:grid/:stack/:service/deploy"),
    ("POST", "/v1/services/:grid/:stack/:service/scale"),
    ("POST", "/v1/services/:grid/:stack/:service/restart"),
    ("POST", "/v1/services/:grid/:stack/:service/stop"),
    ("POST", "/v1/services/:grid/:stack/:service/start"),
    ("GET", "/v1/services/:grid/:stack/:service/instances"),
    ("GET", "/v1/services/:grid/:stack/:service/instances/:id"),
    ("DELETE", "/v1/services/:grid/:stack/:service/instances/:id"),
    ("GET", "/v1/services/:grid/:stack/:service/containers"),
    ("GET", "/v1/services/:grid/:stack/:service/stats"),
    ("GET", "/v1/services/:grid/:stack/:service/metrics"),
    ("POST", "/v1/services/:grid/:stack/:service/envs"),
    ("DELETE", "/v1/services/:grid/:stack/:service/envs/:key"),
    ("GET", "/v1/services/:grid/:stack/:service/container_logs"),
    ("GET", "/v1/services/:grid/:stack/:service/event_logs"),
    ("GET", "/v1/services/:grid/:stack/:service/deploys/:id"),
    ("POST", "/v1/services/:grid/:stack/:service/deploys/:id/cancel"),
    ("GET", "/v1/grids/:grid/stacks"),
    ("POST", "/v1/grids/:grid/stacks"),
    ("GET", "/v1/stacks/:grid/:stack"),
    ("PUT", "/v1/stacks/:grid/:stack"),
    ("PATCH", "/v1/stacks/:grid/:stack"),
    ("DELETE", "/v1/stacks/:grid/:stack"),
    ("POST", "/v1/stacks/:grid/:stack/deploy"),
    ("POST", "/v1/stacks/:grid/:stack/stop"),
    ("POST", "/v1/stacks/:grid/:stack/restart"),
    ("GET", "/v1/stacks/:grid/:stack/container_logs"),
    ("GET", "/v1/stacks/:grid/:stack/event_logs"),
    ("GET", "/v1/stacks/:grid/:stack/deploys/:id"),
    ("GET", "/v1/grids/:grid/event_logs"),
    ("GET", "/v1/grids/:grid/audit_log"),
    ("GET", "/v1/grids/:grid/container_logs"),
    ("GET", "/v1/grids/:grid/metrics"),
    ("GET", "/v1/grids/:grid/stats"),
    ("GET", "/v1/grids/:grid/stats/:kind"),
    ("GET", "/v1/nodes/:grid/:node"),
    ("PUT", "/v1/nodes/:grid/:node"),
    ("DELETE", "/v1/nodes/:grid/:node"),
    ("GET", "/v1/nodes/:grid/:node/token"),
    ("PUT", "/v1/nodes/:grid/:node/token"),
    ("DELETE", "/v1/nodes/:grid/:node/token"),
    ("GET", "/v1/nodes/:grid/:node/health"),
    ("GET", "/v1/nodes/:node_id"),
    ("PUT", "/v1/nodes/:node_id"),
    ("GET", "/v1/nodes/:grid/:node/stats"),
    ("GET", "/v1/nodes/:grid/:node/metrics"),
    ("GET", "/v1/containers/:grid"),
    ("GET", "/v1/containers/:grid/:node/:name"),
    ("GET", "/v1/containers/:grid/:node/:name/top"),
    ("GET", "/v1/containers/:grid/:node/:name/logs"),
    ("GET", "/v1/containers/:grid/:node/:name/inspect"),
    ("GET", "/v1/containers/:grid/:node/:name/exec"),
    ("POST", "/v1/containers/:grid/:node/:name/exec"),
    ("GET", "/v1/secrets/:grid/:name"),
    ("PUT", "/v1/secrets/:grid/:name"),
    ("DELETE", "/v1/secrets/:grid/:name"),
    ("GET", "/v1/volumes/:grid"),
    ("POST", "/v1/volumes/:grid"),
    ("GET", "/v1/volumes/:grid/:volume"),
    ("DELETE", "/v1/volumes/:grid/:volume"),
    ("POST", "/v1/certificates/:grid/register"),
    ("POST", "/v1/certificates/:grid/authorize"),
    ("POST", "/v1/certificates/:grid/certificate"),
    ("GET", "/v1/certificates/:grid/:subject"),
    ("PUT", "/v1/certificates/:grid/:subject"),
    ("DELETE", "/v1/certificates/:grid/:subject"),
    ("GET", "/v1/certificates/:grid/:subject/export"),
    ("GET", "/v1/domain_authorizations/:grid/:domain"),
    ("DELETE", "/v1/domain_authorizations/:grid/:domain"),
    ("GET", "/v1/external_registries/:grid/:name"),
    ("DELETE", "/v1/external_registries/:grid/:name"),
    ("GET", "/v1/etcd/:grid/:key"),
    ("POST", "/v1/etcd/:grid/:key"),
    ("DELETE", "/v1/etcd/:grid/:key"),
];

/// Prints what is tested how often; returns what has no test of its success.
pub(super) fn table(counts: &BTreeMap<(&str, &str), BTreeMap<Kind, usize>>) -> Vec<String> {
    let kinds = [Kind::Success, Kind::Invalid, Kind::Missing, Kind::Forbidden, Kind::WrongToken];
    println!(
        "{:7}{:58}{:>8}{:>8}{:>8}{:>10}{:>12}",
        "", "route", "success", "invalid", "missing", "forbidden", "wrong token"
    );
    let (mut tested, mut uncovered) = (0, Vec::new());
    for (method, path) in CONTRACT {
        let count = |kind: &Kind| {
            counts.get(&(*method, *path)).and_then(|kinds| kinds.get(kind)).copied().unwrap_or(0)
        };
        let [success, invalid, missing, forbidden, token] = kinds.each_ref().map(count);
        if success > 0 {
            tested += 1;
        } else {
            uncovered.push(format!("{method} {path}"));
        }
        println!("{method:7}{path:58}{success:>8}{invalid:>8}{missing:>8}{forbidden:>10}{token:>12}");
    }
    println!("{tested} of {} routes are tested ({} %)", CONTRACT.len(), tested * 100 / CONTRACT.len());
    let unknown =
        counts.keys().filter(|(method, path)| !CONTRACT.iter().any(|(m, p)| (m, p) == (method, path)));
    uncovered.extend(unknown.map(|(method, path)| format!("{method} {path} is not in the contract")));
    uncovered
}
