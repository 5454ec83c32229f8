//! What a database must hold before anybody can log in: the roles, the local administrator, and the record of the
//! original's migrations, so that an original master would find nothing to do.
//!
//! On a database of the original everything is there, and nothing is written.

use std::time::Duration;

use kontena_core::access::{LOCAL_ADMIN, Role};
use kontena_core::token::last_four;
use mongodb::Database;
use mongodb::bson::{Document, doc};

use crate::access_tokens::{Minted, TOKENS};
use crate::client::Store;
use crate::command::Failure;
use crate::document::{Read, fresh};
use crate::effect::{Effect, Statement};
use crate::table::Table;
use crate::users::{ROLES, USERS};

const MIGRATIONS: &str = "schema_migrations";
/// The oldest whose data we read: the vault was written anew by it.
const OLDEST_READABLE: i64 = 31;
/// Those that a fresh installation of the original runs.
const ORIGINAL: [i64; 31] = [
    1, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30,
    31, 32, 33,
];

/// How far the original had migrated a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationState {
    /// No original master ever used it.
    Fresh,
    /// It can be used as it stands.
    Readable,
    /// An original master must migrate it first; its newest migration.
    TooOld(i64),
}

/// What is missing.
#[derive(Clone, Debug, Default)]
pub struct SeedPlan {
    roles: Vec<Document>,
    admin: Option<Document>,
    /// The administrator's role, whether it is missing too or not.
    admin_role: Option<mongodb::bson::oid::ObjectId>,
    migrations: Vec<i64>,
}

impl SeedPlan {
    /// Nothing is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { roles, admin, admin_role: _, migrations } = self;
        roles.is_empty() && admin.is_none() && migrations.is_empty()
    }

    /// Whether the administrator is to be made, who then needs a token that is got by a code.
    #[must_use]
    pub fn makes_admin(&self) -> bool {
        self.admin.is_some()
    }

    /// The writes. `code` is with what the administrator logs in for the first time, if that is known.
    #[must_use]
    pub fn effects(&self, code: Option<&str>, minted: &Minted) -> Vec<Effect> {
        let Self { roles, admin, admin_role, migrations } = self;
        let insert = |collection, document| Effect { collection, statement: Statement::Insert(document) };
        let mut effects: Vec<Effect> = roles.iter().map(|role| dated(ROLES, role.clone())).collect();
        if let (Some(admin), Some(role)) = (admin, admin_role) {
            let id = admin.get_object_id("_id").unwrap_or_default();
            effects.push(dated(USERS, admin.clone()));
            let member = doc! { "$addToSet": { "user_ids": id } };
            effects.push(Effect {
                collection: ROLES,
                statement: Statement::Update { filter: doc! { "_id": role }, change: member },
            });
            if let Some(code) = code {
                let token = doc! {
                    "_id": fresh(),
                    "token_type": "bearer",
                    "internal": true,
                    "expires_at": null,
                    "scopes": ["user", "owner"],
                    "description": null,
                    "user_id": id,
                    "token": minted.token_digest.as_str(),
                    "token_last_four": last_four(&minted.token),
                    "code": code,
                };
                effects.push(dated(TOKENS, token));
            }
        }
        let row =
            |version: &i64| doc! { "_id": fresh(), "version": i32::try_from(*version).unwrap_or(i32::MAX) };
        effects.extend(migrations.iter().map(|version| insert(MIGRATIONS, row(version))));
        effects
    }
}

/// An insert with the database's time.
fn dated(collection: &'static str, mut document: Document) -> Effect {
    let id = document.remove("_id");
    let pipeline = vec![doc! { "$replaceWith": { "$mergeObjects": [
        "$$ROOT", { "$literal": document }, { "updated_at": "$$NOW", "created_at": "$$NOW" },
    ] } }];
    Effect { collection, statement: Statement::Compute { filter: doc! { "_id": id }, pipeline } }
}

/// What must be there.
#[derive(Clone, Debug)]
pub struct Seed {
    database: Database,
}

impl Store {
    /// What must be there before anybody can log in.
    #[must_use]
    pub fn seed(&self) -> Seed {
        Seed { database: self.database().clone() }
    }
}

impl Seed {
    /// How far the original had migrated the database.
    pub async fn migrations(&self, limit: Duration) -> Result<MigrationState, Failure> {
        let newest = self
            .database
            .collection::<Document>(MIGRATIONS)
            .find_one(doc! {})
            .sort(doc! { "version": -1 })
            .max_time(limit)
            .await?;
        Ok(match newest.and_then(|row| row.whole("version")) {
            None => MigrationState::Fresh,
            Some(version) if version >= OLDEST_READABLE => MigrationState::Readable,
            Some(version) => MigrationState::TooOld(version),
        })
    }

    /// Looks at what is missing.
    pub async fn plan(&self) -> Result<SeedPlan, Failure> {
        let table = |name| Table::new(&self.database, name);
        let (roles, admin, migrations) = futures_util::try_join!(
            async { table(ROLES).all(doc! {}, doc! {}).await },
            async { table(USERS).one(doc! { "email": LOCAL_ADMIN }).await },
            async { table(MIGRATIONS).all(doc! {}, doc! {}).await },
        )?;
        let found =
            |role: Role| roles.iter().find(|row| row.text("name").is_some_and(|name| name == role.name()));
        let made = |role: Role| {
            doc! { "_id": fresh(), "name": role.name(), "description": role.description(), "user_ids": [] }
        };
        let missing: Vec<Document> =
            Role::ALL.into_iter().filter(|role| found(*role).is_none()).map(made).collect();
        let admin_role = found(Role::MasterAdmin)
            .or_else(|| {
                missing
                    .iter()
                    .find(|row| row.get_str("name").is_ok_and(|name| name == Role::MasterAdmin.name()))
            })
            .and_then(|row| row.get_object_id("_id").ok());
        // A database of the original without the local administrator had it removed on purpose.
        let new = admin.is_none() && migrations.is_empty();
        let admin = new.then(|| {
            doc! { "_id": fresh(), "email": LOCAL_ADMIN, "name": LOCAL_ADMIN, "role_ids": [admin_role], "grid_ids": [] }
        });
        let done: Vec<i64> = migrations.iter().filter_map(|row| row.whole("version")).collect();
        let migrations = ORIGINAL.into_iter().filter(|version| !done.contains(version)).collect();
        Ok(SeedPlan { roles: missing, admin, admin_role, migrations })
    }
}
