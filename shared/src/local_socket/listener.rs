//! Listener of a local socket: its file, its lock, its connections.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown,
};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use nix::unistd::Group;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio_io_timeout::TimeoutStream;
use tokio_stream::wrappers::ReceiverStream;

use super::user::{LOCAL_GROUP, LocalUser};
use crate::keyed_semaphore::{KeyedSemaphore, Permit};
use crate::tls::ConnectionLimits;

/// Mode of the socket: read and write for the owner and the group. The server checks the caller again.
const MODE: u32 = 0o660;
/// Mode of a folder that is created for the socket: others may enter it, but not change it.
const FOLDER_MODE: u32 = 0o755;
/// Capacity of the queue of accepted connections; the server takes each at once.
const WAITING: usize = 64;
/// Pause after a failed accept, for example for lack of file descriptors.
const PAUSE: Duration = Duration::from_millis(200);
/// Time limit for looking up a user, because a directory service may hang.
const LOOK_UP: Duration = Duration::from_secs(5);
/// Time after which a connection is closed if its other end reads nothing.
const STUCK: Duration = Duration::from_secs(60);

/// Unix socket that a program serves. Its file is removed when this is dropped.
#[derive(Debug)]
pub struct LocalSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the socket's file, which distinguish it from a later file at the same path.
    identity: (u64, u64),
    /// Lock that is held as long as the socket is served, so that two programs never serve the same path.
    _lock: File,
}

impl LocalSocket {
    /// Serves `path` for [`LOCAL_GROUP`] if the host has that group, otherwise for the process's own group. A
    /// missing folder is created; the file of a program that has ended is replaced.
    ///
    /// # Errors
    /// Returns a sentence that names the path if another instance serves it, if a file that is not a socket
    /// is there, or if the socket cannot be created.
    pub async fn bind(path: &Path) -> Result<Self, String> {
        let failed = |why: &str| format!("the socket {} {why}", path.display());
        let broken = |error: io::Error| failed(&format!("cannot be made: {error}"));
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            make_folder(folder).map_err(broken)?;
        }
        let lock = lock(&with_suffix(path, ".lock")).map_err(|error| match error {
            TryLockError::WouldBlock => failed("is served by another instance; end that first"),
            TryLockError::Error(error) => broken(error),
        })?;
        match fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => {
                return Err(failed("is not made: a file that is no socket is there"));
            }
            // A server without a lock is another program; its socket is not replaced while it accepts
            // connections.
            Ok(_) if is_answered(path).await => {
                return Err(failed("is served by another program; end that first"));
            }
            Ok(_) | Err(_) => {}
        }
        // Created next to its path with its final mode, and then renamed, so that no client finds it
        // half-made.
        let fresh = with_suffix(path, "~");
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(broken(error)),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(&fresh).map_err(broken)?;
        let placed = || {
            give_to_group(&fresh);
            fs::set_permissions(&fresh, Permissions::from_mode(MODE))?;
            fs::rename(&fresh, path)?;
            fs::symlink_metadata(path)
        };
        let made = placed().map_err(broken)?;
        Ok(Self { listener, path: path.to_owned(), identity: (made.dev(), made.ino()), _lock: lock })
    }

    /// Returns the path of the socket.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the connections to the socket, until the stream is dropped; `bounds.of_one_address` limits
    /// those of one user.
    pub fn connections(self, bounds: ConnectionLimits) -> ReceiverStream<io::Result<LocalConnection>> {
        let (taken, connections) = mpsc::channel(WAITING);
        tokio::spawn(accept(self, bounds, taken));
        ReceiverStream::new(connections)
    }
}

impl Drop for LocalSocket {
    fn drop(&mut self) {
        let is_own =
            fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.identity);
        if is_own {
            // The next instance replaces a remaining file.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn make_folder(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(FOLDER_MODE).create(folder) {
        // The process's umask may have removed permissions.
        Ok(()) => fs::set_permissions(folder, Permissions::from_mode(FOLDER_MODE)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn lock(path: &Path) -> Result<File, TryLockError> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.map_err(TryLockError::Error)?;
    file.try_lock()?;
    Ok(file)
}

/// Returns true if a program accepts connections at `path`. A full queue does not count as refusal.
async fn is_answered(path: &Path) -> bool {
    match UnixStream::connect(path).await {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}

/// Changes the socket's group to [`LOCAL_GROUP`], if that group exists and the process has the permission.
fn give_to_group(path: &Path) {
    let Some(group) = Group::from_name(LOCAL_GROUP).ok().flatten() else { return };
    if let Err(error) = chown(path, None, Some(group.gid.as_raw())) {
        tracing::warn!(%error, group = LOCAL_GROUP, "the socket could not be given to the group");
    }
}

async fn accept(
    socket: LocalSocket,
    bounds: ConnectionLimits,
    taken: mpsc::Sender<io::Result<LocalConnection>>,
) {
    let permits = KeyedSemaphore::new(bounds.connections, bounds.of_one_address);
    loop {
        let accepted = tokio::select! {
            () = taken.closed() => return,
            accepted = socket.listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a local connection could not be taken");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Ok(caller) = stream.peer_cred() else { continue };
        let (uid, gid) = (caller.uid(), caller.gid());
        let Some(permit) = permits.acquire(uid) else {
            tracing::warn!(uid, "a local connection was refused: too many are open");
            continue;
        };
        let taken = taken.clone();
        tokio::spawn(async move {
            let looked_up = tokio::task::spawn_blocking(move || LocalUser::look_up(uid, gid));
            let user = match tokio::time::timeout(LOOK_UP, looked_up).await {
                Ok(Ok(user)) => user,
                Ok(Err(_)) | Err(_) => {
                    tracing::warn!(uid, "a local connection was refused: its user could not be looked up");
                    return;
                }
            };
            // An error means that the server has ended.
            let _ = taken.send(Ok(LocalConnection::new(stream, user, bounds, permit))).await;
        });
    }
}

/// Connection to a local socket.
#[derive(Debug)]
pub struct LocalConnection {
    stream: Pin<Box<TimeoutStream<UnixStream>>>,
    user: LocalUser,
    _place: Permit<u32>,
}

impl LocalConnection {
    fn new(stream: UnixStream, user: LocalUser, bounds: ConnectionLimits, permit: Permit<u32>) -> Self {
        let mut stream = TimeoutStream::new(stream);
        stream.set_read_timeout(bounds.silence);
        stream.set_write_timeout(Some(STUCK));
        Self { stream: Box::pin(stream), user, _place: permit }
    }

    /// Returns the user at the other end.
    pub fn user(&self) -> &LocalUser {
        &self.user
    }
}

impl AsyncRead for LocalConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_read(context, buffer)
    }
}

impl AsyncWrite for LocalConnection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream.as_mut().poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt as _;

    use super::*;

    const BOUNDS: ConnectionLimits = ConnectionLimits { connections: 8, of_one_address: 2, silence: None };

    #[tokio::test]
    async fn socket_has_its_mode_and_is_removed_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rta/agent.sock");
        let socket = LocalSocket::bind(&path).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, MODE);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().mode() & 0o777, FOLDER_MODE);
        assert!(!with_suffix(&path, "~").exists());
        let mut connections = socket.connections(BOUNDS);
        let _caller = UnixStream::connect(&path).await.unwrap();
        let connection = connections.next().await.unwrap().unwrap();
        assert_eq!(connection.user().uid, nix::unistd::geteuid().as_raw());
        assert!(connection.user().is_member);
        drop(connections);
        while path.exists() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn live_socket_is_refused_and_stale_one_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let first = LocalSocket::bind(&path).await.unwrap();
        let refused = LocalSocket::bind(&path).await.unwrap_err();
        assert!(refused.contains("is served by another instance"), "{refused}");
        drop(first);

        let foreign = UnixListener::bind(&path).unwrap();
        let refused = LocalSocket::bind(&path).await.unwrap_err();
        assert!(refused.contains("is served by another program"), "{refused}");
        drop(foreign);
        assert!(path.exists(), "std leaves the file behind, as a killed program does");
        let replaced = LocalSocket::bind(&path).await.unwrap();

        fs::remove_file(&path).unwrap();
        fs::write(&path, "a file").unwrap();
        drop(replaced);
        assert_eq!(fs::read_to_string(&path).unwrap(), "a file", "it is not the socket's any more");
        let refused = LocalSocket::bind(&path).await.unwrap_err();
        assert!(refused.contains("no socket is there"), "{refused}");
    }

    #[tokio::test]
    async fn one_user_has_a_bounded_share() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let mut connections = LocalSocket::bind(&path).await.unwrap().connections(BOUNDS);
        let mut open = Vec::new();
        for _ in 0..BOUNDS.of_one_address {
            let caller = UnixStream::connect(&path).await.unwrap();
            open.push((caller, connections.next().await.unwrap().unwrap()));
        }
        let refused = UnixStream::connect(&path).await.unwrap();
        refused.readable().await.unwrap();
        assert_eq!(refused.try_read(&mut [0]).unwrap(), 0, "it is closed at once");
    }
}
