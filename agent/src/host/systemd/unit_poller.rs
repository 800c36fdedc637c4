//! Polls the units of the components that systemd starts.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rta_shared::config::{HostConfig, StartEngine};
use rta_shared::name::Name;
use rta_shared::unit::UnitReport;
use tokio::sync::{Notify, watch};

use super::SystemdClient;

/// Interval between two queries of the units.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Status of each component's unit.
pub(crate) type UnitReports = HashMap<Name, UnitReport>;

/// Publishes the status of the units of `config`, every two seconds and on `refresh`; does nothing as long as
/// no component has a unit. Ends with the configuration's owner.
pub(crate) async fn poll_units(
    systemd: SystemdClient,
    mut config: watch::Receiver<Arc<HostConfig>>,
    refresh: Arc<Notify>,
    publisher: watch::Sender<UnitReports>,
) {
    loop {
        let units = configured_units(&config.borrow_and_update());
        let mut seen = UnitReports::new();
        for (component, unit) in &units {
            let report = match systemd.unit_state(unit).await {
                Ok(state) => state.into_report(unit),
                Err(error) => unknown_unit(unit, error.to_string()),
            };
            seen.insert(component.clone(), report);
        }
        publisher.send_if_modified(|known| {
            log_new_errors(known, &seen);
            let is_changed = *known != seen;
            *known = seen;
            is_changed
        });
        let idle = async {
            match units.is_empty() {
                true => std::future::pending().await,
                false => tokio::time::sleep(POLL_INTERVAL).await,
            }
        };
        tokio::select! {
            () = idle => {}
            () = refresh.notified() => {}
            changed = config.changed() => if changed.is_err() { return },
        }
    }
}

fn configured_units(config: &HostConfig) -> Vec<(Name, String)> {
    let unit = |engine: &StartEngine| engine.unit().map(str::to_owned);
    let components = config.components.iter();
    components
        .filter_map(|component| Some((component.name.clone(), unit(&component.start.as_ref()?.engine)?)))
        .collect()
}

/// Returns the report on a unit whose status is unknown.
fn unknown_unit(unit: &str, error: String) -> UnitReport {
    UnitReport {
        name: unit.to_owned(),
        active_state: String::new(),
        sub_state: String::new(),
        result: String::new(),
        error: Some(error),
    }
}

/// Logs one line for each new error.
fn log_new_errors(before: &UnitReports, after: &UnitReports) {
    for (component, unit) in after {
        let old = before.get(component).and_then(|old| old.error.as_ref());
        if let Some(error) = &unit.error
            && old != Some(error)
        {
            tracing::warn!(%component, unit = unit.name, error, "the unit's state is not known");
        }
    }
}
