//! Delivery of one message by one channel. The only part of notifications that does I/O with others.
//!
//! Without the feature `network-notifications`, as in the demo, only commands are run: the build is shorter.
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

#[cfg(feature = "network-notifications")]
mod alertmanager;
#[cfg(feature = "network-notifications")]
mod chat;
mod command;
#[cfg(feature = "network-notifications")]
mod files;
#[cfg(feature = "network-notifications")]
mod http;
#[cfg(feature = "network-notifications")]
mod mail;
#[cfg(feature = "network-notifications")]
mod webhook;

use std::time::Duration;

use rta_shared::config::notify::ChannelKind;
#[cfg(not(feature = "network-notifications"))]
use rta_shared::config::notify::DeadMansSwitch;

pub(crate) use command::kill_leftover_commands;
#[cfg(feature = "network-notifications")]
pub(crate) use http::request_switch;

use super::message::Message;

/// Interval between repetitions of open alerts.
pub(crate) const RESEND_INTERVAL: Duration = Duration::from_secs(60);
/// Reason why a channel of this kind delivers nothing.
#[cfg(not(feature = "network-notifications"))]
const NOT_BUILT_IN: &str = "this rta was built without mail and HTTP (network-notifications)";

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
        #[cfg(feature = "network-notifications")]
        ChannelKind::Webhook(channel) => webhook::deliver(channel, message).await,
        #[cfg(feature = "network-notifications")]
        ChannelKind::Alertmanager(channel) => alertmanager::deliver(channel, message).await,
        #[cfg(feature = "network-notifications")]
        ChannelKind::Chat(channel) => chat::deliver(channel, message).await,
        #[cfg(feature = "network-notifications")]
        ChannelKind::Mail(channel) => mail::deliver(channel, message).await,
        ChannelKind::Command(channel) => command::deliver(channel, message).await,
        #[cfg(not(feature = "network-notifications"))]
        _ => Err(DeliveryError::Refused(NOT_BUILT_IN.to_owned())),
    }
}

/// Repeats the open alerts of a channel that needs it; others do nothing.
///
/// # Errors
/// Returns an error if the receiver did not confirm it.
pub(crate) async fn resend(channel: &ChannelKind, open: &[Message]) -> Result<(), DeliveryError> {
    match (channel, open) {
        (_, []) => Ok(()),
        #[cfg(feature = "network-notifications")]
        (ChannelKind::Alertmanager(channel), _) => alertmanager::resend(channel, open).await,
        _ => Ok(()),
    }
}

/// Requests nothing, since HTTP is not built in.
#[cfg(not(feature = "network-notifications"))]
pub(crate) async fn request_switch(_: &DeadMansSwitch) -> Result<(), DeliveryError> {
    Err(DeliveryError::Refused(NOT_BUILT_IN.to_owned()))
}

/// Returns the JSON of a message.
fn to_json(message: &Message) -> Result<Vec<u8>, DeliveryError> {
    serde_json::to_vec(message)
        .map_err(|error| DeliveryError::Refused(format!("the message cannot be written as JSON: {error}")))
}
