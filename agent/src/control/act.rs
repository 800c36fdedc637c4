//! What an action works with.

use rta_shared::config::HostComponent;
use rta_shared::lifecycle::tasks::OwnedTasks;

use super::cgroup::Group;
use super::eyes::Eyes;
use super::launches::Launches;
use super::news::News;
use crate::systemd::Systemd;

/// What an action works with.
pub(super) struct Act {
    pub(super) component: HostComponent,
    pub(super) eyes: Eyes,
    pub(super) news: News,
    /// The control group of what is started; `None` where there can be none.
    pub(super) group: Option<Group>,
    pub(super) launches: Launches,
    pub(super) systemd: Systemd,
    pub(super) tasks: OwnedTasks,
}
