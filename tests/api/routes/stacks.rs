//! Stacks and what is below them.

use reqwest::Method;
use serde_json::{Value, json};

use super::inside::{By, not_found};
use super::{Kind, Route, Scene};
use crate::world::Request;

const NOBODY: &str = "000000000000000000000000";

pub(super) fn routes(scene: &Scene) -> Vec<Route> {
    let mut routes = made(scene);
    routes.extend(changed(scene));
    routes.extend(read(scene));
    routes.extend(turned(scene));
    routes.push(removed(scene));
    routes
}

/// A stack of two services, of which one links to the other.
fn definition(more: &Value) -> Value {
    let mut stack = json!({
        "stack": "acme/pair", "version": "1.0", "source": "stack: acme/pair", "registry": "file://",
        "services": [
            { "name": "front", "image": "redis:3.0", "stateful": false, "links": [{ "name": "back", "alias": "b" }] },
            { "name": "back", "image": "redis:3.0", "stateful": false },
        ],
    });
    if let (Some(stack), Some(more)) = (stack.as_object_mut(), more.as_object()) {
        stack.extend(more.clone());
    }
    stack
}

/// Of a stack: of its grid, and not without the stack.
fn of_stack(route: Route, scene: &Scene, request: &Request) -> Route {
    let mut missing = request.clone();
    missing.path = missing.path.replacen("/pair", "/nope", 1);
    route.of_grid(scene, request).case(Kind::Missing, missing, 404, json!({}))
}

/// What is wrong with a definition, whether it is new or not.
fn faults() -> Vec<(Value, Value)> {
    let one = |service: Value| json!({ "services": [service] });
    let app = |more: Value| {
        let mut service = json!({ "name": "app", "image": "redis:3.0", "stateful": false });
        if let (Some(service), Some(more)) = (service.as_object_mut(), more.as_object()) {
            service.extend(more.clone());
        }
        one(service)
    };
    let in_app = |fault: Value| json!({ "services": { "app": fault } });
    let linked = |links: &[&str]| {
        let links: Vec<Value> = links.iter().map(|name| json!({ "name": name, "alias": name })).collect();
        app(json!({ "links": links }))
    };
    vec![
        (json!({ "stack": " " }), json!({ "stack": "Stack can't be blank" })),
        (json!({ "services": [] }), json!({ "services": "stack does not specify any services" })),
        (json!({ "services": ["x"] }), json!({ "services": ["Services[0] isn't the right class"] })),
        (
            json!({ "labels": ["a=b", "env"] }),
            json!({ "labels": [null, "Labels[1] isn't in the right format"] }),
        ),
        (json!({ "variables": [] }), json!({ "variables": "Variables isn't the right class" })),
        (
            json!({ "volumes": [{ "name": "v", "external": "nope" }] }),
            json!({ "volumes": { "v": { "external": "External volume nope not found" } } }),
        ),
        (
            json!({ "volumes": [{ "name": "v" }] }),
            json!({ "volumes": { "v": "Only external volumes supported" } }),
        ),
        (one(json!({ "name": "app", "stateful": false })), in_app(json!({ "image": "Image is required" }))),
        (
            one(json!({ "image": "redis:3.0", "stateful": false })),
            json!({ "services": { "name": "Name is required" } }),
        ),
        (linked(&["back"]), in_app(json!({ "links": "service app has missing links: back" }))),
        (linked(&["app"]), in_app(json!({ "links": "service app has recursive links: [\"app\", [...]]" }))),
        (
            linked(&["other/missing"]),
            in_app(json!({ "links": ["Link other/missing points to non-existing stack"] })),
        ),
        (linked(&["shop/missing"]), in_app(json!({ "links": ["Service shop/missing does not exist"] }))),
        (
            app(json!({ "secrets": [{ "secret": "nope", "name": "X" }] })),
            in_app(json!({ "secrets": ["Secret nope does not exist"] })),
        ),
        (
            app(json!({ "volumes": ["undeclared:/x"] })),
            in_app(json!({ "volumes": ["Volume undeclared is not declared in the stack"] })),
        ),
        (
            json!({ "services": [
                { "name": "app", "image": "a", "stateful": false }, { "name": "app", "image": "b", "stateful": false },
            ] }),
            in_app(json!({ "name": "is already taken" })),
        ),
    ]
}

fn made(scene: &Scene) -> Vec<Route> {
    let by = By(scene);
    let create = |more: Value| by.post("/v1/grids/main/stacks", &definition(&more));
    let whole = create(json!({
        "name": "pair", "labels": ["team=x"], "expose": "front", "variables": { "a": 1, "b.c": "$d" },
        "volumes": [{ "name": "data", "external": "kept" }], "parent": { "name": "family" },
    }));
    let mut create_route = Route::new("POST", "/v1/grids/:grid/stacks")
        .good(whole.clone(), 201)
        .invalid(whole, &json!({ "name": "pair already exists" }))
        .invalid(create(json!({ "name": "shop" })), &json!({ "name": "shop already exists" }))
        .invalid(
            by.post("/v1/grids/main/stacks", &json!({ "name": "x" })),
            &json!({
                "stack": "Stack is required", "version": "Version is required", "source": "Source is required",
                "services": "Services is required",
            }),
        )
        .invalid(create(json!({ "name": "-x" })), &json!({ "name": "Name isn't in the right format" }))
        .invalid(
            create(json!({ "name": "x", "expose": "nope" })),
            &json!({ "expose": "nope is not defined in the services array" }),
        )
        .invalid(
            create(json!({ "name": "x", "parent": { "name": "x" } })),
            &json!({ "parent_name": "Parent name can't be the same as name" }),
        )
        .of_grid(scene, &create(json!({ "name": "other" })))
        .takes_json(&create(json!({})));
    for (more, fault) in faults() {
        let mut wrong = json!({ "name": "wrong" });
        if let (Some(wrong), Some(more)) = (wrong.as_object_mut(), more.as_object()) {
            wrong.extend(more.clone());
        }
        create_route = create_route.invalid(create(wrong), &fault);
    }
    let list = by.get("/v1/grids/main/stacks");
    vec![
        create_route,
        Route::new("GET", "/v1/grids/:grid/stacks").good(list.clone(), 200).of_grid(scene, &list),
    ]
}

fn changed(scene: &Scene) -> Vec<Route> {
    let by = By(scene);
    let path = "/v1/stacks/main/pair";
    let update = |more: Value| by.put(path, &definition(&more));
    let labelled = |body: Value| by.at(Method::PATCH, path).json(&body);
    let null = json!({ "stack": "Cannot update null stack" });
    let alone = json!({ "services": [{ "name": "front", "image": "redis:3.0", "stateful": false }] });
    let linked = "Cannot delete service that is linked to another service (front)";
    let mut update_route = Route::new("PUT", "/v1/stacks/:grid/:stack")
        .good(update(json!({ "version": "1.1" })), 200)
        .good(update(json!({ "version": "1.1" })), 200)
        .invalid(by.put("/v1/stacks/main/null", &definition(&json!({}))), &null)
        .invalid(update(alone), &json!({ "services": { "back": { "service": linked } } }))
        .takes_json(&update(json!({})));
    for (more, fault) in faults() {
        // Services that are gone from the definition are told of as well, if these have an order.
        let replaced = more["services"].as_array().is_some_and(|all| all.iter().any(Value::is_object));
        let ordered = !fault["services"]["app"]["links"].is_string();
        let told = if replaced && ordered { with_leaving(fault, linked) } else { fault };
        update_route = update_route.invalid(update(more), &told);
    }
    let labels = labelled(json!({ "labels": ["a=b"] }));
    vec![
        of_stack(update_route, scene, &update(json!({ "version": "2" }))),
        of_stack(
            Route::new("PATCH", "/v1/stacks/:grid/:stack")
                .good(labels.clone(), 200)
                .good(labelled(json!({ "labels": [] })), 200)
                .invalid(
                    labelled(json!({ "labels": ["a=b", "!!"] })),
                    &json!({ "labels": [null, "Labels[1] isn't in the right format"] }),
                )
                .invalid(by.at(Method::PATCH, "/v1/stacks/main/null").json(&json!({})), &null)
                .takes_json(&labelled(json!({}))),
            scene,
            &labels,
        ),
    ]
}

/// A fault, and that a service cannot leave.
fn with_leaving(mut told: Value, linked: &str) -> Value {
    if let Some(told) = told.as_object_mut() {
        let services = told.entry("services").or_insert_with(|| json!({}));
        if let Some(services) = services.as_object_mut() {
            services.insert("back".to_owned(), json!({ "service": linked }));
        }
    }
    told
}

fn read(scene: &Scene) -> Vec<Route> {
    let by = By(scene);
    let mut routes = Vec::new();
    for (path, below) in [
        ("/v1/stacks/:grid/:stack", ""),
        ("/v1/stacks/:grid/:stack/container_logs", "/container_logs"),
        ("/v1/stacks/:grid/:stack/event_logs", "/event_logs"),
    ] {
        let request = by.get(&format!("/v1/stacks/main/pair{below}"));
        let none = by.get(&format!("/v1/stacks/main/null{below}"));
        let route = Route::new("GET", path).good(request.clone(), 200).good(none, 200);
        routes.push(of_stack(route, scene, &request));
    }
    let deploy = by.get(&format!("/v1/stacks/main/shop/deploys/{}", scene.stack_deploy));
    let mut missing = deploy.clone();
    missing.path = missing.path.replacen("/shop", "/nope", 1);
    routes.push(
        Route::new("GET", "/v1/stacks/:grid/:stack/deploys/:id")
            .good(deploy.clone(), 200)
            .case(Kind::Missing, by.get(&format!("/v1/stacks/main/pair/deploys/{NOBODY}")), 404, not_found())
            .case(Kind::Missing, by.get("/v1/stacks/main/pair/deploys/x"), 404, not_found())
            .case(Kind::Missing, by.get("/v1/stacks/main/pair/deploys"), 404, None)
            .case(Kind::Missing, missing, 404, json!({}))
            .of_grid(scene, &deploy),
    );
    routes
}

fn turned(scene: &Scene) -> Vec<Route> {
    let by = By(scene);
    let mut routes = Vec::new();
    for (path, below) in [
        ("/v1/stacks/:grid/:stack/deploy", "deploy"),
        ("/v1/stacks/:grid/:stack/stop", "stop"),
        ("/v1/stacks/:grid/:stack/restart", "restart"),
    ] {
        let request = by.post(&format!("/v1/stacks/main/pair/{below}"), &json!({}));
        let mut route = Route::new("POST", path).good(request.clone(), 200);
        if below == "deploy" {
            let at = |stack: &str| by.post(&format!("/v1/stacks/main/{stack}/deploy"), &json!({}));
            route = route
                .invalid(at("null"), &json!({ "stack": "Cannot deploy null stack" }))
                .invalid(at("shop"), &json!({ "stack": "Stack does not have any deployable revisions" }));
        }
        routes.push(of_stack(route, scene, &request));
    }
    routes
}

fn removed(scene: &Scene) -> Route {
    let by = By(scene);
    let remove = |stack: &str| by.delete(&format!("/v1/stacks/main/{stack}"));
    let linked = "Cannot delete service that is linked from another stack (user/web)";
    of_stack(
        Route::new("DELETE", "/v1/stacks/:grid/:stack")
            .invalid(remove("null"), &json!({ "stack": "Cannot delete default stack" }))
            .invalid(remove("base"), &json!({ "service": linked }))
            .good(remove("user"), 200)
            .case(Kind::Missing, remove("nope"), 404, json!({})),
        scene,
        &remove("pair"),
    )
}
