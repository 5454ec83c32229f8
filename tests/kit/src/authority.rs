//! A real certificate authority that speaks ACME v2, and the domain name server that it asks: Pebble, with which those of
//! Let's Encrypt test their clients. It refuses some requests on purpose, and looks at challenges itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::json;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::{http, keeper, ports, scratch};

/// How long it may take to answer for the first time.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);
/// A port that is taken meanwhile by somebody else costs another try.
const TRIES: usize = 5;

/// How an authority is set up.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The port at which it looks for files, at whatever address a domain has, which is 127.0.0.1.
    pub http_port: u16,
    /// In how many of a hundred cases a proof that it has seen counts for further orders.
    pub reuse: u8,
}

/// An authority, ended when it is dropped.
#[derive(Debug)]
pub struct Authority {
    directory: TempDir,
    port: u16,
    names: u16,
    records: u16,
    http: reqwest::Client,
    children: Vec<Child>,
}

impl Authority {
    /// Starts one; returns when it answers.
    pub async fn start(settings: Settings) -> Result<Self> {
        for _ in 1..TRIES {
            match Self::once(settings).await {
                Err(error) if !error.is::<Missing>() => {}
                outcome => return outcome,
            }
        }
        Self::once(settings).await
    }

    async fn once(settings: Settings) -> Result<Self> {
        let Settings { http_port, reuse } = settings;
        let directory = scratch::directory("authority")?;
        let root = credentials(directory.path())?;
        let [port, tls, names, records] = [ports::free()?, ports::free()?, ports::free()?, ports::free()?];
        let path = |name: &str| directory.path().join(name).display().to_string();
        let configuration = json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{port}"), "managementListenAddress": "",
            "certificate": path("server.pem"), "privateKey": path("server.key"),
            "httpPort": http_port, "tlsPort": tls, "ocspResponderURL": "", "externalAccountBindingRequired": false,
        } });
        fs::write(path("pebble.json"), configuration.to_string())?;
        let names_at = format!("127.0.0.1:{names}");
        let log = |name: &str| fs::File::create(path(name));
        let mut resolver = keeper::mortal(program("pebble-challtestsrv")?);
        resolver.args(["-dns01", &names_at, "-management", &format!("127.0.0.1:{records}")]);
        // Only IPv4: nobody listens at the other.
        resolver.args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""]);
        let mut pebble = keeper::mortal(program("pebble")?);
        pebble.args(["-config", &path("pebble.json"), "-dnsserver", &names_at, "-strict"]);
        pebble.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_AUTHZREUSE", reuse.to_string());
        let mut children = Vec::new();
        for (mut command, name) in [(resolver, "names.log"), (pebble, "pebble.log")] {
            command.stdin(Stdio::null()).stdout(log(name)?).stderr(log(&format!("{name}.err"))?);
            children.push(keeper::spawn(command).context("cannot run setpriv (of util-linux)")?);
        }
        let trusted = reqwest::Certificate::from_pem(root.as_bytes())?;
        let http = http::client().tls_certs_merge([trusted]).timeout(Duration::from_secs(5)).build()?;
        let mut authority = Self { directory, port, names, records, http, children };
        let deadline = Instant::now() + ANSWERS_WITHIN;
        while !authority.answers().await {
            for child in &mut authority.children {
                if let Some(status) = child.try_wait()? {
                    bail!("the authority ended while it started ({status}): {}", authority.log());
                }
            }
            ensure!(Instant::now() < deadline, "the authority does not answer: {}", authority.log());
            sleep(Duration::from_millis(20)).await;
        }
        Ok(authority)
    }

    /// The lines by which a master uses this authority.
    #[must_use]
    pub fn configuration(&self) -> String {
        let root = self.directory.path().join("root.pem").display().to_string();
        format!(
            "[acme]\ndirectory = \"https://127.0.0.1:{}/dir\"\nca_file = {root:?}\nresolver = \"127.0.0.1:{}\"\n",
            self.port, self.names
        )
    }

    /// Sets a record of a domain.
    pub async fn set_record(&self, name: &str, content: &str) -> Result<()> {
        self.manage("set-txt", json!({ "host": format!("{name}."), "value": content })).await
    }

    /// Removes the records of a domain.
    pub async fn clear_records(&self, name: &str) -> Result<()> {
        self.manage("clear-txt", json!({ "host": format!("{name}.") })).await
    }

    /// The orders for which it issued a certificate, in this order.
    #[must_use]
    pub fn issued(&self) -> Vec<String> {
        let log = self.log();
        let of = |line: &str| {
            Some(line.split_once("Issued certificate serial ")?.1.rsplit(' ').next()?.to_owned())
        };
        log.lines().filter_map(of).collect()
    }

    /// What it says that it did.
    #[must_use]
    pub fn log(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.directory.path().join(name)).unwrap_or_default();
        read("pebble.log") + &read("pebble.log.err")
    }

    /// Ends it, so that nobody answers at its address any more.
    pub fn end(&mut self) -> Result<()> {
        for child in &mut self.children {
            child.kill()?;
            child.wait()?;
        }
        self.children.clear();
        Ok(())
    }

    async fn manage(&self, what: &str, body: serde_json::Value) -> Result<()> {
        let url = format!("http://127.0.0.1:{}/{what}", self.records);
        self.http.post(url).json(&body).send().await?.error_for_status()?;
        Ok(())
    }

    async fn answers(&self) -> bool {
        let ask = async |url: String| self.http.get(url).send().await.is_ok();
        ask(format!("https://127.0.0.1:{}/dir", self.port)).await
            && ask(format!("http://127.0.0.1:{}/", self.records)).await
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        // Should it fail, the processes still end with this one.
        let _ended = self.end();
    }
}

/// Its server's key and certificate; returns the root that signed it.
fn credentials(directory: &Path) -> Result<String> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()])?.signed_by(&key, &root)?;
    fs::write(directory.join("server.pem"), certificate.pem())?;
    fs::write(directory.join("server.key"), key.serialize_pem())?;
    fs::write(directory.join("root.pem"), root.pem())?;
    Ok(root.pem())
}

/// A program is not installed.
#[derive(Debug)]
struct Missing(String);

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is not in the PATH: install the package pebble (Debian, Ubuntu)", self.0)
    }
}

impl std::error::Error for Missing {}

fn program(name: &str) -> Result<PathBuf> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).map(|path| path.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| Missing(name.to_owned()).into())
}
