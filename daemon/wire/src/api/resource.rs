//! Secrets, registries, volumes, certificates.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A service by its path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceId {
    /// `grid/stack/service`.
    pub id: String,
}

/// A service, stack or grid by path and name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// `grid/stack/service`.
    pub id: String,
    /// The last part of it.
    pub name: String,
}

/// A secret with its value.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// `grid/name`.
    pub id: String,
    /// Unique in its grid.
    pub name: String,
    /// When.
    pub created_at: String,
    /// The secret itself.
    pub value: String,
    /// Who uses it.
    pub services: Vec<Named>,
}

/// A secret in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretSummary {
    /// `grid/name`.
    pub id: String,
    /// Unique in its grid.
    pub name: String,
    /// When.
    pub created_at: String,
    /// The same text as above until it is changed.
    pub updated_at: String,
    /// Who uses it.
    pub services: Vec<Named>,
}

/// Several secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secrets {
    /// The oldest first.
    pub secrets: Vec<SecretSummary>,
}

/// Credentials for an image registry, without the password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registry {
    /// `grid/name`.
    pub id: String,
    /// Host, with an unusual port.
    pub name: String,
    /// As given.
    pub url: String,
    /// Who logs in.
    pub username: String,
    /// What old registries ask for.
    pub email: Option<String>,
}

/// Several registries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registries {
    /// The oldest first.
    pub external_registries: Vec<Registry>,
}

/// A volume.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Volume {
    /// When.
    pub created_at: String,
    /// When.
    pub updated_at: String,
    /// `grid/name`.
    pub id: String,
    /// Unique in its grid.
    pub name: String,
    /// `instance`, `stack` or `grid`.
    pub scope: String,
    /// Of the engine.
    pub driver: String,
    /// Of the driver.
    pub driver_opts: Map<String, Value>,
    /// Where it is.
    pub instances: Vec<VolumeInstance>,
    /// Who uses it.
    pub services: Vec<ServiceId>,
}

/// A volume on a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeInstance {
    /// The node's name.
    pub node: String,
    /// The engine's name for it.
    pub name: String,
}

/// Several volumes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Volumes {
    /// The oldest first.
    pub volumes: Vec<Volume>,
}

/// A certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// `grid/subject`.
    pub id: String,
    /// The first domain.
    pub subject: String,
    /// When it expires.
    pub valid_until: String,
    /// Further domains.
    pub alt_names: Option<Vec<String>>,
    /// Whether the master renews it.
    pub auto_renewable: bool,
}

/// Several certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificates {
    /// The oldest first.
    pub certificates: Vec<Certificate>,
}

/// A certificate with its key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateExport {
    /// `grid/subject`.
    pub id: String,
    /// The first domain.
    pub subject: String,
    /// PEM.
    pub certificate: String,
    /// PEM of the issuers.
    pub chain: String,
    /// PEM.
    pub private_key: String,
}

/// A domain that is, or shall be, proven to be the grid's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DomainAuthorization {
    /// `grid/domain`.
    pub id: String,
    /// Which.
    pub domain: String,
    /// How far it is.
    pub status: String,
    /// What the authority asks for.
    pub challenge: Option<Map<String, Value>>,
    /// How it is answered.
    pub challenge_opts: Option<Map<String, Value>>,
    /// `dns-01`, `http-01` or `tls-sni-01`.
    pub authorization_type: String,
    /// When.
    pub expires_at: Option<String>,
    /// Who answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linked_service: Option<ServiceId>,
}

/// Several domain authorizations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DomainAuthorizations {
    /// The oldest first.
    pub domain_authorizations: Vec<DomainAuthorization>,
}
