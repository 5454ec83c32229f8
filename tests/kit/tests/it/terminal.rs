//! The terminal shows what its program draws.

use std::time::Duration;

use anyhow::Result;
use kontena_testkit::terminal::Terminal;

#[test]
fn a_program_gets_keys_and_its_screen_is_seen() -> Result<()> {
    let arguments = ["--url", "http://127.0.0.1:1", "--socket", "/nonexistent"];
    let mut terminal = Terminal::start("kontena-tui", &arguments, &[], (80, 24))?;
    let within = Duration::from_secs(10);
    terminal.wait_for("that nobody answers", within, |text| text.contains("NO MASTER ANSWERS"))?;
    terminal.press("?")?;
    terminal.wait_for("the help", within, |text| text.contains("next row"))?;
    assert!(terminal.frames() > 1);
    terminal.press("\u{3}")?;
    assert!(terminal.ended(within)?);
    Ok(())
}
