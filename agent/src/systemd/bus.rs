//! Client of systemd on the system bus.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use zbus::connection::Builder;
use zbus::message::Type;
use zbus::{Connection, MatchRule, Message, MessageStream, OwnedObjectPath, OwnedVariant, Variant};

use super::standing::Standing;
use super::trouble::Trouble;

const NAME: &str = "org.freedesktop.systemd1";
const PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
/// Time limit for calls that systemd answers at once unless it hangs.
const PATIENCE: Duration = Duration::from_secs(5);

/// Client of systemd; clones share its connection. It connects on first use, and again after a loss.
#[derive(Clone, Default)]
pub(crate) struct Systemd {
    held: Arc<Mutex<Option<Connection>>>,
}

/// Operation on a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Start,
    Stop,
    Restart,
}

impl Verb {
    fn method(self) -> &'static str {
        match self {
            Self::Start => "StartUnit",
            Self::Stop => "StopUnit",
            Self::Restart => "RestartUnit",
        }
    }

    /// Returns the operation in lower case, such as `start`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
        }
    }
}

/// Running job of systemd.
pub(crate) struct Job {
    path: OwnedObjectPath,
    removed: MessageStream,
}

impl Job {
    /// Waits for the result: `done`, `canceled`, `timeout`, `failed`, `dependency`, `skipped` and others.
    ///
    /// # Errors
    /// Returns [`Trouble::Lost`] if the connection is lost.
    pub(crate) async fn result(mut self) -> Result<String, Trouble> {
        while let Some(message) = self.removed.next().await {
            let Ok(message) = message else { return Err(Trouble::Lost) };
            let body = message.body();
            let told = body.deserialize::<(u32, OwnedObjectPath, String, String)>();
            if let Ok((_, path, _, result)) = told
                && path == self.path
            {
                return Ok(result);
            }
        }
        Err(Trouble::Lost)
    }
}

impl Systemd {
    /// Starts a job for `verb` on `unit`.
    ///
    /// # Errors
    /// Returns an error if systemd cannot be reached, or refuses.
    pub(crate) async fn ask(&self, verb: Verb, unit: &str) -> Result<Job, Trouble> {
        let told = |error: zbus::Error| Trouble::of(&error, unit);
        let connection = self.connection().await?;
        let rule = MatchRule::builder()
            .msg_type(Type::Signal)
            .sender(NAME)
            .path(PATH)
            .interface(MANAGER)
            .member("JobRemoved")
            .build()
            .map_err(told)?;
        // Subscribed before the call: a short job is removed before its path is known here.
        let removed = MessageStream::for_match_rule(rule, &connection, None).await.map_err(told)?;
        let answer =
            call(&connection, PATH, MANAGER, verb.method(), &(unit, "replace")).await.map_err(told)?;
        let path = answer.body().deserialize::<OwnedObjectPath>().map_err(told)?;
        Ok(Job { path, removed })
    }

    /// Returns the state of `unit`.
    ///
    /// # Errors
    /// Returns an error if systemd cannot be reached, or does not know the unit.
    pub(crate) async fn standing(&self, unit: &str) -> Result<Standing, Trouble> {
        match self.ask_standing(unit).await {
            // The bus may have been restarted since the last call.
            Err(Trouble::Lost) => self.ask_standing(unit).await,
            told => told,
        }
    }

    async fn ask_standing(&self, unit: &str) -> Result<Standing, Trouble> {
        let told = |error: zbus::Error| Trouble::of(&error, unit);
        let connection = self.connection().await?;
        let answer = call(&connection, PATH, MANAGER, "ListUnitsByNames", &(&[unit][..],)).await;
        let answer = answer.map_err(told)?;
        let body = answer.body();
        let found = body.deserialize::<Vec<Listed>>().map_err(told)?;
        let Some((_, _, load, active, sub, _, path, ..)) = found.into_iter().next() else {
            return Err(Trouble::NoUnit(unit.to_owned()));
        };
        // A unit that is not found but runs has lost its file since.
        if load == "not-found" && matches!(active.as_str(), "inactive" | "failed") {
            return Err(Trouble::NoUnit(unit.to_owned()));
        }
        let mut standing = Standing { active, sub, ..Standing::default() };
        // For an active unit the result contains nothing new.
        if let (Some(interface), false) = (interface_of(unit), standing.active == "active") {
            let text = |value: &Variant<'_>| match value {
                Variant::Str(text) => Some(text.to_string()),
                _ => None,
            };
            let number = |value: &Variant<'_>| match value {
                Variant::I32(number) => Some(*number),
                _ => None,
            };
            let get = |name| property(&connection, &path, interface, name);
            standing.result =
                get("Result").await.map_err(told)?.as_deref().and_then(text).unwrap_or_default();
            if unit.ends_with(".service") {
                let code = get("ExecMainCode").await.map_err(told)?;
                let status = get("ExecMainStatus").await.map_err(told)?;
                standing.main_code = code.as_deref().and_then(number).unwrap_or_default();
                standing.main_status = status.as_deref().and_then(number).unwrap_or_default();
            }
        }
        Ok(standing)
    }

    /// Returns the connection; connects if there is none that is open.
    async fn connection(&self) -> Result<Connection, Trouble> {
        let held = || self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = held().as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(connection.clone());
        }
        let connecting = Builder::system().method_timeout(PATIENCE).build();
        let connection = match tokio::time::timeout(PATIENCE, connecting).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(Trouble::NoBus(error.to_string())),
            Err(_) => {
                return Err(Trouble::NoBus(format!("no answer within {} s", PATIENCE.as_secs())));
            }
        };
        // Without a subscription systemd reports the end of jobs only to the clients that created them.
        let subscribed = call(&connection, PATH, MANAGER, "Subscribe", &()).await;
        subscribed.map_err(|error| Trouble::of(&error, ""))?;
        // Two concurrent callers make two connections, of which one is kept.
        *held() = Some(connection.clone());
        Ok(connection)
    }
}

/// Entry of ListUnitsByNames: name, description, LoadState, ActiveState, SubState, followed unit, path, and
/// ID, type and path of its job.
type Listed = (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

async fn call<B: serde::Serialize + zbus::DynamicType>(
    connection: &Connection,
    path: &str,
    interface: &str,
    method: &str,
    body: &B,
) -> zbus::Result<Message> {
    connection.call_method(Some(NAME), path, Some(interface), method, body).await
}

/// Returns a property; `None` if the unit has none of that name.
async fn property(
    connection: &Connection,
    path: &OwnedObjectPath,
    interface: &str,
    name: &str,
) -> zbus::Result<Option<OwnedVariant>> {
    let answer = call(connection, path.as_str(), PROPERTIES, "Get", &(interface, name)).await;
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
