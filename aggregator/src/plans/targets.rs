//! Target of each step of a plan: the host, its boot and its agent's configuration at planning time. Pure.

use std::collections::HashMap;

use rta_shared::name::Name;
use rta_shared::overview::Overview;
use rta_shared::plan::Plan;
use rta_shared::proto::v1::RequestTarget;

/// Returns the target of each step of `plan`, by the overview that the plan was made from. For a host that
/// has never reported only the name is known, and its agent refuses the action.
///
/// Targets are stored with the plan rather than looked up when a step begins. A plan takes minutes, and a
/// host that was rebooted or reconfigured in between is not the one that somebody agreed to act on.
pub(crate) fn request_targets(plan: &Plan, overview: &Overview) -> Vec<RequestTarget> {
    let hosts = overview.environments.iter().flat_map(|environment| &environment.hosts);
    let agents: HashMap<&Name, _> = hosts.map(|host| (&host.name, host.agent.as_ref())).collect();
    let target = |host: &Name| {
        let agent = agents.get(host).copied().flatten();
        RequestTarget {
            host: host.as_str().to_owned(),
            boot_id: agent.map(|agent| agent.boot_id.clone()).unwrap_or_default(),
            config_digest: agent.map(|agent| agent.config_digest.clone()).unwrap_or_default(),
            // The client of the agent sets it when the step begins.
            epoch: 0,
            environment: String::new(),
        }
    };
    plan.steps.iter().map(|step| target(&step.instance.host)).collect()
}

#[cfg(test)]
mod tests {
    use rta_shared::action::ActionKind;
    use rta_shared::overview::InstanceId;
    use rta_shared::plan::Step;

    use super::*;
    use crate::sample_overview::{agent, sample};

    #[test]
    fn step_is_for_the_host_as_the_overview_showed_it() {
        let mut overview = sample();
        for host in overview.environments.iter_mut().flat_map(|environment| &mut environment.hosts) {
            host.agent = (host.name == *"c9t21193").then(agent);
        }
        let step = |host: &str| Step {
            instance: InstanceId { environment: "E".into(), host: host.into(), component: "c".into() },
            action: ActionKind::Stop,
            named: true,
            after: vec![],
            why: String::new(),
            irreversible: String::new(),
            batch: 0,
            gate: None,
        };
        let plan = Plan { kind: ActionKind::Stop, steps: ["c2t08978", "c9t21193", "gone"].map(step).into() };
        let target = |host: &str, boot_id: &str, config_digest: &str| RequestTarget {
            host: host.to_owned(),
            boot_id: boot_id.to_owned(),
            config_digest: config_digest.to_owned(),
            ..RequestTarget::default()
        };
        let expected = [target("c2t08978", "", ""), target("c9t21193", "b", "def"), target("gone", "", "")];
        assert_eq!(request_targets(&plan, &overview), expected);
    }
}
