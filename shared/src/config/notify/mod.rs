//! Configuration of notifications: one file of the aggregator's own, because it holds secrets and addresses
//! that the agents need not know.
//!
//! | module | holds |
//! |---|---|
//! | `model` | channels, routes and rules |
//! | `parse` | the file with its rules and routes |
//! | `channel` | the channels in it |
//! | `hours` | the hours and days of a route |
//! | `secret` | secrets, which are references to files and environment variables |

mod channel;
mod hours;
mod model;
mod parse;
mod secret;

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

pub use hours::{RouteHours, Weekday};
pub use model::{
    AlertmanagerChannel, Channel, ChannelKind, ChatChannel, ChatStyle, CommandChannel, DeadMansSwitch,
    FlapRule, MailChannel, MailTls, NotifyConfig, Route, Severity, WebhookChannel,
};
pub use secret::SecretText;

use super::source::{LoadError, Problem, Problems, Source};

/// Loads the file `path`. Secrets are read, too, so that a missing one is reported at once.
///
/// # Errors
/// Returns all problems: of the file's owner and mode, otherwise of its content.
pub fn load_notify_file(path: &Path) -> Result<NotifyConfig, LoadError> {
    let describe_error = |message: String| {
        LoadError::from(Problem { file: path.display().to_string(), position: None, message })
    };
    let unreadable = |error: std::io::Error| describe_error(format!("the file cannot be read: {error}"));
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(describe_error("it is no regular file".to_owned()));
    }
    let owner = metadata.uid();
    if owner != 0 && owner != nix::unistd::geteuid().as_raw() {
        return Err(describe_error(format!(
            "it belongs to another user (uid {owner}), who could let the aggregator run commands; run chown root \
             on it"
        )));
    }
    if metadata.permissions().mode() & 0o022 != 0 {
        return Err(describe_error(
            "others than its owner may write it, and so let the aggregator run commands; run chmod go-w on it"
                .to_owned(),
        ));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    load_notify_source(Source { name: path.display().to_string(), text })
}

/// Loads the configuration of notifications from a text.
///
/// # Errors
/// Returns all problems of the text.
pub fn load_notify_source(source: Source) -> Result<NotifyConfig, LoadError> {
    let sources = [source];
    let mut problems = Problems::new(&sources);
    let config = parse::parse_notify(&sources[0], &mut problems);
    problems.into_result()?;
    Ok(config)
}

#[cfg(test)]
mod tests;
