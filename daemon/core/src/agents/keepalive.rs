//! Whether a connection may stay, judged by its node's record after each answered ping.

use super::Refusal;

/// What the record says now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The connection that the record knows as the last that was accepted.
    pub epoch: i64,
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
    /// It ends. The agent is told once the record was read again from a primary that is sure of being one.
    Ends(Refusal),
    /// The record is older than the connection: whoever read it was behind.
    Unsure,
}

/// Judges the connection that was accepted as `epoch` for the node of `node_id`.
#[must_use]
pub fn judge(epoch: i64, node_id: &str, record: Option<&Record>) -> Verdict {
    match record {
        None => Verdict::Ends(Refusal::removed(node_id)),
        Some(record) if record.epoch > epoch => {
            Verdict::Ends(Refusal::superseded(&record.name, &record.connected_at))
        }
        Some(record) if record.epoch < epoch => Verdict::Unsure,
        Some(record) if record.orphaned => Verdict::Reclaims,
        Some(record) if !record.connected => Verdict::Ends(Refusal::disconnected(&record.name)),
        Some(_) => Verdict::Stays,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_certain_ends_an_agent() {
        let record = |epoch, connected, orphaned| Record {
            epoch,
            connected,
            orphaned,
            name: "core-1".to_owned(),
            connected_at: "2017-10-10 10:10:10 UTC".to_owned(),
        };
        let judge = |record: Option<Record>| match judge(5, "AAAA", record.as_ref()) {
            Verdict::Ends(refusal) => Err(refusal.code),
            other => Ok(other),
        };
        assert_eq!(judge(Some(record(5, true, false))), Ok(Verdict::Stays));
        assert_eq!(judge(Some(record(4, false, false))), Ok(Verdict::Unsure));
        assert_eq!(judge(Some(record(5, false, true))), Ok(Verdict::Reclaims));
        assert_eq!(judge(Some(record(5, true, true))), Ok(Verdict::Reclaims));
        assert_eq!(judge(Some(record(5, false, false))), Err(4031));
        assert_eq!(judge(Some(record(6, true, false))), Err(4041));
        assert_eq!(judge(None), Err(4040));
    }
}
