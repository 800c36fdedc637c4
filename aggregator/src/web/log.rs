//! Page of one instance's log.

use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse as _, Response};
use futures::{Stream, StreamExt as _};
use rta_shared::overview::InstanceId;

use super::actions::refusal_page;
use super::page;
use crate::api::Operations;
use crate::api::logs::LogChunk;
use crate::operation_error::OperationError;
use crate::web::instance_query::InstanceQuery;
use crate::web::request_context::RequestContext;

/// Number of last lines shown.
const SHOWN_LINES: u32 = 500;

/// Time limit for reading the log.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// Answers with the last lines of the log, or with the reason why it cannot be read.
pub(super) async fn log_page(
    State(operations): State<Operations>,
    context: RequestContext,
    Query(query): Query<InstanceQuery>,
) -> Response {
    let id = match operations.resolve_id(&query.into()) {
        Ok(id) => id,
        Err(error) => return refusal_page(&context, "There is no such page", &error),
    };
    let read = read_tail(&operations, &id, SHOWN_LINES, READ_TIMEOUT).await;
    let status = if read.is_ok() { StatusCode::OK } else { StatusCode::BAD_GATEWAY };
    (status, [(CACHE_CONTROL, "no-store")], page::log(&context, &id, &read)).into_response()
}

/// Returns the last `lines` of an instance's log, or the reason why they cannot be read.
pub(super) async fn read_tail(
    operations: &Operations,
    id: &InstanceId,
    lines: u32,
    patience: Duration,
) -> Result<LogChunk, String> {
    let read = async {
        let read = operations.read_log(&id.into(), lines, false).await;
        let (_, pieces) = read.map_err(|error| error.message)?;
        join_chunks(pieces).await
    };
    let late = |_| format!("the agent has not sent the log within {} s", patience.as_secs());
    tokio::time::timeout(patience, read).await.map_err(late).flatten()
}

/// Joins all pieces, or returns the first error.
async fn join_chunks(
    pieces: impl Stream<Item = Result<LogChunk, OperationError>>,
) -> Result<LogChunk, String> {
    let mut pieces = std::pin::pin!(pieces);
    let mut all = LogChunk::default();
    while let Some(piece) = pieces.next().await {
        let LogChunk { lines, notice } = piece.map_err(|error| error.message)?;
        all.lines.extend(lines);
        all.notice.push_str(&notice);
    }
    Ok(all)
}
