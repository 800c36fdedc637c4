//! stub
use rta_shared::config::HostComponent;
use rta_shared::name::Name;
use rta_shared::probe::ProbeReport;
use rta_shared::process::ProcessId;
pub(crate) struct Probes;
impl Probes {
    pub(crate) fn new() -> Self {
        Self
    }
    pub(crate) fn configure(&mut self, _: &[HostComponent]) {}
    pub(crate) fn follow(&mut self, _: &Name, _: Option<ProcessId>) {}
    pub(crate) fn report(&self, _: &Name) -> Option<ProbeReport> {
        None
    }
    pub(crate) async fn changed(&mut self) {
        std::future::pending().await
    }
}
