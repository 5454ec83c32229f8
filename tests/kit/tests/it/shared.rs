//! Tests share a server, and nothing else.

use std::time::Instant;

use anyhow::Result;
use kontena_testkit::mongod::shared;
use mongodb::Client;
use mongodb::bson::{Document, doc};

/// Two tests run this, each on its own async runtime, as many others will at the same time.
async fn has_a_database_of_its_own() -> Result<()> {
    let begin = Instant::now();
    let database = shared().await?.database();
    println!("shared replica set after {:?}", begin.elapsed());

    let client = Client::with_uri_str(&database.uri).await?;
    let things = client.default_database().map(|database| database.collection::<Document>("things"));
    let things = things.ok_or_else(|| anyhow::anyhow!("no database in {}", database.uri))?;
    assert_eq!(things.namespace().db, database.name);
    assert_eq!(things.count_documents(doc! {}).await?, 0);
    things.insert_one(doc! {"_id": &database.name}).await?;
    assert_eq!(things.count_documents(doc! {}).await?, 1);
    client.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn one_test_is_alone() -> Result<()> {
    has_a_database_of_its_own().await
}

#[tokio::test]
async fn another_test_is_alone() -> Result<()> {
    has_a_database_of_its_own().await
}
