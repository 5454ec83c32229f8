//! A program in a terminal: keys go in, and what its screen shows comes out, with the moment of each frame.
//!
//! The program must mark its frames as synchronized updates (`CSI ? 2026`), so that a half of one is never taken
//! for a whole.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::keeper;

/// What ends a frame.
const FRAME_END: &[u8] = b"\x1b[?2026l";
/// `O_NOCTTY`: the terminal must not become that of the tests.
const NO_CONTROL: i32 = 0o400;

/// A terminal with a program in it. Dropping it kills the program.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    keys: File,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    screen: Mutex<Screen>,
    drawn: Condvar,
}

struct Screen {
    parser: vt100::Parser,
    /// When the last frame was whole.
    frame_at: Option<Instant>,
    frames: u64,
    ended: bool,
}

impl std::fmt::Debug for Screen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Screen")
            .field("frames", &self.frames)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

impl Terminal {
    /// Starts a program of ours with these arguments and environment variables in a terminal of this size.
    pub fn start(
        program: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
        (columns, rows): (u16, u16),
    ) -> Result<Self> {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&ours)?;
        unlockpt(&ours)?;
        let path = ptsname(&ours, Vec::new())?.into_string().context("a terminal's name")?;
        let theirs = OpenOptions::new().read(true).write(true).custom_flags(NO_CONTROL).open(&path)?;
        tcsetwinsize(&theirs, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 })?;
        let mut command: Command = keeper::mortal(crate::program::program(program)?);
        command.args(arguments).envs(environment.iter().copied()).env("TERM", "xterm-256color");
        // Whatever its user has at home is no part of a test.
        command.env_remove("NO_COLOR").env("HOME", "/nonexistent").env_remove("XDG_CONFIG_HOME");
        command
            .stdin(Stdio::from(theirs.try_clone()?))
            .stdout(Stdio::from(theirs.try_clone()?))
            .stderr(theirs);
        let child = keeper::spawn(command).context("cannot run setpriv (of util-linux)")?;
        let keys = File::from(ours);
        let output = keys.try_clone()?;
        let screen =
            Screen { parser: vt100::Parser::new(rows, columns, 0), frame_at: None, frames: 0, ended: false };
        let shared = Arc::new(Shared { screen: Mutex::new(screen), drawn: Condvar::new() });
        let taken = Arc::clone(&shared);
        // It ends when the program has closed its side.
        thread::spawn(move || read(output, &taken));
        Ok(Self { child, keys, shared })
    }

    /// The process id of the program.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Presses keys. Returns when they left.
    pub fn press(&mut self, keys: &str) -> Result<Instant> {
        let at = Instant::now();
        self.keys.write_all(keys.as_bytes())?;
        Ok(at)
    }

    /// What the screen shows.
    #[must_use]
    pub fn text(&self) -> String {
        self.shared.lock().parser.screen().contents()
    }

    /// How many frames were drawn.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.shared.lock().frames
    }

    /// Waits for a frame that is as wanted. Returns when it was whole.
    pub fn wait_for(&self, what: &str, within: Duration, wanted: impl Fn(&str) -> bool) -> Result<Instant> {
        let deadline = Instant::now() + within;
        let mut screen = self.shared.lock();
        loop {
            if let Some(at) = screen.frame_at
                && wanted(&screen.parser.screen().contents())
            {
                return Ok(at);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || screen.ended {
                bail!("not seen within {within:?}: {what}; instead:\n{}", screen.parser.screen().contents());
            }
            let outcome = self.shared.drawn.wait_timeout(screen, left);
            screen = outcome.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until the program has ended, and says whether it did well.
    pub fn ended(&mut self, within: Duration) -> Result<bool> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.success());
            }
            if Instant::now() > deadline {
                bail!("the program did not end within {within:?}:\n{}", self.text());
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Screen> {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Should it fail, it ends with this process.
        let _killed = self.child.kill().and_then(|()| self.child.wait());
    }
}

fn read(mut output: File, shared: &Shared) {
    let mut bytes = vec![0; 64 << 10];
    // The end of the frame may be cut in two.
    let mut tail: Vec<u8> = Vec::new();
    while let Ok(count @ 1..) = output.read(&mut bytes) {
        let new = bytes.get(..count).unwrap_or_default();
        tail.extend_from_slice(new);
        let frames = tail.windows(FRAME_END.len()).filter(|window| *window == FRAME_END).count();
        let whole = tail.ends_with(FRAME_END);
        tail.drain(..tail.len().saturating_sub(FRAME_END.len() - 1));
        if whole {
            tail.clear();
        }
        let mut screen = shared.lock();
        screen.parser.process(new);
        if frames > 0 {
            screen.frames += u64::try_from(frames).unwrap_or(0);
            screen.frame_at = Some(Instant::now());
            shared.drawn.notify_all();
        }
    }
    shared.lock().ended = true;
    shared.drawn.notify_all();
}
