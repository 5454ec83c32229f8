//! A master that runs short of something says so while it can.

use anyhow::{Context, Result};
use kontena_testkit::master::Master;
use kontena_testkit::mongod::shared;
use kontena_wire::cluster::Cluster;
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::process::{acting, sees, start};

/// Sets how many descriptors a master may have; returns how it was before.
fn limit(master: &Master, limit: impl FnOnce(u64) -> Rlimit) -> Result<Rlimit> {
    let pid = master.pid().context("it has ended")?;
    let open = std::fs::read_dir(format!("/proc/{pid}/fd"))?.count();
    let process = Pid::from_raw(i32::try_from(pid)?).context("no process")?;
    Ok(prlimit(Some(process), Resource::Nofile, limit(u64::try_from(open)?))?)
}

#[tokio::test]
async fn who_has_no_descriptors_left_says_so_to_all_and_leads_on() -> Result<()> {
    let database = shared().await?.database();
    let poor = start("poor", &database).await?;
    let (_, term) = acting(&[&poor], 1).await?;
    let rich = start("rich", &database).await?;
    let warns = |cluster: &Cluster| {
        let of_poor = cluster.masters.iter().find(|master| master.name == "poor");
        of_poor.is_some_and(|master| master.warnings.iter().any(|warning| warning.contains("LimitNOFILE")))
    };
    sees(&rich, "both", |cluster| cluster.masters.len() == 2 && !warns(cluster)).await?;
    let hard = rustix::process::getrlimit(Resource::Nofile).maximum;
    let before = limit(&poor, |open| Rlimit { current: Some(open), maximum: hard })?;
    sees(&rich, "the warning", warns).await?;
    limit(&poor, |_| before)?;
    let cluster = sees(&rich, "that it is over", |cluster| !warns(cluster)).await?;
    assert_eq!(cluster.leader.map(|leader| leader.term), Some(term), "it led all the time");
    Ok(())
}
