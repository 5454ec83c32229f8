//! The recorded database of the original, used as it stands; and one with every variant that the original left
//! behind over the years.

mod extended_json;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use futures_util::TryStreamExt;
use kontena_core::token::OriginalSalt;
use kontena_core::vault::Vault;
use kontena_testkit::mongod::shared;
use mongodb::bson::{Bson, DateTime, Document, doc, oid::ObjectId};
use mongodb::options::IndexOptions;
use mongodb::{Database, IndexModel};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::{Request, VAULT_IV, VAULT_KEY, World};

pub(crate) const ADMIN: &str = "eda6402ffba41c40b496f9c25dc89d3e871b23c1a140edaeaaa095fd8c66eb5a";
const REFRESH: &str = "3a1ccb4ef9b47bc501d0bfd2a3ad36d0818d19c522a40cfbb9c82ec89047981663ad79e7aff17ed3da542202a9d5261bd3e8a718a54cb07c1686afef41140343";

/// What the original keeps in ring buffers.
const CAPPED: [&str; 3] = ["container_logs", "event_logs", "host_node_stats"];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/database")
}

/// The recorded documents, by collection.
pub(crate) fn recorded_documents() -> Result<BTreeMap<String, Vec<Document>>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(fixtures())? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "jsonl") {
            continue;
        }
        let name = path.file_stem().and_then(|name| name.to_str()).context("a name")?;
        let rows = fs::read_to_string(&path)?;
        all.insert(name.to_owned(), rows.lines().map(extended_json::document).collect::<Result<_>>()?);
    }
    Ok(all)
}

/// Puts the recorded documents into a database, with the recorded indexes.
async fn restore(database: &Database) -> Result<()> {
    for (name, rows) in recorded_documents()? {
        if CAPPED.contains(&name.as_str()) {
            database.create_collection(&name).capped(true).size(1 << 24).await?;
        }
        database.collection::<Document>(&name).insert_many(rows).await?;
    }
    make_indexes(database).await
}

/// Makes the recorded indexes, as the original does whenever it starts.
pub(crate) async fn make_indexes(database: &Database) -> Result<()> {
    let indexes: BTreeMap<String, Vec<Value>> =
        serde_json::from_str(&fs::read_to_string(fixtures().join("indexes.json"))?)?;
    for (collection, indexes) in indexes {
        for index in indexes.iter().filter(|index| index["name"] != "_id_") {
            let Bson::Document(mut index) = extended_json::value(index)? else { continue };
            // The recorded dates have passed or are to come: nothing may be removed while the test runs.
            if index.contains_key("expireAfterSeconds") && collection == "authorization_requests" {
                continue;
            }
            index.remove("v");
            database.run_command(doc! { "createIndexes": &collection, "indexes": [index] }).await?;
        }
    }
    Ok(())
}

/// All documents of a database, by collection.
pub(crate) async fn dump(database: &Database) -> Result<BTreeMap<String, Vec<Document>>> {
    let mut all = BTreeMap::new();
    for name in database.list_collection_names().await? {
        let rows = database.collection::<Document>(&name).find(doc! {}).sort(doc! { "_id": 1 }).await?;
        all.insert(name, rows.try_collect().await?);
    }
    Ok(all)
}

async fn taken_over(
    prepare: impl AsyncFn(&Database) -> Result<()>,
) -> Result<(World, BTreeMap<String, Vec<Document>>)> {
    let mut world = World::on(shared().await?.database(), 0).await?;
    prepare(world.outside()).await?;
    let before = dump(world.outside()).await?;
    world.join("heir").await?;
    world.acting().await?;
    Ok((world, before))
}

/// Restores the recorded database as if its services had been deployed just now: otherwise the leader would at once do
/// what their intervals want.
pub(crate) async fn restore_deployed(database: &Database) -> Result<()> {
    restore(database).await?;
    let later = DateTime::from_millis(DateTime::now().timestamp_millis() + 86_400_000);
    let deployed = doc! { "$set": { "deployed_at": later } };
    database.collection::<Document>("grid_services").update_many(doc! {}, deployed).await?;
    Ok(())
}

/// The recorded database with a master on it.
pub(crate) async fn recorded() -> Result<World> {
    Ok(taken_over(restore_deployed).await?.0)
}

/// Without what the leader's duties tell and note beside what was there.
fn without_duties(mut rows: Vec<Document>, before: &[Document]) -> Vec<Document> {
    let told = |row: &Document| {
        row.get_str("type").is_ok_and(|kind| ["scheduler", "certificate:expiry"].contains(&kind))
    };
    rows.retain(|row| before.contains(row) || !told(row));
    for row in &mut rows {
        row.remove("expiry_told_at");
    }
    rows
}

#[tokio::test]
async fn a_database_of_the_original_is_used_as_it_stands() -> Result<()> {
    let restored = async |database: &Database| {
        restore_deployed(database).await?;
        // When the database was saved one instance was about to be made, which the leader would do now.
        let one = async |collection: &str, name: &str| {
            let found = database.collection::<Document>(collection).find_one(doc! { "name": name }).await?;
            found.with_context(|| name.to_owned())?.get_object_id("_id").map_err(anyhow::Error::from)
        };
        let instance = doc! {
            "grid_service_id": one("grid_services", "worker").await?, "instance_number": 1,
            "host_node_id": one("host_nodes", "core-1").await?, "desired_state": "running", "state": "running",
        };
        database.collection::<Document>("grid_service_instances").insert_one(instance).await?;
        Ok(())
    };
    let (world, before) = taken_over(restored).await?;
    let get = |path: &str| world.ask(Request::new(Method::GET, path).token(ADMIN));
    let user = get("/v1/user").await?;
    assert_eq!((user.status, &user.json()["email"]), (StatusCode::OK, &json!("admin")), "{}", user.text);
    let grids = get("/v1/grids").await?.json();
    let counts: Vec<_> = grids["grids"]
        .as_array()
        .context("grids")?
        .iter()
        .map(|grid| (grid["name"].as_str(), grid["node_count"].as_i64(), grid["service_count"].as_i64()))
        .collect();
    assert_eq!(counts[0], (Some("main"), Some(2), Some(7)));
    for (name, value) in [
        ("multi", "line one\nline two äö€"),
        ("from-stdin", "piped value"),
        ("imported-two", "line1\nline2"),
        ("api-secret", "via-api-2"),
        ("shop-db-password", "MYsMotGj4pBXoxpa"),
    ] {
        assert_eq!(get(&format!("/v1/secrets/main/{name}")).await?.json()["value"], value, "{name}");
    }
    assert_eq!(get("/v1/config/oauth2.client_secret").await?.json()["oauth2.client_secret"], "csecret");
    let exported = get("/v1/certificates/main/shop.example.com/export").await?.json();
    assert!(
        exported["private_key"].as_str().is_some_and(|key| key.starts_with("-----BEGIN RSA PRIVATE KEY"))
    );
    assert!(
        get("/v1/grids/main/event_logs?limit=5").await?.json()["logs"]
            .as_array()
            .is_some_and(|logs| logs.len() == 5)
    );
    assert!(
        get("/v1/audit_logs?limit=5").await?.json()["logs"].as_array().is_some_and(|logs| logs.len() == 5)
    );
    let volumes = get("/v1/volumes/main").await?.json();
    assert_eq!(volumes["volumes"][0]["instances"][0]["node"], "core-1", "{volumes}");
    assert_eq!(get("/v1/nodes/main/core-1").await?.status, StatusCode::OK);

    // Reading and starting changed nothing of the original's but what reading itself notes.
    let after = dump(world.outside()).await?;
    for (name, rows) in &before {
        // Sessions of the original's master have ended with it: nodes and their containers are told so.
        let skipped =
            ["distributed_locks", "audit_logs", "authorization_requests", "containers", "host_nodes"]
                .contains(&name.as_str());
        let kept = after.get(name).cloned().map(|after| without_duties(after, rows));
        let new = kept.iter().flatten().filter(|row| !rows.contains(row)).collect::<Vec<_>>();
        assert!(skipped || kept.as_ref() == Some(rows), "{name} has changed: {new:?}");
    }
    assert_eq!(after["audit_logs"].len(), before["audit_logs"].len() + 6);

    let refresh = json!({ "grant_type": "refresh_token", "refresh_token": REFRESH });
    let once = world.ask(Request::new(Method::POST, "/oauth2/token").json(&refresh)).await?;
    assert_eq!(once.status, StatusCode::CREATED, "{}", once.text);
    assert_eq!(
        world.ask(Request::new(Method::POST, "/oauth2/token").json(&refresh)).await?.status,
        StatusCode::NOT_FOUND
    );
    let ended = Request::new(Method::DELETE, format!("/oauth2/tokens/{ADMIN}")).token(ADMIN);
    assert_eq!(world.ask(ended).await?.status, StatusCode::CREATED);
    assert_eq!(get("/v1/user").await?.status, StatusCode::FORBIDDEN, "an old token can be ended too");
    Ok(())
}

const OLD_SALT: &str = "$2a$10$abcdefghijklmnopqrstuu";
const OLD_TOKEN: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A database as it can be after years: upgraded, hand-made in places, with duplicates that the original let in.
async fn aged(database: &Database) -> Result<()> {
    let vault = Vault::new(VAULT_KEY.as_bytes(), Some(VAULT_IV.as_bytes()));
    let insert = async |name: &str, rows: Vec<Document>| {
        database.collection::<Document>(name).insert_many(rows).await?;
        Ok::<_, anyhow::Error>(())
    };
    let (user, lone, role, grid, node) =
        (ObjectId::new(), ObjectId::new(), ObjectId::new(), ObjectId::new(), ObjectId::new());
    insert(
        "schema_migrations",
        [1, 5, 20, 31].map(|version| doc! { "version": i64::from(version) }).to_vec(),
    )
    .await?;
    insert("roles", vec![doc! { "_id": role, "name": "master_admin", "description": "Master admin" }])
        .await?;
    // Arrays of the relation absent on one side, null on the other.
    insert(
        "users",
        vec![
            doc! { "_id": user, "email": "root@example.com", "role_ids": [role], "external_id": null },
            doc! { "_id": lone, "email": "lone@example.com", "name": "Lone", "grid_ids": null },
        ],
    )
    .await?;
    let salt = OriginalSalt::parse(OLD_SALT).context("a salt")?;
    let digest = salt.digest(OLD_TOKEN).context("a digest")?;
    insert(
        "access_tokens",
        vec![doc! {
            "token_type": "bearer", "internal": true, "scopes": ["user"], "user_id": user, "token": digest.as_str(),
            // Neither expires_at nor deleted_at.
        }],
    )
    .await?;
    let inner = vault.encrypt(OLD_SALT, [7; 16]);
    insert(
        "configurations",
        vec![
            doc! { "key": "server.salt", "value": { "v": vault.encrypt(&inner, [9; 16]) } },
            doc! { "key": "oauth2.client_id", "value": { "v": 4711 } },
            doc! { "key": "server.name", "value": { "v": "aged" } },
        ],
    )
    .await?;
    insert(
        "grids",
        vec![doc! {
            "_id": grid, "name": "old", "token": "t", "initial_size": 3.0, "user_ids": [user],
            "stats": { "statsd": { "server": "s", "port": "8125" } }, "grid_logs_opts": null,
        }],
    )
    .await?;
    let at = DateTime::from_millis(1_500_000_000_000);
    let secret = |name: &str, value: &str| doc! { "grid_id": grid, "name": name, "encrypted_value": vault.encrypt(value, [3; 16]), "created_at": at, "updated_at": at };
    // The same name twice: the original only looked before it inserted.
    insert("grid_secrets", vec![secret("twice", "first"), secret("twice", "second"), secret("once", "x")])
        .await?;
    insert(
        "host_nodes",
        vec![
            // No availability, a cleared token as null, zero time, integers as doubles.
            doc! { "_id": node, "grid_id": grid, "name": "n1", "node_number": 1.0, "token": null, "connected_at": DateTime::from_millis(-62_135_596_800_000), "cpus": 4.0, "labels": null },
            doc! { "grid_id": grid, "name": "n2", "node_number": 2_i64, "node_id": "A:B" },
        ],
    )
    .await?;
    let state = |domain: &str, state: Bson| doc! { "grid_id": grid, "domain": domain, "_state": state };
    insert(
        "grid_domain_authorizations",
        vec![
            state("symbol.example.com", Bson::Symbol("validated".into())),
            state("string.example.com", Bson::String("validated".into())),
        ],
    )
    .await?;
    insert("certificates", vec![doc! { "grid_id": grid, "subject": "a.example.com", "alt_names": null, "chain": null, "valid_until": at, "certificate": "pem", "encrypted_private_key": vault.encrypt("key", [5; 16]) }]).await?;
    insert("volumes", vec![doc! { "grid_id": grid, "name": "v", "scope": "grid", "driver": "local", "driver_opts": { "a|b": "c" } }]).await?;
    // An index of another kind under the name that we want.
    let options = IndexOptions::builder().name("grid_id_1_name_1".to_owned()).build();
    let index = IndexModel::builder().keys(doc! { "grid_id": 1, "name": 1 }).options(options).build();
    database.collection::<Document>("volumes").create_index(index).await?;
    Ok(())
}

#[tokio::test]
async fn every_variant_that_years_leave_behind_is_read_and_kept() -> Result<()> {
    let (world, before) = taken_over(async |database| aged(database).await).await?;
    let get = |path: &str| world.ask(Request::new(Method::GET, path).token(OLD_TOKEN));
    let user = get("/v1/user").await?;
    assert_eq!(user.json()["email"], "root@example.com", "{}", user.text);
    let grids = get("/v1/grids").await?.json();
    assert_eq!(grids["grids"][0]["stats"]["statsd"]["port"], 8125, "{grids}");
    assert_eq!(grids["grids"][0]["initial_size"], 3);
    assert_eq!(grids["grids"][0]["subnet"], "10.81.0.0/16");
    let nodes = get("/v1/grids/old/nodes").await?.json();
    assert_eq!(nodes["nodes"][0]["connected_at"], "0001-01-01T00:00:00.000Z", "{nodes}");
    assert_eq!(
        (&nodes["nodes"][0]["has_token"], &nodes["nodes"][0]["availability"]),
        (&json!(false), &json!("active"))
    );
    assert_eq!(nodes["nodes"][1]["status"], "offline");
    assert_eq!(get("/v1/nodes/old/A:B").await?.json()["name"], "n2");
    let domains = get("/v1/grids/old/domain_authorizations").await?.json();
    let states: Vec<_> = domains["domain_authorizations"]
        .as_array()
        .context("list")?
        .iter()
        .map(|row| row["status"].as_str())
        .collect();
    assert_eq!(states, [Some("validated"), Some("validated")]);
    assert_eq!(get("/v1/certificates/old/a.example.com").await?.json()["alt_names"], Value::Null);
    assert_eq!(get("/v1/certificates/old/a.example.com/export").await?.json()["private_key"], "key");
    assert_eq!(get("/v1/volumes/old/v").await?.json()["driver_opts"], json!({ "a.b": "c" }));
    assert_eq!(get("/v1/secrets/old/twice").await?.json()["value"], "first", "the oldest of duplicates");
    assert_eq!(get("/v1/config/oauth2.client_id").await?.json()["oauth2.client_id"], 4711);

    // Without the unique index names are guarded by looking; clearing a second token does not collide.
    let post =
        |path: &str, body: Value| world.ask(Request::new(Method::POST, path).token(OLD_TOKEN).json(&body));
    assert_eq!(
        post("/v1/grids/old/secrets", json!({ "name": "twice", "value": "v" })).await?.status,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    assert_eq!(
        post("/v1/grids/old/secrets", json!({ "name": "new", "value": "v" })).await?.status,
        StatusCode::CREATED
    );
    let cleared = Request::new(Method::DELETE, "/v1/nodes/old/n2/token").token(OLD_TOKEN);
    assert_eq!(world.ask(cleared).await?.status, StatusCode::OK);
    let log = fs::read_to_string(world.masters[0].log_file())?;
    assert!(log.contains("an index cannot be made"), "the duplicates are told of");

    // Seeding added what was missing, and changed nothing that was there.
    let after = dump(world.outside()).await?;
    assert!(
        after["users"].iter().all(|row| !row.get_str("email").is_ok_and(|email| email == "admin")),
        "nobody was made administrator"
    );
    for name in ["users", "grids", "certificates", "volumes", "grid_domain_authorizations", "access_tokens"] {
        assert_eq!(without_duties(after[name].clone(), &before[name]), before[name], "{name}");
    }
    assert_eq!(after["roles"].len(), 3);
    Ok(())
}

#[tokio::test]
async fn a_database_that_an_original_must_migrate_first_is_refused_with_what_to_do() -> Result<()> {
    let mut world = World::on(shared().await?.database(), 0).await?;
    world.collection("schema_migrations").insert_one(doc! { "version": 28 }).await?;
    world.join("early").await?;
    let reasons = world.not_ready().await?;
    assert!(reasons.contains("migration is 28") && reasons.contains("1.5.4"), "{reasons}");
    Ok(())
}
