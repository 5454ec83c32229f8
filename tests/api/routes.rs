//! Every route of the contract: what succeeds, each way in which it is refused, and a table of what is covered.

mod access;
mod contract;
mod engines;
mod inside;
mod scene;
mod services;
mod stacks;

use std::collections::BTreeMap;

use anyhow::Result;
use mongodb::bson::doc;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::host::{Host, Reports};
use crate::world::{Request, World};
pub(crate) use scene::Scene;

/// Why a request is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Success,
    Invalid,
    Missing,
    Forbidden,
    WrongToken,
}

/// One request with what must come of it.
pub(crate) struct Case {
    pub(crate) kind: Kind,
    pub(crate) request: Request,
    status: u16,
    /// None: judged elsewhere.
    body: Option<Value>,
}

/// A route with all its cases, in the order in which they are played.
pub(crate) struct Route {
    method: &'static str,
    path: &'static str,
    pub(crate) cases: Vec<Case>,
}

impl Route {
    fn new(method: &'static str, path: &'static str) -> Self {
        Self { method, path, cases: Vec::new() }
    }

    fn case(mut self, kind: Kind, request: Request, status: u16, body: impl Into<Option<Value>>) -> Self {
        self.cases.push(Case { kind, request, status, body: body.into() });
        self
    }

    /// A request that is carried out.
    fn good(self, request: Request, status: u16) -> Self {
        self.case(Kind::Success, request, status, None)
    }

    /// A request whose fields are refused.
    fn invalid(self, request: Request, faults: &Value) -> Self {
        self.case(Kind::Invalid, request, 422, json!({ "error": faults }))
    }

    /// Neither without a token nor with an unknown one.
    fn protected(self, request: &Request) -> Self {
        let refused = json!({ "error": "invalid_token", "error_description": "Invalid token" });
        let mut without = request.clone();
        without.token = None;
        let unknown = request.clone().token(&"0".repeat(64));
        self.case(Kind::WrongToken, unknown, 403, refused.clone()).case(
            Kind::WrongToken,
            without,
            403,
            refused,
        )
    }

    /// Of a grid: protected, not for others, and not without the grid.
    fn of_grid(self, scene: &Scene, request: &Request) -> Self {
        let denied = request.clone().token(&scene.stranger);
        let mut missing = request.clone();
        missing.path = missing.path.replacen("/main", "/nope", 1);
        self.protected(request).case(Kind::Forbidden, denied, 403, json!({ "error": "Access denied" })).case(
            Kind::Missing,
            missing,
            404,
            None,
        )
    }

    /// What takes a JSON object takes nothing else.
    fn takes_json(self, request: &Request) -> Self {
        let refused = json!({ "error": "Invalid json" });
        let with = |body: &str| request.clone().raw(body);
        self.case(Kind::Invalid, with("{not json"), 400, refused.clone()).case(
            Kind::Invalid,
            with("[1]"),
            400,
            refused,
        )
    }
}

/// All routes, for a scene that was set and a host that is connected.
pub(crate) fn all(scene: &Scene) -> Vec<Route> {
    let mut routes = access::routes(scene);
    routes.extend(inside::routes(scene));
    routes.extend(engines::routes(scene));
    routes.extend(services::routes(scene));
    routes.extend(stacks::routes(scene));
    routes
}

#[tokio::test]
async fn every_route_answers_and_refuses_as_the_contract_says() -> Result<()> {
    let world = World::new().await?;
    let scene = Scene::set(&world).await?;
    let _host = Host::connect(&world, 0, "token-of-main", Reports::All).await?;
    let (mut counts, mut wrong) = (BTreeMap::new(), Vec::new());
    for Route { method, path, cases } in all(&scene) {
        for Case { kind, request, status, body } in cases {
            let told = format!("{} {} {:?} {}", request.method, request.path, kind, request.body);
            let answer = world.ask(request).await?;
            if answer.status.as_u16() != status {
                wrong.push(format!("{told}: {} instead of {status}: {}", answer.status, answer.text));
            } else if let Some(body) = body
                && answer.json() != body
            {
                wrong.push(format!("{told}: {} instead of {body}", answer.text));
            }
            *counts.entry((method, path)).or_insert_with(BTreeMap::new).entry(kind).or_insert(0_usize) += 1;
        }
    }
    let uncovered = contract::table(&counts);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(uncovered.is_empty(), "without a test: {uncovered:#?}");
    Ok(())
}

#[tokio::test]
async fn what_is_refused_changes_nothing_and_what_is_done_is_noted() -> Result<()> {
    let world = World::new().await?;
    let scene = Scene::set(&world).await?;
    let before = world.fingerprint().await?;
    for Route { cases, .. } in all(&scene) {
        // What is missing only after it was removed would be removed here, and what is taken would be made.
        let told = |request: &Request| format!("{} {} {}", request.method, request.path, request.body);
        let good = cases.iter().filter(|case| case.kind == Kind::Success).map(|case| told(&case.request));
        let good: Vec<String> = good.collect();
        let removed = |case: &Case| {
            matches!(case.kind, Kind::Missing | Kind::Invalid) && good.contains(&told(&case.request))
        };
        for Case { kind, request, .. } in
            cases.iter().filter(|case| case.kind != Kind::Success && !removed(case))
        {
            let told = format!("{} {kind:?}", told(request));
            world.ask(request.clone()).await?;
            assert_eq!(world.fingerprint().await?, before, "{told} changed something");
        }
    }
    let entries = world.collection("audit_logs").count_documents(doc! {}).await?;
    let body = json!({ "name": "noted", "value": "hush hush" });
    let made = Request::new(Method::POST, "/v1/grids/main/secrets").token(&scene.admin).json(&body);
    assert_eq!(world.ask(made).await?.status, StatusCode::CREATED);
    assert_eq!(world.collection("audit_logs").count_documents(doc! {}).await?, entries + 1);
    let entry = world.collection("audit_logs").find_one(doc! { "resource_name": "noted" }).await?;
    let entry = entry.map(|entry| entry.to_string()).unwrap_or_default();
    assert!(entry.contains("GridSecret") && !entry.contains("hush"), "{entry}");
    let secret = json!({ "oauth2.client_secret": "hush hush" });
    let set = Request::new(Method::PATCH, "/v1/config").token(&scene.admin).json(&secret);
    assert_eq!(world.ask(set).await?.status, StatusCode::CREATED);
    let entry = world.collection("audit_logs").find_one(doc! { "event_name": "modify" }).await?;
    let entry = entry.map(|entry| entry.to_string()).unwrap_or_default();
    assert!(entry.contains("client_secret") && !entry.contains("hush"), "{entry}");
    Ok(())
}
