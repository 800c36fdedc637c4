//! Validates paths: rejects relative ones, folders in place of files, and devices.

use super::super::model::ProbeMethod;
use super::super::platform::{Component, Platform};
use super::super::source::Problems;
use super::super::variables::NULL_DEVICE;
use super::carriers::Carriers;
use crate::template::{Located, Template};

/// Purpose of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PathUse {
    /// Output is appended to it, or read from it.
    Log,
    /// Working directory of a command.
    Directory,
    /// File that is read: with environment variables, or certificates.
    ReadFile,
    /// Program; `has_directory`: a relative path is resolved against an absolute directory.
    Program { has_directory: bool },
}

/// Reports, for every host that carries a component, each of its invalid paths. A configuration cannot rely
/// on the agent's own working directory.
pub(super) fn check_paths(platform: &Platform, carriers: &Carriers<'_>, problems: &mut Problems<'_>) {
    for component in &platform.components {
        let hosts = carriers.hosts_of(component);
        for (key, purpose, template) in paths(component) {
            let mut values: Vec<String> = match template.value.variables().next() {
                None => template.value.expand(|_| None).into_iter().collect(),
                Some(_) => hosts.iter().filter_map(|host| host.variables(&[]).text(template).ok()).collect(),
            };
            values.sort_unstable();
            values.dedup();
            for value in values {
                if let Some(reason) = problem(&value, purpose) {
                    let sentence = sentence(component, key, &value, reason);
                    problems.report(template.place, sentence);
                }
            }
        }
    }
}

fn sentence(component: &Component, key: &str, value: &str, reason: &str) -> String {
    let value = crate::sanitize::printable(value);
    format!("component \"{}\": {key}: \"{value}\" {reason}", component.name)
}

/// Returns the paths of a component, each with its key.
fn paths(component: &Component) -> Vec<(&'static str, PathUse, &Located<Template>)> {
    let mut paths = Vec::new();
    let command = component.start.as_ref().and_then(|start| start.engine.command());
    let has_directory = command.is_some_and(|command| command.directory.is_some());
    let program = PathUse::Program { has_directory };
    if let Some(command) = command {
        paths.extend(command.command.first().map(|at| ("start: command", program, at)));
        paths.extend(command.directory.as_ref().map(|at| ("start: directory", PathUse::Directory, at)));
        paths.extend(command.log.as_ref().map(|at| ("start: log", PathUse::Log, at)));
        let files = command.environment_files.iter();
        paths.extend(files.map(|file| ("start: environment_file", PathUse::ReadFile, &file.path)));
    }
    paths.extend(component.stop.command.first().map(|at| ("stop: command", program, at)));
    paths.extend(component.log.as_ref().map(|at| ("log", PathUse::Log, at)));
    if let Some(ProbeMethod::Http(http)) = component.probe.as_ref().map(|probe| &probe.question) {
        paths.extend(http.tls.ca.as_ref().map(|at| ("probe: ca", PathUse::ReadFile, at)));
    }
    paths
}

/// Returns the reason why a path is invalid, as the end of a sentence.
fn problem(path: &str, purpose: PathUse) -> Option<&'static str> {
    let is_absolute = path.starts_with('/');
    match purpose {
        PathUse::Program { has_directory } => (path.contains('/') && !is_absolute && !has_directory)
            .then_some(
                "is relative, and there is no \"directory\"; write an absolute path, or set \"directory\"",
            ),
        PathUse::Directory if !is_absolute => Some("is no absolute path"),
        PathUse::Directory => None,
        PathUse::ReadFile => (!is_absolute).then_some("is no absolute path"),
        PathUse::Log if !is_absolute => Some("is no absolute path"),
        PathUse::Log if path == NULL_DEVICE => None,
        PathUse::Log if path.ends_with('/') || path.ends_with("/.") || path.ends_with("/..") => {
            Some("is a folder; write the path of a file in it")
        }
        PathUse::Log if ["/dev/", "/proc/", "/sys/"].iter().any(|folder| path.starts_with(folder)) => {
            Some("is no file that holds a log; write the path of a file, or /dev/null for none")
        }
        PathUse::Log => None,
    }
}
