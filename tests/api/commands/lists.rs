//! The calls of each command, in their order.

/// One call. In the path and the body, what stands in braces is filled in.
pub(super) struct Step {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) body: &'static str,
    pub(super) expected: u16,
}

const fn step(method: &'static str, path: &'static str, body: &'static str, expected: u16) -> Step {
    Step { method, path, body, expected }
}

const fn get(path: &'static str) -> Step {
    step("GET", path, "", 200)
}

const fn delete(path: &'static str) -> Step {
    step("DELETE", path, "", 200)
}

const fn put(path: &'static str, body: &'static str) -> Step {
    step("PUT", path, body, 200)
}

const fn made(path: &'static str, body: &'static str) -> Step {
    step("POST", path, body, 201)
}

type Command = (&'static str, &'static [Step]);

pub(super) const COMMANDS: &[Command] = &[
    ("version", &[get("/")]),
    ("whoami", &[get("/v1/user")]),
    (
        "master login --code",
        &[
            made(
                "/oauth2/token",
                r#"{"grant_type":"authorization_code","code":"{code}","client_id":"x","client_secret":"y"}"#,
            ),
            get("/v1/grids"),
        ],
    ),
    (
        "master login with a used code",
        &[step("POST", "/oauth2/token", r#"{"grant_type":"authorization_code","code":"{code}"}"#, 404)],
    ),
    ("master login --token", &[get("/v1/user")]),
    (
        "master logout",
        &[made("/oauth2/token", r#"{"refresh_token":"{refresh}","grant_type":"refresh_token"}"#)],
    ),
    ("master audit-log", &[get("/v1/audit_logs?limit=30")]),
    ("master ssh", &[step("GET", "/v1/config/server.provider", "", 404)]),
    ("master config export", &[get("/v1/config"), get("/v1/config?filter=server.*")]),
    ("master config set", &[step("PATCH", "/v1/config", r#"{"server.name":"hq","x.y":"1"}"#, 201)]),
    ("master config get", &[get("/v1/config/server.name")]),
    (
        "master config unset",
        &[step("DELETE", "/v1/config/x.y", "", 201), step("DELETE", "/v1/config/x.y", "", 201)],
    ),
    ("master config import", &[step("PUT", "/v1/config", r#"{"server.name":"hq"}"#, 201)]),
    (
        "master token create",
        &[
            made("/oauth2/authorize", r#"{"response_type":"token","scope":"user","expires_in":"7200"}"#),
            made("/oauth2/authorize", r#"{"response_type":"code","scope":"user,owner","expires_in":"0"}"#),
        ],
    ),
    ("master token ls", &[get("/oauth2/tokens")]),
    ("master token current", &[get("/oauth2/tokens/{token}")]),
    ("master token show, of nobody", &[step("GET", "/oauth2/tokens/000000000000000000000000", "", 404)]),
    ("master token rm, of nobody", &[step("DELETE", "/oauth2/tokens/000000000000000000000000", "", 404)]),
    (
        "master user invite",
        &[step("POST", "/oauth2/authorize", r#"{"response_type":"invite","email":"a@example.com"}"#, 501)],
    ),
    ("master user ls", &[get("/v1/users")]),
    (
        "master user role add",
        &[step("POST", "/v1/users/member@example.com/roles", r#"{"role":"grid_admin"}"#, 201)],
    ),
    ("master user role rm", &[delete("/v1/users/member@example.com/roles/grid_admin")]),
    ("master user rm", &[delete("/v1/users/leaver@example.com")]),
    (
        "master create, after its deploy",
        &[
            get("/"),
            made("/v1/grids", r#"{"name":"test","initial_size":1}"#),
            step("PATCH", "/v1/config", r#"{"server.provider":"vagrant"}"#, 201),
        ],
    ),
    ("complete", &[get("/v1/grids"), get("/v1/grids/main/nodes")]),
    ("grid ls", &[get("/v1/grids")]),
    (
        "grid create",
        &[made(
            "/v1/grids",
            r#"{"name":"fresh","initial_size":3,"token":null,"subnet":"10.82.0.0/16","default_affinity":[]}"#,
        )],
    ),
    ("grid update", &[put("/v1/grids/fresh", r#"{"stats":{"statsd":{"server":"s","port":"8125"}}}"#)]),
    ("grid use", &[get("/v1/grids")]),
    ("grid show", &[get("/v1/grids"), get("/v1/grids/main/nodes")]),
    ("grid current", &[get("/v1/grids/main"), get("/v1/grids/main/nodes")]),
    ("grid env", &[get("/v1/grids")]),
    ("grid rm", &[get("/v1/grids"), delete("/v1/grids/fresh")]),
    ("grid rm, not empty", &[get("/v1/grids"), step("DELETE", "/v1/grids/main", "", 422)]),
    ("grid health", &[get("/v1/grids/main"), get("/v1/grids/main/nodes")]),
    ("grid logs", &[get("/v1/grids/main/container_logs?limit=100")]),
    (
        "grid logs of",
        &[get(
            "/v1/grids/main/container_logs?limit=100&since=2018-01-01T00%3A00%3A00&nodes=core-1&services=shop%2Fweb",
        )],
    ),
    ("grid events", &[get("/v1/grids/main/event_logs?limit=100&nodes=core-1")]),
    ("grid audit-log", &[get("/v1/grids/main/audit_log?limit=30")]),
    ("grid user ls", &[get("/v1/grids/main/users")]),
    ("grid user add", &[made("/v1/grids/main/users", r#"{"email":"stranger@example.com"}"#)]),
    ("grid user rm", &[delete("/v1/grids/main/users/stranger@example.com")]),
    ("grid trusted-subnet ls", &[get("/v1/grids/main")]),
    (
        "grid trusted-subnet add",
        &[get("/v1/grids/main"), put("/v1/grids/main", r#"{"trusted_subnets":["10.0.0.0/8"]}"#)],
    ),
    ("grid trusted-subnet rm", &[get("/v1/grids/main"), put("/v1/grids/main", r#"{"trusted_subnets":[]}"#)]),
    ("node ls", &[get("/v1/grids/main"), get("/v1/grids/main/nodes")]),
    ("node show", &[get("/v1/nodes/main/core-1")]),
    (
        "node create",
        &[made("/v1/grids/main/nodes", r#"{"name":"made","token":"a-token-for-the-node","labels":["a=b"]}"#)],
    ),
    ("node update", &[put("/v1/nodes/main/made", r#"{"labels":["x"],"availability":"drain"}"#)]),
    ("node env", &[get("/v1/nodes/main/made/token"), step("GET", "/v1/nodes/main/core-1/token", "", 404)]),
    ("node reset-token", &[put("/v1/nodes/main/made/token", r#"{"token":null,"reset_connection":true}"#)]),
    (
        "node reset-token --clear-token",
        &[step("DELETE", "/v1/nodes/main/made/token", r#"{"reset_connection":true}"#, 200)],
    ),
    (
        "node health",
        &[get("/v1/nodes/main/core-1/health"), step("GET", "/v1/nodes/main/made/health", "", 422)],
    ),
    (
        "node label add",
        &[get("/v1/nodes/main/made"), put("/v1/nodes/main/made", r#"{"labels":["x","y=z"]}"#)],
    ),
    ("node ssh --any", &[get("/v1/grids/main/nodes")]),
    ("node rm", &[get("/v1/nodes/main/made"), delete("/v1/nodes/main/made")]),
    ("container ls", &[get("/v1/containers/main"), get("/v1/containers/main?all=1")]),
    ("container inspect", &[get("/v1/containers/main/core-1/kontena-agent/inspect")]),
    ("container logs", &[get("/v1/containers/main/core-1/kontena-agent/logs?limit=100")]),
    ("container logs, of nobody", &[step("GET", "/v1/containers/main/core-1/nope/logs?limit=100", "", 404)]),
    (
        "vpn config",
        &[step("POST", "/v1/containers/main/core-1/kontena-agent/exec", r#"{"cmd":["echo","x"]}"#, 200)],
    ),
    ("vault ls", &[get("/v1/grids/main/secrets")]),
    ("vault write", &[made("/v1/grids/main/secrets", r#"{"name":"fresh","value":"v"}"#)]),
    ("vault read", &[get("/v1/secrets/main/fresh"), step("GET", "/v1/secrets/main/nope", "", 404)]),
    (
        "vault update",
        &[
            put("/v1/secrets/main/fresh", r#"{"name":"fresh","value":"w","upsert":false}"#),
            step("PUT", "/v1/secrets/main/more", r#"{"name":"more","value":"w","upsert":true}"#, 201),
        ],
    ),
    ("vault export", &[get("/v1/grids/main/secrets"), get("/v1/secrets/main/fresh")]),
    ("vault rm", &[delete("/v1/secrets/main/fresh"), delete("/v1/secrets/main/more")]),
    (
        "volume create",
        &[made(
            "/v1/volumes/main",
            r#"{"name":"fresh","scope":"instance","driver":"local","driver_opts":{}}"#,
        )],
    ),
    ("volume ls", &[get("/v1/volumes/main")]),
    ("volume show", &[get("/v1/volumes/main/fresh")]),
    ("volume rm", &[delete("/v1/volumes/main/fresh")]),
    ("certificate ls", &[get("/v1/grids/main/certificates")]),
    ("certificate import", &[step("PUT", "/v1/certificates/main/shop.example.com", "{certificate}", 201)]),
    ("certificate show", &[get("/v1/certificates/main/shop.example.com")]),
    ("certificate export", &[get("/v1/certificates/main/shop.example.com/export")]),
    ("certificate rm", &[delete("/v1/certificates/main/shop.example.com")]),
    ("certificate domain-authorization ls", &[get("/v1/grids/main/domain_authorizations")]),
    ("certificate domain-authorization rm", &[delete("/v1/domain_authorizations/main/removed.example.com")]),
    (
        "external-registry add",
        &[made(
            "/v1/grids/main/external_registries",
            r#"{"url":"https://registry.example.com","username":"u","password":"p","email":"e@example.com"}"#,
        )],
    ),
    ("external-registry ls", &[get("/v1/grids/main/external_registries")]),
    ("external-registry rm", &[delete("/v1/external_registries/main/registry.example.com")]),
    ("etcd set", &[step("POST", "/v1/etcd/main//cmd/key", r#"{"value":"v"}"#, 200)]),
    ("etcd mkdir", &[step("POST", "/v1/etcd/main//cmd/dir", "{}", 200)]),
    ("etcd get", &[get("/v1/etcd/main//cmd/key")]),
    ("etcd ls", &[get("/v1/etcd/main//"), get("/v1/etcd/main//cmd?recursive=true")]),
    (
        "etcd rm",
        &[
            step("DELETE", "/v1/etcd/main//cmd/key", "{}", 200),
            step("DELETE", "/v1/etcd/main//cmd", r#"{"recursive":true}"#, 200),
        ],
    ),
    ("etcd health", &[get("/v1/grids/main/nodes"), get("/v1/nodes/main/core-1/health")]),
    (
        "stack install",
        &[
            get("/"),
            made("/v1/grids/main/stacks", PAIR),
            step("POST", "/v1/grids/main/stacks", PAIR, 422),
            step("POST", "/v1/stacks/main/pair/deploy", "{}", 200),
        ],
    ),
    ("stack ls", &[get("/v1/grids/main/stacks")]),
    ("stack show", &[get("/v1/stacks/main/pair"), get("/v1/services/main/pair/front")]),
    ("stack inspect", &[get("/v1/stacks/main/pair")]),
    ("stack upgrade", &[get("/v1/stacks/main/pair"), put("/v1/stacks/main/pair", PAIR)]),
    ("stack upgrade, of nobody", &[step("GET", "/v1/stacks/main/nope", "", 404)]),
    ("stack logs", &[get("/v1/stacks/main/pair/container_logs?limit=100")]),
    ("stack logs, of a service", &[get("/v1/grids/main/container_logs?limit=5&services=pair%2Ffront")]),
    ("stack events", &[get("/v1/stacks/main/pair/event_logs?limit=100")]),
    (
        "stack monitor",
        &[get("/v1/grids/main/services?stack=pair"), get("/v1/services/main/pair/front/containers")],
    ),
    (
        "stack label add",
        &[get("/v1/stacks/main/pair"), step("PATCH", "/v1/stacks/main/pair", r#"{"labels":["a=b"]}"#, 200)],
    ),
    ("stack restart", &[step("POST", "/v1/stacks/main/pair/restart", "{}", 200)]),
    ("stack stop", &[step("POST", "/v1/stacks/main/pair/stop", "{}", 200)]),
    ("stack rm", &[get("/v1/stacks/main/pair"), delete("/v1/stacks/main/pair")]),
];

/// A stack as the command line sends it.
const PAIR: &str = r#"{"name":"pair","stack":"acme/pair","version":"1.0","source":"stack: acme/pair","registry":"file://","expose":null,"labels":[],"variables":{},"metadata":{},"parent":null,"dependencies":null,"volumes":[],"services":[{"name":"front","image":"redis:3.0","stateful":false,"links":[]}]}"#;
