//! What the masters say of themselves when they are asked, all the time: two must never say at once that they lead.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::clock;

/// How often each master is asked whether it leads.
const EVERY: Duration = Duration::from_millis(20);
/// How long an answer may take: what comes later proves nothing any more.
const PATIENCE: Duration = Duration::from_secs(60);

/// The count of contradictions, and those who ask.
pub(crate) struct Contradictions {
    heard: Arc<Mutex<Heard>>,
    asking: Vec<JoinHandle<()>>,
}

impl Contradictions {
    /// Asks the masters at these addresses from now on.
    pub(crate) fn watch(urls: impl Iterator<Item = String>) -> Self {
        let heard = Arc::new(Mutex::new(Heard::default()));
        let asking = urls.map(|url| tokio::spawn(ask(url, Arc::clone(&heard)))).collect();
        Self { heard, asking }
    }

    /// How often two masters led at once, by their own word.
    pub(crate) fn count(&self) -> u64 {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).count
    }

    /// Ends the asking.
    pub(crate) fn stop(&self) {
        for task in &self.asking {
            task.abort();
        }
    }
}

/// What was heard so far.
#[derive(Debug, Default)]
struct Heard {
    /// The highest term under which a master said it acts, and when that answer was received.
    highest: Option<(u64, Duration)>,
    count: u64,
}

impl Heard {
    /// "I act under `term`", asked at `asked` and heard at `heard`.
    fn take_in(&mut self, term: u64, asked: Duration, heard: Duration) {
        match self.highest {
            Some((highest, heard_then)) if term < highest => self.count += u64::from(asked > heard_then),
            Some((highest, _)) if term == highest => {}
            _ => self.highest = Some((term, heard)),
        }
    }
}

async fn ask(url: String, heard: Arc<Mutex<Heard>>) {
    let Ok(http) = kontena_testkit::http::client().timeout(PATIENCE).build() else { return };
    loop {
        let asked = clock::now();
        if let Ok(answer) = http.get(format!("{url}/leader")).send().await
            && answer.status() == reqwest::StatusCode::OK
            && let Ok(body) = answer.json::<Value>().await
            && let Some(term) = body.get("term").and_then(Value::as_u64)
        {
            heard.lock().unwrap_or_else(PoisonError::into_inner).take_in(term, asked, clock::now());
        }
        sleep(EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn an_older_leader_contradicts_only_if_it_was_asked_later() {
        let mut heard = Heard::default();
        heard.take_in(4, at(0), at(1));
        heard.take_in(5, at(10), at(12));
        heard.take_in(4, at(11), at(30));
        assert_eq!(heard.count, 0, "asked before the answer of the new leader came");
        heard.take_in(4, at(13), at(14));
        assert_eq!(heard.count, 1);
    }
}
