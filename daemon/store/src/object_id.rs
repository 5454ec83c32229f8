//! Ids as the database has them, and back; and the fields of documents that others wrote.

use kontena_core::id::Id;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, DateTime, Document};

pub(crate) fn object_id(id: Id) -> ObjectId {
    ObjectId::from_bytes(id.bytes())
}

pub(crate) fn id(found: ObjectId) -> Id {
    Id::from_bytes(found.bytes())
}

/// Ids as an array, for `$in`.
pub(crate) fn object_ids(ids: impl IntoIterator<Item = Id>) -> Vec<Bson> {
    ids.into_iter().map(|id| Bson::ObjectId(object_id(id))).collect()
}

pub(crate) fn id_at(document: &Document, key: &str) -> Option<Id> {
    document.get_object_id(key).ok().map(id)
}

pub(crate) fn text_at(document: &Document, key: &str) -> Option<String> {
    document.get_str(key).ok().map(str::to_owned)
}

pub(crate) fn flag_at(document: &Document, key: &str) -> bool {
    document.get_bool(key).unwrap_or(false)
}

/// Milliseconds since 1970.
pub(crate) fn time_at(document: &Document, key: &str) -> Option<i64> {
    document.get_datetime(key).ok().map(|at: &DateTime| at.timestamp_millis())
}

/// The text elements of an array; of anything else, none.
pub(crate) fn texts_at(document: &Document, key: &str) -> Vec<String> {
    let texts = document.get_array(key).map(Vec::as_slice).unwrap_or_default();
    texts.iter().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

/// The document elements of an array; of anything else, none.
pub(crate) fn documents_at<'a>(document: &'a Document, key: &str) -> impl Iterator<Item = &'a Document> {
    document.get_array(key).map(Vec::as_slice).unwrap_or_default().iter().filter_map(Bson::as_document)
}
