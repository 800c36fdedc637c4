//! `rta notify`: shows, tests and tries out notifications.

use std::io::Write;

use jiff::Timestamp;
use rta_shared::format::{ago, counted};
use rta_shared::proto::{from_wire_time, to_wire_time, v1};
use rta_shared::sanitize::printable;

use crate::args::NotifyCommand;
use crate::client::AggregatorClient;
use crate::current_user::current_user;
use crate::exit::{CommandResult, NOT_UP, OK};

/// Runs a subcommand.
pub(crate) async fn run_notify(
    command: &NotifyCommand,
    client: &AggregatorClient,
    out: &mut (dyn Write + Send),
) -> CommandResult {
    let now = Timestamp::now();
    match command {
        NotifyCommand::Status => {
            let status = client.notify_status().await?;
            write!(out, "{}", status_text(&status, now))?;
            Ok(if is_well(&status) { OK } else { NOT_UP })
        }
        NotifyCommand::Test { channel } => {
            client.test_notification(channel, &current_user()).await?;
            writeln!(out, "{}: the test was delivered", printable(channel))?;
            Ok(OK)
        }
        NotifyCommand::DryRun { since } => {
            let since = since.moment(now);
            let request = v1::DryRunNotificationsRequest { since: Some(to_wire_time(since)) };
            let answer = client.dry_run_notifications(request).await?;
            write!(out, "{}", dry_run_text(&answer, since))?;
            Ok(OK)
        }
    }
}

fn is_well(status: &v1::GetNotifyStatusResponse) -> bool {
    status.config_error.is_empty()
        && status.switch_error.is_empty()
        && status.missing.is_empty()
        && status.channels.iter().all(|channel| channel.failure.is_empty())
}

fn status_text(status: &v1::GetNotifyStatusResponse, now: Timestamp) -> String {
    let mut text = match status.open {
        0 => "nothing is notified at the moment\n".to_owned(),
        open => format!("{} notified and not over\n", counted(to_usize(open), "root cause")),
    };
    let width = status.channels.iter().map(|channel| channel.name.chars().count()).max().unwrap_or_default();
    for channel in &status.channels {
        let name = printable(&channel.name);
        let last = match channel.last_delivered_at.and_then(|at| from_wire_time(at).ok()) {
            Some(at) => format!("last {}", ago(at, now)),
            None => "none yet".to_owned(),
        };
        let mut line = format!(
            "{name:width$}  {:12}  {} delivered, {last}",
            channel.kind,
            counted(to_usize(channel.delivered), "message")
        );
        if channel.waiting > 0 {
            line.push_str(&format!(", {} waiting", channel.waiting));
        }
        if channel.given_up > 0 {
            line.push_str(&format!(", {} given up", channel.given_up));
        }
        if !channel.failure.is_empty() {
            let since = channel.failing_since.and_then(|at| from_wire_time(at).ok());
            let since = since.map(|since| format!(" since {}", since.strftime("%Y-%m-%d %H:%M UTC")));
            line.push_str(&format!("; fails{}: {}", since.unwrap_or_default(), printable(&channel.failure)));
        }
        text.push_str(&line);
        text.push('\n');
    }
    if !status.config_error.is_empty() {
        text.push_str("warning: the new file of notifications is refused, the old one goes on:\n");
        for problem in status.config_error.lines() {
            text.push_str(&format!("  {}\n", printable(problem)));
        }
    }
    if !status.switch_error.is_empty() {
        text.push_str(&format!(
            "warning: the dead man's switch cannot be reached: {}\n",
            printable(&status.switch_error)
        ));
    }
    for reason in &status.missing {
        text.push_str(&format!(
            "warning: an aggregator's notifications are not in these figures: {}\n",
            printable(reason)
        ));
    }
    text
}

fn dry_run_text(answer: &v1::DryRunNotificationsResponse, since: Timestamp) -> String {
    let mut text = String::new();
    let receiver = |message: &v1::DryRunNotification| match message.channel.as_str() {
        "" => "(nobody)".to_owned(),
        channel => printable(channel).into_owned(),
    };
    let width =
        answer.messages.iter().map(|message| receiver(message).chars().count()).max().unwrap_or_default();
    for message in &answer.messages {
        let at = message.at.and_then(|at| from_wire_time(at).ok()).unwrap_or_default();
        text.push_str(&format!(
            "{}  {:width$}  {:8}  {:8}  {}\n",
            at.strftime("%Y-%m-%d %H:%M:%S UTC"),
            receiver(message),
            message.kind,
            message.severity,
            printable(&message.summary)
        ));
    }
    let sent = answer.messages.iter().filter(|message| !message.channel.is_empty()).count();
    let since = since.strftime("%Y-%m-%d %H:%M UTC");
    text.push_str(&format!(
        "{} from {} since {since}\n",
        counted(sent, "notification"),
        counted(to_usize(answer.events), "event")
    ));
    if answer.truncated {
        text.push_str("warning: there are more events; the oldest were left out\n");
    }
    text
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::SinceTime;
    use crate::exit::CommandFailure;
    use crate::fake_aggregator::{AggregatorScript, FakeAggregator};

    async fn run(command: NotifyCommand, script: AggregatorScript) -> (Result<u8, (u8, String)>, String) {
        let (_fake, client) = FakeAggregator::serve(script).await;
        let mut out = Vec::new();
        let code = run_notify(&command, &client, &mut out).await.map_err(CommandFailure::into_parts);
        (code, String::from_utf8(out).unwrap())
    }

    #[tokio::test]
    async fn status_tells_what_does_not_work() {
        let works = v1::NotifyChannelStatus {
            name: "ops".to_owned(),
            kind: "webhook".to_owned(),
            delivered: 2,
            ..v1::NotifyChannelStatus::default()
        };
        let script = AggregatorScript {
            notify_status: v1::GetNotifyStatusResponse {
                channels: vec![works.clone()],
                ..v1::GetNotifyStatusResponse::default()
            },
            ..AggregatorScript::default()
        };
        let (code, text) = run(NotifyCommand::Status, script).await;
        assert_eq!(code, Ok(OK));
        assert_eq!(
            text,
            "nothing is notified at the moment\nops  webhook       2 messages delivered, none yet\n"
        );
        let fails = v1::NotifyChannelStatus {
            waiting: 3,
            failing_since: Some(to_wire_time(Timestamp::UNIX_EPOCH)),
            failure: "no connection".to_owned(),
            ..works
        };
        let script = AggregatorScript {
            notify_status: v1::GetNotifyStatusResponse {
                channels: vec![fails],
                open: 1,
                switch_error: "refused".to_owned(),
                missing: vec!["the aggregator at http://c:7600 does not answer".to_owned()],
                ..v1::GetNotifyStatusResponse::default()
            },
            ..AggregatorScript::default()
        };
        let (code, text) = run(NotifyCommand::Status, script).await;
        assert_eq!(code, Ok(NOT_UP));
        for expected in [
            "1 root cause notified and not over",
            "3 waiting; fails since 1970-01-01 00:00 UTC: no connection",
            "warning: the dead man's switch cannot be reached: refused",
            "warning: an aggregator's notifications are not in these figures: the aggregator at http://c:7600 does not answer",
        ] {
            assert!(text.contains(expected), "{text}");
        }
    }

    #[tokio::test]
    async fn test_succeeds_only_if_it_was_delivered() {
        let test = |channel: &str| NotifyCommand::Test { channel: channel.to_owned() };
        let (code, text) = run(test("ops"), AggregatorScript::default()).await;
        assert_eq!((code, text.as_str()), (Ok(OK), "ops: the test was delivered\n"));
        let (code, _) = run(test("x"), AggregatorScript::default()).await;
        assert!(code.unwrap_err().1.contains("there is no channel"));
    }

    #[tokio::test]
    async fn dry_run_tells_of_what_nobody_would_have_been_told() {
        let message = |channel: &str| v1::DryRunNotification {
            at: Timestamp::from_second(60).ok().map(to_wire_time),
            channel: channel.to_owned(),
            kind: "begin".to_owned(),
            severity: "critical".to_owned(),
            summary: "kafka on h (DEV) is down".to_owned(),
        };
        let script = AggregatorScript {
            dry_run: v1::DryRunNotificationsResponse {
                messages: vec![message("ops"), message("")],
                events: 7,
                truncated: true,
            },
            ..AggregatorScript::default()
        };
        let since = SinceTime::At(Timestamp::UNIX_EPOCH);
        let (_, text) = run(NotifyCommand::DryRun { since }, script).await;
        let row = |receiver: &str| {
            format!("1970-01-01 00:01:00 UTC  {receiver:8}  begin     critical  kafka on h (DEV) is down\n")
        };
        let expected = format!(
            "{}{}1 notification from 7 events since 1970-01-01 00:00 UTC\n\
             warning: there are more events; the oldest were left out\n",
            row("ops"),
            row("(nobody)")
        );
        assert_eq!(text, expected);
    }
}
