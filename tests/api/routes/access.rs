//! Tokens, users, configuration and logs.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Kind, Route, Scene};
use crate::world::Request;

fn oauth(error: &str, description: impl Into<Value>) -> Value {
    json!({ "error": error, "error_description": description.into() })
}

pub(super) fn routes(scene: &Scene) -> Vec<Route> {
    let mut routes = open(scene);
    routes.extend(tokens(scene));
    routes.extend(users(scene));
    routes.extend(configuration(scene));
    routes
}

fn open(scene: &Scene) -> Vec<Route> {
    let get = |path: &str| Request::new(Method::GET, path);
    let token = |body: Value| Request::new(Method::POST, "/oauth2/token").json(&body);
    let bad = |description: &str| oauth("invalid_request", description);
    vec![
        Route::new("GET", "/").good(get("/"), 200),
        Route::new("GET", "/code").good(get("/code"), 200),
        Route::new("GET", "/v1/ping").case(Kind::Success, get("/v1/ping"), 200, json!({ "message": "pong" })),
        Route::new("POST", "/v1/auth")
            .good(Request::new(Method::POST, "/v1/auth"), 403)
            .good(Request::new(Method::POST, "/v1/auth/below"), 403),
        Route::new("ANY", "/oauth2/token")
            .good(token(json!({ "grant_type": "authorization_code", "code": scene.code })), 201)
            .good(token(json!({ "grant_type": "refresh_token", "refresh_token": scene.refresh })), 201)
            .case(
                Kind::Invalid,
                token(json!({ "grant_type": "authorization_code" })),
                400,
                bad("authorization_code"),
            )
            .case(Kind::Invalid, token(json!({ "grant_type": "refresh_token" })), 400, bad("refresh_token"))
            .case(
                Kind::Invalid,
                token(json!({ "grant_type": "x" })),
                400,
                oauth("unsupported_grant_type", "grant_type"),
            )
            .case(Kind::Invalid, token(json!({})), 400, oauth("invalid_request", Value::Null))
            .case(Kind::Invalid, token(json!({})).raw("{"), 400, bad("Invalid parameters"))
            .case(
                Kind::Missing,
                token(json!({ "grant_type": "authorization_code", "code": scene.code })),
                404,
                bad("authorization_code"),
            )
            .case(
                Kind::Missing,
                token(json!({ "grant_type": "refresh_token", "refresh_token": scene.refresh })),
                404,
                bad("refresh_token"),
            ),
        Route::new("GET", "/authenticate").good(get("/authenticate?redirect_uri=/code"), 501),
        Route::new("GET", "/cb")
            .case(Kind::Invalid, get("/cb"), 400, json!("invalid_request"))
            .case(Kind::Missing, get("/cb?state=unknown&code=x"), 400, json!("invalid_request"))
            .good(get("/cb?error=no"), 502),
    ]
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn tokens(scene: &Scene) -> Vec<Route> {
    let authorize = |body: Value| Request::new(Method::POST, "/oauth2/authorize").json(&body);
    let by = |token: &str, body: Value| authorize(body).token(token);
    let denied = || oauth("access_denied", Value::Null);
    let no_invites = || oauth("access_denied", "You do not have the permission to create invites");
    let id = |index: usize| scene.spare[index]["id"].as_str().unwrap_or_default();
    let at = |method: Method, token: &str| Request::new(method, format!("/oauth2/tokens/{token}"));
    let unknown = "0".repeat(24);
    let list = Request::new(Method::GET, "/oauth2/tokens").token(&scene.stranger);
    let (show, end) =
        (at(Method::GET, id(0)).token(&scene.stranger), at(Method::DELETE, id(0)).token(&scene.stranger));
    vec![
        Route::new("POST", "/oauth2/authorize")
            .good(
                by(&scene.stranger, json!({ "response_type": "token", "scope": "user", "expires_in": "60" })),
                201,
            )
            .good(by(&scene.stranger, json!({ "response_type": "code", "scope": "user, owner" })), 201)
            .case(
                Kind::Invalid,
                by(&scene.admin, json!({ "response_type": "token" })),
                400,
                oauth("invalid_scope", Value::Null),
            )
            .case(
                Kind::Invalid,
                by(&scene.admin, json!({ "response_type": "token", "scope": "root" })),
                400,
                oauth("invalid_request", "{\"scope\"=>:invalid}"),
            )
            .case(
                Kind::Invalid,
                by(&scene.admin, json!({ "response_type": "token", "scope": "user", "expires_in": "x" })),
                400,
                oauth("invalid_request", "{\"expires_in\"=>:integer}"),
            )
            .case(
                Kind::Invalid,
                by(&scene.admin, json!({ "response_type": "x" })),
                400,
                oauth(
                    "unsupported_response_type",
                    "Unsupported response type. Supported: code, token, invite",
                ),
            )
            .case(
                Kind::Invalid,
                by(&scene.admin, json!({ "response_type": "invite", "email": "a@b.c" })),
                501,
                oauth("server_error", "Authentication provider not configured"),
            )
            .case(
                Kind::Missing,
                by(&scene.admin, json!({ "response_type": "token", "scope": "user", "user": "no@x.y" })),
                404,
                oauth("not_found", Value::Null),
            )
            .case(
                Kind::Forbidden,
                by(&scene.stranger, json!({ "response_type": "token", "scope": "user", "user": "admin" })),
                403,
                no_invites(),
            )
            .case(
                Kind::WrongToken,
                authorize(json!({ "response_type": "token", "scope": "user" })),
                403,
                denied(),
            )
            .case(
                Kind::WrongToken,
                by(&"0".repeat(64), json!({ "response_type": "token", "scope": "user" })),
                403,
                denied(),
            ),
        Route::new("GET", "/oauth2/tokens").good(list.clone(), 200).protected(&list),
        Route::new("GET", "/oauth2/tokens/:x")
            .good(show.clone(), 200)
            .good(
                at(Method::GET, scene.spare[1]["access_token"].as_str().unwrap_or_default())
                    .token(&scene.stranger),
                200,
            )
            .good(at(Method::GET, id(0)).token(&scene.admin), 200)
            .case(
                Kind::Missing,
                at(Method::GET, &unknown).token(&scene.admin),
                404,
                oauth("Not found", Value::Null),
            )
            .case(
                Kind::Missing,
                at(Method::GET, "neither").token(&scene.admin),
                404,
                oauth("Not found", Value::Null),
            )
            .case(
                Kind::Forbidden,
                at(Method::GET, id(0)).token(&scene.member),
                401,
                oauth("Unauthorized", Value::Null),
            )
            .protected(&show),
        Route::new("DELETE", "/oauth2/tokens/:x")
            .case(
                Kind::Forbidden,
                at(Method::DELETE, id(0)).token(&scene.member),
                401,
                oauth("Unauthorized", Value::Null),
            )
            .protected(&end)
            .good(end.clone(), 201)
            .case(Kind::Missing, end, 404, oauth("Not found", Value::Null)),
    ]
}

fn users(scene: &Scene) -> Vec<Route> {
    let own = Request::new(Method::GET, "/v1/user").token(&scene.stranger);
    let list = Request::new(Method::GET, "/v1/users").token(&scene.admin);
    let user =
        |method: Method, rest: &str| Request::new(method, format!("/v1/users/{rest}")).token(&scene.admin);
    let grant = |role: Value| user(Method::POST, "stranger@example.com/roles").json(&json!({ "role": role }));
    let revoke = |role: &str| user(Method::DELETE, &format!("stranger@example.com/roles/{role}"));
    let remove = user(Method::DELETE, "leaver@example.com");
    let not_found = || json!({ "error": "Not found" });
    let not_allowed = |field: &str| json!({ "error": { field: "Operation not allowed" } });
    vec![
        Route::new("GET", "/v1/user").good(own.clone(), 200).protected(&own),
        Route::new("GET", "/v1/users")
            .good(list.clone(), 200)
            .case(
                Kind::Forbidden,
                list.clone().token(&scene.member),
                403,
                json!({ "error": "Operation not allowed" }),
            )
            .protected(&list),
        Route::new("POST", "/v1/users/:email/roles")
            .good(grant(json!("grid_admin")), 201)
            .invalid(grant(json!("nope")), &json!({ "role": "Role 'nope' not found" }))
            .invalid(grant(Value::Null), &json!({ "role": "Role can't be nil" }))
            .invalid(user(Method::POST, "stranger@example.com/roles"), &json!({ "role": "Role is required" }))
            .takes_json(&grant(json!("grid_admin")))
            .case(
                Kind::Missing,
                user(Method::POST, "no@x.y/roles").json(&json!({ "role": "grid_admin" })),
                404,
                not_found(),
            )
            .case(
                Kind::Forbidden,
                grant(json!("grid_admin")).token(&scene.member),
                422,
                not_allowed("current_user"),
            )
            .protected(&grant(json!("grid_admin"))),
        Route::new("DELETE", "/v1/users/:email/roles/:role")
            .case(
                Kind::Forbidden,
                revoke("grid_admin").token(&scene.member),
                422,
                not_allowed("current_user"),
            )
            .good(revoke("grid_admin"), 200)
            .invalid(revoke("nope"), &json!({ "role": "Role 'nope' not found" }))
            .invalid(
                user(Method::DELETE, "admin/roles/master_admin"),
                &json!({ "role": "Not allowed to remove last user from Master admin role" }),
            )
            .case(Kind::Missing, user(Method::DELETE, "no@x.y/roles/grid_admin"), 404, not_found())
            .protected(&revoke("grid_admin")),
        Route::new("DELETE", "/v1/users/:email")
            .case(Kind::Forbidden, remove.clone().token(&scene.member), 400, not_allowed("user"))
            .case(
                Kind::Invalid,
                user(Method::DELETE, "admin"),
                400,
                json!({ "error": { "user": "Cannot remove itself" } }),
            )
            .protected(&remove)
            .good(remove.clone(), 200)
            .case(Kind::Missing, remove, 404, not_found()),
    ]
}

fn configuration(scene: &Scene) -> Vec<Route> {
    let at =
        |method: Method, rest: &str| Request::new(method, format!("/v1/config{rest}")).token(&scene.admin);
    let denied = || oauth("access_denied", Value::Null);
    let change = |method: Method| {
        at(method, "").json(&json!({ "some.key": "value", "some_secret": "hush", "gone": null }))
    };
    let route = |method: &'static str, path: &'static str, request: Request, status: u16| {
        Route::new(method, path)
            .good(request.clone(), status)
            .case(Kind::Forbidden, request.clone().token(&scene.member), 403, denied())
            .protected(&request)
    };
    let audit = |query: &str| Request::new(Method::GET, format!("/v1/audit_logs{query}")).token(&scene.admin);
    vec![
        route("PATCH", "/v1/config", change(Method::PATCH), 201).takes_json(&change(Method::PATCH)),
        route("PUT", "/v1/config", change(Method::PUT), 201).takes_json(&change(Method::PUT)),
        route("GET", "/v1/config", at(Method::GET, "?filter=some*"), 200),
        route("DELETE", "/v1/config", at(Method::DELETE, ""), 201),
        route("GET", "/v1/config/:key", at(Method::GET, "/some_secret"), 200)
            .case(Kind::Success, at(Method::GET, "/some_secret"), 200, json!({ "some_secret": "hush" }))
            .case(Kind::Missing, at(Method::GET, "/nope"), 404, json!("Not found"))
            .case(Kind::Missing, at(Method::GET, "/server.salt"), 404, json!("Not found")),
        route("DELETE", "/v1/config/:key", at(Method::DELETE, "/some.key"), 201),
        Route::new("GET", "/v1/audit_logs")
            .good(audit("?limit=1"), 200)
            .good(audit("?limit=nonsense"), 200)
            .case(Kind::Forbidden, audit("").token(&scene.member), 403, json!({ "error": "Access denied" }))
            .protected(&audit("")),
    ]
}
