//! The page of one instance's log.

use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse as _, Response};
use futures::{Stream, StreamExt as _};
use rta_shared::overview::InstanceId;
use serde::Deserialize;

use super::page;
use super::viewer::Viewer;
use crate::logs::LogPiece;
use crate::operations::Operations;
use crate::target::{OperationError, Target};

/// How many of the last lines the page shows.
const SHOWN: u32 = 500;

/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whose log.
#[derive(Debug, Deserialize)]
pub(super) struct Whose {
    environment: String,
    host: String,
    component: String,
}

/// Answers with the end of the log, or with why it cannot be read.
pub(super) async fn log(
    State(operations): State<Operations>,
    viewer: Viewer,
    Query(whose): Query<Whose>,
) -> Response {
    let Whose { environment, host, component } = whose;
    let asked = InstanceId {
        environment: environment.as_str().into(),
        host: host.as_str().into(),
        component: component.as_str().into(),
    };
    let target = Target { component, environment, host };
    let (id, read) = match operations.read_log(&target, SHOWN, false).await {
        Ok((id, pieces)) => {
            let late = || Err(format!("the agent has not sent the log within {} s", PATIENCE.as_secs()));
            let read = tokio::time::timeout(PATIENCE, collect(pieces)).await;
            (id, read.unwrap_or_else(|_| late()))
        }
        Err(error) => (asked, Err(error.message)),
    };
    let status = if read.is_ok() { StatusCode::OK } else { StatusCode::BAD_GATEWAY };
    (status, [(CACHE_CONTROL, "no-store")], page::log(&viewer, &id, &read)).into_response()
}

/// All pieces as one, or why there are not all.
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
