//! Counts for Prometheus, by the names that Centrifugo's dashboards know where they exist there.
//!
//! Nothing is counted here: every scrape asks the workers what they last said, so that the hot
//! paths write plain numbers of their own thread.

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::web::{self, ServiceConfig};
use campanile_engine::node::Node;
use campanile_engine::shard::{ShardStats, ShardTotals};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::transport::{Admission, WorkerPool};

/// See the [module](self).
pub struct Metrics {
    registry: Registry,
}

/// Reads all workers at each scrape.
struct Workers {
    node: Arc<Node>,
    workers: Arc<WorkerPool>,
    admission: Arc<Admission>,
}

impl std::fmt::Debug for Workers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Workers")
    }
}

impl Metrics {
    /// Metrics of this node.
    #[must_use]
    pub fn new(node: Arc<Node>, workers: Arc<WorkerPool>, admission: Arc<Admission>) -> Self {
        let mut registry = Registry::with_prefix("centrifugo");
        registry.register_collector(Box::new(Workers {
            node,
            workers,
            admission,
        }));
        Self { registry }
    }

    /// Adds the page at `path`.
    pub fn configure(self: &Arc<Self>, path: &str, services: &mut ServiceConfig) {
        let metrics = Arc::clone(self);
        services.route(
            path,
            web::get().to(move || {
                let response = metrics.response();
                async move { response }
            }),
        );
    }

    fn response(&self) -> HttpResponse {
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => HttpResponse::Ok()
                .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
                .body(text),
            Err(_) => HttpResponse::InternalServerError().finish(),
        }
    }
}

impl Workers {
    fn gauges(&self, stats: ShardStats) -> [(&'static str, &'static str, u64); 8] {
        let budget = self.node.budget();
        [
            ("node_num_clients", "Live sessions", stats.clients as u64),
            (
                "node_num_users",
                "Users with live sessions",
                stats.users as u64,
            ),
            (
                "node_num_channels",
                "Channels with subscribers",
                stats.channels as u64,
            ),
            (
                "node_num_subscriptions",
                "Subscriptions",
                stats.subscriptions as u64,
            ),
            ("node_num_nodes", "Nodes", 1),
            (
                "connections_inflight",
                "Open connections",
                self.admission.connections() as u64,
            ),
            (
                "outbound_queue_bytes",
                "Bytes waiting to be written",
                budget.queued(),
            ),
            (
                "stored_bytes",
                "Bytes of history and idempotency keys",
                budget.stored(),
            ),
        ]
    }

    fn counters(&self, totals: ShardTotals) -> [(&'static str, &'static str, u64); 8] {
        let refused = self.admission.refused() as u64;
        [
            (
                "transport_messages_sent",
                "Messages put into outbound queues",
                totals.deliveries,
            ),
            (
                "transport_messages_received",
                "Commands of clients",
                totals.commands,
            ),
            (
                "client_recover_recovered",
                "Recoveries without a loss",
                totals.recovered,
            ),
            (
                "client_recover_unrecovered",
                "Recoveries with a loss",
                totals.unrecovered,
            ),
            (
                "client_disconnects_slow",
                "Clients closed for reading too slowly",
                totals.slow,
            ),
            ("repairs", "Gaps repaired from history", totals.repairs),
            (
                "session_panics",
                "Sessions closed for a panic",
                totals.panics,
            ),
            (
                "node_client_connection_limit",
                "Connections refused",
                refused,
            ),
        ]
    }
}

impl Collector for Workers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let mut stats = ShardStats::default();
        let mut totals = ShardTotals::default();
        for report in self.workers.reports() {
            let (more_stats, more_totals) = report.read();
            stats = stats + more_stats;
            totals = totals + more_totals;
        }
        let gauges = self.gauges(stats).map(|metric| (metric, MetricType::Gauge));
        // Not as counters: the text format would append `_total` to names that dashboards know
        // without it.
        let counters = self
            .counters(totals)
            .map(|metric| (metric, MetricType::Unknown));
        for ((name, help, value), kind) in gauges.into_iter().chain(counters) {
            let value = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            value.encode(encoder.encode_descriptor(name, help, None, kind)?)?;
        }
        Ok(())
    }
}
