//! The leader steps down as planned: how long is nobody in charge?

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::time::sleep;

use crate::clock;
use crate::report::Report;
use crate::rig::{Plan, Rig};

#[derive(Debug, Args)]
pub(crate) struct Handover {
    /// How often.
    #[arg(long, default_value_t = 20)]
    rounds: usize,
}

pub(crate) async fn run(arguments: Handover) -> Result<Report> {
    let Handover { rounds } = arguments;
    let mut report = Report::new("handover", json!({ "rounds": rounds }));
    let rig = Rig::start(&Plan::default()).await?;
    let mut false_takeovers = 0;
    for round in 1..=rounds {
        let (leader, term) = rig.settled().await?;
        sleep(Duration::from_micros(rand::random_range(0..500_000))).await;
        let place = rig.places.get(leader).context("the leader has no place")?;
        let asked = clock::now();
        let (status, body) = place.master.ask(Method::POST, "/v1/cluster/step-down").await?;
        ensure!(status == StatusCode::NO_CONTENT, "step-down was answered {status}: {body}");
        let next = rig.next_term(term).await?;
        let first = rig.judge.first_of_term(next.term).unwrap_or(next.at);
        let leaderless = clock::millis(first.saturating_sub(asked));
        report.sample("leaderless_ms", leaderless);
        eprintln!("round {round:>3}: term {term} given up, term {} acts after {leaderless:.1} ms", next.term);
        let (_, settled_term) = rig.settled().await?;
        false_takeovers += settled_term.saturating_sub(term + 1);
    }
    report.violations("false_takeovers", false_takeovers);
    rig.conclude(&mut report).await?;
    Ok(report)
}
