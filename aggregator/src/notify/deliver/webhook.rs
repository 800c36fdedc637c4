//! Webhooks: the message as JSON, with its key, and signed as <https://www.standardwebhooks.com> says.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use reqwest::header::CONTENT_TYPE;
use rta_shared::config::notify::WebhookChannel;
use sha2::Sha256;

use super::files::read_secret;
use super::{DeliveryError, http, to_json};
use crate::notify::message::Message;

/// Prefix of a secret in base64.
const SECRET_PREFIX: &str = "whsec_";

/// Posts a message.
pub(super) async fn deliver(channel: &WebhookChannel, message: &Message) -> Result<(), DeliveryError> {
    let body = to_json(message)?;
    let url = read_secret(&channel.url).await?;
    let at = Timestamp::now().as_second().to_string();
    let signature = match &channel.secret {
        Some(secret) => {
            let secret = read_secret(secret).await?;
            Some(sign(&secret, &message.key, &at, &body)?)
        }
        None => None,
    };
    let mut all = vec![
        ("idempotency-key", message.key.as_str()),
        ("webhook-id", &message.key),
        ("webhook-timestamp", &at),
    ];
    all.extend(signature.as_deref().map(|signature| ("webhook-signature", signature)));
    let request = http::client(channel.ca.as_deref(), channel.timeout)
        .await?
        .post(url)
        .headers(http::headers(&all)?)
        .header(CONTENT_TYPE, "application/json")
        .body(body);
    http::send(request).await
}

/// Returns the signature of a message: `v1,` and HMAC-SHA256 of `key.timestamp.body` in base64.
fn sign(secret: &str, key: &str, at: &str, body: &[u8]) -> Result<String, DeliveryError> {
    let secret = match secret.strip_prefix(SECRET_PREFIX) {
        Some(text) => STANDARD
            .decode(text)
            .map_err(|_| DeliveryError::Failed("the secret after whsec_ is not base64".to_owned()))?,
        None => secret.as_bytes().to_vec(),
    };
    let mut mac = Hmac::<Sha256>::new_from_slice(&secret)
        .map_err(|error| DeliveryError::Failed(format!("the secret cannot be used: {error}")))?;
    for part in [key.as_bytes(), b".", at.as_bytes(), b".", body] {
        mac.update(part);
    }
    Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_is_that_of_the_standard() {
        // The example of the specification's reference implementations.
        let signed = sign(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "1614265330",
            b"{\"test\": 2432232314}",
        );
        assert_eq!(signed.unwrap(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(sign("whsec_!", "k", "1", b"").is_err());
        assert!(sign("any text", "k", "1", b"").is_ok());
    }
}
