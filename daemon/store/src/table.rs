//! The few ways in which collections of the original are read and written: each call bounded in time, every time
//! stamp the database's own.

use std::time::Duration;

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::ReturnDocument;
use mongodb::{Collection, Database};

use crate::command::Failure;
use crate::document::fresh;

/// The limit of each call.
pub(crate) const LIMIT: Duration = Duration::from_secs(5);

/// One collection.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    collection: Collection<Document>,
}

impl Table {
    pub(crate) fn new(database: &Database, name: &str) -> Self {
        Self { collection: database.collection(name) }
    }

    pub(crate) async fn one(&self, filter: Document) -> Result<Option<Document>, Failure> {
        Ok(self.collection.find_one(filter).max_time(LIMIT).await?)
    }

    /// All that the filter finds. `sort` may be empty.
    pub(crate) async fn all(&self, filter: Document, sort: Document) -> Result<Vec<Document>, Failure> {
        self.some(filter, sort, 0).await
    }

    /// At most `limit`; 0 is all.
    pub(crate) async fn some(
        &self,
        filter: Document,
        sort: Document,
        limit: i64,
    ) -> Result<Vec<Document>, Failure> {
        let found = self.collection.find(filter).sort(sort).limit(limit).max_time(LIMIT).await?;
        Ok(found.try_collect().await?)
    }

    /// Some fields of all that the filter finds. `sort` may be empty.
    pub(crate) async fn fields(
        &self,
        filter: Document,
        sort: Document,
        fields: Document,
    ) -> Result<Vec<Document>, Failure> {
        let found = self.collection.find(filter).sort(sort).projection(fields).max_time(LIMIT).await?;
        Ok(found.try_collect().await?)
    }

    /// The newest `limit`, oldest first.
    pub(crate) async fn newest(&self, filter: Document, limit: i64) -> Result<Vec<Document>, Failure> {
        let mut rows = self.some(filter, doc! { "_id": -1 }, limit).await?;
        rows.reverse();
        Ok(rows)
    }

    pub(crate) async fn aggregate(&self, pipeline: Vec<Document>) -> Result<Vec<Document>, Failure> {
        Ok(self.collection.aggregate(pipeline).max_time(LIMIT).await?.try_collect().await?)
    }

    /// Inserts a document with a fresh id, created and updated now. Returns it as stored.
    pub(crate) async fn insert(&self, fields: Document) -> Result<Document, Failure> {
        self.insert_computed(fields, doc! {}).await
    }

    /// The same, with further fields as expressions that may use the database's clock.
    pub(crate) async fn insert_computed(
        &self,
        fields: Document,
        computed: Document,
    ) -> Result<Document, Failure> {
        let made = self
            .collection
            .find_one_and_update(doc! { "_id": fresh() }, inserting(fields, computed))
            .upsert(true)
            .return_document(ReturnDocument::After)
            .max_time(LIMIT)
            .await?;
        made.ok_or_else(|| Failure::unknown("the server inserted nothing"))
    }

    /// Changes one document by update operators and dates the change. Returns it as it is then.
    pub(crate) async fn change(
        &self,
        filter: Document,
        change: Document,
    ) -> Result<Option<Document>, Failure> {
        let change = dated(change);
        let query = self.collection.find_one_and_update(filter, change);
        Ok(query.return_document(ReturnDocument::After).max_time(LIMIT).await?)
    }

    /// Changes one document by expressions that may use the database's clock. Returns it as it is then.
    pub(crate) async fn compute(
        &self,
        filter: Document,
        pipeline: Vec<Document>,
    ) -> Result<Option<Document>, Failure> {
        let query = self.collection.find_one_and_update(filter, pipeline);
        Ok(query.return_document(ReturnDocument::After).max_time(LIMIT).await?)
    }

    /// The same, inserting the document if it is not there.
    pub(crate) async fn put(&self, filter: Document, change: Document) -> Result<(), Failure> {
        self.collection.update_one(filter, change).upsert(true).await?;
        Ok(())
    }

    pub(crate) async fn change_all(&self, filter: Document, change: Document) -> Result<u64, Failure> {
        Ok(self.collection.update_many(filter, dated(change)).await?.matched_count)
    }

    /// Removes one document. Whether there was one.
    pub(crate) async fn remove(&self, filter: Document) -> Result<bool, Failure> {
        Ok(self.collection.delete_one(filter).await?.deleted_count == 1)
    }

    /// Removes one document and returns it.
    pub(crate) async fn take(&self, filter: Document) -> Result<Option<Document>, Failure> {
        Ok(self.collection.find_one_and_delete(filter).max_time(LIMIT).await?)
    }
}

/// What inserts `fields` when the document is not there.
pub(crate) fn inserting(fields: Document, mut computed: Document) -> Vec<Document> {
    computed.insert("updated_at", "$$NOW");
    computed.insert("created_at", "$$NOW");
    // Without the literal, text that starts with a dollar sign would be taken for an expression.
    vec![doc! { "$replaceWith": { "$mergeObjects": ["$$ROOT", { "$literal": fields }, computed] } }]
}

pub(crate) fn dated(mut change: Document) -> Document {
    match change.get_mut("$currentDate") {
        Some(Bson::Document(dates)) => {
            dates.insert("updated_at", true);
        }
        _ => {
            change.insert("$currentDate", doc! { "updated_at": true });
        }
    }
    change
}
