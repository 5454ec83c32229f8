//! What a replica set needs to take encrypted connections from known users only: keys, certificates, and the
//! administrator that makes the other users.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use mongodb::bson::{Document, doc};
use mongodb::options::{ClientOptions, Credential, Tls, TlsOptions};

use crate::tls::{Authority, Issued};

/// The first user of a set, which may do everything.
const ADMINISTRATOR: (&str, &str) = ("root", "the-password-of-root");
/// The user of the masters: it may do no more than they need.
const MASTER: (&str, &str) = ("kontena", "the-password-of-the-masters");

/// The files of a secured set.
#[derive(Debug)]
pub(super) struct Security {
    key_file: PathBuf,
    certificate: PathBuf,
    authority: PathBuf,
}

impl Security {
    /// Makes keys and certificates in `directory`.
    pub(super) fn new(directory: &Path) -> Result<Self> {
        let authority = Authority::new()?;
        let Issued { certificate, key } = authority.issue(&["127.0.0.1"])?;
        let write = |name: &str, text: String| -> Result<PathBuf> {
            let path = directory.join(name);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
            // The server refuses a key that others can read.
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
            Ok(path)
        };
        Ok(Self {
            key_file: write("key-file", "a key that the members share\n".replace(' ', "+"))?,
            certificate: write("server.pem", certificate + &key)?,
            authority: write("authority.pem", authority.pem())?,
        })
    }

    /// What the server is started with.
    pub(super) fn arguments(&self) -> Vec<String> {
        let path = |path: &Path| path.display().to_string();
        [
            ("--keyFile", path(&self.key_file)),
            ("--tlsMode", "requireTLS".to_owned()),
            ("--tlsCertificateKeyFile", path(&self.certificate)),
            ("--tlsCAFile", path(&self.authority)),
        ]
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .chain(["--tlsAllowConnectionsWithoutCertificates".to_owned()])
        .collect()
    }

    /// Makes a client of these options one of the administrator. Until it is made, the server lets anybody from
    /// its own host make it.
    pub(super) fn admit(&self, options: &mut ClientOptions, as_administrator: bool) {
        options.tls = Some(Tls::Enabled(TlsOptions::builder().ca_file_path(self.authority.clone()).build()));
        if as_administrator {
            let (name, password) = ADMINISTRATOR;
            let credential = Credential::builder()
                .username(name.to_owned())
                .password(password.to_owned())
                .source("admin".to_owned());
            options.credential = Some(credential.build());
        }
    }

    /// The command that makes the administrator.
    pub(super) fn create_administrator() -> Document {
        let (name, password) = ADMINISTRATOR;
        doc! { "createUser": name, "pwd": password, "roles": ["root"] }
    }

    /// The command that makes the masters' user, who uses these databases.
    pub(super) fn create_master(databases: &[&str]) -> Document {
        let (name, password) = MASTER;
        let roles: Vec<Document> =
            databases.iter().map(|database| doc! { "role": "readWrite", "db": *database }).collect();
        doc! { "createUser": name, "pwd": password, "roles": roles }
    }

    /// The connection string of the masters.
    pub(super) fn uri(&self, hosts: &str, database: &str, set: &str) -> String {
        let (name, password) = MASTER;
        let authority = self.authority.display();
        format!(
            "mongodb://{name}:{password}@{hosts}/{database}?replicaSet={set}&authSource=admin&tls=true&\
             tlsCAFile={authority}"
        )
    }
}
