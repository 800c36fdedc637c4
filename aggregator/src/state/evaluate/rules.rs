//! Rules from an instance's own state and what it needs to its health, reason and root cause.

use std::fmt::Write as _;

use rta_shared::dependency::DependencyGraph;
use rta_shared::overview::{Health, InstanceId};
use rta_shared::probe::ProbeState;
use rta_shared::report::ComponentReport;

use super::local_health::local_health;

/// Maximum number of providers that a reason names, of one requirement.
const MAX_NAMED_PROVIDERS: usize = 3;

/// Maximum number of unmet requirements that a reason names.
const MAX_NAMED_REQUIREMENTS: usize = 5;

/// Health of one instance with its reason and root cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HealthResult {
    pub(crate) health: Health,
    pub(crate) reason: String,
    pub(crate) cause: Option<RootHealth>,
}

/// Instance that is a root cause, and its health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RootHealth {
    /// Position in the graph.
    pub(crate) at: usize,
    pub(crate) health: Health,
}

impl HealthResult {
    pub(crate) fn without_cause(health: Health, reason: impl Into<String>) -> Self {
        Self { health, reason: reason.into(), cause: None }
    }

    /// Returns true if `other` means the same to the instances that need this one: its reason does not matter
    /// to them.
    pub(super) fn serves_like(&self, other: &Self) -> bool {
        (self.health, self.cause) == (other.health, other.cause)
    }
}

/// Group of providers of which none is known to be up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UnmetGroup {
    /// True if certainly none of them is up.
    is_certain: bool,
    /// Provider that stands for the others: the first unknown one, or the first.
    representative: RootHealth,
    /// Root cause of the representative's health, if it is another instance.
    cause: Option<RootHealth>,
    /// The first providers, with their health, if there are several; then the number of all.
    named: Vec<RootHealth>,
    count: usize,
}

impl UnmetGroup {
    /// Returns the state of a group of `providers`, of which none is up; `None` without providers.
    pub(super) fn new(providers: &[usize], results: &[HealthResult]) -> Option<Self> {
        let with_health = |at: &usize| RootHealth { at: *at, health: results[*at].health };
        // A provider in unknown health may be up, which makes the failure uncertain; it is named as the
        // reason.
        let unknown = providers.iter().find(|at| results[**at].health == Health::Unknown);
        let representative = unknown.or(providers.first())?;
        let named = match providers.len() {
            1 => Vec::new(),
            _ => providers.iter().take(MAX_NAMED_PROVIDERS).map(with_health).collect(),
        };
        Some(Self {
            is_certain: unknown.is_none(),
            representative: with_health(representative),
            cause: results[*representative].cause,
            named,
            count: providers.len(),
        })
    }

    fn root(&self) -> RootHealth {
        self.cause.unwrap_or(self.representative)
    }

    /// Returns the sentence for an instance that needs the group.
    fn sentence(&self, graph: &DependencyGraph, needing: &InstanceId) -> String {
        let relative = |at: usize| relative_name(needing, graph.id(at));
        let representative = self.representative;
        match (self.cause, self.count) {
            (None, 1) => format!("{} is {}", relative(representative.at), representative.health),
            (Some(root), 1) => {
                format!(
                    "{} is {}, which {} needs",
                    relative(root.at),
                    root.health,
                    relative(representative.at)
                )
            }
            (_, count) => {
                let component = &graph.id(representative.at).component;
                let each = self.named.iter().map(|one| format!("{} {}", graph.id(one.at).host, one.health));
                let mut each = each.collect::<Vec<_>>().join(", ");
                if count > self.named.len() {
                    let _ = write!(each, " and {} more", count - self.named.len());
                }
                format!("none of {count} {component} is known to be up ({each})")
            }
        }
    }
}

/// Evaluates an instance from its report, or the reason why there is none, and the groups that it needs, of
/// which none is up.
pub(super) fn evaluate_instance<'u>(
    graph: &DependencyGraph,
    at: usize,
    seen: &Result<&ComponentReport, String>,
    unmet: impl Iterator<Item = &'u UnmetGroup>,
) -> HealthResult {
    let seen = match seen {
        Err(reason) => return HealthResult::without_cause(Health::Unknown, reason.clone()),
        Ok(seen) => seen,
    };
    let (health, reason) = local_health(seen);
    let own = HealthResult::without_cause(health, reason);
    match own.health {
        Health::Degraded if !has_failing_probe(seen) => {
            // A second or a suspended process is not caused by what the component lacks, so it is a root
            // cause.
            HealthResult { cause: None, ..evaluate_running(graph, at, own, unmet) }
        }
        Health::Up | Health::Degraded => evaluate_running(graph, at, own, unmet),
        Health::Down => {
            let awaited = seen.autostart.as_ref().map_or("", |autostart| autostart.waiting_for.as_str());
            evaluate_down(graph, at, own, awaited, unmet)
        }
        Health::Unknown => own,
    }
}

/// Returns whether an instance's probe fails, which may well be for want of what the instance needs.
fn has_failing_probe(seen: &ComponentReport) -> bool {
    seen.probe.as_ref().is_some_and(|probe| probe.state == ProbeState::Failing)
}

/// Evaluates a running instance with its requirements. If the instance is degraded by itself, unknown
/// requirements are ignored; one that is certainly unmet is likely to be the cause.
fn evaluate_running<'u>(
    graph: &DependencyGraph,
    at: usize,
    own: HealthResult,
    unmet: impl Iterator<Item = &'u UnmetGroup>,
) -> HealthResult {
    let mut unmet: Vec<&UnmetGroup> =
        unmet.filter(|unmet| unmet.is_certain || own.health != Health::Degraded).collect();
    // A root cause that affects several requirements is named once.
    let mut roots = Vec::new();
    unmet.retain(|unmet| {
        let root = unmet.root().at;
        let is_new = !roots.contains(&root);
        roots.push(root);
        is_new
    });
    // The first of the worst certain failures is the cause; an unknown requirement is the cause only if there
    // is no certain failure.
    let worst =
        unmet.iter().rev().filter(|unmet| unmet.is_certain).max_by_key(|unmet| unmet.root().health).copied();
    let Some(representative) = worst.or(unmet.first().copied()) else {
        return own;
    };
    let id = graph.id(at);
    let named = unmet.iter().take(MAX_NAMED_REQUIREMENTS).map(|unmet| unmet.sentence(graph, id));
    let mut sentences: Vec<String> =
        std::iter::once(own.reason).filter(|reason| !reason.is_empty()).chain(named).collect();
    match unmet.len().saturating_sub(MAX_NAMED_REQUIREMENTS) {
        0 => {}
        1 => sentences.push("1 more requirement is not met".to_owned()),
        more => sentences.push(format!("{more} more requirements are not met")),
    }
    HealthResult {
        health: if representative.is_certain { Health::Degraded } else { Health::Unknown },
        reason: sentences.join("; "),
        cause: Some(representative.root()),
    }
}

/// Evaluates an instance that is down with its requirements: the first one that is certainly down becomes its
/// root cause. `awaited` is what its agent waits for before it starts the instance, which the reason names
/// already.
fn evaluate_down<'u>(
    graph: &DependencyGraph,
    at: usize,
    own: HealthResult,
    awaited: &str,
    mut unmet: impl Iterator<Item = &'u UnmetGroup>,
) -> HealthResult {
    let lacked = unmet.find(|unmet| unmet.is_certain && unmet.root().health == Health::Down);
    let Some(root) = lacked.map(UnmetGroup::root) else { return own };
    let lacked = relative_name(graph.id(at), graph.id(root.at));
    // With several hosts: `kafka server on k1 or k2`.
    let is_named =
        awaited.strip_prefix(&lacked).is_some_and(|rest| rest.is_empty() || rest.starts_with(" or "));
    let reason = match is_named {
        true => own.reason,
        false => format!("{}; it also lacks {lacked}", own.reason),
    };
    HealthResult { reason, cause: Some(root), ..own }
}

/// Returns an instance's shortest unambiguous name as seen from another instance.
fn relative_name(needing: &InstanceId, other: &InstanceId) -> String {
    if other.environment != needing.environment {
        other.to_string()
    } else if other.host != needing.host {
        other.name_in_text()
    } else {
        other.component.to_string()
    }
}
