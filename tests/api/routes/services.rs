//! Services and what is below them.

use reqwest::Method;
use serde_json::{Value, json};

use super::inside::{By, not_found};
use super::{Kind, Route, Scene};
use crate::world::Request;

const NOBODY: &str = "000000000000000000000000";

pub(super) fn routes(scene: &Scene) -> Vec<Route> {
    let mut routes = made(scene);
    routes.extend(read(scene));
    // A stop frees the deploy that a master far away has in hand, so that this one ends it.
    routes.extend(parts(scene));
    routes.extend(turned(scene));
    routes.push(removed(scene));
    routes
}

/// Of a service: of its grid, and not without the service or its stack.
fn of_service(route: Route, scene: &Scene, request: &Request) -> Route {
    let without = |part: &str, other: &str| {
        let mut missing = request.clone();
        missing.path = missing.path.replacen(part, other, 1);
        missing
    };
    route
        .of_grid(scene, request)
        .case(Kind::Missing, without("/shop/web", "/shop/nope"), 404, not_found())
        .case(Kind::Missing, without("/shop/web", "/nope/web"), 404, not_found())
}

fn made(scene: &Scene) -> Vec<Route> {
    let by = By(scene);
    let create = |body: Value| by.post("/v1/grids/main/services", &body);
    let with = |more: Value| {
        let mut body = json!({ "name": "api", "image": "redis:3.0", "stateful": false });
        if let (Some(body), Some(more)) = (body.as_object_mut(), more.as_object()) {
            body.extend(more.clone());
        }
        create(body)
    };
    let whole = json!({ "container_count": "2", "secrets": [{ "secret": "kept", "name": "X" }] });
    let update = |body: Value| by.put("/v1/services/main/shop/web", &body);
    let links = |name: &str| json!({ "links": [{ "name": name, "alias": "x" }] });
    vec![
        Route::new("GET", "/v1/grids/:grid/services")
            .good(by.get("/v1/grids/main/services"), 200)
            .good(by.get("/v1/grids/main/services?stack=shop"), 200)
            .case(
                Kind::Missing,
                by.get("/v1/grids/main/services?stack=nope"),
                404,
                json!({ "error": "Stack not found" }),
            )
            .of_grid(scene, &by.get("/v1/grids/main/services")),
        Route::new("POST", "/v1/grids/:grid/services")
            .good(with(whole.clone()), 201)
            .invalid(with(whole), &json!({ "name": "is already taken" }))
            .invalid(
                create(json!({ "name": "x", "image": "y" })),
                &json!({ "stateful": "Stateful is required" }),
            )
            .invalid(with(links("missing")), &json!({ "links": ["Service null/missing does not exist"] }))
            .invalid(
                with(links("nope/missing")),
                &json!({ "links": ["Link nope/missing points to non-existing stack"] }),
            )
            .invalid(
                with(json!({ "secrets": [{ "secret": "nope", "name": "X" }] })),
                &json!({ "secrets": ["Secret nope does not exist"] }),
            )
            .invalid(
                with(json!({ "certificates": [{ "subject": "nope.example.com", "name": "X" }] })),
                &json!({ "certificates": ["Certificate nope.example.com does not exist"] }),
            )
            .invalid(with(json!({ "strategy": "odd" })), &json!({ "strategy": "Strategy not supported" }))
            .invalid(
                with(json!({ "env": ["A=1", "=x"] })),
                &json!({ "env": [null, "Env[1] isn't in the right format"] }),
            )
            .of_grid(scene, &with(json!({ "name": "other" })))
            .takes_json(&with(json!({}))),
        of_service(
            Route::new("PUT", "/v1/services/:grid/:stack/:service")
                .good(update(json!({ "env": ["A=1"], "force": true })), 200)
                .invalid(
                    update(json!({ "instances": "many", "image": "" })),
                    &json!({ "image": "Image can't be blank", "instances": "Instances isn't an integer" }),
                )
                .invalid(update(links("nope")), &json!({ "links": ["Service shop/nope does not exist"] }))
                .takes_json(&update(json!({}))),
            scene,
            &update(json!({ "env": ["B=1"] })),
        ),
    ]
}

fn read(scene: &Scene) -> Vec<Route> {
    let by = By(scene);
    let mut routes = Vec::new();
    for (path, below) in [
        ("/v1/services/:grid/:stack/:service", ""),
        ("/v1/services/:grid/:stack/:service/instances", "/instances"),
        ("/v1/services/:grid/:stack/:service/containers", "/containers"),
        ("/v1/services/:grid/:stack/:service/stats", "/stats"),
        ("/v1/services/:grid/:stack/:service/metrics", "/metrics"),
        ("/v1/services/:grid/:stack/:service/container_logs", "/container_logs"),
        ("/v1/services/:grid/:stack/:service/event_logs", "/event_logs"),
    ] {
        let request = by.get(&format!("/v1/services/main/shop/web{below}"));
        routes.push(of_service(Route::new("GET", path).good(request.clone(), 200), scene, &request));
    }
    routes
}

fn turned(scene: &Scene) -> Vec<Route> {
    let by = By(scene);
    let mut routes = Vec::new();
    for (path, below, body) in [
        ("/v1/services/:grid/:stack/:service/deploy", "/deploy", json!({ "force": true })),
        ("/v1/services/:grid/:stack/:service/scale", "/scale", json!({ "instances": "2" })),
        ("/v1/services/:grid/:stack/:service/restart", "/restart", json!({})),
        ("/v1/services/:grid/:stack/:service/stop", "/stop", json!({})),
        ("/v1/services/:grid/:stack/:service/start", "/start", json!({})),
        ("/v1/services/:grid/:stack/:service/envs", "/envs", json!({ "env": "A=1" })),
    ] {
        let request = by.post(&format!("/v1/services/main/shop/web{below}"), &body);
        let mut route = Route::new("POST", path).good(request.clone(), 200);
        if below == "/scale" {
            let wrong = by.post("/v1/services/main/shop/web/scale", &json!({ "instances": "x" }));
            route = route.invalid(wrong, &json!({ "instances": "Instances isn't an integer" }));
        }
        if below == "/envs" {
            let wrong = by.post("/v1/services/main/shop/web/envs", &json!({}));
            route = route.case(Kind::Invalid, wrong, 422, json!({ "env": "Env is required" }));
        }
        routes.push(of_service(route, scene, &request));
    }
    routes
}

fn parts(scene: &Scene) -> Vec<Route> {
    let by = By(scene);
    let at = |method: Method, below: &str| by.at(method, &format!("/v1/services/main/shop/web/{below}"));
    let deploy = at(Method::GET, &format!("deploys/{}", scene.deploy));
    let cancel = at(Method::POST, &format!("deploys/{}/cancel", scene.open_deploy));
    let instance = at(Method::GET, &format!("instances/{}", scene.instance));
    let unschedule = at(Method::DELETE, &format!("instances/{}", scene.instance));
    let remove_env = at(Method::DELETE, "envs/A");
    vec![
        of_service(
            Route::new("GET", "/v1/services/:grid/:stack/:service/deploys/:id")
                .good(deploy.clone(), 200)
                .case(Kind::Missing, at(Method::GET, &format!("deploys/{NOBODY}")), 404, not_found())
                .case(Kind::Missing, at(Method::GET, "deploys/x"), 404, not_found()),
            scene,
            &deploy,
        ),
        of_service(
            Route::new("POST", "/v1/services/:grid/:stack/:service/deploys/:id/cancel")
                .good(cancel.clone(), 200)
                .invalid(
                    at(Method::POST, &format!("deploys/{}/cancel", scene.deploy)),
                    &json!({ "deploy": "Deploy is finished" }),
                ),
            scene,
            &cancel,
        ),
        of_service(
            Route::new("GET", "/v1/services/:grid/:stack/:service/instances/:id")
                .good(instance.clone(), 200)
                .case(Kind::Missing, at(Method::GET, &format!("instances/{NOBODY}")), 404, None),
            scene,
            &instance,
        ),
        of_service(
            Route::new("DELETE", "/v1/services/:grid/:stack/:service/instances/:id")
                .good(unschedule.clone(), 200)
                .case(Kind::Missing, at(Method::DELETE, &format!("instances/{NOBODY}")), 404, None),
            scene,
            &unschedule,
        ),
        of_service(
            Route::new("DELETE", "/v1/services/:grid/:stack/:service/envs/:key")
                .good(remove_env.clone(), 200),
            scene,
            &remove_env,
        ),
    ]
}

fn removed(scene: &Scene) -> Route {
    let by = By(scene);
    let remove = |path: &str| by.delete(&format!("/v1/services/main/{path}"));
    of_service(
        Route::new("DELETE", "/v1/services/:grid/:stack/:service")
            .invalid(
                remove("shop/linked"),
                &json!({ "service": "Cannot delete service that is linked to another service (web)" }),
            )
            .good(remove("null/api"), 200)
            .case(Kind::Missing, remove("null/api"), 404, not_found()),
        scene,
        &remove("shop/web"),
    )
}
