//! No query reads a whole collection: the database itself tells the plan of each one.

use anyhow::Result;
use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};
use reqwest::Method;
use serde_json::json;

use crate::host::{Host, Reports};
use crate::routes::{self, Scene};
use crate::world::{Request, World};

/// Read whole on purpose, since all of it is wanted.
const WHOLE: [&str; 6] = ["roles", "users", "configurations", "schema_migrations", "grids", "masters"];
/// Followed by change streams, which read the database's journal.
const STREAMED: [&str; 2] = ["leases", "bus"];

#[tokio::test]
async fn every_query_of_the_api_goes_by_an_index() -> Result<()> {
    let world = World::new().await?;
    let scene = Scene::set(&world).await?;
    let _host = Host::connect(&world, 0, "token-of-main", Reports::All).await?;
    world.outside().run_command(doc! { "profile": 2 }).await?;
    for route in routes::all(&scene) {
        for case in route.cases {
            world.ask(case.request).await?;
        }
    }
    let login = json!({ "grant_type": "authorization_code", "code": "wrong" });
    for body in [&login, &json!({ "grant_type": "refresh_token", "refresh_token": "0".repeat(128) })] {
        world.ask(Request::new(Method::POST, "/oauth2/token").json(body)).await?;
    }
    world.outside().run_command(doc! { "profile": 0 }).await?;
    let profile = world.outside().collection::<Document>("system.profile");
    let rows: Vec<Document> =
        profile.find(doc! { "planSummary": { "$exists": true } }).await?.try_collect().await?;
    assert!(rows.len() > 200, "only {} queries were seen", rows.len());
    let mut whole: Vec<String> = rows
        .iter()
        .filter(|row| row.get_str("planSummary").is_ok_and(|plan| plan.contains("COLLSCAN")))
        .filter_map(|row| {
            let collection = row.get_str("ns").ok()?.rsplit('.').next()?;
            let command = row.get_document("command").ok()?;
            let all = command.contains_key("find")
                && command.get_document("filter").map_or(true, Document::is_empty);
            let stream = STREAMED.contains(&collection) && !command.contains_key("find");
            let expected = stream || (all && WHOLE.contains(&collection));
            (!expected).then(|| format!("{collection}: {command}"))
        })
        .collect();
    whole.sort();
    whole.dedup();
    assert!(whole.is_empty(), "{} queries read a whole collection: {whole:#?}", whole.len());
    Ok(())
}
