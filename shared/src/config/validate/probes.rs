//! Validates probes: their checks must be valid, and their commands must not match the component itself.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};

use super::super::host::HostComponent;
use super::super::model::{CommandProbe, ProbeMethod};
use super::super::parse::RawConfig;
use super::super::platform::Platform;
use super::super::source::Problems;
use super::super::variables::BUILT_IN_VARIABLES;
use super::carriers::Carriers;
use crate::attributes::CriterionKind;
use crate::process::CommandLine;
use crate::sanitize::printable;

/// Placeholder for the address of a host that only the host itself knows.
const SOME_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Reports each probe that is invalid with the variables of a host that carries its component. Hosts with the
/// same values are checked once, since every check compiles regexes.
pub(super) fn check_probes(
    platform: &Platform,
    raw: &RawConfig,
    carriers: &Carriers<'_>,
    problems: &mut Problems<'_>,
) {
    for (component, written) in platform.components.iter().zip(&raw.components) {
        let Some(probe) = &written.probe else { continue };
        let templates = probe.value.templates();
        let all_templates = component.templates();
        let used: HashSet<&str> =
            all_templates.iter().flat_map(|template| template.value.variables()).collect();
        let mut checked = HashSet::new();
        for host in carriers.hosts_of(component) {
            if !checked.insert(host.variables(&[SOME_ADDRESS]).values_of(&used)) {
                continue;
            }
            let mut variables = templates.iter().flat_map(|template| template.value.variables());
            let is_known = |name| BUILT_IN_VARIABLES.contains(&name) || host.variables.contains_key(name);
            // A variable without a value is reported elsewhere.
            if !variables.all(is_known) {
                continue;
            }
            let owner = format!("component \"{}\": probe", component.name);
            let config = match component.resolve(host, &[SOME_ADDRESS]) {
                Ok(config) => config,
                Err(reason) => {
                    problems.report(probe.place, reason);
                    continue;
                }
            };
            let question = config.probe.as_ref().map(|probe| &probe.question);
            if let Some(ProbeMethod::Log(_)) = question
                && config.log.is_none()
            {
                let sentence = format!("{owner}: key \"log\": the component has no log; set its \"log\"");
                problems.report(probe.place, sentence);
            }
            if let Some(ProbeMethod::Command(CommandProbe { command, .. })) = question
                && let Some(program) = command.first().filter(|program| is_relative(program))
            {
                let shown = printable(program);
                problems.report(
                    probe.place,
                    format!("{owner}: its program \"{shown}\" is relative; write an absolute path, or a name for PATH"),
                );
            }
            if let Some(ProbeMethod::Command(CommandProbe { command, .. })) = question
                && may_be_taken_for(&config, &CommandLine::from_arguments(command))
            {
                problems.report(
                    probe.place,
                    format!(
                        "{owner}: its command fits the component's own criteria and would be taken for it"
                    ),
                );
            }
        }
    }
}

/// Returns true if a program is resolved against the agent's own working directory, on which a configuration
/// cannot rely.
fn is_relative(program: &str) -> bool {
    program.contains('/') && !program.starts_with('/')
}

/// Returns true if a process with this command line may match the component. User criteria are ignored: the
/// agent runs the command of a probe, as any user.
fn may_be_taken_for(component: &HostComponent, line: &CommandLine) -> bool {
    let tells = |kind| !matches!(kind, CriterionKind::Argument | CriterionKind::User);
    let parts = component.parts.iter();
    let found = parts.filter(|part| part.criteria.iter().any(|criterion| tells(criterion.kind())));
    component.matches_arguments(line) && found.count() < component.parts.len()
}
