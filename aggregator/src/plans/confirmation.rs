//! Confirmation: which effects of a plan need one, and whether it was given.

use std::collections::HashSet;

use rta_shared::action::ActionKind;
use rta_shared::format::joined_list;
use rta_shared::overview::InstanceId;
use rta_shared::plan::{ActionRequest, ExecutionOptions, Plan};
use rta_shared::sanitize::printable;

/// Returns the instances that need a confirmation and have none.
pub(crate) fn unconfirmed_effects<'p>(plan: &'p Plan, options: &ExecutionOptions) -> Vec<&'p InstanceId> {
    let mut unconfirmed = plan.instances_to_confirm();
    let agreed: HashSet<&InstanceId> = options.agreed.iter().collect();
    unconfirmed.retain(|id| !options.everything && !agreed.contains(id));
    unconfirmed
}

/// Returns the sentence that asks for confirmation, such as `stop of kafka server on h1 also takes down:
/// detector on h2; say --yes or --no-dependencies`. `unconfirmed_effects` must not be empty.
pub(crate) fn confirmation_sentence(
    plan: &Plan,
    request: &ActionRequest,
    unconfirmed: &[&InstanceId],
) -> String {
    let unconfirmed: HashSet<&InstanceId> = unconfirmed.iter().copied().collect();
    let of = |mut instances: Vec<_>| {
        instances.retain(|id| unconfirmed.contains(*id));
        instances
    };
    let (named, unnamed) = (of(plan.requested_instances()), of(plan.implied_instances()));
    let mut parts: Vec<String> = Vec::new();
    if named.len() > 1 {
        let verb = if plan.kind == ActionKind::Stop { "stops" } else { "restarts" };
        parts.push(format!("{verb}: {}", joined_list(named.iter().map(|id| id.name_in_text()), ", ")));
    }
    parts.extend(
        describe_effects(plan, &unnamed).into_iter().map(|consequence| format!("also {consequence}")),
    );
    parts.extend(irreversible_stops(plan));
    let advice = if unnamed.is_empty() { "say --yes" } else { "say --yes or --no-dependencies" };
    format!("{} of {} {}; {advice}", plan.kind, request_subject(plan, request), parts.join("; it "))
}

/// Returns the sentence about irreversible stops, such as `stops what rta cannot start again: b on h (the
/// configuration has no start command for it)`; `None` if there are none.
pub(crate) fn irreversible_stops(plan: &Plan) -> Option<String> {
    let steps: Vec<String> = plan
        .irreversible_steps()
        .map(|step| format!("{} ({})", step.instance.name_in_text(), step.irreversible))
        .collect();
    (!steps.is_empty()).then(|| format!("stops what rta cannot start again: {}", joined_list(steps, ", ")))
}

/// Returns the effects of `plan` on `instances`, a text for each kind, such as `takes down: detector on h2`.
pub(crate) fn describe_effects(plan: &Plan, instances: &[&InstanceId]) -> Vec<String> {
    let stopping = plan.steps.iter().filter(|step| step.action != ActionKind::Start);
    let stopping: HashSet<&InstanceId> = stopping.map(|step| &step.instance).collect();
    let (stopped, started): (Vec<&InstanceId>, Vec<&InstanceId>) =
        instances.iter().copied().partition(|id| stopping.contains(id));
    let verb = if plan.kind == ActionKind::Stop { "takes down" } else { "restarts" };
    [(verb, stopped), ("starts", started)]
        .into_iter()
        .filter(|(_, instances)| !instances.is_empty())
        .map(|(verb, instances)| {
            format!("{verb}: {}", joined_list(instances.into_iter().map(InstanceId::name_in_text), ", "))
        })
        .collect()
}

/// Returns the subject of the request, such as `kafka server on h1` or `host h1`.
pub(crate) fn request_subject(plan: &Plan, request: &ActionRequest) -> String {
    let ActionRequest { component, environment, host, all, .. } = request;
    if !component.is_empty() && !all {
        let named = plan.steps.iter().find(|step| step.named);
        return named.map_or_else(|| printable(component).into_owned(), |step| step.instance.name_in_text());
    }
    if request.stopped_by != 0 {
        return format!("what plan {} has stopped", request.stopped_by);
    }
    let place = match (host.as_str(), environment.as_str()) {
        ("", _) if !request.role.is_empty() => {
            Some(format!("the hosts with role {}", printable(&request.role)))
        }
        ("", "") => None,
        ("", environment) => Some(format!("environment {}", printable(environment))),
        (host, _) => Some(format!("host {}", printable(host))),
    };
    match (component.as_str(), place) {
        ("", Some(place)) => place,
        ("", None) => "everything".to_owned(),
        (component, Some(place)) => format!("every {} on {place}", printable(component)),
        (component, None) => format!("every {}", printable(component)),
    }
}

#[cfg(test)]
mod tests {
    use rta_shared::plan::Step;

    use super::*;

    fn id(component: &str, host: &str) -> InstanceId {
        InstanceId { environment: "E".into(), host: host.into(), component: component.into() }
    }

    fn step(id: InstanceId, action: ActionKind, named: bool) -> Step {
        Step {
            instance: id,
            action,
            named,
            after: vec![],
            why: String::new(),
            irreversible: String::new(),
            batch: 0,
            gate: None,
        }
    }

    #[test]
    fn what_was_not_agreed_is_named() {
        let request = ActionRequest { component: "KAFKA".to_owned(), ..ActionRequest::default() };
        let plan = Plan {
            kind: ActionKind::Stop,
            steps: vec![
                step(id("app", "b"), ActionKind::Stop, false),
                step(id("detector", "c"), ActionKind::Stop, false),
                step(id("kafka", "a"), ActionKind::Stop, true),
            ],
        };
        let options = ExecutionOptions { agreed: vec![id("app", "b")], ..ExecutionOptions::default() };
        let left = unconfirmed_effects(&plan, &options);
        assert_eq!(
            confirmation_sentence(&plan, &request, &left),
            "stop of kafka on a also takes down: detector on c; say --yes or --no-dependencies"
        );
        let all = ExecutionOptions { everything: true, ..ExecutionOptions::default() };
        assert!(unconfirmed_effects(&plan, &all).is_empty());
    }

    #[test]
    fn several_that_are_stopped_and_what_cannot_be_started_again_are_named() {
        let request = ActionRequest { host: "a".to_owned(), ..ActionRequest::default() };
        let watched =
            |id| Step { irreversible: "no start command".to_owned(), ..step(id, ActionKind::Stop, true) };
        let steps = vec![step(id("app", "a"), ActionKind::Stop, true), watched(id("kafka", "a"))];
        let plan = Plan { kind: ActionKind::Stop, steps };
        assert_eq!(
            confirmation_sentence(&plan, &request, &unconfirmed_effects(&plan, &ExecutionOptions::default())),
            "stop of host a stops: app on a, kafka on a; it stops what rta cannot start again: kafka on a \
             (no start command); say --yes"
        );
        let plan = Plan { kind: ActionKind::Stop, steps: vec![watched(id("kafka", "a"))] };
        let left = unconfirmed_effects(&plan, &ExecutionOptions::default());
        assert_eq!(left, [&id("kafka", "a")]);
        assert_eq!(
            confirmation_sentence(
                &plan,
                &ActionRequest { component: "kafka".to_owned(), ..ActionRequest::default() },
                &left
            ),
            "stop of kafka on a stops what rta cannot start again: kafka on a (no start command); say --yes"
        );
    }

    #[test]
    fn what_a_restart_stops_and_what_it_only_starts_are_told_apart() {
        let request = ActionRequest { host: "a".to_owned(), ..ActionRequest::default() };
        let plan = Plan {
            kind: ActionKind::Restart,
            steps: vec![
                step(id("app", "b"), ActionKind::Stop, false),
                step(id("zoo", "b"), ActionKind::Start, false),
                step(id("kafka", "a"), ActionKind::Restart, true),
                step(id("app", "b"), ActionKind::Start, false),
            ],
        };
        assert_eq!(
            confirmation_sentence(&plan, &request, &unconfirmed_effects(&plan, &ExecutionOptions::default())),
            "restart of host a also restarts: app on b; it also starts: zoo on b; say --yes or --no-dependencies"
        );
    }
}
