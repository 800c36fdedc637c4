//! Configuration of the demo: the shipped components on two hosts of this machine, with stand-ins to start.

use std::path::Path;
use std::time::Duration;

use regex::bytes::Regex;
use rta_shared::config::{
    CommandRule, Host, HostConfig, Platform, Source, StartEngine, StartRule, load_sources,
};
use rta_shared::criterion::Criterion;
use rta_shared::template::Template;

use super::command_lines::command_line;
use super::stand_in::LEASE_VARIABLE;

/// Configuration files of the demo, as shipped.
const SOURCES: [(&str, &str); 7] = [
    ("config/platform/kafka.toml", include_str!("../../../../config/platform/kafka.toml")),
    ("config/platform/spark.toml", include_str!("../../../../config/platform/spark.toml")),
    ("config/platform/jobs.toml", include_str!("../../../../config/platform/jobs.toml")),
    ("config/platform/storage.toml", include_str!("../../../../config/platform/storage.toml")),
    ("config/platform/variables.toml", include_str!("../../../../config/platform/variables.toml")),
    ("config/platform/roles.toml", include_str!("../../../../config/platform/roles.toml")),
    ("config/demo/demo.toml", include_str!("../../../../config/demo/demo.toml")),
];

const TIMEOUT: Duration = Duration::from_secs(10);
const SETTLE: Duration = Duration::from_millis(300);

/// Returns the demo's platform, in which every component can be started.
pub(crate) fn demo_platform() -> anyhow::Result<Platform> {
    let sources = SOURCES.map(|(name, text)| Source { name: name.to_owned(), text: text.to_owned() });
    let mut platform = load_sources(&sources)?;
    for component in &mut platform.components {
        component.start = Some(StartRule {
            engine: StartEngine::Command(CommandRule {
                command: vec![Template::parse("stand-in").map_err(anyhow::Error::msg)?.into()],
                ..CommandRule::default()
            }),
            timeout: TIMEOUT,
            settle: SETTLE,
        });
    }
    Ok(platform)
}

/// Returns one host's configuration, in which stand-ins from the folder `programs` replace the components.
pub(crate) fn host_config(platform: &Platform, host: &Host, programs: &Path) -> anyhow::Result<HostConfig> {
    let mut config = platform.host_config(host, &[]).map_err(anyhow::Error::msg)?;
    let ip = host.ip.first().map(ToString::to_string).unwrap_or_default();
    // The criteria are those of the shipped configuration, and a real Kafka that runs on this
    // machine must not match.
    let only_ours = Regex::new(&format!("^{}/", regex::escape(&programs.to_string_lossy())))?;
    for component in &mut config.components {
        let (program, arguments) = command_line(component.name.folded(), &ip)
            .or_else(|| command_line(component.name.as_str(), &ip))
            .ok_or_else(|| {
                anyhow::anyhow!("the demo has no stand-in for component \"{}\"", component.name)
            })?;
        for part in &mut component.parts {
            part.criteria.push(Criterion::argument(Some(0), only_ours.clone()));
        }
        let mut command = vec![programs.join(program).to_string_lossy().into_owned()];
        command.extend(arguments);
        component.start = Some(StartRule {
            engine: StartEngine::Command(CommandRule {
                command,
                environment: vec![(LEASE_VARIABLE.to_owned(), std::process::id().to_string())],
                ..CommandRule::default()
            }),
            timeout: TIMEOUT,
            settle: SETTLE,
        });
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use rta_shared::config::HostComponent;
    use rta_shared::process::CommandLine;

    use super::*;

    fn command(component: &HostComponent) -> &Vec<String> {
        &component.start.as_ref().unwrap().engine.command().unwrap().command
    }

    #[test]
    fn each_stand_in_is_matched_by_its_own_component_and_on_its_own_host_alone() {
        let platform = demo_platform().unwrap();
        let programs = Path::new("/tmp/x.y/bin");
        let configs: Vec<HostConfig> =
            platform.hosts().map(|host| host_config(&platform, host, programs).unwrap()).collect();
        for config in &configs {
            for component in &config.components {
                let line = CommandLine::from_arguments(command(component));
                let matched: Vec<_> = configs
                    .iter()
                    .flat_map(|config| config.components.iter().map(move |other| (&config.host, other)))
                    .filter(|(_, other)| other.matches_arguments(&line))
                    .map(|(host, other)| (host.as_str(), other.name.as_str()))
                    .collect();
                assert_eq!(matched, [(config.host.as_str(), component.name.as_str())]);
            }
        }
    }

    #[test]
    fn a_real_process_is_none_of_the_demos() {
        let platform = demo_platform().unwrap();
        let host = platform.hosts().next().unwrap();
        let config = host_config(&platform, host, Path::new("/tmp/x/bin")).unwrap();
        for component in &config.components {
            let mut command = command(component).clone();
            command[0] = "/usr/bin/java".to_owned();
            assert!(!component.matches_arguments(&CommandLine::from_arguments(&command)));
        }
    }
}
