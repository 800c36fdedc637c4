//! Attributes of a process besides its command line: user, executable, directory, unit and parent.

use std::fmt;

use serde::Serialize;

use crate::process::CommandLine;
use crate::template::{Form, Resolved};

/// Source of the attributes of one process. Each is read only on demand, because a read costs as much as that
/// of the command line.
///
/// An error is a sentence that says what cannot be read and why. An error for a process that has already
/// ended is harmless: the caller checks afterwards that the process still exists.
pub trait ProcessAttributes {
    /// Returns the UID of the user for whom the process acts; see [`acting_user`].
    ///
    /// # Errors
    /// Returns an error if the user cannot be read.
    fn uid(&self) -> Result<u32, String>;

    /// Returns the path of the executable, without the ` (deleted)` of a file that has been replaced since.
    ///
    /// # Errors
    /// Returns an error if the link cannot be read, mostly because the process belongs to another user.
    fn executable(&self) -> Result<&[u8], String>;

    /// Returns the path of the working directory, without the ` (deleted)` of a directory that has been
    /// removed since.
    ///
    /// # Errors
    /// Returns an error if the link cannot be read, mostly because the process belongs to another user.
    fn directory(&self) -> Result<&[u8], String>;

    /// Returns the systemd unit that owns the control group of the process; empty if there is none.
    ///
    /// # Errors
    /// Returns an error if the control group cannot be read.
    fn unit(&self) -> Result<&str, String>;

    /// Returns the command line of the parent; empty if the process has no parent, or one outside the PID
    /// namespace.
    ///
    /// # Errors
    /// Returns an error if the parent cannot be read.
    fn parent(&self) -> Result<&CommandLine, String>;

    /// Returns true if the process is in another PID namespace than the agent, as the processes of containers
    /// are.
    ///
    /// # Errors
    /// Returns an error if the namespace cannot be read.
    fn is_in_container(&self) -> Result<bool, String>;
}

/// Returns the user for whom a process acts, from its real and effective UIDs (credentials(7)).
///
/// The effective UID determines the permissions of a process, and a daemon that is started as root drops its
/// privileges by changing it. But any user can run a set-user-ID program with any command line, which gives
/// it the effective UID of the program's owner: only a process with root as its real user has chosen its
/// effective user itself.
pub fn acting_user(real: u32, effective: u32) -> u32 {
    if real == 0 { effective } else { real }
}

/// Returns the systemd unit of a control group path: `grafana-server.service` for
/// `/system.slice/grafana-server.service/worker`. Empty if the path contains no unit.
///
/// The unit is the first service or scope in the path, as in systemd. Later components are made by the user
/// to whom the unit is delegated: `user@1000.service/app.slice/grafana-server.service` is not the system's
/// Grafana, but a name that the user 1000 chose.
pub fn unit_of(path: &str) -> &str {
    let is_unit = |name: &&str| name.ends_with(".service") || name.ends_with(".scope");
    path.split('/').find(is_unit).unwrap_or_default()
}

/// Test on an attribute of a process.
#[derive(Clone, Debug)]
pub enum AttributeCriterion<F: Form = Resolved> {
    /// User for whom the process must act.
    User(UserCriterion<F>),
    /// Exact name of the systemd unit.
    Unit(F::Text),
    /// Regex that is searched in the path of the working directory.
    Directory(F::Regex),
    /// Regex that is searched in the path of the executable.
    Executable(F::Regex),
    /// Regex that is searched in each argument of the parent.
    Parent(F::Regex),
}

/// User for whom a process must act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserCriterion<F: Form = Resolved> {
    /// Account name, or UID.
    pub name: F::Text,
    /// UID on this host; `None` until the host looks it up, and if it has no such user.
    pub uid: Option<u32>,
    /// True if the criterion was not configured, but follows from the user of the start command.
    pub is_implied: bool,
}

/// Property of a process that a criterion tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CriterionKind {
    /// One argument, or any.
    Argument,
    /// User.
    User,
    /// Systemd unit.
    Unit,
    /// Working directory.
    Directory,
    /// Executable.
    Executable,
    /// Command line of the parent.
    Parent,
    /// Absence of a container; never configured as a criterion.
    Container,
}

impl<F: Form> AttributeCriterion<F> {
    /// Returns the property that the criterion tests.
    pub fn kind(&self) -> CriterionKind {
        match self {
            Self::User(_) => CriterionKind::User,
            Self::Unit(_) => CriterionKind::Unit,
            Self::Directory(_) => CriterionKind::Directory,
            Self::Executable(_) => CriterionKind::Executable,
            Self::Parent(_) => CriterionKind::Parent,
        }
    }
}

impl<F: Form> fmt::Display for AttributeCriterion<F> {
    /// Writes the text that the criterion searches for: a user, a unit, or a regex.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => user.name.fmt(f),
            Self::Unit(unit) => unit.fmt(f),
            Self::Directory(regex) | Self::Executable(regex) | Self::Parent(regex) => regex.fmt(f),
        }
    }
}

impl AttributeCriterion {
    /// Returns the text that the criterion searches for: a user, a unit, or a regex.
    pub fn text(&self) -> &str {
        match self {
            Self::User(user) => &user.name,
            Self::Unit(unit) => unit,
            Self::Directory(regex) | Self::Executable(regex) | Self::Parent(regex) => regex.as_str(),
        }
    }

    /// Returns true if the criterion holds on `process`.
    ///
    /// # Errors
    /// Returns an error if the attribute cannot be read, or if the host has no such user.
    pub fn holds(&self, process: &impl ProcessAttributes) -> Result<bool, String> {
        match self {
            Self::User(user) => Ok(user.uid.ok_or_else(|| user.unknown())? == process.uid()?),
            Self::Unit(unit) => Ok(process.unit()? == unit),
            Self::Directory(regex) => Ok(regex.is_match(process.directory()?)),
            Self::Executable(regex) => Ok(regex.is_match(process.executable()?)),
            Self::Parent(regex) => Ok(process.parent()?.arguments().any(|argument| regex.is_match(argument))),
        }
    }
}

impl UserCriterion {
    /// Returns a sentence saying that this host has no such user.
    pub fn unknown(&self) -> String {
        format!("there is no user \"{}\" on this host", crate::sanitize::printable(&self.name))
    }
}

/// Attribute criteria of one part.
#[derive(Clone, Debug, Default)]
pub(crate) struct AttributeTests {
    /// Criteria, the cheapest first.
    criteria: Vec<AttributeCriterion>,
    /// True if processes of other PID namespaces count too.
    container: bool,
}

impl AttributeTests {
    pub(crate) fn new(criteria: impl Iterator<Item = AttributeCriterion>, container: bool) -> Self {
        let mut criteria: Vec<AttributeCriterion> = criteria.collect();
        // User and namespace are in one file; the parent needs reads of a second process.
        criteria.sort_by_key(|criterion| criterion.kind() as u8);
        Self { criteria, container }
    }

    /// Returns true if all criteria hold. A single failed criterion decides, even if other attributes cannot
    /// be read.
    ///
    /// # Errors
    /// Returns an error if no criterion fails and an attribute cannot be read.
    pub(crate) fn all_hold(&self, process: &impl ProcessAttributes) -> Result<bool, String> {
        let mut unreadable = None;
        let not_contained =
            || if self.container { Ok(true) } else { process.is_in_container().map(|is| !is) };
        let results = std::iter::once_with(not_contained)
            .chain(self.criteria.iter().map(|criterion| criterion.holds(process)));
        for result in results {
            match result {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(reason) => drop(unreadable.get_or_insert(reason)),
            }
        }
        unreadable.map_or(Ok(true), Err)
    }

    /// Returns true if a process can begin or cease to match without an exec.
    pub(crate) fn may_change(&self) -> bool {
        !self.criteria.is_empty()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use regex::bytes::Regex;

    use super::*;

    /// Process of a test; `None` stands for an unreadable attribute.
    #[derive(Default)]
    pub(crate) struct FakeProcess {
        pub(crate) uid: Option<u32>,
        pub(crate) executable: Option<&'static str>,
        pub(crate) unit: Option<&'static str>,
        pub(crate) parent: CommandLine,
        pub(crate) container: Option<bool>,
    }

    impl ProcessAttributes for FakeProcess {
        fn uid(&self) -> Result<u32, String> {
            self.uid.ok_or_else(|| "no user".to_owned())
        }

        fn executable(&self) -> Result<&[u8], String> {
            self.executable.map(str::as_bytes).ok_or_else(|| "no executable".to_owned())
        }

        fn directory(&self) -> Result<&[u8], String> {
            Ok(b"/opt/kafka/logs")
        }

        fn unit(&self) -> Result<&str, String> {
            self.unit.ok_or_else(|| "no unit".to_owned())
        }

        fn parent(&self) -> Result<&CommandLine, String> {
            Ok(&self.parent)
        }

        fn is_in_container(&self) -> Result<bool, String> {
            self.container.ok_or_else(|| "no namespace".to_owned())
        }
    }

    pub(crate) fn user(name: &str, uid: Option<u32>) -> AttributeCriterion {
        AttributeCriterion::User(UserCriterion { name: name.to_owned(), uid, is_implied: false })
    }

    #[test]
    fn set_user_id_program_counts_as_its_callers() {
        assert_eq!(acting_user(1000, 1000), 1000);
        // A daemon that was started as root and dropped its privileges temporarily.
        assert_eq!(acting_user(0, 1000), 1000);
        // A user runs `su` under the name of Kafka.
        assert_eq!(acting_user(1000, 0), 1000);
    }

    #[test]
    fn unit_is_the_first_service_or_scope_of_the_path() {
        for (path, unit) in [
            ("/system.slice/grafana-server.service", "grafana-server.service"),
            ("/system.slice/system-kafka.slice/kafka@1.service/payload", "kafka@1.service"),
            ("/user.slice/user-1000.slice/session-3.scope", "session-3.scope"),
            // A unit name chosen by a user is not the system's unit.
            (
                "/user.slice/user-1000.slice/user@1000.service/app.slice/grafana-server.service",
                "user@1000.service",
            ),
            ("/", ""),
            ("/docker/0123", ""),
        ] {
            assert_eq!(unit_of(path), unit, "{path}");
        }
    }

    #[test]
    fn every_kind_of_attribute_is_tested() {
        let process = FakeProcess {
            uid: Some(7),
            executable: Some("/opt/java/bin/java"),
            unit: Some("kafka.service"),
            parent: CommandLine::from_arguments(["bash", "kafka-server-start.sh"]),
            container: Some(false),
        };
        let regex = |text: &str| Regex::new(text).unwrap();
        let rows = [
            (user("kafka", Some(7)), Ok(true)),
            (user("kafka", Some(8)), Ok(false)),
            (user("kafka", None), Err("there is no user \"kafka\" on this host".to_owned())),
            (AttributeCriterion::Executable(regex("^/opt/java/")), Ok(true)),
            (AttributeCriterion::Executable(regex("^/tmp/")), Ok(false)),
            (AttributeCriterion::Directory(regex("^/opt/kafka")), Ok(true)),
            (AttributeCriterion::Unit("kafka.service".to_owned()), Ok(true)),
            (AttributeCriterion::Unit("kafka".to_owned()), Ok(false)),
            (AttributeCriterion::Parent(regex(r"start\.sh$")), Ok(true)),
            // Never on joined text.
            (AttributeCriterion::Parent(regex("bash kafka")), Ok(false)),
        ];
        for (criterion, expected) in rows {
            assert_eq!(criterion.holds(&process), expected, "{criterion:?}");
        }
    }

    #[test]
    fn failed_test_outweighs_what_cannot_be_read() {
        let tests = |container| {
            let executable = AttributeCriterion::Executable(Regex::new("java").unwrap());
            AttributeTests::new([executable, user("kafka", Some(7))].into_iter(), container)
        };
        let readable = FakeProcess {
            uid: Some(7),
            executable: Some("/bin/java"),
            container: Some(false),
            ..FakeProcess::default()
        };
        assert_eq!(tests(false).all_hold(&readable), Ok(true));
        let hidden = FakeProcess { executable: None, ..readable };
        assert_eq!(tests(false).all_hold(&hidden), Err("no executable".to_owned()));
        assert_eq!(tests(false).all_hold(&FakeProcess { uid: Some(8), ..hidden }), Ok(false));
        let contained = FakeProcess {
            container: Some(true),
            uid: Some(7),
            executable: Some("/bin/java"),
            ..FakeProcess::default()
        };
        assert_eq!(tests(false).all_hold(&contained), Ok(false));
        assert_eq!(tests(true).all_hold(&contained), Ok(true));
        let unknown = FakeProcess { container: None, ..contained };
        assert_eq!(tests(false).all_hold(&unknown), Err("no namespace".to_owned()));
        assert_eq!(tests(true).all_hold(&unknown), Ok(true));
    }
}
