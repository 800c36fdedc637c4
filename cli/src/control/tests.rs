//! Tests of control commands against a scripted aggregator.

use std::collections::VecDeque;
use std::io;

use clap::Parser as _;
use rta_shared::plan::{ActionRequest, StepState};

use super::*;
use crate::command::{Arguments, Command, Remote};
use crate::exit::CANNOT_TELL;
use crate::fake::{Fake, Script, begun, change, ended, plan};

/// Scripted user with these answers and this number of Ctrl-C presses.
#[derive(Default)]
struct Somebody {
    answers: VecDeque<&'static str>,
    interrupts: usize,
    at_terminal: bool,
}

impl Person for Somebody {
    fn can_answer(&self) -> bool {
        self.at_terminal
    }

    fn asked(&mut self) {}

    async fn heard(&mut self, asking: bool) -> io::Result<Heard> {
        if asking && let Some(answer) = self.answers.pop_front() {
            return Ok(Heard::Answer(answer.to_owned()));
        }
        match self.interrupts.checked_sub(1) {
            Some(left) => {
                self.interrupts = left;
                Ok(Heard::Interrupt)
            }
            None => std::future::pending().await,
        }
    }
}

fn wish(line: &str) -> Control {
    match Arguments::parse_from(line.split(' ')).command {
        Command::Remote(Remote::Start(wish)) => wish,
        other => panic!("{other:?}"),
    }
}

/// Runs a command and returns its output and the exit code or failure.
async fn run(client: &Client, line: &str, person: &mut Somebody) -> (String, Result<u8, (u8, String)>) {
    let mut out = Vec::new();
    let style = Style { terminal: false, colour: false };
    let outcome = control(ActionKind::Start, &wish(line), client, person, style, &mut out).await;
    (String::from_utf8(out).unwrap(), outcome.map_err(Failure::into_parts))
}

fn both_done() -> Vec<rta_shared::plan::PlanEvent> {
    vec![
        begun(),
        change(0, StepState::UnderWay, "launched (pid 41)"),
        change(0, StepState::Done, "started in 0.5 s (pid 41)"),
        change(1, StepState::UnderWay, "launched (pid 42)"),
        change(1, StepState::Done, "started in 1.5 s (pid 42)"),
        ended([2, 0, 0, 0], false),
    ]
}

const BOTH_DONE: &str = "plan 7 of a start begun: 2 steps\n\
    E/h/zoo: launched (pid 41)\n\
    E/h/zoo: started in 0.5 s (pid 41)\n\
    E/h/kafka: launched (pid 42)\n\
    E/h/kafka: started in 1.5 s (pid 42)\n\
    2 steps done\n";

#[tokio::test]
async fn a_pipe_is_refused_what_it_did_not_name_and_nothing_is_begun() {
    let (fake, client) = Fake::serve(Script { plan: Some(plan()), ..Script::default() }).await;
    let (_, outcome) = run(&client, "rta start kafka", &mut Somebody::default()).await;
    let (code, message) = outcome.unwrap_err();
    assert_eq!(code, FAILED);
    assert!(message.contains("E/h/zoo: kafka needs it") && message.contains("--yes"), "{message}");
    assert!(fake.script().conducts.is_empty());
}

#[tokio::test]
async fn yes_does_all_of_it_and_a_pipe_gets_a_line_for_each_thing() {
    let script = Script { plan: Some(plan()), told: both_done(), ..Script::default() };
    let (fake, client) = Fake::serve(script).await;
    let line = "rta start kafka --yes --keep-going --parallel 3 --host h";
    let (said, outcome) = run(&client, line, &mut Somebody::default()).await;
    assert_eq!((said.as_str(), outcome), (BOTH_DONE, Ok(OK)));
    let script = fake.script();
    let conduct = &script.conducts[0];
    assert!(conduct.everything && conduct.keep_going && conduct.parallel == 3 && !conduct.user.is_empty());
    assert!(script.wishes.iter().all(|wish| wish.component == "kafka" && wish.host == "h"));
}

#[tokio::test]
async fn a_person_sees_the_plan_and_agrees_to_just_that() {
    let script = || Script { plan: Some(plan()), told: both_done(), ..Script::default() };
    let (fake, client) = Fake::serve(script()).await;
    let mut person = Somebody { answers: ["y\n"].into(), at_terminal: true, ..Somebody::default() };
    let (said, outcome) = run(&client, "rta start kafka", &mut person).await;
    assert_eq!(outcome, Ok(OK));
    assert!(
        said.contains("1. start  E/h/zoo  (not named: kafka needs it)") && said.contains("[y/N]"),
        "{said}"
    );
    let conduct = fake.script().conducts.remove(0);
    assert!(!conduct.everything);
    assert_eq!(conduct.agreed.iter().map(|id| id.component.as_str()).collect::<Vec<_>>(), ["zoo"]);

    for answer in ["\n", "no\n", "", "yet\n"] {
        let (fake, client) = Fake::serve(script()).await;
        let mut person = Somebody { answers: [answer].into(), at_terminal: true, ..Somebody::default() };
        let (_, outcome) = run(&client, "rta start kafka", &mut person).await;
        assert_eq!(outcome, Err((FAILED, "nothing was done".to_owned())), "{answer:?}");
        assert!(fake.script().conducts.is_empty());
    }
}

#[tokio::test]
async fn a_plan_alone_is_shown_and_nothing_is_done() {
    let (fake, client) = Fake::serve(Script { plan: Some(plan()), ..Script::default() }).await;
    let (said, outcome) = run(&client, "rta start kafka --plan", &mut Somebody::default()).await;
    assert_eq!(outcome, Ok(OK));
    assert!(said.contains("2. start  E/h/kafka  after 1\n"), "{said}");
    let (said, _) = run(&client, "rta start kafka --plan --json", &mut Somebody::default()).await;
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(json["steps"][0]["why"], "kafka needs it");
    assert!(fake.script().conducts.is_empty());
}

#[tokio::test]
async fn nothing_to_do_is_no_failure_and_an_unknown_name_is_one() {
    let empty = rta_shared::plan::Plan { kind: ActionKind::Start, steps: vec![] };
    let (_, client) = Fake::serve(Script { plan: Some(empty), ..Script::default() }).await;
    let (said, outcome) = run(&client, "rta start kafka", &mut Somebody::default()).await;
    assert_eq!((said.as_str(), outcome), ("nothing to do: already running, nothing was started\n", Ok(OK)));
    let (said, outcome) = run(&client, "rta start kafka --json", &mut Somebody::default()).await;
    assert_eq!((said.as_str(), outcome), ("{\"kind\":\"start\",\"steps\":[]}\n", Ok(OK)));
    let (_, client) = Fake::serve(Script::default()).await;
    let (_, outcome) = run(&client, "rta start x", &mut Somebody::default()).await;
    let (code, message) = outcome.unwrap_err();
    assert!(code == CANNOT_TELL && message.contains("is not known"), "{code} {message}");
}

#[tokio::test]
async fn a_failed_step_shows_its_log_and_fails_the_command() {
    let told = vec![
        begun(),
        change(0, StepState::Failed, "it ended with status 1\nERROR no disk"),
        change(1, StepState::Skipped, "E/h/zoo failed"),
        ended([0, 1, 1, 0], false),
    ];
    let (_, client) = Fake::serve(Script { plan: Some(plan()), told, ..Script::default() }).await;
    let (said, outcome) = run(&client, "rta start kafka -y", &mut Somebody::default()).await;
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
    let told = both_done().into_iter().take(4).collect();
    let watched = [vec![begun()], both_done()].into();
    let (_, client) = Fake::serve(Script { plan: Some(plan()), told, watched, ..Script::default() }).await;
    let (said, outcome) = run(&client, "rta start kafka -y", &mut Somebody::default()).await;
    assert_eq!(outcome, Ok(OK));
    let (lost, rest): (Vec<&str>, Vec<&str>) =
        said.lines().partition(|line| line.starts_with("the connection was lost in the middle of plan 7"));
    assert_eq!((lost.len(), rest), (1, BOTH_DONE.lines().collect()));
}

#[tokio::test]
async fn a_plan_that_is_no_longer_known_ends_unknown() {
    let told = both_done().into_iter().take(2).collect();
    let (_, client) = Fake::serve(Script { plan: Some(plan()), told, ..Script::default() }).await;
    let (_, outcome) = run(&client, "rta start kafka -y", &mut Somebody::default()).await;
    let (code, message) = outcome.unwrap_err();
    assert_eq!(code, CANNOT_TELL);
    assert_eq!(message, "it is not known how plan 7 ends: plan 7 is not known; rta events tells");
}

#[tokio::test]
async fn what_cannot_heal_is_not_tried_anew() {
    let told: Vec<_> = both_done().into_iter().take(2).collect();
    let script = |watched: Vec<Vec<_>>, status| Script {
        plan: Some(plan()),
        told: told.clone(),
        told_at_last: Some(status),
        watched: watched.into(),
        ..Script::default()
    };
    let refused = script(vec![both_done()], tonic::Status::data_loss("a step of no plan"));
    let (fake, client) = Fake::serve(refused).await;
    let (said, outcome) = run(&client, "rta start kafka -y", &mut Somebody::default()).await;
    let (code, message) = outcome.unwrap_err();
    assert_eq!(code, CANNOT_TELL);
    assert_eq!(message, "it is not known how plan 7 ends: a step of no plan; rta events tells");
    assert!(!said.contains("trying anew") && fake.script().watched.len() == 1, "{said}");

    let shutting_down = script(vec![both_done()], tonic::Status::unavailable("it is shutting down"));
    let (_, client) = Fake::serve(shutting_down).await;
    let (said, outcome) = run(&client, "rta start kafka -y", &mut Somebody::default()).await;
    assert_eq!(outcome, Ok(OK));
    assert!(said.contains("plan 7: it is shutting down; trying anew for 30 s"), "{said}");
}

#[tokio::test]
async fn a_connection_that_breaks_off_each_time_is_given_up() {
    let watched: VecDeque<_> = std::iter::repeat_n(vec![begun()], 100).collect();
    let (fake, client) = Fake::serve(Script { told: vec![begun()], watched, ..Script::default() }).await;
    let patience = Duration::from_secs(1);
    let (_, outcome) = follow_a(ActionKind::Start, &client, &mut Somebody::default(), patience).await;
    let (code, message) = outcome.unwrap_err();
    assert!(code == CANNOT_TELL && message.contains("breaks off each time"), "{message}");
    assert!(!fake.script().watched.is_empty());
}

#[tokio::test]
async fn who_cancels_a_restart_is_told_what_comes_back() {
    for (kind, is_told) in [(ActionKind::Restart, true), (ActionKind::Start, false)] {
        let (_, client) = Fake::serve(standing_still()).await;
        let mut person = Somebody { interrupts: 1, answers: ["y\n"].into(), at_terminal: true };
        let (said, _) = follow_a(kind, &client, &mut person, RECONNECT).await;
        assert!(said.contains("Cancel what has not begun"), "{said}");
        let times = said.matches("what was stopped for the restart is started again").count();
        assert_eq!(times, if is_told { 2 } else { 0 }, "{said}");
    }
}

/// Returns a script whose plan makes no progress until it is cancelled.
fn standing_still() -> Script {
    Script {
        plan: Some(plan()),
        told: both_done().into_iter().take(2).collect(),
        when_cancelled: Some(ended([1, 0, 1, 0], true)),
        ..Script::default()
    }
}

async fn follow(client: &Client, person: &mut Somebody) -> (String, Result<u8, (u8, String)>) {
    follow_a(ActionKind::Start, client, person, RECONNECT).await
}

async fn follow_a(
    kind: ActionKind,
    client: &Client,
    person: &mut Somebody,
    patience: Duration,
) -> (String, Result<u8, (u8, String)>) {
    let mut out = Vec::new();
    let events =
        client.control(kind, &ActionRequest::default(), &ExecutionOptions::default(), "").await.unwrap();
    let follow = Follow::new(kind, client, person, Show::plain(&mut out), patience);
    let outcome = follow.until_its_end(events).await;
    (String::from_utf8(out).unwrap(), outcome.map_err(Failure::into_parts))
}

#[tokio::test]
async fn an_interrupt_cancels_where_nobody_can_be_asked_and_where_somebody_says_so() {
    let in_a_pipe = Somebody { interrupts: 1, ..Somebody::default() };
    let asked = Somebody { interrupts: 1, answers: ["y\n"].into(), at_terminal: true };
    for mut person in [in_a_pipe, asked] {
        let (fake, client) = Fake::serve(standing_still()).await;
        let (said, outcome) = follow(&client, &mut person).await;
        assert_eq!(outcome, Ok(FAILED));
        assert_eq!(fake.script().cancelled, [7]);
        assert!(said.contains("cancelled: 1 step will not begin"), "{said}");
        assert!(said.ends_with("cancelled: 1 step done, 1 skipped\n"), "{said}");
    }
}

#[tokio::test]
async fn a_second_interrupt_or_a_wish_to_leaves_the_plan_alone() {
    let impatient = Somebody { interrupts: 2, at_terminal: true, ..Somebody::default() };
    let detaches = Somebody { interrupts: 1, answers: ["d\n"].into(), at_terminal: true };
    for mut person in [impatient, detaches] {
        let (fake, client) = Fake::serve(standing_still()).await;
        let (_, outcome) = follow(&client, &mut person).await;
        let (code, message) = outcome.unwrap_err();
        assert!(code == FAILED && message.ends_with("goes on; rta events shows how it ends"), "{message}");
        assert!(fake.script().cancelled.is_empty());
    }
}

#[tokio::test]
async fn an_interrupt_that_is_taken_back_changes_nothing() {
    let (fake, client) = Fake::serve(Script { told: both_done(), ..Script::default() }).await;
    let mut person = Somebody { interrupts: 1, answers: ["\n"].into(), at_terminal: true };
    let (said, outcome) = follow(&client, &mut person).await;
    assert_eq!(outcome, Ok(OK));
    assert!(said.ends_with("2 steps done\n") && fake.script().cancelled.is_empty(), "{said}");
}
