//! A database that takes encrypted connections from known users only, whose rights end at the masters' own
//! database.

use anyhow::Result;
use kontena_testkit::mongod::{Database, ReplicaSet, Settings};
use kontena_wire::cluster::Cluster;

use crate::fence::raise_over_an_open_transaction;
use crate::process::{acting, sees, start};
use crate::store::prepare;

const DATABASE: &str = "kontena_server";

async fn secured() -> Result<(ReplicaSet, Database)> {
    let set = ReplicaSet::start(Settings::members(1).secured_for(DATABASE)).await?;
    let database = Database { name: DATABASE.to_owned(), uri: set.uri(DATABASE) };
    Ok((set, database))
}

#[tokio::test]
async fn the_masters_need_no_rights_beyond_their_own_database() -> Result<()> {
    let (_set, database) = secured().await?;
    let mut first = start("first", &database).await?;
    let (_, term) = acting(&[&first], 1).await?;
    let second = start("second", &database).await?;
    first.kill()?;
    let released = first.release_lease()?;
    assert!(released.status.success(), "{}", String::from_utf8_lossy(&released.stderr));
    acting(&[&second], term + 1).await?;
    let crashed = |cluster: &Cluster| {
        cluster.history.first().and_then(|reign| reign.reason.as_deref()) == Some("crashed")
    };
    sees(&second, "the end of the first in the history", crashed).await?;
    Ok(())
}

#[tokio::test]
async fn a_user_may_end_the_sessions_of_the_leader_before_it() -> Result<()> {
    let (_set, database) = secured().await?;
    prepare(&database).await?;
    raise_over_an_open_transaction(&database, true).await
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_authority_are_told() -> Result<()> {
    let (_set, database) = secured().await?;
    let wrong = [
        (database.uri.replace("the-password", "not-the-password"), "uthentication failed"),
        (
            database.uri.replace("&tls=true", "").replace("&tlsCAFile", "&appName"),
            "the database does not answer",
        ),
    ];
    for (uri, expected) in wrong {
        let master = start("master", &Database { name: DATABASE.to_owned(), uri }).await?;
        let told = || master.log_tail().contains(expected);
        let deadline = std::time::Instant::now() + crate::store::LIMIT * 4;
        while !told() && std::time::Instant::now() < deadline {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        assert!(told(), "{}", master.log_tail());
        assert!(!master.log_tail().contains("the-password"), "{}", master.log_tail());
    }
    Ok(())
}
