//! Incoming webhooks of chats.

use reqwest::header::CONTENT_TYPE;
use rta_shared::chat_template;
use rta_shared::config::notify::{ChatChannel, ChatStyle};
use serde_json::Value;

use super::files::read_secret;
use super::{DeliveryError, http};
use crate::notify::message::Message;
use crate::notify::text;

/// Formats of the chats.
const SLACK: &str = r#"{"text": "${text}"}"#;
const MATTERMOST: &str = r#"{"username": "rta", "text": "${text}"}"#;
const TEAMS: &str = r#"{"type": "message", "attachments": [{
    "contentType": "application/vnd.microsoft.card.adaptive",
    "content": {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
        "body": [
            {"type": "TextBlock", "text": "${summary}", "weight": "bolder", "wrap": true},
            {"type": "TextBlock", "text": "${text}", "wrap": true}
        ]
    }
}]}"#;

/// Posts a message.
pub(super) async fn deliver(channel: &ChatChannel, message: &Message) -> Result<(), DeliveryError> {
    let url = read_secret(&channel.url).await?;
    let key = http::headers(&[("idempotency-key", &message.key)])?;
    let request = http::client(channel.ca.as_deref(), channel.timeout)
        .await?
        .post(url)
        .headers(key)
        .header(CONTENT_TYPE, "application/json")
        .body(body(channel, message)?.to_string());
    http::send(request).await
}

fn body(channel: &ChatChannel, message: &Message) -> Result<Value, DeliveryError> {
    let template = channel.template.as_deref().unwrap_or(match channel.style {
        ChatStyle::Slack => SLACK,
        ChatStyle::Mattermost => MATTERMOST,
        ChatStyle::Teams => TEAMS,
    });
    let value = |name: &str| {
        let text = text::placeholder(message, name);
        match channel.style {
            // Slack reads <...> as links and mentions.
            ChatStyle::Slack => text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"),
            ChatStyle::Mattermost | ChatStyle::Teams => text,
        }
    };
    chat_template::fill(template, value).map_err(|why| DeliveryError::Refused(format!("the template: {why}")))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rta_shared::config::notify::SecretText;

    use super::*;
    use crate::notify::compose::{begin_facts, compose};
    use crate::notify::machine::tests::cause;

    fn message() -> Message {
        let mut cause = cause("kafka <server>");
        cause.reason = "it is not running: \"disk\"\nfull".to_owned();
        compose(&cause, begin_facts())
    }

    fn channel(style: ChatStyle, template: Option<&str>) -> ChatChannel {
        ChatChannel {
            url: SecretText::plain("http://127.0.0.1:9"),
            style,
            template: template.map(str::to_owned),
            ca: None,
            timeout: Duration::from_secs(1),
        }
    }

    #[test]
    fn each_style_is_filled() {
        let text = |style, at: &str| {
            let body = body(&channel(style, None), &message()).unwrap();
            body.pointer(at).unwrap().as_str().unwrap().to_owned()
        };
        assert!(
            text(ChatStyle::Slack, "/text")
                .starts_with("kafka &lt;server&gt; on h (DEV) is down\nWhy: it is")
        );
        assert!(text(ChatStyle::Mattermost, "/text").starts_with("kafka <server> on h (DEV) is down\n"));
        let first = text(ChatStyle::Teams, "/attachments/0/content/body/0/text");
        assert_eq!(first, "kafka <server> on h (DEV) is down");
    }

    #[test]
    fn own_template_replaces_the_style() {
        let body =
            body(&channel(ChatStyle::Slack, Some(r#"{"a": "${kind} ${severity} ${affected}"}"#)), &message());
        assert_eq!(body.unwrap().to_string(), r#"{"a":"begin critical 0"}"#);
    }
}
