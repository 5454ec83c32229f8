//! HTTP clients for tests and the lab: one way to make them, since the TLS library wants its provider chosen first.

/// A client that goes straight to where it is sent.
pub fn client() -> reqwest::ClientBuilder {
    // An error says that the provider was chosen before.
    let _chosen = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy()
}
