//! Servers end with the process that started them, even if that is killed.

use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kontena_testkit::mongod::{ReplicaSet, Settings};
use rustix::process::{Signal, getpid, kill_process};

use crate::SOON;

const MARK: &str = "listening at ";

#[test]
fn servers_do_not_outlive_a_killed_process() -> Result<()> {
    let child = Command::new(std::env::current_exe()?)
        .args(["--exact", "ends::is_killed", "--ignored", "--nocapture"])
        .output()?;
    let output = String::from_utf8(child.stdout)?;
    let (_, address) = output.split_once(MARK).with_context(|| format!("it did not start: {output}"))?;
    let address = address.lines().next().unwrap_or_default();
    let deadline = Instant::now() + SOON;
    while TcpStream::connect(address).is_ok() {
        ensure!(Instant::now() < deadline, "the server at {address} lives on");
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

#[tokio::test]
#[ignore = "kills its own process: the test above runs it in another"]
async fn is_killed() -> Result<()> {
    let set = ReplicaSet::start(Settings::members(1)).await?;
    println!("{MARK}{}", set.members()[0].address());
    kill_process(getpid(), Signal::KILL)?;
    Ok(())
}
