//! What happens to the masters, as server-sent events. A client that comes back names the last event it saw, to
//! whichever master it reaches: the elections behind it come from the database, the rest from what the asked
//! master observed itself.

use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};
use kontena_core::election::Term;
use kontena_store::{HistoryRow, Person};
use kontena_wire::cluster;
use kontena_wire::events::{self, Event};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::cluster::{reign_body, rfc3339};
use super::{Api, refusal};
use crate::agents::Moves;
use crate::clock::wall_ms;
use crate::election::Standing;
use crate::feed::{Entry, Following, Happening, Place};

/// The limit of the read of the history.
const READ_LIMIT: Duration = Duration::from_secs(2);
/// How many of the latest terms are told to a new client.
const HISTORY: i64 = 100;
/// Between two signs of life when nothing happens.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

pub(super) async fn follow(State(api): State<Api>, headers: HeaderMap) -> Response {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).filter(|id| !id.is_empty());
    let place = last.and_then(Place::decode);
    let Some(following) = api.feed.follow(place) else {
        return refusal(StatusCode::SERVICE_UNAVAILABLE, "too many clients follow the events already");
    };
    // Without the database its part is left out, and the client is told.
    let read = tokio::time::timeout(READ_LIMIT, api.history.latest(HISTORY, READ_LIMIT)).await;
    let history = read.ok().and_then(Result::ok);
    let by = api.settings.name.clone();
    let first = beginning(&by, last, place, history, &following);
    let closing = api.feed.closing.clone();
    let events = events(by, first, following.live).take_until(closing.cancelled_owned());
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

/// What a client is told before anything new: what it missed, as far as that is known.
fn beginning(
    by: &str,
    last: Option<&str>,
    place: Option<Place>,
    history: Option<Vec<HistoryRow>>,
    following: &Following,
) -> VecDeque<sse::Event> {
    let mut first = VecDeque::new();
    let mut told = HashSet::new();
    if following.seamless {
        first.extend(following.backlog.iter().map(|entry| body(by, entry)));
        return first;
    }
    let missed = |reason: &str| {
        let what = events::Happening::Missed { count: None, reason: reason.to_owned() };
        encode(None, &Event { at: rfc3339(wall_ms()), by: by.to_owned(), what })
    };
    if last.is_some() {
        first.push_back(missed(match place {
            Some(_) => "what other masters observed meanwhile is known to them alone",
            None => "the last event's id is not one that a master gave out",
        }));
    }
    match history {
        Some(rows) => {
            let behind = place.map_or(Term(0), |place| place.term);
            for row in rows.into_iter().rev().filter(|row| row.term > behind) {
                told.insert(row.term);
                let place = Place { term: row.term, entry: None };
                let (at, what) = (rfc3339(row.at), events::Happening::Election { reign: reign_body(row) });
                first.push_back(encode(Some(place), &Event { at, by: by.to_owned(), what }));
            }
        }
        None => first.push_back(missed("the database does not answer: earlier elections are not known")),
    }
    let new =
        |entry: &&Arc<Entry>| !matches!(&entry.what, Happening::Election(row) if told.contains(&row.term));
    first.extend(following.backlog.iter().filter(new).map(|entry| body(by, entry)));
    first
}

fn events(
    by: String,
    first: VecDeque<sse::Event>,
    live: broadcast::Receiver<Arc<Entry>>,
) -> impl Stream<Item = Result<sse::Event, Infallible>> {
    stream::unfold((by, first, live), |(by, mut first, mut live)| async move {
        let event = match first.pop_front() {
            Some(event) => event,
            None => match live.recv().await {
                Ok(entry) => body(&by, &entry),
                Err(RecvError::Lagged(count)) => {
                    let reason = "this client was too slow to take them".to_owned();
                    let what = events::Happening::Missed { count: Some(count), reason };
                    encode(None, &Event { at: rfc3339(wall_ms()), by: by.clone(), what })
                }
                Err(RecvError::Closed) => return None,
            },
        };
        Some((Ok(event), (by, first, live)))
    })
}

fn body(by: &str, entry: &Entry) -> sse::Event {
    let what = match &entry.what {
        Happening::Election(row) => events::Happening::Election { reign: reign_body(row.clone()) },
        Happening::Lease { term, holder } => {
            events::Happening::Lease { term: term.0, holder: holder.as_ref().map(person) }
        }
        Happening::Standing(standing) => {
            let (standing, term) = match standing {
                Standing::Following => (events::Standing::Following, None),
                Standing::Elected(term) => (events::Standing::Elected, Some(term.0)),
                Standing::Acting(term) => (events::Standing::Acting, Some(term.0)),
                Standing::Releasing(term) => (events::Standing::Releasing, Some(term.0)),
            };
            events::Happening::Standing { standing, term }
        }
        Happening::Master { master, was, is, warnings } => events::Happening::Master {
            master: person(master),
            was: *was,
            is: *is,
            warnings: warnings.clone(),
        },
        Happening::Duty { name, failed, result } => {
            events::Happening::Duty { name: (*name).to_owned(), failed: *failed, result: result.clone() }
        }
        Happening::Agents { master, moves: Moves { came, left, names } } => {
            let names = names.iter().map(|(name, came)| events::Move { name: name.clone(), came: *came });
            events::Happening::Agents {
                master: person(master),
                came: *came,
                left: *left,
                names: names.collect(),
            }
        }
        Happening::Database { failure } => {
            events::Happening::Database { answers: failure.is_none(), reason: failure.clone() }
        }
    };
    encode(Some(entry.place), &Event { at: rfc3339(entry.at), by: by.to_owned(), what })
}

fn person(person: &Person) -> cluster::Person {
    cluster::Person { id: person.id.clone(), name: person.name.clone() }
}

fn encode(place: Option<Place>, event: &Event) -> sse::Event {
    let encoded = sse::Event::default();
    let encoded = match place {
        Some(place) => encoded.id(place.encode()),
        None => encoded,
    };
    // These bodies always serialise; a comment keeps the stream in order if one should not.
    match serde_json::to_string(event) {
        Ok(data) => encoded.data(data),
        Err(_) => sse::Event::default().comment("an event was left out"),
    }
}
