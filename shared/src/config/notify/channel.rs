//! Reads channels.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::super::fields::TableReader;
use super::super::source::Problems;
use super::model::{
    AlertmanagerChannel, Channel, ChannelKind, ChatChannel, ChatStyle, CommandChannel, MailChannel, MailTls,
    WebhookChannel,
};
use super::secret::{parse_address, parse_secret};
use crate::sanitize::printable;
use crate::suggestion::did_you_mean;
use crate::template::Located;

/// Default time limit of a delivery.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Keys of the kinds, of which a channel has one.
const KINDS: [&str; 5] = ["webhook", "alertmanager", "mail", "chat", "command"];

/// Reads a channel, and returns it with the start of its table.
pub(super) fn parse_channel(
    mut fields: TableReader<'_, '_>,
    problems: &mut Problems<'_>,
) -> Option<Located<Channel>> {
    let name = fields.required_text("name", problems);
    if let Some(name) = &name {
        fields.owner = format!("channel \"{}\"", printable(&name.value));
        if name.value.trim().is_empty() || name.value.len() > 64 {
            problems.report(name.place, "channel: key \"name\" has 1 to 64 bytes");
        }
    }
    if KINDS.into_iter().filter(|kind| fields.has(kind)).count() != 1 {
        let message = format!(
            "{}: it is of one kind: \"webhook\", \"alertmanager\", \"mail\", \"chat\" or \"command\"",
            fields.owner
        );
        problems.report(fields.place, message);
    }
    let mut kind = None;
    if let Some(table) = fields.table("webhook", problems) {
        kind = parse_webhook(table, problems).map(ChannelKind::Webhook);
    }
    if let Some(table) = fields.table("alertmanager", problems) {
        kind = parse_alertmanager(table, problems).map(ChannelKind::Alertmanager);
    }
    if let Some(table) = fields.table("mail", problems) {
        kind = parse_mail(table, problems).map(ChannelKind::Mail);
    }
    if let Some(table) = fields.table("chat", problems) {
        kind = parse_chat(table, problems).map(ChannelKind::Chat);
    }
    if let Some(table) = fields.table("command", problems) {
        kind = parse_command(table, problems).map(ChannelKind::Command);
    }
    let place = fields.place;
    fields.finish(problems);
    // A channel whose kind was reported still counts as a name for the routes.
    let kind = kind.unwrap_or(ChannelKind::Command(CommandChannel { command: Vec::new(), timeout: TIMEOUT }));
    Some(Located { value: Channel { name: name?.value, kind }, place })
}

fn parse_webhook(mut fields: TableReader<'_, '_>, problems: &mut Problems<'_>) -> Option<WebhookChannel> {
    let url = parse_address(&mut fields, "url", problems);
    let secret = parse_secret(&mut fields, "secret", problems);
    let (ca, timeout) = (parse_ca(&mut fields, problems), parse_timeout(&mut fields, problems));
    fields.finish(problems);
    Some(WebhookChannel { url: url?, secret, ca, timeout })
}

fn parse_alertmanager(
    mut fields: TableReader<'_, '_>,
    problems: &mut Problems<'_>,
) -> Option<AlertmanagerChannel> {
    let url = parse_address(&mut fields, "url", problems);
    let token = parse_secret(&mut fields, "token", problems);
    let labels_at = fields.value("labels").map(|value| value.place);
    let labels = parse_labels(&mut fields, "labels", problems);
    for name in labels.keys().filter(|name| !is_label_name(name)) {
        let message = format!(
            "{}: key \"labels\": \"{}\" is no label name: it has letters, digits and _, and no digit at the beginning",
            fields.owner,
            printable(name)
        );
        problems.report(labels_at.unwrap_or(fields.place), message);
    }
    let (ca, timeout) = (parse_ca(&mut fields, problems), parse_timeout(&mut fields, problems));
    fields.finish(problems);
    Some(AlertmanagerChannel { url: url?, token, labels, ca, timeout })
}

/// Returns true if Prometheus accepts the name of a label.
fn is_label_name(name: &str) -> bool {
    let is_first = |letter: char| letter.is_ascii_alphabetic() || letter == '_';
    name.starts_with(is_first) && name.chars().all(|letter| is_first(letter) || letter.is_ascii_digit())
}

fn parse_mail(mut fields: TableReader<'_, '_>, problems: &mut Problems<'_>) -> Option<MailChannel> {
    let owner = fields.owner.clone();
    let server = fields.required_text("server", problems);
    let port_at = fields.value("port").map(|value| value.place);
    let port = fields.integer("port", problems).map(u16::try_from);
    if let (Some(place), Some(Err(_) | Ok(0))) = (port_at, &port) {
        problems.report(place, format!("{owner}: key \"port\" is a number from 1 to 65535"));
    }
    let tls = match fields.text("tls", problems) {
        None => MailTls::StartTls,
        Some(word) => MailTls::from_word(&word.value).unwrap_or_else(|| {
            let hint = did_you_mean(&word.value, MailTls::ALL.map(MailTls::word));
            let message =
                format!("{owner}: key \"tls\": \"{}\" is no encryption{hint}", printable(&word.value));
            problems.report(word.place, message);
            MailTls::StartTls
        }),
    };
    let user = fields.text("user", problems);
    let password = parse_secret(&mut fields, "password", problems);
    if fields.has("user") != fields.has("password") {
        problems
            .report(fields.place, format!("{owner}: keys \"user\" and \"password\" are only good together"));
    }
    if let (Some(user), MailTls::Off) = (&user, tls) {
        let message = format!(
            "{owner}: key \"user\": the password would be sent in clear text; write tls = \"starttls\""
        );
        problems.report(user.place, message);
    }
    let from = fields.required_text("from", problems);
    let to = fields.texts("to", problems);
    if to.is_empty() {
        problems.report(fields.place, format!("{owner}: key \"to\" needs at least one address"));
    }
    for address in from.iter().chain(&to) {
        let is_address =
            address.value.rsplit_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty());
        if !is_address {
            let message = format!("{owner}: \"{}\" is no mail address", printable(&address.value));
            problems.report(address.place, message);
        }
    }
    let (ca, timeout) = (parse_ca(&mut fields, problems), parse_timeout(&mut fields, problems));
    fields.finish(problems);
    Some(MailChannel {
        server: server?.value,
        port: port.and_then(Result::ok),
        tls,
        login: user.map(|user| user.value).zip(password),
        from: from?.value,
        to: to.into_iter().map(|address| address.value).collect(),
        ca,
        timeout,
    })
}

fn parse_chat(mut fields: TableReader<'_, '_>, problems: &mut Problems<'_>) -> Option<ChatChannel> {
    let owner = fields.owner.clone();
    let url = parse_address(&mut fields, "url", problems);
    let style = match fields.text("style", problems) {
        None => ChatStyle::Slack,
        Some(word) => ChatStyle::from_word(&word.value).unwrap_or_else(|| {
            let hint = did_you_mean(&word.value, ChatStyle::ALL.map(ChatStyle::word));
            let message = format!("{owner}: key \"style\": \"{}\" is no chat{hint}", printable(&word.value));
            problems.report(word.place, message);
            ChatStyle::Slack
        }),
    };
    let template = fields.text("template", problems);
    if let Some(template) = &template
        && let Err(why) = crate::chat_template::fill(&template.value, |_| "text".to_owned())
    {
        problems.report(template.place, format!("{owner}: key \"template\": {why}"));
    }
    let (ca, timeout) = (parse_ca(&mut fields, problems), parse_timeout(&mut fields, problems));
    fields.finish(problems);
    Some(ChatChannel { url: url?, style, template: template.map(|text| text.value), ca, timeout })
}

fn parse_command(mut fields: TableReader<'_, '_>, problems: &mut Problems<'_>) -> Option<CommandChannel> {
    let owner = fields.owner.clone();
    let words = fields.texts("run", problems);
    match words.first() {
        None => problems.report(fields.place, format!("{owner}: key \"run\" needs at least a program")),
        Some(program) if !program.value.starts_with('/') => {
            problems.report(
                program.place,
                format!("{owner}: key \"run\" begins with the absolute path of a program"),
            );
        }
        Some(_) => {}
    }
    let timeout = parse_timeout(&mut fields, problems);
    fields.finish(problems);
    Some(CommandChannel { command: words.into_iter().map(|word| word.value).collect(), timeout })
}

fn parse_timeout(fields: &mut TableReader<'_, '_>, problems: &mut Problems<'_>) -> Duration {
    fields.duration("timeout", Duration::from_secs(1), problems).unwrap_or(TIMEOUT)
}

/// Reads the path of a CA.
pub(super) fn parse_ca(fields: &mut TableReader<'_, '_>, problems: &mut Problems<'_>) -> Option<PathBuf> {
    let path = fields.text("ca", problems)?;
    if let Err(error) = std::fs::metadata(&path.value) {
        let message = format!("{}: key \"ca\": {}: {error}", fields.owner, printable(&path.value));
        problems.report(path.place, message);
    }
    Some(path.value.into())
}

/// Reads a table of labels.
pub(super) fn parse_labels(
    fields: &mut TableReader<'_, '_>,
    key: &'static str,
    problems: &mut Problems<'_>,
) -> BTreeMap<String, String> {
    let labels = fields.text_map(key, problems);
    labels.into_iter().map(|(name, value)| (name.value, value.value)).collect()
}
