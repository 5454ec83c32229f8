//! What was recorded of the original master, asked again: each answer must be the same, but for what is made anew
//! each time (ids, tokens, times), which must at least be consistent.

mod allowed;
mod story;
mod unify;

use anyhow::Result;
use mongodb::bson::doc;

use crate::host::{Host, Reports};
use crate::takeover;
use crate::world::World;
use story::{Part, Story};

const GRID_TOKEN: &str = "maingridtoken00";
/// When the recorded database was saved.
const SAVED: &str = "http GET /v1/nodes/main/core-1";

#[tokio::test]
async fn the_recorded_calls_are_answered_as_the_original_answered_them() -> Result<()> {
    const BEFORE: [&str; 5] =
        ["01-login", "02-grids", "03-nodes", "04-vault", "05-registry-volume-certificate"];
    const ONLINE: [&str; 3] = ["06-node-online", "07-etcd", "11-config-users-tokens"];
    let world = World::new().await?;
    let mut story = Story::new();
    for name in BEFORE {
        story.play(&world, name, Part::All).await?;
    }
    let _host = Host::connect(&world, 0, GRID_TOKEN, Reports::All).await?;
    for name in ONLINE {
        story.play(&world, name, Part::All).await?;
    }
    story.conclude(&[BEFORE.as_slice(), &ONLINE].concat())
}

#[tokio::test]
async fn the_recorded_database_is_shown_as_the_original_showed_it() -> Result<()> {
    let world = takeover::recorded().await?;
    let _host = Host::connect(&world, 0, GRID_TOKEN, Reports::Host).await?;
    // The node was given up with the master that held it, and its containers with it. A real agent reports them all
    // when it is back.
    let seen = doc! { "$set": { "deleted_at": null } };
    world.collection("containers").update_many(doc! {}, seen).await?;
    let mut story = Story::new();
    story.play(&world, "10-container-exec-logs", Part::Form).await?;
    story.play(&world, "12-removal", Part::Form).await?;
    story.play(&world, "13-after-reconnect", Part::Before(SAVED)).await?;
    story.play(&world, "13-after-reconnect", Part::From(SAVED)).await?;
    story.conclude(&["10-container-exec-logs", "12-removal", "13-after-reconnect"])
}
