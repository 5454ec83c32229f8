//! A real load balancer before the masters, and those who call through it.

mod calls;
mod proxy;

use std::time::Duration;

use anyhow::Result;
use kontena_testkit::tls::Authority;

pub(crate) use calls::{Callers, Calls, Failure};
pub(crate) use proxy::{Kind, Proxy};

/// A client that believes this authority alone, and makes a connection for each request: so each may meet another
/// master.
pub(crate) fn client(authority: &Authority, within: Duration) -> Result<reqwest::Client> {
    let certificate = reqwest::Certificate::from_pem(authority.pem().as_bytes())?;
    let builder = kontena_testkit::http::client().timeout(within).pool_max_idle_per_host(0);
    Ok(builder.tls_certs_only([certificate]).build()?)
}
