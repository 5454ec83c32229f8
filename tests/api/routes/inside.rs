//! Grids and what is in them.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Kind, Route, Scene};
use crate::world::Request;

pub(super) fn not_found() -> Value {
    json!({ "error": "Not found" })
}

/// Requests of an administrator.
pub(super) struct By<'a>(pub(super) &'a Scene);

impl By<'_> {
    pub(super) fn at(&self, method: Method, path: &str) -> Request {
        Request::new(method, path).token(&self.0.admin)
    }

    pub(super) fn get(&self, path: &str) -> Request {
        self.at(Method::GET, path)
    }

    pub(super) fn delete(&self, path: &str) -> Request {
        self.at(Method::DELETE, path)
    }

    pub(super) fn post(&self, path: &str, body: &Value) -> Request {
        self.at(Method::POST, path).json(body)
    }

    pub(super) fn put(&self, path: &str, body: &Value) -> Request {
        self.at(Method::PUT, path).json(body)
    }
}

pub(super) fn routes(scene: &Scene) -> Vec<Route> {
    let mut routes = grids(scene);
    routes.extend(members(scene));
    routes.extend(nodes(scene));
    routes.extend(secrets(scene));
    routes.extend(volumes_and_registries(scene));
    routes.extend(certificates(scene));
    routes.extend(logs(scene));
    routes
}

/// A route that only reads, of a grid.
fn reading(scene: &Scene, path: &'static str, request: &Request) -> Route {
    Route::new("GET", path).good(request.clone(), 200).of_grid(scene, request)
}

fn grids(scene: &Scene) -> Vec<Route> {
    let by = By(scene);
    let create = |body: Value| by.post("/v1/grids", &body);
    let update = |body: Value| by.put("/v1/grids/main", &body);
    let settings = json!({
        "default_affinity": ["label==a"],
        "trusted_subnets": ["10.0.0.0/8"],
        "stats": { "statsd": { "server": "s", "port": "8125" } },
        "logs": { "forwarder": "fluentd", "opts": { "fluentd-address": "x:1" } },
    });
    let not_allowed = json!({ "error": { "user": "Operation not allowed" } });
    let both = |route: Route, request: &dyn Fn(Value) -> Request| {
        route
            .invalid(
                request(json!({ "stats": { "statsd": { "server": "s", "port": "x" } } })),
                &json!({ "stats": { "statsd": { "port": "Port isn't an integer" } } }),
            )
            .invalid(
                request(json!({ "stats": { "statsd": { "server": "s" } } })),
                &json!({ "stats": { "statsd": { "port": "Port is required" } } }),
            )
            .invalid(request(json!({ "stats": 5 })), &json!({ "stats": "Stats isn't a hash" }))
            .invalid(
                request(json!({ "trusted_subnets": ["notasubnet"] })),
                &json!({ "trusted_subnets": "Invalid trusted_subnet notasubnet" }),
            )
            .invalid(
                request(json!({ "trusted_subnets": "x" })),
                &json!({ "trusted_subnets": "Trusted Subnets isn't an array" }),
            )
            .invalid(
                request(json!({ "default_affinity": ["a", {}] })),
                &json!({ "default_affinity": [null, "Default Affinity[1] isn't a string"] }),
            )
            .invalid(
                request(json!({ "logs": { "forwarder": "x" } })),
                &json!({ "logs": { "forwarder": "Forwarder isn't an option" } }),
            )
            .invalid(
                request(json!({ "logs": { "forwarder": "fluentd" } })),
                &json!({ "logs": "fluentd-address option must be given" }),
            )
            .takes_json(&request(json!({})))
    };
    let list = by.get("/v1/grids");
    let named = |body: Value| {
        let mut body = body;
        body["name"] = "unmade".into();
        create(body)
    };
    vec![
        Route::new("GET", "/v1/grids").good(list.clone(), 200).good(list.clone().token(&scene.member), 200).protected(&list),
        both(Route::new("POST", "/v1/grids"), &named)
            .good(create(json!({})), 201)
            .good(create(json!({ "name": "whole", "initial_size": 7, "subnet": "10.1.0.0/16", "supernet": "10.0.0.0/8", "logs": { "forwarder": "none" }, "stats": { "statsd": null } })), 201)
            .invalid(create(json!({ "name": "main" })), &json!({ "grid": "Grid with name main already exists" }))
            .invalid(create(json!({ "name": "fresh", "token": "token-of-main" })), &json!({ "token": "is already taken" }))
            .invalid(create(json!({ "name": "ab" })), &json!({ "name": "Name is too short" }))
            .invalid(create(json!({ "name": "bad name!", "initial_size": "x" })), &json!({ "name": "Name isn't in the right format", "initial_size": "Initial Size isn't an integer" }))
            .invalid(named(json!({ "initial_size": 0 })), &json!({ "initial_size": "Initial Size is too small" }))
            .invalid(named(json!({ "initial_size": 8 })), &json!({ "initial_size": "Initial Size is too big" }))
            .invalid(named(json!({ "subnet": "300.1.1.0/24" })), &json!({ "subnet": "invalid address: 300.1.1.0/24" }))
            .invalid(named(json!({ "supernet": "x" })), &json!({ "supernet": "invalid address: x" }))
            .case(Kind::Forbidden, named(json!({})).token(&scene.member), 422, not_allowed.clone())
            .protected(&named(json!({}))),
        reading(scene, "/v1/grids/:grid", &by.get("/v1/grids/main")),
        both(Route::new("PUT", "/v1/grids/:grid"), &update)
            .good(update(settings), 200)
            .good(update(json!({ "logs": { "forwarder": "none" }, "stats": { "statsd": null } })), 200)
            .case(Kind::Forbidden, update(json!({})).token(&scene.member), 422, not_allowed.clone())
            .of_grid(scene, &update(json!({}))),
        Route::new("DELETE", "/v1/grids/:grid")
            .case(Kind::Forbidden, by.delete("/v1/grids/main").token(&scene.member), 422, json!({ "error": { "user": "Operation not allowed", "grid": "Grid has nodes" } }))
            .invalid(by.delete("/v1/grids/main"), &json!({ "grid": "Grid has nodes" }))
            .of_grid(scene, &by.delete("/v1/grids/main"))
            .good(by.delete("/v1/grids/empty"), 200)
            .case(Kind::Missing, by.delete("/v1/grids/empty"), 404, not_found()),
    ]
}

fn members(scene: &Scene) -> Vec<Route> {
    let by = By(scene);
    let path = "/v1/grids/main/users";
    let assign = |body: Value| by.post(path, &body);
    let good = assign(json!({ "email": "member@example.com" }));
    let unassign = |email: &str| by.delete(&format!("{path}/{email}"));
    let not_allowed = || json!({ "error": { "grid": "Operation not allowed" } });
    let unknown = || json!({ "error": "User not found" });
    vec![
        reading(scene, "/v1/grids/:grid/users", &by.get(path)),
        Route::new("POST", "/v1/grids/:grid/users")
            .good(good.clone(), 201)
            .invalid(assign(json!({})), &json!({ "email": "Email is required" }))
            .takes_json(&good)
            .case(Kind::Missing, assign(json!({ "email": "no@x.y" })), 404, unknown())
            .case(Kind::Forbidden, good.clone().token(&scene.member), 422, not_allowed())
            .of_grid(scene, &good),
        Route::new("DELETE", "/v1/grids/:grid/users/:email")
            .invalid(unassign("stranger@example.com"), &json!({ "user": "Invalid user" }))
            .invalid(by.delete("/v1/grids/other/users/admin"), &json!({ "grid": "Cannot remove last user" }))
            .case(Kind::Missing, unassign("no@x.y"), 404, unknown())
            .case(Kind::Forbidden, unassign("admin").token(&scene.member), 422, not_allowed())
            .of_grid(scene, &unassign("admin"))
            .good(unassign("admin"), 200),
    ]
}

fn nodes(scene: &Scene) -> Vec<Route> {
    let by = By(scene);
    let create = |body: Value| by.post("/v1/grids/main/nodes", &body);
    let node = "/v1/nodes/main/kept";
    let update = |body: Value| by.put(node, &body);
    let token = "/v1/nodes/main/kept/token";
    let set = |body: Value| by.put(token, &body);
    let denied = || json!({ "error": "Access denied" });
    let refused = oauth_denied();
    let legacy = |method: Method, node: &str, token: Option<&str>| {
        let mut request =
            Request::new(method, format!("/v1/nodes/{node}")).json(&json!({ "labels": ["a=b"] }));
        request.headers.extend(token.map(|token| ("Kontena-Grid-Token".to_owned(), token.to_owned())));
        request
    };
    // Below this path the handlers themselves ask for a token.
    let soft = |route: Route, request: Request| {
        let denied = request.clone().token(&scene.stranger);
        let mut missing = request.clone();
        missing.path = missing.path.replacen("/kept", "/nope", 1);
        let unknown = request.clone().token(&"0".repeat(64));
        let mut without = request;
        without.token = None;
        route
            .case(Kind::WrongToken, unknown, 403, refused.clone())
            .case(Kind::WrongToken, without, 403, refused.clone())
            .case(Kind::Forbidden, denied, 403, json!({ "error": "Access denied" }))
            .case(Kind::Missing, missing, 404, not_found())
    };
    let short = json!({ "token": "is too short (minimum is 16 characters)" });
    let long = json!({ "token": "is too long (maximum is 256 characters)" });
    let in_use = json!({ "token": "Node with token already exists" });
    vec![
        reading(scene, "/v1/grids/:grid/nodes", &by.get("/v1/grids/main/nodes")),
        Route::new("POST", "/v1/grids/:grid/nodes")
            .good(create(json!({ "name": "new", "labels": ["a=b", "c"] })), 201)
            .invalid(create(json!({})), &json!({ "name": "Name is required" }))
            .invalid(create(json!({ "name": "bad.name" })), &json!({ "name": "Name isn't in the right format" }))
            .invalid(create(json!({ "name": "kept" })), &json!({ "name": "Node with name kept already exists" }))
            .invalid(create(json!({ "name": "x", "labels": "x" })), &json!({ "labels": "Labels isn't an array" }))
            .invalid(create(json!({ "name": "x", "token": "short" })), &short)
            .invalid(create(json!({ "name": "x", "token": "x".repeat(257) })), &long)
            .invalid(create(json!({ "name": "x", "token": "token-of-node-kept" })), &in_use)
            .takes_json(&create(json!({ "name": "x" })))
            .case(Kind::Forbidden, create(json!({ "name": "x" })).token(&scene.member), 403, denied())
            .of_grid(scene, &create(json!({ "name": "x" }))),
        soft(Route::new("GET", "/v1/nodes/:grid/:node").good(by.get(node), 200).good(by.get("/v1/nodes/main/AA:BB"), 200), by.get(node)),
        soft(
            Route::new("PUT", "/v1/nodes/:grid/:node")
                .good(update(json!({ "labels": ["region=x"], "availability": "drain" })), 200)
                .invalid(update(json!({ "availability": "maybe", "labels": 5 })), &json!({ "availability": "Availability isn't an option", "labels": "Labels isn't an array" }))
                .takes_json(&update(json!({}))),
            update(json!({})),
        ),
        soft(
            Route::new("GET", "/v1/nodes/:grid/:node/token")
                .case(Kind::Success, by.get(token), 200, json!({ "id": "main/kept", "token": "token-of-node-kept" }))
                .case(Kind::Forbidden, by.get(token).token(&scene.member), 403, denied()),
            by.get(token),
        ),
        soft(
            Route::new("PUT", "/v1/nodes/:grid/:node/token")
                .good(set(json!({ "token": "another-token-of-kept", "reset_connection": true })), 200)
                .good(set(json!({ "token": null })), 200)
                .invalid(set(json!({ "token": "short" })), &short)
                .invalid(set(json!({ "token": " " })), &json!({ "token": "Token can't be blank" }))
                .invalid(set(json!({ "token": "token-of-node-removed" })), &in_use)
                .invalid(set(json!({ "reset_connection": "x" })), &json!({ "reset_connection": "Reset Connection isn't a boolean" }))
                .takes_json(&set(json!({})))
                .case(Kind::Forbidden, set(json!({})).token(&scene.member), 403, denied()),
            set(json!({})),
        ),
        soft(
            Route::new("DELETE", "/v1/nodes/:grid/:node/token")
                .case(Kind::Forbidden, by.delete(token).token(&scene.member), 403, denied())
                .good(by.delete(token).json(&json!({ "reset_connection": true })), 200)
                .case(Kind::Missing, by.get(token), 404, None),
            by.delete(token),
        ),
        soft(
            Route::new("GET", "/v1/nodes/:grid/:node/health").case(
                Kind::Success,
                by.get("/v1/nodes/main/kept/health"),
                422,
                json!({ "error": { "connection": "Websocket is not connected" } }),
            ),
            by.get("/v1/nodes/main/kept/health"),
        ),
        Route::new("GET", "/v1/nodes/:node_id")
            .good(legacy(Method::GET, "AA:BB", Some("token-of-main")), 200)
            .case(Kind::Missing, legacy(Method::GET, "CC:DD", Some("token-of-main")), 404, json!({ "error": "Node not found" }))
            .case(Kind::WrongToken, legacy(Method::GET, "AA:BB", Some("x")), 404, not_found())
            .case(Kind::WrongToken, legacy(Method::GET, "AA:BB", None), 404, not_found()),
        Route::new("PUT", "/v1/nodes/:node_id")
            .good(legacy(Method::PUT, "AA:BB", Some("token-of-main")), 200)
            .invalid(legacy(Method::PUT, "AA:BB", Some("token-of-main")).raw("{\"labels\": 1}"), &json!({ "labels": "Labels isn't an array" }))
            .case(Kind::WrongToken, legacy(Method::PUT, "AA:BB", Some("x")), 404, not_found()),
        soft(Route::new("DELETE", "/v1/nodes/:grid/:node"), by.delete(node))
            .good(by.delete("/v1/nodes/main/removed"), 200)
            .case(Kind::Missing, by.delete("/v1/nodes/main/removed"), 404, not_found()),
    ]
}

fn oauth_denied() -> Value {
    json!({ "error": "access_denied", "error_description": null })
}

fn secrets(scene: &Scene) -> Vec<Route> {
    let by = By(scene);
    let create = |body: Value| by.post("/v1/grids/main/secrets", &body);
    let at = "/v1/secrets/main/kept";
    let update = |body: Value| by.put(at, &body);
    let nope = "/v1/secrets/main/nope";
    let blank = json!({ "value": "Value can't be blank" });
    vec![
        reading(scene, "/v1/grids/:grid/secrets", &by.get("/v1/grids/main/secrets")),
        Route::new("POST", "/v1/grids/:grid/secrets")
            .good(create(json!({ "name": "new", "value": " trimmed \n" })), 201)
            .invalid(create(json!({})), &json!({ "name": "Name is required", "value": "Value is required" }))
            .invalid(
                create(json!({ "name": "-x", "value": "v" })),
                &json!({ "name": "Name isn't in the right format" }),
            )
            .invalid(create(json!({ "name": "x", "value": " " })), &blank)
            .invalid(create(json!({ "name": "x", "value": [] })), &json!({ "value": "Value isn't a string" }))
            .invalid(create(json!({ "name": "kept", "value": "v" })), &json!({ "name": "is already taken" }))
            .takes_json(&create(json!({})))
            .of_grid(scene, &create(json!({ "name": "x", "value": "v" }))),
        Route::new("PUT", "/v1/grids/:grid/secrets/:name")
            .good(by.put("/v1/grids/main/secrets/kept", &json!({ "value": "older route" })), 200)
            .invalid(
                by.put("/v1/grids/main/secrets/kept", &json!({})),
                &json!({ "value": "Value is required" }),
            )
            .of_grid(scene, &by.put("/v1/grids/main/secrets/kept", &json!({ "value": "v" }))),
        Route::new("PUT", "/v1/secrets/:grid/:name")
            .good(update(json!({ "value": "changed" })), 200)
            .good(
                by.put(
                    "/v1/secrets/main/upserted",
                    &json!({ "name": "upserted", "value": "v", "upsert": true }),
                ),
                201,
            )
            .invalid(update(json!({ "value": "" })), &blank)
            .invalid(
                by.put(nope, &json!({ "value": "v", "upsert": true })),
                &json!({ "name": "Name is required" }),
            )
            .case(Kind::Missing, by.put(nope, &json!({ "value": "v" })), 404, Value::Null)
            .takes_json(&update(json!({})))
            .of_grid(scene, &update(json!({ "value": "v" }))),
        reading(scene, "/v1/secrets/:grid/:name", &by.get(at)).case(
            Kind::Missing,
            by.get(nope),
            404,
            not_found(),
        ),
        Route::new("DELETE", "/v1/secrets/:grid/:name")
            .of_grid(scene, &by.delete(at))
            .good(by.delete("/v1/secrets/main/removed"), 200)
            .case(Kind::Missing, by.delete("/v1/secrets/main/removed"), 404, not_found()),
    ]
}

fn volumes_and_registries(scene: &Scene) -> Vec<Route> {
    let by = By(scene);
    let create = |body: Value| by.post("/v1/volumes/main", &body);
    let volume = |name: &str, driver: &str| json!({ "name": name, "scope": "grid", "driver": driver, "driver_opts": { "o.addr": "x" } });
    let add = |body: Value| by.post("/v1/grids/main/external_registries", &body);
    let registry = |url: &str| json!({ "url": url, "username": "u", "password": "p" });
    let no_volume = || json!({ "error": "Volume nope not found" });
    vec![
        reading(scene, "/v1/volumes/:grid", &by.get("/v1/volumes/main")),
        Route::new("POST", "/v1/volumes/:grid")
            .good(create(volume("new", "local")), 201)
            .invalid(create(json!({})), &json!({ "name": "Name is required", "scope": "Scope is required", "driver": "Driver is required" }))
            .invalid(create(volume("bad name", "local")), &json!({ "name": "Name isn't in the right format" }))
            .invalid(create(volume("kept", "local")), &json!({ "name": "Volume with given name already exists" }))
            .invalid(create(volume("x", "rexray:1")), &json!({ "driver": "Driver version tag cannot be used" }))
            .invalid(create(json!({ "name": "x", "scope": "galaxy", "driver": "local", "driver_opts": 1 })), &json!({ "scope": "Scope isn't an option", "driver_opts": "Driver Opts isn't the right class" }))
            .takes_json(&create(json!({})))
            .case(Kind::Missing, by.post("/v1/volumes/nope", &volume("x", "local")), 404, json!({ "error": "Grid nope not found" }))
            .of_grid(scene, &create(volume("x", "local"))),
        reading(scene, "/v1/volumes/:grid/:volume", &by.get("/v1/volumes/main/used")).case(Kind::Missing, by.get("/v1/volumes/main/nope"), 404, no_volume()),
        Route::new("DELETE", "/v1/volumes/:grid/:volume")
            .invalid(by.delete("/v1/volumes/main/used"), &json!({ "used": "Volume still in use in services [\"main/shop/web\"]" }))
            .of_grid(scene, &by.delete("/v1/volumes/main/kept"))
            .case(Kind::Missing, by.delete("/v1/volumes/main/nope"), 404, no_volume())
            .good(by.delete("/v1/volumes/main/removed"), 200),
        reading(scene, "/v1/grids/:grid/external_registries", &by.get("/v1/grids/main/external_registries")),
        Route::new("POST", "/v1/grids/:grid/external_registries")
            .good(add(registry("https://new.example.com/v2/")), 201)
            .invalid(add(json!({})), &json!({ "url": "Url is required", "username": "Username is required", "password": "Password is required" }))
            .invalid(add(registry("ftp://x")), &json!({ "url": "Url isn't in the right format" }))
            .invalid(add(registry("http://kept:5000")), &json!({ "name": "is already taken" }))
            .takes_json(&add(json!({})))
            .of_grid(scene, &add(registry("http://x"))),
        reading(scene, "/v1/external_registries/:grid/:name", &by.get("/v1/external_registries/main/kept:5000"))
            .case(Kind::Missing, by.get("/v1/external_registries/main/nope"), 404, not_found()),
        Route::new("DELETE", "/v1/external_registries/:grid/:name")
            .of_grid(scene, &by.delete("/v1/external_registries/main/kept:5000"))
            .case(Kind::Success, by.delete("/v1/external_registries/main/removed:5000"), 200, Value::Null)
            .case(Kind::Missing, by.delete("/v1/external_registries/main/removed:5000"), 404, not_found()),
    ]
}

fn certificates(scene: &Scene) -> Vec<Route> {
    let by = By(scene);
    let at = "/v1/certificates/main/shop.example.com";
    let import = |body: &Value| by.put(at, body);
    let garbage = json!({ "certificate": "garbage", "private_key": "garbage", "chain": [] });
    // As programs write keys of elliptic curves.
    let mut behind_parameters = scene.certificate.clone();
    let key = scene.certificate["private_key"].as_str().unwrap_or_default();
    behind_parameters["private_key"] =
        format!("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{key}").into();
    let mut encrypted = scene.certificate.clone();
    encrypted["private_key"] =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n".into();
    // Nobody answers for the authority here; it does in `certificates.rs`.
    let asking = |path: &'static str, last: &str| {
        let body = json!({
            "email": "a@b.c", "domain": "x.y", "secret_name": "S", "domains": ["no.example.com"],
        });
        let request = by.post(&format!("/v1/certificates/main/{last}"), &body);
        Route::new("POST", path).good(request.clone(), 422).takes_json(&request).of_grid(scene, &request)
    };
    let domains = "/v1/grids/main/domain_authorizations";
    let authorize = |body: Value| by.post(domains, &body);
    let missing = || json!({ "error": "Domain authorization not found)" });
    let domain = |name: &str| format!("/v1/domain_authorizations/main/{name}.example.com");
    let registration = "Let's Encrypt registration missing";
    vec![
        reading(scene, "/v1/grids/:grid/certificates", &by.get("/v1/grids/main/certificates")),
        Route::new("POST", "/v1/grids/:grid/certificates")
            .good(by.post("/v1/grids/main/certificates", &json!({ "domains": ["kept.example.com"] })), 422)
            .invalid(by.post("/v1/grids/main/certificates", &json!({ "domains": ["no.example.com"] })), &json!({ "authorization": "Domain authorization not found for domain no.example.com" }))
            .invalid(by.post("/v1/grids/main/certificates", &json!({})), &json!({ "domains": "Domains is required" }))
            .of_grid(scene, &by.post("/v1/grids/main/certificates", &json!({ "domains": ["x"] }))),
        Route::new("PUT", "/v1/certificates/:grid/:subject")
            .good(import(&scene.certificate), 201)
            .good(import(&behind_parameters), 201)
            .invalid(import(&encrypted), &json!({ "private_key": "Could not parse PKey: no start line" }))
            .invalid(import(&json!({})), &json!({ "certificate": "Certificate is required", "private_key": "Private Key is required" }))
            .invalid(import(&garbage), &json!({ "certificate": "not enough data", "private_key": "Could not parse PKey: no start line" }))
            .invalid(by.put("/v1/certificates/main/x.y", &scene.certificate), &json!({ "subject": "Certificate subject 'shop.example.com' does not match expected subject 'x.y'" }))
            .takes_json(&import(&json!({})))
            .of_grid(scene, &import(&scene.certificate)),
        reading(scene, "/v1/certificates/:grid/:subject", &by.get(at)).case(Kind::Missing, by.get("/v1/certificates/main/x.y"), 404, not_found()),
        reading(scene, "/v1/certificates/:grid/:subject/export", &by.get(&format!("{at}/export"))),
        asking("/v1/certificates/:grid/register", "register"),
        asking("/v1/certificates/:grid/authorize", "authorize"),
        asking("/v1/certificates/:grid/certificate", "certificate"),
        Route::new("DELETE", "/v1/certificates/:grid/:subject")
            .invalid(by.delete("/v1/certificates/main/used.example.com"), &json!({ "certificate": "Certificate still in use in services: main/shop/web" }))
            .of_grid(scene, &by.delete(at))
            .good(by.delete(at), 200)
            .case(Kind::Missing, by.delete(at), 404, not_found()),
        reading(scene, "/v1/grids/:grid/domain_authorizations", &by.get(domains)),
        Route::new("POST", "/v1/grids/:grid/domain_authorizations")
            .good(authorize(json!({ "domain": "x.y" })), 422)
            .invalid(authorize(json!({})), &json!({ "domain": "Domain is required" }))
            .invalid(authorize(json!({ "domain": "x.y" })), &json!({ "le_registration": registration }))
            .invalid(authorize(json!({ "domain": "x.y", "authorization_type": "http-01" })), &json!({ "le_registration": registration, "linked_service": "Service link needs to be given for the http-01 authorization type" }))
            .invalid(authorize(json!({ "domain": "x.y", "authorization_type": "x" })), &json!({ "authorization_type": "Authorization Type isn't an option" }))
            .takes_json(&authorize(json!({})))
            .of_grid(scene, &authorize(json!({ "domain": "x.y" }))),
        reading(scene, "/v1/domain_authorizations/:grid/:domain", &by.get(&domain("kept"))).case(Kind::Missing, by.get(&domain("no")), 404, missing()),
        Route::new("DELETE", "/v1/domain_authorizations/:grid/:domain")
            .of_grid(scene, &by.delete(&domain("kept")))
            .good(by.delete(&domain("removed")), 200)
            .case(Kind::Missing, by.delete(&domain("removed")), 404, missing()),
    ]
}

fn logs(scene: &Scene) -> Vec<Route> {
    let by = By(scene);
    let events = |query: &str| by.get(&format!("/v1/grids/main/event_logs{query}"));
    let none = || json!({ "logs": [] });
    let audit = by.get("/v1/grids/main/audit_log?limit=3");
    vec![
        reading(scene, "/v1/grids/:grid/event_logs", &events("?limit=5"))
            .good(events("?since=2020-01-01T00:00:00Z&stacks=null&limit=-1"), 200)
            .good(events("?from=000000000000000000000000"), 200)
            .case(Kind::Success, events("?from=xyz"), 200, none())
            .case(Kind::Success, events("?since=yesterday"), 200, none())
            .case(Kind::Success, events("?nodes=nope"), 200, none())
            .case(Kind::Success, events("?services=shop/web,nope"), 200, none()),
        reading(scene, "/v1/grids/:grid/audit_log", &audit),
    ]
}
