//! Agents that misbehave in every way, on a database that becomes slow, beside agents that do not.

use std::time::{Duration, Instant};

use anyhow::Result;
use kontena_testkit::agent::{Fleet, Grid};
use kontena_testkit::master::{self, Master};
use kontena_testkit::mongod::shared;
use kontena_testkit::relay::Relay;
use mongodb::bson::doc;
use tokio::time::sleep;

use super::{GRID_TOKEN, PATIENCE, POLL, Stage, address, peak_kib};

const FAITHFUL: usize = 20;
const UNRULY: usize = 18;
const LASTS: Duration = Duration::from_secs(18);
/// How much later everything arrives, each way, while the database is slow.
const SLOW: Duration = Duration::from_millis(60);
const MEMORY_MAX_KIB: u64 = 200 << 10;

#[tokio::test]
async fn faithful_agents_notice_nothing_of_those_that_misbehave() -> Result<()> {
    let database = shared().await?.database();
    let relay = Relay::start(shared().await?.set(), 44)?;
    let master = Master::start(master::Settings::new("only", relay.uri(&database.name))).await?;
    let stage = Stage::around(master, database).await?;
    let masters = [address(&stage.master)];
    let grids = [Grid { token: GRID_TOKEN.to_owned() }];
    let good = Fleet::start_with(&masters, &grids, FAITHFUL, Duration::ZERO, |settings| {
        settings.ping_every = Duration::from_secs(1);
    });
    good.wait_connected(u64::try_from(FAITHFUL)?, PATIENCE).await?;
    let bad = Fleet::start_unruly(&masters, &grids, UNRULY, Duration::from_secs(1));
    let begun = Instant::now();
    let mut slow = false;
    while begun.elapsed() < LASTS {
        assert_eq!(good.record().connected(), u64::try_from(FAITHFUL)?, "{:?}", good.record().closes());
        let now_slow = begun.elapsed() > LASTS / 3 && begun.elapsed() < LASTS * 2 / 3;
        if now_slow != slow {
            slow = now_slow;
            relay.delay(if slow { SLOW } else { Duration::ZERO });
        }
        sleep(POLL).await;
    }
    // They did misbehave.
    let closes = bad.record().closes();
    assert!(closes.get(&4020).is_some_and(|count| *count > 3), "clocks that are off: {closes:?}");
    assert!(closes.get(&1006).is_some_and(|count| *count > 30), "a storm: {closes:?}");
    let record = good.record();
    assert_eq!((record.late_pings(), record.faults()), (0, Vec::new()));
    let worst = record.ping_ms().into_iter().fold(0.0, f64::max);
    assert!(worst < 2500.0, "a ping took {worst} ms");
    let online = doc! { "connected": true, "updated": true, "name": { "$regex": "^node-" } };
    assert_eq!(stage.outside.count("host_nodes", online).await?, u64::try_from(FAITHFUL)?);
    let peak = peak_kib(&stage.master)?;
    assert!(peak < MEMORY_MAX_KIB, "the master's memory rose to {peak} KiB");
    Ok(())
}
