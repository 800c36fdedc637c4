//! Delivery of one message by one channel. The only part of notifications that does I/O with others.
//!
//! | module | holds |
//! |---|---|
//! | `files` | reads of files, off the runtime |
//! | `http` | the HTTP client |
//! | `webhook` | webhooks, and their signature |
//! | `alertmanager` | alerts of an Alertmanager |
//! | `chat` | incoming webhooks of chats |
//! | `mail` | mail |
//! | `command` | commands |

mod alertmanager;
mod chat;
mod command;
pub(crate) mod files;
pub(crate) mod http;
mod mail;
mod webhook;

use rta_shared::config::notify::ChannelKind;

pub(crate) use alertmanager::RESEND_INTERVAL;
pub(crate) use command::kill_leftover_commands;

use super::message::Message;

/// Reason why a message was not delivered, as a part of a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DeliveryError {
    /// Another attempt may succeed.
    Failed(String),
    /// The receiver refuses this message for good.
    Refused(String),
}

impl DeliveryError {
    /// Returns the reason.
    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::Failed(reason) | Self::Refused(reason) => reason,
        }
    }
}

/// Delivers a message by a channel.
///
/// # Errors
/// Returns an error if the receiver did not confirm it. It may have received it all the same.
pub(crate) async fn deliver(channel: &ChannelKind, message: &Message) -> Result<(), DeliveryError> {
    match channel {
        ChannelKind::Webhook(channel) => webhook::deliver(channel, message).await,
        ChannelKind::Alertmanager(channel) => alertmanager::deliver(channel, message).await,
        ChannelKind::Chat(channel) => chat::deliver(channel, message).await,
        ChannelKind::Mail(channel) => mail::deliver(channel, message).await,
        ChannelKind::Command(channel) => command::deliver(channel, message).await,
    }
}

/// Repeats the open alerts of a channel that needs it; others do nothing.
///
/// # Errors
/// Returns an error if the receiver did not confirm it.
pub(crate) async fn resend(channel: &ChannelKind, open: &[Message]) -> Result<(), DeliveryError> {
    match channel {
        ChannelKind::Alertmanager(channel) if !open.is_empty() => alertmanager::resend(channel, open).await,
        _ => Ok(()),
    }
}

/// Returns the JSON of a message.
fn to_json(message: &Message) -> Result<Vec<u8>, DeliveryError> {
    serde_json::to_vec(message)
        .map_err(|error| DeliveryError::Refused(format!("the message cannot be written as JSON: {error}")))
}
