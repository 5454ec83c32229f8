//! Gives the members of the set other addresses in what they say of themselves.

use std::net::Ipv4Addr;

const MEMBERS: &[u8] = b"127.0.0.1:";

/// Puts another host, of equally many characters, before the ports of the set.
#[derive(Debug)]
pub(super) struct Rename {
    host: String,
    ports: Vec<String>,
}

impl Rename {
    pub(super) fn new(host: Ipv4Addr, ports: Vec<u16>) -> Self {
        Self { host: format!("{host}:"), ports: ports.into_iter().map(|port| port.to_string()).collect() }
    }

    /// Renames within a whole message.
    pub(super) fn apply(&self, message: &mut [u8]) {
        let mut from = 0;
        while let Some(found) = message[from..].windows(MEMBERS.len()).position(|bytes| bytes == MEMBERS) {
            let start = from + found;
            from = start + MEMBERS.len();
            if self.is_port(&message[from..]) {
                message[start..from].copy_from_slice(self.host.as_bytes());
            }
        }
    }

    /// Whether a port of the set is what follows, and not merely the beginning of another.
    fn is_port(&self, bytes: &[u8]) -> bool {
        let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.ports.iter().any(|port| port.as_bytes() == &bytes[..digits])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renames_only_the_members() {
        let rename = Rename::new(Ipv4Addr::new(127, 0, 3, 1), vec![27001, 27002]);
        let mut message = *b"127.0.0.1:27001\0 127.0.0.1:27002 127.0.0.1:27003 127.0.0.1:270011 127.0.0.1:";
        rename.apply(&mut message);
        assert_eq!(
            &message,
            b"127.0.3.1:27001\0 127.0.3.1:27002 127.0.0.1:27003 127.0.0.1:270011 127.0.0.1:"
        );
    }
}
