//! `kontena-master doctor`: what is wrong on this host, with the database and among the masters, and what to do about
//! it. Looks only, and runs before the first start as well as beside a running master.

mod database;
mod finding;
mod host;

use std::path::Path;

use anyhow::bail;

use crate::cli;
use crate::config;
pub(crate) use finding::{Finding, Level};

/// The line for mongosh that makes the masters' user with the least rights.
pub(crate) fn create_user(database: &str) -> String {
    format!(
        "db.getSiblingDB(\"admin\").createUser({{user: \"kontena\", pwd: passwordPrompt(), roles: [{{role: \
         \"readWrite\", db: \"{database}\"}}]}})"
    )
}

/// The line that lets the user also see how the replica set is set up, for this check-up only.
pub(crate) fn grant_monitoring() -> &'static str {
    "db.getSiblingDB(\"admin\").grantRolesToUser(\"kontena\", [\"clusterMonitor\"])"
}

pub(crate) fn doctor(path: &Path, arguments: &cli::Doctor) -> anyhow::Result<()> {
    let findings = examine(path)?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&findings)?);
    } else {
        for finding in &findings {
            println!("{finding}");
        }
    }
    let problems = findings.iter().filter(|finding| finding.level == Level::Problem).count();
    if problems > 0 {
        bail!("{problems} of {} checks found a problem", findings.len());
    }
    Ok(())
}

/// Everything that is found, the host first.
pub(crate) fn examine(path: &Path) -> anyhow::Result<Vec<Finding>> {
    let config = match config::load(path) {
        Ok(config) => config,
        Err(faults) => {
            let remedy = "mend the file; kontena-master bootstrap writes a new one";
            return Ok(vec![Finding::problem("configuration", faults.to_string(), remedy)]);
        }
    };
    let mut findings = vec![Finding::good("configuration", format!("{} is valid", path.display()))];
    findings.extend(host::examine(path, &config));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    findings.extend(runtime.block_on(database::examine(&config)));
    Ok(findings)
}
