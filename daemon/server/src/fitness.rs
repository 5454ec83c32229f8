//! Whether this master may stand: only when the database is what it must be and the vault key is the shared
//! one. Until the database answers, nothing is known, and the master waits for it.

use std::sync::Arc;
use std::time::Duration;

use kontena_store::{Failure, MigrationState, Store};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::events;
use crate::settings::Settings;

/// The limit of each question to the database.
const CALL_LIMIT: Duration = Duration::from_secs(3);
/// Before the next try while the database does not answer.
const RETRY: Duration = Duration::from_millis(500);
/// Before the next look at a database that is not what it must be.
const RETRY_UNFIT: Duration = Duration::from_secs(5);

/// What is known of the fitness of this master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fitness {
    /// The database has not answered yet.
    Unknown(String),
    /// It must not stand.
    Unfit(String),
    /// It may stand.
    Fit,
}

/// Finds out; ends when the master is fit.
pub(crate) async fn establish(
    store: Store,
    settings: Arc<Settings>,
    fitness: watch::Sender<Fitness>,
    cancel: CancellationToken,
) {
    let mut told = None;
    loop {
        let found = match examine(&store, &settings).await {
            Ok(Ok(())) => Fitness::Fit,
            Ok(Err(reason)) => Fitness::Unfit(reason),
            Err(failure) => Fitness::Unknown(format!("the database does not answer: {failure}")),
        };
        let changed =
            told.as_ref() != Some(&found) && !(is_unknown(&found) && told.as_ref().is_some_and(is_unknown));
        if changed {
            told = Some(found.clone());
            match &found {
                Fitness::Fit => tracing::info!("the database is fit for use"),
                Fitness::Unfit(reason) => {
                    tracing::error!(MESSAGE_ID = events::UNFIT, "this master does not stand: {reason}");
                }
                Fitness::Unknown(reason) => tracing::warn!("waiting for the database: {reason}"),
            }
        }
        let wait = match &found {
            Fitness::Fit => {
                fitness.send_replace(found);
                return;
            }
            Fitness::Unfit(_) => RETRY_UNFIT,
            Fitness::Unknown(_) => RETRY,
        };
        fitness.send_replace(found);
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// The same trouble in other words is not told again.
fn is_unknown(fitness: &Fitness) -> bool {
    matches!(fitness, Fitness::Unknown(_))
}

async fn examine(store: &Store, settings: &Settings) -> Result<Result<(), String>, Failure> {
    let facts = match store.examine(CALL_LIMIT).await? {
        Ok(facts) => facts,
        Err(unfit) => return Ok(Err(unfit.to_string())),
    };
    if let Some(proof) = &settings.vault_proof
        && !store.sentinel().agrees(proof, CALL_LIMIT).await?
    {
        return Ok(Err(
            "the vault key is not the one this database was set up with: copy [vault] from another master's \
             configuration"
                .to_owned(),
        ));
    }
    if let MigrationState::TooOld(version) = store.seed().migrations(CALL_LIMIT).await? {
        return Ok(Err(format!(
            "this database was last used by an original master before version 1.5 (its newest migration is \
             {version}): start the last original master, 1.5.4, on it once, then this one"
        )));
    }
    for index in store.ensure_indexes(CALL_LIMIT).await? {
        tracing::warn!(collection = index.collection, failure = %index.failure, "an index cannot be made");
    }
    if settings.probe_every.is_some() {
        store.ensure_probe().await?;
    }
    tracing::info!(
        version = facts.version,
        replica_set = facts.replica_set,
        members = facts.members,
        "connected"
    );
    Ok(Ok(()))
}
