//! The TUI in a real terminal (tmux), on real masters: it survives whatever happens to them, and says so.

mod workloads;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use kontena_testkit::master::{Master, TOKEN};
use kontena_testkit::mongod::shared;
use kontena_testkit::program::program;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::process::{acting, start};

const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

/// A terminal of its own, with the TUI in it.
struct Tmux {
    directory: TempDir,
}

impl Tmux {
    fn open(size: (u16, u16), environment: &str, arguments: &str) -> Result<Self> {
        let tmux = Self { directory: tempfile::tempdir()? };
        let home = tmux.directory.path().display();
        let program = program("kontena-tui")?;
        // What is at home belongs to the test; a socket of this host does not.
        let command = format!(
            "env -u NO_COLOR -u XDG_CONFIG_HOME HOME={home} {environment} {} --socket /nonexistent {arguments}; \
             echo ended with $?; sleep 60",
            program.display()
        );
        let (columns, rows) = (size.0.to_string(), size.1.to_string());
        tmux.run(&["-f", "/dev/null", "new-session", "-d", "-x", &columns, "-y", &rows, &command])?;
        Ok(tmux)
    }

    fn run(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(self.directory.path().join("tmux")).args(arguments).env_remove("TMUX");
        let output = command.output().context("cannot run tmux: install it")?;
        ensure!(output.status.success(), "tmux: {}", String::from_utf8_lossy(&output.stderr));
        Ok(output)
    }

    fn press(&self, keys: &[&str]) -> Result<()> {
        self.run(&[&["send-keys"], keys].concat()).map(drop)
    }

    fn text(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.run(&["capture-pane", "-p"])?.stdout).into_owned())
    }

    /// The screen with its colours and attributes.
    fn styled(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.run(&["capture-pane", "-p", "-e"])?.stdout).into_owned())
    }

    async fn sees(&self, what: &str, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = self.text()?;
            if wanted(&text) {
                return Ok(text);
            }
            if Instant::now() > deadline {
                bail!("not seen: {what}; instead:\n{text}");
            }
            sleep(POLL).await;
        }
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        // Without it, its server would outlive the test.
        let _ended = self.run(&["kill-server"]);
    }
}

fn token() -> String {
    format!("KONTENA_TOKEN={TOKEN}")
}

#[tokio::test]
async fn the_leader_is_killed_and_the_next_one_appears() -> Result<()> {
    let database = shared().await?.database();
    let mut first = start("first", &database).await?;
    let (_, term) = acting(&[&first], 1).await?;
    let second = start("second", &database).await?;
    let tmux = Tmux::open((120, 40), &token(), &format!("--url {}", first.url()))?;
    tmux.sees("all is well", |text| {
        text.contains("ALL IS WELL")
            && text.contains(&format!("first leads term {term} "))
            && text.contains("live")
    })
    .await?;
    first.kill()?;
    first.release_lease()?;
    acting(&[&second], term + 1).await?;
    let elected = Instant::now();
    let next = format!("second leads term {} ", term + 1);
    tmux.sees("the next leader", |text| text.contains(&next)).await?;
    assert!(elected.elapsed() < Duration::from_secs(3), "took {:?}", elected.elapsed());
    tmux.sees("that it has not come back", |text| text.contains("A MASTER IS LOST")).await?;
    // It is told as a sequence.
    tmux.press(&["6", "/"])?;
    tmux.press(&["-l", "after first crashed"])?;
    tmux.sees("the election", |text| text.contains("1/1 of")).await?;
    tmux.press(&["Enter", "Enter"])?;
    tmux.sees("its sequence", |text| {
        text.contains(&format!("The beginning of term {}", term + 1))
            && text.contains("ms from the last sign of the earlier lease until a leader acted")
            && text.contains(&format!("second took the lease for term {}", term + 1))
    })
    .await?;
    // An escape and a letter at once would be one key to the terminal.
    tmux.press(&["Escape"])?;
    tmux.sees("the list", |text| !text.contains("The beginning")).await?;
    tmux.press(&["q"])?;
    tmux.sees("the shell", |text| text.contains("ended with 0")).await?;
    Ok(())
}

#[tokio::test]
async fn a_cut_shows_the_age_of_the_picture_until_it_heals() -> Result<()> {
    let database = shared().await?.database();
    let master = start("only", &database).await?;
    acting(&[&master], 1).await?;
    let tmux = Tmux::open((100, 30), &token(), &format!("--url {}", master.url()))?;
    tmux.sees("the leader", |text| text.contains("only leads term")).await?;
    // Connections stay open and new ones open, but nothing answers, as behind a pulled cable.
    master.pause()?;
    let text = tmux.sees("an old picture", |text| text.contains(" old")).await?;
    assert!(text.contains("only"), "the picture stays: {text}");
    let age = |text: &str| -> Option<f64> {
        let line = text.lines().next()?.trim_end().strip_suffix(" s old")?;
        line.rsplit(' ').next()?.parse().ok()
    };
    let first = tmux.sees("its age", |text| age(text).is_some()).await?;
    let (first, then) = (age(&first).context("an age")?, Instant::now());
    tmux.sees("that it grows", |text| age(text).is_some_and(|now| now >= first + 3.0)).await?;
    assert!(then.elapsed() >= Duration::from_secs(2), "it grows as time passes");
    tmux.sees("why", |text| text.contains("CONNECTION LOST") && text.contains("does not answer")).await?;
    master.resume()?;
    tmux.sees("that it is back", |text| text.contains("leads term") && text.contains("live")).await?;
    Ok(())
}

#[tokio::test]
async fn a_master_that_is_gone_is_waited_for() -> Result<()> {
    let database = shared().await?.database();
    let mut master = start("only", &database).await?;
    acting(&[&master], 1).await?;
    let tmux = Tmux::open((80, 24), &token(), &format!("--url {}", master.url()))?;
    tmux.sees("the leader", |text| text.contains("only leads term")).await?;
    master.kill()?;
    master.release_lease()?;
    // There is little room beside the views.
    let tries = |text: &str| text.lines().nth(1).is_some_and(|line| line.contains("  in "));
    tmux.sees("that it is lost", |text| text.contains("CONNECTION LOST") && tries(text)).await?;
    master.launch().await?;
    tmux.sees("that it is back", |text| text.contains("leads term") && text.contains("live")).await?;
    Ok(())
}

#[tokio::test]
async fn without_colours_the_selected_row_still_stands_out() -> Result<()> {
    let tmux = Tmux::open((80, 24), "NO_COLOR=1", "--url http://127.0.0.1:1")?;
    tmux.sees("that nobody answers", |text| text.contains("NO MASTER ANSWERS")).await?;
    tmux.press(&["c"])?;
    tmux.sees("the menu", |text| text.contains("connect to 127.0.0.1:1")).await?;
    let styled = tmux.styled()?;
    let row = styled.lines().find(|line| line.contains("connect to")).context("a row")?;
    assert!(row.contains("\u{1b}[7m") || row.contains(";7m"), "not reversed: {row:?}");
    for colour in ["[38;", "[48;", ";38;", ";48;"] {
        assert!(!styled.contains(colour), "{colour} in {styled:?}");
    }
    Ok(())
}

#[tokio::test]
async fn contexts_of_the_original_are_switched_and_nonsense_harms_nothing() -> Result<()> {
    let database = shared().await?.database();
    let master = start("only", &database).await?;
    acting(&[&master], 1).await?;
    let tmux = Tmux::open((120, 30), "KONTENA_CONFIG=$HOME/none", "")?;
    tmux.sees("what it tries", |text| text.contains("127.0.0.1:9292")).await?;
    drop(tmux);
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("client.json");
    let expired = serde_json::json!({"current_server": "away", "servers": [
        {"name": "away", "url": "http://127.0.0.1:1", "token": "x", "token_expires_at": 1},
        {"name": "here", "url": master.url(), "token": TOKEN, "token_expires_at": 0},
        {"name": "wrong", "url": master.url(), "token": "not-the-token"},
        {"name": "nonsense", "url": "::", "token": 7}, null, 7]});
    fs::write(&path, expired.to_string())?;
    let open = |path: &Path| Tmux::open((120, 30), &format!("KONTENA_CONFIG={}", path.display()), "");
    let tmux = open(&path)?;
    tmux.sees("the current one", |text| text.contains("NO MASTER ANSWERS") && text.contains("away")).await?;
    tmux.press(&["c"])?;
    let text = tmux.sees("the menu", |text| text.contains("connect to here")).await?;
    assert!(text.contains("its token expired") && !text.contains(TOKEN), "{text}");
    tmux.press(&["Down", "Enter"])?;
    tmux.sees("the other one", |text| text.contains("only leads term")).await?;
    tmux.press(&["c"])?;
    tmux.press(&["-l", "wrong"])?;
    tmux.press(&["Enter"])?;
    tmux.sees("a refused token", |text| text.contains("refuses the token")).await?;
    drop(tmux);
    for nonsense in
        ["", "{", "[]", "\u{0}", "{\"servers\": 7, \"current_server\": []}", "{\"server\": {\"url\": 1}}"]
    {
        fs::write(&path, nonsense)?;
        let tmux = open(&path)?;
        tmux.sees("that it runs", |text| text.contains("NO MASTER ANSWERS")).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_name_of_the_cluster_is_typed_before_the_leader_steps_down() -> Result<()> {
    let database = shared().await?.database();
    let first = start("first", &database).await?;
    let (_, term) = acting(&[&first], 1).await?;
    let second = start("second", &database).await?;
    // Asked through the one that does not lead: it says who does.
    let tmux = Tmux::open((120, 40), &token(), &format!("--url {}", second.url()))?;
    tmux.sees("all is well", |text| text.contains("ALL IS WELL")).await?;
    tmux.press(&["D"])?;
    tmux.sees("the question", |text| text.contains("Let another master lead")).await?;
    tmux.press(&["-l", second.url().trim_start_matches("http://")])?;
    tmux.press(&["Enter"])?;
    tmux.sees("the other leader", |text| text.contains(&format!("second leads term {} ", term + 1))).await?;
    Ok(())
}

#[tokio::test]
async fn a_master_is_drained_from_the_list_and_shown_so() -> Result<()> {
    let database = shared().await?.database();
    let first = start("first", &database).await?;
    acting(&[&first], 1).await?;
    let second = start("second", &database).await?;
    let tmux = Tmux::open((120, 40), &token(), &format!("--url {}", first.url()))?;
    tmux.sees("all is well", |text| text.contains("ALL IS WELL")).await?;
    tmux.press(&["1", "G"])?;
    tmux.press(&["X"])?;
    let text = tmux.sees("the question", |text| text.contains("gives up the lease if it has it")).await?;
    let chosen = if text.contains("first gives up the lease") { &first } else { &second };
    tmux.press(&["-l", first.url().trim_start_matches("http://")])?;
    tmux.press(&["Enter"])?;
    tmux.sees("that it drains", |text| {
        text.lines().any(|line| line.contains(chosen.name()) && line.contains("draining"))
    })
    .await?;
    let (status, _) = chosen.ask(reqwest::Method::GET, "/readyz").await?;
    assert_eq!(status, reqwest::StatusCode::SERVICE_UNAVAILABLE);
    Ok(())
}

/// Runs the TUI without a terminal.
fn once(arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(program("kontena-tui")?);
    command.args(["--socket", "/nonexistent"]).args(arguments).env("HOME", "/nonexistent");
    Ok(command.env("KONTENA_TOKEN", TOKEN).output()?)
}

#[tokio::test]
async fn once_prints_the_masters_for_people_and_for_programs() -> Result<()> {
    let database = shared().await?.database();
    let master = start("only", &database).await?;
    let (_, term) = acting(&[&master], 1).await?;
    let url = master.url();
    let said = once(&["--url", &url, "--once"])?;
    let text = String::from_utf8(said.stdout)?;
    assert!(
        said.status.success() && text.contains("only") && text.contains("acting") && text.is_ascii(),
        "{text}"
    );
    let said = once(&["--url", &url, "--once", "--json"])?;
    let report: Value = serde_json::from_slice(&said.stdout)?;
    assert_eq!(report["term"], term);
    assert_eq!(report["masters"][0]["state"], "acting");
    let local = once(&["--once", "--socket", &master.admin_socket().display().to_string()]);
    assert!(!local?.status.success(), "an option that is given twice is refused");
    let refused = once(&["--once", "--url", "http://127.0.0.1:1"])?;
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("nothing listens at http://127.0.0.1:1"));
    let without = once(&["--url", &url])?;
    assert!(String::from_utf8_lossy(&without.stderr).contains("not a terminal"));
    Ok(())
}

#[tokio::test]
async fn the_admin_socket_needs_no_token_and_a_record_can_be_shown_again() -> Result<()> {
    let database = shared().await?.database();
    let master: Master = start("only", &database).await?;
    acting(&[&master], 1).await?;
    let directory = tempfile::tempdir()?;
    let record = directory.path().join("record");
    let program = program("kontena-tui")?;
    let socket = master.admin_socket().display().to_string();
    let said =
        Command::new(&program).args(["--once", "--socket", &socket]).env("HOME", "/nonexistent").output()?;
    assert!(String::from_utf8_lossy(&said.stdout).contains("acting"), "{said:?}");
    let tmux =
        Tmux::open((120, 40), &token(), &format!("--url {} --record {}", master.url(), record.display()))?;
    tmux.sees("the leader", |text| text.contains("only leads term")).await?;
    tmux.press(&["5", "q"])?;
    tmux.sees("the shell", |text| text.contains("ended with 0")).await?;
    let text = fs::read_to_string(&record)?;
    assert!(text.lines().count() > 3 && !text.contains(TOKEN));
    drop(master);
    let tmux = Tmux::open((120, 40), "", &format!("--replay {}", record.display()))?;
    tmux.sees("the end of the record", |text| text.contains("paused") && text.contains("original_lock"))
        .await?;
    tmux.press(&["D"])?;
    tmux.sees("that it is one", |text| text.contains("this is a record")).await?;
    Ok(())
}
