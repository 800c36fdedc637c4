//! `rta watch`: shows the status live.

mod alternate_screen;
mod health_changes;

use std::io::Write;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use rta_shared::overview::Overview;
use rta_shared::selector::{Purpose, Selector};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::alternate_screen::{AlternateScreen, ScreenEvent};
use self::health_changes::health_changes;
use crate::client::AggregatorClient;
use crate::exit::{CommandFailure, CommandResult, FAILED, OK};
use crate::output::OutputStyle;
use crate::output::status::status_text;
use crate::overview_filter::filter_overview;

/// Interval between attempts to reconnect to the aggregator.
const RECONNECT_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum age of an overview without a staleness warning. The aggregator sends one for each
/// scan, about one a second.
const STALE_AFTER: Duration = Duration::from_secs(5);

/// Shows the selected instances until q or Ctrl-C on a terminal; in a pipe prints each change of health.
pub(crate) async fn run_watch(
    client: &AggregatorClient,
    selector: &Selector,
    style: OutputStyle,
    out: &mut (dyn Write + Send),
) -> CommandResult {
    // A wrong name is reported before anything is drawn.
    let first = async { filter_overview(client.overview().await?, selector, Purpose::Reading) }.await;
    match (first, style.terminal) {
        (Err(failure @ CommandFailure::Unreachable(_)), false) => return Err(failure),
        (Ok(_) | Err(CommandFailure::Unreachable(_)), _) => {}
        (Err(failure), _) => return Err(failure),
    }
    let narrowed = |overview| filter_overview(overview, selector, Purpose::Reading);
    match style.terminal {
        true => run_screen(client, narrowed, style).await,
        false => print_changes(client, narrowed, out).await,
    }
}

/// Overviews, one after every change, or the reason why none arrives; reconnects forever.
struct OverviewFeed {
    received: mpsc::Receiver<Result<Overview, CommandFailure>>,
    /// Receiving task; ends on drop.
    _receiver_task: JoinSet<()>,
}

impl OverviewFeed {
    fn subscribe(client: &AggregatorClient) -> Self {
        // A slow reader skips to the newest overview after the one it reads.
        let (sender, received) = mpsc::channel(1);
        let client = client.clone();
        let mut asking = JoinSet::new();
        asking.spawn(async move {
            loop {
                let failure = forward_overviews(&client, &sender).await;
                if sender.send(Err(failure)).await.is_err() {
                    return;
                }
                tokio::time::sleep(RECONNECT_INTERVAL).await;
            }
        });
        Self { received, _receiver_task: asking }
    }

    async fn next(&mut self) -> Result<Overview, CommandFailure> {
        let ended = || CommandFailure::Unreachable("nobody asks the aggregator any more".to_owned());
        self.received.recv().await.unwrap_or_else(|| Err(ended()))
    }
}

/// Forwards overviews until a failure, which it returns.
async fn forward_overviews(
    client: &AggregatorClient,
    sender: &mpsc::Sender<Result<Overview, CommandFailure>>,
) -> CommandFailure {
    let mut overviews = match client.watch_overview().await {
        Ok(overviews) => overviews,
        Err(failure) => return failure,
    };
    loop {
        match overviews.next().await {
            Some(Ok(overview)) => {
                // If the receiver is gone, this task ends with its set.
                if sender.send(Ok(overview)).await.is_err() {
                    return CommandFailure::Unreachable("nobody listens any more".to_owned());
                }
            }
            Some(Err(failure)) => return failure,
            None => return CommandFailure::Unreachable("the aggregator ended the connection".to_owned()),
        }
    }
}

async fn run_screen(
    client: &AggregatorClient,
    narrowed: impl Fn(Overview) -> Result<Overview, CommandFailure>,
    style: OutputStyle,
) -> CommandResult {
    let describe_error =
        |error| CommandFailure::new(FAILED, format!("the terminal cannot be drawn on: {error}"));
    let mut screen = AlternateScreen::enter().map_err(describe_error)?;
    let mut overviews = OverviewFeed::subscribe(client);
    let mut shown: Result<Overview, String> = Err("asking the aggregator".to_owned());
    // This machine's clocks, because the aggregator's may be wrong.
    let mut received = (Timestamp::now(), Instant::now());
    loop {
        let now = Timestamp::now();
        let text = match &shown {
            Ok(overview) => {
                let age = received.1.elapsed();
                let stale = stale_warning(received.0, age);
                // The aggregator's clock, because this machine's may differ.
                let made = overview.generated_at;
                let now = SignedDuration::try_from(age).ok().and_then(|age| made.checked_add(age).ok());
                let now = now.unwrap_or(made);
                format!("{stale}{}", status_text(overview, style, now))
            }
            // The last overview may be outdated.
            Err(reason) => format!("nothing is known at the moment: {reason}\n"),
        };
        let clock = now.strftime("%Y-%m-%d %H:%M:%S UTC");
        screen.draw(&format!("{clock}   q leaves\n\n{text}"))?;
        tokio::select! {
            update = overviews.next() => {
                shown = update.and_then(&narrowed).map_err(CommandFailure::message);
                received = (Timestamp::now(), Instant::now());
            }
            event = screen.next_event() => {
                if let ScreenEvent::Leave = event.map_err(describe_error)? {
                    return Ok(OK);
                }
            }
        }
    }
}

/// Returns a warning that the overview received at `received` has the age `age`; empty if it is recent.
fn stale_warning(received: Timestamp, age: Duration) -> String {
    if age <= STALE_AFTER {
        return String::new();
    }
    let at = received.strftime("%Y-%m-%d %H:%M:%S UTC");
    format!("Connection lost. Showing the state of {at}, {} s ago; retrying.\n\n", age.as_secs())
}

async fn print_changes(
    client: &AggregatorClient,
    narrowed: impl Fn(Overview) -> Result<Overview, CommandFailure>,
    out: &mut (dyn Write + Send),
) -> CommandResult {
    let mut overviews = OverviewFeed::subscribe(client);
    let mut before: Option<Overview> = None;
    let mut is_lost = false;
    loop {
        let stamp = |at: Timestamp| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
        match overviews.next().await.and_then(&narrowed) {
            Ok(overview) => {
                if std::mem::take(&mut is_lost) {
                    writeln!(out, "{} the aggregator answers again", stamp(Timestamp::now()))?;
                }
                for line in before.iter().flat_map(|before| health_changes(before, &overview)) {
                    writeln!(out, "{} {line}", stamp(overview.generated_at))?;
                }
                before = Some(overview);
            }
            Err(CommandFailure::Unreachable(reason)) => {
                if !std::mem::replace(&mut is_lost, true) {
                    writeln!(out, "{} nothing is known: {reason}", stamp(Timestamp::now()))?;
                }
            }
            Err(failure) => return Err(failure),
        }
        out.flush()?;
    }
}

#[cfg(test)]
mod tests {
    use rta_shared::overview::Health;

    use super::*;
    use crate::exit::UNAVAILABLE;
    use crate::fake_aggregator::{AggregatorScript, FakeAggregator, sample_overview};

    fn named(component: &str) -> Selector {
        Selector { component: component.to_owned(), ..Selector::default() }
    }

    #[test]
    fn an_overview_that_is_not_renewed_is_told_to_be_old() {
        let received = "2026-11-25T12:00:00Z".parse().unwrap();
        assert_eq!(stale_warning(received, Duration::from_secs(5)), "");
        let describe_error = stale_warning(received, Duration::from_millis(6900));
        assert!(
            describe_error
                .starts_with("Connection lost. Showing the state of 2026-11-25 12:00:00 UTC, 6 s ago"),
            "{describe_error}"
        );
    }

    #[tokio::test]
    async fn a_pipe_gets_a_line_for_each_change_of_what_was_asked_for() {
        let all = |a, b| sample_overview(&[("a", a), ("b", b)]);
        let script = AggregatorScript {
            overview: Some(all(Health::Up, Health::Up)),
            overviews: vec![
                all(Health::Up, Health::Up),
                all(Health::Up, Health::Down),
                all(Health::Down, Health::Down),
            ],
            ..AggregatorScript::default()
        };
        let (_fake, client) = FakeAggregator::serve(script).await;
        let style = OutputStyle { terminal: false, colour: false };
        let mut out = Vec::new();
        let outcome = run_watch(&client, &named("A"), style, &mut out).await;
        assert_eq!(outcome.map_err(CommandFailure::into_parts), Err((FAILED, "enough".to_owned())));
        assert_eq!(String::from_utf8(out).unwrap(), "1970-01-01 00:00:00 UTC DEV/h/a up -> down: because\n");

        let unknown = run_watch(&client, &named("c"), style, &mut Vec::new()).await;
        assert_eq!(unknown.map_err(|failure| failure.into_parts().0), Err(UNAVAILABLE));
    }
}
