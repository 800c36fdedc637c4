//! `rta watch`: the status, live.

mod changes;
mod screen;

use std::io::Write;
use std::time::Duration;

use futures::StreamExt as _;
use jiff::Timestamp;
use rta_shared::overview::Overview;

use self::changes::changes;
use self::screen::{Event, Screen};
use crate::client::{Client, Overviews};
use crate::command::Place;
use crate::exit::{FAILED, Failure, OK, Outcome};
use crate::render::Style;
use crate::render::summary::summary;
use crate::render::table::table;
use crate::select::select;

/// Between two attempts to reach an aggregator that was lost.
const ATTEMPT: Duration = Duration::from_secs(1);

/// Shows what lies at `place` until q or Ctrl-C on a terminal; in a pipe tells each change of health.
pub(crate) async fn watch(
    client: &Client,
    place: &Place,
    component: &str,
    style: Style,
    out: &mut (dyn Write + Send),
) -> Outcome {
    // A wrong name is told before anything is drawn.
    let first = async { select(client.overview().await?, place, component) }.await;
    match (first, style.terminal) {
        (Err(failure @ Failure::Unreachable(_)), false) => return Err(failure),
        (Ok(_) | Err(Failure::Unreachable(_)), _) => {}
        (Err(failure), _) => return Err(failure),
    }
    let narrowed = |overview| select(overview, place, component);
    match style.terminal {
        true => live(client, narrowed, style).await,
        false => lines(client, narrowed, out).await,
    }
}

/// The next overview; a stream that ends is an error too.
async fn next(overviews: &mut Option<Overviews>, client: &Client) -> Result<Overview, Failure> {
    let stream = match overviews {
        Some(stream) => stream,
        None => overviews.insert(client.watch_overview().await?),
    };
    let next = stream
        .next()
        .await
        .unwrap_or_else(|| Err(Failure::Unreachable("the aggregator ended the connection".to_owned())));
    if next.is_err() {
        *overviews = None;
    }
    next
}

async fn live(
    client: &Client,
    narrowed: impl Fn(Overview) -> Result<Overview, Failure>,
    style: Style,
) -> Outcome {
    let told = |error| Failure::new(FAILED, format!("the terminal cannot be drawn on: {error}"));
    let mut screen = Screen::enter().map_err(told)?;
    let mut overviews = None;
    let mut shown: Result<Overview, String> = Err("asking the aggregator".to_owned());
    loop {
        let now = Timestamp::now();
        let text = match &shown {
            Ok(overview) => format!("{}\n{}", summary(overview, now), table(overview, style)),
            // What was seen before need not be so any longer.
            Err(reason) => format!("nothing is known at the moment: {reason}\n"),
        };
        let clock = now.strftime("%Y-%m-%d %H:%M:%S UTC");
        screen.draw(&format!("{clock}   q leaves\n\n{text}"))?;
        let wait = shown.is_err() && overviews.is_none();
        let update = async {
            if wait {
                tokio::time::sleep(ATTEMPT).await;
            }
            next(&mut overviews, client).await
        };
        tokio::select! {
            update = update => shown = update.and_then(&narrowed).map_err(Failure::message),
            event = screen.event() => {
                if let Event::Leave = event.map_err(told)? {
                    return Ok(OK);
                }
            }
        }
    }
}

async fn lines(
    client: &Client,
    narrowed: impl Fn(Overview) -> Result<Overview, Failure>,
    out: &mut (dyn Write + Send),
) -> Outcome {
    let mut overviews = None;
    let mut before: Option<Overview> = None;
    let mut is_lost = false;
    loop {
        let stamp = |at: Timestamp| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
        match next(&mut overviews, client).await.and_then(&narrowed) {
            Ok(overview) => {
                if std::mem::take(&mut is_lost) {
                    writeln!(out, "{} the aggregator answers again", stamp(Timestamp::now()))?;
                }
                for line in before.iter().flat_map(|before| changes(before, &overview)) {
                    writeln!(out, "{} {line}", stamp(overview.generated_at))?;
                }
                before = Some(overview);
            }
            Err(Failure::Unreachable(reason)) => {
                if !std::mem::replace(&mut is_lost, true) {
                    writeln!(out, "{} nothing is known: {reason}", stamp(Timestamp::now()))?;
                }
                tokio::time::sleep(ATTEMPT).await;
            }
            Err(failure) => return Err(failure),
        }
        out.flush()?;
    }
}
