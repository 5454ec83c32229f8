//! Leaders that are killed at each step of an order, before it is written and after: there is one certificate, and the
//! successor brings it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kontena_testkit::mongod::shared;
use kontena_testkit::relay::{Hold, Relay};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::{CERTIFICATES, DOMAINS, PATIENCE, Scene};

/// The steps of an order by the names that their commands carry, and whether it is then wanted for a challenge or for
/// a certificate.
const STEPS: [(&str, bool); 7] = [
    ("acme", false),
    ("acme_url", false),
    ("acme_present", false),
    ("acme", true),
    ("acme_answer", true),
    ("acme_key", true),
    ("acme_done", true),
];

/// Makes the first master the leader.
async fn lead(scene: &Scene) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let [first, second] = scene.world.masters.as_slice() else { anyhow::bail!("two masters are wanted") };
    while first.acting_term().await.is_none() {
        // The successor must have been heard of, and somebody must lead.
        let _stepped_down = second.run(&["step-down"])?;
        ensure!(Instant::now() < deadline, "it does not lead:\n{}", first.log_tail());
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Asks the second master for something, while the first is killed at a step.
async fn killed(scene: &Scene, relay: &Relay, step: (&str, Hold), path: &str, wish: &Value) -> Result<()> {
    lead(scene).await?;
    let (name, hold) = step;
    relay.cut_at(&format!("duty {name}\0"), hold);
    let asked = scene.ask_of(1, Method::POST, path, wish);
    let caught = async {
        timeout(PATIENCE, relay.was_cut())
            .await
            .with_context(|| format!("{name} was not written:\n{}", scene.world.masters[0].log_tail()))?;
        scene.world.masters[0].pid().context("it does not run")
    };
    let end = async {
        let pid = caught.await?;
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid)?).context("no process")?;
        rustix::process::kill_process(pid, rustix::process::Signal::KILL)?;
        Ok::<_, anyhow::Error>(())
    };
    let (answer, ended) = tokio::join!(asked, end);
    ended?;
    let answer = answer?;
    ensure!(answer.status == StatusCode::CREATED, "{answer:?}\n{}", scene.world.masters[1].log_tail());
    Ok(())
}

/// Starts the first master again. What was held back of the killed one comes to the database only now, when nobody
/// works on what it concerns any more.
async fn back(scene: &mut Scene, relay: &Relay) -> Result<()> {
    relay.heal();
    scene.world.masters[0].launch().await?;
    scene
        .eventually("the first master ready", async |scene| {
            Ok(scene.world.masters[0].ask(Method::GET, "/readyz").await?.0 == StatusCode::OK)
        })
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_a_leader_is_killed_there_is_one_certificate() -> Result<()> {
    let database = shared().await?.database();
    let relay = Relay::start(shared().await?.set(), 47)?;
    let uris = [relay.uri(&database.name), database.uri.clone()];
    let mut scene = Scene::on(database, &uris, 0).await?;
    scene.asked = 1;
    scene.register().await?;
    for (number, (step, issues)) in STEPS.into_iter().enumerate() {
        for (hold, word) in [(Hold::Request, "before"), (Hold::Reply, "after")] {
            let began = Instant::now();
            let domain = format!("{word}-{number}.example.com");
            let offer =
                json!({ "domain": domain, "authorization_type": "http-01", "linked_service": "null/lb" });
            let issue = json!({ "domains": [domain] });
            let orders = scene.authority.issued().len();
            let context = || format!("killed {word} {step} (issuing: {issues})");
            if issues {
                scene.authorize_by_file(&domain).await?;
                killed(&scene, &relay, (step, hold), CERTIFICATES, &issue).await.with_context(context)?;
            } else {
                killed(&scene, &relay, (step, hold), DOMAINS, &offer).await.with_context(context)?;
                let shown = scene.deployed(&domain).await?;
                ensure!(shown["status"] == "created", "{}: {shown}", context());
                scene.request(&[&domain]).await.with_context(context)?;
            }
            let issued = scene.authority.issued();
            ensure!(issued.len() == orders + 1, "{}: {issued:?}", context());
            let certificate = scene.get(&format!("/v1/certificates/main/{domain}/export")).await?;
            ensure!(certificate["certificate"].as_str().is_some_and(|pem| !pem.is_empty()), "{certificate}");
            println!("{}: {:?}", context(), began.elapsed());
            back(&mut scene, &relay).await?;
        }
    }
    // None of what was begun twice is open any more.
    for order in scene.rows("acme_orders").await? {
        ensure!(order.get_str("state")? == "done" && order.get("slot").is_none(), "{order}");
    }
    Ok(())
}
