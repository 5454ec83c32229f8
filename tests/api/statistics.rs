//! What containers measured, by minutes, as their service shows it.

use anyhow::{Context, Result, ensure};
use mongodb::bson::{DateTime, doc, oid::ObjectId};
use reqwest::Method;
use serde_json::json;

use crate::world::{Request, World};

/// The first second of a minute, in milliseconds since 1970: 2023-11-14T22:14:00Z.
const MINUTE: i64 = 1_700_000_040_000;

#[tokio::test]
async fn containers_of_a_service_are_added_up_and_each_host_counts_once() -> Result<()> {
    let world = World::new().await?;
    let admin = world.login().await?;
    for (path, body) in [
        ("/v1/grids", json!({ "name": "main" })),
        ("/v1/grids/main/services", json!({ "name": "web", "image": "redis:3.0", "stateful": false })),
    ] {
        let made = world.ask(Request::new(Method::POST, path).token(&admin).json(&body)).await?;
        ensure!(made.status == 201, "{made:?}");
    }
    let service = world.collection("grid_services").find_one(doc! {}).await?.context("a service")?;
    let service = service.get_object_id("_id")?;
    let [first, second] = std::array::from_fn(|_| ObjectId::new());
    let [one, two, three] = std::array::from_fn(|_| ObjectId::new());
    let measured = |container: ObjectId, node: ObjectId, second: i64, percent: f64, mask: Option<&str>| {
        let link = doc! { "interfaces": ["eth0"], "rx_bytes": 100, "tx_bytes": 7.0 };
        doc! {
            "grid_service_id": service, "container_id": container, "host_node_id": node,
            "created_at": DateTime::from_millis(MINUTE + second * 1_000),
            "cpu": { "usage_pct": percent }, "memory": { "usage": 1_000_i64 },
            "spec": { "cpu": { "mask": mask }, "memory": { "limit": 4_000_i64 } },
            "network": { "internal": link },
        }
    };
    let rows = [
        measured(one, first, 0, 10.0, Some("0-3")),
        // The same container again: its mean counts.
        measured(one, first, 59, 30.0, Some("0-3")),
        measured(two, first, 5, 1.005, Some("0-3")),
        measured(three, second, 5, 0.0, None),
        measured(three, second, 60, 5.0, Some("0-1")),
    ];
    world.collection("container_stats").insert_many(rows).await?;
    let path = "/v1/services/main/null/web/metrics?from=2023-11-14T22:14:00Z&to=2023-11-14T22:16:00Z";
    let answer = world.ask(Request::new(Method::GET, path).token(&admin)).await?;
    let link = |times: f64| {
        json!({
            "interfaces": ["eth0"], "rx_bytes": 100.0 * times, "rx_bytes_per_second": 0.0,
            "tx_bytes": 7.0 * times, "tx_bytes_per_second": 0.0,
        })
    };
    let nothing = json!({
        "interfaces": [], "rx_bytes": 0.0, "rx_bytes_per_second": 0.0, "tx_bytes": 0.0, "tx_bytes_per_second": 0.0,
    });
    let memory = |used: i64| json!({ "used": used, "total": 4 * used, "free": 0, "active": 0, "inactive": 0, "cached": 0, "buffers": 0 });
    let expected = json!({
        "from": "2023-11-14T22:14:00.000Z", "to": "2023-11-14T22:16:00.000Z",
        "stats": [
            {
                "timestamp": "2023-11-14T22:14:00.000+00:00", "cpu": { "used": 21.0, "cores": 5 },
                "memory": memory(3_000), "network": { "internal": link(3.0), "external": nothing },
            },
            {
                "timestamp": "2023-11-14T22:15:00.000+00:00", "cpu": { "used": 5.0, "cores": 2 },
                "memory": memory(1_000), "network": { "internal": link(1.0), "external": nothing },
            },
        ],
    });
    let mut found = answer.json();
    // Half a hundredth may be rounded either way.
    let used = found["stats"][0]["cpu"]["used"].as_f64().context("a number")?;
    ensure!((used - 21.0).abs() < 0.02, "{found}");
    found["stats"][0]["cpu"]["used"] = json!(21.0);
    ensure!(found == expected, "{found:#}\ninstead of {expected:#}");
    Ok(())
}
