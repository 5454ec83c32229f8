//! Whether a connection may stay, judged by its node's record after each answered ping.

use super::Refusal;
use crate::election::HolderId;

/// The session whose agent answered.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    /// Of this process.
    pub master: HolderId,
    /// Under which it was accepted, or last claimed anew.
    pub epoch: i64,
    /// Under which it was claimed anew, where no answer came: that may have been made.
    pub claimed: Option<i64>,
    /// The agent's id of the node.
    pub node_id: &'a str,
}

/// What the record says now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The connection that the record knows as the last that was accepted.
    pub epoch: i64,
    /// The process that accepted it.
    pub master: Option<HolderId>,
    /// Whether the node counts as connected.
    pub connected: bool,
    /// Its connection was ended since its master was thought dead, and nobody else claimed it.
    pub orphaned: bool,
    /// The node's name.
    pub name: String,
    /// When the connection that it knows was made, as text.
    pub connected_at: String,
}

/// What follows for the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the one.
    Stays,
    /// It was ended by mistake: it claims the node anew.
    Reclaims,
    /// It did so under this epoch, though it was not told.
    Claimed(i64),
    /// It ends. The agent is told once the record was read again from a primary that is sure of being one.
    Ends(Refusal),
    /// The record is older than the connection: whoever read it was behind.
    Unsure,
}

/// Judges a connection by the record of its node.
#[must_use]
pub fn judge(held: Held<'_>, record: Option<&Record>) -> Verdict {
    match record {
        None => Verdict::Ends(Refusal::removed(held.node_id)),
        Some(record) if record.epoch > held.epoch => {
            if held.claimed == Some(record.epoch) && record.master == Some(held.master) {
                Verdict::Claimed(record.epoch)
            } else {
                Verdict::Ends(Refusal::superseded(&record.name, &record.connected_at))
            }
        }
        Some(record) if record.epoch < held.epoch => Verdict::Unsure,
        Some(record) if record.orphaned => Verdict::Reclaims,
        Some(record) if !record.connected => Verdict::Ends(Refusal::disconnected(&record.name)),
        Some(_) => Verdict::Stays,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: HolderId = HolderId::from_bytes([1; 16]);
    const ANOTHER: HolderId = HolderId::from_bytes([2; 16]);

    fn record(epoch: i64, connected: bool, orphaned: bool) -> Record {
        Record {
            epoch,
            master: Some(ME),
            connected,
            orphaned,
            name: "core-1".to_owned(),
            connected_at: "2017-10-10 10:10:10 UTC".to_owned(),
        }
    }

    fn judged(claimed: Option<i64>, record: Option<&Record>) -> Result<Verdict, u16> {
        match judge(Held { master: ME, epoch: 5, claimed, node_id: "AAAA" }, record) {
            Verdict::Ends(refusal) => Err(refusal.code),
            other => Ok(other),
        }
    }

    #[test]
    fn only_what_is_certain_ends_an_agent() {
        assert_eq!(judged(None, Some(&record(5, true, false))), Ok(Verdict::Stays));
        assert_eq!(judged(None, Some(&record(4, false, false))), Ok(Verdict::Unsure));
        assert_eq!(judged(None, Some(&record(5, false, true))), Ok(Verdict::Reclaims));
        assert_eq!(judged(None, Some(&record(5, true, true))), Ok(Verdict::Reclaims));
        assert_eq!(judged(None, Some(&record(5, false, false))), Err(4031));
        assert_eq!(judged(None, Some(&record(6, true, false))), Err(4041));
        assert_eq!(judged(None, None), Err(4040));
    }

    #[test]
    fn a_claim_whose_answer_was_lost_supersedes_nobody() {
        assert_eq!(judged(Some(6), Some(&record(6, true, false))), Ok(Verdict::Claimed(6)));
        assert_eq!(judged(Some(6), Some(&record(6, false, true))), Ok(Verdict::Claimed(6)));
        assert_eq!(judged(Some(6), Some(&record(5, false, true))), Ok(Verdict::Reclaims));
        // Another one was quicker, here or elsewhere.
        assert_eq!(judged(Some(6), Some(&record(7, true, false))), Err(4041));
        let elsewhere = Record { master: Some(ANOTHER), ..record(6, true, false) };
        assert_eq!(judged(Some(6), Some(&elsewhere)), Err(4041));
    }
}
