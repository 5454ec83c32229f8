//! Stacks and their deploys.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Named, Service, ServiceDeploy};

/// A stack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields of the contract, by their documented names")]
pub struct Stack {
    pub id: String,
    pub name: String,
    pub state: String,
    pub created_at: String,
    pub updated_at: Option<String>,
    pub stack: Option<String>,
    pub registry: Option<String>,
    pub version: Option<String>,
    pub revision: i64,
    pub expose: Option<String>,
    pub source: Option<String>,
    pub variables: Map<String, Value>,
    pub labels: Vec<String>,
    pub services: Vec<Service>,
    pub metadata: Map<String, Value>,
    pub parent: Option<StackParent>,
    pub children: Vec<Named>,
}

/// The stack that another one belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackParent {
    /// `grid/stack`; null if there is none of the name.
    pub id: Option<String>,
    /// The name.
    pub name: String,
}

/// Several stacks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stacks {
    /// The oldest first.
    pub stacks: Vec<Stack>,
}

/// A deploy of a stack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StackDeploy {
    /// Object id.
    pub id: String,
    /// `grid/stack`.
    pub stack_id: String,
    /// When.
    pub created_at: String,
    /// `created`, `ongoing`, `success` or `error`.
    pub state: String,
    /// The deploys of its services that have been asked for so far.
    pub service_deploys: Vec<ServiceDeploy>,
    /// What went wrong; what the original did not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
