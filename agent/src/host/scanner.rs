//! Single full scans, without watching the host in between, for `rta local` and `rta explain`.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use jiff::Timestamp;
use rta_shared::config::{HostComponent, HostConfig};
use rta_shared::explain::{ExplainedPart, ExplainedProcess};
use rta_shared::report::{ComponentContext, ComponentReport, ScanFigures};

use crate::host::process_matcher::{ProcessMatcher, ProcessObservation, ProcessObserver as _};
use crate::host::procfs::ListedProcess;
use crate::host::unreadable_processes::UnreadableProcesses;
use crate::host::users::{resolve_users, user_name};
use crate::host::visibility;

/// Maximum number of processes in the explanation of each part of a component.
const MAX_NEAREST: usize = 5;

/// Scans a host for its components. Reuses its buffers.
#[derive(Debug)]
pub struct Scanner {
    config: HostConfig,
    /// Opened by the first scan, and again after a failure.
    matcher: Option<ProcessMatcher>,
    listed: Vec<ListedProcess>,
}

/// Result of one scan.
#[derive(Clone, Debug)]
pub struct FullScan {
    /// Time of the scan's end, and its cost.
    pub figures: ScanFigures,
    /// Every component in the configuration's order, or the reason why the processes cannot be read.
    pub components: Result<Vec<ComponentReport>, String>,
}

impl Scanner {
    /// Creates a scanner for the components of `config`. Blocking, if users have not been looked up yet.
    pub fn new(config: HostConfig) -> Self {
        let mut config = config;
        // No effect if the agent has already done so.
        resolve_users(&mut config);
        Self { config, matcher: None, listed: Vec::new() }
    }

    /// Runs a scan.
    pub fn scan(&mut self) -> FullScan {
        let began = Instant::now();
        let components = self.components();
        if components.is_err() {
            self.matcher = None;
        }
        let now = Timestamp::now();
        FullScan {
            figures: ScanFigures {
                scanned_at: now,
                duration: began.elapsed(),
                processes_seen: u32::try_from(self.listed.len()).unwrap_or(u32::MAX),
                seen_at: now,
            },
            components,
        }
    }

    fn components(&mut self) -> Result<Vec<ComponentReport>, String> {
        let components = &self.config.components;
        let mut matches: Vec<Vec<Vec<_>>> =
            components.iter().map(|component| vec![Vec::new(); component.parts.len()]).collect();
        let (mut unreadable, mut candidates) = (BTreeMap::new(), Vec::new());
        let mut listed = std::mem::take(&mut self.listed);
        let matcher = self.list_processes(&mut listed)?;
        for listed in &listed {
            match matcher.observe(listed.pid) {
                ProcessObservation::Other => {}
                ProcessObservation::Unreadable(error) => drop(unreadable.insert(listed.pid, error)),
                ProcessObservation::Candidate(candidate) => {
                    for id in &candidate.parts {
                        let part = matches.get_mut(id.component).and_then(|parts| parts.get_mut(id.part));
                        part.into_iter().for_each(|part| part.push(candidate.process.clone()));
                    }
                    candidates.push(candidate);
                }
            }
        }
        self.listed = listed;
        let unseen = UnreadableProcesses::new(&unreadable, candidates.iter());
        let reports = self.config.components.iter().zip(&matches).enumerate();
        let reports = reports.map(|(at, (component, matches))| {
            let circumstances =
                ComponentContext { unseen: unseen.reason_for(at), ..ComponentContext::default() };
            ComponentReport::new(component, matches, circumstances)
        });
        Ok(reports.collect())
    }

    /// Returns the processes that come nearest to the criteria of each part of a component, the nearest
    /// first.
    ///
    /// # Errors
    /// Returns an error, with the reason, if the processes cannot be read.
    pub fn explain(&mut self, component: &HostComponent) -> Result<Vec<ExplainedPart>, String> {
        let mut explained: Vec<Vec<ExplainedProcess>> = vec![Vec::new(); component.parts.len()];
        // The scanner's own criteria, whose users are looked up.
        let own = self.config.components.iter().find(|own| own.name == component.name).cloned();
        let component = own.as_ref().unwrap_or(component);
        let names = RefCell::new(HashMap::new());
        let name = |uid: u32| names.borrow_mut().entry(uid).or_insert_with(|| user_name(uid)).clone();
        let mut listed = std::mem::take(&mut self.listed);
        let matcher = self.list_processes(&mut listed)?;
        for ListedProcess { pid, .. } in &listed {
            let held = matcher.with_process(*pid, |line, process| {
                for (part, explained) in component.parts.iter().zip(&mut explained) {
                    explained.push(ExplainedProcess::new(*pid, part, line, process, name));
                }
            });
            held.map_err(|error| {
                format!(
                    "cannot see every process: the command line of pid {pid} cannot be read: {error}; \
                     run the agent as root or give it CAP_SYS_PTRACE"
                )
            })?;
        }
        self.listed = listed;
        let parts = component.parts.iter().zip(explained);
        Ok(parts.map(|(part, explained)| ExplainedPart::new(part, explained, MAX_NEAREST)).collect())
    }

    /// Replaces `listed` by the current processes, and returns the matcher for checking them.
    fn list_processes(&mut self, listed: &mut Vec<ListedProcess>) -> Result<&mut ProcessMatcher, String> {
        let to_error = |error| format!("cannot see the processes: /proc cannot be read: {error}");
        if let Some(problem) = visibility::find_hidepid_problem() {
            return Err(problem);
        }
        let matcher = match self.matcher.take() {
            Some(matcher) => matcher,
            None => ProcessMatcher::new(&self.config).map_err(to_error)?,
        };
        let matcher = self.matcher.insert(matcher);
        matcher.list(listed).map_err(to_error)?;
        Ok(matcher)
    }
}
