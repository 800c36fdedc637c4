//! Paths of local sockets: which one a program serves, and where clients look for it.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::listener::LocalSocket;

/// Folder for the sockets of programs that serve a whole host.
const HOST_FOLDER: &str = "/run/rta";

/// Socket that a program is configured to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketChoice {
    /// The first usable path of [`default_paths`]; it is not an error if there is none.
    Default,
    /// This path; it is an error if it is not usable.
    Path(PathBuf),
    /// No socket.
    Off,
}

impl From<Option<PathBuf>> for SocketChoice {
    /// Converts the value of `--socket`.
    fn from(flag: Option<PathBuf>) -> Self {
        match flag {
            None => Self::Default,
            Some(path) if path == Path::new("none") => Self::Off,
            Some(path) => Self::Path(path),
        }
    }
}

/// Returns the paths at which the program `name` ("agent", "aggregator") serves and at which clients look for
/// it, in order of preference: that of the host, then that of the user's session.
pub fn default_paths(name: &str) -> Vec<PathBuf> {
    paths_with(name, env::var_os("XDG_RUNTIME_DIR"))
}

fn paths_with(name: &str, runtime: Option<OsString>) -> Vec<PathBuf> {
    let file = format!("{name}.sock");
    // The XDG Base Directory Specification requires relative paths to be ignored.
    let session = runtime.map(PathBuf::from).filter(|folder| folder.is_absolute());
    let session = session.map(|folder| folder.join("rta").join(&file));
    [Path::new(HOST_FOLDER).join(&file)].into_iter().chain(session).collect()
}

impl SocketChoice {
    /// Binds the socket of the program `name`. `None`: it is off, or no default path is usable, which is
    /// logged.
    ///
    /// # Errors
    /// Returns a sentence if an explicit path is not usable.
    pub async fn bind(&self, name: &str) -> Result<Option<LocalSocket>, String> {
        match self {
            Self::Off => Ok(None),
            Self::Path(path) => LocalSocket::bind(path).await.map(Some),
            Self::Default => {
                let mut reasons = Vec::new();
                for path in default_paths(name) {
                    match LocalSocket::bind(&path).await {
                        Ok(socket) => return Ok(Some(socket)),
                        Err(reason) => reasons.push(reason),
                    }
                }
                let reason = reasons.join("; ");
                tracing::warn!(reason, "no local socket is served; choose its path with --socket");
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_path_follows_host_path_and_relative_one_is_ignored() {
        let host = PathBuf::from("/run/rta/agent.sock");
        assert_eq!(paths_with("agent", None), std::slice::from_ref(&host));
        assert_eq!(paths_with("agent", Some("run".into())), std::slice::from_ref(&host));
        let session = PathBuf::from("/run/user/7/rta/agent.sock");
        assert_eq!(paths_with("agent", Some("/run/user/7".into())), [host, session]);
    }

    #[test]
    fn flag_names_path_or_turns_socket_off() {
        assert_eq!(SocketChoice::from(None), SocketChoice::Default);
        assert_eq!(SocketChoice::from(Some("none".into())), SocketChoice::Off);
        assert_eq!(SocketChoice::from(Some("./none".into())), SocketChoice::Path("./none".into()));
    }
}
