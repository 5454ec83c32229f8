//! A real load balancer with the file that is shipped for it, in which nothing is changed but addresses, and what may not
//! be done here.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use kontena_testkit::tls::{Authority, Issued};
use reqwest::StatusCode;
use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde::Serialize;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::rig::PATIENCE;

/// Which load balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// nginx.
    Nginx,
    /// `HAProxy`.
    Haproxy,
    /// Caddy.
    Caddy,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Nginx, Self::Haproxy, Self::Caddy];

    /// The program, which is the package of Debian too, but for nginx.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Caddy => "caddy",
        }
    }

    fn package(self) -> &'static str {
        if self == Self::Nginx { "nginx-light" } else { self.name() }
    }

    fn shipped(self) -> &'static str {
        match self {
            Self::Nginx => include_str!("../../../packaging/loadbalancer/nginx.conf"),
            Self::Haproxy => include_str!("../../../packaging/loadbalancer/haproxy.cfg"),
            Self::Caddy => include_str!("../../../packaging/loadbalancer/Caddyfile"),
        }
    }

    /// Where the shipped file expects the certificate, and the key if that is another file.
    fn certificate(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Nginx => ("/etc/nginx/kontena.crt", Some("/etc/nginx/kontena.key")),
            Self::Haproxy => ("/etc/haproxy/kontena.pem", None),
            Self::Caddy => ("/etc/caddy/kontena.crt", Some("/etc/caddy/kontena.key")),
        }
    }

    /// What stands around the file where it is installed, and how the program is run with it.
    fn command(self, file: &Path, directory: &Path) -> Result<Command> {
        let mut command = Command::new("setpriv");
        // What still needs it when somebody types Ctrl-C must not find it gone.
        command.process_group(0).args(["--pdeathsig", "TERM", "--", self.name()]);
        match self {
            Self::Nginx => {
                let around = format!(
                    "user root;\nworker_processes 2;\npid {0}/pid;\nerror_log stderr;\ndaemon off;\n\
                     events {{ worker_connections 4096; }}\nhttp {{\n  access_log off;\n  \
                     client_body_temp_path {0}/body;\n  proxy_temp_path {0}/proxy;\n  include {1};\n}}\n",
                    directory.display(),
                    file.display()
                );
                let main = directory.join("main.conf");
                fs::write(&main, around)?;
                command.args(["-e", "stderr", "-p"]).arg(directory).arg("-c").arg(main);
            }
            Self::Haproxy => {
                // As distributions run it, with a master process: that stays who it is, and so it still hears of our end.
                command.arg("-W").arg("-f").arg(file);
            }
            Self::Caddy => {
                // Nobody administers this one.
                let text = fs::read_to_string(file)?;
                fs::write(file, format!("{{\n\tadmin off\n}}\n{text}"))?;
                command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file);
                for name in ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
                    command.env(name, directory);
                }
            }
        }
        Ok(command)
    }
}

/// A running load balancer. Dropping it ends it.
pub(crate) struct Proxy {
    port: u16,
    child: Child,
    directory: TempDir,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // nginx ends its workers by itself when it is asked, and only then.
        let _asked = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ended = self.child.wait();
    }
}

impl Proxy {
    /// Starts it before these masters, which it must take for ready.
    pub(crate) async fn start(
        kind: Kind,
        masters: &[String],
        authority: &Authority,
        http: &reqwest::Client,
    ) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let file = directory.path().join("shipped");
        fs::write(&file, adapted(kind, masters, port, authority, directory.path())?)?;
        let log = fs::File::create(directory.path().join("log"))?;
        let mut command = kind.command(&file, directory.path())?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().context("cannot run setpriv (of util-linux)")?;
        let mut proxy = Self { port, child, directory };
        let deadline = Instant::now() + PATIENCE;
        let ready = format!("{}/readyz", proxy.url());
        while !http.get(&ready).send().await.is_ok_and(|answer| answer.status() == StatusCode::OK) {
            let running = proxy.child.try_wait()?.is_none() && Instant::now() < deadline;
            let (name, package) = (kind.name(), kind.package());
            ensure!(running, "{name} does not serve (apt-get install {package}):\n{}", proxy.log());
            sleep(std::time::Duration::from_millis(50)).await;
        }
        Ok(proxy)
    }

    /// Where agents connect, as `host:port`.
    pub(crate) fn address(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// Where command lines connect.
    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address())
    }

    /// What it wrote.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

/// The shipped file with other addresses and files; each that it was expected to name must be there.
fn adapted(
    kind: Kind,
    masters: &[String],
    port: u16,
    authority: &Authority,
    directory: &Path,
) -> Result<String> {
    let Issued { certificate, key } = authority.issue(&["localhost", "127.0.0.1"])?;
    let path = |name: &str| directory.join(name).display().to_string();
    let mut swaps: Vec<(String, String)> = Vec::new();
    match kind.certificate() {
        (both, None) => {
            fs::write(path("both.pem"), certificate + &key)?;
            swaps.push((both.to_owned(), path("both.pem")));
        }
        (one, Some(other)) => {
            fs::write(path("cert.pem"), certificate)?;
            fs::write(path("key.pem"), key)?;
            swaps.extend([(one.to_owned(), path("cert.pem")), (other.to_owned(), path("key.pem"))]);
        }
    }
    for (number, master) in masters.iter().enumerate() {
        swaps.push((format!("10.0.0.1{}:9292", number + 1), master.clone()));
    }
    let listens = match kind {
        Kind::Nginx => "listen 443 ssl;",
        Kind::Haproxy => "bind :443 ",
        Kind::Caddy => "\n:443 {",
    };
    if kind == Kind::Haproxy {
        const USER: &str = "    user haproxy\n    group haproxy\n";
        let user = if geteuid().is_root() { USER } else { "" };
        swaps.push((USER.to_owned(), user.to_owned()));
        // What happens to the masters goes to its own log, not each request to the log of this machine.
        swaps.push(("log /dev/log local0".to_owned(), "log stderr format raw local0 notice".to_owned()));
        // Not every user here may open so many files.
        swaps.push(("maxconn 20000".to_owned(), "maxconn 4000".to_owned()));
    }
    swaps.push((listens.to_owned(), listens.replace("443", &port.to_string())));
    let mut text = kind.shipped().to_owned();
    for (shipped, here) in swaps {
        ensure!(text.contains(&shipped), "the file for {} has no {shipped}", kind.name());
        text = text.replace(&shipped, &here);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRAEFIK: &str = include_str!("../../../packaging/loadbalancer/traefik.toml");
    const MASTERS: [&str; 3] = ["10.0.0.11:9292", "10.0.0.12:9292", "10.0.0.13:9292"];

    #[test]
    fn every_shipped_file_has_the_addresses_and_files_that_are_to_be_changed() -> Result<()> {
        let directory = tempfile::tempdir()?;
        let here: Vec<String> = (1..=3).map(|number| format!("127.0.0.1:{number}")).collect();
        for kind in Kind::ALL {
            let text = adapted(kind, &here, 8443, &Authority::new()?, directory.path())?;
            assert!(MASTERS.iter().all(|master| !text.contains(master)), "{text}");
        }
        Ok(())
    }

    /// Traefik is not here to be asked.
    #[test]
    fn the_file_for_traefik_is_toml_whose_parts_fit_together() -> Result<()> {
        let all: toml::Table = TRAEFIK.parse()?;
        let http = &all["http"];
        let router = &http["routers"]["kontena"];
        let named = |key: &str| router[key].as_str().unwrap_or_default();
        let balancer = &http["services"][named("service")]["loadBalancer"];
        let urls: Vec<&str> = balancer["servers"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|server| server["url"].as_str()?.strip_prefix("http://"))
            .collect();
        assert_eq!(urls, MASTERS);
        assert_eq!(balancer["healthCheck"]["path"].as_str(), Some("/readyz"));
        let transport = balancer["serversTransport"].as_str().unwrap_or_default();
        assert!(http["serversTransports"].get(transport).is_some());
        for middleware in router["middlewares"].as_array().into_iter().flatten() {
            assert!(http["middlewares"].get(middleware.as_str().unwrap_or_default()).is_some());
        }
        Ok(())
    }
}
