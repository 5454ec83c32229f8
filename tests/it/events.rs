//! The feed of a real master: what it tells, that it goes on where a client stood, and across masters.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use kontena_testkit::http::client;
use kontena_testkit::master::Master;
use kontena_testkit::mongod::shared;
use kontena_wire::cluster::MasterState;
use kontena_wire::events::{Event, Happening, Standing};
use tokio::time::{Instant, timeout, timeout_at};

use crate::process::{acting, start};

const PATIENCE: Duration = Duration::from_secs(20);

/// A client of the feed.
pub(crate) struct Follower {
    answer: reqwest::Response,
    text: String,
    last: Option<String>,
}

impl Follower {
    pub(crate) async fn new(master: &Master, last: Option<&str>) -> Result<Self> {
        let http = client().unix_socket(master.admin_socket()).build()?;
        let mut request = http.get(format!("{}/v1/cluster/events", master.url()));
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let answer = request.send().await?.error_for_status()?;
        Ok(Self { answer, text: String::new(), last: last.map(str::to_owned) })
    }

    /// The next event. None if the master ended the stream.
    async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    block
                        .lines()
                        .find_map(|line| line.strip_prefix(name))
                        .map(|value| value.trim().to_owned())
                };
                let (id, data) = (field("id:"), field("data:"));
                let end = self.text.len() - rest.len();
                self.text.drain(..end);
                self.last = id.or(self.last.take());
                if let Some(data) = data {
                    return Ok(Some(serde_json::from_str(&data)?));
                }
                continue;
            }
            match timeout(PATIENCE, self.answer.chunk()).await.context("not even a sign of life")?? {
                Some(chunk) => self.text.push_str(std::str::from_utf8(&chunk)?),
                None => return Ok(None),
            }
        }
    }

    /// All events until the first that is `wanted`, which is the last of them.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&Happening) -> bool) -> Result<Vec<Happening>> {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        // Comments that keep the stream alive are no events: waiting for one ends by the clock alone.
        while let Ok(event) = timeout_at(deadline, self.next()).await {
            let event = event?.context("the stream has ended")?;
            let found = wanted(&event.what);
            seen.push(event.what);
            if found {
                return Ok(seen);
            }
        }
        bail!("not seen; instead {seen:#?}")
    }
}

fn election(wanted: u64) -> impl Fn(&Happening) -> bool {
    move |what| matches!(what, Happening::Election { reign } if reign.term == wanted)
}

#[tokio::test]
async fn a_failover_is_told_in_order_and_once_to_who_comes_back() -> Result<()> {
    let database = shared().await?.database();
    let mut first = start("first", &database).await?;
    let (_, term) = acting(&[&first], 1).await?;
    let second = start("second", &database).await?;
    let mut follower = Follower::new(&second, None).await?;
    follower
        .until(|what| {
            matches!(what, Happening::Master { master, is: Some(MasterState::Acting), .. } if master.name == "first")
        })
        .await?;
    first.kill()?;
    assert!(first.release_lease()?.status.success());
    let seen = follower.until(election(term + 1)).await?;
    let place = |wanted: &dyn Fn(&Happening) -> bool| seen.iter().position(wanted);
    let taken = place(&|what| {
        matches!(what, Happening::Lease { term: taken, holder: Some(holder) }
            if *taken == term + 1 && holder.name == "second")
    });
    let acts = place(
        &|what| matches!(what, Happening::Standing { standing: Standing::Acting, term: Some(acting) } if *acting == term + 1),
    );
    assert!(taken.is_some() && taken < acts && acts < Some(seen.len() - 1), "{seen:#?}");
    let stood = follower.last.clone().context("an id")?;
    follower.until(|what| matches!(what, Happening::Duty { .. })).await?;
    // Who comes back hears what followed, and neither the election nor that anything is missing.
    let mut back = Follower::new(&second, Some(&stood)).await?;
    let seen = back.until(|what| matches!(what, Happening::Duty { .. })).await?;
    assert!(!seen.iter().any(|what| matches!(what, Happening::Election { .. } | Happening::Missed { .. })));
    // Another master knows the elections, but not what the first one observed, and says so.
    first.launch().await?;
    let elsewhere = format!("{term}.00000000.7");
    let mut moved = Follower::new(&first, Some(&elsewhere)).await?;
    let seen = moved.until(election(term + 1)).await?;
    assert!(matches!(seen[0], Happening::Missed { .. }), "{seen:#?}");
    assert!(!seen.iter().any(election(term)), "known already: {seen:#?}");
    Ok(())
}

#[tokio::test]
async fn a_stopping_master_sends_its_followers_away() -> Result<()> {
    let database = shared().await?.database();
    let mut master = start("only", &database).await?;
    let mut follower = Follower::new(&master, None).await?;
    let (stopped, ended) = tokio::join!(master.stop(PATIENCE), async {
        while follower.next().await?.is_some() {}
        Ok::<_, anyhow::Error>(())
    });
    assert!(stopped?.success());
    ended?;
    assert!(!master.log_tail().contains("requests were still open"), "{}", master.log_tail());
    Ok(())
}

#[tokio::test]
async fn the_feed_is_for_administrators() -> Result<()> {
    let database = shared().await?.database();
    let master = start("only", &database).await?;
    let http = client().build()?;
    let answer = http.get(format!("{}/v1/cluster/events", master.url())).send().await?;
    assert_eq!(answer.status(), reqwest::StatusCode::UNAUTHORIZED);
    Ok(())
}
