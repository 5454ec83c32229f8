//! Who may do what. The roles and their rights are the original's.

use std::collections::BTreeSet;

use crate::id::Id;

/// The user who is administrator without having the role.
pub const LOCAL_ADMIN: &str = "admin";

/// What a user was granted beyond the membership of grids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Everything, on all grids.
    MasterAdmin,
    /// To list, invite and remove users, and to assign them to the own grids.
    UserAdmin,
    /// To change the own grids, their users and node tokens.
    GridAdmin,
}

impl Role {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::MasterAdmin, Self::GridAdmin, Self::UserAdmin];

    /// As it is stored and sent.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::MasterAdmin => "master_admin",
            Self::UserAdmin => "user_admin",
            Self::GridAdmin => "grid_admin",
        }
    }

    /// For people.
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Self::MasterAdmin => "Master admin",
            Self::UserAdmin => "Invite and remove users",
            Self::GridAdmin => "Grid admin",
        }
    }

    /// From what is stored.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// What a decision needs to know of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The user.
    pub id: Id,
    /// Its name for the login.
    pub email: String,
    /// What it was granted.
    pub roles: BTreeSet<Role>,
    /// The grids it is a member of.
    pub grids: BTreeSet<Id>,
}

impl Actor {
    /// Whether it may do everything.
    #[must_use]
    pub fn is_master_admin(&self) -> bool {
        self.roles.contains(&Role::MasterAdmin) || self.email == LOCAL_ADMIN
    }

    fn is_user_admin(&self) -> bool {
        self.is_master_admin() || self.roles.contains(&Role::UserAdmin)
    }

    fn is_grid_admin(&self, grid: Id) -> bool {
        self.roles.contains(&Role::GridAdmin) && self.grids.contains(&grid)
    }

    /// Whether it sees a grid and what is in it.
    #[must_use]
    pub fn may_access(&self, grid: Id) -> bool {
        self.is_master_admin() || self.grids.contains(&grid)
    }

    /// Whether it may create and delete grids, grant roles, and change the configuration.
    #[must_use]
    pub fn may_administrate(&self) -> bool {
        self.is_master_admin()
    }

    /// Whether it may change a grid, and create nodes and read their tokens in it.
    #[must_use]
    pub fn may_update(&self, grid: Id) -> bool {
        self.is_master_admin() || self.is_grid_admin(grid)
    }

    /// Whether it may make others members of a grid, or end their membership.
    #[must_use]
    pub fn may_assign(&self, grid: Id) -> bool {
        self.may_access(grid) && (self.is_user_admin() || self.is_grid_admin(grid))
    }

    /// Whether it may list, invite and remove users.
    #[must_use]
    pub fn may_manage_users(&self) -> bool {
        self.is_user_admin()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Id = Id::from_bytes([1; 12]);
    const OTHER: Id = Id::from_bytes([2; 12]);

    fn actor(email: &str, roles: &[Role]) -> Actor {
        let (id, roles) = (Id::from_bytes([9; 12]), roles.iter().copied().collect());
        Actor { id, email: email.to_owned(), roles, grids: BTreeSet::from([OWN]) }
    }

    /// Access, update and assign on the own and another grid, then administrate and manage users.
    fn rights(actor: &Actor) -> [bool; 8] {
        [
            actor.may_access(OWN),
            actor.may_update(OWN),
            actor.may_assign(OWN),
            actor.may_access(OTHER),
            actor.may_update(OTHER),
            actor.may_assign(OTHER),
            actor.may_administrate(),
            actor.may_manage_users(),
        ]
    }

    #[test]
    fn each_role_has_its_rights_and_no_other() {
        let (yes, no) = (true, false);
        let table: [(&str, &[Role], [bool; 8]); 6] = [
            ("u@x.y", &[], [yes, no, no, no, no, no, no, no]),
            ("u@x.y", &[Role::GridAdmin], [yes, yes, yes, no, no, no, no, no]),
            ("u@x.y", &[Role::UserAdmin], [yes, no, yes, no, no, no, no, yes]),
            ("u@x.y", &[Role::GridAdmin, Role::UserAdmin], [yes, yes, yes, no, no, no, no, yes]),
            ("u@x.y", &[Role::MasterAdmin], [yes; 8]),
            ("admin", &[], [yes; 8]),
        ];
        for (email, roles, expected) in table {
            assert_eq!(rights(&actor(email, roles)), expected, "{email} {roles:?}");
        }
    }
}
