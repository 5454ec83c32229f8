//! `kontena-master`: arguments, configuration, wiring. No domain logic.

mod admin_client;
mod cli;
mod config;
mod release;
mod run;
mod status;
mod telemetry;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Several crates of the tree could each choose another provider; choosing one here ends the question.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("kontena-master: the TLS provider was installed twice");
        return ExitCode::FAILURE;
    }
    let outcome = match cli.command {
        Command::Run(run) => run::run(&cli.config, &run),
        Command::CheckConfig => config::load(&cli.config).map(|_| println!("the configuration is valid")),
        Command::Status(status) => status::status(&cli.config, &status),
        Command::StepDown(step_down) => status::step_down(&cli.config, &step_down),
        Command::ReleaseLease(release) => release::release_lease(&release),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kontena-master: {error:#}");
            ExitCode::FAILURE
        }
    }
}
