//! The routes of the contract outside services and stacks, and the table of those that are tested.

use std::collections::BTreeMap;

use super::Kind;

/// Whether a route is there already, or waits for what else.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Here,
    /// Needs agents, or the collections that they fill.
    Agents,
}

use State::{Agents, Here};

const CONTRACT: &[(&str, &str, State)] = &[
    ("GET", "/", Here),
    ("GET", "/code", Here),
    ("GET", "/v1/ping", Here),
    ("POST", "/v1/auth", Here),
    ("ANY", "/oauth2/token", Here),
    ("POST", "/oauth2/authorize", Here),
    ("GET", "/oauth2/tokens", Here),
    ("GET", "/oauth2/tokens/:x", Here),
    ("DELETE", "/oauth2/tokens/:x", Here),
    ("GET", "/authenticate", Here),
    ("GET", "/cb", Here),
    ("GET", "/v1/user", Here),
    ("GET", "/v1/users", Here),
    ("DELETE", "/v1/users/:email", Here),
    ("POST", "/v1/users/:email/roles", Here),
    ("DELETE", "/v1/users/:email/roles/:role", Here),
    ("GET", "/v1/config", Here),
    ("PATCH", "/v1/config", Here),
    ("PUT", "/v1/config", Here),
    ("DELETE", "/v1/config", Here),
    ("GET", "/v1/config/:key", Here),
    ("DELETE", "/v1/config/:key", Here),
    ("GET", "/v1/audit_logs", Here),
    ("GET", "/v1/grids", Here),
    ("POST", "/v1/grids", Here),
    ("GET", "/v1/grids/:grid", Here),
    ("PUT", "/v1/grids/:grid", Here),
    ("DELETE", "/v1/grids/:grid", Here),
    ("GET", "/v1/grids/:grid/users", Here),
    ("POST", "/v1/grids/:grid/users", Here),
    ("DELETE", "/v1/grids/:grid/users/:email", Here),
    ("GET", "/v1/grids/:grid/nodes", Here),
    ("POST", "/v1/grids/:grid/nodes", Here),
    ("GET", "/v1/grids/:grid/external_registries", Here),
    ("POST", "/v1/grids/:grid/external_registries", Here),
    ("GET", "/v1/grids/:grid/secrets", Here),
    ("POST", "/v1/grids/:grid/secrets", Here),
    ("PUT", "/v1/grids/:grid/secrets/:name", Here),
    ("GET", "/v1/grids/:grid/certificates", Here),
    ("POST", "/v1/grids/:grid/certificates", Here),
    ("GET", "/v1/grids/:grid/domain_authorizations", Here),
    ("POST", "/v1/grids/:grid/domain_authorizations", Here),
    ("GET", "/v1/grids/:grid/event_logs", Here),
    ("GET", "/v1/grids/:grid/audit_log", Here),
    ("GET", "/v1/grids/:grid/container_logs", Agents),
    ("GET", "/v1/grids/:grid/metrics", Agents),
    ("GET", "/v1/grids/:grid/stats", Agents),
    ("GET", "/v1/grids/:grid/stats/:kind", Agents),
    ("GET", "/v1/nodes/:grid/:node", Here),
    ("PUT", "/v1/nodes/:grid/:node", Here),
    ("DELETE", "/v1/nodes/:grid/:node", Here),
    ("GET", "/v1/nodes/:grid/:node/token", Here),
    ("PUT", "/v1/nodes/:grid/:node/token", Here),
    ("DELETE", "/v1/nodes/:grid/:node/token", Here),
    ("GET", "/v1/nodes/:grid/:node/health", Here),
    ("GET", "/v1/nodes/:node_id", Here),
    ("PUT", "/v1/nodes/:node_id", Here),
    ("GET", "/v1/nodes/:grid/:node/stats", Agents),
    ("GET", "/v1/nodes/:grid/:node/metrics", Agents),
    ("GET", "/v1/containers/:grid", Agents),
    ("GET", "/v1/containers/:grid/:node/:name", Agents),
    ("GET", "/v1/containers/:grid/:node/:name/top", Agents),
    ("GET", "/v1/containers/:grid/:node/:name/logs", Agents),
    ("GET", "/v1/containers/:grid/:node/:name/inspect", Agents),
    ("GET", "/v1/containers/:grid/:node/:name/exec", Agents),
    ("POST", "/v1/containers/:grid/:node/:name/exec", Agents),
    ("GET", "/v1/secrets/:grid/:name", Here),
    ("PUT", "/v1/secrets/:grid/:name", Here),
    ("DELETE", "/v1/secrets/:grid/:name", Here),
    ("GET", "/v1/volumes/:grid", Here),
    ("POST", "/v1/volumes/:grid", Here),
    ("GET", "/v1/volumes/:grid/:volume", Here),
    ("DELETE", "/v1/volumes/:grid/:volume", Here),
    ("POST", "/v1/certificates/:grid/register", Here),
    ("POST", "/v1/certificates/:grid/authorize", Here),
    ("POST", "/v1/certificates/:grid/certificate", Here),
    ("GET", "/v1/certificates/:grid/:subject", Here),
    ("PUT", "/v1/certificates/:grid/:subject", Here),
    ("DELETE", "/v1/certificates/:grid/:subject", Here),
    ("GET", "/v1/certificates/:grid/:subject/export", Here),
    ("GET", "/v1/domain_authorizations/:grid/:domain", Here),
    ("DELETE", "/v1/domain_authorizations/:grid/:domain", Here),
    ("GET", "/v1/external_registries/:grid/:name", Here),
    ("DELETE", "/v1/external_registries/:grid/:name", Here),
    ("GET", "/v1/etcd/:grid/:key", Agents),
    ("POST", "/v1/etcd/:grid/:key", Agents),
    ("DELETE", "/v1/etcd/:grid/:key", Agents),
];

/// Prints what is tested how often; returns what is there without a test of its success.
pub(super) fn table(counts: &BTreeMap<(&str, &str), BTreeMap<Kind, usize>>) -> Vec<String> {
    let kinds = [Kind::Success, Kind::Invalid, Kind::Missing, Kind::Forbidden, Kind::WrongToken];
    println!(
        "{:7}{:48}{:>8}{:>8}{:>8}{:>10}{:>12}",
        "", "route", "success", "invalid", "missing", "forbidden", "wrong token"
    );
    let (mut tested, mut waiting, mut uncovered) = (0, 0, Vec::new());
    for (method, path, state) in CONTRACT {
        let count = |kind: &Kind| {
            counts.get(&(*method, *path)).and_then(|kinds| kinds.get(kind)).copied().unwrap_or(0)
        };
        let [success, invalid, missing, forbidden, token] = kinds.each_ref().map(count);
        match state {
            Agents => {
                waiting += 1;
                println!("{method:7}{path:48}  waits for the agents");
                continue;
            }
            Here if success > 0 => tested += 1,
            Here => uncovered.push(format!("{method} {path}")),
        }
        println!("{method:7}{path:48}{success:>8}{invalid:>8}{missing:>8}{forbidden:>10}{token:>12}");
    }
    println!("{tested} of {} routes are tested, {waiting} wait for the agents", CONTRACT.len());
    let unknown =
        counts.keys().filter(|(method, path)| !CONTRACT.iter().any(|(m, p, _)| (m, p) == (method, path)));
    uncovered.extend(unknown.map(|(method, path)| format!("{method} {path} is not in the contract")));
    uncovered
}
