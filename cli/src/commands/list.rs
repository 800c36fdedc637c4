//! `rta list`: the selected instances, as a table or as JSON.

use std::io::{BufWriter, Write};

use rta_shared::overview::{LocatedInstance, Overview};
use rta_shared::selector::Purpose;

use crate::args::ListArgs;
use crate::client::AggregatorClient;
use crate::exit::{CommandResult, OK};
use crate::output::OutputStyle;
use crate::output::instance_table::{instance_table, instance_table_with_users};
use crate::output::json::{unwritable_json, write_json};
use crate::overview_filter::{filter_overview, retain_instances};

/// Number of instances shown on a terminal unless requested otherwise.
const TERMINAL_PAGE: usize = 200;

/// Returns a line of `rta list --json-lines`: an instance as in the overview, with its place.
fn instance_line(located: LocatedInstance<'_>) -> Result<String, serde_json::Error> {
    let LocatedInstance { environment, host, instance } = located;
    let mut line = serde_json::to_value(instance)?;
    line["environment"] = serde_json::to_value(&environment.name)?;
    line["host"] = serde_json::to_value(&host.name)?;
    line["role"] = serde_json::to_value(&host.role)?;
    serde_json::to_string(&line)
}

/// Runs `rta list`.
pub(crate) async fn run_list(
    arguments: &ListArgs,
    client: &AggregatorClient,
    style: OutputStyle,
    out: &mut (dyn Write + Send),
) -> CommandResult {
    let selector = arguments.place.selector(&[])?;
    let mut overview = filter_overview(client.overview().await?, &selector, Purpose::Reading)?;
    if let Some(health) = arguments.health {
        retain_instances(&mut overview, |instance| health.shows(instance.health));
    }
    if arguments.json {
        write_json(&overview, out)?;
        return Ok(OK);
    }
    let is_paged = style.terminal && !arguments.json_lines;
    let limit = arguments.limit.or(is_paged.then_some(TERMINAL_PAGE)).unwrap_or(usize::MAX);
    let total = overview.counts().total();
    let end = arguments.offset.saturating_add(limit);
    if arguments.offset > 0 || end < total {
        let mut at = 0..;
        let page = arguments.offset..end;
        retain_instances(&mut overview, |_| at.next().is_some_and(|at| page.contains(&at)));
    }
    if arguments.json_lines {
        write_lines(&overview, out)?;
        return Ok(OK);
    }
    let table = if arguments.verbose { instance_table_with_users } else { instance_table };
    write!(out, "{}", table(&overview, style, overview.generated_at))?;
    if style.terminal {
        write!(out, "{}", position(arguments.offset, overview.counts().total(), total))?;
    }
    Ok(OK)
}

/// Writes an object a line, as they are made: nothing holds all of them.
fn write_lines(overview: &Overview, out: &mut (dyn Write + Send)) -> Result<(), crate::exit::CommandFailure> {
    let mut out = BufWriter::new(out);
    for located in overview.instances() {
        let line = instance_line(located).map_err(|error| unwritable_json(&error))?;
        writeln!(out, "{line}")?;
    }
    Ok(out.flush()?)
}

/// Returns the line below a page of `shown` instances after `offset`, of `total`; empty if all are shown.
fn position(offset: usize, shown: usize, total: usize) -> String {
    let end = offset.saturating_add(shown);
    match (shown, total) {
        (_, total) if shown == total => String::new(),
        (0, total) => format!("Nothing from {offset} on: there are {total}.\n"),
        (_, total) if end < total => {
            format!(
                "{} to {end} of {total}; go on with --offset {end}, or show less with --health, --env, --host\n",
                offset + 1
            )
        }
        _ => format!("{} to {end} of {total}\n", offset + 1),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use rta_shared::overview::Health;

    use super::*;
    use crate::args::{CliArgs, CliCommand, RemoteCommand};
    use crate::fake_aggregator::{AggregatorScript, FakeAggregator, sample_overview};

    const PIPE: OutputStyle = OutputStyle { terminal: false, colour: false };

    /// Returns the output of `rta list` with these flags, of 250 instances of which every tenth is down.
    async fn listed(flags: &str, style: OutputStyle) -> String {
        let names: Vec<String> = (0..250).map(|at| format!("c{at:03}")).collect();
        let health = |at: usize| if at.is_multiple_of(10) { Health::Down } else { Health::Up };
        let healths: Vec<_> =
            names.iter().enumerate().map(|(at, name)| (name.as_str(), health(at))).collect();
        let script =
            AggregatorScript { overview: Some(sample_overview(&healths)), ..AggregatorScript::default() };
        let (_fake, client) = FakeAggregator::serve(script).await;
        let words = ["rta", "list"].into_iter().chain(flags.split_whitespace());
        let arguments = CliArgs::try_parse_from(words).unwrap();
        let CliCommand::Remote(RemoteCommand::List(arguments)) = arguments.command else { panic!("{flags}") };
        let mut out = Vec::new();
        assert_eq!(run_list(&arguments, &client, style, &mut out).await.map_err(|_| ()), Ok(OK));
        String::from_utf8(out).unwrap()
    }

    fn components(text: &str) -> Vec<&str> {
        text.lines()
            .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('c') && word.len() == 4))
            .collect()
    }

    #[tokio::test]
    async fn list_is_restricted_by_health_and_cut_by_limit_and_offset() {
        assert_eq!(components(&listed("", PIPE).await).len(), 250, "a pipe gets all");
        assert_eq!(components(&listed("--health down", PIPE).await).len(), 25);
        assert_eq!(components(&listed("--health up", PIPE).await).len(), 225);
        let page = listed("--health BAD --offset 23 --limit 5", PIPE).await;
        assert_eq!(components(&page), ["c230", "c240"]);
        assert_eq!(page.lines().count(), 3, "a pipe gets nothing but the table: {page}");
    }

    #[tokio::test]
    async fn terminal_gets_a_page_and_how_to_go_on() {
        let terminal = OutputStyle { terminal: true, colour: false };
        let first = listed("", terminal).await;
        assert_eq!(components(&first).len(), 200);
        assert!(first.contains("1 to 200 of 250; go on with --offset 200"), "{first}");
        let second = listed("--offset 200", terminal).await;
        assert_eq!(components(&second).first(), Some(&"c200"));
        assert!(second.ends_with("201 to 250 of 250\n"), "{second}");
        assert!(listed("--offset 300", terminal).await.ends_with("Nothing from 300 on: there are 250.\n"));
        assert!(!listed("--health down", terminal).await.contains(" of "), "all of it is shown");
    }

    #[tokio::test]
    async fn json_lines_are_objects_with_their_place() {
        let text = listed("--json-lines --health down --limit 2", PIPE).await;
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[1]["component"], "c010");
        assert_eq!((&lines[1]["environment"], &lines[1]["host"]), (&"DEV".into(), &"h".into()));
        assert_eq!((&lines[1]["health"], &lines[1]["role"]), (&"down".into(), &serde_json::Value::Null));
    }
}
