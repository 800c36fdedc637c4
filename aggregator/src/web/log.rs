//! Page of one instance's log.

use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse as _, Response};
use futures::{Stream, StreamExt as _};
use rta_shared::overview::InstanceId;

use super::actions::refused;
use super::page;
use super::viewer::Viewer;
use super::which::Which;
use crate::logs::LogPiece;
use crate::operation_error::OperationError;
use crate::operations::Operations;

/// Number of last lines shown.
const SHOWN: u32 = 500;

/// Time limit for reading the log.
const PATIENCE: Duration = Duration::from_secs(5);

/// Answers with the last lines of the log, or with the reason why it cannot be read.
pub(super) async fn log(
    State(operations): State<Operations>,
    viewer: Viewer,
    Query(which): Query<Which>,
) -> Response {
    let id = match operations.id_of(&which.into()) {
        Ok(id) => id,
        Err(error) => return refused(&viewer, "There is no such page", &error),
    };
    let read = tail(&operations, &id, SHOWN, PATIENCE).await;
    let status = if read.is_ok() { StatusCode::OK } else { StatusCode::BAD_GATEWAY };
    (status, [(CACHE_CONTROL, "no-store")], page::log(&viewer, &id, &read)).into_response()
}

/// Returns the last `lines` of an instance's log, or the reason why they cannot be read.
pub(super) async fn tail(
    operations: &Operations,
    id: &InstanceId,
    lines: u32,
    patience: Duration,
) -> Result<LogPiece, String> {
    let read = async {
        let read = operations.read_log(&id.into(), lines, false).await;
        let (_, pieces) = read.map_err(|error| error.message)?;
        collect(pieces).await
    };
    let late = |_| format!("the agent has not sent the log within {} s", patience.as_secs());
    tokio::time::timeout(patience, read).await.map_err(late).flatten()
}

/// Joins all pieces, or returns the first error.
async fn collect(pieces: impl Stream<Item = Result<LogPiece, OperationError>>) -> Result<LogPiece, String> {
    let mut pieces = std::pin::pin!(pieces);
    let mut all = LogPiece::default();
    while let Some(piece) = pieces.next().await {
        let LogPiece { lines, notice } = piece.map_err(|error| error.message)?;
        all.lines.extend(lines);
        all.notice.push_str(&notice);
    }
    Ok(all)
}
