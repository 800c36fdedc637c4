//! What the process of a command gets, whatever the agent itself has.

use std::fmt;
use std::path::PathBuf;

/// Settings of a command's process; what is not set is that of a clean start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessSettings {
    /// The mask of permissions that new files do not get, up to 0o777; `None`: 0o022.
    pub umask: Option<u32>,
    /// The group to run as; `None`: the user's own.
    pub group: Option<String>,
    /// Limits of resources (getrlimit(2)), each resource once; others are the agent's.
    pub limits: Vec<ResourceLimit>,
    /// The priority, from -20, the highest, to 19; `None`: 0.
    pub nice: Option<i32>,
}

/// A file of environment variables, in the syntax of systemd's `EnvironmentFile=`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvironmentFile {
    /// Where it is; absolute.
    pub path: PathBuf,
    /// It need not be there.
    pub is_optional: bool,
}

/// A limit of one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceLimit {
    /// Which.
    pub resource: LimitedResource,
    /// The limit in force; `None`: unlimited.
    pub soft: Option<u64>,
    /// Up to where the process may raise it; `None`: unlimited. Never below `soft`.
    pub hard: Option<u64>,
}

/// A resource that the kernel limits (getrlimit(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitedResource {
    /// Bytes of address space.
    AddressSpace,
    /// Bytes of a core dump.
    Core,
    /// Seconds of CPU time.
    Cpu,
    /// Bytes of data segments.
    Data,
    /// Bytes of a file that is written.
    FileSize,
    /// Bytes that are locked in memory.
    LockedMemory,
    /// Open files.
    OpenFiles,
    /// Processes and threads of the user.
    Processes,
    /// Bytes of the main thread's stack.
    Stack,
}

impl LimitedResource {
    /// Every resource that a configuration may limit.
    pub const ALL: [Self; 9] = [
        Self::AddressSpace,
        Self::Core,
        Self::Cpu,
        Self::Data,
        Self::FileSize,
        Self::LockedMemory,
        Self::OpenFiles,
        Self::Processes,
        Self::Stack,
    ];

    /// Returns the key in the configuration: the kernel's name without `RLIMIT_`, in lower case.
    pub fn key(self) -> &'static str {
        match self {
            Self::AddressSpace => "as",
            Self::Core => "core",
            Self::Cpu => "cpu",
            Self::Data => "data",
            Self::FileSize => "fsize",
            Self::LockedMemory => "memlock",
            Self::OpenFiles => "nofile",
            Self::Processes => "nproc",
            Self::Stack => "stack",
        }
    }
}

impl fmt::Display for LimitedResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.key())
    }
}
