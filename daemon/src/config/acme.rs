//! Where certificates come from. The original's variable may still name the first protocol, whose service has ended: it
//! is warned of and not used, while the same in a file, which is ours, is refused.

use std::net::SocketAddr;
use std::path::Path;

use kontena_server::AcmeSettings;

use super::fault::Place;
use super::key;
use super::settings::Check;

/// Let's Encrypt.
const DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// Its services of the first protocol, by their hosts.
const ENDED: [&str; 2] = ["acme-v01.api.letsencrypt.org", "acme-staging.api.letsencrypt.org"];

/// The settings, and what to warn of.
pub(super) fn settings(check: &mut Check<'_>) -> (AcmeSettings, Option<String>) {
    let (directory, warning) = directory(check);
    (AcmeSettings { directory, roots: roots(check), resolver: resolver(check) }, warning)
}

fn directory(check: &mut Check<'_>) -> (String, Option<String>) {
    let default = || DIRECTORY.to_owned();
    let Some((text, place)) = check.text(&key::ACME_DIRECTORY) else { return (default(), None) };
    let host = url::Url::parse(text).ok().filter(|url| url.scheme() == "https");
    let host = host.and_then(|url| url.host_str().map(str::to_owned));
    let ended = host.as_deref().is_some_and(|host| ENDED.contains(&host));
    match (host, place) {
        (Some(_), Place::Variable(name)) if ended => {
            let warning = format!(
                "{name} names {text}, whose service of ACME v1 has ended: {DIRECTORY} is used instead (remove the \
                 variable, or let it name the directory of an authority of ACME v2)"
            );
            (default(), Some(warning))
        }
        (Some(_), place) if ended => {
            let message =
                format!("is {text:?}, whose service of ACME v1 has ended: write it like {DIRECTORY:?}");
            check.fault(place, &key::ACME_DIRECTORY, message);
            (default(), None)
        }
        (Some(_), _) => (text.to_owned(), None),
        (None, place) => {
            let message = format!(
                "is {text:?}, which is not the directory of a certificate authority: write it like {DIRECTORY:?}"
            );
            check.fault(place, &key::ACME_DIRECTORY, message);
            (default(), None)
        }
    }
}

fn roots(check: &mut Check<'_>) -> Option<Vec<u8>> {
    let (path, place) = check.text(&key::ACME_CA_FILE)?;
    match std::fs::read(Path::new(path)) {
        Ok(pem) if pem.windows(BEGIN.len()).any(|window| window == BEGIN) => Some(pem),
        Ok(_) => {
            let message = format!("names {path}, which holds no certificate in PEM");
            check.fault(place, &key::ACME_CA_FILE, message);
            None
        }
        Err(error) => {
            let message = format!("names {path}, which cannot be read: {error}");
            check.fault(place, &key::ACME_CA_FILE, message);
            None
        }
    }
}

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";

fn resolver(check: &mut Check<'_>) -> Option<SocketAddr> {
    let (text, place) = check.text(&key::ACME_RESOLVER)?;
    let parsed = text.parse().ok();
    if parsed.is_none() {
        let message =
            format!("is {text:?}, which is not an address and a port: write it like \"192.0.2.53:53\"");
        check.fault(place, &key::ACME_RESOLVER, message);
    }
    parsed
}
