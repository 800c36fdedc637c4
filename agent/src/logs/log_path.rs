//! Path of a component's log, with its expected owner.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rta_shared::config::HostComponent;
use serde::{Deserialize, Serialize};

use crate::host::safe_open;

/// Path of a component's log, and the user that the component is configured to run as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogPath {
    path: PathBuf,
    /// `None`: the agent's own user, or not known.
    user: Option<String>,
}

impl LogPath {
    /// Creates the path of a log of a component that runs as `user`.
    pub(crate) fn new(path: PathBuf, user: Option<String>) -> Self {
        Self { path, user }
    }

    /// Returns the configured log of `component`; `None` if the configuration names none.
    pub(crate) fn from_component(component: &HostComponent) -> Option<Self> {
        let command = component.start.as_ref().and_then(|start| start.engine.command());
        let user = command.and_then(|command| command.user.clone());
        component.log.clone().map(|path| Self::new(path, user))
    }

    /// Creates the path of a log of a component that runs as the agent's own user.
    #[cfg(test)]
    pub(crate) fn own(path: &Path) -> Self {
        Self::new(path.to_owned(), None)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the log for reading; see [`safe_open::open_to_read`]. Blocking.
    ///
    /// # Errors
    /// Returns an error if the log cannot be opened, or is not the component's own regular file.
    pub(crate) fn open_to_read(&self) -> io::Result<File> {
        safe_open::open_to_read(&self.path, self.user.as_deref())
    }

    /// Opens the log for appending, and returns its length; see [`safe_open::open_to_append`]. Blocking.
    ///
    /// # Errors
    /// Returns an error if the log cannot be opened or created, or is not the component's own regular file.
    pub(crate) fn open_to_append(&self) -> io::Result<(File, u64)> {
        safe_open::open_to_append(&self.path, self.user.as_deref())
    }
}

impl fmt::Display for LogPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}
