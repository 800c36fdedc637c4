//! Settings of a command's process, independent of those of the agent.

use crate::words::words;

/// Settings of a command's process; unset ones have the values of a clean start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessSettings {
    /// Permissions that are removed from new files, up to 0o777; `None`: 0o022.
    pub umask: Option<u32>,
    /// Group to run as; `None`: the user's primary group.
    pub group: Option<String>,
    /// Resource limits (getrlimit(2)), at most one per resource; others are inherited from the agent.
    pub limits: Vec<ResourceLimit>,
    /// Priority from -20, the highest, to 19; `None`: 0.
    pub nice: Option<i32>,
}

/// Limit of one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceLimit {
    /// Limited resource.
    pub resource: LimitedResource,
    /// Soft limit, which is in force; `None`: unlimited.
    pub soft: Option<u64>,
    /// Hard limit, up to which the process may raise the soft one; `None`: unlimited. Never below `soft`.
    pub hard: Option<u64>,
}

/// Resource that the kernel limits (getrlimit(2)). Its word, which is the key in the configuration, is the
/// kernel's name without `RLIMIT_`, in lower case.
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
    /// Bytes of a written file.
    FileSize,
    /// Bytes locked in memory.
    LockedMemory,
    /// Open files.
    OpenFiles,
    /// Processes and threads of the user.
    Processes,
    /// Bytes of the main thread's stack.
    Stack,
}

words!(LimitedResource {
    AddressSpace => "as",
    Core => "core",
    Cpu => "cpu",
    Data => "data",
    FileSize => "fsize",
    LockedMemory => "memlock",
    OpenFiles => "nofile",
    Processes => "nproc",
    Stack => "stack",
});
