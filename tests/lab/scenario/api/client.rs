//! A client that costs little: it shares two cores with what it measures.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What takes longer here is a fault.
const WITHIN: Duration = Duration::from_secs(30);
const MARK: &[u8] = b"version==";

/// One connection that is kept open.
pub(super) struct Connection {
    stream: TcpStream,
    token: String,
    buffer: Vec<u8>,
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    body: Vec<u8>,
}

impl Answer {
    /// The version that the writer put into a grid.
    pub(super) fn version(&self) -> Option<u64> {
        let at = find(&self.body, MARK)? + MARK.len();
        let digits = self.body.get(at..)?.iter().take_while(|byte| byte.is_ascii_digit());
        Some(digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
    }

    pub(super) fn expect(self, status: u16) -> Result<Self> {
        ensure!(
            self.status == status,
            "{} instead of {status}: {}",
            self.status,
            String::from_utf8_lossy(&self.body)
        );
        Ok(self)
    }

    pub(super) fn text(&self, key: &str) -> Result<String> {
        let body: Value = serde_json::from_slice(&self.body)?;
        Ok(body[key].as_str().with_context(|| format!("no {key}"))?.to_owned())
    }
}

impl Connection {
    pub(super) async fn open(address: &str, token: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, token: token.to_owned(), buffer: Vec::with_capacity(64 << 10) })
    }

    pub(super) async fn get(&mut self, path: &str) -> Result<Answer> {
        self.send("GET", path, None).await
    }

    pub(super) async fn send(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: lab\r\nAccept: application/json\r\nContent-Type: application/json\r\n\
             Authorization: Bearer {}\r\nContent-Length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await?;
        timeout(WITHIN, self.answer()).await.context("no answer in time")?
    }

    async fn answer(&mut self) -> Result<Answer> {
        self.buffer.clear();
        let (head, length) = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break (end + 4, content_length(&self.buffer[..end])?);
            }
            self.more().await?;
        };
        while self.buffer.len() < head + length {
            self.more().await?;
        }
        let status = self.buffer.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
        let status = status.and_then(|digits| digits.parse().ok()).context("no status")?;
        Ok(Answer { status, body: self.buffer[head..].to_vec() })
    }

    async fn more(&mut self) -> Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            bail!("the connection ended");
        }
        Ok(())
    }
}

fn content_length(head: &[u8]) -> Result<usize> {
    let head = std::str::from_utf8(head)?;
    let line = head.lines().find_map(|line| {
        line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length"))
    });
    Ok(line.context("no length")?.1.trim().parse()?)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
