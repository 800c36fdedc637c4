//! Metric families of the aggregator itself.

use rta_shared::impairment::ImpairedPart;
use rta_shared::metrics::{MetricDescription, count_value, time_value, truth_value};

use crate::store::StoreErrorCounts;

use super::MetricFamily;

/// Families, in the order in which they are written.
pub(super) const FAMILIES: &[MetricFamily] = &[
    MetricFamily {
        description: MetricDescription::gauge(
            "rta_build_info",
            "1; the label version is the version of the aggregator.",
            &["version"],
        ),
        collect: |_, samples| samples.add(&[env!("CARGO_PKG_VERSION")], 1.0),
    },
    MetricFamily {
        description: MetricDescription::gauge(
            "rta_start_time_seconds",
            "Start of the aggregator, in seconds since 1970.",
            &[],
        ),
        collect: |figures, samples| samples.add(&[], time_value(figures.started_at)),
    },
    MetricFamily {
        description: MetricDescription::gauge(
            "rta_config_info",
            "1; the label digest identifies the configuration that the aggregator uses.",
            &["digest"],
        ),
        collect: |figures, samples| samples.add(&[figures.overview.config_digest.as_str()], 1.0),
    },
    MetricFamily {
        description: MetricDescription::gauge(
            "rta_config_rejected",
            "1 if the aggregator rejected a newer configuration.",
            &[],
        ),
        collect: |figures, samples| samples.add(&[], truth_value(figures.overview.config_error.is_some())),
    },
    MetricFamily {
        description: MetricDescription::gauge(
            "rta_impaired",
            "1 if this part of the aggregator is impaired, for example store: events are not recorded.",
            &["part"],
        ),
        collect: |figures, samples| {
            ImpairedPart::ALL.into_iter().try_for_each(|part| {
                let is_impaired = figures.overview.impairments.iter().any(|one| one.part == part);
                samples.add(&[part.word()], truth_value(is_impaired))
            })
        },
    },
    MetricFamily {
        description: MetricDescription::counter(
            "rta_events",
            "Number of events since the aggregator began, by kind.",
            &["kind"],
        ),
        collect: |figures, samples| {
            let mut counts = figures.event_counts.iter();
            counts.try_for_each(|(kind, count)| samples.add(&[kind.word()], count_value(*count)))
        },
    },
    MetricFamily {
        description: MetricDescription::gauge(
            "rta_plans_running",
            "Number of plans that have not ended.",
            &[],
        ),
        collect: |figures, samples| {
            samples.add(&[], count_value(u64::try_from(figures.running_plans).unwrap_or_default()))
        },
    },
    MetricFamily {
        description: MetricDescription::counter(
            "rta_store_errors",
            "Number of failures of the store since the aggregator began, by kind: failed writes and reads, and \
               events and moments of the history that were lost.",
            &["kind"],
        ),
        collect: |figures, samples| {
            let StoreErrorCounts { write, read, lost_events, lost_samples } = figures.store_errors;
            let counts = [
                ("write", write),
                ("read", read),
                ("lost_event", lost_events),
                ("lost_sample", lost_samples),
            ];
            counts.into_iter().try_for_each(|(kind, count)| samples.add(&[kind], count_value(count)))
        },
    },
    MetricFamily {
        description: MetricDescription::counter(
            "rta_notifications",
            "Number of notifications since the aggregator began, by channel and outcome (delivered or given_up).",
            &["channel", "outcome"],
        ),
        collect: |figures, samples| {
            figures.channels.iter().try_for_each(|(channel, status)| {
                samples.add(&[channel, "delivered"], count_value(status.delivered))?;
                samples.add(&[channel, "given_up"], count_value(status.given_up))
            })
        },
    },
    MetricFamily {
        description: MetricDescription::gauge(
            "rta_notifications_waiting",
            "Number of notifications that a channel has not delivered yet.",
            &["channel"],
        ),
        collect: |figures, samples| {
            figures.channels.iter().try_for_each(|(channel, status)| {
                samples.add(&[channel], count_value(u64::try_from(status.waiting).unwrap_or_default()))
            })
        },
    },
    MetricFamily {
        description: MetricDescription::gauge(
            "rta_notification_channel_failing",
            "1 if the last attempt of the channel failed.",
            &["channel"],
        ),
        collect: |figures, samples| {
            let mut channels = figures.channels.iter();
            channels
                .try_for_each(|(name, status)| samples.add(&[name], truth_value(status.failure.is_some())))
        },
    },
];
