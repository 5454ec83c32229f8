//! What agents report of their hosts.

use std::time::Duration;

use kontena_core::election::HolderId;
use kontena_wire::agent::{Driver, NodeReport};
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, DateTime, Document, doc};

use super::sessions::filter;
use super::{HOST_NODES, HostNodes, Session};
use crate::command::{Failure, write_each};
use crate::document::whole;

/// A report of a session.
#[derive(Clone, Debug)]
pub struct Reported {
    /// Whose it is.
    pub session: Session,
    /// What it says.
    pub report: NodeReport,
}

impl HostNodes {
    /// Takes in reports of sessions of `master`. Reports of sessions that are not in force change nothing.
    pub async fn report(
        &self,
        reports: &[Reported],
        master: HolderId,
        limit: Duration,
    ) -> Result<(), Failure> {
        let mut updates = Vec::new();
        for Reported { session, report } in reports {
            let in_force = filter(*session, master);
            if !report.labels.is_empty() {
                let mut without_labels = in_force.clone();
                without_labels.insert("labels", doc! { "$in": [Bson::Null, []] });
                let labels = doc! { "$set": { "labels": &report.labels } };
                updates.push(doc! { "q": without_labels, "u": labels });
            }
            updates.push(doc! { "q": in_force, "u": { "$set": fields(report) } });
        }
        if updates.is_empty() {
            return Ok(());
        }
        write_each(self.store.database(), doc! { "update": HOST_NODES, "updates": updates }, limit)
            .await
            .map(drop)
    }
}

fn fields(report: &NodeReport) -> Document {
    let NodeReport {
        os,
        docker_root_dir,
        driver,
        execution_driver,
        kernel_version,
        agent_version,
        docker_version,
        public_ip,
        private_ip,
        mem_total,
        cpus,
        labels: _,
        volume_drivers,
        network_drivers,
    } = report;
    let number = |number: &Option<i64>| number.map_or(Bson::Null, whole);
    doc! {
        "os": os, "docker_root_dir": docker_root_dir, "driver": driver, "execution_driver": execution_driver,
        "kernel_version": kernel_version, "agent_version": agent_version, "docker_version": docker_version,
        "public_ip": public_ip, "private_ip": private_ip,
        "mem_total": number(mem_total), "cpus": number(cpus),
        // The engine tells these three as truth values, which the original stored as this.
        "ipv4_forwarding": 0, "mem_limit": 0, "swap_limit": 0,
        "volume_drivers": drivers(volume_drivers), "network_drivers": drivers(network_drivers),
        "updated": true, "updated_at": DateTime::now(),
    }
}

fn drivers(drivers: &[Driver]) -> Vec<Document> {
    let document = |driver: &Driver| {
        let Driver { name, version } = driver;
        let mut document = doc! { "_id": ObjectId::new(), "name": name };
        if let Some(version) = version {
            document.insert("version", version);
        }
        document
    };
    drivers.iter().map(document).collect()
}
