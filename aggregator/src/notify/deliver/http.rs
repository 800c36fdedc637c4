//! HTTP client of the channels and of the dead man's switch.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, StatusCode};
use rta_shared::config::notify::DeadMansSwitch;
use rta_shared::error_source::error_sources;
use rta_shared::sanitize::printable;
use rta_shared::tls::TlsFiles;
use rustls::{ClientConfig, RootCertStore};

use super::DeliveryError;
use super::files::{read_off_runtime, read_secret};

/// Maximum number of bytes of an answer that are shown.
const MAX_SHOWN: usize = 200;
/// Time limit of a request of a dead man's switch.
const SWITCH_TIMEOUT: Duration = Duration::from_secs(10);

/// Returns a client that trusts the CA in the file `ca`, or those of the system, and waits at most `timeout`
/// for an answer. It follows no redirection: a message must not be sent elsewhere.
///
/// # Errors
/// Returns an error if the CA cannot be read.
pub(super) async fn client(ca: Option<&Path>, timeout: Duration) -> Result<Client, DeliveryError> {
    let roots = match ca {
        Some(ca) => {
            let files = TlsFiles { own: None, ca: Some(ca.to_owned()) };
            let name = format!("the CA {}", ca.display());
            read_off_runtime(name, move || files.read()).await?.roots
        }
        None => {
            let read = || Ok(rustls_native_certs::load_native_certs().certs);
            let mut roots = RootCertStore::empty();
            roots
                .add_parsable_certificates(read_off_runtime("the CAs of the system".to_owned(), read).await?);
            Arc::new(roots)
        }
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| DeliveryError::Failed(format!("TLS: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(Policy::none())
        .timeout(timeout)
        .user_agent(concat!("rta/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| failure(&error.without_url()))
}

/// Requests the address of a dead man's switch.
///
/// # Errors
/// Returns an error if the address cannot be read, or as [`send`] does.
pub(crate) async fn request_switch(switch: &DeadMansSwitch) -> Result<(), DeliveryError> {
    let url = read_secret(&switch.url).await?;
    send(client(switch.ca.as_deref(), SWITCH_TIMEOUT).await?.get(url)).await
}

/// Returns the headers with these names and values.
///
/// # Errors
/// Returns an error if a value cannot be sent in a header, such as a token with a line break.
pub(super) fn headers(all: &[(&'static str, &str)]) -> Result<HeaderMap, DeliveryError> {
    all.iter()
        .map(|(name, value)| {
            let mut value = HeaderValue::from_str(value)
                .map_err(|_| DeliveryError::Failed(format!("the header {name} cannot have its value")))?;
            value.set_sensitive(true);
            Ok((HeaderName::from_static(name), value))
        })
        .collect()
}

/// Sends a request, and reads the status of the answer.
///
/// # Errors
/// Returns an error if there is no answer, or if its status is no success. The address is not part of the
/// reason, because it may contain a secret.
pub(super) async fn send(request: RequestBuilder) -> Result<(), DeliveryError> {
    let answer = request.send().await.map_err(|error| failure(&error.without_url()))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let is_final = matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
            | StatusCode::UNPROCESSABLE_ENTITY
    );
    let reason = format!("HTTP status {status}{}", shown_body(answer).await);
    Err(if is_final { DeliveryError::Refused(reason) } else { DeliveryError::Failed(reason) })
}

/// Returns the begin of an answer, of which only a few bytes are read.
async fn shown_body(mut answer: reqwest::Response) -> String {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() >= MAX_SHOWN {
            break;
        }
    }
    body.truncate(MAX_SHOWN);
    let text = String::from_utf8_lossy(&body);
    match text.trim() {
        "" => String::new(),
        text => format!(": {}", printable(text)),
    }
}

/// Returns the innermost reason of an error, which is the one that helps.
fn failure(error: &reqwest::Error) -> DeliveryError {
    let what = if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection"
    } else {
        "no answer"
    };
    DeliveryError::Failed(match error_sources(error).last().filter(|_| !error.is_timeout()) {
        Some(reason) => format!("{what}: {}", printable(&reason.to_string())),
        None => what.to_owned(),
    })
}
