//! Containers, what they wrote and use, and what their engines are asked.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Kind, Route, Scene};
use crate::world::Request;

const CONTAINER: &str = "/v1/containers/main/core-1/kontena-agent";

pub(super) fn routes(scene: &Scene) -> Vec<Route> {
    let mut routes = containers(scene);
    routes.extend(etcd(scene));
    routes.extend(statistics(scene));
    routes
}

fn get(scene: &Scene, path: &str) -> Request {
    Request::new(Method::GET, path).token(&scene.admin)
}

/// A route of a container: as of a grid, and not without its node or itself.
fn of_container(route: Route, scene: &Scene, request: &Request) -> Route {
    let elsewhere = |from: &str, to: &str| {
        let mut request = request.clone();
        request.path = request.path.replacen(from, to, 1);
        request
    };
    let not_found = || json!({ "error": "Not found" });
    route.of_grid(scene, request).case(Kind::Missing, elsewhere("/core-1", "/nope"), 404, not_found()).case(
        Kind::Missing,
        elsewhere("/kontena-agent", "/nope"),
        404,
        not_found(),
    )
}

fn containers(scene: &Scene) -> Vec<Route> {
    let list = get(scene, "/v1/containers/main");
    let reading = |path: &'static str, request: Request| {
        of_container(Route::new("GET", path).good(request.clone(), 200), scene, &request)
    };
    let at = |sub: &str| get(scene, &format!("{CONTAINER}{sub}"));
    let run =
        |body: Value| Request::new(Method::POST, format!("{CONTAINER}/exec")).token(&scene.admin).json(&body);
    let mut upgrade = at("/exec?interactive=true");
    for (name, value) in [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ] {
        upgrade.headers.push((name.to_owned(), value.to_owned()));
    }
    let lines = get(scene, "/v1/grids/main/container_logs?nodes=core-1&services=shop/web,x&containers=a,b");
    vec![
        Route::new("GET", "/v1/containers/:grid")
            .good(list.clone(), 200)
            .good(get(scene, "/v1/containers/main?all=1"), 200)
            .of_grid(scene, &list),
        reading("/v1/containers/:grid/:node/:name", at("")),
        reading("/v1/containers/:grid/:node/:name/top", at("/top")),
        reading("/v1/containers/:grid/:node/:name/logs", at("/logs?limit=5")),
        reading("/v1/containers/:grid/:node/:name/inspect", at("/inspect")),
        of_container(
            Route::new("GET", "/v1/containers/:grid/:node/:name/exec").good(upgrade, 101).case(
                Kind::Missing,
                at("/exec"),
                404,
                None,
            ),
            scene,
            &at("/exec"),
        ),
        of_container(
            Route::new("POST", "/v1/containers/:grid/:node/:name/exec")
                .case(Kind::Success, run(json!({ "cmd": ["echo", "x"] })), 200, json!([["x\n"], [], 0]))
                .invalid(run(json!({})), &json!({ "cmd": "Cmd is required" }))
                .invalid(run(json!({ "cmd": 5 })), &json!({ "cmd": "Cmd isn't an array" }))
                .takes_json(&run(json!({ "cmd": ["true"] }))),
            scene,
            &run(json!({ "cmd": ["true"] })),
        ),
        Route::new("GET", "/v1/grids/:grid/container_logs")
            .good(lines.clone(), 200)
            .good(get(scene, "/v1/grids/main/container_logs?since=2099-01-01T00:00:00"), 200)
            .good(get(scene, "/v1/grids/main/container_logs?from=xyz"), 200)
            .of_grid(scene, &lines),
    ]
}

fn etcd(scene: &Scene) -> Vec<Route> {
    let at = |method: Method, key: &str| Request::new(method, format!("/v1/etcd/{key}")).token(&scene.admin);
    let set = |key: &str, body: Value| at(Method::POST, key).json(&body);
    let away = json!({ "error": "Not connected to any nodes" });
    let key = "main//tests/key";
    vec![
        Route::new("POST", "/v1/etcd/:grid/:key")
            .case(Kind::Success, set(key, json!({ "value": "v" })), 200, json!({ "value": "v" }))
            .case(Kind::Success, set("main//tests/dir", json!({})), 200, json!({ "value": null }))
            .invalid(set(key, json!({ "value": [] })), &json!({ "value": "Value isn't a string" }))
            .takes_json(&set(key, json!({})))
            .case(Kind::Missing, set("other//key", json!({})), 404, away.clone())
            .of_grid(scene, &set(key, json!({}))),
        Route::new("GET", "/v1/etcd/:grid/:key")
            .case(Kind::Success, at(Method::GET, key), 200, json!({ "value": "v" }))
            .good(at(Method::GET, "main//?recursive=true"), 200)
            .case(Kind::Missing, at(Method::GET, "other//key"), 404, away.clone())
            .of_grid(scene, &at(Method::GET, key)),
        Route::new("DELETE", "/v1/etcd/:grid/:key")
            .good(at(Method::DELETE, key), 200)
            .good(at(Method::DELETE, "main//tests").json(&json!({ "recursive": true })), 200)
            .takes_json(&at(Method::DELETE, "main//nothing"))
            .case(Kind::Missing, at(Method::DELETE, "other//key"), 404, away)
            .of_grid(scene, &at(Method::DELETE, "main//nothing")),
    ]
}

fn statistics(scene: &Scene) -> Vec<Route> {
    // Below this path the handlers themselves ask for a token.
    let soft = |route: Route, request: Request| {
        let refused = json!({ "error": "access_denied", "error_description": null });
        let unknown = request.clone().token(&"0".repeat(64));
        let denied = request.clone().token(&scene.stranger);
        let mut missing = request;
        missing.path = missing.path.replacen("/core-1", "/nope", 1);
        route
            .case(Kind::WrongToken, unknown, 403, refused)
            .case(Kind::Forbidden, denied, 403, json!({ "error": "Access denied" }))
            .case(Kind::Missing, missing, 404, json!({ "error": "Not found" }))
    };
    let metrics = |route: Route, base: &str| {
        route
            .good(get(scene, base), 200)
            .good(get(scene, &format!("{base}?from=2018-01-01&to=2018-01-02T10:00:00")), 200)
            .invalid(get(scene, &format!("{base}?from=then")), &json!({ "from": "From is invalid" }))
            .invalid(get(scene, &format!("{base}?to=x")), &json!({ "to": "To is invalid" }))
    };
    let stats = |route: Route, base: &str| {
        ["cpu", "memory", "rx_bytes", "tx_bytes"]
            .into_iter()
            .fold(route, |route, sort| route.good(get(scene, &format!("{base}?sort={sort}&limit=3")), 200))
    };
    let grid = |sub: &str| get(scene, &format!("/v1/grids/main/{sub}"));
    let node = |sub: &str| get(scene, &format!("/v1/nodes/main/core-1/{sub}"));
    let mut old = Route::new("GET", "/v1/grids/:grid/stats/:kind");
    for kind in ["containers", "memory_usage", "cpu_usage", "filesystem_usage"] {
        old = old.case(Kind::Success, grid(&format!("stats/{kind}")), 200, json!({ "stats": [] }));
    }
    vec![
        metrics(Route::new("GET", "/v1/grids/:grid/metrics"), "/v1/grids/main/metrics")
            .of_grid(scene, &grid("metrics")),
        stats(Route::new("GET", "/v1/grids/:grid/stats"), "/v1/grids/main/stats")
            .of_grid(scene, &grid("stats")),
        old.of_grid(scene, &grid("stats/containers")),
        soft(
            metrics(Route::new("GET", "/v1/nodes/:grid/:node/metrics"), "/v1/nodes/main/core-1/metrics"),
            node("metrics"),
        ),
        soft(
            stats(Route::new("GET", "/v1/nodes/:grid/:node/stats"), "/v1/nodes/main/core-1/stats"),
            node("stats"),
        ),
    ]
}
