//! HTTP as the command line speaks it: its headers, a body that is announced even when it is empty, gzip.

use std::collections::BTreeMap;
use std::io::Read;

use anyhow::{Context, Result, bail};
use flate2::read::GzDecoder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::world::World;

/// The command line's own patience.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// An answer as the command line reads it.
pub(super) struct Heard {
    pub(super) status: u16,
    pub(super) reason: String,
    /// By lower-case names.
    pub(super) headers: BTreeMap<String, String>,
    pub(super) text: String,
}

/// One connection.
pub(super) struct Client {
    stream: TcpStream,
    token: String,
}

impl Client {
    pub(super) async fn open(world: &World, token: &str) -> Result<Self> {
        let address = world.masters[0].url().replace("http://", "");
        Ok(Self { stream: TcpStream::connect(address).await?, token: token.to_owned() })
    }

    pub(super) async fn call(&mut self, method: &str, path: &str, body: &str) -> Result<Heard> {
        let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        let logs = path.contains("logs?") || path.contains("logs/");
        let gzip = if logs { "" } else { "Accept-Encoding: gzip\r\n" };
        // These are called before there is a token.
        let open = path == "/" || path == "/oauth2/token";
        let bearer = if open { String::new() } else { format!("Authorization: Bearer {}\r\n", self.token) };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nUser-Agent: kontena-cli/1.5.4\r\nAccept: application/json\r\n{gzip}{bearer}\
             {kind}Host: master.example.com:9292\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await?;
        timeout(PATIENCE, self.answer()).await.context("the command line gave up")?
    }

    async fn answer(&mut self) -> Result<Heard> {
        let mut read = Vec::new();
        let end = loop {
            if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            if self.stream.read_buf(&mut read).await? == 0 {
                bail!("the connection ended");
            }
        };
        let head = String::from_utf8(read[..end].to_vec())?;
        let mut lines = head.lines();
        let mut words = lines.next().context("no status line")?.splitn(3, ' ').skip(1);
        let status = words.next().context("no status")?.parse()?;
        let reason = words.next().unwrap_or_default().to_owned();
        let headers: BTreeMap<String, String> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
            .collect();
        let length: usize = headers.get("content-length").context("no length")?.parse()?;
        let mut body = read.split_off(end + 4);
        while body.len() < length {
            if self.stream.read_buf(&mut body).await? == 0 {
                bail!("the connection ended in the body");
            }
        }
        let text = if headers.get("content-encoding").is_some_and(|coding| coding == "gzip") {
            let mut text = String::new();
            GzDecoder::new(body.as_slice()).read_to_string(&mut text)?;
            text
        } else {
            String::from_utf8(body)?
        };
        Ok(Heard { status, reason, headers, text })
    }
}
