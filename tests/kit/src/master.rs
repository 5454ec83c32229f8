//! Masters as real processes of the real program, with the ways in which they can fail.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use reqwest::{Method, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::program::program;
use crate::{http, keeper, ports, scratch};

/// How long a master may take to listen.
const LISTEN_WITHIN: Duration = Duration::from_secs(10);
/// Between two looks at whether it does.
const POLL: Duration = Duration::from_millis(5);
/// For one request; what takes longer here is a fault.
const REQUEST: Duration = Duration::from_secs(10);
/// The token for administration over TCP.
pub const TOKEN: &str = "a-token-for-tests-only";

/// How a master is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What it is called.
    pub name: String,
    /// Its connection string.
    pub uri: String,
    /// How often the probe duty runs, if it does.
    pub probe_every: Option<Duration>,
    /// Lines to add to the configuration file, tables included.
    pub configuration: String,
    /// How long it serves on when it is stopped.
    pub drain_grace: Duration,
    /// Whom it believes where a request came from.
    pub trusted_proxies: Vec<String>,
    /// How many times as fast as usual it tries to reach Kontena Cloud.
    pub cloud_hurry: u32,
    /// Variables for its environment.
    pub environment: Vec<(&'static str, String)>,
    /// The log's level.
    pub log_level: &'static str,
    /// The program, if it is not the one of this build: another version.
    pub program: Option<PathBuf>,
}

impl Settings {
    /// A master of this name on this database, with everything else by default.
    #[must_use]
    pub fn new(name: impl Into<String>, uri: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            uri: uri.into(),
            probe_every: None,
            configuration: String::new(),
            drain_grace: Duration::from_millis(200),
            trusted_proxies: Vec::new(),
            cloud_hurry: 1,
            environment: Vec::new(),
            log_level: "info",
            program: None,
        }
    }
}

/// One master. It keeps its address and directory over restarts; dropping it kills it.
#[derive(Debug)]
pub struct Master {
    settings: Settings,
    directory: TempDir,
    program: PathBuf,
    port: u16,
    http: reqwest::Client,
    child: Option<Child>,
}

impl Master {
    /// Writes its configuration and starts it; returns when it listens, which says nothing of the database.
    pub async fn start(settings: Settings) -> Result<Self> {
        let mut master = Self::prepare(settings)?;
        master.launch().await?;
        Ok(master)
    }

    /// Writes its configuration.
    pub fn prepare(settings: Settings) -> Result<Self> {
        let program = match &settings.program {
            Some(program) => program.clone(),
            None => program("kontena-master")?,
        };
        let master = Self {
            settings,
            directory: scratch::directory("master")?,
            program,
            port: ports::free()?,
            http: http::client().timeout(REQUEST).build()?,
            child: None,
        };
        fs::create_dir(master.runtime_directory())?;
        fs::write(master.path("token"), TOKEN)?;
        let Settings { name, uri, configuration, drain_grace, trusted_proxies, log_level, .. } =
            &master.settings;
        let text = format!(
            "name = {name:?}\n[mongodb]\nuri = {uri:?}\n[http]\nlisten = \"127.0.0.1:{}\"\ndrain_grace = \"{}ms\"\n\
             trusted_proxies = {:?}\n\
             [admin]\nsocket = {:?}\ntoken_file = {:?}\n[log]\nlevel = {log_level:?}\n{configuration}",
            master.port,
            drain_grace.as_millis(),
            trusted_proxies.join(", "),
            master.path("runtime/admin.sock").display().to_string(),
            master.path("token").display().to_string(),
        );
        fs::write(master.configuration(), text)?;
        fs::set_permissions(master.configuration(), fs::Permissions::from_mode(0o600))?;
        Ok(master)
    }

    /// Starts it, again or for the first time; returns when it listens.
    pub async fn launch(&mut self) -> Result<()> {
        self.kill()?;
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_file())?;
        let mut command = self.command("run");
        if let Some(every) = self.settings.probe_every {
            command.args(["--probe-every", &every.as_millis().to_string()]);
        }
        command.args(["--cloud-hurry", &self.settings.cloud_hurry.to_string()]);
        command.arg("--trace").arg(self.trace_file());
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        self.child = Some(keeper::spawn(command).context("cannot run setpriv (of util-linux)")?);
        let deadline = Instant::now() + LISTEN_WITHIN;
        while !self.listens().await {
            if let Some(status) = self.ended()? {
                bail!("{} ended while it started ({status}):\n{}", self.name(), self.log_tail());
            }
            if Instant::now() > deadline {
                bail!("{} does not listen within {LISTEN_WITHIN:?}:\n{}", self.name(), self.log_tail());
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Where it is reached.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The process id, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Where it records when it acted.
    #[must_use]
    pub fn trace_file(&self) -> PathBuf {
        self.path("trace.jsonl")
    }

    /// Where it writes its log.
    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        self.path("log")
    }

    /// Its administration socket.
    #[must_use]
    pub fn admin_socket(&self) -> PathBuf {
        self.path("runtime/admin.sock")
    }

    /// Its configuration file.
    #[must_use]
    pub fn configuration(&self) -> PathBuf {
        self.path("master.toml")
    }

    /// The end of its log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let text = fs::read_to_string(self.log_file()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// Ends it like a crash (`SIGKILL`), and returns when the process is gone. Does nothing if it already is.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Freezes it (`SIGSTOP`).
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Wakes it up (`SIGCONT`).
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Asks it to stop (`SIGTERM`), and waits until it has.
    pub async fn stop(&mut self, within: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.ended()? {
                self.child = None;
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("{} did not stop within {within:?}:\n{}", self.name(), self.log_tail());
            }
            sleep(POLL).await;
        }
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(match &mut self.child {
            Some(child) => child.try_wait()?,
            None => Some(ExitStatus::from_raw(0)),
        })
    }

    /// Gives back the lease of its dead process, as the service manager does after each end.
    pub fn release_lease(&self) -> Result<Output> {
        Ok(self.command("release-lease").output()?)
    }

    /// Runs the program with this master's configuration, to its end.
    pub fn run(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(self.configuration()).args(arguments);
        Ok(command.env("RUNTIME_DIRECTORY", self.runtime_directory()).output()?)
    }

    /// Asks it over TCP, as an administrator.
    pub async fn ask(&self, method: Method, path: &str) -> Result<(StatusCode, Value)> {
        let request = self.http.request(method, format!("{}{path}", self.url())).bearer_auth(TOKEN);
        let answer = request.send().await?;
        let status = answer.status();
        let body = answer.bytes().await?;
        Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }

    /// Reads `path`, which must be there.
    pub async fn get(&self, path: &str) -> Result<Value> {
        match self.ask(Method::GET, path).await? {
            (StatusCode::OK, body) => Ok(body),
            (status, body) => bail!("{} answered {status} to {path}: {body}", self.name()),
        }
    }

    /// The term under which it says it acts, if it does.
    pub async fn acting_term(&self) -> Option<u64> {
        match self.ask(Method::GET, "/leader").await {
            Ok((StatusCode::OK, body)) => body.get("term")?.as_u64(),
            Ok(_) | Err(_) => None,
        }
    }

    async fn listens(&self) -> bool {
        self.ask(Method::GET, "/livez").await.is_ok_and(|(status, _)| status == StatusCode::OK)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let Some(child) = &self.child else { bail!("{} is not running", self.name()) };
        kill_process(Pid::from_child(child), signal)?;
        Ok(())
    }

    fn command(&self, subcommand: &str) -> Command {
        let mut command = keeper::mortal(&self.program);
        command.arg("--config").arg(self.configuration()).arg(subcommand);
        command.env("RUNTIME_DIRECTORY", self.runtime_directory());
        command.envs(self.settings.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn runtime_directory(&self) -> PathBuf {
        self.path("runtime")
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        // Should it fail, the process still ends with this one.
        let _killed = self.kill();
    }
}
