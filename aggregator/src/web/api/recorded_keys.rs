//! Keys of requests in the store, behind those in memory: they outlive the aggregator, and hold at every
//! aggregator over one database.
//!
//! A key is recorded before its request is performed, and the answer before it is sent. While the store
//! fails, keys are in memory alone: what an operator asks for does not wait for a disk.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;
use rta_shared::sanitize::hex;
use sha2::{Digest as _, Sha256};

use super::idempotency::{KeptAnswer, RequestDigest, RequestKey};
use crate::store::{EventStoreHandle, KeyedRequest, RequestAnswer, RequestRecord};

/// What the store says of a request whose key is not in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RecordedUse {
    /// The key is new: perform the request, then record its end.
    New(RecordedKey),
    /// The request was answered before.
    Answered(KeptAnswer),
    /// The request began at this time, and its answer is not known.
    Unanswered(Timestamp),
    /// The key was used for another request.
    OtherRequest,
}

/// Key that is recorded; `None`: the store failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RecordedKey(Option<String>);

/// Records a request, and returns what the store knows of it.
pub(super) async fn record_begin(
    store: &EventStoreHandle,
    key: &RequestKey,
    digest: RequestDigest,
) -> RecordedUse {
    let id =
        hex(&Sha256::new().chain_update(&key.client).chain_update([0]).chain_update(&key.key).finalize());
    match store.begin_request(KeyedRequest { key: id.clone(), request: hex(&digest) }).await {
        Ok(RequestRecord::New) => RecordedUse::New(RecordedKey(Some(id))),
        Ok(RequestRecord::Answered(answer)) => match to_kept(&answer) {
            Some(answer) => RecordedUse::Answered(answer),
            None => RecordedUse::Unanswered(Timestamp::now()),
        },
        Ok(RequestRecord::Unanswered(at)) => RecordedUse::Unanswered(at),
        Ok(RequestRecord::OtherRequest) => RecordedUse::OtherRequest,
        Err(why) => {
            tracing::warn!(why, "the key of a request is kept in memory only");
            RecordedUse::New(RecordedKey(None))
        }
    }
}

impl RecordedKey {
    /// Records the answer to the request; without one the key is free again.
    pub(super) async fn record_end(self, store: &EventStoreHandle, answer: Option<&KeptAnswer>) {
        let Some(id) = self.0 else { return };
        let row = answer.and_then(to_row);
        if answer.is_some() && row.is_none() {
            // Without an answer, a repeated request is refused.
            return;
        }
        if let Err(why) = store.end_request(id, row).await {
            tracing::warn!(why, "the answer to a request with a key is kept in memory only");
        }
    }
}

/// Returns the row of an answer; `None` if it is no text, which those of the API are.
fn to_row(answer: &KeptAnswer) -> Option<RequestAnswer> {
    let headers: BTreeMap<&str, &str> = (answer.headers.iter())
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
        .collect();
    Some(RequestAnswer {
        status: answer.status.as_u16(),
        headers: serde_json::to_string(&headers).ok()?,
        body: std::str::from_utf8(&answer.body).ok()?.to_owned(),
    })
}

/// Returns the answer of a row; `None` if no version of this program writes it.
fn to_kept(row: &RequestAnswer) -> Option<KeptAnswer> {
    let written: BTreeMap<String, String> = serde_json::from_str(&row.headers).ok()?;
    let mut headers = HeaderMap::new();
    for (name, value) in written {
        headers.insert(name.parse::<HeaderName>().ok()?, value.parse::<HeaderValue>().ok()?);
    }
    let status = StatusCode::from_u16(row.status).ok()?;
    Some(KeptAnswer { status, headers, body: Bytes::from(row.body.clone()) })
}

#[cfg(test)]
mod tests {
    use axum::http::header::{CONTENT_TYPE, LOCATION};

    use super::*;

    #[test]
    fn answer_comes_back_as_it_was() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(LOCATION, HeaderValue::from_static("/api/v1/plans/7"));
        let answer =
            KeptAnswer { status: StatusCode::CREATED, headers, body: Bytes::from_static(b"{\"id\":7}") };
        assert_eq!(to_kept(&to_row(&answer).unwrap()), Some(answer.clone()));
        assert_eq!(to_row(&KeptAnswer { body: Bytes::from_static(b"\xff"), ..answer }), None);
    }
}
