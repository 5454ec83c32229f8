//! Several crates of the tree could each choose a TLS provider; like the programs, tests choose one before the first
//! client is made.

/// Chooses the provider of the whole process, unless somebody did already.
pub fn choose_provider() {
    // The only way to fail is that it was chosen before.
    let _chosen = rustls::crypto::ring::default_provider().install_default();
}
