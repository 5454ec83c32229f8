//! `kontena-tui`: watch and steer the masters of a cluster in a terminal.
//!
//! One queue of events, one pure `update(state, event) -> actions`, drawing from `&State`, the network behind
//! channels.

mod action;
mod cli;
mod client;
mod clock;
mod command;
mod event;
mod export;
mod filter;
mod generate;
mod glyph;
mod key;
mod keymap;
mod once;
mod place;
mod preferences;
mod record;
mod run;
#[cfg(test)]
mod sample;
mod screen;
mod setup;
mod state;
mod terminal;
mod theme;
mod time;
mod update;
mod view;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};
use crate::setup::Setup;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Several crates of the tree could each choose another provider; choosing one here ends the question.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("kontena-tui: the TLS provider was installed twice");
        return ExitCode::FAILURE;
    }
    match perform(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kontena-tui: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(cli: &Cli) -> anyhow::Result<()> {
    if let Some(Command::Generate { man, completions }) = &cli.command {
        return generate::generate(man.as_deref(), completions.as_deref());
    }
    let setup = Setup::new(cli)?;
    if cli.once {
        let text = once::once(setup, cli.json)?;
        // Whoever reads it may stop early.
        let _written = std::io::stdout().write_all(text.as_bytes());
        return Ok(());
    }
    run::run(setup, cli.record.as_deref(), cli.replay.as_deref(), cli.lab.as_deref())
}
