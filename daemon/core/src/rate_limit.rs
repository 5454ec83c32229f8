//! How many requests a client may make in a while, remembered for a bounded number of clients.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// How many clients are remembered; beyond, those that asked longest ago are forgotten.
const CLIENTS_MAX: usize = 10_000;

/// Counts requests by client, each allowance flowing back evenly over the window.
#[derive(Clone, Debug)]
pub struct RateLimit<K> {
    window: Duration,
    clients: HashMap<K, Bucket>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    used: f64,
    at: Duration,
}

impl<K: Eq + Hash + Clone> RateLimit<K> {
    /// Nobody has asked yet.
    #[must_use]
    pub fn new(window: Duration) -> Self {
        Self { window, clients: HashMap::new() }
    }

    /// Whether `client` may make one more request at `now` (monotonic time), of `allowed` in each window. One that
    /// is refused does not count.
    pub fn admit(&mut self, now: Duration, client: K, allowed: f64) -> bool {
        if self.clients.len() >= CLIENTS_MAX && !self.clients.contains_key(&client) {
            self.forget();
        }
        let per_second = allowed / self.window.as_secs_f64();
        let bucket = self.clients.entry(client).or_insert(Bucket { used: 0.0, at: now });
        let flowed_back = now.saturating_sub(bucket.at).as_secs_f64() * per_second;
        bucket.used = (bucket.used - flowed_back).max(0.0);
        bucket.at = now;
        let admitted = bucket.used + 1.0 <= allowed.max(1.0);
        if admitted {
            bucket.used += 1.0;
        }
        admitted
    }

    /// Makes room: the half that asked longest ago goes.
    fn forget(&mut self) {
        let mut times: Vec<Duration> = self.clients.values().map(|bucket| bucket.at).collect();
        let middle = times.len() / 2;
        let (_, median, _) = times.select_nth_unstable(middle);
        let median = *median;
        self.clients.retain(|_, bucket| bucket.at > median);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_flows_back_and_belongs_to_one_client() {
        let mut limit = RateLimit::new(Duration::from_secs(60));
        let admitted = (0..100).filter(|_| limit.admit(Duration::ZERO, "one", 60.0)).count();
        assert_eq!(admitted, 60);
        assert!(limit.admit(Duration::ZERO, "other", 60.0));
        assert!(!limit.admit(Duration::from_millis(900), "one", 60.0));
        assert!(limit.admit(Duration::from_millis(1100), "one", 60.0));
        assert!(!limit.admit(Duration::from_millis(1200), "one", 60.0));
    }

    #[test]
    fn the_memory_is_bounded_and_keeps_who_asked_last() {
        let mut limit = RateLimit::new(Duration::from_secs(60));
        for client in 0..50_000_u32 {
            limit.admit(Duration::from_micros(u64::from(client)), client, 1.0);
        }
        assert!(limit.clients.len() <= CLIENTS_MAX);
        assert!(!limit.admit(Duration::from_millis(50), 49_999, 1.0));
    }
}
