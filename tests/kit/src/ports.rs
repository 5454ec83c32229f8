//! Ports for servers that must find theirs free again after a restart.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, Result};

/// Below the kernel's usual range for outgoing connections, one of which could otherwise take the
/// port of a member while it is down.
const RANGE: std::ops::Range<u16> = 15_000..32_000;

/// A port nobody listens on now. Somebody else may be quicker to: who uses it must be ready to ask
/// again.
pub(crate) fn free() -> Result<u16> {
    (0..100)
        .map(|_| rand::random_range(RANGE))
        .find(|&port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
        .context("found no free port on 127.0.0.1")
}
