//! Hosts that bring one token at once: a node is claimed by one of them, and the others are told so.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use kontena_core::agents::KnownNode;
use kontena_core::agents::admission::{self, Credential};
use kontena_core::id::Id;
use kontena_store::{NodeRow, Plug};

use super::{Applicant, Verdict};

/// The place of a host in the batch, and that of the first with its token.
type Rival = (usize, usize);

/// Two hosts can bring the token of a node that nobody has been yet. It is one session, of the first of them; with each
/// of the others comes the place of that one.
pub(super) fn one_for_each_node(plugs: Vec<(usize, Plug)>) -> (Vec<(usize, Plug)>, Vec<Rival>) {
    let mut firsts: HashMap<Id, usize> = HashMap::new();
    let (mut alone, mut rivals) = (Vec::new(), Vec::new());
    for (index, plug) in plugs {
        match firsts.entry(plug.node) {
            Entry::Occupied(first) => rivals.push((index, *first.get())),
            Entry::Vacant(place) => {
                place.insert(index);
                alone.push((index, plug));
            }
        }
    }
    (alone, rivals)
}

/// The verdict about a host whose token's node has just become another one: as if it had come after it.
pub(super) fn beaten(late: &Applicant, first: &Applicant, by_token: &HashMap<&str, &NodeRow>) -> Verdict {
    let Credential::Node(token) = &late.hello.credential else { return come_again() };
    let Some(row) = by_token.get(token.as_str()) else { return come_again() };
    let claimed = KnownNode { node_id: Some(first.hello.node_id.clone()), ..row.known.clone() };
    match admission::decide(&late.hello, None, None, Some(&claimed)) {
        Err(refusal) => Verdict::Refused(refusal),
        Ok(_) => come_again(),
    }
}

/// Nothing certain is known of who else wanted its place.
pub(super) fn come_again() -> Verdict {
    Verdict::Unavailable("another host brings the same token".to_owned())
}

#[cfg(test)]
mod tests {
    use kontena_core::agents::admission::Hello;

    use super::*;

    const EDGE: Id = Id::from_bytes([1; 12]);
    const OTHER: Id = Id::from_bytes([2; 12]);

    fn applicant(node_id: &str) -> Applicant {
        let hello = Hello {
            node_id: node_id.to_owned(),
            node_name: "edge".to_owned(),
            version: "1.5.4".to_owned(),
            labels: Vec::new(),
            credential: Credential::Node("token".to_owned()),
        };
        Applicant { hello, connected_at: 0, skew: None }
    }

    #[test]
    fn a_node_that_many_hosts_claim_at_once_is_one_session_of_the_first() {
        let plug = |node: Id, node_id: &str| {
            let claim = Some((node_id.to_owned(), "1.5.4".to_owned(), Vec::new()));
            Plug { node, observed: 0, connected_at: 0, claim }
        };
        let plugs =
            vec![(4, plug(EDGE, "a")), (5, plug(OTHER, "b")), (7, plug(EDGE, "c")), (9, plug(EDGE, "d"))];
        let (alone, rivals) = one_for_each_node(plugs);
        let alone: Vec<(usize, Id)> = alone.iter().map(|(index, plug)| (*index, plug.node)).collect();
        assert_eq!((alone, rivals), (vec![(4, EDGE), (5, OTHER)], vec![(7, 4), (9, 4)]));
    }

    #[test]
    fn who_was_not_the_first_with_a_token_is_told_so() {
        let known = KnownNode { id: EDGE, grid: OTHER, node_id: None, has_token: true };
        let (name, labels) = ("edge".to_owned(), Vec::new());
        let row = NodeRow { known, name, number: 1, labels, epoch: 0, created_at: 0, updated_at: 0 };
        let by_token = HashMap::from([("token", &row)]);
        let verdict = beaten(&applicant("b"), &applicant("a"), &by_token);
        let Verdict::Refused(refusal) = verdict else { panic!("not refused") };
        assert_eq!(refusal.code, 4003);
        let verdict = beaten(&applicant("b"), &applicant("a"), &HashMap::new());
        assert!(matches!(verdict, Verdict::Unavailable(_)));
    }
}
