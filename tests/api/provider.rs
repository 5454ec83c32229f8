//! Logging in through an external provider: a real small one, over real HTTP, in each way in which providers differ.

use std::sync::Arc;

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use mongodb::bson::{Document, doc};
use reqwest::header::LOCATION;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use url::Url;

use crate::world::{Request, World};

/// How this provider wants to be asked.
#[derive(Clone, Copy, Debug)]
struct Manner {
    method: &'static str,
    content_type: &'static str,
    basic: bool,
}

struct Provider {
    url: String,
    _serving: JoinSet<std::io::Result<()>>,
}

async fn token(State(manner): State<Manner>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let text =
        |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let given: Value = match (manner.method, manner.content_type) {
        ("get", _) => form(uri.query().unwrap_or_default().as_bytes()),
        (_, "application/json") => serde_json::from_slice(&body).unwrap_or_default(),
        _ => form(&body),
    };
    // cid:csecret
    let known = if manner.basic {
        text("authorization") == "Basic Y2lkOmNzZWNyZXQ=" && given.get("client_secret").is_none()
    } else {
        given["client_id"] == "cid" && given["client_secret"] == "csecret"
    };
    let right = given["grant_type"] == "authorization_code"
        && given["redirect_uri"] == "http://master.example.com/cb"
        && (manner.method == "get") == body.is_empty();
    if text("user-agent").is_empty() {
        return StatusCode::FORBIDDEN.into_response();
    }
    if !known || !right {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    match given["code"].as_str() {
        Some("jo") => {
            axum::Json(json!({ "access_token": "token-of-jo", "token_type": "bearer" })).into_response()
        }
        Some("form") => "access_token=token-of-jo&scope=user".into_response(),
        _ => StatusCode::BAD_REQUEST.into_response(),
    }
}

fn form(bytes: &[u8]) -> Value {
    url::form_urlencoded::parse(bytes)
        .map(|(key, value)| (key.into_owned(), Value::from(value.into_owned())))
        .collect()
}

async fn user(headers: HeaderMap) -> Response {
    // As GitHub does.
    if !headers.contains_key("user-agent") {
        return StatusCode::FORBIDDEN.into_response();
    }
    let bearer = headers.get("authorization").is_some_and(|value| value == "Bearer token-of-jo");
    if !bearer {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    axum::Json(json!({ "data": { "id": 4711, "login": "jo", "email": "jo@example.com" } })).into_response()
}

impl Provider {
    async fn start(manner: Manner) -> Result<Self> {
        let router = Router::new().route("/token", any(token)).route("/user", get(user)).with_state(manner);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, router).await });
        Ok(Self { url, _serving: serving })
    }
}

struct Visit {
    world: Arc<World>,
    admin: String,
}

impl Visit {
    async fn begin(&self, query: &str) -> Result<crate::world::Answer> {
        self.world.ask(Request::new(Method::GET, format!("/authenticate?{query}"))).await
    }

    /// Goes to the provider and comes back with `code`; returns where the browser is sent in the end.
    async fn round_trip(&self, query: &str, code: &str) -> Result<crate::world::Answer> {
        let sent = self.begin(query).await?;
        assert_eq!(sent.status, StatusCode::FOUND, "{}", sent.text);
        let url = Url::parse(sent.header(LOCATION))?;
        let state = url.query_pairs().find(|(key, _)| key == "state").context("no state")?.1.into_owned();
        assert_eq!(state.len(), 64);
        let back =
            self.world.ask(Request::new(Method::GET, format!("/cb?code={code}&state={state}"))).await?;
        let again =
            self.world.ask(Request::new(Method::GET, format!("/cb?code={code}&state={state}"))).await?;
        assert_eq!(again.status, StatusCode::BAD_REQUEST, "a state is good for once");
        Ok(back)
    }

    async fn invite(&self, email: &str) -> Result<Value> {
        let body = json!({ "response_type": "invite", "email": email });
        let invited = Request::new(Method::POST, "/oauth2/authorize").token(&self.admin).json(&body);
        Ok(self.world.ask(invited).await?.json())
    }
}

/// What has the masters ask the provider at this address.
fn settings(base: &str) -> Value {
    json!({
        "oauth2.client_id": "cid",
        "oauth2.client_secret": "csecret",
        "oauth2.authorize_endpoint": format!("{base}/authorize"),
        "oauth2.token_endpoint": format!("{base}/token"),
        "oauth2.userinfo_endpoint": format!("{base}/user"),
        "server.root_url": "http://master.example.com",
    })
}

const LOCAL: &str = "redirect_uri=http%3A%2F%2Flocalhost%3A1234%2Fcb&expires_in=600";

#[tokio::test]
async fn users_log_in_through_a_provider_however_it_wants_to_be_asked() -> Result<()> {
    let world = Arc::new(World::new().await?);
    let admin = world.login().await?;
    let visit = Visit { world: Arc::clone(&world), admin: admin.clone() };
    assert_eq!(visit.begin(LOCAL).await?.status, StatusCode::NOT_IMPLEMENTED, "without a provider");
    let manners = [
        Manner { method: "post", content_type: "application/json", basic: false },
        Manner { method: "post", content_type: "application/x-www-form-urlencoded", basic: true },
        Manner { method: "get", content_type: "application/json", basic: false },
    ];
    for manner in manners {
        let provider = Provider::start(manner).await?;
        let mut settings = settings(&provider.url);
        // As written by hand.
        settings["oauth2.token_method"] = json!(manner.method.to_uppercase());
        settings["oauth2.token_post_content_type"] = json!(manner.content_type);
        settings["oauth2.code_requires_basic_auth"] = json!(manner.basic);
        settings["server.name"] = json!("the master");
        let set = world.ask(Request::new(Method::PATCH, "/v1/config").token(&admin).json(&settings)).await?;
        assert_eq!(set.status, StatusCode::CREATED, "{}", set.text);

        assert_eq!(visit.begin(&format!("{LOCAL}&invite_code=nope")).await?.status, StatusCode::FORBIDDEN);
        let invited = visit.invite("jo@example.com").await?;
        let invite_code = invited["invite_code"].as_str().context("no invitation")?.to_owned();
        assert_eq!(invited["link"], format!("http://master.example.com/j/{invite_code}"));

        let back = visit.round_trip(&format!("{LOCAL}&invite_code={invite_code}"), "jo").await?;
        assert_eq!(back.status, StatusCode::FOUND, "{manner:?}: {}", back.text);
        let url = Url::parse(back.header(LOCATION))?;
        assert_eq!((url.host_str(), url.port(), url.path()), (Some("localhost"), Some(1234), "/cb"));
        let query: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        assert_eq!(query[1], ("server_name".to_owned(), "the master".to_owned()));
        let body = json!({ "grant_type": "authorization_code", "code": query[0].1 });
        let token = world.ask(Request::new(Method::POST, "/oauth2/token").json(&body)).await?.json();
        assert_eq!(
            (&token["user"]["email"], &token["user"]["name"]),
            (&json!("jo@example.com"), &json!("jo"))
        );
        assert!(
            token["expires_in"].as_i64().is_some_and(|seconds| (500..=600).contains(&seconds)),
            "{token}"
        );
        assert_eq!(
            visit.begin(&format!("{LOCAL}&invite_code={invite_code}")).await?.status,
            StatusCode::FORBIDDEN
        );

        // Known by its id now; and a provider may answer with a form.
        let back = visit.round_trip("redirect_uri=/code", "form").await?;
        assert!(back.header(LOCATION).starts_with("/code#code="), "{back:?}");
        let failed = visit.round_trip(LOCAL, "wrong").await?;
        assert_eq!((failed.status, failed.json()), (StatusCode::BAD_REQUEST, json!("Authentication failed")));
    }
    let removed = Request::new(Method::DELETE, "/v1/users/jo@example.com").token(&admin);
    assert_eq!(world.ask(removed).await?.status, StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn strangers_errors_and_lost_providers_get_no_code() -> Result<()> {
    let world = Arc::new(World::new().await?);
    let admin = world.login().await?;
    let visit = Visit { world: Arc::clone(&world), admin: admin.clone() };
    let provider =
        Provider::start(Manner { method: "post", content_type: "application/json", basic: false }).await?;
    let set = |body: Value| world.ask(Request::new(Method::PATCH, "/v1/config").token(&admin).json(&body));
    set(settings(&provider.url)).await?;
    let stranger = visit.round_trip(LOCAL, "jo").await?;
    assert_eq!((stranger.status, stranger.json()), (StatusCode::FORBIDDEN, json!("Access denied")));
    let refused = world.ask(Request::new(Method::GET, "/cb?error=denied")).await?;
    assert_eq!(refused.status, StatusCode::BAD_GATEWAY);
    assert_eq!(refused.json(), json!("The authorization server returned an error: denied"));
    set(settings("http://127.0.0.1:9")).await?;
    let lost = visit.round_trip(LOCAL, "jo").await?;
    assert_eq!(lost.status, StatusCode::BAD_REQUEST);
    let count = world.collection("access_tokens").count_documents(doc! {}).await?;
    assert_eq!(count, 1, "only the administrator's");
    Ok(())
}

async fn user_in(world: &World, email: &str) -> Result<Document> {
    world.collection("users").find_one(doc! { "email": email }).await?.context("no such user")
}

#[tokio::test]
async fn another_provider_knows_nobody_by_the_ids_of_the_last_one() -> Result<()> {
    let world = World::new().await?;
    let admin = world.login().await?;
    let at = |method: Method, path: &str| Request::new(method, path).token(&admin);
    let row = doc! { "email": "jo@example.com", "role_ids": [], "grid_ids": [] };
    world.collection("users").insert_one(row).await?;
    for (request, forgets) in [
        (at(Method::PATCH, "/v1/config").json(&json!({ "server.name": "a name" })), false),
        (at(Method::DELETE, "/v1/config/server.name"), false),
        (at(Method::PATCH, "/v1/config").json(&json!({ "server.name": "x", "oauth2.client_id": "c" })), true),
        (at(Method::PATCH, "/v1/config").json(&json!({ "server.root_url": "http://m.example.com" })), true),
        (at(Method::DELETE, "/v1/config/oauth2.client_id"), true),
        (at(Method::PUT, "/v1/config").json(&json!({ "server.name": "a name" })), true),
        (at(Method::DELETE, "/v1/config"), true),
    ] {
        let known = doc! { "$set": { "external_id": "4711" } };
        world.collection("users").update_one(doc! { "email": "jo@example.com" }, known).await?;
        let answer = world.ask(request.clone()).await?;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        let kept = user_in(&world, "jo@example.com").await?.get_str("external_id").is_ok();
        assert_eq!(kept, !forgets, "{request:?}");
    }
    Ok(())
}

#[tokio::test]
async fn only_a_master_administrator_invites_another_whatever_it_is_known_by() -> Result<()> {
    let world = World::new().await?;
    let admin = world.login().await?;
    let provider =
        Provider::start(Manner { method: "post", content_type: "application/json", basic: false }).await?;
    let post = |path: &str, body: &Value| Request::new(Method::POST, path).token(&admin).json(body);
    let set = Request::new(Method::PATCH, "/v1/config").token(&admin).json(&settings(&provider.url));
    assert_eq!(world.ask(set).await?.status, StatusCode::CREATED);
    for (name, role) in [("boss", Some("master_admin")), ("helper", Some("user_admin")), ("ordinary", None)] {
        let row = doc! {
            "email": format!("{name}@example.com"), "external_id": format!("id-of-{name}"), "name": name,
            "role_ids": [], "grid_ids": [],
        };
        world.collection("users").insert_one(row).await?;
        if let Some(role) = role {
            let granted = post(&format!("/v1/users/{name}@example.com/roles"), &json!({ "role": role }));
            assert_eq!(world.ask(granted).await?.status, StatusCode::CREATED);
        }
    }
    let wish = json!({ "response_type": "token", "scope": "user", "user": "helper@example.com" });
    let helper = world.ask(post("/oauth2/authorize", &wish)).await?.json();
    let helper = helper["access_token"].as_str().context("no token")?.to_owned();
    let invite = async |token: &str, mut body: Value| {
        body["response_type"] = "invite".into();
        world.ask(Request::new(Method::POST, "/oauth2/authorize").token(token).json(&body)).await
    };
    let of = |user: &str| {
        [
            json!({ "email": format!("{user}@example.com") }),
            json!({ "email": "new@example.com", "username": user }),
            json!({ "email": "new@example.com", "external_id": format!("id-of-{user}") }),
        ]
    };
    for body in of("boss").into_iter().chain([json!({ "email": "new@example.com", "username": "admin" })]) {
        let refused = invite(&helper, body.clone()).await?;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{body}: {}", refused.text);
        let why = json!({
            "error": "access_denied", "error_description": "You do not have the permission to create invites",
        });
        assert_eq!(refused.json(), why, "{body}");
    }
    let invited =
        world.collection("users").count_documents(doc! { "invite_code": { "$exists": true } }).await?;
    assert_eq!(invited, 0, "nobody got a code");
    for (token, user) in [(&helper, "ordinary"), (&helper, "helper"), (&admin, "boss")] {
        for body in of(user) {
            let made = invite(token, body.clone()).await?;
            assert_eq!(made.status, StatusCode::CREATED, "{body}: {}", made.text);
            let row = user_in(&world, &format!("{user}@example.com")).await?;
            assert_eq!(made.json()["invite_code"], row.get_str("invite_code")?, "{body}");
        }
    }
    let made = invite(&helper, json!({ "email": "new@example.com" })).await?;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    user_in(&world, "new@example.com").await?;
    Ok(())
}
