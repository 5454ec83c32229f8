//! What agents ask and report goes together with what others do: one that can never succeed holds nobody up. And rows
//! of containers that are in the way of others.

use std::time::{Duration, Instant};

use anyhow::Result;
use kontena_store::Purpose;
use kontena_testkit::agent::{Connection, Dial, dial};
use kontena_wire::rpc::{Fault, Value, map};
use mongodb::bson::{DateTime, Document, doc, oid::ObjectId};

use super::{Stage, address};
use crate::store::{LIMIT, Outside, fresh, open};

const SOON: Duration = Duration::from_secs(10);

async fn connected(stage: &Stage, number: usize) -> Result<(Connection, String)> {
    let settings = stage.agent(number);
    let mut connection = dial(&Dial::agent(&settings, &address(&stage.master), 0.0)).await?;
    connection.expect(SOON).await?;
    connection.expect(SOON).await?;
    Ok((connection, settings.node_id))
}

/// So old that it is nobody's work in progress.
fn old() -> Result<ObjectId> {
    let seconds = DateTime::now().timestamp_millis() / 1000 - 300;
    Ok(ObjectId::from_parts(u32::try_from(seconds)?, rand::random(), rand::random()))
}

#[tokio::test]
async fn a_container_whose_id_is_taken_gets_its_own_and_holds_nobody_up() -> Result<()> {
    let stage = Stage::set().await?;
    let (mut first, node) = connected(&stage, 1).await?;
    let (mut second, other_node) = connected(&stage, 2).await?;
    let containers = stage.outside.collection("containers");
    // As of the same container on a node that was removed and came back.
    let (taken, free) = (ObjectId::new(), ObjectId::new());
    let before =
        doc! { "_id": taken, "container_id": "c1", "host_node_id": ObjectId::new(), "name": "before" };
    containers.insert_one(before).await?;
    let save = |node: &str, id: &str, imposed: ObjectId| {
        let labels = map([("io.kontena.container.id", Value::from(imposed.to_hex()))]);
        let container = map([
            ("Id", Value::from(id)),
            ("Name", Value::from(format!("/{id}"))),
            ("Config", map([("Labels", labels)])),
        ]);
        vec![map([("node", Value::from(node)), ("container", container)])]
    };
    for _ in 0..2 {
        let begun = Instant::now();
        let (one, other) = tokio::join!(
            first.ask("/containers/save", save(&node, "c1", taken)),
            second.ask("/containers/save", save(&other_node, "c2", free)),
        );
        assert_eq!((one?, other?), (Ok(map([])), Ok(map([]))));
        assert!(begun.elapsed() < SOON, "it took {:?}", begun.elapsed());
    }
    let own = |name: &str| doc! { "name": name };
    let row = stage.outside.one("containers", own("c1")).await?;
    assert_ne!(row.get_object_id("_id")?, taken);
    assert_eq!(stage.outside.one("containers", own("c2")).await?.get_object_id("_id")?, free);
    assert_eq!(stage.outside.count("containers", own("before")).await?, 1);
    assert_eq!(stage.outside.count("containers", doc! {}).await?, 3);
    Ok(())
}

#[tokio::test]
async fn a_list_that_cannot_be_given_holds_up_no_others() -> Result<()> {
    let stage = Stage::set().await?;
    let (mut first, node) = connected(&stage, 1).await?;
    let (mut second, other_node) = connected(&stage, 2).await?;
    let host = stage.outside.one("host_nodes", doc! { "name": "node-1" }).await?.get_object_id("_id")?;
    let place = doc! { "name": "shop.data", "volume_id": ObjectId::new(), "host_node_id": host };
    stage.outside.collection("volume_instances").insert_one(place).await?;
    for _ in 0..3 {
        let begun = Instant::now();
        let (one, other) = tokio::join!(
            first.ask("/node_volumes/list", vec![Value::from(node.as_str())]),
            second.ask("/node_volumes/list", vec![Value::from(other_node.as_str())]),
        );
        assert_eq!(one?, Err(Fault::new(503, "the database does not answer")));
        assert_eq!(other?, Ok(map([("volumes", Value::Array(Vec::new()))])));
        assert!(begun.elapsed() < SOON, "it took {:?}", begun.elapsed());
    }
    Ok(())
}

#[tokio::test]
async fn containers_of_a_node_that_is_gone_are_leftovers() -> Result<()> {
    let database = fresh().await?;
    let outside = Outside::of(&database).await?;
    let store = open(&database.uri, Purpose::Main).await?;
    let node = ObjectId::new();
    outside.collection("host_nodes").insert_one(doc! { "_id": node, "name": "there" }).await?;
    let container = |id: ObjectId, node: Option<ObjectId>| {
        let mut row = doc! { "_id": id, "container_id": id.to_hex(), "name": "c" };
        row.extend(node.map(|node| ("host_node_id".to_owned(), node.into())));
        row
    };
    let gone = old()?;
    let rows: [Document; 4] = [
        container(gone, Some(ObjectId::new())),
        // Just reported, by a node that may be about to be made.
        container(ObjectId::new(), Some(ObjectId::new())),
        container(old()?, Some(node)),
        // Of an old original.
        container(old()?, None),
    ];
    outside.collection("containers").insert_many(rows).await?;
    let found = store.leftovers(10, LIMIT).await?;
    assert_eq!(found.count(), 1, "{found:?}");
    let cleared = format!("{:?}", found.clear());
    assert!(cleared.contains("containers") && cleared.contains(&gone.to_hex()), "{cleared}");
    Ok(())
}
