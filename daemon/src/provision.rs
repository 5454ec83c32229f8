//! `kontena-master provision`: makes the keys once, and writes for each of several masters what its host is set up
//! from.

mod cloud_init;
mod compose;
mod ignition;

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use kontena_store::DatabaseUri;
use secrecy::{ExposeSecret, SecretString};

use crate::bootstrap::{UriSource, database_uri, filled, from_environment, random};
use crate::cli::{Format, Provision};
use crate::config;

/// The names of hosts are no longer.
const NAME_MAX: usize = 63;

/// What all masters share, and what each has of its own.
struct Host {
    name: String,
    /// By the keys of the configuration.
    values: Vec<(&'static str, SecretString)>,
}

/// Where the program comes from.
struct Package<'a> {
    url: Option<&'a str>,
    /// As 64 hexadecimal digits.
    sha256: Option<&'a str>,
    apt_source: Option<&'a str>,
}

pub(crate) fn provision(arguments: &Provision) -> anyhow::Result<()> {
    let package = package(arguments)?;
    let hosts = hosts(arguments)?;
    let mut documents = Vec::new();
    for host in &hosts {
        let text = match arguments.format {
            Format::CloudInit => cloud_init::render(host, &host.toml()?, &package),
            Format::Ignition => ignition::render(&host.toml()?, &package)?,
            Format::Compose => compose::render(host, &arguments.image)?,
            Format::Env => host.variables()?,
        };
        documents.push((format!("{}.{}", host.name, arguments.format.extension()), text));
    }
    let Some(directory) = &arguments.output else {
        return print(arguments.format, &documents);
    };
    write(directory, &documents)?;
    println!(
        "wrote {} for {} masters of one cluster to {}, with the same fresh keys. Each file holds secrets: give it to its \
         host and to nobody else, and keep a copy of the vault key (without it the secrets in the database cannot be \
         read). The first login as admin takes the initial admin code. {}",
        arguments.format.title(),
        documents.len(),
        directory.display(),
        arguments.format.next(),
    );
    Ok(())
}

impl Format {
    fn extension(self) -> &'static str {
        match self {
            Self::CloudInit => "cloud-init.yaml",
            Self::Ignition => "ign",
            Self::Compose => "compose.yaml",
            Self::Env => "env",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::CloudInit => "cloud-init user data",
            Self::Ignition => "Ignition configurations",
            Self::Compose => "compose files",
            Self::Env => "environments",
        }
    }

    fn next(self) -> &'static str {
        match self {
            Self::CloudInit => "Start each host with its file as user data.",
            Self::Ignition => "Start each host with its file as Ignition configuration.",
            Self::Compose => "On each host: docker compose -f FILE up -d",
            Self::Env => "They serve as docker run --env-file FILE, or as EnvironmentFile= of a unit.",
        }
    }
}

fn package(arguments: &Provision) -> anyhow::Result<Package<'_>> {
    let package = Package {
        url: arguments.package_url.as_deref(),
        sha256: arguments.package_sha256.as_deref(),
        apt_source: arguments.apt_source.as_deref(),
    };
    if let Some(url) = package.url {
        let plain = |c: char| c.is_ascii_graphic() && !"'\"\\`$<>".contains(c);
        ensure!(url.chars().all(plain), "--package-url: {url} has characters that no URL has");
        let checked = url.starts_with("https://") || package.sha256.is_some();
        ensure!(
            checked,
            "--package-url: what comes without https is run as root by whoever is on the way: give --package-sha256 too"
        );
    }
    if let Some(sum) = package.sha256 {
        let fits = sum.len() == 64 && sum.chars().all(|digit| digit.is_ascii_hexdigit());
        ensure!(fits, "--package-sha256: 64 hexadecimal digits are needed, as sha256sum prints them");
        ensure!(package.url.is_some(), "--package-sha256 is of the file at --package-url, which is missing");
    }
    if let Some(line) = package.apt_source {
        ensure!(
            line.starts_with("deb ") && !line.contains(['\n', '"', '\\']),
            "--apt-source: write it like \"deb [signed-by=/etc/apt/keyrings/kontena.asc] https://packages.example.com/kontena/apt stable main\""
        );
        ensure!(package.url.is_none(), "--apt-source and --package-url exclude each other");
    }
    match arguments.format {
        Format::CloudInit => {}
        Format::Ignition => {
            ensure!(
                package.apt_source.is_none(),
                "--apt-source is for cloud-init: here, --package-url is needed"
            );
        }
        Format::Compose | Format::Env => {
            let none = package.url.is_none() && package.apt_source.is_none();
            ensure!(none, "--package-url and --apt-source are for cloud-init and Ignition");
        }
    }
    Ok(package)
}

fn hosts(arguments: &Provision) -> anyhow::Result<Vec<Host>> {
    let source =
        UriSource { argument: arguments.mongodb_uri.as_deref(), file: arguments.mongodb_uri_file.as_deref() };
    let uri = database_uri(&source)?;
    DatabaseUri::from(uri.clone()).check().map_err(|error| anyhow::anyhow!("the URI {error}"))?;
    let given = |name: &str, length| from_environment(name).unwrap_or_else(|| random(length));
    let mut shared = vec![
        ("mongodb.uri", uri),
        ("vault.key", given("VAULT_KEY", 64)),
        ("vault.iv", given("VAULT_IV", 32)),
        ("access.initial_admin_code", given("INITIAL_ADMIN_CODE", 32)),
        ("admin.token", random(48)),
    ];
    shared
        .extend(arguments.trusted_proxies.as_deref().map(|proxies| ("http.trusted_proxies", proxies.into())));
    let mut hosts = Vec::new();
    for number in 1..=arguments.masters {
        let name = format!("{}-{number}", arguments.name);
        let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        ensure!(
            name.len() <= NAME_MAX && name.chars().all(letters) && !name.starts_with('-'),
            "--name: {name} is no name of a host: use small letters, digits and hyphens"
        );
        let advertise = arguments.domain.as_deref().map(|domain| format!("http://{name}.{domain}:9292"));
        let mut values = shared.clone();
        values.push(("name", name.as_str().into()));
        values.extend(advertise.map(|url| ("http.advertise", url.into())));
        hosts.push(Host { name, values });
    }
    // What one of them cannot be started with, none can.
    if let Some(host) = hosts.first() {
        config::check_text(Path::new("master.toml"), &host.toml()?)?;
    }
    Ok(hosts)
}

impl Host {
    /// The configuration file, complete.
    fn toml(&self) -> anyhow::Result<String> {
        filled(&self.values)
    }

    /// The same as variables, each with its value as it is.
    fn environment(&self) -> anyhow::Result<Vec<(&'static str, &str)>> {
        let mut variables = Vec::new();
        for (key, value) in &self.values {
            let name = config::variable(key).with_context(|| format!("there is no variable for {key}"))?;
            let value = value.expose_secret();
            // Whoever reads such files has another opinion of how these are to be written.
            let clear = value.chars().all(|c| c.is_ascii_graphic() && !"'\"\\".contains(c));
            // The proxies are a list.
            let clear = clear || (*key == "http.trusted_proxies" && !value.contains(['\n', '"']));
            ensure!(
                clear,
                "{key} has a space, a quote, a backslash or a character that is not ASCII, which files of variables do \
                 not agree about: percent-encode it in a URI, or use another"
            );
            variables.push((name, value));
        }
        Ok(variables)
    }

    /// A file of variables.
    fn variables(&self) -> anyhow::Result<String> {
        let lines = self.environment()?.into_iter().map(|(name, value)| format!("{name}={value}\n"));
        Ok(format!("# The environment of {}. It holds secrets.\n{}", self.name, lines.collect::<String>()))
    }
}

/// Prints the documents so that they can be told apart.
fn print(format: Format, documents: &[(String, String)]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for (index, (name, text)) in documents.iter().enumerate() {
        match format {
            // Nothing before the first: the first line of user data says what it is.
            Format::CloudInit | Format::Compose if index > 0 => writeln!(out, "---")?,
            // JSON has no comments, and ends by itself.
            Format::CloudInit | Format::Compose | Format::Ignition => {}
            Format::Env => writeln!(out, "# {name}")?,
        }
        out.write_all(text.as_bytes())?;
    }
    out.flush()?;
    Ok(())
}

/// Writes the documents to files that only their owner can read. None of them may be there already.
fn write(directory: &Path, documents: &[(String, String)]) -> anyhow::Result<()> {
    let paths: Vec<PathBuf> = documents.iter().map(|(name, _)| directory.join(name)).collect();
    if let Some(found) = paths.iter().find(|path| path.symlink_metadata().is_ok()) {
        bail!(
            "{} is there already, and nothing was written: its keys may be in use. Give another directory",
            found.display()
        );
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .with_context(|| format!("{} cannot be made", directory.display()))?;
    for (path, (_, text)) in paths.iter().zip(documents) {
        let context = || format!("{} cannot be written", path.display());
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).with_context(context)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(context)?;
    }
    Ok(())
}

/// A text as YAML and JSON both write it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests;
