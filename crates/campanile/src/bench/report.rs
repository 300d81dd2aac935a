//! What a scenario found, as a table and as JSON. Knows numbers and names, not where they come from.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::meter::{ServerUsage, Usage};

/// Above this share of a CPU the client itself may be what was measured.
const MAX_CLIENT_BUSY: f64 = 0.8;
/// Above this share of a CPU, other programs share caches and time with what is measured.
const MAX_OTHERS_BUSY: f64 = 0.2;

/// One figure, once for each round.
#[derive(Debug, Serialize)]
struct Metric {
    name: String,
    unit: &'static str,
    median: f64,
    rounds: Vec<f64>,
}

/// The result of a scenario.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    bench: &'static str,
    url: String,
    settings: BTreeMap<&'static str, String>,
    metrics: Vec<Metric>,
    /// Reasons to doubt the figures.
    flags: Vec<String>,
}

impl Report {
    pub(super) fn new(bench: &'static str, url: &str) -> Self {
        Self {
            bench,
            url: url.to_owned(),
            settings: BTreeMap::new(),
            metrics: Vec::new(),
            flags: Vec::new(),
        }
    }

    pub(super) fn setting(&mut self, name: &'static str, value: impl Into<String>) {
        self.settings.insert(name, value.into());
    }

    /// Adds the figure of one round.
    pub(super) fn record(&mut self, name: &str, unit: &'static str, value: f64) {
        let known = self.metrics.iter().position(|metric| metric.name == name);
        let index = known.unwrap_or_else(|| {
            let name = name.to_owned();
            self.metrics.push(Metric {
                name,
                unit,
                median: 0.0,
                rounds: Vec::new(),
            });
            self.metrics.len() - 1
        });
        let metric = &mut self.metrics[index];
        metric.rounds.push(value);
        metric.median = median(&metric.rounds);
    }

    /// Adds what a round of `count` units of work used.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub(super) fn record_usage(&mut self, usage: &Usage, unit_of_work: &str, count: u64) {
        let count = count as f64;
        self.record(
            &format!("{unit_of_work} rate"),
            "1/s",
            count / usage.wall.as_secs_f64(),
        );
        if let Some(ServerUsage { cpu, others_busy }) = usage.server {
            for (part, time) in [
                ("total", cpu.total()),
                ("user", cpu.user),
                ("system", cpu.system),
            ] {
                let micros = time.as_secs_f64() * 1e6 / count;
                self.record(
                    &format!("server CPU per {unit_of_work}, {part}"),
                    "µs",
                    micros,
                );
            }
            let busy = cpu.total().as_secs_f64() / usage.wall.as_secs_f64();
            self.record("server busy", "CPUs", busy);
            self.record("others busy", "CPUs", others_busy);
            if others_busy > MAX_OTHERS_BUSY {
                self.flag(format!(
                    "other programs used {others_busy:.1} CPUs in a round"
                ));
            }
        }
        self.record("client busy", "CPUs", usage.client_busy);
        if usage.client_busy > MAX_CLIENT_BUSY {
            self.flag(format!(
                "client {:.0} % busy in a round",
                usage.client_busy * 100.0
            ));
        }
    }

    /// Adds the latencies of one round, in microseconds.
    #[expect(clippy::cast_precision_loss, reason = "latencies are far below 2^52")]
    pub(super) fn record_latency(&mut self, latency: &Histogram<u64>) {
        if latency.is_empty() {
            return self.flag("no latency could be read from the payloads".to_owned());
        }
        for (name, quantile) in [("latency p50", 0.50), ("latency p99", 0.99)] {
            self.record(name, "ms", latency.value_at_quantile(quantile) as f64 / 1e3);
        }
    }

    /// Adds how many pings of the server were answered in the whole run.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub(super) fn record_pings(&mut self, pings: u64) {
        self.record("pings answered", "", pings as f64);
    }

    /// Adds a reason to doubt the figures.
    pub(super) fn flag(&mut self, reason: String) {
        self.flags.push(reason);
    }

    /// Writes the table, and the JSON where asked to.
    pub(super) fn print(&self, json: Option<&Path>) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        let Some(path) = json else {
            return stdout.write_all(self.table().as_bytes());
        };
        let text = serde_json::to_string(self)? + "\n";
        if path == Path::new("-") {
            return stdout.write_all(text.as_bytes());
        }
        stdout.write_all(self.table().as_bytes())?;
        std::fs::write(path, text)
    }

    fn table(&self) -> String {
        let mut table = format!("{} {}", self.bench, self.url);
        for (name, value) in &self.settings {
            let _ = write!(table, " {name}={value}");
        }
        let _ = writeln!(table, "\n{:<34}{:>12}  {:<8} rounds", "", "median", "");
        for Metric {
            name,
            unit,
            median,
            rounds,
        } in &self.metrics
        {
            let rounds: Vec<String> = rounds.iter().map(|value| short(*value)).collect();
            let median = short(*median);
            let _ = writeln!(
                table,
                "{name:<34}{median:>12}  {unit:<8} {}",
                rounds.join(" ")
            );
        }
        for flag in &self.flags {
            let _ = writeln!(table, "DOUBTFUL: {flag}");
        }
        table
    }
}

fn short(value: f64) -> String {
    if value.abs() < 100.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.0}")
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        length if length.is_multiple_of(2) => f64::midpoint(sorted[middle - 1], sorted[middle]),
        _ => sorted[middle],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_rounds_ignores_one_bad_round() {
        let mut report = Report::new("fanout", "ws://host/");
        for value in [5.0, 900.0, 6.0] {
            report.record("total", "µs", value);
        }
        assert!((report.metrics[0].median - 6.0).abs() < f64::EPSILON);
        assert!((median(&[1.0, 3.0]) - 2.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_busy_client_makes_the_report_doubtful() {
        let mut report = Report::new("fanout", "ws://host/");
        let wall = std::time::Duration::from_secs(1);
        report.record_usage(
            &Usage {
                wall,
                client_busy: 0.7,
                server: None,
            },
            "delivery",
            1,
        );
        assert!(!report.table().contains("DOUBTFUL"));
        report.record_usage(
            &Usage {
                wall,
                client_busy: 0.9,
                server: None,
            },
            "delivery",
            1,
        );
        assert!(report.table().contains("DOUBTFUL"));
    }
}
