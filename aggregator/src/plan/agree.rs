//! What a plan touches beside what was named, and whether that was agreed.

use std::collections::HashSet;

use rta_shared::control::ActionKind;
use rta_shared::overview::InstanceId;
use rta_shared::plan::{Conduct, Plan, Wish};
use rta_shared::text::{listed, printable};

use super::spoken;

/// The instances that `plan` touches and that were neither named nor agreed.
pub(crate) fn unagreed<'p>(plan: &'p Plan, conduct: &Conduct) -> Vec<&'p InstanceId> {
    let mut unnamed = plan.unnamed();
    let agreed: HashSet<&InstanceId> = conduct.agreed.iter().collect();
    unnamed.retain(|id| !conduct.everything && !agreed.contains(id));
    unnamed
}

/// `stop of kafka server on h1 also takes down: detector on h2; say --yes or --no-dependencies`.
pub(crate) fn sentence(plan: &Plan, wish: &Wish, unagreed: &[&InstanceId]) -> String {
    let consequences = consequences(plan, unagreed).join("; it also ");
    format!("{} of {} also {consequences}; say --yes or --no-dependencies", plan.kind, subject(plan, wish))
}

/// What becomes of `instances`, which `plan` touches: `takes down: detector on h2`, a text for each sort.
pub(crate) fn consequences(plan: &Plan, instances: &[&InstanceId]) -> Vec<String> {
    let stopping = plan.steps.iter().filter(|step| step.action != ActionKind::Start);
    let stopping: HashSet<&InstanceId> = stopping.map(|step| &step.instance).collect();
    let (stopped, started): (Vec<&InstanceId>, Vec<&InstanceId>) =
        instances.iter().copied().partition(|id| stopping.contains(id));
    let verb = if plan.kind == ActionKind::Stop { "takes down" } else { "restarts" };
    [(verb, stopped), ("starts", started)]
        .into_iter()
        .filter(|(_, instances)| !instances.is_empty())
        .map(|(verb, instances)| format!("{verb}: {}", listed(instances.into_iter().map(spoken), ", ")))
        .collect()
}

/// What the wish names: `kafka server on h1`, `host h1`.
pub(crate) fn subject(plan: &Plan, wish: &Wish) -> String {
    let Wish { component, environment, host, all, .. } = wish;
    if !component.is_empty() && !all {
        let named = plan.steps.iter().find(|step| step.named);
        return named.map_or_else(|| printable(component).into_owned(), |step| spoken(&step.instance));
    }
    let place = match (host.as_str(), environment.as_str()) {
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
        Step { instance: id, action, named, after: vec![], why: String::new() }
    }

    #[test]
    fn what_was_not_agreed_is_named() {
        let wish = Wish { component: "KAFKA".to_owned(), ..Wish::default() };
        let plan = Plan {
            kind: ActionKind::Stop,
            steps: vec![
                step(id("app", "b"), ActionKind::Stop, false),
                step(id("detector", "c"), ActionKind::Stop, false),
                step(id("kafka", "a"), ActionKind::Stop, true),
            ],
        };
        let conduct = Conduct { agreed: vec![id("app", "b")], ..Conduct::default() };
        let left = unagreed(&plan, &conduct);
        assert_eq!(
            sentence(&plan, &wish, &left),
            "stop of kafka on a also takes down: detector on c; say --yes or --no-dependencies"
        );
        let all = Conduct { everything: true, ..Conduct::default() };
        assert!(unagreed(&plan, &all).is_empty());
    }

    #[test]
    fn what_a_restart_stops_and_what_it_only_starts_are_told_apart() {
        let wish = Wish { host: "a".to_owned(), ..Wish::default() };
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
            sentence(&plan, &wish, &unagreed(&plan, &Conduct::default())),
            "restart of host a also restarts: app on b; it also starts: zoo on b; say --yes or --no-dependencies"
        );
    }
}
