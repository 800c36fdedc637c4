//! What a process is beside its command line: its user, executable, directory, unit and parent.

use regex::bytes::Regex;
use serde::Serialize;

use crate::process::CommandLine;

/// Gives the attributes of one process. Each is read when it is asked for, since a read costs as much as that of the
/// command line.
///
/// An error is a sentence that says what cannot be read and why. One that is returned for a process that has ended
/// does no harm: whoever asks checks afterwards that the process is still there.
pub trait ProcessAttributes {
    /// Returns the number of the user that it acts for; see [`acting_user`].
    ///
    /// # Errors
    /// The user cannot be read.
    fn uid(&self) -> Result<u32, String>;

    /// Returns the path of its executable, without the ` (deleted)` of a file that was replaced since.
    ///
    /// # Errors
    /// The link cannot be read, mostly since the process is another user's.
    fn executable(&self) -> Result<&[u8], String>;

    /// Returns the path of its working directory, without the ` (deleted)` of one that was removed since.
    ///
    /// # Errors
    /// The link cannot be read, mostly since the process is another user's.
    fn directory(&self) -> Result<&[u8], String>;

    /// Returns the systemd unit that its control group belongs to; empty where it belongs to none.
    ///
    /// # Errors
    /// The control group cannot be read.
    fn unit(&self) -> Result<&str, String>;

    /// Returns its parent's command line; empty where its parent is outside the PID namespace, or has none.
    ///
    /// # Errors
    /// The parent cannot be read.
    fn parent(&self) -> Result<&CommandLine, String>;

    /// Returns whether it lives in another PID namespace than the agent, as the processes of containers do.
    ///
    /// # Errors
    /// The namespace cannot be read.
    fn is_in_container(&self) -> Result<bool, String>;
}

/// Returns the user that a process acts for, from its real and effective user IDs (credentials(7)).
///
/// The effective ID is what it may do, and a daemon that is started as root gives up its rights by changing it. But
/// anybody can run a set-user-ID program under any command line, and has its owner's effective ID then: only a process
/// whose real user is root has chosen its effective one itself.
pub fn acting_user(real: u32, effective: u32) -> u32 {
    if real == 0 { effective } else { real }
}

/// Returns the systemd unit of a control group's path: `grafana-server.service` of
/// `/system.slice/grafana-server.service/worker`. Empty where the path holds none.
///
/// It is the first service or scope of the path, as systemd counts it. What follows is made by whoever the unit was
/// delegated to: `user@1000.service/app.slice/grafana-server.service` is not the system's Grafana, but something that
/// the user 1000 named so.
pub fn unit_of(path: &str) -> &str {
    let is_unit = |name: &&str| name.ends_with(".service") || name.ends_with(".scope");
    path.split('/').find(is_unit).unwrap_or_default()
}

/// A test on an attribute of a process.
#[derive(Clone, Debug)]
pub enum AttributeCriterion {
    /// The process acts for this user.
    User(UserCriterion),
    /// The systemd unit is this one.
    Unit(String),
    /// Searched in the path of the working directory.
    Directory(Regex),
    /// Searched in the path of the executable.
    Executable(Regex),
    /// Searched in each argument of the parent.
    Parent(Regex),
}

/// The user that a process must act for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserCriterion {
    /// An account's name, or a number.
    pub name: String,
    /// The user's number on this host; `None` until it is looked up, and where the host knows no such user.
    pub uid: Option<u32>,
    /// It was not written as a criterion, but follows from the user of the start command.
    pub is_implied: bool,
}

/// What a criterion looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CriterionKind {
    /// One argument, or any.
    Argument,
    /// The user.
    User,
    /// The systemd unit.
    Unit,
    /// The working directory.
    Directory,
    /// The executable.
    Executable,
    /// The parent's command line.
    Parent,
    /// That it is in no container; never written as a criterion.
    Container,
}

impl AttributeCriterion {
    /// Returns what it looks at.
    pub fn kind(&self) -> CriterionKind {
        match self {
            Self::User(_) => CriterionKind::User,
            Self::Unit(_) => CriterionKind::Unit,
            Self::Directory(_) => CriterionKind::Directory,
            Self::Executable(_) => CriterionKind::Executable,
            Self::Parent(_) => CriterionKind::Parent,
        }
    }

    /// Returns what it looks for: a user, a unit, or a regex.
    pub fn text(&self) -> &str {
        match self {
            Self::User(user) => &user.name,
            Self::Unit(unit) => unit,
            Self::Directory(regex) | Self::Executable(regex) | Self::Parent(regex) => regex.as_str(),
        }
    }

    /// Returns whether it holds on a process.
    ///
    /// # Errors
    /// Why that cannot be told: the attribute cannot be read, or the host does not know the user.
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
    /// Returns a sentence that says that this host does not know the user.
    pub fn unknown(&self) -> String {
        format!("there is no user \"{}\" on this host", crate::text::printable(&self.name))
    }
}

/// The tests of one part on a process's attributes.
#[derive(Clone, Debug, Default)]
pub(crate) struct AttributeTests {
    /// Those that cost least come first.
    criteria: Vec<AttributeCriterion>,
    /// Processes of other PID namespaces count too.
    container: bool,
}

impl AttributeTests {
    pub(crate) fn new(criteria: impl Iterator<Item = AttributeCriterion>, container: bool) -> Self {
        let mut criteria: Vec<AttributeCriterion> = criteria.collect();
        // The user and the namespace stand in one file; of a parent a second process is read.
        criteria.sort_by_key(|criterion| criterion.kind() as u8);
        Self { criteria, container }
    }

    /// Returns whether all hold. One that fails decides, whatever cannot be read.
    ///
    /// # Errors
    /// Why that cannot be told.
    pub(crate) fn hold(&self, process: &impl ProcessAttributes) -> Result<bool, String> {
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

    /// Returns whether a process can begin or cease to meet them without running another program.
    pub(crate) fn may_change(&self) -> bool {
        !self.criteria.is_empty()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A process of a test; `None` is what cannot be read.
    #[derive(Default)]
    pub(crate) struct Made {
        pub(crate) uid: Option<u32>,
        pub(crate) executable: Option<&'static str>,
        pub(crate) unit: Option<&'static str>,
        pub(crate) parent: CommandLine,
        pub(crate) container: Option<bool>,
    }

    impl ProcessAttributes for Made {
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
        // A daemon that was started as root and gave up its rights for the time being.
        assert_eq!(acting_user(0, 1000), 1000);
        // Somebody's `su kafka.Kafka`.
        assert_eq!(acting_user(1000, 0), 1000);
    }

    #[test]
    fn unit_is_the_first_service_or_scope_of_the_path() {
        for (path, unit) in [
            ("/system.slice/grafana-server.service", "grafana-server.service"),
            ("/system.slice/system-kafka.slice/kafka@1.service/payload", "kafka@1.service"),
            ("/user.slice/user-1000.slice/session-3.scope", "session-3.scope"),
            // What a user calls so is not the system's.
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
        let process = Made {
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
        let readable =
            Made { uid: Some(7), executable: Some("/bin/java"), container: Some(false), ..Made::default() };
        assert_eq!(tests(false).hold(&readable), Ok(true));
        let hidden = Made { executable: None, ..readable };
        assert_eq!(tests(false).hold(&hidden), Err("no executable".to_owned()));
        assert_eq!(tests(false).hold(&Made { uid: Some(8), ..hidden }), Ok(false));
        let contained =
            Made { container: Some(true), uid: Some(7), executable: Some("/bin/java"), ..Made::default() };
        assert_eq!(tests(false).hold(&contained), Ok(false));
        assert_eq!(tests(true).hold(&contained), Ok(true));
        let unknown = Made { container: None, ..contained };
        assert_eq!(tests(false).hold(&unknown), Err("no namespace".to_owned()));
        assert_eq!(tests(true).hold(&unknown), Ok(true));
    }
}
