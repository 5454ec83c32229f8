//! Certificates that the masters renew by themselves, and what is told when that fails.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kontena_wire::rpc;
use mongodb::bson::{DateTime, Document, doc};
use serde_json::Value;
use tokio::time::sleep;

use super::{PATIENCE, Scene};

const DAY: i64 = 24 * 3600 * 1000;

/// Lets the certificate end tomorrow, and another master look for such.
async fn ends_soon(scene: &Scene) -> Result<()> {
    let soon = DateTime::from_millis(DateTime::now().timestamp_millis() + DAY);
    let certificates = scene.world.collection("certificates");
    certificates.update_one(doc! {}, doc! { "$set": { "valid_until": soon } }).await?;
    look_again(scene).await
}

/// Lets another master lead, as if the last look was long ago.
async fn look_again(scene: &Scene) -> Result<()> {
    scene.world.collection("duty_schedules").delete_one(doc! { "_id": "certificates" }).await?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        for master in &scene.world.masters {
            if master.acting_term().await.is_some() && master.run(&["step-down"])?.status.success() {
                return Ok(());
            }
        }
        ensure!(Instant::now() < deadline, "nobody steps down");
        sleep(Duration::from_millis(50)).await;
    }
}

async fn certificate(scene: &Scene) -> Result<Document> {
    scene.rows("certificates").await?.pop().context("no certificate")
}

/// The certificate in place of this one, as soon as there is one. The balancer answers for its domain.
async fn renewed(scene: &Scene, old: &str) -> Result<Document> {
    scene
        .eventually("a new certificate", async |scene| {
            scene.balancer.told(&scene.agent);
            Ok(certificate(scene).await?.get_str("certificate")? != old)
        })
        .await?;
    certificate(scene).await
}

/// What the load balancer has in place of its certificate.
fn held(scene: &Scene) -> Option<String> {
    let pods = scene.agent.record().pods().into_values().map(|pod| rpc::json(&pod));
    let secrets: Vec<Value> = pods.filter_map(|pod| pod["secrets"].as_array().cloned()).flatten().collect();
    let found = secrets.into_iter().find(|secret| secret["name"] == "SSL_CERTS")?;
    found["value"].as_str().map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_soon_is_renewed_and_deployed_and_a_failure_is_told() -> Result<()> {
    let scene = Scene::set(2, 0).await?;
    scene.world.sees_masters(2).await?;
    scene.register().await?;
    scene.authorize_by_file("shop.example.com").await?;
    scene.request(&["shop.example.com"]).await?;
    scene
        .world
        .collection("grid_services")
        .update_one(
            doc! { "name": "lb" },
            doc! { "$set": { "certificates": [{ "subject": "shop.example.com", "name": "SSL_CERTS", "type": "env" }] } },
        )
        .await?;

    // The balancer does not answer any more.
    ends_soon(&scene).await?;
    scene
        .eventually("a failure", async |scene| {
            Ok(certificate(scene).await?.get_i32("renewal_failures").is_ok_and(|count| count == 1))
        })
        .await?;
    let old = certificate(&scene).await?.get_str("certificate")?.to_owned();
    let told = async |scene: &Scene, kind: &str| {
        let rows = scene.rows("event_logs").await?;
        let kinds = rows.iter().filter(|row| row.get_str("type").is_ok_and(|found| found == kind));
        Ok::<_, anyhow::Error>(
            kinds.filter_map(|row| row.get_str("msg").ok().map(str::to_owned)).collect::<Vec<_>>(),
        )
    };
    scene
        .eventually("an event", async |scene| {
            let events = told(scene, "certificate:renewal").await?;
            Ok(events.iter().any(|event| event.contains("shop.example.com was not renewed")))
        })
        .await?;
    // Whoever looks now waits, and warns.
    look_again(&scene).await?;
    scene
        .eventually("a warning", async |scene| {
            Ok(told(scene, "certificate:expiry").await?.iter().any(|event| event.contains("expires in")))
        })
        .await?;
    ensure!(certificate(&scene).await?.get_i32("renewal_failures")? == 1, "tried again at once");

    // Two hours later it answers.
    let before = DateTime::from_millis(DateTime::now().timestamp_millis() - 2 * 3600 * 1000);
    let change = doc! { "$set": { "renewal_failed_at": before } };
    scene.world.collection("certificates").update_one(doc! {}, change).await?;
    let orders = scene.authority.issued().len();
    look_again(&scene).await?;
    let row = renewed(&scene, &old).await?;
    ensure!(row.get("renewal_failures").is_none() && row.get("expiry_told_at").is_none(), "{row}");
    ensure!(
        row.get_datetime("valid_until")?.timestamp_millis() > DateTime::now().timestamp_millis() + 7 * DAY,
        "{row}"
    );
    ensure!(scene.authority.issued().len() == orders + 1, "{:?}", scene.authority.issued());
    // The service that uses it gets it.
    let new = row.get_str("certificate")?.to_owned();
    scene
        .eventually("the certificate at the balancer", async |scene| {
            Ok(held(scene).is_some_and(|bundle| bundle.starts_with(&new)))
        })
        .await?;
    // Authorized by hand once more, it is renewed all the same.
    scene.authorize_by_file("shop.example.com").await?;
    ends_soon(&scene).await?;
    renewed(&scene, &new).await?;
    // What a record proves is never renewed.
    scene
        .world
        .collection("grid_domain_authorizations")
        .update_one(doc! {}, doc! { "$set": { "authorization_type": "dns-01" } })
        .await?;
    let issued = scene.authority.issued().len();
    ends_soon(&scene).await?;
    let told_before = told(&scene, "certificate:expiry").await?.len();
    scene
        .eventually("a warning of it", async |scene| {
            Ok(told(scene, "certificate:expiry").await?.len() > told_before)
        })
        .await?;
    ensure!(scene.authority.issued().len() == issued, "it was renewed");
    Ok(())
}
