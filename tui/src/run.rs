//! The loop: takes events from the terminal, the connection and the clock, lets `update` take them in, carries out
//! what it wants done, and draws.

use std::io::{IsTerminal, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use crossterm::event::{Event as Reported, EventStream, MouseButton, MouseEventKind};
use futures_util::StreamExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::action::Action;
use crate::client::{self, Handle, Order};
use crate::clock::Moment;
use crate::event::{Event, Mouse, Stamped};
use crate::key::Key;
use crate::record::{Player, Recorder};
use crate::setup::Setup;
use crate::state::overlay::Overlay;
use crate::state::{ContextName, Shell, State};
use crate::terminal::Screen;
use crate::theme::Tone;
use crate::update::update;

/// How many events of the connection may wait; more wait in the sockets.
const EVENTS: usize = 256;
/// How many keys may wait; more wait in the terminal.
const REPORTS: usize = 64;
/// Between two frames when nothing happens but time.
const TICK: Duration = Duration::from_millis(250);
/// Between two frames while something moves.
const FRAME: Duration = Duration::from_millis(33);
/// How many events are taken in before the next frame.
const BURST: usize = 64;

struct App {
    state: State,
    screen: Screen,
    link: Option<Handle>,
    recorder: Option<Recorder>,
    player: Option<Player>,
    /// Where the demo takes orders.
    lab: Option<PathBuf>,
}

/// Runs until the user ends it.
pub(crate) fn run(
    setup: Setup,
    record: Option<&Path>,
    replay: Option<&Path>,
    lab: Option<&Path>,
) -> Result<()> {
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        bail!("this is not a terminal: kontena-tui --once prints a table");
    }
    let Setup { preferences, contexts, context, notes } = setup;
    let now = Moment::now();
    let player = replay.map(|path| Player::open(path, now)).transpose()?;
    let (mut names, mut context): (Vec<ContextName>, usize) =
        (contexts.iter().map(client::contexts::Context::public).collect(), context);
    if let Some(player) = &player {
        let name = player.context.clone();
        let shell = Shell::Socket(String::new());
        names = vec![ContextName { name, description: "a record".to_owned(), warning: None, shell }];
        context = 0;
    }
    let recorder = match record {
        Some(path) => {
            let name = names.get(context).map_or("", |context| context.name.as_str());
            Some(Recorder::create(path, name, now)?)
        }
        None => None,
    };
    let (events, taken) = mpsc::channel(EVENTS);
    let link = if player.is_some() { None } else { Some(client::start(contexts, context, events.clone())?) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let screen = Screen::open(preferences.mouse).context("the terminal cannot be used")?;
    let from = player.as_ref().map_or(now, |player| player.moment(now));
    let mut state = State::new(preferences, names, context, screen.size()?, from);
    state.replay = player.as_ref().map(Player::status);
    for note in notes {
        state.timeline.note(from, Tone::Warn, note.clone());
        state.tell(Tone::Warn, note);
    }
    state.demo = lab.is_some();
    let app = App { state, screen, link, recorder, player, lab: lab.map(Path::to_owned) };
    let outcome = runtime.block_on(app.run(taken));
    drop(events);
    outcome
}

impl App {
    async fn run(mut self, mut taken: Receiver<Event>) -> Result<()> {
        let (reports, mut reported) = mpsc::channel(REPORTS);
        // Ends with the loop.
        let mut tasks = JoinSet::new();
        tasks.spawn(listen(reports));
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        let mut next_tick = Instant::now();
        loop {
            self.screen.draw(&self.state)?;
            let event = tokio::select! {
                // A key goes before everything else.
                biased;
                event = reported.recv() => match event {
                    Some(event) => match translate(event?) {
                        Some(event) => event,
                        None => continue,
                    },
                    // The terminal is gone.
                    None => return Ok(()),
                },
                _ = terminate.recv() => return Ok(()),
                _ = hang_up.recv() => return Ok(()),
                Some(event) = taken.recv() => event,
                () = sleep_until(next_tick) => Event::Tick,
            };
            if self.take_in(event)? {
                return Ok(());
            }
            // What has come already is taken in before the next frame.
            for _ in 0..BURST {
                let event = match reported.try_recv() {
                    Ok(event) => translate(event?),
                    Err(_) => match taken.try_recv() {
                        Ok(event) => Some(event),
                        Err(_) => break,
                    },
                };
                if let Some(event) = event
                    && self.take_in(event)?
                {
                    return Ok(());
                }
            }
            if self.replay()? {
                return Ok(());
            }
            if next_tick <= Instant::now() {
                next_tick = Instant::now() + if self.moves() { FRAME } else { TICK };
            } else if self.moves() {
                next_tick = next_tick.min(Instant::now() + FRAME);
            }
        }
    }

    /// Whether something on the screen moves by itself.
    fn moves(&self) -> bool {
        let played =
            matches!(&self.state.overlay, Some(Overlay::Failover(failover)) if failover.playing.is_some());
        played || self.state.replay.is_some_and(|replay| replay.playing)
    }

    fn moment(&self) -> Moment {
        let now = Moment::now();
        self.player.as_ref().map_or(now, |player| player.moment(now))
    }

    /// Returns whether the program ends.
    fn take_in(&mut self, event: Event) -> Result<bool> {
        let stamped = Stamped { at: self.moment(), event };
        if let Some(recorder) = &mut self.recorder {
            recorder.add(&stamped).context("the record cannot be written any more")?;
        }
        let actions = update(&mut self.state, stamped);
        for action in actions {
            if self.carry_out(action)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes in what is due of the record. What was done then is not done again.
    fn replay(&mut self) -> Result<bool> {
        let Some(player) = &mut self.player else { return Ok(false) };
        for stamped in player.due(Moment::now()) {
            if !matches!(stamped.event, Event::Resize { .. }) {
                let _then = update(&mut self.state, stamped);
            }
        }
        let status = player.status();
        if self.state.replay == Some(status) {
            return Ok(false);
        }
        self.take_in(Event::Replay(status))
    }

    fn carry_out(&mut self, action: Action) -> Result<bool> {
        match action {
            Action::Quit => return Ok(true),
            Action::Suspend => self.screen.suspend()?,
            Action::Mouse(mouse) => self.screen.set_mouse(mouse)?,
            Action::Copy(text) => {
                if let Err(error) = self.screen.copy(&text) {
                    self.state.tell(Tone::Bad, error);
                }
            }
            Action::Save { path, text } => {
                let outcome = save(&path, &text).map_err(|error| error.to_string());
                let what = format!("writing {}", path.display());
                return self.take_in(Event::Done { what, outcome: outcome.map(|()| "done".to_owned()) });
            }
            Action::Replay(steer) => {
                let stepped = self.player.as_mut().and_then(|player| player.steer(steer, Moment::now()));
                if let Some(stamped) = stepped {
                    let _then = update(&mut self.state, stamped);
                }
            }
            Action::KillLeader => {
                if let Some(path) = &self.lab
                    && let Err(error) =
                        UnixStream::connect(path).and_then(|mut lab| lab.write_all(b"kill-leader\n"))
                {
                    self.state.tell(Tone::Bad, format!("the demo does not take orders: {error}"));
                }
            }
            Action::Switch(context) => self.order("connecting", Order::Switch(context)),
            Action::Refresh => self.order("asking again", Order::Refresh),
            Action::Look(look) => self.order("what is looked at", Order::Look(look)),
            Action::Operate(operation) => {
                let what = operation.what.clone();
                self.order(&what, Order::Operate(operation));
            }
            Action::StepDown => self.order("step-down", Order::StepDown),
            Action::Drain { id, name } => self.order("drain", Order::Drain { id, name }),
        }
        Ok(false)
    }

    fn order(&mut self, what: &str, order: Order) {
        if self.link.as_ref().is_some_and(|link| !link.order(order)) {
            self.state.tell(Tone::Bad, format!("{what}: the connection is busy, try again"));
        }
    }
}

/// Takes what the terminal reports out of a stream that must be waited for by one task only: it remembers the first
/// one that asked.
async fn listen(reports: Sender<std::io::Result<Reported>>) {
    let mut stream = EventStream::new();
    while let Some(event) = stream.next().await {
        if reports.send(event).await.is_err() {
            return;
        }
    }
}

fn save(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())
}

/// What the terminal reported, in our terms.
fn translate(event: Reported) -> Option<Event> {
    match event {
        Reported::Key(key) => Key::from_terminal(key).map(Event::Key),
        Reported::Paste(text) => Some(Event::Paste(text)),
        Reported::Resize(columns, rows) => Some(Event::Resize { columns, rows }),
        Reported::Mouse(mouse) => {
            let kind = match mouse.kind {
                MouseEventKind::Down(MouseButton::Left) => Mouse::Click,
                MouseEventKind::ScrollUp => Mouse::Up,
                MouseEventKind::ScrollDown => Mouse::Down,
                _ => return None,
            };
            Some(Event::Mouse { column: mouse.column, row: mouse.row, kind })
        }
        Reported::FocusGained | Reported::FocusLost => None,
    }
}
