//! What the acting leader measures over all grids. Others would only say the same once more.

use std::time::Duration;

use kontena_store::Measures;
use prometheus_client::registry::Registry;

use super::{number, seconds};

pub(super) fn register(registry: &mut Registry, measures: &Measures) {
    let Measures { nodes, open_deploys, oldest_open_deploy, first_expiry } = measures;
    let help = "Nodes of all grids, with an agent or without. On the acting leader only";
    number(registry, "nodes", help, *nodes);
    let help = "Deploys of services that have not ended. On the acting leader only";
    number(registry, "open_deploys", help, *open_deploys);
    let help = "How long ago the oldest open deploy was asked for; 0 without one. On the acting leader only";
    seconds(
        registry,
        "oldest_open_deploy_seconds",
        help,
        oldest_open_deploy.unwrap_or_default().as_secs_f64(),
    );
    if let Some(at) = first_expiry {
        let at = Duration::from_millis(u64::try_from(*at).unwrap_or(0));
        let help = "When the first certificate of a grid expires, if there is one. On the acting leader only";
        seconds(registry, "certificate_expiry_timestamp_seconds", help, at.as_secs_f64());
    }
}
