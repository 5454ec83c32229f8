//! The manual page and the shells' completions, made from the command line itself.

use std::path::Path;

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;

const NAME: &str = "kontena-tui";

/// Writes what is asked for; the directories are made.
pub(crate) fn generate(man: Option<&Path>, completions: Option<&Path>) -> Result<()> {
    let mut command = Cli::command().name(NAME);
    if let Some(directory) = man {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("{} cannot be made", directory.display()))?;
        let path = directory.join(format!("{NAME}.1"));
        let mut page = Vec::new();
        clap_mangen::Man::new(command.clone()).render(&mut page)?;
        std::fs::write(&path, page).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    if let Some(directory) = completions {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("{} cannot be made", directory.display()))?;
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            clap_complete::generate_to(shell, &mut command, NAME, directory)
                .with_context(|| format!("completions cannot be written to {}", directory.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_every_option_and_each_shell_gets_its_file() {
        let directory = tempfile::tempdir().unwrap();
        generate(Some(directory.path()), Some(directory.path())).unwrap();
        let page = std::fs::read_to_string(directory.path().join("kontena-tui.1")).unwrap();
        for option in ["url", "token\\-file", "context", "palette", "read\\-only", "once", "replay"] {
            assert!(page.contains(&format!("\\-\\-{option}")), "{option}");
        }
        for file in ["kontena-tui.bash", "_kontena-tui", "kontena-tui.fish"] {
            assert!(directory.path().join(file).exists(), "{file}");
        }
    }
}
