//! Two masters on a replica set of three, with twenty grids and two hundred nodes.

use anyhow::{Context, Result};
use mongodb::bson::{Document, doc, oid::ObjectId};
use serde_json::json;

use super::client::Connection;
use crate::login::{CODE, login};
use crate::rig::{Plan, Rig};

const GRIDS: usize = 20;
const NODES: i32 = 200;

/// What is measured.
pub(super) struct World {
    rig: Rig,
    reader: String,
    writer: String,
    token: String,
}

impl World {
    pub(super) async fn start() -> Result<Self> {
        let plan = Plan {
            masters: 2,
            probe: false,
            environment: vec![("INITIAL_ADMIN_CODE", CODE.to_owned())],
            ..Plan::default()
        };
        let rig = Rig::start(&plan).await?;
        rig.pause_polls();
        let address = |index: usize| {
            let place = rig.places.get(index).context("too few masters")?;
            Ok::<_, anyhow::Error>(place.master.url().replace("http://", ""))
        };
        let (reader, writer) = (address(0)?, address(1)?);
        let http = kontena_testkit::http::client().build()?;
        let token = login(&http, &format!("http://{reader}")).await?;
        let mut connection = Connection::open(&reader, &token).await?;
        for number in 0..GRIDS {
            let body = json!({ "name": format!("grid-{number:02}"), "default_affinity": [] });
            connection.send("POST", "/v1/grids", Some(&body)).await?.expect(201)?;
        }
        let body = json!({ "default_affinity": ["version==0"] });
        connection.send("PUT", "/v1/grids/grid-00", Some(&body)).await?.expect(200)?;
        let world = Self { rig, reader, writer, token };
        world.add_nodes().await?;
        Ok(world)
    }

    /// Where is read.
    pub(super) fn reader(&self) -> &str {
        &self.reader
    }

    /// Where is written.
    pub(super) fn writer(&self) -> &str {
        &self.writer
    }

    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// As agents would report them, with addresses.
    async fn add_nodes(&self) -> Result<()> {
        let database = self.rig.database().await?;
        let grid = database.collection::<Document>("grids").find_one(doc! { "name": "grid-00" }).await?;
        let grid = grid.context("no grid")?.get_object_id("_id")?;
        let node = |number: i32| {
            doc! {
                "_id": ObjectId::new(), "grid_id": grid, "name": format!("node-{number:03}"), "node_number": number,
                "node_id": format!("NODE:{number}"), "connected": true, "updated": true, "availability": "active",
                "labels": [format!("region=r{}", number % 3)], "private_ip": format!("10.0.0.{number}"),
                "public_ip": format!("192.0.2.{number}"), "latest_stats": { "memory": { "used": 1, "total": 2 } },
            }
        };
        database.collection::<Document>("host_nodes").insert_many((1..=NODES).map(node)).await?;
        Ok(())
    }
}
