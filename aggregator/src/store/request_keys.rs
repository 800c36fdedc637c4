//! Keys of the HTTP API's requests with their answers, so that a request that is repeated after a restart, or
//! at another aggregator, is not performed twice.
//!
//! Each aggregator over one database writes them, whether it leads or not: the key of the table decides which
//! of two requests is the first.

use jiff::{SignedDuration, Timestamp};

use super::sql::{SqlSession, StoreError, values};

/// Time for which keys are kept.
const RETENTION: SignedDuration = SignedDuration::from_hours(24);
/// Maximum number of keys, and of the bytes of their answers; the oldest are dropped first.
const MAX_KEYS: u64 = 1000;
const MAX_BYTES: u64 = 32 * 1024 * 1024;

/// Request with a key, as digests: the store learns neither.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyedRequest {
    /// Digest of the client and its key.
    pub(crate) key: String,
    /// Digest of the request.
    pub(crate) request: String,
}

/// Answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestAnswer {
    pub(crate) status: u16,
    /// Headers, as JSON.
    pub(crate) headers: String,
    pub(crate) body: String,
}

/// What the store knows of a request's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RequestRecord {
    /// Nothing: it is recorded now.
    New,
    /// The request was answered before.
    Answered(RequestAnswer),
    /// The request began at this time, and has no answer.
    Unanswered(Timestamp),
    /// The key was used for another request.
    OtherRequest,
}

/// Records a request, if its key is new.
pub(crate) fn begin_request(
    session: &mut dyn SqlSession,
    new: &KeyedRequest,
    now: Timestamp,
) -> Result<RequestRecord, StoreError> {
    drop_old(session, now)?;
    let added = session.execute(
        "INSERT INTO request_keys (id, at, request, size) VALUES (?1, ?2, ?3, 0) ON CONFLICT (id) DO NOTHING",
        values![&new.key, now, &new.request],
    )?;
    if added > 0 {
        return Ok(RequestRecord::New);
    }
    let found = session.query_first(
        "SELECT request, at, status, headers, body FROM request_keys WHERE id = ?1",
        values![&new.key],
        |row| {
            let (request, at) = (row.text(0)?, row.time(1)?);
            let Some(status) = row.optional_integer(2)? else { return Ok((request, Err(at))) };
            let status = u16::try_from(status).map_err(|_| StoreError::invalid_value(2))?;
            Ok((request, Ok(RequestAnswer { status, headers: row.text(3)?, body: row.text(4)? })))
        },
    )?;
    Ok(match found {
        Some((request, _)) if request != new.request => RequestRecord::OtherRequest,
        Some((_, Ok(answer))) => RequestRecord::Answered(answer),
        Some((_, Err(at))) => RequestRecord::Unanswered(at),
        // Another aggregator has just removed it: it did nothing.
        None => RequestRecord::Unanswered(now),
    })
}

/// Records the answer to a request; without one, which is that of a request that did nothing, its key is free
/// again.
pub(crate) fn end_request(
    session: &mut dyn SqlSession,
    key: &str,
    answer: Option<&RequestAnswer>,
) -> Result<(), StoreError> {
    match answer {
        Some(RequestAnswer { status, headers, body }) => session.execute(
            "UPDATE request_keys SET status = ?2, headers = ?3, body = ?4, size = ?5 WHERE id = ?1",
            values![key, i64::from(*status), headers, body, body.len()],
        ),
        None => session.execute("DELETE FROM request_keys WHERE id = ?1 AND status IS NULL", values![key]),
    }
    .map(drop)
}

/// Deletes the keys that are too old or too many.
fn drop_old(session: &mut dyn SqlSession, now: Timestamp) -> Result<(), StoreError> {
    let mut cutoff = now.checked_sub(RETENTION).unwrap_or(Timestamp::MIN);
    let (mut keys, mut bytes) = (0, 0);
    session.query("SELECT at, size FROM request_keys ORDER BY at DESC", &[], &mut |row| {
        (keys, bytes) = (keys + 1, bytes + row.number(1)?);
        // One more is about to be added.
        let is_fitting = keys < MAX_KEYS && bytes <= MAX_BYTES;
        if !is_fitting {
            cutoff = cutoff.max(row.time(0)?);
        }
        Ok(is_fitting)
    })?;
    session.execute("DELETE FROM request_keys WHERE at <= ?1", values![cutoff]).map(drop)
}

#[cfg(test)]
mod tests {
    use crate::store::backend::Backend as _;
    use crate::store::sqlite::SqliteBackend;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    fn request(key: &str, request: &str) -> KeyedRequest {
        KeyedRequest { key: key.to_owned(), request: request.to_owned() }
    }

    fn answer(body: &str) -> RequestAnswer {
        RequestAnswer { status: 201, headers: "{}".to_owned(), body: body.to_owned() }
    }

    #[test]
    fn key_is_used_once_until_it_expires() {
        let mut backend = SqliteBackend::in_memory();
        backend.open(at(0)).unwrap();
        let session = backend.session().unwrap();
        let mut begin =
            |key: &str, of: &str, second: i64| begin_request(session, &request(key, of), at(second));
        assert_eq!(begin("k", "stop", 0), Ok(RequestRecord::New));
        assert_eq!(begin("k", "stop", 1), Ok(RequestRecord::Unanswered(at(0))));
        assert_eq!(begin("k", "start", 1), Ok(RequestRecord::OtherRequest));
        assert_eq!(begin("other", "stop", 2), Ok(RequestRecord::New));
        let session = backend.session().unwrap();
        end_request(session, "k", Some(&answer("7"))).unwrap();
        end_request(session, "other", None).unwrap();
        let mut begin =
            |key: &str, of: &str, second: i64| begin_request(session, &request(key, of), at(second));
        assert_eq!(begin("k", "stop", 3), Ok(RequestRecord::Answered(answer("7"))));
        assert_eq!(begin("k", "start", 3), Ok(RequestRecord::OtherRequest));
        assert_eq!(begin("other", "start", 4), Ok(RequestRecord::New));
        let day = 24 * 3600;
        assert_eq!(begin("k", "start", day - 1), Ok(RequestRecord::OtherRequest));
        assert_eq!(begin("k", "start", day), Ok(RequestRecord::New));
    }

    #[test]
    fn keys_are_bounded() {
        let mut backend = SqliteBackend::in_memory();
        backend.open(at(0)).unwrap();
        let session = backend.session().unwrap();
        let large = "x".repeat(usize::try_from(MAX_BYTES / 5).unwrap());
        for number in 0..1100_i64 {
            let key = number.to_string();
            assert_eq!(begin_request(session, &request(&key, "r"), at(number)), Ok(RequestRecord::New));
            if number >= 1090 {
                end_request(session, &key, Some(&answer(&large))).unwrap();
            }
            if number == 1050 || number == 1099 {
                let sql = "SELECT count(*), sum(size) FROM request_keys";
                let kept = session.query_first(sql, &[], |row| Ok((row.number(0)?, row.number(1)?)));
                let (keys, bytes) = kept.unwrap().unwrap();
                assert!(keys <= MAX_KEYS && bytes <= MAX_BYTES + MAX_BYTES / 5, "{keys} {bytes}");
                assert!(if number == 1050 { keys == MAX_KEYS } else { keys < 10 }, "{keys} {bytes}");
            }
        }
        assert_eq!(begin_request(session, &request("1099", "x"), at(1300)), Ok(RequestRecord::OtherRequest));
    }
}
