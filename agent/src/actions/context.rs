//! Context of an action.

use rta_shared::config::HostComponent;
use rta_shared::lifecycle::tasks::OwnedTasks;

use super::action_records::ActionRecords;
use super::component_view::ComponentView;
use super::progress::ProgressSender;
use crate::host::cgroup::ComponentCgroup;
use crate::host::systemd::SystemdClient;

/// Context of an action: the component and the agent's resources that the action uses.
pub(super) struct ActionContext {
    pub(super) component: HostComponent,
    pub(super) view: ComponentView,
    pub(super) progress: ProgressSender,
    /// Control group for started processes; `None` if none can be created.
    pub(super) cgroup: Option<ComponentCgroup>,
    pub(super) records: ActionRecords,
    pub(super) systemd: SystemdClient,
    pub(super) tasks: OwnedTasks,
}
