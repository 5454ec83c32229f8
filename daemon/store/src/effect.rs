//! What a leader may do to the database: writes that take effect behind the fence or not at all.
//!
//! The constructors stand with the collections they write to; this type only carries them to the writer.

use mongodb::bson::{Document, doc};

/// One write of a leader, with what it must find to be made.
#[derive(Clone, Debug)]
pub struct Effect {
    pub(crate) collection: &'static str,
    pub(crate) statement: Statement,
}

#[derive(Clone, Debug)]
pub(crate) enum Statement {
    /// Inserts a document whose id must be free.
    Insert(Document),
    /// Changes the one document that the filter finds. Matching none makes the whole batch stale: the plan was
    /// computed from what is no longer there.
    Update { filter: Document, change: Document },
    /// Changes the documents that the filter finds, however many there are.
    UpdateMany { filter: Document, change: Document },
    /// Changes the document that the filter finds, or makes it, by a pipeline that may use the database's clock.
    Compute { filter: Document, pipeline: Vec<Document> },
    /// Removes the documents that the filter finds, however many there are.
    Delete { filter: Document },
}

impl Effect {
    /// About how many bytes the effect takes in a command.
    pub(crate) fn size(&self) -> usize {
        let size = |document: &Document| {
            mongodb::bson::RawDocumentBuf::try_from(document).map_or(0, |raw| raw.as_bytes().len())
        };
        match &self.statement {
            Statement::Insert(document) => size(document),
            Statement::Update { filter, change } | Statement::UpdateMany { filter, change } => {
                size(filter) + size(change)
            }
            Statement::Compute { filter, pipeline } => {
                size(filter) + pipeline.iter().map(size).sum::<usize>()
            }
            Statement::Delete { filter } => size(filter),
        }
    }
}

/// The commands that carry out `effects`, with the number of documents each must match. Neighbours of one kind
/// on one collection go as one command; the order is kept.
pub(crate) fn commands<'a>(effects: impl IntoIterator<Item = &'a Effect>) -> Vec<(Document, Option<i64>)> {
    let mut runs: Vec<Vec<&Effect>> = Vec::new();
    for effect in effects {
        match runs.last_mut() {
            Some(run) if run.last().is_some_and(|last| last.joins(effect)) => run.push(effect),
            _ => runs.push(vec![effect]),
        }
    }
    runs.iter().map(|run| command(run)).collect()
}

impl Effect {
    fn joins(&self, next: &Self) -> bool {
        self.collection == next.collection
            && std::mem::discriminant(&self.statement) == std::mem::discriminant(&next.statement)
    }
}

fn command(run: &[&Effect]) -> (Document, Option<i64>) {
    let collection = run.first().map_or("", |effect| effect.collection);
    let expected = i64::try_from(run.len()).ok();
    let mut inserts = Vec::new();
    let mut updates = Vec::new();
    let mut deletes = Vec::new();
    let mut counted = expected;
    for effect in run {
        match &effect.statement {
            Statement::Insert(document) => inserts.push(document.clone()),
            Statement::Update { filter, change } => {
                updates.push(doc! { "q": filter.clone(), "u": change.clone() });
            }
            Statement::UpdateMany { filter, change } => {
                counted = None;
                updates.push(doc! { "q": filter.clone(), "u": change.clone(), "multi": true });
            }
            Statement::Compute { filter, pipeline } => {
                updates.push(doc! { "q": filter.clone(), "u": pipeline.clone(), "upsert": true });
            }
            Statement::Delete { filter } => {
                counted = None;
                deletes.push(doc! { "q": filter.clone(), "limit": 0 });
            }
        }
    }
    let command = if !inserts.is_empty() {
        doc! { "insert": collection, "documents": inserts }
    } else if !updates.is_empty() {
        doc! { "update": collection, "updates": updates }
    } else {
        doc! { "delete": collection, "deletes": deletes }
    };
    (command, counted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effect(collection: &'static str, statement: Statement) -> Effect {
        Effect { collection, statement }
    }

    #[test]
    fn neighbours_of_one_kind_go_as_one_command_and_the_order_is_kept() {
        let insert = |id: i32| effect("a", Statement::Insert(doc! { "_id": id }));
        let update = |id: i32| {
            effect("a", Statement::Update { filter: doc! { "_id": id }, change: doc! { "$set": { "x": 1 } } })
        };
        let delete = effect("b", Statement::Delete { filter: doc! {} });
        let effects = [insert(1), insert(2), update(1), delete, update(2), update(3)];
        let commands = commands(&effects);
        let shape: Vec<_> = commands
            .iter()
            .map(|(command, expected)| (command.keys().next().map(String::as_str), *expected))
            .collect();
        assert_eq!(
            shape,
            [
                (Some("insert"), Some(2)),
                (Some("update"), Some(1)),
                (Some("delete"), None),
                (Some("update"), Some(2))
            ]
        );
    }
}
