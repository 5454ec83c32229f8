//! What the kernel counts of this process, under the names that Prometheus gives it everywhere.

use std::fs;

use prometheus_client::registry::Registry;

use super::{number, seconds};

/// Registers what can be read; on a host that hides it, nothing.
pub(super) fn register(registry: &mut Registry) {
    let registry = registry.sub_registry_with_prefix("process");
    if let Some(bytes) = resident_bytes() {
        number(registry, "resident_memory_bytes", "Resident memory", bytes);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        let count = u64::try_from(open.count()).unwrap_or(0);
        number(registry, "open_fds", "Open file descriptors", count);
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    number(registry, "max_fds", "The most file descriptors that may be open", limit.unwrap_or(u64::MAX));
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    #[expect(clippy::cast_precision_loss, reason = "years of computing fit")]
    let used = used.tv_sec as f64 + used.tv_nsec as f64 / 1e9;
    seconds(registry, "cpu_seconds", "Time spent computing", used);
}

fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}
