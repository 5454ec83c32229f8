//! `users` and `roles`, and the membership of grids, which is noted on both sides.

use std::collections::BTreeSet;

use kontena_core::access::{Actor, Role};
use kontena_core::id::Id;
use kontena_core::login::{Identity, Invitation};
use mongodb::bson::{Document, doc};

use crate::access_tokens::TOKENS;
use crate::client::Store;
use crate::command::Failure;
use crate::document::{Read, oid};
use crate::grids::GRIDS;
use crate::table::Table;
use crate::transaction::{Outcome, Write};

pub(crate) const USERS: &str = "users";
pub(crate) const ROLES: &str = "roles";

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRow {
    /// What decisions need.
    pub actor: Actor,
    /// For people.
    pub name: Option<String>,
    /// The user at the external provider.
    pub external_id: Option<String>,
}

impl UserRow {
    /// The user's id.
    #[must_use]
    pub fn id(&self) -> Id {
        self.actor.id
    }
}

/// How the granting of a role went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Granted {
    /// It is as wanted now.
    Done,
    /// The user or the role is gone.
    Missing,
    /// Nobody else has the role.
    LastHolder,
}

/// How the end of a membership went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unassigned {
    /// The user is no member any more.
    Done,
    /// The user was none.
    NoMember,
    /// The grid has no other.
    LastMember,
}

/// The collections.
#[derive(Clone, Debug)]
pub struct Users {
    store: Store,
    rows: Table,
    roles: Table,
}

impl Store {
    /// Users and their roles.
    #[must_use]
    pub fn users(&self) -> Users {
        let table = |name| Table::new(self.database(), name);
        Users { store: self.clone(), rows: table(USERS), roles: table(ROLES) }
    }
}

impl Users {
    /// All users, the oldest first.
    pub async fn all(&self) -> Result<Vec<UserRow>, Failure> {
        self.with_roles(self.rows.all(doc! {}, doc! { "_id": 1 }).await?).await
    }

    /// The members of a grid, the oldest first.
    pub async fn of_grid(&self, members: &[Id]) -> Result<Vec<UserRow>, Failure> {
        let ids: Vec<_> = members.iter().copied().map(oid).collect();
        self.with_roles(self.rows.all(doc! { "_id": { "$in": ids } }, doc! { "_id": 1 }).await?).await
    }

    /// A user by its id.
    pub async fn by_id(&self, id: Id) -> Result<Option<UserRow>, Failure> {
        self.first(doc! { "_id": oid(id) }).await
    }

    /// A user by its email.
    pub async fn by_email(&self, email: &str) -> Result<Option<UserRow>, Failure> {
        self.first(doc! { "email": email }).await
    }

    /// A user by the code it was invited with.
    pub async fn by_invite_code(&self, code: &str) -> Result<Option<UserRow>, Failure> {
        self.first(doc! { "invite_code": code }).await
    }

    /// The user that the provider knows by this name, else by this email.
    pub async fn by_identity(&self, identity: &Identity) -> Result<Option<UserRow>, Failure> {
        if let Some(id) = &identity.id
            && let Some(found) = self.first(doc! { "external_id": id }).await?
        {
            return Ok(Some(found));
        }
        match &identity.email {
            Some(email) => self.by_email(email).await,
            None => Ok(None),
        }
    }

    /// Gives a user a code to join with; makes the user if there is none like it. Whether `by` may: who has the code can
    /// log in as that user, so only a master administrator invites another.
    pub async fn invite(&self, invitation: &Invitation, code: &str, by: &Actor) -> Result<bool, Failure> {
        let Invitation { email, external_id, name } = invitation;
        for (key, value) in [("external_id", external_id), ("name", name), ("email", &Some(email.clone()))] {
            if let Some(value) = value
                && let Some(allowed) = self.invite_known(doc! { key: value }, code, by).await?
            {
                return Ok(allowed);
            }
        }
        let fields = doc! { "email": email, "external_id": external_id, "name": name, "invite_code": code };
        match self.rows.insert(fields).await {
            // Another master was faster.
            Err(Failure::Duplicate) => {
                Ok(self.invite_known(doc! { "email": email }, code, by).await?.unwrap_or(false))
            }
            made => made.map(|_| true),
        }
    }

    /// Gives a user that is there a code. Whether `by` may; `None` if there is none.
    async fn invite_known(&self, like: Document, code: &str, by: &Actor) -> Result<Option<bool>, Failure> {
        let Some(found) = self.first(like).await? else { return Ok(None) };
        let mut same = doc! { "_id": oid(found.id()) };
        if !by.may_administrate() {
            if found.actor.is_master_admin() {
                return Ok(Some(false));
            }
            // Who becomes one in this moment gets no code either.
            if let Some(role) = self.role(Role::MasterAdmin).await? {
                same.insert("role_ids", doc! { "$ne": oid(role) });
            }
        }
        let given = self.rows.change(same, doc! { "$set": { "invite_code": code } }).await?;
        Ok(given.map(|_| true))
    }

    /// Notes what the provider told of a user who logged in: the invitation is used, and what was open is filled in.
    pub async fn logged_in(&self, user: &UserRow, identity: &Identity) -> Result<(), Failure> {
        let mut set = Document::new();
        if let Some(id) = &identity.id {
            set.insert("external_id", id);
        }
        if let (None, Some(name)) = (&user.name, &identity.username) {
            set.insert("name", name);
        }
        if let (true, Some(email)) = (user.actor.email.is_empty(), &identity.email) {
            set.insert("email", email);
        }
        let mut change = doc! { "$unset": { "invite_code": "" } };
        if !set.is_empty() {
            change.insert("$set", set);
        }
        self.rows.change(doc! { "_id": oid(user.id()) }, change).await?;
        Ok(())
    }

    /// Forgets how all users are known to the provider, since another one is configured.
    pub async fn forget_external_ids(&self) -> Result<(), Failure> {
        // Comparisons find values of the same type only: nothing is greater than null.
        let known = doc! { "external_id": { "$type": "string" } };
        self.rows.change_all(known, doc! { "$unset": { "external_id": "" } }).await?;
        Ok(())
    }

    /// Removes a user with its tokens, memberships and roles. Whether there was one.
    pub async fn remove(&self, user: Id) -> Result<bool, Failure> {
        let user = oid(user);
        let pull = doc! { "$pull": { "user_ids": user } };
        let writes = [
            Write::Remove { collection: USERS, filter: doc! { "_id": user } },
            Write::RemoveAll { collection: TOKENS, filter: doc! { "user_id": user } },
            Write::ChangeAll { collection: GRIDS, filter: doc! { "user_ids": user }, change: pull.clone() },
            Write::ChangeAll { collection: ROLES, filter: doc! { "user_ids": user }, change: pull },
        ];
        Ok(self.store.transact(&writes).await? == Outcome::Done)
    }

    /// Grants a role.
    pub async fn grant(&self, user: Id, role: Role) -> Result<Granted, Failure> {
        let Some(role) = self.role(role).await? else { return Ok(Granted::Missing) };
        let (user, role) = (oid(user), oid(role));
        let writes = [
            membership(USERS, doc! { "_id": user }, doc! { "$addToSet": { "role_ids": role } }),
            membership(ROLES, doc! { "_id": role }, doc! { "$addToSet": { "user_ids": user } }),
        ];
        Ok(match self.store.transact(&writes).await? {
            Outcome::Done => Granted::Done,
            Outcome::Unmatched => Granted::Missing,
        })
    }

    /// Takes a role away. The last master administrator keeps it.
    pub async fn revoke(&self, user: Id, role: Role) -> Result<Granted, Failure> {
        let Some(found) = self.role(role).await? else { return Ok(Granted::Missing) };
        let (user, found) = (oid(user), oid(found));
        let mut holders = doc! { "_id": found };
        if role == Role::MasterAdmin {
            holders.insert("user_ids.1", doc! { "$exists": true });
        }
        let writes = [
            membership(USERS, doc! { "_id": user }, doc! { "$pull": { "role_ids": found } }),
            membership(ROLES, holders, doc! { "$pull": { "user_ids": user } }),
        ];
        Ok(match self.store.transact(&writes).await? {
            Outcome::Done => Granted::Done,
            Outcome::Unmatched if self.by_id(Id::from_bytes(user.bytes())).await?.is_none() => {
                Granted::Missing
            }
            Outcome::Unmatched => Granted::LastHolder,
        })
    }

    /// Makes a user a member of a grid. Whether both are there.
    pub async fn assign(&self, user: Id, grid: Id) -> Result<bool, Failure> {
        let (user, grid) = (oid(user), oid(grid));
        let writes = [
            membership(GRIDS, doc! { "_id": grid }, doc! { "$addToSet": { "user_ids": user } }),
            membership(USERS, doc! { "_id": user }, doc! { "$addToSet": { "grid_ids": grid } }),
        ];
        Ok(self.store.transact(&writes).await? == Outcome::Done)
    }

    /// Ends the membership of a user in a grid that has others.
    pub async fn unassign(&self, user: Id, grid: Id) -> Result<Unassigned, Failure> {
        let (user, grid) = (oid(user), oid(grid));
        let shared = doc! { "_id": grid, "user_ids": user, "user_ids.1": { "$exists": true } };
        let writes = [
            membership(GRIDS, shared, doc! { "$pull": { "user_ids": user } }),
            membership(USERS, doc! { "_id": user }, doc! { "$pull": { "grid_ids": grid } }),
        ];
        if self.store.transact(&writes).await? == Outcome::Done {
            return Ok(Unassigned::Done);
        }
        let grids = Table::new(self.store.database(), GRIDS);
        let member = grids.one(doc! { "_id": grid, "user_ids": user }).await?;
        Ok(if member.is_some() { Unassigned::LastMember } else { Unassigned::NoMember })
    }

    async fn role(&self, role: Role) -> Result<Option<Id>, Failure> {
        Ok(self.roles.one(doc! { "name": role.name() }).await?.and_then(|role| role.id("_id")))
    }

    async fn first(&self, filter: Document) -> Result<Option<UserRow>, Failure> {
        let found = self.rows.one(filter).await?.into_iter().collect();
        Ok(self.with_roles(found).await?.pop())
    }

    async fn with_roles(&self, users: Vec<Document>) -> Result<Vec<UserRow>, Failure> {
        // There are three.
        let roles = if users.is_empty() { Vec::new() } else { self.roles.all(doc! {}, doc! {}).await? };
        users.iter().map(|user| parse(user, &roles)).collect()
    }
}

fn membership(collection: &'static str, filter: Document, mut change: Document) -> Write {
    change.insert("$currentDate", doc! { "updated_at": true });
    Write::Change { collection, filter, change }
}

pub(crate) fn parse(user: &Document, roles: &[Document]) -> Result<UserRow, Failure> {
    let held = user.ids("role_ids");
    let roles: BTreeSet<Role> = roles
        .iter()
        .filter(|role| role.id("_id").is_some_and(|id| held.contains(&id)))
        .filter_map(|role| Role::from_name(role.get_str("name").ok()?))
        .collect();
    let actor = Actor {
        id: user.own_id()?,
        email: user.text_or_empty("email"),
        roles,
        grids: user.ids("grid_ids").into_iter().collect(),
    };
    Ok(UserRow { actor, name: user.text("name"), external_id: user.text("external_id") })
}
