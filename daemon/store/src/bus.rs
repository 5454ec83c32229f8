//! Messages between masters: `bus {_id, to, from, kind, about, payload, created_at}`. A sender inserts what
//! waits in one command, in order; each master reads one change stream of what is addressed to it. After a
//! stream was lost, what it may have missed is read from the collection, and told apart by its id.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use kontena_core::election::HolderId;
use mongodb::Database;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Binary, Bson, DateTime, Document, doc, spec::BinarySubtype};
use mongodb::change_stream::ChangeStream;
use mongodb::change_stream::event::{ChangeStreamEvent, ResumeToken};
use mongodb::options::ReadConcern;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::command::{Failure, millis};
use crate::document::Read;

const BUS: &str = "bus";

/// How long the server may hold a request for events back while there are none.
const AWAIT: Duration = Duration::from_secs(10);
/// Before a broken stream is opened again.
const REOPEN: Duration = Duration::from_millis(100);
/// After so many failures in a row it is told.
const DEAF_AFTER: u32 = 20;
/// For reading what a lost stream may have missed.
const SCAN_LIMIT: Duration = Duration::from_secs(5);
/// How many ids are remembered: more than a master takes in while a message is kept.
const SEEN_MAX: usize = 200_000;

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketKind {
    /// Call an agent and answer.
    Request,
    /// Call an agent.
    Notify,
    /// What came of a request.
    Answer,
    /// Output of a command in a container.
    Exec,
    /// Tell the nodes of a grid what they should know of themselves.
    Announce,
    /// Agents came to the sender or left it.
    Moves,
    /// Tell agents to look at their pods, and answer which of them were not reached.
    Pods,
    /// Agents reported instances of services.
    Reports,
}

impl PacketKind {
    const ALL: [(Self, &'static str); 8] = [
        (Self::Request, "request"),
        (Self::Notify, "notify"),
        (Self::Answer, "answer"),
        (Self::Exec, "exec"),
        (Self::Announce, "announce"),
        (Self::Moves, "moves"),
        (Self::Pods, "pods"),
        (Self::Reports, "reports"),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, name)| *name == text).map(|(kind, _)| *kind)
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Unique: who has seen it passes over it.
    pub id: [u8; 12],
    /// The master that reads it.
    pub to: HolderId,
    /// The master that wrote it.
    pub from: HolderId,
    /// What it is about.
    pub kind: PacketKind,
    /// The conversation that it belongs to.
    pub about: u64,
    /// Which piece of its kind it is, and how many there are. What is one piece may carry a number there instead.
    pub part: (u32, u32),
    /// Says the rest.
    pub payload: Vec<u8>,
}

impl Packet {
    /// A fresh id.
    #[must_use]
    pub fn fresh_id() -> [u8; 12] {
        ObjectId::new().bytes()
    }
}

/// The collection.
#[derive(Clone, Debug)]
pub struct Bus {
    database: Database,
}

impl Bus {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    /// Writes messages in their order. Those that an earlier, failed try already wrote are not written again.
    pub async fn send(&self, packets: &[Packet], limit: Duration) -> Result<(), Failure> {
        let mut documents: Vec<Document> = packets.iter().map(document).collect();
        while !documents.is_empty() {
            let command = doc! {
                "insert": BUS, "documents": documents.clone(), "ordered": true,
                "writeConcern": { "w": "majority" }, "maxTimeMS": millis(limit),
            };
            let reply = self.database.run_command(command).await?;
            if let Ok(error) = reply.get_document("writeConcernError") {
                return Err(Failure::unknown(error.get_str("errmsg").unwrap_or("write concern error")));
            }
            let first = reply.get_array("writeErrors").ok().and_then(|errors| errors.first()?.as_document());
            let Some(error) = first else { return Ok(()) };
            let index = crate::command::integer(error, "index").and_then(|index| usize::try_from(index).ok());
            match (index, crate::command::integer(error, "code")) {
                (Some(index), Some(code)) if crate::command::is_duplicate(code) => {
                    documents.drain(..=index.min(documents.len() - 1));
                }
                _ => return Err(Failure::unknown(error.get_str("errmsg").unwrap_or("write error"))),
            }
        }
        Ok(())
    }

    /// Reads what is addressed to `to` into `packets`, each message once, until cancelled or nobody takes them.
    pub async fn follow(self, to: HolderId, packets: mpsc::Sender<Packet>, cancel: CancellationToken) {
        let mut reader =
            Reader { bus: self, to, packets, seen: Seen::default(), resume_at: None, failures: 0 };
        while !cancel.is_cancelled() && !reader.packets.is_closed() {
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                () = reader.read() => {}
            }
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(REOPEN) => {}
            }
        }
    }

    async fn watch(
        &self,
        to: HolderId,
        resume_at: Option<ResumeToken>,
    ) -> Result<ChangeStream<ChangeStreamEvent<Document>>, Failure> {
        let wanted = doc! { "$match": { "operationType": "insert", "fullDocument.to": to.to_string() } };
        // Of one collection: that of a whole database has the server compare each name with a pattern.
        let collection = self.database.collection::<Document>(BUS);
        let opened = collection.watch().pipeline([wanted]).max_await_time(AWAIT).resume_after(resume_at);
        Ok(opened.await?.with_type())
    }

    /// What was addressed to `to` and is still kept, in the order of writing as far as it is known.
    async fn kept(&self, to: HolderId) -> Result<Vec<Packet>, Failure> {
        let collection = self.database.collection::<Document>(BUS);
        // A stream from now on shows nothing that was acknowledged before.
        let rows = collection.find(doc! { "to": to.to_string() }).read_concern(ReadConcern::local());
        let rows: Vec<Document> =
            rows.sort(doc! { "_id": 1 }).max_time(SCAN_LIMIT).await?.try_collect().await?;
        Ok(rows.iter().filter_map(parse).collect())
    }
}

struct Reader {
    bus: Bus,
    to: HolderId,
    packets: mpsc::Sender<Packet>,
    seen: Seen,
    resume_at: Option<ResumeToken>,
    /// How often in a row nothing could be read.
    failures: u32,
}

impl Reader {
    /// Notes a failure. One or two are what a change of the primary costs; with more, calls of other masters wait in vain.
    fn failed(&mut self, failure: &Failure) {
        self.failures = self.failures.saturating_add(1);
        if self.failures == DEAF_AFTER {
            tracing::warn!(%failure, "the messages of other masters cannot be read");
        } else {
            tracing::debug!(%failure, "the bus cannot be read");
        }
    }

    fn read_again(&mut self) {
        if self.failures >= DEAF_AFTER {
            tracing::info!("the messages of other masters can be read again");
        }
        self.failures = 0;
    }

    /// Follows one stream to its end.
    async fn read(&mut self) {
        let resume_at = self.resume_at.take();
        let resumed = resume_at.is_some();
        let mut stream = match self.bus.watch(self.to, resume_at).await {
            Ok(stream) => stream,
            // The token may be what is wrong: the next stream starts from now, and the scan catches up.
            Err(failure) => return self.failed(&failure),
        };
        if !resumed {
            match self.bus.kept(self.to).await {
                Ok(packets) => {
                    for packet in packets {
                        self.deliver(packet).await;
                    }
                }
                Err(failure) => return self.failed(&failure),
            }
        }
        self.read_again();
        while let Some(event) = stream.next().await {
            match event {
                Ok(event) => {
                    if let Some(packet) = event.full_document.as_ref().and_then(parse) {
                        self.deliver(packet).await;
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "the watch on the bus broke");
                    break;
                }
            }
        }
        self.resume_at = stream.resume_token();
    }

    async fn deliver(&mut self, packet: Packet) {
        if self.seen.is_new(packet.id) && self.packets.send(packet).await.is_err() {
            tracing::debug!("nobody reads the bus any more");
        }
    }
}

/// The latest ids that were delivered.
#[derive(Default)]
struct Seen {
    ids: HashSet<[u8; 12]>,
    order: VecDeque<[u8; 12]>,
}

impl Seen {
    fn is_new(&mut self, id: [u8; 12]) -> bool {
        if !self.ids.insert(id) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > SEEN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}

fn document(packet: &Packet) -> Document {
    let Packet { id, to, from, kind, about, part: (part, parts), payload } = packet;
    doc! {
        "_id": ObjectId::from_bytes(*id), "to": to.to_string(), "from": from.to_string(), "kind": kind.name(),
        "about": Bson::Int64(about.cast_signed()), "part": Bson::Int64(i64::from(*part)),
        "parts": Bson::Int64(i64::from(*parts)),
        "payload": Binary { subtype: BinarySubtype::Generic, bytes: payload.clone() },
        "created_at": DateTime::now(),
    }
}

fn parse(row: &Document) -> Option<Packet> {
    let number = |key: &str| crate::command::integer(row, key);
    let count = |key: &str| number(key).and_then(|number| u32::try_from(number).ok());
    Some(Packet {
        id: row.get_object_id("_id").ok()?.bytes(),
        to: row.get_str("to").ok()?.parse().ok()?,
        from: row.get_str("from").ok()?.parse().ok()?,
        kind: PacketKind::parse(&row.text("kind")?)?,
        about: number("about")?.cast_unsigned(),
        part: (count("part")?, count("parts")?),
        payload: row.get_binary_generic("payload").ok()?.clone(),
    })
}
