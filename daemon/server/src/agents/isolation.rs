//! A master that is cut off from the database, while other masters are not, sends its agents to them.

use std::time::Duration;

use futures_util::future::join_all;
use kontena_core::agents::isolation::{CUT_OFF_AFTER, Neighbour, sends_elsewhere};
use kontena_core::clock::Clock;
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use tokio::sync::watch;

use super::Agents;
use crate::clock::SystemClock;
use crate::heartbeat::Picture;

/// From one look to the next.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// For another master to say whether it serves.
const ASK_WITHIN: Duration = Duration::from_secs(2);
/// Over which the agents leave.
const LEAVE_OVER: Duration = Duration::from_secs(2);

/// Watches how long the database has been silent.
pub(super) async fn work(agents: Agents, picture: watch::Receiver<Picture>) {
    let mut interval = tokio::time::interval(LOOK_EVERY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let Some(silence) = silence(&picture) else { continue };
        if silence < CUT_OFF_AFTER || agents.connected() == 0 {
            continue;
        }
        let neighbours = ask(agents.others_at(&picture)).await;
        // Asking took time, in which the database may have come back.
        if self::silence(&picture).is_some_and(|silence| sends_elsewhere(silence, &neighbours)) {
            agents.send_elsewhere("this master does not reach the database", LEAVE_OVER).await;
        }
    }
}

/// How long ago the last heartbeat was acknowledged, if one ever was.
fn silence(picture: &watch::Receiver<Picture>) -> Option<Duration> {
    let refreshed_at = picture.borrow().refreshed_at?;
    Some(SystemClock.now().monotonic.saturating_sub(refreshed_at))
}

/// Asks other masters whether they serve. The client is made for the purpose: this happens next to never.
async fn ask(urls: Vec<String>) -> Vec<Neighbour> {
    let client = Client::builder().timeout(ASK_WITHIN).no_proxy().redirect(Policy::none()).build();
    let Ok(client) = client else { return vec![Neighbour::Silent; urls.len()] };
    let one = async |url: String| match client.get(format!("{url}/readyz")).send().await {
        Ok(response) if response.status() == StatusCode::OK => Neighbour::Ready,
        Ok(_) => Neighbour::NotReady,
        Err(_) => Neighbour::Silent,
    };
    join_all(urls.into_iter().map(one)).await
}

impl Agents {
    /// Where the other masters are reached.
    fn others_at(&self, picture: &watch::Receiver<Picture>) -> Vec<String> {
        let picture = picture.borrow();
        let others = picture.rows.iter().filter(|row| row.id != self.0.me && !row.ended);
        others.map(|row| row.url.trim_end_matches('/').to_owned()).collect()
    }
}
