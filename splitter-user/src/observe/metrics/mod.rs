//! Owns the form of a sample for Prometheus: OpenMetrics 1.0, and the older text format for whoever
//! asks for it.
//!
//! Invariant: labels are service, version, backend, reason, interface and cohort, and a digest of all that is
//! configured, so that there are as many series as the configuration says and no client adds one. Units are base units:
//! seconds, bytes. What a forward method cannot see is left out, never 0. `docs/METRICS.md` names
//! every metric, and a test holds it to that.

mod families;
mod histograms;

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, prometheus_text, text},
    metrics::MetricType,
    registry::{Registry, Unit},
};
use splitter_common::reason::{Reason, Verdict};

use self::families::{
    Family, INTERFACE_GAUGES, MET_EMPTY, OF_BACKENDS, OF_HTTP, OF_VERSIONS, TABLE_EVENTS,
    VERSION_GAUGES, verdict,
};
use super::{
    Sample, Times,
    roster::{Host, ServiceEntry, VersionEntry},
    sampler::VersionSample,
};

/// The content type of OpenMetrics.
pub const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The content type of the older text format.
pub const TEXT: &str = prometheus_text::CONTENT_TYPE;

/// What is exported.
#[derive(Clone, Debug, Default)]
pub struct Export {
    /// What was counted.
    pub sample: Arc<Sample>,
    /// What else there is.
    pub host: Arc<Host>,
}

/// The text of all metrics, in OpenMetrics where `open_metrics` is set.
pub fn text(export: Export, open_metrics: bool) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("splitter");
    registry.register_collector(Box::new(export));
    let mut text = String::new();
    if open_metrics {
        text::encode(&mut text, &registry)?;
    } else {
        prometheus_text::encode(&mut text, &registry)?;
    }
    Ok(text)
}

/// Whether a request takes OpenMetrics: its `Accept` names it.
pub fn takes_open_metrics(accept: &str) -> bool {
    accept.contains("application/openmetrics-text")
}

type Labels<'a> = [(&'static str, &'a str)];

impl Collector for Export {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.versions(&mut encoder)?;
        self.backends(&mut encoder)?;
        for times in Times::ALL {
            self.times(&mut encoder, times)?;
        }
        self.packets(&mut encoder)?;
        self.tables(&mut encoder)?;
        self.interfaces(&mut encoder)?;
        self.cohorts(&mut encoder)?;
        let help = "What is configured and decides, weights, releases and the secret included";
        let mut info = encoder.encode_descriptor("config", help, None, MetricType::Info)?;
        info.encode_info(&[("digest", &*self.sample.roster.config_digest)])?;
        let of_host = [
            (
                "start_time",
                Some(Unit::Seconds),
                "When the daemon began, in seconds since 1970",
                self.host.began_s,
            ),
            (
                "generation",
                None,
                "Number of the newest committed configuration",
                f64::from(self.host.generation),
            ),
            (
                "lists_stale",
                None,
                "Whether a list or database has changed and is not in force",
                families::flag(self.host.lists_stale),
            ),
        ];
        for (name, unit, help, value) in of_host {
            let mut metric =
                encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
            metric.encode_gauge(&value)?;
        }
        Ok(())
    }
}

impl Export {
    /// Every version with its service and what it has counted.
    fn each_version(&self) -> impl Iterator<Item = (&ServiceEntry, &VersionEntry, &VersionSample)> {
        let services = self
            .sample
            .roster
            .services
            .iter()
            .zip(&self.sample.services);
        services.flat_map(|(service, counted)| {
            let versions = service.versions.iter().zip(counted);
            versions.map(move |(version, counted)| (service, version, counted))
        })
    }

    fn versions(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for family in OF_VERSIONS.iter().chain([&MET_EMPTY]) {
            counters(encoder, "version", family, |metric| {
                for (service, version, counted) in self.each_version() {
                    let labels = [("service", &*service.name), ("version", &*version.name)];
                    counter(metric, &labels, (family.of)(&counted.figures))?;
                }
                Ok(())
            })?;
        }
        if self.each_version().any(|(service, _, _)| service.http1) {
            for family in OF_HTTP {
                counters(encoder, "version", family, |metric| {
                    let read = self.each_version().filter(|(service, _, _)| service.http1);
                    for (service, version, counted) in read {
                        let labels = [("service", &*service.name), ("version", &*version.name)];
                        counter(metric, &labels, (family.of)(&counted.figures))?;
                    }
                    Ok(())
                })?;
            }
        }
        for each in VERSION_GAUGES {
            let unit = each.ratio.then_some(Unit::Other("ratio".to_owned()));
            let mut metric = encoder.encode_descriptor(
                each.name,
                each.help,
                unit.as_ref(),
                MetricType::Gauge,
            )?;
            for (service, version, _) in self.each_version() {
                if let Some(value) = (each.of)(version) {
                    let labels = [("service", &*service.name), ("version", &*version.name)];
                    gauge(&mut metric, &labels, value)?;
                }
            }
        }
        Ok(())
    }

    fn backends(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for family in OF_BACKENDS {
            counters(encoder, "backend", family, |metric| {
                for (service, version, counted) in self.each_version() {
                    for (backend, figures) in version.backends.iter().zip(&counted.backends) {
                        let labels = [
                            ("service", &*service.name),
                            ("version", &*version.name),
                            ("backend", &*backend.name),
                        ];
                        counter(metric, &labels, (family.of)(figures))?;
                    }
                }
                Ok(())
            })?;
        }
        let help = "1 while the backend gets new flows";
        let mut metric =
            encoder.encode_descriptor("backend_serves", help, None, MetricType::Gauge)?;
        for (service, version, _) in self.each_version() {
            for backend in &version.backends {
                let labels = [
                    ("service", &*service.name),
                    ("version", &*version.name),
                    ("backend", &*backend.name),
                ];
                gauge(&mut metric, &labels, families::flag(backend.serves))?;
            }
        }
        Ok(())
    }

    fn times(&self, encoder: &mut DescriptorEncoder<'_>, times: Times) -> fmt::Result {
        let (name, help) = families::of_times(times);
        let measured: Vec<_> = self
            .each_version()
            .filter_map(|(service, version, counted)| {
                Some((service, version, counted.figures.times(times)?))
            })
            .collect();
        if measured.is_empty() {
            return Ok(());
        }
        let unit = Unit::Seconds;
        let mut metric =
            encoder.encode_descriptor(name, help, Some(&unit), MetricType::Histogram)?;
        for (service, version, cells) in measured {
            let labels = [("service", &*service.name), ("version", &*version.name)];
            let told = histograms::Exported::of(&cells);
            metric
                .encode_family(&labels)?
                .encode_histogram::<NoLabelSet>(told.sum_s, told.count, &told.buckets, None)?;
        }
        Ok(())
    }

    /// Every packet stands under one verdict and one reason.
    fn packets(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for told in Verdict::ALL {
            let (name, help) = verdict(told);
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (reason, _, packets) in self.sample.reasons.iter().filter(|each| each.1 == told) {
                let reason: Reason = *reason;
                counter(&mut metric, &[("reason", reason.name())], *packets)?;
            }
        }
        Ok(())
    }

    fn tables(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for (event, name, help) in TABLE_EVENTS {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            let count = self.sample.table_events[event as usize];
            metric.encode_counter::<NoLabelSet, _, u64>(&count, None)?;
        }
        for table in &self.host.tables {
            let (entries, limit) = if table.established {
                ("established_flow_entries", "established_flow_entries_limit")
            } else {
                ("pending_flow_entries", "pending_flow_entries_limit")
            };
            let help = "Entries of the flow table, as estimated from a sample of it";
            let mut metric = encoder.encode_descriptor(entries, help, None, MetricType::Gauge)?;
            metric.encode_gauge(&(table.entries as f64))?;
            let help = "Entries for which the flow table has room";
            let mut metric = encoder.encode_descriptor(limit, help, None, MetricType::Gauge)?;
            metric.encode_gauge(&f64::from(table.capacity))?;
        }
        Ok(())
    }

    /// Those that the configuration names.
    fn cohorts(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        if self.host.cohorts.is_empty() {
            return Ok(());
        }
        let help = "Members of a cohort that segments ask for";
        let mut metric =
            encoder.encode_descriptor("cohort_members", help, None, MetricType::Gauge)?;
        for (cohort, members) in &self.host.cohorts {
            gauge(&mut metric, &[("cohort", cohort)], *members as f64)?;
        }
        Ok(())
    }

    fn interfaces(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for each in INTERFACE_GAUGES {
            let mut metric =
                encoder.encode_descriptor(each.name, each.help, None, MetricType::Gauge)?;
            for interface in &self.host.interfaces {
                if let Some(value) = (each.of)(interface) {
                    gauge(&mut metric, &[("interface", &*interface.name)], value)?;
                }
            }
        }
        Ok(())
    }
}

/// A family of counters under its whole name.
fn counters(
    encoder: &mut DescriptorEncoder<'_>,
    of: &str,
    family: &Family,
    each: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
) -> fmt::Result {
    let name = format!("{of}_{}", family.name);
    let unit = family.bytes.then_some(Unit::Bytes);
    let mut metric =
        encoder.encode_descriptor(&name, family.help, unit.as_ref(), MetricType::Counter)?;
    each(&mut metric)
}

fn counter(metric: &mut MetricEncoder<'_>, labels: &Labels<'_>, count: u64) -> fmt::Result {
    let mut one = metric.encode_family(&labels)?;
    one.encode_counter::<NoLabelSet, _, u64>(&count, None)
}

fn gauge(metric: &mut MetricEncoder<'_>, labels: &Labels<'_>, value: f64) -> fmt::Result {
    metric.encode_family(&labels)?.encode_gauge(&value)
}

#[cfg(test)]
mod tests;
