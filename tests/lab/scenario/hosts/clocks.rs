//! One master under libfaketime: the election must not trust any clock but the difference of its own.

use anyhow::Result;
use tokio::time::sleep;

use crate::hosts::Cluster;
use crate::report::Report;

/// A master whose clocks are off must neither lose nor take the lease for it.
pub(super) async fn clocks(cluster: &mut Cluster, report: &mut Report) -> Result<()> {
    const WRONG: [(&str, &str); 3] = [
        ("-1h", "its wall clock an hour behind"),
        ("+0 x0.97", "its clocks 3 % slow"),
        ("+0 x1.03", "its clocks 3 % fast"),
    ];
    const DROP_IN: &str = "/etc/systemd/system/kontena-master.service.d/clock.conf";
    for (faked, words) in WRONG {
        let (host, _) = cluster.settled().await?;
        eprintln!("  host {host} with {words}");
        let text = format!(
            "[Service]\nEnvironment=LD_PRELOAD=/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1\n\
             Environment=\"FAKETIME={faked}\" FAKETIME_DONT_RESET=1 DONT_FAKE_MONOTONIC={}\n",
            u8::from(faked == "-1h")
        );
        cluster.script.write(host, DROP_IN, 0o644, &text).await?;
        cluster.script.shell(host, "systemctl daemon-reload; systemctl restart kontena-master").await?;
        // It leads itself once, and follows once.
        for leads in [false, true] {
            cluster.give_to(host, leads).await?;
            let (leader, term) = cluster.settled().await?;
            sleep(5 * cluster.access.ttl).await;
            let (after, later) = cluster.settled().await?;
            eprintln!("    host {leader} leads, term {term}; later host {after}, term {later}");
            report.violations("false_takeovers", later - term);
        }
        cluster
            .script
            .shell(host, &format!("rm {DROP_IN}; systemctl daemon-reload; systemctl restart kontena-master"))
            .await?;
    }
    cluster.settled().await.map(drop)
}
