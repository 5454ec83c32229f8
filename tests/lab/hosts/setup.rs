//! From bare hosts to three masters, in the way in which the README tells it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use mongodb::bson::{Document, doc};
use mongodb::error::ErrorKind;
use mongodb::options::{ClientOptions, Credential};
use mongodb::{Client, bson};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::{COUNT, DATABASE, Script, TRACE, UNIT};

const PATIENCE: Duration = Duration::from_secs(60);
const ROOT: (&str, &str) = ("root", "the-password-of-root");
const MASTER: (&str, &str) = ("kontena", "the-password-of-the-masters");
/// Adds what measuring needs to the unit, and nothing else.
const DROP_IN: &str = "/etc/systemd/system/kontena-master.service.d/lab.conf";

/// The packages under test, as `packaging/build` leaves them.
#[derive(Clone, Debug)]
pub(crate) struct Packages {
    directory: PathBuf,
    pub(crate) deb: PathBuf,
    tui: PathBuf,
}

impl Packages {
    /// Those that were built last.
    pub(crate) fn find(directory: &Path) -> Result<Self> {
        Ok(Self {
            deb: package(directory, "kontena-master_", "deb")?,
            tui: package(directory, "kontena-tui_", "deb")?,
            directory: directory.to_owned(),
        })
    }

    /// The same program as a package of a higher version, as an upgrade brings it.
    pub(crate) fn newer(&self) -> Result<PathBuf> {
        package(&self.directory.join("newer"), "kontena-master_", "deb")
    }

    /// The .rpm of the same program.
    pub(crate) fn rpm(&self) -> Result<PathBuf> {
        package(&self.directory, "kontena-master-", "rpm")
    }

    /// The same of a higher version.
    pub(crate) fn newer_rpm(&self) -> Result<PathBuf> {
        package(&self.directory.join("newer"), "kontena-master-", "rpm")
    }
}

/// The package in a directory whose name begins so, goes on with its version, and ends so.
fn package(directory: &Path, prefix: &str, extension: &str) -> Result<PathBuf> {
    let entries = std::fs::read_dir(directory)
        .with_context(|| format!("{} does not exist: run packaging/build", directory.display()))?;
    let found = entries.flatten().map(|entry| entry.path()).find(|path| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let version = name
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()));
        version && path.extension().is_some_and(|found| found == extension)
    });
    found.with_context(|| format!("no {prefix}*.{extension} in {}: run packaging/build", directory.display()))
}

/// What the driver of a scenario needs to know.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) root_uri: String,
    pub(crate) token: String,
    /// The masters' `lease_ttl`.
    pub(crate) ttl: Duration,
}

/// Secures the database, installs the package on each host, and starts the masters.
pub(crate) async fn set_up(script: &Script, packages: &Packages, ttl: Duration) -> Result<Access> {
    let hosts = (1..=COUNT).map(|host| format!("10.77.0.{}:27017", 10 + host)).collect::<Vec<_>>().join(",");
    let open = format!("mongodb://{hosts}/?replicaSet=rs0");
    let root_uri = format!("mongodb://{}:{}@{hosts}/?replicaSet=rs0&authSource=admin", ROOT.0, ROOT.1);
    secure(script, &open, &root_uri).await?;
    let uri =
        format!("mongodb://{}:{}@{hosts}/{DATABASE}?replicaSet=rs0&authSource=admin", MASTER.0, MASTER.1);
    let mut configuration = String::new();
    for host in 1..=COUNT {
        install(script, packages, host).await?;
        if host == 1 {
            eprintln!("bootstrapping on host 1");
            script.shell(host, &format!("MONGODB_URI='{uri}' kontena-master bootstrap")).await?;
            configuration = script.shell(host, "cat /etc/kontena/master.toml").await?;
        }
        // The vault key comes from a credential, the rest from the file, which is the same everywhere.
        let (key, rest) = without_vault_key(&configuration)?;
        script.write(host, "/etc/kontena/master.toml", 0o640, &rest).await?;
        script.shell(host, "chown root:kontena /etc/kontena/master.toml").await?;
        let text = format!("[election]\nlease_ttl = \"{}ms\"\n", ttl.as_millis());
        script.write(host, "/etc/kontena/master.toml.d/lab.toml", 0o644, &text).await?;
        script.write(host, "/etc/credstore/kontena-master.vault_key", 0o600, &key).await?;
        script.shell(host, "kontena-master check-config | grep -q 'vault.key = a secret.*credstore'").await?;
        let (well, findings) = script.try_shell(host, "kontena-master doctor").await?;
        ensure!(well, "doctor on host {host}:\n{findings}");
        script.write(host, DROP_IN, 0o644, &drop_in()).await?;
        script.shell(host, "systemctl daemon-reload; systemctl start kontena-master").await?;
    }
    let token = value(&configuration, "token").context("bootstrap wrote no admin token")?;
    Ok(Access { root_uri, token, ttl })
}

fn drop_in() -> String {
    format!(
        "[Service]\nStateDirectory=kontena-lab\nExecStart=\nExecStart=/usr/bin/kontena-master run --probe-every 5 --trace {TRACE}\n"
    )
}

/// Installs the package as a user does; before there is a configuration it says what to do next.
async fn install(script: &Script, packages: &Packages, host: usize) -> Result<()> {
    eprintln!("installing on host {host}");
    push_and_install(script, host, &packages.deb).await?;
    push_and_install(script, host, &packages.tui).await?;
    let (_, status) = script.try_shell(host, "systemctl status --no-pager kontena-master").await?;
    ensure!(status.contains("kontena-master bootstrap"), "systemctl status gives no hint:\n{status}");
    script.shell(host, "systemctl is-enabled kontena-master.service kontena-master.socket").await?;
    let exposure =
        script.shell(host, &format!("systemd-analyze security --threshold=15 {UNIT} | tail -1")).await?;
    eprintln!("host {host}: {}", exposure.trim());
    Ok(())
}

pub(crate) async fn push_and_install(script: &Script, host: usize, deb: &Path) -> Result<()> {
    let name = deb.file_name().context("a package without a name")?.to_string_lossy();
    script.run(&["push", &host.to_string(), &deb.display().to_string(), "/root/"]).await?;
    let line = format!("DEBIAN_FRONTEND=noninteractive apt-get install -y --allow-downgrades /root/{name}");
    script.shell(host, &line).await.map(drop)
}

/// Users first, while nobody is asked for a password; then the members trust each other by a key.
async fn secure(script: &Script, open: &str, root_uri: &str) -> Result<()> {
    eprintln!("securing the database");
    let client = Client::with_uri_str(open).await?;
    let roles: Vec<bson::Bson> =
        vec![doc! { "role": "readWrite", "db": DATABASE }.into(), "clusterMonitor".into()];
    create(&client, doc! { "createUser": ROOT.0, "pwd": ROOT.1, "roles": ["root"] }).await?;
    create(&client, doc! { "createUser": MASTER.0, "pwd": MASTER.1, "roles": roles }).await?;
    client.shutdown().immediate(true).await;
    for host in 1..=COUNT {
        script.write(host, "/etc/mongod.key", 0o600, "a+key+that+the+members+share\n").await?;
        // The script's own unit, with one argument more.
        script
            .shell(
                host,
                "chown mongodb /etc/mongod.key; sed -i 's,^ExecStart=.*,& --keyFile /etc/mongod.key,' \
                 /etc/systemd/system/mongod.service; systemctl daemon-reload; systemctl stop mongod",
            )
            .await?;
    }
    for host in 1..=COUNT {
        script.shell(host, "systemctl start mongod").await?;
    }
    let client = administrator(root_uri).await?;
    let deadline = Instant::now() + PATIENCE;
    let probe = client.database("outside").collection::<Document>("writes");
    while let Err(error) = probe.insert_one(doc! {}).await {
        if Instant::now() > deadline {
            bail!("the secured database takes no writes: {error}");
        }
        sleep(Duration::from_millis(100)).await;
    }
    client.shutdown().immediate(true).await;
    Ok(())
}

/// Makes a user, while the members may still be busy with their new settings.
async fn create(client: &Client, command: Document) -> Result<()> {
    /// The user is there already: an earlier try was not answered.
    const EXISTS: i32 = 51003;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match client.database("admin").run_command(command.clone()).await {
            Ok(_) => return Ok(()),
            Err(error) => match &*error.kind {
                ErrorKind::Command(refused) if refused.code == EXISTS => return Ok(()),
                _ if Instant::now() > deadline => bail!("the database's users cannot be made: {error}"),
                _ => sleep(Duration::from_millis(100)).await,
            },
        }
    }
}

/// A client of the database's administrator, which gives up soon.
pub(crate) async fn administrator(root_uri: &str) -> Result<Client> {
    let mut options = ClientOptions::parse(root_uri).await?;
    options.server_selection_timeout = Some(Duration::from_secs(1));
    options.connect_timeout = Some(Duration::from_secs(1));
    options.credential = Some(
        Credential::builder()
            .username(ROOT.0.to_owned())
            .password(ROOT.1.to_owned())
            .source("admin".to_owned())
            .build(),
    );
    Ok(Client::with_options(options)?)
}

/// Of the database's own elections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Elections {
    /// As this project's documentation proposes it.
    Tuned,
    /// As the server would have it: a lost primary costs ten seconds without any leader.
    Default,
}

impl Elections {
    /// `electionTimeoutMillis`, `heartbeatIntervalMillis` and `chainingAllowed`.
    fn settings(self) -> Document {
        let (timeout, heartbeat, chaining) = match self {
            Self::Tuned => (2000, 500, false),
            Self::Default => (10_000, 2000, true),
        };
        doc! { "electionTimeoutMillis": timeout, "heartbeatIntervalMillis": heartbeat, "chainingAllowed": chaining }
    }

    /// Makes it so in a set that has just been made, and wants no password yet.
    pub(crate) async fn begin(self, script: &Script) -> Result<()> {
        let settings = self.settings();
        let pairs: Vec<String> = settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let words = ["mongo", "set"].into_iter().chain(pairs.iter().map(String::as_str));
        script.run(&words.collect::<Vec<_>>()).await.map(drop)
    }

    /// Makes it so, while the set is well.
    pub(crate) async fn set(self, root_uri: &str) -> Result<()> {
        let client = administrator(root_uri).await?;
        let admin = client.database("admin");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let changed: Result<()> = async {
                let mut config =
                    admin.run_command(doc! { "replSetGetConfig": 1 }).await?.get_document("config")?.clone();
                let version = config.get_i32("version")?;
                config.insert("version", version + 1);
                let settings = config.get_document_mut("settings")?;
                if self.settings().iter().all(|(name, value)| settings.get(name) == Some(value)) {
                    return Ok(());
                }
                settings.extend(self.settings());
                admin.run_command(doc! { "replSetReconfig": config }).await?;
                Ok(())
            }
            .await;
            match changed {
                Ok(()) => break,
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => sleep(Duration::from_millis(200)).await,
            }
        }
        client.shutdown().immediate(true).await;
        Ok(())
    }
}

/// The vault key, and the file without it.
fn without_vault_key(text: &str) -> Result<(String, String)> {
    let key = value(text, "key").context("bootstrap wrote no vault key")?;
    let rest: Vec<&str> = text.lines().filter(|line| !line.starts_with("key = ")).collect();
    Ok((key, rest.join("\n") + "\n"))
}

fn value(text: &str, key: &str) -> Option<String> {
    let table: toml::Table = text.parse().ok()?;
    let found = table.values().filter_map(toml::Value::as_table).find_map(|table| table.get(key));
    found.and_then(toml::Value::as_str).map(str::to_owned)
}
