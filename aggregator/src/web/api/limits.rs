//! Rate limit and idempotency keys of requests that act, before their handlers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Extension, Request, State};
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::idempotency::{KeptAnswer, KeptAnswers, KeyUse, MAX_KEY_BYTES, RequestKey, request_digest};
use super::rates::RequestRates;
use super::recorded_keys::{RecordedKey, RecordedUse, record_begin};
use crate::store::EventStoreHandle;
use crate::web::middleware::host_origin::MAX_BODY_BYTES;
use crate::web::problem::ApiProblem;
use crate::web::request_context::RequestContext;

/// Name of the header with the key (draft-ietf-httpapi-idempotency-key-header).
const KEY_HEADER: &str = "idempotency-key";
/// Header of an answer that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Headers of an answer that are kept with it.
const KEPT_HEADERS: [HeaderName; 2] = [CONTENT_TYPE, LOCATION];
/// Maximum size of an answer that is kept, in bytes: a plan of many thousand steps.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// Rates and kept answers of all clients; clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct ApiLimits(Arc<LimitState>);

#[derive(Debug, Default)]
struct LimitState {
    rates: Mutex<RequestRates>,
    answers: Mutex<KeptAnswers>,
}

impl ApiLimits {
    fn count(&self, client: &str) -> Result<(), ApiProblem> {
        let mut rates = self.0.rates.lock().unwrap_or_else(PoisonError::into_inner);
        rates.count(client, Instant::now()).map_err(|wait| {
            let seconds = wait.as_secs() + 1;
            ApiProblem::too_many(
                "Too many requests that act in a short time: two a second are taken.",
                seconds,
            )
        })
    }

    fn begin(&self, key: &RequestKey, digest: [u8; 32]) -> KeyUse {
        self.answers().begin(key, digest, Instant::now())
    }

    fn answers(&self) -> std::sync::MutexGuard<'_, KeptAnswers> {
        // A panic while the lock is held leaves a key under way at worst.
        self.0.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Limits the rate of posted requests, and answers a repeated one as before.
pub(super) async fn limit_acts(
    State(limits): State<ApiLimits>,
    Extension(store): Extension<EventStoreHandle>,
    context: RequestContext,
    request: Request,
    next: Next,
) -> Response {
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    if let Err(problem) = limits.count(context.client_name()) {
        return problem.into_response();
    }
    let key = match idempotency_key(request.headers()) {
        Ok(Some(key)) => RequestKey { client: context.client_name().to_owned(), key },
        Ok(None) => return next.run(request).await,
        Err(problem) => return problem.into_response(),
    };
    let (head, body) = request.into_parts();
    match to_bytes(body, MAX_BODY_BYTES).await {
        Ok(body) => answer_once(KeyedCall { limits, store, key }, head, body, next).await,
        Err(_) => {
            let sentence = format!("A request may have {MAX_BODY_BYTES} bytes.");
            ApiProblem::new(StatusCode::PAYLOAD_TOO_LARGE, sentence).into_response()
        }
    }
}

/// Returns the key of a request; `None` if it has none.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiProblem> {
    let mut given = headers.get_all(KEY_HEADER).iter();
    let Some(key) = given.next() else { return Ok(None) };
    // The draft writes it as a string in quotes; most clients leave them out.
    let text = key.to_str().unwrap_or_default().trim().trim_matches('"');
    match given.next() {
        None if (1..=MAX_KEY_BYTES).contains(&text.len()) => Ok(Some(text.to_owned())),
        _ => {
            let sentence = format!("Idempotency-Key has to be one text of 1 to {MAX_KEY_BYTES} letters.");
            Err(ApiProblem::new(StatusCode::BAD_REQUEST, sentence))
        }
    }
}

/// Request with a key.
struct KeyedCall {
    limits: ApiLimits,
    store: EventStoreHandle,
    key: RequestKey,
}

async fn answer_once(call: KeyedCall, head: Parts, body: Bytes, next: Next) -> Response {
    let digest = request_digest(head.uri.path(), &body);
    match call.limits.begin(&call.key, digest) {
        KeyUse::New => {}
        KeyUse::Answered(answer) => return replay(answer),
        KeyUse::UnderWay => {
            let sentence =
                "A request with this Idempotency-Key is being performed; ask again for its answer.";
            return ApiProblem::new(StatusCode::CONFLICT, sentence).retry_after(1).into_response();
        }
        KeyUse::OtherRequest => return other_request(),
    }
    // It is performed to its end also if the client disconnects, or its repetition would begin it twice.
    let request = Request::from_parts(head, Body::from(body));
    let performed = tokio::spawn(async move {
        let KeyedCall { limits, store, key } = call;
        let mut ended = EndOfRequest { limits, key, answer: None };
        match record_begin(&store, &ended.key, digest).await {
            RecordedUse::New(recorded) => perform(request, next, ended, &store, recorded).await,
            RecordedUse::Answered(answer) => {
                ended.answer = Some(answer.clone());
                replay(answer)
            }
            RecordedUse::Unanswered(at) => {
                let sentence = format!(
                    "A request with this Idempotency-Key began at {}, and its answer is not known: the aggregator ended \
                     meanwhile, or another one performs it. Its plan or event shows whether it was done.",
                    at.strftime("%Y-%m-%d %H:%M:%S UTC")
                );
                ApiProblem::new(StatusCode::CONFLICT, sentence).into_response()
            }
            RecordedUse::OtherRequest => other_request(),
        }
    });
    performed.await.unwrap_or_else(|error| {
        let sentence = format!("The aggregator failed: {error}.");
        ApiProblem::new(StatusCode::INTERNAL_SERVER_ERROR, sentence).into_response()
    })
}

/// Stores the end of a request when it is dropped, also after a panic.
struct EndOfRequest {
    limits: ApiLimits,
    key: RequestKey,
    answer: Option<KeptAnswer>,
}

impl Drop for EndOfRequest {
    fn drop(&mut self) {
        self.limits.answers().end(&self.key, self.answer.take(), Instant::now());
    }
}

fn replay(answer: KeptAnswer) -> Response {
    let replayed = [(REPLAYED, HeaderValue::from_static("true"))];
    (answer.status, replayed, answer.headers, answer.body).into_response()
}

fn other_request() -> Response {
    let sentence = "This Idempotency-Key was used for another request; make a new one.";
    ApiProblem::new(StatusCode::UNPROCESSABLE_ENTITY, sentence).into_response()
}

async fn perform(
    request: Request,
    next: Next,
    mut ended: EndOfRequest,
    store: &EventStoreHandle,
    recorded: RecordedKey,
) -> Response {
    let response = next.run(request).await;
    if !response.status().is_success() {
        let may_be_done =
            matches!(response.status(), StatusCode::INTERNAL_SERVER_ERROR | StatusCode::GATEWAY_TIMEOUT);
        if !may_be_done {
            recorded.record_end(store, None).await;
        }
        return response;
    }
    let (head, body) = response.into_parts();
    match to_bytes(body, MAX_ANSWER_BYTES).await {
        Ok(body) => {
            let kept =
                KEPT_HEADERS.iter().filter_map(|name| Some((name.clone(), head.headers.get(name)?.clone())));
            let answer = KeptAnswer { status: head.status, headers: kept.collect(), body: body.clone() };
            recorded.record_end(store, Some(&answer)).await;
            ended.answer = Some(answer);
            Response::from_parts(head, Body::from(body))
        }
        Err(error) => {
            let sentence = format!("It was done, and its answer is too long: {error}.");
            ApiProblem::new(StatusCode::INTERNAL_SERVER_ERROR, sentence).into_response()
        }
    }
}
