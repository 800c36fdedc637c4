//! What the aggregator has heard of the hosts.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use rta_shared::impairment::{ImpairedPart, Impairment};
use rta_shared::name::Name;
use rta_shared::overview::AgentOverview;
use rta_shared::report::{ComponentReport, Report, ScanFigures};
use rta_shared::usage::Usage;

use crate::agent_id::AgentId;
use crate::clock::{ClockSkew, Receipt};

/// What one follower tells.
#[derive(Clone, Debug)]
pub(crate) enum News {
    /// The agent answered with a report.
    Report(Box<Report>, Receipt),
    /// The agent was asked for a report, and answered.
    Scanned(Box<Report>, Receipt),
    /// The agent's last report is still true.
    Heartbeat(ScanFigures, Receipt),
    /// What the host and its matched processes use.
    Usage(Usage),
    /// The agent does not answer, or answers nonsense: why, as a sentence.
    Lost(String),
}

/// What is known of every host. News is addressed by the agent it comes from: positions shift and names move
/// from one machine to another when the configuration changes.
#[derive(Debug, Default)]
pub(crate) struct Knowledge {
    positions: HashMap<AgentId, usize>,
    hosts: Vec<HostKnowledge>,
}

impl Knowledge {
    /// Nothing is known yet of the hosts with these agents.
    pub(crate) fn of(agents: impl Iterator<Item = AgentId>) -> Self {
        Self::default().carried_over(agents)
    }

    /// The same knowledge of the hosts with these agents: new ones are unheard, others are forgotten.
    pub(crate) fn carried_over(mut self, agents: impl Iterator<Item = AgentId>) -> Self {
        let mut after = Self::default();
        for (at, agent) in agents.enumerate() {
            let known = self.positions.get(&agent).and_then(|at| self.hosts.get_mut(*at));
            after.hosts.push(known.map(std::mem::take).unwrap_or_default());
            after.positions.insert(agent, at);
        }
        after
    }

    /// Takes in what an agent's follower tells; that of an agent whose host is gone is dropped. True where it
    /// may change anything but times and what is used.
    pub(crate) fn learn(&mut self, agent: AgentId, news: News) -> bool {
        let known = self.positions.get(&agent).and_then(|at| self.hosts.get_mut(*at));
        known.is_some_and(|known| known.learn(news))
    }

    /// Follows a step of the aggregator's own clock: what was received keeps its age.
    pub(crate) fn follow_step(&mut self, step: SignedDuration) {
        self.hosts.iter_mut().for_each(|host| host.follow_step(step));
    }

    /// What is known of each host, in the order in which the agents were given.
    pub(crate) fn hosts(&self) -> &[HostKnowledge] {
        &self.hosts
    }
}

/// What is known of one host at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostKnowledge {
    report: Option<Report>,
    /// Of the last message.
    receipt: Option<Receipt>,
    skew: ClockSkew,
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
            News::Scanned(report, _) if self.knows_better_than(&report) => false,
            News::Report(report, receipt) | News::Scanned(report, receipt) => {
                let is_skew_new = self.receive(receipt);
                let same = matches!(self.standing, Standing::Fresh)
                    && self.report.as_ref().is_some_and(|old| old.says_the_same_as(&report));
                self.report = Some(*report);
                self.standing = Standing::Fresh;
                !same || is_skew_new
            }
            News::Heartbeat(scan, receipt) => match &mut self.report {
                // A heartbeat vouches for a report; without one it says nothing.
                None => false,
                Some(report) => {
                    report.scan = scan;
                    let was_fresh = matches!(self.standing, Standing::Fresh);
                    self.standing = Standing::Fresh;
                    self.receive(receipt) || !was_fresh
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

    /// Takes in when a message was sent and received; true where another skew is reported from now on.
    fn receive(&mut self, receipt: Receipt) -> bool {
        self.receipt = Some(receipt);
        self.skew.measure(&receipt)
    }

    /// Follows a step of the aggregator's own clock.
    fn follow_step(&mut self, step: SignedDuration) {
        self.skew.begin_again();
        if let Some(receipt) = &mut self.receipt {
            receipt.received = receipt.received.checked_add(step).unwrap_or(receipt.received);
        }
    }

    /// Whether what the stream told is newer than a report that was asked for: that one came late, and nothing
    /// would ever correct it, since the agent has told the stream already.
    fn knows_better_than(&self, report: &Report) -> bool {
        self.is_reachable()
            && self.report.as_ref().is_some_and(|known| {
                known.boot_id == report.boot_id && known.scan.seen_at > report.scan.seen_at
            })
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
            seen_at: self.by_own_clock(report.scan.seen_at)?,
            scan_micros: u64::try_from(report.scan.duration.as_micros()).unwrap_or(u64::MAX),
            processes_seen: report.scan.processes_seen,
            config_digest: report.config.digest.clone(),
            config_error: report.config.error.clone(),
            // An older agent does not tell; that is no difference.
            config_differs: !report.config.digest.is_empty() && report.config.digest != digest,
            certificate_ends: report.certificate_ends,
            boot_id: report.boot_id.clone(),
        })
    }

    /// Returns what is impaired in watching the host; `digest` is that of the aggregator's configuration. Empty while
    /// the host is unknown: what its agent said then may have changed.
    pub(crate) fn impairments(&self, digest: &str) -> Vec<Impairment> {
        let Some(report) = self.report.as_ref().filter(|_| self.is_reachable()) else { return Vec::new() };
        let mut impairments = report.impairments.clone();
        for impairment in &mut impairments {
            impairment.since = impairment.since.map(|at| self.skew.correct(at));
        }
        impairments.extend(self.skew.impairment());
        let configuration = |message: String| Impairment::new(ImpairedPart::Configuration, message);
        if let Some(error) = &report.config.error {
            let first = error.lines().next().unwrap_or_default();
            impairments.push(configuration(format!("the agent refused a new configuration: {first}")));
        }
        if !report.config.digest.is_empty() && report.config.digest != digest {
            let message = "the agent's configuration differs from the aggregator's; give both the same files, then \
                           run rta config reload";
            impairments.push(configuration(message.to_owned()));
        }
        impairments.sort();
        impairments
    }

    /// What the host uses, with its times by the aggregator's clock; `None` where it is not known to be so still.
    pub(crate) fn usage(&self) -> Option<Usage> {
        let mut usage = self.usage.clone().filter(|_| self.is_reachable())?;
        usage.measured_at = self.skew.correct(usage.measured_at);
        usage.booted_at = usage.booted_at.map(|at| self.skew.correct(at));
        Some(usage)
    }

    /// When the last full scan heard of ended, by the aggregator's clock.
    pub(crate) fn scanned_at(&self) -> Option<Timestamp> {
        self.by_own_clock(self.report.as_ref()?.scan.scanned_at)
    }

    /// Returns a time of the last report's scan by the aggregator's clock.
    fn by_own_clock(&self, then: Timestamp) -> Option<Timestamp> {
        let seen = self.report.as_ref()?.scan.seen_at;
        Some(self.receipt.as_ref()?.by_own_clock(then, seen))
    }

    /// Returns how far the host's clock differs, for the times in its report.
    pub(crate) fn skew(&self) -> &ClockSkew {
        &self.skew
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

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(reason: &str) -> News {
        News::Lost(reason.to_owned())
    }

    fn errors(knowledge: &Knowledge) -> Vec<Option<&str>> {
        knowledge.hosts().iter().map(HostKnowledge::error).collect()
    }

    #[test]
    fn knowledge_moves_with_its_agent_and_late_news_reaches_nobody_else() {
        let [a, b, c, replaced] = [(); 4].map(|()| AgentId::fresh());
        let mut knowledge = Knowledge::of([a, b, c].into_iter());
        for (agent, reason) in [(a, "a"), (b, "b"), (c, "c")] {
            assert!(knowledge.learn(agent, lost(reason)));
        }
        // a's host is removed, b's is given another address, c's moves to the front.
        let mut knowledge = knowledge.carried_over([c, replaced].into_iter());
        assert_eq!(errors(&knowledge), [Some("c"), None]);
        for gone in [a, b] {
            assert!(!knowledge.learn(gone, lost("late")));
        }
        assert_eq!(errors(&knowledge), [Some("c"), None]);
        assert!(knowledge.learn(replaced, lost("new")));
        assert_eq!(errors(&knowledge), [Some("c"), Some("new")]);
    }
}
