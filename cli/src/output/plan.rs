//! Plans and the progress of their steps as text.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rta_shared::action::ActionPhase;
use rta_shared::format::counted;
use rta_shared::overview::InstanceId;
use rta_shared::plan::{Plan, Step, StepState};
use rta_shared::sanitize::printable;

use super::{OutputStyle, TextColour, paint};
use crate::plan_progress::StepProgress;

/// Formats the numbered steps: named and unnamed instances, each with its reason, and their dependencies.
pub(crate) fn plan_text(plan: &Plan) -> String {
    let unnamed = plan.implied_instances().len();
    let also = match unnamed {
        0 => String::new(),
        count => format!(", {} not named", counted(count, "instance")),
    };
    let mut text = format!("plan of a {}: {}{also}\n", plan.kind, counted(plan.steps.len(), "step"));
    let numbers = plan.steps.len().to_string().len();
    let actions = plan.steps.iter().map(|step| step.word().len()).max().unwrap_or_default();
    let mut batch = 0;
    for (at, step) in plan.steps.iter().enumerate() {
        if step.batch != batch {
            batch = step.batch;
            text.push_str(&format!("batch {batch}:\n"));
        }
        let after: Vec<String> = step.after.iter().map(|before| (before + 1).to_string()).collect();
        let after = match after.len() {
            0 => String::new(),
            _ => format!("  after {}", after.join(", ")),
        };
        let mut why = match (step.named, step.why.as_str()) {
            (true, "") => String::new(),
            (true, why) => format!("  ({})", printable(why)),
            (false, "") => "  (not named)".to_owned(),
            (false, why) => format!("  (not named: {})", printable(why)),
        };
        if !step.irreversible.is_empty() {
            why.push_str(&format!("  (rta cannot start it again: {})", printable(&step.irreversible)));
        }
        let (number, action, place) = (at + 1, step.word(), step_place(step));
        text.push_str(&format!("{number:>numbers$}. {action:actions$}  {place}{after}{why}\n"));
    }
    text
}

/// Formats notes on named instances, one per line, for callers that have not seen the plan;
/// empty if there are none.
pub(crate) fn plan_notes(plan: &Plan) -> String {
    let noted = plan.steps.iter().filter(|step| step.named && !step.why.is_empty());
    noted.map(|step| format!("{}: note: {}\n", step_place(step), printable(&step.why))).collect()
}

/// Returns the full name of a step's instance, with control characters removed.
fn step_place(step: &Step) -> String {
    printable(&step.instance.to_string()).into_owned()
}

/// Formats the warning that a plan was not recorded before its first step.
pub(crate) fn unrecorded_warning(why: &str) -> String {
    format!(
        "warning: this plan is not recorded: {}; should the aggregator end, nobody will know what it did",
        printable(why)
    )
}

/// Formats the error if nobody can be asked: each instance that needs confirmation, and why.
pub(crate) fn refusal_text(plan: &Plan) -> String {
    let (asked, unnamed) = (plan.instances_to_confirm(), plan.implied_instances());
    let what = match (asked.len() - unnamed.len(), unnamed.len()) {
        (0, 1) => "also touches 1 instance that was not named".to_owned(),
        (0, unnamed) => format!("also touches {} that were not named", counted(unnamed, "instance")),
        (named, 0) => format!("takes down {}", counted(named, "instance")),
        (named, unnamed) => format!(
            "takes down {} and {} that were not named",
            counted(named, "instance"),
            counted(unnamed, "instance")
        ),
    };
    let mut text = format!("nothing was done: the {} {what}:\n", plan.kind);
    let asked: HashSet<&InstanceId> = asked.into_iter().collect();
    let mut already_shown = HashSet::new();
    for step in &plan.steps {
        if !asked.contains(&step.instance) || !already_shown.insert(&step.instance) {
            continue;
        }
        let mut why: Vec<String> = Vec::new();
        if !step.why.is_empty() {
            why.push(printable(&step.why).into_owned());
        }
        if !step.irreversible.is_empty() {
            why.push(format!("rta cannot start it again: {}", printable(&step.irreversible)));
        }
        let colon = if why.is_empty() { "" } else { ": " };
        text.push_str(&format!("  {}{colon}{}\n", step_place(step), why.join("; ")));
    }
    text.push_str(match unnamed.is_empty() {
        true => "say --yes to do all of it",
        false => "say --yes to do all of it, or --no-dependencies to leave those alone that were not named",
    });
    text
}

/// Formats the state of a step for a pipe: one line, with additional lines of its text below; empty
/// if the step is waiting.
pub(crate) fn plain_lines(step: &Step, progress: &StepProgress) -> Vec<String> {
    let place = step_place(step);
    let first = printable(progress.text.lines().next().unwrap_or_default());
    let line = match (progress.state, first.as_ref()) {
        (StepState::Waiting, _) => return Vec::new(),
        (StepState::UnderWay, "") => format!("{place}: {}", step.in_progress_text()),
        (StepState::Done, "") => format!("{place}: done"),
        (StepState::UnderWay | StepState::Done, _) => format!("{place}: {first}"),
        (state, "") => format!("{place}: {state}"),
        (state, _) => format!("{place}: {state}: {first}"),
    };
    std::iter::once(line).chain(detail_lines(progress)).collect()
}

/// Returns the text of a step after its first line, such as a log's last lines, indented.
pub(crate) fn detail_lines(progress: &StepProgress) -> Vec<String> {
    progress.text.lines().skip(1).map(|line| format!("  {}", printable(line))).collect()
}

/// Formats a step as one line for a terminal, its place padded to `width` characters.
pub(crate) fn live_line(
    step: &Step,
    progress: &StepProgress,
    width: usize,
    now: Instant,
    style: OutputStyle,
) -> String {
    let (shape, ink) = match progress.state {
        StepState::Waiting => ("○", None),
        StepState::UnderWay => ("◐", Some(TextColour::Cyan)),
        StepState::Done => ("●", Some(TextColour::Green)),
        StepState::Failed => ("✖", Some(TextColour::Red)),
        StepState::Skipped => ("-", Some(TextColour::Yellow)),
        StepState::Interrupted => ("?", Some(TextColour::Magenta)),
    };
    let word = paint(&format!("{shape} {:12}", step_word(step, progress)), ink, style);
    let elapsed = match (progress.state, progress.started_at) {
        (StepState::UnderWay, Some(began)) => format!("  {} s", now.duration_since(began).as_secs()),
        _ => String::new(),
    };
    let text = printable(progress.text.lines().next().unwrap_or_default()).into_owned();
    let line = format!("{word} {:width$}  {text}{elapsed}", step_place(step));
    line.trim_end().to_owned()
}

fn step_word(step: &Step, progress: &StepProgress) -> String {
    match (progress.state, progress.phase) {
        (StepState::UnderWay, None | Some(ActionPhase::Launched | ActionPhase::Waiting)) => {
            format!("{} ...", step.in_progress_text())
        }
        (StepState::UnderWay, Some(phase)) => phase.word().to_owned(),
        (state, _) => state.word().to_owned(),
    }
}

/// Returns the length of the longest full name, in characters.
pub(crate) fn place_width(plan: &Plan) -> usize {
    plan.steps.iter().map(|step| step_place(step).chars().count()).max().unwrap_or_default()
}

/// Formats a duration as `5 s`.
pub(crate) fn format_seconds(time: Duration) -> String {
    format!("{} s", time.as_secs())
}

#[cfg(test)]
mod tests {
    use rta_shared::action::ActionKind;
    use rta_shared::overview::InstanceId;

    use super::*;

    fn step(component: &str, named: bool, after: &[usize], why: &str) -> Step {
        Step {
            instance: InstanceId { environment: "E".into(), host: "h".into(), component: component.into() },
            action: ActionKind::Start,
            named,
            after: after.to_vec(),
            why: why.to_owned(),
            irreversible: String::new(),
            batch: 0,
            gate: None,
        }
    }

    fn progress(state: StepState, text: &str) -> StepProgress {
        StepProgress { state, phase: None, text: text.to_owned(), started_at: None }
    }

    fn two() -> Plan {
        Plan {
            kind: ActionKind::Start,
            steps: vec![step("zoo", false, &[], "kafka\u{1b} needs it"), step("kafka", true, &[0], "")],
        }
    }

    #[test]
    fn a_plan_says_what_is_not_named_and_what_waits_for_what() {
        assert_eq!(
            plan_text(&two()),
            "plan of a start: 2 steps, 1 instance not named\n\
             1. start  E/h/zoo  (not named: kafka\\u{1b} needs it)\n\
             2. start  E/h/kafka  after 1\n"
        );
    }

    #[test]
    fn what_is_to_be_known_of_a_named_one_is_said_in_the_plan_and_without_it() {
        let note = "app\u{1b} on h2, whose host does not answer, needs it too";
        let noted = Plan { kind: ActionKind::Stop, steps: vec![step("kafka", true, &[], note)] };
        let shown = "app\\u{1b} on h2, whose host does not answer, needs it too";
        assert!(
            plan_text(&noted).ends_with(&format!("1. start  E/h/kafka  ({shown})\n")),
            "{}",
            plan_text(&noted)
        );
        assert_eq!(plan_notes(&noted), format!("E/h/kafka: note: {shown}\n"));
        assert_eq!(plan_notes(&two()), "");
    }

    #[test]
    fn a_refusal_names_what_it_is_about_and_the_ways_out() {
        let text = refusal_text(&two());
        assert!(
            text.starts_with("nothing was done: the start also touches 1 instance that was not named:\n")
        );
        assert!(text.contains("\n  E/h/zoo: kafka\\u{1b} needs it\n"), "{text}");
        assert!(text.contains("--yes") && text.contains("--no-dependencies"));
    }

    #[test]
    fn a_pipe_gets_the_log_below_the_failure_and_nothing_that_steers() {
        let kafka = step("kafka", true, &[], "");
        let lines = |state, text| plain_lines(&kafka, &progress(state, text));
        assert_eq!(
            lines(StepState::Failed, "it ended\nlog\u{1b}[2J one\nlog two"),
            ["E/h/kafka: failed: it ended", "  log\\u{1b}[2J one", "  log two"]
        );
        assert_eq!(
            lines(StepState::Done, "started in 1.5 s (pid 4242)"),
            ["E/h/kafka: started in 1.5 s (pid 4242)"]
        );
        assert_eq!(lines(StepState::UnderWay, "launched (pid 42)"), ["E/h/kafka: launched (pid 42)"]);
        assert_eq!(lines(StepState::UnderWay, ""), ["E/h/kafka: starting"]);
        assert_eq!(lines(StepState::Skipped, "zoo failed"), ["E/h/kafka: skipped: zoo failed"]);
        assert!(lines(StepState::Waiting, "").is_empty());
    }

    #[test]
    fn a_live_line_says_with_words_what_it_says_with_colour() {
        let kafka = step("kafka", true, &[], "");
        let now = Instant::now();
        let style = |colour| OutputStyle { terminal: true, colour };
        let mut under_way = progress(StepState::UnderWay, "launched (pid 7)");
        under_way.started_at = Some(now);
        let later = now + Duration::from_secs(3);
        let line = live_line(&kafka, &under_way, 10, later, style(false));
        assert_eq!(line, "◐ starting ... E/h/kafka   launched (pid 7)  3 s");
        under_way.phase = Some(ActionPhase::Matched);
        assert!(live_line(&kafka, &under_way, 10, later, style(false)).starts_with("◐ matched"));
        let failed = live_line(&kafka, &progress(StepState::Failed, "why\nlog"), 9, now, style(true));
        assert!(failed.contains("✖ failed") && failed.contains("\u{1b}[31m") && !failed.contains("log"));
    }
}
