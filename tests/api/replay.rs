//! What was recorded of the original master, asked again: each answer must be the same, but for what is made anew
//! each time (ids, tokens, times), which must at least be consistent.

mod allowed;
mod story;
mod unify;

use anyhow::Result;

use crate::world::World;
use story::Story;

/// Plays stories in their order on a new database and judges every call.
async fn replay(names: &[&str]) -> Result<()> {
    let world = World::new().await?;
    let mut story = Story::new();
    for name in names {
        story.play(&world, name).await?;
    }
    story.conclude()
}

#[tokio::test]
async fn the_recorded_calls_are_answered_as_the_original_answered_them() -> Result<()> {
    replay(&[
        "01-login",
        "02-grids",
        "03-nodes",
        "04-vault",
        "05-registry-volume-certificate",
        "11-config-users-tokens",
    ])
    .await
}
