//! The log that the user follows: read as it comes, in pieces that the queue of events can carry, and gone on with
//! where it stood when the connection broke off.

use std::time::Duration;

use serde::Deserialize;
use tokio::sync::mpsc::Sender;
use tokio::sync::watch::Receiver;
use tokio::time::sleep;

use super::http::Master;
use crate::event::{Event, Link};
use crate::place::{LogOf, Look};
use crate::state::logs::Line;

/// How many of the latest lines come first.
const FIRST: usize = 500;
/// How many lines are handed over at once.
const BATCH: usize = 200;
/// What is not yet whole may be so long.
const PENDING_MAX: usize = 4 << 20;
/// Before it is asked for again.
const RETRY: Duration = Duration::from_secs(1);

/// The task of one connection.
pub(super) struct Follower {
    pub(super) master: Master,
    pub(super) events: Sender<Event>,
    pub(super) looks: Receiver<Look>,
}

/// A line as the masters send it.
#[derive(Deserialize)]
struct Sent {
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    created_at: String,
    #[serde(default, rename = "type")]
    stream: Option<String>,
    #[serde(default)]
    data: String,
}

impl Follower {
    pub(super) async fn run(mut self) {
        // Whose log, and the last line that came.
        let mut stands: Option<(LogOf, Option<String>)> = None;
        loop {
            let wanted = self.looks.borrow_and_update().log.clone();
            let Some(place) = wanted else {
                stands = None;
                if self.looks.changed().await.is_err() {
                    return;
                }
                continue;
            };
            if stands.as_ref().is_none_or(|(of, _)| *of != place) {
                stands = Some((place.clone(), None));
            }
            let last = stands.as_mut().map(|(_, last)| last);
            let mut looks = self.looks.clone();
            let other = looks.wait_for(|look| look.log.as_ref() != Some(&place));
            tokio::select! {
                ended = other => if ended.is_err() {
                    return;
                },
                () = async {
                    if let Some(last) = last {
                        self.follow(&place, last).await;
                    }
                    sleep(RETRY).await;
                } => {}
            }
        }
    }

    /// Follows until it ends, as every connection does at some time.
    async fn follow(&self, place: &LogOf, last: &mut Option<String>) {
        let from = match last {
            Some(id) => format!("from={id}"),
            None => format!("limit={FIRST}"),
        };
        let path = format!("{}?follow=1&{from}", place.route());
        let mut answer = match self.master.open(&path).await {
            Ok(answer) => answer,
            Err(failure) => {
                let _ended = self.events.send(Event::Link(Link::Unavailable(failure.words))).await;
                return;
            }
        };
        // That there is nothing yet is worth knowing too.
        self.tell(place, Vec::new()).await;
        let mut pending = Vec::new();
        while let Ok(Some(chunk)) = answer.chunk().await {
            if pending.len() + chunk.len() > PENDING_MAX {
                return;
            }
            pending.extend_from_slice(&chunk);
            let (lines, used) = lines(&pending);
            pending.drain(..used);
            if let Some(line) = lines.last() {
                *last = Some(line.id.clone());
            }
            for batch in lines.chunks(BATCH) {
                self.tell(place, batch.to_vec()).await;
            }
        }
    }

    async fn tell(&self, place: &LogOf, lines: Vec<Line>) {
        // The program ends when nobody takes it.
        let _ended = self.events.send(Event::Link(Link::Log(place.clone(), lines))).await;
    }
}

/// The lines that are whole, and how many bytes they took. What is no line is passed over.
fn lines(bytes: &[u8]) -> (Vec<Line>, usize) {
    let mut found = Vec::new();
    let mut stream = serde_json::Deserializer::from_slice(bytes).into_iter::<Sent>();
    let mut used = 0;
    loop {
        match stream.next() {
            Some(Ok(sent)) => {
                used = stream.byte_offset();
                found.extend(split(sent));
            }
            Some(Err(error)) if error.is_eof() => return (found, used),
            // Nothing sensible follows what is no JSON.
            Some(Err(_)) => return (found, bytes.len()),
            None => return (found, stream.byte_offset()),
        }
    }
}

fn split(sent: Sent) -> Vec<Line> {
    let Sent { id, name, created_at, stream, data } = sent;
    let error = stream.as_deref() == Some("stderr");
    let line = |text: &str| Line {
        id: id.clone(),
        at: created_at.clone(),
        by: name.clone(),
        error,
        text: text.to_owned(),
    };
    data.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_put_together_however_the_bytes_are_cut() {
        let text = " {\"id\":\"1\",\"name\":\"web-1\",\"type\":\"stderr\",\"data\":\"a\\nb\\n\"}  {\"id\":\"2\",\"data\":\"ü\"} ";
        for cut in 0..text.len() {
            let (mut all, mut pending) = (Vec::new(), Vec::new());
            for part in [&text.as_bytes()[..cut], &text.as_bytes()[cut..]] {
                pending.extend_from_slice(part);
                let (lines, used) = lines(&pending);
                pending.drain(..used);
                all.extend(lines);
            }
            let texts: Vec<&str> = all.iter().map(|line| line.text.as_str()).collect();
            assert_eq!(texts, ["a", "b", "ü"], "{cut}");
            assert!(all[0].error && !all[2].error);
        }
        assert_eq!(lines(b"<html>").1, 6);
    }
}
