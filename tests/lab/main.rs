//! `cargo lab`: the whole thing on one machine, to try, to break and to measure.
#![expect(clippy::print_stdout, reason = "a program for a terminal")]

mod administrators;
mod balancer;
mod clock;
mod contradictions;
mod grids;
mod hosts;
mod judge;
mod login;
mod offline;
mod process;
mod report;
mod rig;
mod scenario;
mod trace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::report::Report;

/// Run a replica set and several masters on this machine: to see them at work, to break them, to measure them.
#[derive(Debug, Parser)]
#[command(name = "cargo lab", version)]
struct Cli {
    /// End with one line that is one JSON object, raw samples included.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Debug, Subcommand)]
enum Scenario {
    /// Three masters to look at, and a key that kills the leader.
    Demo(scenario::demo::Demo),
    /// Kill, pause or cut off the leader, again and again: how long is nobody in charge?
    Failover(scenario::failover::Failover),
    /// Let the leader step down, again and again.
    Handover(scenario::handover::Handover),
    /// Take the database's own primary away: does the leader keep its term?
    MongoFailover(scenario::mongo_failover::MongoFailover),
    /// The production driver with seeded faults in virtual time.
    Sim(scenario::sim::Sim),
    /// Install the packages on real systemd hosts, and break these in every way.
    Hosts(scenario::hosts::Hosts),
    /// The TUI with many rows, and with a leader that is killed: how soon is it on the screen?
    Tui(scenario::tui::Tui),
    /// Many agents on one master: how fast are they in, what do they cost?
    Agents(scenario::agents::Agents),
    /// Kill one of three masters: how long until its agents are back, and what is lost?
    Herd(scenario::herd::Herd),
    /// Call agents whose sessions another master holds.
    Bus(scenario::bus::Bus),
    /// Agents that misbehave in every way on a slow database, beside agents that do not.
    Misbehaviour(scenario::misbehaviour::Misbehaviour),
    /// Ask a master what command lines ask, while another one changes it.
    Api(scenario::api::Api),
    /// Everything breaks at random, under load: is all as it was wanted when it is calm again?
    Chaos(scenario::chaos::Chaos),
    /// Kill leaders while events flow to Kontena Cloud: does it hear all of them, in order?
    Cloud(scenario::cloud::Cloud),
    /// Place and deploy many services: how fast, and what does it cost the database?
    Schedule(scenario::schedule::Schedule),
    /// Real load balancers before three masters that are drained, killed and restarted: what is noticed behind them?
    Balancers(scenario::balancers::Balancers),
    /// Watch masters that have nothing to do: memory, processor, commands to the database.
    Idle(scenario::idle::Idle),
    /// Everything that is usual goes on for hours: does anything grow that should not?
    Soak(scenario::soak::Soak),
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.scenario {
        Scenario::Demo(demo) => scenario::demo::run(demo).await.map(|()| None),
        Scenario::Failover(failover) => scenario::failover::run(failover).await.map(Some),
        Scenario::Handover(handover) => scenario::handover::run(handover).await.map(Some),
        Scenario::MongoFailover(failover) => scenario::mongo_failover::run(failover).await.map(Some),
        Scenario::Sim(sim) => scenario::sim::run(&sim),
        Scenario::Hosts(hosts) => scenario::hosts::run(hosts, cli.json).await,
        Scenario::Tui(tui) => scenario::tui::run(tui).await.map(Some),
        Scenario::Agents(agents) => scenario::agents::run(agents).await,
        Scenario::Herd(herd) => scenario::herd::run(herd).await.map(Some),
        Scenario::Bus(bus) => scenario::bus::run(bus).await.map(Some),
        Scenario::Misbehaviour(arguments) => scenario::misbehaviour::run(arguments).await.map(Some),
        Scenario::Api(api) => scenario::api::run(api).await.map(Some),
        Scenario::Chaos(chaos) => scenario::chaos::run(chaos).await.map(Some),
        Scenario::Cloud(cloud) => scenario::cloud::run(cloud).await.map(Some),
        Scenario::Schedule(schedule) => scenario::schedule::run(schedule).await.map(Some),
        Scenario::Balancers(arguments) => scenario::balancers::run(arguments).await.map(Some),
        Scenario::Idle(idle) => scenario::idle::run(idle).await.map(Some),
        Scenario::Soak(soak) => scenario::soak::run(soak).await.map(Some),
    };
    match outcome {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(report)) => conclude(&report, cli.json),
        Err(error) => {
            eprintln!("lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn conclude(report: &Report, json: bool) -> ExitCode {
    print!("{}", report.table());
    if json {
        println!("{}", report.json());
    }
    if report.is_clean() {
        ExitCode::SUCCESS
    } else {
        eprintln!("lab: a promise was broken");
        ExitCode::FAILURE
    }
}
