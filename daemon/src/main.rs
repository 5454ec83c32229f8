//! `kontena-master`: arguments, configuration, wiring. No domain logic.

mod admin_client;
mod bootstrap;
mod bundle;
mod cli;
mod config;
mod doctor;
mod generate;
mod listeners;
mod provision;
mod release;
mod reload;
mod run;
mod status;
mod telemetry;
mod token;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command, Token};

/// The system's allocator keeps what a rush of agents took for a while.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What sysexits(3) has for a configuration that cannot be used. The service manager does not try again then.
const EX_CONFIG: u8 = 78;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Several crates of the tree could each choose another provider; choosing one here ends the question.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("kontena-master: the TLS provider was installed twice");
        return ExitCode::FAILURE;
    }
    let outcome = match cli.command {
        Command::Run(run) => run::run(&cli.config, &run),
        Command::CheckConfig => check_config(&cli.config),
        Command::Bootstrap(bootstrap) => bootstrap::bootstrap(&cli.config, &bootstrap),
        Command::Provision(provision) => provision::provision(&provision),
        Command::Doctor(doctor) => doctor::doctor(&cli.config, &doctor),
        Command::Status(status) if status.check => return status::check(&cli.config, &status),
        Command::Status(status) => status::status(&cli.config, &status),
        Command::Drain(drain) => status::drain(&cli.config, &drain),
        Command::Token(Token::Create(create)) => token::create(&cli.config, &create),
        Command::Bundle(bundle) => bundle::bundle(&cli.config, &bundle),
        Command::Generate(generate) => generate::generate(&generate),
        Command::StepDown(step_down) => status::step_down(&cli.config, &step_down),
        Command::ReleaseLease(release) => release::release_lease(&release),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kontena-master: {error:#}");
            if error.is::<config::Faults>() { ExitCode::from(EX_CONFIG) } else { ExitCode::FAILURE }
        }
    }
}

/// Says what is in force and where it was read, or everything that is wrong.
fn check_config(path: &std::path::Path) -> anyhow::Result<()> {
    let config = config::load(path)?;
    for (key, value, place) in config.described() {
        println!("{key} = {value}  ({place})");
    }
    for warning in &config.warnings {
        println!("warning: {warning}");
    }
    println!("the configuration is valid");
    Ok(())
}
