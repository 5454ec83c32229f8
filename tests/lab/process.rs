//! What a process uses, as the kernel counts it.

use std::fs;

use anyhow::{Context, Result, bail};

/// Clock ticks of `/proc/PID/stat` a second, as on every Linux.
pub(crate) const TICKS: f64 = 100.0;

/// The processor time of a process so far, in [`TICKS`].
pub(crate) fn ticks(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is in parentheses and may hold anything.
    let fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect::<Vec<_>>());
    let Some(&[..]) = fields.as_deref() else { bail!("/proc/{pid}/stat is not understood") };
    let field = |index: usize| -> Result<f64> {
        let text = fields.as_ref().and_then(|fields| fields.get(index)).context("too few fields")?;
        Ok(text.parse()?)
    };
    Ok(field(11)? + field(12)?)
}

/// The memory of a process that is really there, in MiB.
pub(crate) fn rss_mib(pid: u32) -> Result<f64> {
    Ok(status(pid, "VmRSS:")? / 1024.0)
}

/// How many threads a process has.
pub(crate) fn threads(pid: u32) -> Result<f64> {
    status(pid, "Threads:")
}

/// How many file descriptors a process has open.
pub(crate) fn descriptors(pid: u32) -> Result<f64> {
    let count = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
    Ok(f64::from(u32::try_from(count)?))
}

/// A number of `/proc/PID/status`.
fn status(pid: u32, key: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with(key)).with_context(|| format!("no {key}"))?;
    Ok(line.split_whitespace().nth(1).context("no value")?.parse()?)
}
