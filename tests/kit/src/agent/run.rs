//! One agent: dials, talks, comes back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use kontena_wire::rpc;
use rand::RngExt as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_util::sync::CancellationToken;

use super::dial::{Connection, Dial, dial};
use super::life::{Life, Out};
use super::{Record, Settings, SharedRecord, Temper, Traffic, lock};
use std::sync::atomic::Ordering;

/// For a pong.
const PONG_WITHIN: Duration = Duration::from_secs(5);
/// How many dead connections an agent leaves open.
const DEAD_MAX: usize = 4;
const LIST_EVERY: Duration = Duration::from_secs(30);
const REPORT_EVERY: Duration = Duration::from_secs(60);
/// The longest pause between two dials, in seconds.
const PAUSE_MAX: f64 = 90.0;
/// After these codes an agent ends itself.
const TERMINAL: [u16; 4] = [4001, 4010, 4040, 4041];

/// A running agent. Dropping it ends it without a word.
#[derive(Debug)]
pub struct Agent {
    record: SharedRecord,
    stop: CancellationToken,
    line: watch::Sender<Line>,
    task: JoinHandle<Option<u16>>,
}

/// The way to the masters.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    cut: bool,
    /// What each message takes.
    delay: Duration,
}

impl Line {
    fn of(temper: Temper) -> Self {
        let delay = if let Temper::Slow(delay) = temper { delay } else { Duration::ZERO };
        Self { cut: false, delay }
    }
}

impl Agent {
    /// Starts one of its own.
    #[must_use]
    pub fn start(settings: Settings) -> Self {
        Self::start_in(settings, Arc::new(Record::default()), 0)
    }

    pub(super) fn start_in(settings: Settings, record: SharedRecord, number: u64) -> Self {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let (to_masters, way) = watch::channel(Line::of(settings.temper));
        let life = Life::new(settings, Arc::clone(&record), number);
        let run =
            Runner { life, record: Arc::clone(&record), counted: false, dead: VecDeque::new(), line: way };
        let task = tokio::spawn(async move {
            let mut run = run;
            tokio::select! {
                () = stopped.cancelled() => None,
                code = run.live() => Some(code),
            }
        });
        Self { record, stop, line: to_masters, task }
    }

    /// What it did and saw.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Ends it without a word, as a power cut does.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Ends its connection, and lets it make no other; what it has it keeps.
    pub fn cut(&self) {
        self.line.send_modify(|line| line.cut = true);
    }

    /// Lets it take so long for each message that it gets.
    pub fn slow(&self, delay: Duration) {
        self.line.send_modify(|line| line.delay = delay);
    }

    /// It reaches the masters again, and waits for nothing.
    pub fn heal(&self) {
        self.line.send_modify(|line| *line = Line::default());
    }

    /// Waits until it ended itself; the code that made it.
    pub async fn ended(&mut self) -> Option<u16> {
        (&mut self.task).await.ok().flatten()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Runner {
    life: Life,
    record: SharedRecord,
    counted: bool,
    /// Connections that nobody reads any more and that are open all the same.
    dead: VecDeque<Connection>,
    line: watch::Receiver<Line>,
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.uncount();
    }
}

impl Runner {
    /// Lives until a master ends it; the code of that.
    async fn live(&mut self) -> u16 {
        sleep(self.life.settings.first_dial_after).await;
        let mut tries = 0_u32;
        let mut begun = Instant::now();
        loop {
            // Who would heal it is gone when this fails.
            let _whole = self.line.wait_for(|line| !line.cut).await.is_ok();
            if let Some(mut connection) = self.connect().await {
                tries = 0;
                self.life.begin_connection();
                let code = self.talk(&mut connection, begun).await;
                if let Temper::HalfOpen(_) = self.life.settings.temper {
                    self.dead.push_back(connection);
                    if self.dead.len() > DEAD_MAX {
                        self.dead.pop_front();
                    }
                }
                self.uncount();
                self.record.closed(code);
                if TERMINAL.contains(&code) {
                    return code;
                }
                begun = Instant::now();
            } else {
                self.record.refused.fetch_add(1, Ordering::Relaxed);
            }
            let longest = PAUSE_MAX.min(2_f64.powi(i32::try_from(tries.min(16)).unwrap_or(16)));
            tries += 1;
            let pause = rand::rng().random_range(0.0..longest);
            sleep(Duration::from_secs_f64(pause)).await;
        }
    }

    fn uncount(&mut self) {
        if std::mem::take(&mut self.counted) {
            self.record.connected.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Tries each master once, from a random one on: a load balancer passes over those that are down.
    async fn connect(&self) -> Option<Connection> {
        let masters = &self.life.settings.masters;
        let off = match self.life.settings.temper {
            Temper::Skewed(seconds) => seconds,
            _ => 0.0,
        };
        let first = rand::rng().random_range(0..masters.len().max(1));
        for offset in 0..masters.len() {
            let master = masters.get((first + offset) % masters.len())?;
            match dial(&Dial::agent(&self.life.settings, master, off)).await {
                Ok(connection) => return Some(connection),
                Err(error) if error.to_string().contains("an agent wants") => {
                    self.record.fault(error.to_string());
                }
                Err(_) => {}
            }
        }
        None
    }

    /// Talks until the connection ends; the code of its end.
    async fn talk(&mut self, connection: &mut Connection, begun: Instant) -> u16 {
        match self.life.settings.temper {
            Temper::Silent => return std::future::pending().await,
            Temper::Hostile if !annoy(connection).await => return 1006,
            _ => {}
        }
        let socket = &mut connection.socket;
        let jitter = |every: Duration| Instant::now() + every.mul_f64(rand::rng().random_range(0.5..1.0));
        let mut ping_at = Instant::now() + self.life.settings.ping_every;
        let mut pinged: Option<(Instant, Vec<u8>)> = None;
        let mut lists = interval_at(jitter(LIST_EVERY), LIST_EVERY);
        let mut reports = interval_at(jitter(REPORT_EVERY), REPORT_EVERY);
        for ticks in [&mut lists, &mut reports] {
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        let leave_at = match self.life.settings.temper {
            Temper::Storm(after) | Temper::HalfOpen(after) => Some(Instant::now() + after),
            _ => None,
        };
        let full = self.life.settings.traffic == Traffic::Full;
        let writes = self.life.settings.log_every;
        let mut lines = interval_at(Instant::now(), writes.unwrap_or(REPORT_EVERY));
        let mut out = Out::new();
        let (mut line, way) = (self.line.clone(), self.line.clone());
        loop {
            let wake_at = pinged.as_ref().map_or(ping_at, |(at, _)| *at + PONG_WITHIN);
            let wake_at = leave_at.map_or(wake_at, |leave| leave.min(wake_at));
            tokio::select! {
                message = socket.next() => match message {
                    Some(Ok(Message::Binary(frame))) => match rpc::Message::decode(&frame) {
                        Ok(message) => {
                            let delay = way.borrow().delay;
                            sleep(delay).await;
                            self.life.take_in(message, &mut out);
                        }
                        Err(error) => {
                            self.record.fault(format!("a frame that is no message: {error}"));
                            return 1006;
                        }
                    },
                    Some(Ok(Message::Text(_))) => {
                        self.record.fault("a text frame".to_owned());
                        return 1006;
                    }
                    Some(Ok(Message::Pong(payload))) => {
                        if let Some((at, _)) = pinged.take_if(|(_, sent)| sent.as_slice() == payload.as_ref()) {
                            lock(&self.record.ping_ms).push(at.elapsed().as_secs_f64() * 1e3);
                        }
                    }
                    Some(Ok(Message::Close(frame))) => {
                        let code = frame.map_or(1005, |frame| frame.code.into());
                        // The library has its answer ready; it goes out with the next read.
                        let _answered = timeout(Duration::from_secs(5), socket.next()).await;
                        return code;
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return 1006,
                },
                _ = lists.tick(), if full && self.life.informed => {
                    self.life.list(&mut out);
                    self.life.check_overdue();
                }
                _ = reports.tick(), if full && self.life.informed => {
                    self.life.update(&mut out);
                    self.life.stats(&mut out);
                    self.life.log(&mut out, "still there");
                }
                _ = lines.tick(), if writes.is_some() && self.life.informed => self.life.write(&mut out),
                true = async { line.wait_for(|line| line.cut).await.is_ok() } => return 1006,
                () = sleep_until(wake_at) => {
                    let now = Instant::now();
                    if leave_at.is_some_and(|at| now >= at) {
                        return 1006;
                    }
                    if pinged.is_some() {
                        self.record.late_pings.fetch_add(1, Ordering::Relaxed);
                        return 1006;
                    }
                    let payload = jiff::Timestamp::now().to_string().into_bytes();
                    ping_at = now + self.life.settings.ping_every;
                    pinged = Some((now, payload.clone()));
                    if socket.send(Message::Ping(payload.into())).await.is_err() {
                        return 1006;
                    }
                }
            }
            if !self.counted && self.life.greeted && self.life.informed {
                self.counted = true;
                self.record.connected.fetch_add(1, Ordering::Relaxed);
                self.record.connects.fetch_add(1, Ordering::Relaxed);
                lock(&self.record.connect_ms).push(begun.elapsed().as_secs_f64() * 1e3);
            }
            for message in out.drain(..) {
                if socket.send(Message::Binary(message.encode().into())).await.is_err() {
                    return 1006;
                }
            }
        }
    }
}

/// Sends what no agent sends. Whether the connection bore it.
async fn annoy(connection: &mut Connection) -> bool {
    for frame in hostile_frames() {
        if connection.socket.send(frame).await.is_err() {
            return false;
        }
    }
    true
}

/// What no agent sends: each must cost the master little and nobody else anything.
fn hostile_frames() -> Vec<Message> {
    let deep = std::iter::repeat_n(0x91, 1 << 20).collect::<Vec<u8>>();
    let mut wide = vec![0xdc, 0xff, 0xff];
    wide.extend(std::iter::repeat_n(0x90, 65_535));
    vec![
        Message::Binary(vec![0xc1].into()),
        Message::Binary(vec![0xdd, 0xff, 0xff, 0xff, 0xff].into()),
        Message::Binary(vec![0xdf, 0xff, 0xff, 0xff, 0xff].into()),
        Message::Binary(deep.into()),
        Message::Binary(wide.into()),
        Message::Binary(vec![0x94, 0, 1, 0xa1, b'/', 0x90].into()),
        Message::Text("text".into()),
        Message::Binary(vec![0; 8 << 20].into()),
    ]
}
