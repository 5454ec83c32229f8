//! What clients may ask for, resource by resource: the fields of each request, and the rules that can be judged
//! without looking at the database.

mod certificate;
mod domain;
mod grid;
mod node;
mod registry;
mod secret;
mod service;
mod stack;
mod volume;

pub use certificate::CertificateImport;
pub use domain::{CertificateRequest, DomainAuthorizationRequest, Registration, SecretCertificateRequest};
pub use grid::{GridChange, LogForwarding, NewGrid, Statsd};
pub use node::{NewNode, NodeChange, NodeToken};
pub use registry::NewRegistry;
pub use secret::{NewSecret, SecretChange};
pub use service::{
    CertificateUse, DeployOptions, ENV_MAX, HealthCheckInput, HookInput, LinkInput, MountInput, NewService,
    PortInput, Scale, SecretUse, ServiceChange, ServiceFields,
};
pub use stack::{NewStack, StackChange, StackDefinition, StackLabels, StackVolume};
pub use volume::NewVolume;

/// Letters, digits, `_` and `-`.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// The same, not starting with `-`, which programs would take for an option.
fn is_strict_name(text: &str) -> bool {
    is_name(text) && !text.starts_with('-')
}
