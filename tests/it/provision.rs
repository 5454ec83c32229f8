//! Several masters from one command: what it writes starts masters of one cluster, and those who read its files take
//! them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kontena_testkit::master::{Master, Settings};
use kontena_testkit::mongod::shared;
use kontena_testkit::program::program;
use kontena_wire::cluster::{Cluster, MasterState};
use tokio::time::sleep;

const PATIENCE: Duration = Duration::from_secs(60);
const URI: &str = "mongodb://kontena:a-password@db1,db2,db3/kontena_server?replicaSet=rs0";

/// The variables that a file for a master may have.
const VARIABLES: [&str; 6] = [
    "MONGODB_URI",
    "VAULT_KEY",
    "VAULT_IV",
    "INITIAL_ADMIN_CODE",
    "KONTENA_MASTER_ADMIN_TOKEN",
    "KONTENA_MASTER_NAME",
];

fn provision(uri: &str, format: &str, more: &[&str]) -> Result<Output> {
    let mut command = Command::new(program("kontena-master")?);
    command.env_clear().env("MONGODB_URI", uri).args(["provision", "--format", format]).args(more);
    Ok(command.output()?)
}

/// Writes files for three masters to `directory`.
fn write(directory: &Path, uri: &str, format: &str, more: &[&str]) -> Result<()> {
    let directory = directory.display().to_string();
    let output = provision(uri, format, &[&["--output", &directory], more].concat())?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(!told.contains("a-password"), "{told}");
    Ok(())
}

#[tokio::test]
async fn three_environments_of_one_command_are_one_cluster_without_a_warning() -> Result<()> {
    let database = shared().await?.database();
    let directory = tempfile::tempdir()?;
    write(directory.path(), &database.uri, "env", &[])?;
    let mut masters = Vec::new();
    let mut tokens = Vec::new();
    for number in 1..=3 {
        let text = fs::read_to_string(directory.path().join(format!("kontena-master-{number}.env")))?;
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let found: BTreeMap<&str, &str> =
            lines.map(|line| line.split_once('=').context("no variable")).collect::<Result<_>>()?;
        assert!(found.keys().all(|name| VARIABLES.contains(name)), "{text}");
        // The file names another database and another name: the environment wins.
        let mut settings = Settings::new("unnamed", "mongodb://127.0.0.1:9/nowhere");
        settings.environment =
            VARIABLES.into_iter().filter_map(|name| Some((name, (*found.get(name)?).to_owned()))).collect();
        tokens.push((*found.get("KONTENA_MASTER_ADMIN_TOKEN").context("no token")?).to_owned());
        masters.push(Master::start(settings).await?);
    }
    let http = kontena_testkit::http::client().timeout(PATIENCE).build()?;
    let ask = async |master: &Master| -> Result<Cluster> {
        // Any of the tokens is good at any of the masters.
        let request = http.get(format!("{}/v1/cluster", master.url())).bearer_auth(&tokens[0]);
        Ok(request.send().await?.error_for_status()?.json().await?)
    };
    let well = |cluster: &Cluster| {
        let count = |state| cluster.masters.iter().filter(|master| master.state == state).count();
        count(MasterState::Acting) == 1 && count(MasterState::Standby) == 2
    };
    let deadline = Instant::now() + PATIENCE;
    for master in &masters {
        let cluster = loop {
            let cluster = ask(master).await?;
            if well(&cluster) {
                break cluster;
            }
            ensure!(Instant::now() < deadline, "{cluster:#?}");
            sleep(Duration::from_millis(50)).await;
        };
        let names: Vec<&str> = cluster.masters.iter().map(|master| master.name.as_str()).collect();
        assert_eq!(names, ["kontena-master-1", "kontena-master-2", "kontena-master-3"]);
        let warnings: Vec<&String> = cluster.masters.iter().flat_map(|master| &master.warnings).collect();
        assert!(warnings.is_empty(), "{warnings:?}");
        let settings: BTreeSet<&str> =
            cluster.masters.iter().map(|master| master.fingerprint.as_str()).collect();
        assert_eq!(settings.len(), 1, "what masters share differs");
        // That the database takes long is this host's affair.
        let log = fs::read_to_string(master.log_file())?;
        let about =
            |line: &&str| ["vault", "key", "setting", "differ"].iter().any(|word| line.contains(word));
        let bad: Vec<&str> = log
            .lines()
            .filter(|line| line.contains(" WARN ") || line.contains(" ERROR "))
            .filter(about)
            .collect();
        assert!(bad.is_empty(), "{bad:#?}");
    }
    Ok(())
}

#[test]
fn passwords_come_neither_in_arguments_nor_out_of_faults() -> Result<()> {
    let argument = provision("", "env", &["--mongodb-uri", URI])?;
    let told = String::from_utf8_lossy(&argument.stderr).into_owned();
    assert!(!argument.status.success() && told.contains("arguments are seen by everybody"), "{told}");
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("uri");
    fs::write(&file, format!("{URI}\n"))?;
    let file = file.display().to_string();
    let read = provision("mongodb://other/k", "env", &["--mongodb-uri-file", &file, "--masters", "1"])?;
    let printed = String::from_utf8_lossy(&read.stdout).into_owned();
    assert!(printed.contains(&format!("\nMONGODB_URI={URI}\n")), "{printed}");
    let bad = provision("mongodb://u:a-password@db1/k?replicaSet", "env", &[])?;
    let told = String::from_utf8_lossy(&bad.stderr).into_owned();
    assert!(!bad.status.success() && !told.contains("a-password"), "{told}");
    for (format, arguments, expected) in [
        ("compose", vec!["--package-url", "https://x/y.deb"], "are for cloud-init and Ignition"),
        ("cloud-init", vec!["--package-url", "http://x/y.deb"], "give --package-sha256 too"),
        ("ignition", vec![], "Ignition needs --package-url"),
        ("env", vec!["--name", "Master"], "is no name of a host"),
    ] {
        let refused = provision(URI, format, &arguments)?;
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && told.contains(expected), "{told}");
    }
    Ok(())
}

/// cloud-init's own schema; and YAML as everybody reads it, for both formats that are.
#[test]
#[ignore = "wants cloud-init (apt-get install cloud-init, which brings PyYAML): .ci/run runs it"]
fn by_their_own_checkers_user_data_and_compose_files_are_right() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let sources = [
        vec!["--package-url", "https://example.com/kontena-master.deb"],
        vec!["--apt-source", "deb [trusted=yes] https://apt.example.com ./"],
        vec![],
    ];
    for (index, source) in sources.iter().enumerate() {
        let target = directory.path().join(index.to_string());
        write(&target, URI, "cloud-init", source)?;
        let file = target.join("kontena-master-1.cloud-init.yaml");
        let checked = Command::new("cloud-init")
            .args(["schema", "--config-file"])
            .arg(&file)
            .output()
            .context("cannot run cloud-init (apt-get install cloud-init)")?;
        let told = [checked.stdout, checked.stderr].concat();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&told));
    }
    write(&directory.path().join("compose"), URI, "compose", &[])?;
    let script = "import sys, yaml\n\
        data = yaml.safe_load(open(sys.argv[1]))\n\
        master = data['services']['master']\n\
        assert master['ports'] == ['9292:9292'] and master['hostname'] == 'kontena-master-2', data\n\
        assert master['environment']['MONGODB_URI'] == sys.argv[2], data\n\
        user = yaml.safe_load(open(sys.argv[3]))\n\
        assert user['write_files'][0]['content'].count('uri = ') == 1, user\n\
        assert len(user['runcmd']) == 1 and user['runcmd'][0][:2] == ['sh', '-euc'], user\n";
    let checked = Command::new("python3")
        .args(["-c", script])
        .arg(directory.path().join("compose/kontena-master-2.compose.yaml"))
        .arg(URI)
        .arg(directory.path().join("0/kontena-master-3.cloud-init.yaml"))
        .output()?;
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    Ok(())
}
