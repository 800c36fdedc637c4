//! Connection to the aggregator's local socket.

use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};

/// Beginning of the error if no aggregator answers at any path.
pub(crate) const NO_ANSWER: &str = "no aggregator answers on this machine";

/// Returns a channel to the first of `paths` at which an aggregator answers. Each connection
/// tries them from the start.
pub(crate) fn channel(endpoint: &Endpoint, paths: Vec<PathBuf>) -> Channel {
    let paths: Arc<[PathBuf]> = paths.into();
    endpoint.connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
        let paths = Arc::clone(&paths);
        async move { connect(&paths).await.map(TokioIo::new) }
    }))
}

/// # Errors
/// Returns an error that lists the tried paths if no aggregator answers.
async fn connect(paths: &[PathBuf]) -> io::Result<UnixStream> {
    let mut tried = Vec::new();
    let mut is_denied = false;
    for path in paths {
        match UnixStream::connect(path).await {
            Ok(stream) => return Ok(stream),
            Err(error) => {
                is_denied |= error.kind() == ErrorKind::PermissionDenied;
                tried.push(format!("{}: {error}", path.display()));
            }
        }
    }
    let tried = tried.join("; ");
    let advice = match is_denied {
        true => "only root and members of the group rta may use it",
        false => "start rta-aggregator, or name one elsewhere with --aggregator https://HOST:7600",
    };
    Err(io::Error::other(format!("{NO_ANSWER} ({tried}); {advice}")))
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::*;

    #[tokio::test]
    async fn first_answering_path_is_used_and_otherwise_all_are_listed() {
        let folder = tempfile::tempdir().unwrap();
        let paths = [folder.path().join("a.sock"), folder.path().join("b.sock")];
        let error = connect(&paths).await.unwrap_err().to_string();
        assert!(error.contains("a.sock: No such file") && error.contains("b.sock: No such file"), "{error}");
        assert!(error.ends_with("--aggregator https://HOST:7600"), "{error}");
        let listener = UnixListener::bind(&paths[1]).unwrap();
        assert!(connect(&paths).await.is_ok());
        drop(listener);
        assert!(connect(&paths).await.unwrap_err().to_string().contains("refused"));
    }
}
