//! Channels, routes and rules of notifications.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::hours::RouteHours;
use super::secret::SecretText;
use crate::name::Name;
use crate::words::words;

/// Severity of a root cause. Ordered from mild to severe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Stopped on purpose.
    Info,
    /// Degraded, or an instance whose state is unknown.
    Warning,
    /// Down, or a whole host is unknown.
    Critical,
}

words!(Severity {
    Info => "info",
    Warning => "warning",
    Critical => "critical",
});

/// Configuration of notifications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotifyConfig {
    /// Address of the page, for links.
    pub link: Option<String>,
    /// Default time that a root cause lasts before the first message.
    pub begin_delay: Duration,
    /// Time that a root cause is gone before the message that it is over.
    pub end_delay: Duration,
    /// Default interval between repeated messages; zero: none.
    pub repeat: Duration,
    /// Factor by which the affected instances grow before an update; 0: no updates.
    pub growth: u32,
    /// Rule by which a root cause counts as flapping.
    pub flapping: FlapRule,
    /// True if stops on purpose are notified, too, with severity info.
    pub stopped_on_purpose: bool,
    /// Time for which a message that cannot be delivered is retried.
    pub keep: Duration,
    /// Dead man's switch.
    pub dead_mans_switch: Option<DeadMansSwitch>,
    /// Channels.
    pub channels: Vec<Channel>,
    /// Routes, in the order in which they are tried.
    pub routes: Vec<Route>,
}

/// Number of begins within a time that count as flapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlapRule {
    /// Number of begins.
    pub begins: u32,
    /// Time in which they happen. A root cause without change for as long flaps no more.
    pub within: Duration,
}

/// Address that is requested regularly while rta itself is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadMansSwitch {
    /// Address to request.
    pub url: SecretText,
    /// Interval between two requests.
    pub interval: Duration,
    /// CA of the server's certificate; `None`: those of the system.
    pub ca: Option<PathBuf>,
}

/// Named receiver of messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Name of the channel.
    pub name: String,
    /// Protocol with its settings.
    pub kind: ChannelKind,
}

/// Protocol of a channel with its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelKind {
    /// Messages as JSON, by HTTP.
    Webhook(WebhookChannel),
    /// Alerts of a Prometheus Alertmanager.
    Alertmanager(AlertmanagerChannel),
    /// Mail by SMTP.
    Mail(MailChannel),
    /// Incoming webhook of a chat.
    Chat(ChatChannel),
    /// Command that reads the message.
    Command(CommandChannel),
}

impl ChannelKind {
    /// Returns the key of the kind in the file.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Alertmanager(_) => "alertmanager",
            Self::Mail(_) => "mail",
            Self::Chat(_) => "chat",
            Self::Command(_) => "command",
        }
    }
}

/// Webhook that receives messages as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookChannel {
    /// Address.
    pub url: SecretText,
    /// Secret of the signature; `None`: messages are not signed.
    pub secret: Option<SecretText>,
    /// CA of the server's certificate; `None`: those of the system.
    pub ca: Option<PathBuf>,
    /// Time limit of a request.
    pub timeout: Duration,
}

/// Prometheus Alertmanager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertmanagerChannel {
    /// Address, without `/api/v2`.
    pub url: SecretText,
    /// Bearer token.
    pub token: Option<SecretText>,
    /// Labels added to each alert.
    pub labels: BTreeMap<String, String>,
    /// CA of the server's certificate; `None`: those of the system.
    pub ca: Option<PathBuf>,
    /// Time limit of a request.
    pub timeout: Duration,
}

/// Encryption of the connection to a mail server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailTls {
    /// Begins in clear text, and requires STARTTLS.
    StartTls,
    /// TLS from the beginning.
    Tls,
    /// Clear text.
    Off,
}

words!(MailTls {
    StartTls => "starttls",
    Tls => "tls",
    Off => "none",
});

/// Mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailChannel {
    /// Host name of the server.
    pub server: String,
    /// Port; `None`: that of the encryption.
    pub port: Option<u16>,
    /// Encryption.
    pub tls: MailTls,
    /// User and password; `None`: no authentication.
    pub login: Option<(String, SecretText)>,
    /// Sender.
    pub from: String,
    /// Recipients; at least one.
    pub to: Vec<String>,
    /// CA of the server's certificate; `None`: those of the system.
    pub ca: Option<PathBuf>,
    /// Time limit of a delivery.
    pub timeout: Duration,
}

/// Chat program whose message format is built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChatStyle {
    /// Slack, and programs that accept its format.
    Slack,
    /// Mattermost.
    Mattermost,
    /// Microsoft Teams, by its workflows.
    Teams,
}

words!(ChatStyle {
    Slack => "slack",
    Mattermost => "mattermost",
    Teams => "teams",
});

/// Incoming webhook of a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatChannel {
    /// Address, which usually contains a secret.
    pub url: SecretText,
    /// Format of the messages, if `template` is `None`.
    pub style: ChatStyle,
    /// JSON with placeholders.
    pub template: Option<String>,
    /// CA of the server's certificate; `None`: those of the system.
    pub ca: Option<PathBuf>,
    /// Time limit of a request.
    pub timeout: Duration,
}

/// Command that reads the message as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandChannel {
    /// Program and its arguments; at least the program.
    pub command: Vec<String>,
    /// Time limit of a run.
    pub timeout: Duration,
}

/// Conditions under which channels receive a root cause. Empty conditions are met by everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// Names of the channels.
    pub channels: Vec<String>,
    /// Environments.
    pub environments: Vec<Name>,
    /// Hosts.
    pub hosts: Vec<Name>,
    /// Roles.
    pub roles: Vec<Name>,
    /// Components. A lost host meets it if it has one of them.
    pub components: Vec<Name>,
    /// Labels of the component, all of which must match.
    pub labels: BTreeMap<String, String>,
    /// Severities.
    pub severities: Vec<Severity>,
    /// Hours and days.
    pub hours: RouteHours,
    /// Overrides [`NotifyConfig::begin_delay`].
    pub begin_delay: Option<Duration>,
    /// Overrides [`NotifyConfig::repeat`].
    pub repeat: Option<Duration>,
    /// True if later routes are not tried after this one matched.
    pub last: bool,
}
