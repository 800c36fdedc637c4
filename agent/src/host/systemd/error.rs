//! Errors of calls to systemd.

use std::fmt;

#[cfg(feature = "systemd")]
use rta_shared::sanitize::printable;

/// Reason why systemd could not be reached, or refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "systemd"), expect(dead_code, reason = "without systemd the bus is never reached"))]
pub(crate) enum SystemdError {
    /// There is no system bus, or none that answers. The reason may name the remedy.
    NoBus(String),
    /// No service on the bus has systemd's name.
    NoSystemd(String),
    /// The connection was lost.
    ConnectionLost,
    /// systemd knows no unit of this name.
    UnknownUnit(String),
    /// The agent lacks the permission.
    Denied(String),
    /// Any other error, in systemd's words.
    Refused(String),
}

impl SystemdError {
    /// Converts an error of a call on the unit `unit`.
    #[cfg(feature = "systemd")]
    pub(crate) fn from_zbus(error: &zbus::Error, unit: &str) -> Self {
        match error {
            zbus::Error::MethodError(name, text, _) => {
                Self::from_dbus_error(name.as_str(), text.as_deref().unwrap_or_default(), unit)
            }
            zbus::Error::FDO(error) => match error.as_ref() {
                zbus::fdo::Error::AccessDenied(text)
                | zbus::fdo::Error::AuthFailed(text)
                | zbus::fdo::Error::InteractiveAuthorizationRequired(text) => {
                    Self::Denied(printable(text).into_owned())
                }
                zbus::fdo::Error::ServiceUnknown(text)
                | zbus::fdo::Error::NameHasNoOwner(text)
                | zbus::fdo::Error::SpawnServiceNotFound(text) => {
                    Self::NoSystemd(printable(text).into_owned())
                }
                zbus::fdo::Error::Disconnected(_) | zbus::fdo::Error::NoReply(_) => Self::ConnectionLost,
                zbus::fdo::Error::ZBus(error) => Self::from_zbus(error, unit),
                other => Self::Refused(printable(&other.to_string()).into_owned()),
            },
            zbus::Error::InputOutput(_) => Self::ConnectionLost,
            zbus::Error::Connection(error, _) => Self::no_bus(error),
            other => Self::Refused(printable(&other.to_string()).into_owned()),
        }
    }

    /// Returns the error for a bus that cannot be reached for the reason `why`.
    #[cfg(feature = "systemd")]
    pub(super) fn no_bus(why: impl fmt::Display) -> Self {
        Self::NoBus(format!("{why}; is systemd running on this host?"))
    }

    /// Converts an error with this D-Bus name.
    #[cfg(feature = "systemd")]
    fn from_dbus_error(name: &str, text: &str, unit: &str) -> Self {
        let text = printable(text).into_owned();
        match name.strip_prefix("org.freedesktop.systemd1.") {
            Some("NoSuchUnit" | "LoadFailed") => Self::UnknownUnit(unit.to_owned()),
            _ if name.ends_with(".AccessDenied") || name.ends_with(".InteractiveAuthorizationRequired") => {
                Self::Denied(text)
            }
            _ if text.is_empty() => Self::Refused(name.to_owned()),
            _ => Self::Refused(text),
        }
    }
}

impl fmt::Display for SystemdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBus(why) => write!(f, "the system bus cannot be reached: {why}"),
            Self::NoSystemd(why) => {
                write!(
                    f,
                    "systemd does not answer on the system bus: {why}; is systemd running on this host?"
                )
            }
            Self::ConnectionLost => {
                f.write_str("the connection to systemd was lost; what it was asked for goes on")
            }
            Self::UnknownUnit(unit) => write!(f, "systemd knows no unit {unit} on this host"),
            Self::Denied(why) => write!(
                f,
                "the agent may not ask systemd for that ({why}); run the agent as root, or allow it by a polkit rule"
            ),
            Self::Refused(why) => write!(f, "systemd refuses: {why}"),
        }
    }
}

#[cfg(all(test, feature = "systemd"))]
mod tests {
    use super::*;

    #[test]
    fn bus_errors_name_the_remedy() {
        let to_error = |name, text| SystemdError::from_dbus_error(name, text, "kafka.service").to_string();
        assert_eq!(
            to_error("org.freedesktop.systemd1.NoSuchUnit", "Unit kafka.service not found."),
            "systemd knows no unit kafka.service on this host"
        );
        assert!(
            to_error("org.freedesktop.PolicyKit1.Error.AccessDenied", "no").contains("run the agent as root")
        );
        assert_eq!(
            to_error("org.freedesktop.systemd1.UnitMasked", "Unit kafka.service is masked."),
            "systemd refuses: Unit kafka.service is masked."
        );
        assert_eq!(to_error("org.x.Y", "a\u{1b}[31m"), "systemd refuses: a\\u{1b}[31m");
    }
}
