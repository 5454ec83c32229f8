//! Lists of grids, rendered once for all who ask at the same time: each gets those that are theirs.

use std::collections::HashSet;
use std::sync::Arc;

use axum::body::Bytes;
use kontena_core::id::Id;
use kontena_store::{Failure, GridRow, Store};

use super::body;
use crate::http::api::answer::encode;
use crate::http::api::gather::Ask;

const HEAD: &[u8] = b"{\"grids\":[";
const TAIL: &[u8] = b"]}";

/// Which grids are asked for: all, or those of one user.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(in crate::http::api) enum WhichGrids {
    All,
    These(Vec<Id>),
}

/// Grids, each rendered.
pub(in crate::http::api) struct GridList {
    each: Vec<(Id, Vec<u8>)>,
    all: Bytes,
}

impl GridList {
    fn new(each: Vec<(Id, Vec<u8>)>) -> Self {
        let all = listed(each.iter().map(|(_, grid)| grid.as_slice()));
        Self { each, all }
    }

    /// The list of all.
    pub(in crate::http::api) fn all(&self) -> Bytes {
        self.all.clone()
    }

    /// The list of some.
    pub(in crate::http::api) fn only(&self, allowed: impl Fn(Id) -> bool) -> Bytes {
        listed(self.each.iter().filter(|(id, _)| allowed(*id)).map(|(_, grid)| grid.as_slice()))
    }
}

fn listed<'a>(grids: impl Iterator<Item = &'a [u8]>) -> Bytes {
    let mut bytes = HEAD.to_vec();
    for grid in grids {
        if bytes.len() > HEAD.len() {
            bytes.push(b',');
        }
        bytes.extend_from_slice(grid);
    }
    bytes.extend_from_slice(TAIL);
    bytes.into()
}

/// What is asked for in one round is read together.
pub(in crate::http::api) fn ask_for_lists(store: &Store) -> Ask<WhichGrids, Arc<GridList>> {
    let grids = store.grids();
    Box::new(move |questions: HashSet<WhichGrids>| {
        let grids = grids.clone();
        Box::pin(async move {
            let mut wanted: Option<Vec<Id>> = Some(Vec::new());
            for which in questions {
                match which {
                    WhichGrids::All => wanted = None,
                    WhichGrids::These(ids) => wanted.iter_mut().for_each(|wanted| wanted.extend(&ids)),
                }
            }
            let rows = grids.list(wanted.as_deref()).await?;
            let ids: Vec<Id> = rows.iter().map(|row| row.id).collect();
            let counts = grids.counts(&ids).await?;
            let render = |row: &GridRow| {
                let counted = counts.get(&row.id).copied().unwrap_or_default();
                encode(&body(row, counted)).map(|json| (row.id, json))
            };
            let each: Result<Vec<_>, _> = rows.iter().map(render).collect();
            let each = each.map_err(|error| Failure::Unknown {
                message: format!("a grid cannot be written as JSON: {error}"),
                transient: false,
                commit_unknown: false,
            })?;
            Ok(Arc::new(GridList::new(each)))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_gets_what_is_theirs_as_one_list() {
        let id = |number| Id::from_bytes([number; 12]);
        let list = GridList::new((1..=3).map(|number| (id(number), vec![b'0' + number])).collect());
        assert_eq!(list.all(), b"{\"grids\":[1,2,3]}".as_slice());
        assert_eq!(list.only(|grid| grid != id(2)), b"{\"grids\":[1,3]}".as_slice());
        assert_eq!(list.only(|_| false), b"{\"grids\":[]}".as_slice());
    }
}
