//! Whether the record that proves a domain is there, before the authority is asked to look: its refusals are counted.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use kontena_core::acme::record_name;

/// For one question, all tries included.
const WITHIN: Duration = Duration::from_secs(8);

/// Asks resolvers.
#[derive(Clone, Debug)]
pub(super) struct Records {
    resolver: Option<SocketAddr>,
}

impl Records {
    pub(super) fn new(resolver: Option<SocketAddr>) -> Self {
        Self { resolver }
    }

    /// Whether the record of a domain has this content. One that cannot be looked up is taken for missing.
    pub(super) async fn has(&self, domain: &str, content: &str) -> bool {
        match tokio::time::timeout(WITHIN, self.look_up(domain)).await {
            Ok(Ok(found)) => found.iter().any(|text| text == content),
            Ok(Err(error)) => {
                tracing::info!(domain, %error, "the record that proves a domain was not found");
                false
            }
            Err(_) => false,
        }
    }

    async fn look_up(&self, domain: &str) -> Result<Vec<String>, hickory_resolver::net::NetError> {
        // Made anew, so that nothing is remembered: the record was set a moment ago, and the system's resolvers may
        // have changed.
        let mut builder = match self.resolver {
            None => TokioResolver::builder_tokio()?,
            Some(address) => {
                let at_port = |mut connection: ConnectionConfig| {
                    connection.port = address.port();
                    connection
                };
                let connections = vec![at_port(ConnectionConfig::udp()), at_port(ConnectionConfig::tcp())];
                let server = NameServerConfig::new(address.ip(), true, connections);
                let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        builder.options_mut().cache_size = 0;
        // The final dot keeps the host's own domains from being tried.
        let found = builder.build()?.txt_lookup(format!("{}.", record_name(domain))).await?;
        let texts = found.answers().iter().filter_map(|record| match &record.data {
            RData::TXT(text) => Some(String::from_utf8_lossy(&text.txt_data.concat()).into_owned()),
            _ => None,
        });
        Ok(texts.collect())
    }
}
