//! Everything that happens, as lines of JSON: written while the program runs, read to be shown again. No secret is
//! in it: secrets are no part of events.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::action::Steer;
use crate::clock::Moment;
use crate::event::{Event, Replay, Stamped};

/// Of the format.
const VERSION: u32 = 1;
/// How many events are taken from a record.
const EVENTS_MAX: usize = 1_000_000;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    kontena_tui_record: u32,
    context: String,
    from: Moment,
}

/// Writes a record.
pub(crate) struct Recorder {
    file: BufWriter<File>,
}

impl Recorder {
    /// Begins a new file, which others may not read: it shows what its user saw.
    pub(crate) fn create(path: &Path, context: &str, from: Moment) -> Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = file.with_context(|| format!("{} cannot be recorded to", path.display()))?;
        let mut recorder = Self { file: BufWriter::new(file) };
        let head = Head { kontena_tui_record: VERSION, context: context.to_owned(), from };
        recorder.line(&head)?;
        Ok(recorder)
    }

    /// Adds an event. The passing of time needs no event.
    pub(crate) fn add(&mut self, stamped: &Stamped) -> Result<()> {
        match stamped.event {
            Event::Tick | Event::Replay(_) => Ok(self.file.flush()?),
            _ => self.line(stamped),
        }
    }

    fn line(&mut self, value: &impl Serialize) -> Result<()> {
        serde_json::to_writer(&mut self.file, value)?;
        Ok(self.file.write_all(b"\n")?)
    }
}

/// A record that is shown.
pub(crate) struct Player {
    pub(crate) context: String,
    events: Vec<Stamped>,
    done: usize,
    playing: bool,
    speed: f64,
    /// Where the record stands, and the real time at which it stood there.
    stands: (Moment, Moment),
}

impl Player {
    /// Reads a whole record.
    pub(crate) fn open(path: &Path, now: Moment) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
        let mut lines = BufReader::new(file).lines();
        let not_one = || format!("{} is not a record of kontena-tui", path.display());
        let first = lines.next().with_context(not_one)?.with_context(not_one)?;
        let head: Head = serde_json::from_str(&first).with_context(not_one)?;
        if head.kontena_tui_record != VERSION {
            bail!("{} is a record of another version", path.display());
        }
        let mut events = Vec::new();
        for (number, line) in lines.take(EVENTS_MAX).enumerate() {
            let line = line.with_context(|| format!("{}: line {}", path.display(), number + 2))?;
            // The last line of a program that was killed may be torn.
            let Ok(event) = serde_json::from_str(&line) else { break };
            events.push(event);
        }
        Ok(Self {
            context: head.context,
            events,
            done: 0,
            playing: true,
            speed: 1.0,
            stands: (head.from, now),
        })
    }

    /// The moment of the record that belongs to a real one.
    pub(crate) fn moment(&self, now: Moment) -> Moment {
        let (recorded, real) = self.stands;
        if !self.playing {
            return recorded;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "milliseconds of a session"
        )]
        let passed = (now.since(real) as f64 * self.speed) as u64;
        forward(recorded, passed)
    }

    /// The events that are due.
    pub(crate) fn due(&mut self, now: Moment) -> Vec<Stamped> {
        let moment = self.moment(now);
        let rest = self.events.get(self.done..).unwrap_or_default();
        let due = rest.iter().take_while(|event| self.playing && event.at.mono_ms <= moment.mono_ms);
        let due: Vec<Stamped> = due.cloned().collect();
        self.done += due.len();
        if self.done == self.events.len() {
            self.stands = (moment, now);
            self.playing = false;
        }
        due
    }

    /// Steers. A step returns its event.
    pub(crate) fn steer(&mut self, steer: Steer, now: Moment) -> Option<Stamped> {
        self.stands = (self.moment(now), now);
        match steer {
            Steer::Toggle => self.playing = !self.playing && self.done < self.events.len(),
            Steer::Faster => self.speed = (self.speed * 2.0).min(64.0),
            Steer::Slower => self.speed = (self.speed / 2.0).max(1.0 / 64.0),
            Steer::Step => {
                self.playing = false;
                let event = self.events.get(self.done)?.clone();
                self.done += 1;
                self.stands = (event.at, now);
                return Some(event);
            }
        }
        None
    }

    pub(crate) fn status(&self) -> Replay {
        Replay { done: self.done, total: self.events.len(), playing: self.playing, speed: self.speed }
    }
}

fn forward(moment: Moment, ms: u64) -> Moment {
    Moment { wall_ms: moment.wall_ms.saturating_add_unsigned(ms), mono_ms: moment.mono_ms.saturating_add(ms) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment { wall_ms: 1_000_000 + i64::try_from(ms).unwrap(), mono_ms: ms }
    }

    fn key(ms: u64) -> Stamped {
        Stamped { at: at(ms), event: Event::Key("j".parse().unwrap()) }
    }

    fn player(path: &Path) -> Player {
        let mut recorder = Recorder::create(path, "prod", at(100)).unwrap();
        for stamped in [key(100), Stamped { at: at(150), event: Event::Tick }, key(300), key(300)] {
            recorder.add(&stamped).unwrap();
        }
        drop(recorder);
        Player::open(path, at(5000)).unwrap()
    }

    #[test]
    fn a_record_is_shown_at_its_own_pace() {
        let directory = tempfile::tempdir().unwrap();
        let mut player = player(&directory.path().join("record"));
        assert_eq!(player.context, "prod");
        assert_eq!(player.due(at(5000)).len(), 1);
        assert_eq!(player.due(at(5199)).len(), 0);
        assert_eq!(player.moment(at(5199)), at(299));
        assert_eq!(player.due(at(5200)).len(), 2);
        assert_eq!(player.status(), Replay { done: 3, total: 3, playing: false, speed: 1.0 });
        assert_eq!(player.moment(at(9000)), at(300), "at the end the time stands still");
    }

    #[test]
    fn it_is_paused_stepped_and_hurried() {
        let directory = tempfile::tempdir().unwrap();
        let mut player = player(&directory.path().join("record"));
        player.due(at(5000));
        player.steer(Steer::Toggle, at(5010));
        assert_eq!(player.moment(at(7000)), at(110));
        assert!(player.steer(Steer::Step, at(7000)).is_some());
        assert_eq!(player.moment(at(8000)), at(300));
        player.steer(Steer::Faster, at(8000));
        player.steer(Steer::Toggle, at(8000));
        assert_eq!(player.moment(at(8010)), at(320));
    }

    #[test]
    fn what_is_no_record_is_refused_and_a_torn_one_shown_as_far_as_it_goes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("record");
        player(&path);
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.truncate(text.len() - 9);
        std::fs::write(&path, &text).unwrap();
        assert_eq!(Player::open(&path, at(0)).unwrap().status().total, 2);
        for nonsense in ["", "{}", "\u{0}\u{1}"] {
            std::fs::write(&path, nonsense).unwrap();
            assert!(Player::open(&path, at(0)).is_err());
        }
        assert!(Recorder::create(&path, "x", at(0)).is_err(), "nothing is written over");
    }
}
