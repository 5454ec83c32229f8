//! What is counted of the link to Kontena Cloud.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    outcome: &'static str,
}

/// Of this process. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct CloudMetrics {
    /// 1 while the link stands.
    pub(crate) connected: Gauge,
    /// Links that were made.
    pub(crate) links: Counter,
    /// Events that the cloud has for certain.
    pub(crate) events: Counter,
    /// Events that were told again, though the cloud may have had them.
    pub(crate) repeated: Counter,
    /// How often events were missed.
    pub(crate) gaps: Counter,
    requests: Family<RequestLabels, Counter>,
}

impl CloudMetrics {
    /// Counts a request of the cloud.
    pub(crate) fn request(&self, answered: bool) {
        let outcome = if answered { "answered" } else { "refused" };
        self.requests.get_or_create(&RequestLabels { outcome }).inc();
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let Self { connected, links, events, repeated, gaps, requests } = self;
        registry.register(
            "cloud_connected",
            "1 while this master is linked to Kontena Cloud",
            connected.clone(),
        );
        registry.register("cloud_links", "Links to Kontena Cloud that this master made", links.clone());
        registry.register("cloud_events", "Events that Kontena Cloud has for certain", events.clone());
        registry.register(
            "cloud_repeated_events",
            "Events that Kontena Cloud may have got once more than it should",
            repeated.clone(),
        );
        registry.register(
            "cloud_gaps",
            "How often events for Kontena Cloud were missed, since the database did not remember them",
            gaps.clone(),
        );
        registry.register("cloud_requests", "Requests of Kontena Cloud", requests.clone());
    }
}
