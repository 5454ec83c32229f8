//! Where our answers differ from the recorded ones on purpose.

/// Which call, and why. `call` is the beginning of what was asked, `difference` a part of what is told.
pub(super) struct Allowed {
    pub(super) story: &'static str,
    pub(super) call: &'static str,
    pub(super) difference: &'static str,
    pub(super) reason: &'static str,
    /// Whether it depends on where the test runs.
    pub(super) sometimes: bool,
}

const fn allowed(
    story: &'static str,
    call: &'static str,
    difference: &'static str,
    reason: &'static str,
) -> Allowed {
    Allowed { story, call, difference, reason, sometimes: false }
}

const ADMIN: &str = "11-config-users-tokens";
const CONTAINERS: &str = "10-container-exec-logs";
const SERVICES: &str = "09-service";
const RECONNECT: &str = "13-after-reconnect";
const REMOVAL: &str = "12-removal";
const STACKS: &str = "08-stack";
const NO_IDS: &str = "the id of a part is nobody's business";
const OTHER_ENGINE: &str = "the engine of the test is another one";

pub(super) const ALLOWED: &[Allowed] = &[
    allowed(SERVICES, "", ".deploy_opts._id is missing", NO_IDS),
    allowed(REMOVAL, "", ".deploy_opts._id is missing", NO_IDS),
    allowed(RECONNECT, "", ".deploy_opts._id is missing", NO_IDS),
    allowed(STACKS, "", ".deploy_opts._id is missing", NO_IDS),
    allowed(STACKS, "GET /v1/stacks/main/", ".report is new", "why each node was chosen or refused"),
    allowed(
        STACKS,
        "",
        ".links[1].alias: \"db\" became \"database\"",
        "of two links to one service the original kept the last alias twice after a deploy",
    ),
    allowed(
        STACKS,
        "",
        "].revision: 2 became 1",
        "and so that deploy changed the service, which it does not do here",
    ),
    allowed(STACKS, "", "].revision: 3 became 2", "the same one later"),
    allowed(STACKS, "GET /v1/services/main/shop/web", ".revision: 2 became 1", "the same"),
    allowed(STACKS, "GET /v1/services/main/shop/web", ".revision: 3 became 2", "the same one later"),
    allowed(STACKS, "", ".health_status.unhealthy: 1 became 0", OTHER_ENGINE),
    Allowed {
        sometimes: true,
        ..allowed(
            STACKS,
            "GET ",
            ".instance_counts.running",
            "the engine of the test needs no time to start a container again",
        )
    },
    allowed(SERVICES, "GET /v1/services/main/null/api/containers", "ports.90/tcp is missing", OTHER_ENGINE),
    Allowed {
        sometimes: true,
        ..allowed(
            SERVICES,
            "GET /v1/services/main/null/api/stats",
            ".stats: [] became",
            "the engine of the test needs no time to start a container again",
        )
    },
    allowed(
        SERVICES,
        "GET /v1/grids ",
        ".grids[0].service_count: 8 became 4",
        "the stack is not played here",
    ),
    allowed(SERVICES, "GET /v1/grids ", ".grids[0].container_count: 9 became 3", "nor are its containers"),
    allowed(
        SERVICES,
        "GET /v1/services/main/null/api/deploys",
        ".report is new",
        "why each node was chosen or refused",
    ),
    allowed(
        "01-login",
        "GET /",
        ".version",
        "the version of the last release, which command lines compare with",
    ),
    allowed("01-login", "GET /code", "text", "our own page"),
    allowed(
        "02-grids",
        "POST /v1/grids [1]",
        "status",
        "a list in place of an object is refused instead of a failure",
    ),
    allowed(
        "03-nodes",
        "POST /v1/grids/side/nodes",
        "status 500",
        "a short token is refused instead of a failure",
    ),
    allowed(
        "05-registry-volume-certificate",
        "POST /v1/grids/main/external_registries",
        "status 201",
        "a second registry of one name is refused instead of dropped in silence",
    ),
    allowed(ADMIN, "GET /v1/config/server.salt", "status 200", "no client needs the salt"),
    allowed(ADMIN, "GET /v1/audit_logs ", "status 500", "who may not read is refused instead of a failure"),
    allowed(ADMIN, "GET /v1/grids", "_count", "services and containers are not part of what is played here"),
    allowed(ADMIN, "GET /v1/audit_logs?limit", ".logs", "they tell of services, which are not played here"),
    allowed(
        ADMIN,
        "GET /v1/grids/main/audit_log?limit",
        ".logs",
        "they tell of services, which are not played here",
    ),
    allowed(CONTAINERS, "GET /v1/containers/main/core-1/api-1/inspect", "", OTHER_ENGINE),
    allowed(
        CONTAINERS,
        "GET /v1/containers/main/core-1/api-1/exec?interactive=true&tty=true",
        "stdout",
        "the engine of the test has no terminals",
    ),
    allowed(
        CONTAINERS,
        "GET /v1/containers/main/core-1/shop.cache-1/exec?shell=true",
        "stdout",
        OTHER_ENGINE,
    ),
    allowed(CONTAINERS, "GET /v1/containers/main/core-1/api-1/exec ", "stdout \"OCI", OTHER_ENGINE),
    allowed(
        CONTAINERS,
        "GET /v1/containers/main/core-1/api-1/top",
        "status 500",
        "the original sent one parameter too many and always failed",
    ),
    Allowed {
        sometimes: true,
        ..allowed(
            RECONNECT,
            "GET /v1/containers/main/core-1/shop.db-1/exec ",
            "stdout \"uid=0",
            "commands run as whoever runs the test",
        )
    },
    allowed(
        RECONNECT,
        "POST /v1/containers/main/core-1/api-1/exec {}",
        "status 500",
        "a missing command is refused instead of a failure",
    ),
    allowed(
        CONTAINERS,
        "GET /v1/containers/main/core-1/shop.db-1/logs?follow",
        "chunk",
        "the container was replaced before the database was saved, and its lines went with it",
    ),
    Allowed {
        sometimes: true,
        ..allowed(
            RECONNECT,
            "GET /v1/grids/main ",
            ".container_count: 0 became 3",
            "a node that is away keeps its containers until it had time to come back",
        )
    },
    allowed(
        RECONNECT,
        "GET /v1/containers/main?all=1",
        ".containers[8].state.pid",
        "it was started again before the database was saved",
    ),
];
