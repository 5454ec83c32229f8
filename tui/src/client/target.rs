//! A place where a master may be reached, and what may be sent there.

use std::fmt;
use std::path::PathBuf;

use reqwest::Url;
use secrecy::SecretString;

/// A way to a master.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) way: Way,
    /// What lets its bearer administer, where that is needed and known.
    pub(crate) token: Option<SecretString>,
}

/// How a master is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Its admin socket on this host.
    Socket(PathBuf),
    /// Over TCP.
    Url(Url),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.way {
            Way::Socket(path) => path.display().fmt(f),
            Way::Url(url) => f.write_str(url.as_str().trim_end_matches('/')),
        }
    }
}

impl Target {
    /// Another master that this one named. None if the token must not go there: it is not sent unprotected
    /// because somebody said so when it was given for a protected connection.
    pub(crate) fn sibling(&self, url: &str) -> Option<Self> {
        let url = parse_url(url).ok()?;
        let protected = matches!(&self.way, Way::Url(own) if own.scheme() == "https");
        if protected && url.scheme() != "https" {
            return None;
        }
        // Over TCP nobody is admitted without a token: not even worth asking.
        self.token.as_ref()?;
        Some(Self { way: Way::Url(url), token: self.token.clone() })
    }
}

/// Reads an address of a master.
pub(crate) fn parse_url(text: &str) -> Result<Url, String> {
    let wrong = || format!("{text:?} is not the address of a master: write it like http://master-1:9292");
    let url: Url = text.trim().parse().map_err(|_| wrong())?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the address holds a password: give a token by --token-file or KONTENA_TOKEN".to_owned());
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str, token: Option<&str>) -> Target {
        Target { way: Way::Url(parse_url(url).unwrap()), token: token.map(SecretString::from) }
    }

    #[test]
    fn a_token_for_a_protected_connection_never_goes_over_another() {
        let protected = target("https://masters.example", Some("secret"));
        assert!(protected.sibling("http://10.0.0.1:9292").is_none());
        assert!(protected.sibling("https://10.0.0.1:9292").is_some());
        assert!(target("http://10.0.0.1:9292", Some("secret")).sibling("http://10.0.0.2:9292").is_some());
        assert!(target("http://10.0.0.1:9292", None).sibling("http://10.0.0.2:9292").is_none());
    }

    #[test]
    fn only_addresses_of_masters_are_taken() {
        for wrong in ["", "master", "ftp://x", "http://", "http://user:pw@host"] {
            assert!(parse_url(wrong).is_err(), "{wrong}");
        }
        assert!(!parse_url("http://u:hunter2@host").unwrap_err().contains("hunter2"));
    }

    #[test]
    fn the_token_is_not_shown() {
        assert!(!format!("{:?}", target("http://h", Some("hunter2"))).contains("hunter2"));
    }
}
