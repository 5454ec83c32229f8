//! `kontena-master generate`: man pages and completions from the command line's own description.

use std::path::Path;

use anyhow::Context;
use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::{Cli, Generate};

pub(crate) fn generate(arguments: &Generate) -> anyhow::Result<()> {
    for directory in [&arguments.man, &arguments.completions] {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("{} cannot be made", directory.display()))?;
    }
    // Built, so that each page names the program it belongs to.
    let mut command = Cli::command();
    command.build();
    clap_mangen::generate_to(command, &arguments.man)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        complete(shell, &arguments.completions)?;
    }
    Ok(())
}

fn complete(shell: Shell, directory: &Path) -> anyhow::Result<()> {
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    clap_complete::generate_to(shell, &mut command, name, directory)?;
    Ok(())
}
