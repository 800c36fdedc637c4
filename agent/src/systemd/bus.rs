//! The client of systemd on the system bus.

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
/// What systemd answers at once takes this long only if it hangs.
const PATIENCE: Duration = Duration::from_secs(5);

/// The client; clones share its connection. It connects when it is first needed, and anew after a loss.
#[derive(Clone, Default)]
pub(crate) struct Systemd {
    held: Arc<Mutex<Option<Connection>>>,
}

/// What is asked of a unit.
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

    /// `start`
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
        }
    }
}

/// What systemd was asked for and is doing.
pub(crate) struct Job {
    path: OwnedObjectPath,
    removed: MessageStream,
}

impl Job {
    /// How it ended: `done`, `canceled`, `timeout`, `failed`, `dependency`, `skipped` and others.
    ///
    /// # Errors
    /// [`Trouble::Lost`].
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
    /// Asks for `verb` on `unit`.
    ///
    /// # Errors
    /// It cannot be asked, or refuses.
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
        // Before it is asked: a short job is removed before its path is known here.
        let removed = MessageStream::for_match_rule(rule, &connection, None).await.map_err(told)?;
        let answer =
            call(&connection, PATH, MANAGER, verb.method(), &(unit, "replace")).await.map_err(told)?;
        let path = answer.body().deserialize::<OwnedObjectPath>().map_err(told)?;
        Ok(Job { path, removed })
    }

    /// What it says of `unit`.
    ///
    /// # Errors
    /// It cannot be asked, or does not know the unit.
    pub(crate) async fn standing(&self, unit: &str) -> Result<Standing, Trouble> {
        match self.ask_standing(unit).await {
            // The bus may have been restarted since it was asked last.
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
        // What is not found and runs all the same has lost its file since.
        if load == "not-found" && matches!(active.as_str(), "inactive" | "failed") {
            return Err(Trouble::NoUnit(unit.to_owned()));
        }
        let mut standing = Standing { active, sub, ..Standing::default() };
        // Of what runs it says nothing that is not known.
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

    /// The connection, made anew where there is none that is open.
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
        // Without it systemd tells its jobs' ends to nobody but those who asked.
        let subscribed = call(&connection, PATH, MANAGER, "Subscribe", &()).await;
        subscribed.map_err(|error| Trouble::of(&error, ""))?;
        // Two that connect at once make two connections, of which one is kept.
        *held() = Some(connection.clone());
        Ok(connection)
    }
}

/// An entry of ListUnitsByNames: name, description, LoadState, ActiveState, SubState, what it follows, path, and
/// its job's ID, type and path.
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

/// A property; `None` where the unit has none of that name.
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

/// The interface on which a unit of this type tells its Result, if its type has one.
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
