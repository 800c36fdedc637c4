//! Client of systemd on the system bus.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use zbus::connection::Builder;
use zbus::message::Type;
use zbus::{Connection, MatchRule, Message, MessageStream, OwnedObjectPath, OwnedVariant, Variant};

use super::error::SystemdError;
use super::unit_operation::UnitOperation;
use super::unit_state::UnitState;

const BUS_NAME: &str = "org.freedesktop.systemd1";
const OBJECT_PATH: &str = "/org/freedesktop/systemd1";
const MANAGER_INTERFACE: &str = "org.freedesktop.systemd1.Manager";
const PROPERTIES_INTERFACE: &str = "org.freedesktop.DBus.Properties";
/// Time limit for calls that systemd answers at once unless it hangs.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Client of systemd; clones share its connection. It connects on first use, and again after a loss.
#[derive(Clone, Default)]
pub(crate) struct SystemdClient {
    held: Arc<Mutex<Option<Connection>>>,
}

/// Running job of systemd.
pub(crate) struct UnitJob {
    path: OwnedObjectPath,
    removed: MessageStream,
}

impl UnitJob {
    /// Waits for the result: `done`, `canceled`, `timeout`, `failed`, `dependency`, `skipped` and others.
    ///
    /// # Errors
    /// Returns [`SystemdError::ConnectionLost`] if the connection is lost.
    pub(crate) async fn wait_for_result(mut self) -> Result<String, SystemdError> {
        while let Some(message) = self.removed.next().await {
            let Ok(message) = message else { return Err(SystemdError::ConnectionLost) };
            let body = message.body();
            let to_error = body.deserialize::<(u32, OwnedObjectPath, String, String)>();
            if let Ok((_, path, _, result)) = to_error
                && path == self.path
            {
                return Ok(result);
            }
        }
        Err(SystemdError::ConnectionLost)
    }
}

impl SystemdClient {
    /// Starts a job for `operation` on `unit`.
    ///
    /// # Errors
    /// Returns an error if systemd cannot be reached, or refuses.
    pub(crate) async fn start_job(
        &self,
        operation: UnitOperation,
        unit: &str,
    ) -> Result<UnitJob, SystemdError> {
        let to_error = |error: zbus::Error| SystemdError::from_zbus(&error, unit);
        let connection = self.connect().await?;
        let rule = MatchRule::builder()
            .msg_type(Type::Signal)
            .sender(BUS_NAME)
            .path(OBJECT_PATH)
            .interface(MANAGER_INTERFACE)
            .member("JobRemoved")
            .build()
            .map_err(to_error)?;
        // Subscribed before the call: a short job is removed before its path is known here.
        let removed = MessageStream::for_match_rule(rule, &connection, None).await.map_err(to_error)?;
        let answer = call_method(
            &connection,
            OBJECT_PATH,
            MANAGER_INTERFACE,
            dbus_method(operation),
            &(unit, "replace"),
        )
        .await
        .map_err(to_error)?;
        let path = answer.body().deserialize::<OwnedObjectPath>().map_err(to_error)?;
        Ok(UnitJob { path, removed })
    }

    /// Returns the state of `unit`.
    ///
    /// # Errors
    /// Returns an error if systemd cannot be reached, or does not know the unit.
    pub(crate) async fn unit_state(&self, unit: &str) -> Result<UnitState, SystemdError> {
        match self.query_unit_state(unit).await {
            // The bus may have been restarted since the last call.
            Err(SystemdError::ConnectionLost) => self.query_unit_state(unit).await,
            to_error => to_error,
        }
    }

    async fn query_unit_state(&self, unit: &str) -> Result<UnitState, SystemdError> {
        let to_error = |error: zbus::Error| SystemdError::from_zbus(&error, unit);
        let connection = self.connect().await?;
        let answer =
            call_method(&connection, OBJECT_PATH, MANAGER_INTERFACE, "ListUnitsByNames", &(&[unit][..],))
                .await;
        let answer = answer.map_err(to_error)?;
        let body = answer.body();
        let found = body.deserialize::<Vec<UnitListEntry>>().map_err(to_error)?;
        let Some((_, _, load, active, sub, _, path, ..)) = found.into_iter().next() else {
            return Err(SystemdError::UnknownUnit(unit.to_owned()));
        };
        // A unit that is not found but runs has lost its file since.
        if load == "not-found" && matches!(active.as_str(), "inactive" | "failed") {
            return Err(SystemdError::UnknownUnit(unit.to_owned()));
        }
        let mut state = UnitState { active, sub, ..UnitState::default() };
        // For an active unit the result contains nothing new.
        if let (Some(interface), false) = (interface_of(unit), state.active == "active") {
            let text = |value: &Variant<'_>| match value {
                Variant::Str(text) => Some(text.to_string()),
                _ => None,
            };
            let number = |value: &Variant<'_>| match value {
                Variant::I32(number) => Some(*number),
                _ => None,
            };
            let get = |name| get_property(&connection, &path, interface, name);
            state.result =
                get("Result").await.map_err(to_error)?.as_deref().and_then(text).unwrap_or_default();
            if unit.ends_with(".service") {
                let code = get("ExecMainCode").await.map_err(to_error)?;
                let status = get("ExecMainStatus").await.map_err(to_error)?;
                state.main_code = code.as_deref().and_then(number).unwrap_or_default();
                state.main_status = status.as_deref().and_then(number).unwrap_or_default();
            }
        }
        Ok(state)
    }

    /// Returns the connection; connects if there is none that is open.
    async fn connect(&self) -> Result<Connection, SystemdError> {
        let held = || self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = held().as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(connection.clone());
        }
        let connecting = Builder::system().method_timeout(CALL_TIMEOUT).build();
        let connection = match tokio::time::timeout(CALL_TIMEOUT, connecting).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(SystemdError::no_bus(error)),
            Err(_) => {
                let why = format!("no answer within {} s", CALL_TIMEOUT.as_secs());
                return Err(SystemdError::no_bus(why));
            }
        };
        // Without a subscription systemd reports the end of jobs only to the clients that created them.
        let subscribed = call_method(&connection, OBJECT_PATH, MANAGER_INTERFACE, "Subscribe", &()).await;
        subscribed.map_err(|error| SystemdError::from_zbus(&error, ""))?;
        // Two concurrent callers make two connections, of which one is kept.
        *held() = Some(connection.clone());
        Ok(connection)
    }
}

/// Entry of ListUnitsByNames: name, description, LoadState, ActiveState, SubState, followed unit, path, and
/// ID, type and path of its job.
type UnitListEntry =
    (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

/// Returns the method of the manager that starts such a job.
fn dbus_method(operation: UnitOperation) -> &'static str {
    match operation {
        UnitOperation::Start => "StartUnit",
        UnitOperation::Stop => "StopUnit",
        UnitOperation::Restart => "RestartUnit",
    }
}

async fn call_method<B: serde::Serialize + zbus::DynamicType>(
    connection: &Connection,
    path: &str,
    interface: &str,
    method: &str,
    body: &B,
) -> zbus::Result<Message> {
    connection.call_method(Some(BUS_NAME), path, Some(interface), method, body).await
}

/// Returns a property; `None` if the unit has none of that name.
async fn get_property(
    connection: &Connection,
    path: &OwnedObjectPath,
    interface: &str,
    name: &str,
) -> zbus::Result<Option<OwnedVariant>> {
    let answer =
        call_method(connection, path.as_str(), PROPERTIES_INTERFACE, "Get", &(interface, name)).await;
    match answer {
        Ok(answer) => answer.body().deserialize::<OwnedVariant>().map(Some),
        Err(zbus::Error::FDO(error))
            if matches!(
                *error,
                zbus::fdo::Error::UnknownProperty(_) | zbus::fdo::Error::UnknownInterface(_)
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Returns the D-Bus interface with the Result property of this type of unit, if it has one.
fn interface_of(unit: &str) -> Option<&'static str> {
    Some(match unit.rsplit_once('.')?.1 {
        "service" => "org.freedesktop.systemd1.Service",
        "socket" => "org.freedesktop.systemd1.Socket",
        "mount" => "org.freedesktop.systemd1.Mount",
        "automount" => "org.freedesktop.systemd1.Automount",
        "swap" => "org.freedesktop.systemd1.Swap",
        "timer" => "org.freedesktop.systemd1.Timer",
        "path" => "org.freedesktop.systemd1.Path",
        "scope" => "org.freedesktop.systemd1.Scope",
        _ => return None,
    })
}
