//! Counts for Prometheus, by the names that Centrifugo's dashboards know where they exist there.
//!
//! Nothing is counted here: every scrape asks the shards, so that the hot paths write plain numbers
//! of their own thread. What proxies are asked is counted where they are asked.

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::web::{self, ServiceConfig};
use campanile_engine::node::Node;
use campanile_engine::shard::ShardReport;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::proxy::ProxyMetrics;
use crate::transport::Admission;
use crate::vitals::{Plain, Vitals};

/// See the [module](self).
#[derive(Clone)]
pub struct Metrics {
    node: Arc<Node>,
    admission: Arc<Admission>,
    backbone: Vec<Arc<dyn Vitals>>,
    proxies: ProxyMetrics,
}

impl Metrics {
    /// Metrics of this node and of what it stands on.
    #[must_use]
    pub fn new(node: Arc<Node>, admission: Arc<Admission>, backbone: Vec<Arc<dyn Vitals>>) -> Self {
        Self {
            node,
            admission,
            backbone,
            proxies: ProxyMetrics::default(),
        }
    }

    /// The same with what proxies are asked.
    #[must_use]
    pub fn with_proxies(mut self, proxies: ProxyMetrics) -> Self {
        self.proxies = proxies;
        self
    }

    /// Adds the page at `path`.
    pub fn configure(&self, path: &str, services: &mut ServiceConfig) {
        let metrics = self.clone();
        let page = move || {
            let metrics = metrics.clone();
            async move { metrics.page().await }
        };
        services.route(path, web::get().to(page));
    }

    async fn page(&self) -> HttpResponse {
        let report = self.node.report().await;
        let mut registry = Registry::with_prefix("centrifugo");
        let (mut gauges, mut counters) = (self.gauges(&report), self.counters(&report));
        for part in &self.backbone {
            gauges.extend(part.gauges());
            counters.extend(part.counters());
        }
        registry.register_collector(Box::new(Scrape {
            gauges,
            counters,
            report,
            proxies: self.proxies.clone(),
        }));
        let mut text = String::new();
        match encode(&mut text, &registry) {
            Ok(()) => HttpResponse::Ok()
                .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
                .body(text),
            Err(_) => HttpResponse::InternalServerError().finish(),
        }
    }

    fn gauges(&self, report: &ShardReport) -> Vec<Plain> {
        let budget = self.node.budget();
        let stats = report.stats;
        let peers = self
            .node
            .cluster()
            .map_or(0, |cluster| cluster.counts().peers);
        let nodes = 1 + peers as u64;
        let connections = self.admission.connections() as u64;
        vec![
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
            ("node_num_nodes", "Nodes that are known here", nodes),
            (
                "client_connections_inflight",
                "Open connections",
                connections,
            ),
            (
                "outbound_queue_bytes",
                "Bytes waiting to be written",
                budget.queued(),
            ),
            (
                "stored_bytes",
                "Bytes of memory that history and idempotency keys take",
                budget.stored(),
            ),
        ]
    }

    fn counters(&self, report: &ShardReport) -> Vec<Plain> {
        let totals = report.totals;
        let refused = self.admission.refused() as u64;
        vec![
            (
                "transport_messages_sent",
                "Messages put into outbound queues",
                totals.deliveries,
            ),
            (
                "compressions",
                "Messages compressed, each once for all who get it",
                totals.compressions,
            ),
            (
                "transport_messages_received",
                "Commands of clients",
                totals.commands,
            ),
            (
                "client_disconnects_slow",
                "Clients closed for reading too slowly",
                totals.slow,
            ),
            ("repairs", "Gaps repaired from history", totals.repairs),
            (
                "unpositioned_losses",
                "Gaps that subscribers without positioning were not told of",
                totals.losses,
            ),
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

/// What one scrape tells.
#[derive(Debug)]
struct Scrape {
    gauges: Vec<Plain>,
    counters: Vec<Plain>,
    report: ShardReport,
    proxies: ProxyMetrics,
}

/// Counters are not declared as such: the text format would append `_total` to names that
/// dashboards know without it.
const COUNTER: MetricType = MetricType::Unknown;

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let gauges = self.gauges.iter().map(|metric| (metric, MetricType::Gauge));
        let counters = self.counters.iter().map(|metric| (metric, COUNTER));
        for ((name, help, value), kind) in gauges.chain(counters) {
            number(*value).encode(encoder.encode_descriptor(name, help, None, kind)?)?;
        }
        let (codes, totals) = (&self.report.codes, self.report.totals);
        let build = [(env!("CARGO_PKG_VERSION"), 1)];
        labelled(&mut encoder, ("node_build", "Version"), "version", build)?;
        let recoveries = [("yes", totals.recovered), ("no", totals.unrecovered)];
        labelled(
            &mut encoder,
            ("client_recover", "Recoveries"),
            "recovered",
            recoveries,
        )?;
        let by_code = ("client_num_server_disconnects", "Connections ended");
        labelled(&mut encoder, by_code, "code", texts(&codes.disconnects))?;
        let by_code = ("client_num_server_unsubscribes", "Subscriptions ended");
        labelled(&mut encoder, by_code, "code", texts(&codes.unsubscribes))?;
        let by_code = ("client_num_reply_errors", "Commands refused");
        labelled(&mut encoder, by_code, "code", texts(&codes.refusals))?;
        proxies(&mut encoder, &self.proxies)
    }
}

/// What proxies were asked, by kind and by their names.
fn proxies(encoder: &mut DescriptorEncoder<'_>, proxies: &ProxyMetrics) -> std::fmt::Result {
    let (name, help) = (
        "proxy_duration_seconds_histogram",
        "Answers and failures of proxies",
    );
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    for (labels, meter) in proxies.meters() {
        meter.duration.encode(family.encode_family(&labels)?)?;
    }
    let (name, help) = ("proxy_errors", "Failures of proxies");
    let mut family = encoder.encode_descriptor(name, help, None, COUNTER)?;
    for (labels, meter) in proxies.meters() {
        number(meter.errors()).encode(family.encode_family(&labels)?)?;
    }
    let (name, help) = ("proxy_inflight_requests", "Questions to proxies under way");
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (labels, meter) in proxies.meters() {
        number(meter.inflight()).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

/// Tells one counter for each value of a label.
fn labelled<L: AsRef<str>>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): (&str, &str),
    label: &str,
    counts: impl IntoIterator<Item = (L, u64)>,
) -> std::fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, COUNTER)?;
    for (value, count) in counts {
        number(count).encode(family.encode_family(&[(label, value.as_ref())])?)?;
    }
    Ok(())
}

fn texts<K: ToString>(
    counts: &std::collections::BTreeMap<K, u64>,
) -> impl Iterator<Item = (String, u64)> {
    counts
        .iter()
        .map(|(code, count)| (code.to_string(), *count))
}

fn number(value: u64) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::proxy::Kind;

    #[derive(Debug)]
    struct OnlyProxies(ProxyMetrics);

    impl Collector for OnlyProxies {
        fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
            proxies(&mut encoder, &self.0)
        }
    }

    #[test]
    fn proxies_are_told_by_kind_and_name() {
        let mut metrics = ProxyMetrics::default();
        let meter = metrics.meter(Kind::SubRefresh, "billing");
        meter.began();
        meter.began();
        meter.ended(Duration::from_millis(3));
        meter.failed();
        let mut registry = Registry::with_prefix("centrifugo");
        registry.register_collector(Box::new(OnlyProxies(metrics)));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let labels = r#"protocol="http",type="sub_refresh",name="billing""#;
        for line in [
            format!("proxy_duration_seconds_histogram_count{{{labels}}} 1"),
            format!(r#"proxy_duration_seconds_histogram_bucket{{le="0.0025",{labels}}} 0"#),
            format!(r#"proxy_duration_seconds_histogram_bucket{{le="0.005",{labels}}} 1"#),
            format!("proxy_errors{{{labels}}} 1"),
            format!("proxy_inflight_requests{{{labels}}} 1"),
        ] {
            let line = format!("centrifugo_{line}\n");
            assert!(text.contains(&line), "{line} is not in {text}");
        }
    }
}
