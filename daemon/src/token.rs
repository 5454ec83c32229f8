//! `kontena-master token create --admin`: a way in when no other is left.

use std::path::Path;

use anyhow::{Context, bail};
use kontena_wire::cluster::{AdminToken, AdminTokenWish};
use reqwest::Method;

use crate::admin_client::{AdminClient, Reply};
use crate::cli::CreateToken;

pub(crate) fn create(path: &Path, create: &CreateToken) -> anyhow::Result<()> {
    let CreateToken { admin: _, expires_in } = create;
    let client = AdminClient::local(path)?;
    let wish = AdminTokenWish { expires_in: *expires_in };
    match client.ask(Method::POST, "/v1/cluster/admin-tokens", Some(&wish))? {
        Reply::Done(body) => {
            let made: AdminToken =
                serde_json::from_slice(&body).context("the master's answer is not understood")?;
            println!("{}", made.access_token);
            Ok(())
        }
        Reply::Ask(other) => bail!("the master sent this to {other}, which has another socket"),
    }
}
