//! What the aggregator has heard of one host.

use jiff::Timestamp;
use rta_shared::name::Name;
use rta_shared::overview::AgentOverview;
use rta_shared::report::{ComponentReport, Report, ScanFigures};
use rta_shared::usage::Usage;

/// What one follower tells.
#[derive(Clone, Debug)]
pub(crate) enum News {
    /// The agent answered with a report.
    Report(Box<Report>),
    /// The agent's last report is still true.
    Heartbeat(ScanFigures),
    /// What the host and its matched processes use.
    Usage(Usage),
    /// The agent does not answer, or answers nonsense: why, as a sentence.
    Lost(String),
}

/// What is known of one host at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostKnowledge {
    report: Option<Report>,
    standing: Standing,
    usage: Option<Usage>,
}

#[derive(Clone, Debug, Default)]
enum Standing {
    /// Nothing was heard, neither good nor bad.
    #[default]
    Unheard,
    /// The last report is fresh.
    Fresh,
    /// The last report is history.
    Lost(String),
}

impl HostKnowledge {
    /// Takes in what a follower tells. True where it may change anything but times and what is used.
    pub(crate) fn learn(&mut self, news: News) -> bool {
        match news {
            News::Report(report) => {
                let same = matches!(self.standing, Standing::Fresh)
                    && self.report.as_ref().is_some_and(|old| old.says_the_same_as(&report));
                self.report = Some(*report);
                self.standing = Standing::Fresh;
                !same
            }
            News::Heartbeat(scan) => match &mut self.report {
                // A heartbeat vouches for a report; without one it says nothing.
                None => false,
                Some(report) => {
                    report.scan = scan;
                    let was_fresh = matches!(self.standing, Standing::Fresh);
                    self.standing = Standing::Fresh;
                    !was_fresh
                }
            },
            News::Usage(usage) => {
                self.usage = Some(usage);
                false
            }
            News::Lost(reason) => {
                let same = matches!(&self.standing, Standing::Lost(old) if *old == reason);
                self.standing = Standing::Lost(reason);
                !same
            }
        }
    }

    /// Whether the agent answers, and its report is fresh.
    pub(crate) fn is_reachable(&self) -> bool {
        matches!(self.standing, Standing::Fresh)
    }

    /// What the agent said last of itself; `digest` is that of the aggregator's configuration.
    pub(crate) fn agent(&self, digest: &str) -> Option<AgentOverview> {
        let report = self.report.as_ref()?;
        Some(AgentOverview {
            version: report.agent_version.clone(),
            watch: report.watch.clone(),
            seen_at: report.scan.seen_at,
            scan_micros: u64::try_from(report.scan.duration.as_micros()).unwrap_or(u64::MAX),
            processes_seen: report.scan.processes_seen,
            config_digest: report.config.digest.clone(),
            config_error: report.config.error.clone(),
            config_differs: report.config.digest != digest,
        })
    }

    /// What the host uses; `None` where it is not known to be so still.
    pub(crate) fn usage(&self) -> Option<&Usage> {
        self.usage.as_ref().filter(|_| self.is_reachable())
    }

    /// When the last full scan heard of ended.
    pub(crate) fn scanned_at(&self) -> Option<Timestamp> {
        self.report.as_ref().map(|report| report.scan.scanned_at)
    }

    /// Why nothing certain is known of the host; `None` where something is, and before the first answer.
    pub(crate) fn error(&self) -> Option<&str> {
        match &self.standing {
            Standing::Lost(reason) => Some(reason),
            Standing::Unheard => None,
            Standing::Fresh => {
                self.report.as_ref().and_then(|report| report.components.as_ref().err()).map(String::as_str)
            }
        }
    }

    /// What the agent saw of a component; `Err` with the reason where that is not known.
    pub(crate) fn component(&self, host: &Name, component: &Name) -> Result<&ComponentReport, String> {
        match (&self.standing, &self.report) {
            (Standing::Lost(_), _) => Err(format!("the agent on {host} does not answer")),
            (Standing::Unheard, _) | (_, None) => Err(format!("the agent on {host} has not answered yet")),
            (Standing::Fresh, Some(report)) => match &report.components {
                Err(_) => Err(format!("the agent on {host} cannot see its processes")),
                Ok(components) => components.iter().find(|seen| seen.component == *component).ok_or_else(|| {
                    format!("the agent on {host} does not know this component; its configuration is another one")
                }),
            },
        }
    }
}
