//! The database is away from a master that has agents.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kontena_store::Purpose;
use kontena_testkit::agent::{Agent, Dial, Settings, Token, dial};
use kontena_testkit::master::{self, Master};
use kontena_testkit::mongod::{self, ReplicaSet, shared};
use kontena_testkit::relay::Relay;
use kontena_wire::rpc::{Fault, Value, map};
use mongodb::bson::{Document, doc};
use tokio::time::sleep;

use super::{GRID_TOKEN, Stage, address, eventually, grid, knows_another, ready};
use crate::store::open;

const SOON: Duration = Duration::from_secs(10);
/// A master that is cut off takes this long to be sure, counted from its last heartbeat before; and longer, if the
/// other one has no answer from a busy database itself.
const CUT_OFF: (Duration, Duration) = (Duration::from_secs(7), Duration::from_secs(120));

#[tokio::test]
async fn a_master_that_is_cut_off_sends_its_agents_to_those_that_are_not() -> Result<()> {
    let database = shared().await?.database();
    let relay = Relay::start(shared().await?.set(), 43)?;
    let first = Master::start(master::Settings::new("first", relay.uri(&database.name))).await?;
    let stage = Stage::around(first, database).await?;
    let second = crate::process::start("second", &stage.database).await?;
    ready(&second).await?;
    knows_another(&stage.master).await?;
    let mut connection = dial(&stage.dial()).await?;
    connection.expect(SOON).await?;
    relay.cut();
    let cut = Instant::now();
    let closed = connection.expect_close(CUT_OFF.1).await;
    let (code, reason) = closed.with_context(|| stage.master.log_tail())?;
    assert_eq!((code, reason.as_str()), (1001, "this master does not reach the database"));
    assert!(cut.elapsed() > CUT_OFF.0, "sent away after {:?}", cut.elapsed());
    // Nobody is let in there, and the other one takes it.
    assert!(dial(&stage.dial()).await.is_err());
    let mut again = dial(&Dial::agent(&stage.agent(1), &address(&second), 0.0)).await?;
    again.expect(SOON).await?;
    let node = stage.outside.one("host_nodes", doc! { "name": "node-1" }).await?;
    assert!(node.get_bool("connected")?);
    assert_eq!(node.get_i64("session_epoch")?, 2);
    relay.heal();
    // What the first one still has to write concerns nobody any more.
    ready(&stage.master).await?;
    sleep(Duration::from_secs(3)).await;
    let node = stage.outside.one("host_nodes", doc! { "name": "node-1" }).await?;
    assert!(node.get_bool("connected")?, "the end of the first session is not that of the second: {node}");
    Ok(())
}

#[tokio::test]
async fn agents_stay_when_the_database_is_away_for_all_and_go_on_when_it_is_back() -> Result<()> {
    let set = ReplicaSet::start(mongod::Settings::members(1)).await?;
    let mut masters = Vec::new();
    for name in ["first", "second"] {
        let master = Master::start(master::Settings::new(name, set.uri("outage"))).await?;
        ready(&master).await?;
        masters.push(master);
    }
    grid(&open(&set.uri("outage"), Purpose::Main).await?, "main", GRID_TOKEN).await?;
    let addresses: Vec<String> = masters.iter().map(address).collect();
    let reporter = Settings::new(addresses.clone(), Token::Grid(GRID_TOKEN.to_owned()), 2);
    let mut reporter_connection = dial(&Dial::agent(&reporter, &addresses[0], 0.0)).await?;
    reporter_connection.expect(SOON).await?;
    let mut settings = Settings::new(addresses, Token::Grid(GRID_TOKEN.to_owned()), 1);
    settings.ping_every = Duration::from_secs(1);
    let agent = Agent::start(settings);
    let database = mongodb::Client::with_uri_str(set.uri("outage")).await?.database("outage");
    let nodes = database.collection::<Document>("host_nodes");
    let online = doc! { "name": "node-1", "connected": true, "updated": true };
    eventually("an online node", async || Ok(nodes.count_documents(online.clone()).await? == 1)).await?;
    set.members()[0].kill()?;
    let away = Instant::now();
    // What is told meanwhile is not lost, even if it is answered that it takes too long.
    let container = map([("Id", Value::from("c1")), ("Name", Value::from("/told meanwhile"))]);
    let body = map([("node", Value::from(reporter.node_id.as_str())), ("container", container)]);
    let told = tokio::spawn(async move {
        let told = reporter_connection.ask("/containers/save", vec![body]).await;
        (told, reporter_connection)
    });
    while away.elapsed() < Duration::from_secs(27) {
        assert_eq!(agent.record().connected(), 1, "closes: {:?}", agent.record().closes());
        sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(agent.record().late_pings(), 0, "a database that is away delays no ping");
    let (told, _reporter_connection) = told.await?;
    assert_eq!(told?, Err(Fault::new(503, "the database does not answer")));
    set.members()[0].restart().await?;
    set.wait_for_primary(Duration::from_secs(30)).await?;
    for master in &masters {
        ready(master).await?;
    }
    let containers = database.collection::<Document>("containers");
    let meanwhile = doc! { "name": "told meanwhile" };
    eventually("what was told meanwhile", async || {
        Ok(containers.count_documents(meanwhile.clone()).await? == 1)
    })
    .await?;
    // Nobody left.
    let node = nodes.find_one(online).await?.context("an online node")?;
    assert_eq!((node.get_i64("session_epoch")?, agent.record().connects()), (1, 1));
    assert_eq!(agent.record().faults(), Vec::<String>::new());
    Ok(())
}
