//! What it costs to look whether any service must be deployed again: all grids read and judged, as the leader does it.

use std::time::Duration;

use anyhow::Result;
use kontena_core::reschedule::{Verdict, judge};
use kontena_store::{CommandCounter, DatabaseUri, Purpose, Store};
use secrecy::SecretString;
use tokio::time::Instant;

use crate::report::Report;

const ROUNDS: usize = 20;
/// As many grids as the leader reads at once.
const TOGETHER: usize = 20;
const LIMIT: Duration = Duration::from_secs(10);

/// Of services that were all deployed well none may be deployed again.
pub(super) async fn measure(uri: &str, report: &mut Report) -> Result<()> {
    let uri = DatabaseUri::from(SecretString::from(uri));
    let store = Store::open(&uri, Purpose::Main, &CommandCounter::default()).await?;
    let mut unsettled = 0;
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let rescheduling = store.rescheduling();
        let grids = rescheduling.grids(LIMIT).await?;
        unsettled = 0;
        for some in grids.chunks(TOGETHER) {
            for situation in rescheduling.of_grids(some, LIMIT).await? {
                for candidate in &situation.services {
                    let judged = judge(&situation.grid, &candidate.service, &candidate.facts);
                    unsettled += u64::from(matches!(judged.verdict, Verdict::Deploy(_)));
                }
            }
        }
        report.sample("rescheduling_pass_ms", began.elapsed().as_secs_f64() * 1e3);
    }
    report.violations("unsettled_services", unsettled);
    Ok(())
}
