//! Sentences on processes that cannot act on a signal when it is sent.

use rta_shared::process::ProcessId;

use super::component_view::format_pids;
use crate::host::cgroup_mount::FrozenCgroup;

/// Frozen processes of a stop, each with the control group that freezes it.
#[derive(Debug, Default)]
pub(super) struct FrozenProcesses(Vec<(ProcessId, FrozenCgroup)>);

impl FrozenProcesses {
    /// Records which of the reached processes were frozen, in place of their earlier status.
    pub(super) fn update(&mut self, reached: &[ProcessId], frozen: Vec<(ProcessId, FrozenCgroup)>) {
        self.0.retain(|(id, _)| !reached.contains(id));
        self.0.extend(frozen);
    }

    /// Returns why the frozen processes of `ids` handle no signal, and the remedy; `None` if none is frozen.
    pub(super) fn explain(&self, ids: &[ProcessId]) -> Option<String> {
        let frozen: Vec<_> = self.0.iter().filter(|(id, _)| ids.contains(id)).collect();
        let (_, group) = frozen.first()?;
        let pids: Vec<u32> = frozen.iter().map(|(id, _)| id.pid).collect();
        let (are, handle) = if pids.len() == 1 { ("is", "handles") } else { ("are", "handle") };
        Some(format!(
            "{} {are} frozen by a control group and {handle} no signal before that is thawed: {}",
            format_pids(&pids),
            group.thaw_command()
        ))
    }
}

/// Returns a sentence on processes that were stopped and have been resumed; `None` if there are none.
pub(super) fn format_resumed(resumed: &[ProcessId]) -> Option<String> {
    let pids: Vec<u32> = resumed.iter().map(|id| id.pid).collect();
    let was = match pids.len() {
        0 => return None,
        1 => "was",
        _ => "were",
    };
    Some(format!(
        "{} {was} stopped by a signal: SIGCONT was sent, so that it is acted on",
        format_pids(&pids)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frozen_processes_are_reported_until_thawed() {
        let id = |pid| ProcessId { pid, start_ticks: 1 };
        let group = FrozenCgroup { folder: "/sys/fs/cgroup/x".into(), is_legacy: false };
        let mut frozen = FrozenProcesses::default();
        frozen.update(&[id(7), id(8)], vec![(id(7), group.clone()), (id(8), group)]);
        let thaw = "echo 0 > /sys/fs/cgroup/x/cgroup.freeze";
        let one =
            format!("pid 7 is frozen by a control group and handles no signal before that is thawed: {thaw}");
        let both = format!(
            "pids 7, 8 are frozen by a control group and handle no signal before that is thawed: {thaw}"
        );
        assert_eq!(frozen.explain(&[id(7), id(9)]), Some(one.clone()));
        assert_eq!(frozen.explain(&[id(7), id(8)]), Some(both));
        assert_eq!(frozen.explain(&[id(9)]), None);
        frozen.update(&[id(8)], vec![]);
        assert_eq!(frozen.explain(&[id(7), id(8)]), Some(one));
    }

    #[test]
    fn resumed_processes_are_reported() {
        let id = |pid| ProcessId { pid, start_ticks: 1 };
        assert_eq!(format_resumed(&[]), None);
        assert_eq!(
            format_resumed(&[id(7), id(8)]).as_deref(),
            Some("pids 7, 8 were stopped by a signal: SIGCONT was sent, so that it is acted on")
        );
    }
}
