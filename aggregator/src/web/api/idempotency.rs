//! Answers kept for repeated requests with the same key. Pure; the time is a value.
//!
//! A client that lost the answer to a request sends it again with the same `Idempotency-Key`, and receives
//! the first answer: nothing is begun twice. These answers are in memory; `recorded_keys` has them in the
//! store.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use sha2::{Digest as _, Sha256};

/// Time for which answers are kept.
const RETENTION: Duration = Duration::from_secs(24 * 60 * 60);
/// Maximum number of answers kept, and of their bytes; the oldest are dropped first.
const MAX_ANSWERS: usize = 1000;
const MAX_BYTES: usize = 32 * 1024 * 1024;
/// Maximum length of a key, in bytes.
pub(super) const MAX_KEY_BYTES: usize = 255;

/// Key of a request, which is the client's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct RequestKey {
    pub(super) client: String,
    pub(super) key: String,
}

/// Digest of a request, to detect a key that is used for another one.
pub(super) type RequestDigest = [u8; 32];

/// Returns the digest of a request.
pub(super) fn request_digest(path: &str, body: &[u8]) -> RequestDigest {
    Sha256::new().chain_update(path).chain_update([0]).chain_update(body).finalize().into()
}

/// Answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeptAnswer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// What to do with a request that has a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeyUse {
    /// The key is new: perform the request, then call [`KeptAnswers::end`].
    New,
    /// The request was answered before.
    Answered(KeptAnswer),
    /// The same request is being performed.
    UnderWay,
    /// The key was used for another request.
    OtherRequest,
}

/// Answers to the requests with keys.
#[derive(Debug, Default)]
pub(super) struct KeptAnswers {
    requests: HashMap<RequestKey, KeptRequest>,
    /// Keys with an answer, the oldest first.
    answered: VecDeque<(Instant, RequestKey)>,
    bytes: usize,
}

#[derive(Debug)]
struct KeptRequest {
    digest: RequestDigest,
    /// `None`: under way.
    answer: Option<KeptAnswer>,
}

impl KeptAnswers {
    /// Begins a request, if its key is new.
    pub(super) fn begin(&mut self, key: &RequestKey, digest: RequestDigest, now: Instant) -> KeyUse {
        self.drop_old(now);
        match self.requests.get(key) {
            Some(request) if request.digest != digest => KeyUse::OtherRequest,
            Some(KeptRequest { answer: Some(answer), .. }) => KeyUse::Answered(answer.clone()),
            Some(KeptRequest { answer: None, .. }) => KeyUse::UnderWay,
            None => {
                self.requests.insert(key.clone(), KeptRequest { digest, answer: None });
                KeyUse::New
            }
        }
    }

    /// Ends a request. Only the answer of one that did something is kept; after `None` the key is free again.
    pub(super) fn end(&mut self, key: &RequestKey, answer: Option<KeptAnswer>, now: Instant) {
        let Some(answer) = answer else {
            self.requests.remove(key);
            return;
        };
        if let Some(request) = self.requests.get_mut(key) {
            self.bytes += answer.body.len();
            request.answer = Some(answer);
            self.answered.push_back((now, key.clone()));
        }
        self.drop_old(now);
    }

    fn drop_old(&mut self, now: Instant) {
        while let Some((at, key)) = self.answered.front() {
            let is_old = now.saturating_duration_since(*at) >= RETENTION;
            if !is_old && self.answered.len() <= MAX_ANSWERS && self.bytes <= MAX_BYTES {
                return;
            }
            let dropped = self.requests.remove(key).and_then(|request| request.answer);
            self.bytes -= dropped.map_or(0, |answer| answer.body.len());
            self.answered.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(client: &str, key: &str) -> RequestKey {
        RequestKey { client: client.to_owned(), key: key.to_owned() }
    }

    fn answer(body: &str) -> KeptAnswer {
        let body = Bytes::copy_from_slice(body.as_bytes());
        KeptAnswer { status: StatusCode::CREATED, headers: HeaderMap::new(), body }
    }

    #[test]
    fn same_request_is_performed_once() {
        let (mut kept, now) = (KeptAnswers::default(), Instant::now());
        let digest = request_digest("/api/v1/stop", b"{}");
        assert_eq!(kept.begin(&key("ann", "k"), digest, now), KeyUse::New);
        assert_eq!(kept.begin(&key("ann", "k"), digest, now), KeyUse::UnderWay);
        kept.end(&key("ann", "k"), Some(answer("7")), now);
        assert_eq!(kept.begin(&key("ann", "k"), digest, now), KeyUse::Answered(answer("7")));
        // Another client's key is another one.
        assert_eq!(kept.begin(&key("bob", "k"), digest, now), KeyUse::New);
        let other = request_digest("/api/v1/start", b"{}");
        assert_eq!(kept.begin(&key("ann", "k"), other, now), KeyUse::OtherRequest);
        assert_eq!(kept.begin(&key("ann", "k"), digest, now + RETENTION), KeyUse::New);
    }

    #[test]
    fn request_that_did_nothing_may_be_repeated() {
        let (mut kept, now) = (KeptAnswers::default(), Instant::now());
        let digest = request_digest("/api/v1/stop", b"{}");
        assert_eq!(kept.begin(&key("ann", "k"), digest, now), KeyUse::New);
        kept.end(&key("ann", "k"), None, now);
        let confirmed = request_digest("/api/v1/stop", b"{\"confirm_all\":true}");
        assert_eq!(kept.begin(&key("ann", "k"), confirmed, now), KeyUse::New);
    }

    #[test]
    fn kept_answers_are_bounded() {
        let (mut kept, now) = (KeptAnswers::default(), Instant::now());
        let large = "x".repeat(MAX_BYTES / 10);
        for number in 0..2 * MAX_ANSWERS {
            let key = key("ann", &number.to_string());
            assert_eq!(kept.begin(&key, [0; 32], now), KeyUse::New);
            let body = if number % 100 == 0 { large.as_str() } else { "" };
            kept.end(&key, Some(answer(body)), now);
            assert!(kept.answered.len() <= MAX_ANSWERS && kept.bytes <= MAX_BYTES);
            assert_eq!(kept.requests.len(), kept.answered.len());
        }
        assert_eq!(kept.begin(&key("ann", "0"), [0; 32], now), KeyUse::New);
    }
}
