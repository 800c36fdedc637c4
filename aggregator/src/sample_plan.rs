//! Sample plan for tests.

use rta_shared::action::ActionKind;
use rta_shared::overview::InstanceId;
use rta_shared::plan::{Plan, Step};

/// Returns a step on the host h1; a step that was asked for by name has an empty `why`.
pub(crate) fn step(component: &str, action: ActionKind, why: &str) -> Step {
    Step {
        instance: InstanceId { environment: "DEV".into(), host: "h1".into(), component: component.into() },
        action,
        named: why.is_empty(),
        after: vec![],
        why: why.to_owned(),
        irreversible: String::new(),
        batch: 0,
        gate: None,
    }
}

/// Returns a stop of a Kafka server and of a writer that needs it, whose name must be escaped in HTML.
pub(crate) fn stop() -> Plan {
    let steps = vec![
        step("raw <b>writer", ActionKind::Stop, "it needs kafka server on h1"),
        step("kafka server", ActionKind::Stop, ""),
    ];
    Plan { kind: ActionKind::Stop, steps }
}
