//! Context of an action.

use rta_shared::config::HostComponent;
use rta_shared::lifecycle::tasks::OwnedTasks;

use super::cgroup::ComponentCgroup;
use super::eyes::Eyes;
use super::launches::Launches;
use super::news::News;
use crate::systemd::SystemdClient;

/// Context of an action: the component and the agent's resources that the action uses.
pub(super) struct Act {
    pub(super) component: HostComponent,
    pub(super) eyes: Eyes,
    pub(super) news: News,
    /// Control group for started processes; `None` if none can be created.
    pub(super) group: Option<ComponentCgroup>,
    pub(super) launches: Launches,
    pub(super) systemd: SystemdClient,
    pub(super) tasks: OwnedTasks,
}
