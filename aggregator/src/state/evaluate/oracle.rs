//! Evaluation of everything, every time: what the incremental evaluation is compared with.
//!
//! It shares no rule with that, except for the health of a component by its own processes.

use jiff::Timestamp;
use rta_shared::config::{Component, Platform};
use rta_shared::dependency::{DependencyGraph, Requirement};
use rta_shared::overview::{EnvironmentOverview, Health, HostOverview, InstanceId, InstanceOverview};
use rta_shared::probe::ProbeState;
use rta_shared::report::ComponentReport;
use rta_shared::snapshot::Snapshot;

use crate::clock::ClockSkew;
use crate::state::evaluate::local_health::local_health;
use crate::state::host_state::HostState;

/// Evaluates the platform; `host_states` has one entry for each of its hosts, in its order.
pub(crate) fn evaluate_everything(
    platform: &Platform,
    graph: &DependencyGraph,
    host_states: &[HostState],
) -> Vec<Snapshot<EnvironmentOverview>> {
    let mut verdicts = evaluate_instances(platform, graph, host_states).into_iter();
    let mut host_states = host_states.iter();
    platform
        .environments
        .iter()
        .map(|environment| {
            let hosts: Vec<Snapshot<HostOverview>> = environment
                .hosts
                .iter()
                .zip(host_states.by_ref())
                .map(|(host, known)| {
                    let instances: Vec<Snapshot<InstanceOverview>> = host
                        .components
                        .iter()
                        .zip(verdicts.by_ref())
                        .map(|(name, verdict)| {
                            let seen = known.component_report(&host.name, name, usize::MAX).ok();
                            let component = platform.component(name.as_str());
                            let mut instance = InstanceOverview {
                                component: name.clone(),
                                state: seen.map(|seen| seen.state),
                                health: verdict.health,
                                processes: seen.map(|seen| seen.processes.clone()).unwrap_or_default(),
                                reason: verdict.reason,
                                cause: verdict.cause.map(|at| Box::new(graph.id(at).clone())),
                                startable: component.is_some_and(|component| component.start.is_some()),
                                parts: seen.map(|seen| seen.parts.clone()).unwrap_or_default(),
                                probe: seen.and_then(|seen| seen.probe.clone()),
                                action: seen.and_then(|seen| seen.action.clone()),
                                unit: seen.and_then(|seen| seen.unit.clone()),
                                down_cause: seen.and_then(|seen| seen.down_cause.clone()),
                                autostart: seen.and_then(|seen| seen.autostart.clone()),
                                maintenance: None,
                                stopped_by: None,
                                since: None,
                                has_log: component.is_some_and(Component::has_log),
                                never_ran: false,
                            };
                            correct_times(&mut instance, known.skew());
                            Snapshot::new(instance)
                        })
                        .collect();
                    Snapshot::new(HostOverview {
                        name: host.name.clone(),
                        role: host.role.clone(),
                        health: worst_health(instances.iter().map(|instance| instance.health)),
                        reachable: known.is_reachable(),
                        scanned_at: known.scanned_at(),
                        error: known.unknown_reason().map(str::to_owned),
                        instances,
                        agent: known.agent_overview(&platform.digest),
                        usage: known.usage(),
                        maintenance: None,
                        impairments: known.impairments(&platform.digest),
                    })
                })
                .collect();
            Snapshot::new(EnvironmentOverview {
                name: environment.name.clone(),
                health: worst_health(hosts.iter().map(|host| host.health)),
                hosts,
            })
        })
        .collect()
}

/// Converts the times that the agent gave by its host's clock.
fn correct_times(instance: &mut InstanceOverview, skew: &ClockSkew) {
    if skew.skew_ahead().is_zero() {
        return;
    }
    let correct = |time: &mut Timestamp| *time = skew.correct_time(*time);
    instance.processes.iter_mut().filter_map(|process| process.started_at.as_mut()).for_each(correct);
    instance.probe.iter_mut().for_each(|probe| correct(&mut probe.since));
    instance.action.iter_mut().for_each(|action| correct(&mut action.since));
    instance.down_cause.iter_mut().for_each(|cause| correct(&mut cause.at));
    instance.autostart.iter_mut().filter_map(|autostart| autostart.next_at.as_mut()).for_each(correct);
}

/// Returns the worst health; unknown if there are none.
fn worst_health(healths: impl Iterator<Item = Health>) -> Health {
    healths.max().unwrap_or(Health::Unknown)
}

/// Health of one instance with its reason and root cause.
#[derive(Clone, Debug, PartialEq, Eq)]
struct OracleResult {
    health: Health,
    reason: String,
    /// Position of the root cause in the graph.
    cause: Option<usize>,
}

impl OracleResult {
    fn without_cause(health: Health, reason: impl Into<String>) -> Self {
        Self { health, reason: reason.into(), cause: None }
    }
}

/// Evaluates each instance of the graph, in its order.
fn evaluate_instances(
    platform: &Platform,
    graph: &DependencyGraph,
    host_states: &[HostState],
) -> Vec<OracleResult> {
    let sights: Vec<Result<&ComponentReport, String>> = platform
        .hosts()
        .zip(host_states)
        .flat_map(|(host, known)| {
            let report = |name| known.component_report(&host.name, name, usize::MAX);
            host.components.iter().map(report)
        })
        .collect();
    let mut verdicts = vec![OracleResult::without_cause(Health::Unknown, ""); graph.len()];
    // Prerequisites come first, so that their verdicts exist when they are needed.
    for at in graph.prerequisites_first() {
        let own = match sights.get(*at) {
            Some(Ok(seen)) => {
                let (health, reason) = local_health(seen);
                OracleResult::without_cause(health, reason)
            }
            Some(Err(reason)) => OracleResult::without_cause(Health::Unknown, reason.clone()),
            None => continue,
        };
        verdicts[*at] = match own.health {
            Health::Degraded if !has_failing_probe(sights.get(*at)) => {
                // A second or a suspended process is not caused by what the component lacks, so it is a root
                // cause.
                OracleResult { cause: None, ..evaluate_running(graph, *at, own, &verdicts) }
            }
            Health::Up | Health::Degraded => evaluate_running(graph, *at, own, &verdicts),
            Health::Down => {
                let autostart = sights.get(*at).and_then(|seen| seen.as_ref().ok()?.autostart.as_ref());
                let awaited = autostart.map_or("", |autostart| autostart.waiting_for.as_str());
                evaluate_down(graph, *at, own, awaited, &verdicts)
            }
            Health::Unknown => own,
        };
    }
    verdicts
}

/// Returns whether an instance's probe fails, which may well be for want of what the instance needs.
fn has_failing_probe(seen: Option<&Result<&ComponentReport, String>>) -> bool {
    let probe = seen.and_then(|seen| seen.as_ref().ok()?.probe.as_ref());
    probe.is_some_and(|probe| probe.state == ProbeState::Failing)
}

/// Evaluates a running instance with its requirements. If the instance is degraded by itself, unknown
/// requirements are ignored; one that is certainly unmet is likely to be the cause.
fn evaluate_running(
    graph: &DependencyGraph,
    at: usize,
    own: OracleResult,
    verdicts: &[OracleResult],
) -> OracleResult {
    let mut unmet: Vec<UnmetRequirement> = graph
        .requirements(at)
        .iter()
        .filter_map(|requirement| find_unmet(graph, graph.id(at), requirement, verdicts))
        .collect();
    if own.health == Health::Degraded {
        unmet.retain(|unmet| unmet.certain);
    }
    // A root cause that affects several requirements is named once.
    let mut roots = Vec::new();
    unmet.retain(|unmet| {
        let is_new = !roots.contains(&unmet.root);
        roots.push(unmet.root);
        is_new
    });
    // The first of the worst certain failures is the cause; an unknown requirement is the cause only if there
    // is no certain failure.
    let worst =
        unmet.iter().rev().filter(|unmet| unmet.certain).max_by_key(|unmet| verdicts[unmet.root].health);
    let Some(representative) = worst.or(unmet.first()) else {
        return own;
    };
    let more = match unmet.len() {
        0..=5 => String::new(),
        6 => "1 more requirement is not met".to_owned(),
        count => format!("{} more requirements are not met", count - 5),
    };
    let sentences: Vec<&str> = std::iter::once(own.reason.as_str())
        .chain(unmet.iter().take(5).map(|unmet| unmet.sentence.as_str()))
        .chain([more.as_str()])
        .filter(|reason| !reason.is_empty())
        .collect();
    OracleResult {
        health: if representative.certain { Health::Degraded } else { Health::Unknown },
        reason: sentences.join("; "),
        cause: Some(representative.root),
    }
}

/// Evaluates an instance that is down with its requirements: the first one that is certainly down becomes its
/// root cause. `awaited` is what its agent waits for before it starts the instance, which the reason names
/// already.
fn evaluate_down(
    graph: &DependencyGraph,
    at: usize,
    own: OracleResult,
    awaited: &str,
    verdicts: &[OracleResult],
) -> OracleResult {
    let unmet = graph.requirements(at).iter().filter_map(|requirement| {
        let unmet = find_unmet(graph, graph.id(at), requirement, verdicts)?;
        (unmet.certain && verdicts[unmet.root].health == Health::Down).then_some(unmet)
    });
    let Some(UnmetRequirement { root, .. }) = { unmet }.next() else { return own };
    let lacked = relative_name(graph.id(at), graph.id(root));
    // With several hosts: `kafka server on k1 or k2`.
    let is_named =
        awaited.strip_prefix(&lacked).is_some_and(|rest| rest.is_empty() || rest.starts_with(" or "));
    let reason = match is_named {
        true => own.reason,
        false => format!("{}; it also lacks {lacked}", own.reason),
    };
    OracleResult { reason, cause: Some(root), ..own }
}

/// Requirement that is not known to be met.
struct UnmetRequirement {
    /// True if it certainly is not met.
    certain: bool,
    /// Position of the root cause in the graph.
    root: usize,
    sentence: String,
}

/// Returns `None` if one of the providers is up.
fn find_unmet(
    graph: &DependencyGraph,
    needing: &InstanceId,
    requirement: &Requirement,
    verdicts: &[OracleResult],
) -> Option<UnmetRequirement> {
    let health = |at: &usize| verdicts[*at].health;
    if requirement.providers.iter().any(|at| health(at) == Health::Up) {
        return None;
    }
    // A provider in unknown health may be up, which makes the failure uncertain; it is named as the reason.
    let unknown = requirement.providers.iter().find(|at| health(at) == Health::Unknown);
    let representative = *unknown.or(requirement.providers.first())?;
    let provider = graph.id(representative);
    let verdict = &verdicts[representative];
    let sentence = match (verdict.cause, requirement.providers.len()) {
        (None, 1) => format!("{} is {}", relative_name(needing, provider), verdict.health),
        (Some(root), 1) => {
            let because = verdicts[root].health;
            let root = relative_name(needing, graph.id(root));
            format!("{root} is {because}, which {} needs", relative_name(needing, provider))
        }
        (_, several) => {
            let each: Vec<_> = requirement
                .providers
                .iter()
                .take(3)
                .map(|at| format!("{} {}", graph.id(*at).host, verdicts[*at].health))
                .collect();
            let more = if several > 3 { format!(" and {} more", several - 3) } else { String::new() };
            let each = each.join(", ");
            format!("none of {several} {} is known to be up ({each}{more})", requirement.component)
        }
    };
    Some(UnmetRequirement {
        certain: unknown.is_none(),
        root: verdict.cause.unwrap_or(representative),
        sentence,
    })
}

/// Returns an instance's shortest unambiguous name as seen from another instance.
fn relative_name(needing: &InstanceId, other: &InstanceId) -> String {
    if other.environment != needing.environment {
        other.to_string()
    } else if other.host != needing.host {
        format!("{} on {}", other.component, other.host)
    } else {
        other.component.to_string()
    }
}
