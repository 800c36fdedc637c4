//! Tests of control commands against a scripted aggregator.

use std::collections::VecDeque;
use std::io;

use clap::Parser as _;
use rta_shared::plan::{ActionRequest, StepState};

use super::*;
use crate::args::{ActionCommand, CliArgs, CliCommand, RemoteCommand};
use crate::exit::UNAVAILABLE;
use crate::fake_aggregator::{
    AggregatorScript, FakeAggregator, plan_ended, plan_started, sample_plan, step_changed,
};

/// Scripted user with these answers and this number of Ctrl-C presses.
#[derive(Default)]
struct ScriptedPrompt {
    answers: VecDeque<&'static str>,
    interrupts: usize,
    at_terminal: bool,
}

impl ConfirmPrompt for ScriptedPrompt {
    fn can_answer(&self) -> bool {
        self.at_terminal
    }

    fn discard_typed_input(&mut self) {}

    async fn next_input(&mut self, asking: bool) -> io::Result<UserInput> {
        if asking && let Some(answer) = self.answers.pop_front() {
            return Ok(UserInput::Answer(answer.to_owned()));
        }
        match self.interrupts.checked_sub(1) {
            Some(left) => {
                self.interrupts = left;
                Ok(UserInput::Interrupt)
            }
            None => std::future::pending().await,
        }
    }
}

fn parse_start(line: &str) -> ActionArgs {
    match CliArgs::parse_from(line.split(' ')).command {
        CliCommand::Remote(RemoteCommand::Act(ActionCommand::Start(arguments))) => arguments,
        other => panic!("{other:?}"),
    }
}

/// Runs a command and returns its output and the exit code or failure.
async fn run(
    client: &AggregatorClient,
    line: &str,
    prompt: &mut ScriptedPrompt,
) -> (String, Result<u8, (u8, String)>) {
    let mut out = Vec::new();
    let style = OutputStyle { terminal: false, colour: false };
    let outcome = run_plan(ActionKind::Start, &parse_start(line), client, prompt, style, &mut out).await;
    (String::from_utf8(out).unwrap(), outcome.map_err(CommandFailure::into_parts))
}

fn successful_events() -> Vec<rta_shared::plan::PlanEvent> {
    vec![
        plan_started(),
        step_changed(0, StepState::UnderWay, "launched (pid 41)"),
        step_changed(0, StepState::Done, "started in 0.5 s (pid 41)"),
        step_changed(1, StepState::UnderWay, "launched (pid 42)"),
        step_changed(1, StepState::Done, "started in 1.5 s (pid 42)"),
        plan_ended([2, 0, 0, 0], false),
    ]
}

const SUCCESSFUL_OUTPUT: &str = "plan 7 of a start begun: 2 steps\n\
    E/h/zoo: launched (pid 41)\n\
    E/h/zoo: started in 0.5 s (pid 41)\n\
    E/h/kafka: launched (pid 42)\n\
    E/h/kafka: started in 1.5 s (pid 42)\n\
    2 steps done\n";

#[tokio::test]
async fn a_pipe_is_refused_what_it_did_not_name_and_nothing_is_begun() {
    let (fake, client) =
        FakeAggregator::serve(AggregatorScript { plan: Some(sample_plan()), ..AggregatorScript::default() })
            .await;
    let (_, outcome) = run(&client, "rta start kafka", &mut ScriptedPrompt::default()).await;
    let (code, message) = outcome.unwrap_err();
    assert_eq!(code, FAILED);
    assert!(message.contains("E/h/zoo: kafka needs it") && message.contains("--yes"), "{message}");
    assert!(fake.script().options.is_empty());
}

#[tokio::test]
async fn yes_does_all_of_it_and_a_pipe_gets_a_line_for_each_thing() {
    let script = AggregatorScript {
        plan: Some(sample_plan()),
        plan_events: successful_events(),
        ..AggregatorScript::default()
    };
    let (fake, client) = FakeAggregator::serve(script).await;
    let line = "rta start kafka --yes --keep-going --parallel 3 --host h";
    let (said, outcome) = run(&client, line, &mut ScriptedPrompt::default()).await;
    assert_eq!((said.as_str(), outcome), (SUCCESSFUL_OUTPUT, Ok(OK)));
    let script = fake.script();
    let options = &script.options[0];
    assert!(options.everything && options.keep_going && options.parallel == 3 && !options.user.is_empty());
    assert!(script.requests.iter().all(|request| request.component == "kafka" && request.host == "h"));
}

#[tokio::test]
async fn a_person_sees_the_plan_and_agrees_to_just_that() {
    let script = || AggregatorScript {
        plan: Some(sample_plan()),
        plan_events: successful_events(),
        ..AggregatorScript::default()
    };
    let (fake, client) = FakeAggregator::serve(script()).await;
    let mut prompt =
        ScriptedPrompt { answers: ["y\n"].into(), at_terminal: true, ..ScriptedPrompt::default() };
    let (said, outcome) = run(&client, "rta start kafka", &mut prompt).await;
    assert_eq!(outcome, Ok(OK));
    assert!(
        said.contains("1. start  E/h/zoo  (not named: kafka needs it)") && said.contains("[y/N]"),
        "{said}"
    );
    let options = fake.script().options.remove(0);
    assert!(!options.everything);
    assert_eq!(options.agreed.iter().map(|id| id.component.as_str()).collect::<Vec<_>>(), ["zoo"]);

    for answer in ["\n", "no\n", "", "yet\n"] {
        let (fake, client) = FakeAggregator::serve(script()).await;
        let mut prompt =
            ScriptedPrompt { answers: [answer].into(), at_terminal: true, ..ScriptedPrompt::default() };
        let (_, outcome) = run(&client, "rta start kafka", &mut prompt).await;
        assert_eq!(outcome, Err((FAILED, "nothing was done".to_owned())), "{answer:?}");
        assert!(fake.script().options.is_empty());
    }
}

#[tokio::test]
async fn a_plan_alone_is_shown_and_nothing_is_done() {
    let (fake, client) =
        FakeAggregator::serve(AggregatorScript { plan: Some(sample_plan()), ..AggregatorScript::default() })
            .await;
    let (said, outcome) = run(&client, "rta start kafka --plan", &mut ScriptedPrompt::default()).await;
    assert_eq!(outcome, Ok(OK));
    assert!(said.contains("2. start  E/h/kafka  after 1\n"), "{said}");
    let (said, _) = run(&client, "rta start kafka --plan --json", &mut ScriptedPrompt::default()).await;
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(json["steps"][0]["why"], "kafka needs it");
    assert!(fake.script().options.is_empty());
}

#[tokio::test]
async fn nothing_to_do_is_no_failure_and_an_unknown_name_is_one() {
    let empty = rta_shared::plan::Plan { kind: ActionKind::Start, steps: vec![] };
    let (_, client) =
        FakeAggregator::serve(AggregatorScript { plan: Some(empty), ..AggregatorScript::default() }).await;
    let (said, outcome) = run(&client, "rta start kafka", &mut ScriptedPrompt::default()).await;
    assert_eq!((said.as_str(), outcome), ("nothing to do: already running, nothing was started\n", Ok(OK)));
    let (said, outcome) = run(&client, "rta start kafka --json", &mut ScriptedPrompt::default()).await;
    assert_eq!((said.as_str(), outcome), ("{\"kind\":\"start\",\"steps\":[]}\n", Ok(OK)));
    let (_, client) = FakeAggregator::serve(AggregatorScript::default()).await;
    let (_, outcome) = run(&client, "rta start x", &mut ScriptedPrompt::default()).await;
    let (code, message) = outcome.unwrap_err();
    assert!(code == UNAVAILABLE && message.contains("is not known"), "{code} {message}");
}

#[tokio::test]
async fn a_failed_step_shows_its_log_and_fails_the_command() {
    let plan_events = vec![
        plan_started(),
        step_changed(0, StepState::Failed, "it ended with status 1\nERROR no disk"),
        step_changed(1, StepState::Skipped, "E/h/zoo failed"),
        plan_ended([0, 1, 1, 0], false),
    ];
    let (_, client) = FakeAggregator::serve(AggregatorScript {
        plan: Some(sample_plan()),
        plan_events,
        ..AggregatorScript::default()
    })
    .await;
    let (said, outcome) = run(&client, "rta start kafka -y", &mut ScriptedPrompt::default()).await;
    assert_eq!(
        (said.as_str(), outcome),
        (
            "plan 7 of a start begun: 2 steps\nE/h/zoo: failed: it ended with status 1\n  ERROR no disk\n\
             E/h/kafka: skipped: E/h/zoo failed\n0 steps done, 1 failed, 1 skipped\n",
            Ok(FAILED)
        )
    );
}

#[tokio::test]
async fn a_lost_plan_is_watched_anew_and_nothing_is_told_twice() {
    let plan_events = successful_events().into_iter().take(4).collect();
    let watch_answers = [vec![plan_started()], successful_events()].into();
    let (_, client) = FakeAggregator::serve(AggregatorScript {
        plan: Some(sample_plan()),
        plan_events,
        watch_answers,
        ..AggregatorScript::default()
    })
    .await;
    let (said, outcome) = run(&client, "rta start kafka -y", &mut ScriptedPrompt::default()).await;
    assert_eq!(outcome, Ok(OK));
    let (lost, rest): (Vec<&str>, Vec<&str>) =
        said.lines().partition(|line| line.starts_with("the connection was lost in the middle of plan 7"));
    assert_eq!((lost.len(), rest), (1, SUCCESSFUL_OUTPUT.lines().collect()));
}

#[tokio::test]
async fn a_plan_that_is_no_longer_known_ends_unknown() {
    let plan_events = successful_events().into_iter().take(2).collect();
    let (_, client) = FakeAggregator::serve(AggregatorScript {
        plan: Some(sample_plan()),
        plan_events,
        ..AggregatorScript::default()
    })
    .await;
    let (_, outcome) = run(&client, "rta start kafka -y", &mut ScriptedPrompt::default()).await;
    let (code, message) = outcome.unwrap_err();
    assert_eq!(code, UNAVAILABLE);
    assert_eq!(message, "the result of plan 7 is not known: plan 7 is not known; run rta events to see it");
}

#[tokio::test]
async fn what_cannot_heal_is_not_tried_anew() {
    let plan_events: Vec<_> = successful_events().into_iter().take(2).collect();
    let script = |watch_answers: Vec<Vec<_>>, status| AggregatorScript {
        plan: Some(sample_plan()),
        plan_events: plan_events.clone(),
        final_error: Some(status),
        watch_answers: watch_answers.into(),
        ..AggregatorScript::default()
    };
    let refused = script(vec![successful_events()], tonic::Status::data_loss("a step of no plan"));
    let (fake, client) = FakeAggregator::serve(refused).await;
    let (said, outcome) = run(&client, "rta start kafka -y", &mut ScriptedPrompt::default()).await;
    let (code, message) = outcome.unwrap_err();
    assert_eq!(code, UNAVAILABLE);
    assert_eq!(message, "the result of plan 7 is not known: a step of no plan; run rta events to see it");
    assert!(!said.contains("retrying") && fake.script().watch_answers.len() == 1, "{said}");

    let shutting_down = script(vec![successful_events()], tonic::Status::unavailable("it is shutting down"));
    let (_, client) = FakeAggregator::serve(shutting_down).await;
    let (said, outcome) = run(&client, "rta start kafka -y", &mut ScriptedPrompt::default()).await;
    assert_eq!(outcome, Ok(OK));
    assert!(said.contains("plan 7: it is shutting down; retrying for 30 s"), "{said}");
}

#[tokio::test]
async fn a_connection_that_breaks_off_each_time_is_given_up() {
    let watch_answers: VecDeque<_> = std::iter::repeat_n(vec![plan_started()], 100).collect();
    let (fake, client) = FakeAggregator::serve(AggregatorScript {
        plan_events: vec![plan_started()],
        watch_answers,
        ..AggregatorScript::default()
    })
    .await;
    let patience = Duration::from_secs(1);
    let (_, outcome) = watch_plan(ActionKind::Start, &client, &mut ScriptedPrompt::default(), patience).await;
    let (code, message) = outcome.unwrap_err();
    assert!(code == UNAVAILABLE && message.contains("breaks off each time"), "{message}");
    assert!(!fake.script().watch_answers.is_empty());
}

#[tokio::test]
async fn who_cancels_a_restart_is_told_what_comes_back() {
    for (kind, is_told) in [(ActionKind::Restart, true), (ActionKind::Start, false)] {
        let (_, client) = FakeAggregator::serve(stalled_plan()).await;
        let mut prompt = ScriptedPrompt { interrupts: 1, answers: ["y\n"].into(), at_terminal: true };
        let (said, _) = watch_plan(kind, &client, &mut prompt, RECONNECT_TIMEOUT).await;
        assert!(said.contains("Cancel what has not begun"), "{said}");
        let times = said.matches("what was stopped for the restart is started again").count();
        assert_eq!(times, if is_told { 2 } else { 0 }, "{said}");
    }
}

/// Returns a script whose plan makes no progress until it is cancelled.
fn stalled_plan() -> AggregatorScript {
    AggregatorScript {
        plan: Some(sample_plan()),
        plan_events: successful_events().into_iter().take(2).collect(),
        when_cancelled: Some(plan_ended([1, 0, 1, 0], true)),
        ..AggregatorScript::default()
    }
}

async fn watch_start(
    client: &AggregatorClient,
    prompt: &mut ScriptedPrompt,
) -> (String, Result<u8, (u8, String)>) {
    watch_plan(ActionKind::Start, client, prompt, RECONNECT_TIMEOUT).await
}

async fn watch_plan(
    kind: ActionKind,
    client: &AggregatorClient,
    prompt: &mut ScriptedPrompt,
    patience: Duration,
) -> (String, Result<u8, (u8, String)>) {
    let mut out = Vec::new();
    let events =
        client.start_plan(kind, &ActionRequest::default(), &ExecutionOptions::default(), "").await.unwrap();
    let follow = PlanWatcher::new(kind, client, prompt, PlanOutput::plain(&mut out), patience);
    let outcome = follow.run(events).await;
    (String::from_utf8(out).unwrap(), outcome.map_err(CommandFailure::into_parts))
}

#[tokio::test]
async fn an_interrupt_cancels_where_nobody_can_be_asked_and_where_somebody_says_so() {
    let in_a_pipe = ScriptedPrompt { interrupts: 1, ..ScriptedPrompt::default() };
    let asked = ScriptedPrompt { interrupts: 1, answers: ["y\n"].into(), at_terminal: true };
    for mut prompt in [in_a_pipe, asked] {
        let (fake, client) = FakeAggregator::serve(stalled_plan()).await;
        let (said, outcome) = watch_start(&client, &mut prompt).await;
        assert_eq!(outcome, Ok(FAILED));
        assert_eq!(fake.script().cancelled, [7]);
        assert!(said.contains("cancelled: 1 step will not begin"), "{said}");
        assert!(said.ends_with("cancelled: 1 step done, 1 skipped\n"), "{said}");
    }
}

#[tokio::test]
async fn second_interrupt_or_detaching_leaves_the_plan_alone() {
    let impatient = ScriptedPrompt { interrupts: 2, at_terminal: true, ..ScriptedPrompt::default() };
    let detaches = ScriptedPrompt { interrupts: 1, answers: ["d\n"].into(), at_terminal: true };
    for mut prompt in [impatient, detaches] {
        let (fake, client) = FakeAggregator::serve(stalled_plan()).await;
        let (_, outcome) = watch_start(&client, &mut prompt).await;
        let (code, message) = outcome.unwrap_err();
        assert!(code == FAILED && message.ends_with("goes on; rta events shows how it ends"), "{message}");
        assert!(fake.script().cancelled.is_empty());
    }
}

#[tokio::test]
async fn an_interrupt_that_is_taken_back_changes_nothing() {
    let (fake, client) = FakeAggregator::serve(AggregatorScript {
        plan_events: successful_events(),
        ..AggregatorScript::default()
    })
    .await;
    let mut prompt = ScriptedPrompt { interrupts: 1, answers: ["\n"].into(), at_terminal: true };
    let (said, outcome) = watch_start(&client, &mut prompt).await;
    assert_eq!(outcome, Ok(OK));
    assert!(said.ends_with("2 steps done\n") && fake.script().cancelled.is_empty(), "{said}");
}
