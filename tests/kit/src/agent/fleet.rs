//! Many agents, in grids, with one record.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

use super::run::Agent;
use super::{Record, Settings, SharedRecord, Temper, Token, Traffic};

/// A grid whose token agents bring.
#[derive(Clone, Debug)]
pub struct Grid {
    /// Its token.
    pub token: String,
}

/// Running agents. Dropping them ends them without a word.
#[derive(Debug)]
pub struct Fleet {
    agents: Vec<Agent>,
    record: SharedRecord,
}

impl Fleet {
    /// Starts `count` agents, spread over `grids`, whose first dials are spread over `over`.
    #[must_use]
    pub fn start(masters: &[String], grids: &[Grid], count: usize, traffic: Traffic, over: Duration) -> Self {
        Self::start_with(masters, grids, count, over, |settings| settings.traffic = traffic)
    }

    /// The same, with each agent's settings as `adjust` leaves them.
    #[must_use]
    pub fn start_with(
        masters: &[String],
        grids: &[Grid],
        count: usize,
        over: Duration,
        adjust: impl Fn(&mut Settings),
    ) -> Self {
        let record = Arc::new(Record::default());
        let mut agents = Vec::with_capacity(count);
        for (number, grid) in (0..count).zip(grids.iter().cycle()) {
            let mut settings = Settings::new(masters.to_vec(), Token::Grid(grid.token.clone()), number);
            let share = u32::try_from(number).unwrap_or(u32::MAX);
            settings.first_dial_after = over * share / u32::try_from(count).unwrap_or(u32::MAX).max(1);
            adjust(&mut settings);
            let number = u64::try_from(number).unwrap_or(u64::MAX);
            agents.push(Agent::start_in(settings, Arc::clone(&record), number));
        }
        Self { agents, record }
    }

    /// What all of them did and saw.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// The tempers of a bad day, one after the other.
    #[must_use]
    pub fn tempers() -> [Temper; 6] {
        [
            Temper::Silent,
            Temper::Slow(Duration::from_secs(8)),
            Temper::Skewed(-30.0),
            Temper::Storm(Duration::from_millis(300)),
            Temper::HalfOpen(Duration::from_millis(700)),
            Temper::Hostile,
        ]
    }

    /// Starts agents that misbehave, each kind as often as the others, beside a faithful fleet.
    #[must_use]
    pub fn start_unruly(masters: &[String], grids: &[Grid], count: usize, over: Duration) -> Self {
        let tempers = Self::tempers();
        let number = AtomicUsize::new(0);
        Self::start_with(masters, grids, count, over, |settings| {
            let number = number.fetch_add(1, Ordering::Relaxed);
            settings.temper = tempers[number % tempers.len()];
            settings.name = format!("unruly-{number}");
            settings.node_id = settings.node_id.replace("SIMU", "RULE");
        })
    }

    /// Waits until so many are connected.
    pub async fn wait_connected(&self, count: u64, within: Duration) -> Result<Duration> {
        let begun = Instant::now();
        while self.record.connected() < count {
            if begun.elapsed() > within {
                bail!(
                    "{} of {count} agents are connected after {within:?}; closes {:?}, refused {}, faults {:?}",
                    self.record.connected(),
                    self.record.closes(),
                    self.record.refused(),
                    self.record.faults().iter().take(5).collect::<Vec<_>>()
                );
            }
            sleep(Duration::from_millis(10)).await;
        }
        Ok(begun.elapsed())
    }

    /// Ends all of them without a word.
    pub fn stop(&self) {
        for agent in &self.agents {
            agent.stop();
        }
    }
}
