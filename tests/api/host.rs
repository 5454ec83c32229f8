//! A host whose agent says what a real one was recorded to say, and whose engine runs commands as processes here.

use std::collections::{BTreeMap, HashMap};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::{SinkExt, StreamExt};
use kontena_testkit::agent::{Connection, Dial, Etcd, Settings, Token, dial};
use kontena_wire::rpc::{Fault, Message, Value, loose, map};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::Message as Frame;

use crate::world::World;

/// The engine of the recorded host.
pub(crate) const ENGINE: &str = "3YQO:ZRP6:T6RZ:DDVO:E3BM:KUAC:HEAV:BK6I:TGC4:ADVY:DPIT:24M4";
const PATIENCE: Duration = Duration::from_secs(20);

/// What an agent tells when it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reports {
    /// Of its host alone.
    Host,
    /// Of its containers too.
    All,
}

/// The host `core-1`. Dropping it cuts its connection.
pub(crate) struct Host {
    task: JoinHandle<()>,
    calls: Arc<Mutex<Vec<String>>>,
}

impl Drop for Host {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Host {
    /// Connects to a master as the recorded agent did, with a grid's token, and reports.
    pub(crate) async fn connect(world: &World, master: usize, token: &str, reports: Reports) -> Result<Self> {
        let master = world.masters[master].url().replace("http://", "");
        let mut settings = Settings::new(vec![master.clone()], Token::Grid(token.to_owned()), 1);
        ENGINE.clone_into(&mut settings.node_id);
        "core-1".clone_into(&mut settings.name);
        settings.labels = vec!["zone=a".to_owned(), "ssd".to_owned()];
        let mut connection = dial(&Dial::agent(&settings, &master, 0.0)).await?;
        let frames = frames(reports)?;
        for frame in &frames {
            connection.socket.send(Frame::Binary(frame.clone().into())).await?;
        }
        let mut missing = frames.len();
        while missing > 0 {
            let message = timeout(PATIENCE, connection.socket.next()).await?.context("the end")??;
            if let Frame::Binary(frame) = message
                && let Message::Response { outcome, .. } = Message::decode(&frame)?
            {
                ensure!(outcome.is_ok(), "{outcome:?}");
                missing -= 1;
            }
        }
        let calls = Arc::<Mutex<Vec<String>>>::default();
        let (events, inbox) = mpsc::channel(1024);
        let engine =
            Engine { etcd: Etcd::default(), inputs: HashMap::new(), events, calls: Arc::clone(&calls) };
        Ok(Self { task: tokio::spawn(engine.serve(connection, inbox)), calls })
    }

    /// What masters called since the last question, by method.
    pub(crate) fn calls(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for method in self.calls.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            *counts.entry(method).or_default() += 1;
        }
        counts
    }
}

/// The frames with which the agent told of its host and its first containers.
fn frames(reports: Reports) -> Result<Vec<Vec<u8>>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/agent/online.jsonl");
    let text = std::fs::read_to_string(path)?;
    let frame = |line: &str| {
        let row: serde_json::Value = serde_json::from_str(line)?;
        Ok(hex::decode(row["hex"].as_str().context("no frame")?)?)
    };
    let wanted = |line: &&str| reports == Reports::All || line.contains("/nodes/update");
    text.lines().filter(wanted).map(frame).collect()
}

struct Engine {
    etcd: Etcd,
    /// Where input of commands goes, by their sessions.
    inputs: HashMap<String, Option<mpsc::Sender<Option<Vec<u8>>>>>,
    events: mpsc::Sender<Message>,
    calls: Arc<Mutex<Vec<String>>>,
}

impl Engine {
    async fn serve(mut self, mut connection: Connection, mut inbox: mpsc::Receiver<Message>) {
        loop {
            let out = tokio::select! {
                event = inbox.recv() => event,
                message = connection.socket.next() => match message {
                    Some(Ok(Frame::Binary(frame))) => match Message::decode(&frame) {
                        Ok(message) => self.take(message),
                        Err(_) => return,
                    },
                    Some(Ok(Frame::Close(_)) | Err(_)) | None => return,
                    Some(Ok(_)) => None,
                },
            };
            if let Some(out) = out
                && connection.socket.send(Frame::Binary(out.encode().into())).await.is_err()
            {
                return;
            }
        }
    }

    fn take(&mut self, message: Message) -> Option<Message> {
        let (id, method, params) = match message {
            Message::Request { id, method, params } => (Some(id), method, params),
            Message::Notification { method, params } => (None, method, params),
            Message::Response { .. } => return None,
        };
        let outcome = self.answer(&method, &params);
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(method);
        id.map(|id| Message::Response { id, outcome })
    }

    fn answer(&mut self, method: &str, params: &[Value]) -> Result<Value, Fault> {
        let text = |at: usize| params.get(at).and_then(loose::text).unwrap_or_default().into_owned();
        match method {
            "/etcd/health" => Ok(map([("health", Value::from(true))])),
            "/etcd/get" | "/etcd/set" | "/etcd/delete" => {
                self.etcd.answer(method, params).ok_or_else(|| Fault::new(500, "ArgumentError"))
            }
            "/containers/inspect" => Ok(map([("Id", Value::from(text(0))), ("Path", Value::from("sleep"))])),
            "/containers/top" => Ok(Value::Array(vec![map([("PID", Value::from("1"))])])),
            "/containers/create_exec" => {
                let id = format!("{:032x}", rand::random::<u128>());
                self.inputs.insert(id.clone(), None);
                Ok(map([("id", Value::from(id))]))
            }
            "/containers/run_exec" => {
                let words: Vec<String> = loose::elements(params.get(1))
                    .iter()
                    .filter_map(loose::text)
                    .map(std::borrow::Cow::into_owned)
                    .collect();
                let (id, (sender, input)) = (text(0), mpsc::channel(64));
                self.inputs.insert(id.clone(), Some(sender));
                tokio::spawn(run(id, words, input, self.events.clone()));
                Ok(map([]))
            }
            "/containers/tty_input" => {
                let input = params.get(1).and_then(loose::bytes).map(<[u8]>::to_vec);
                if let Some(Some(inputs)) = self.inputs.get(&text(0)) {
                    let _full = inputs.try_send(input);
                }
                Ok(map([]))
            }
            "/containers/terminate_exec" => {
                self.inputs.remove(&text(0));
                Ok(map([]))
            }
            _ => Ok(map([])),
        }
    }
}

/// Runs a command as a process of this host.
async fn run(
    id: String,
    words: Vec<String>,
    inputs: mpsc::Receiver<Option<Vec<u8>>>,
    events: mpsc::Sender<Message>,
) {
    let code = match spawned(&id, &words, inputs, &events).await {
        Ok(code) => code,
        Err(error) => {
            // As an engine tells it.
            let told = output(&id, "stdout", format!("OCI runtime exec failed: {error}\r\n").as_bytes());
            let _gone = events.send(told).await;
            126
        }
    };
    let exit = vec![Value::from(id.as_str()), Value::from(code)];
    let _gone = events.send(Message::notification("/container_exec/exit", exit)).await;
}

async fn spawned(
    id: &str,
    words: &[String],
    inputs: mpsc::Receiver<Option<Vec<u8>>>,
    events: &mpsc::Sender<Message>,
) -> Result<i32> {
    let (program, arguments) = words.split_first().context("no command")?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let feeding = tokio::spawn(feed(child.stdin.take().context("no input")?, inputs));
    let (stdout, stderr) =
        (child.stdout.take().context("no output")?, child.stderr.take().context("no errors")?);
    tokio::join!(carry(id, "stdout", stdout, events), carry(id, "stderr", stderr, events));
    let status = child.wait().await?;
    feeding.abort();
    Ok(status.code().unwrap_or(-1))
}

async fn feed(mut stdin: ChildStdin, mut inputs: mpsc::Receiver<Option<Vec<u8>>>) {
    while let Some(Some(input)) = inputs.recv().await {
        if stdin.write_all(&input).await.is_err() {
            return;
        }
    }
}

async fn carry(id: &str, stream: &str, mut from: impl AsyncRead + Unpin, events: &mpsc::Sender<Message>) {
    let mut buffer = [0; 512];
    while let Ok(read) = from.read(&mut buffer).await
        && read > 0
    {
        let _gone = events.send(output(id, stream, buffer.get(..read).unwrap_or_default())).await;
    }
}

fn output(id: &str, stream: &str, chunk: &[u8]) -> Message {
    let chunk = match String::from_utf8(chunk.to_vec()) {
        Ok(text) => Value::from(text),
        Err(_) => Value::Binary(chunk.to_vec()),
    };
    Message::notification("/container_exec/output", vec![id.into(), stream.into(), chunk])
}
