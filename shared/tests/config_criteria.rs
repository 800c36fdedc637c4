//! Tests criteria on attributes: their syntax, what they inherit, and the problems that are reported.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use rta_shared::attributes::{AttributeCriterion, CriterionKind};
use rta_shared::config::{HostComponent, Source, load_sources};
use rta_shared::criterion::Criterion;

/// Loads a component with this text in its table, or returns the problems.
fn component(text: &str) -> Result<HostComponent, Vec<String>> {
    let text = format!(
        "[[component]]\nname = \"app\"\n{text}\n[[environment]]\nname = \"E\"\n\
         variables = {{ home = \"/opt/k.1\", user = \"kafka\" }}\nhost = [{{ name = \"h\", components = [\"app\"] }}]\n"
    );
    let platform = load_sources(&[Source { name: "x.toml".to_owned(), text }])
        .map_err(|error| error.problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let config = platform.host_config(platform.find_host("h").unwrap(), &[]).unwrap();
    Ok(config.components.into_iter().next().unwrap())
}

/// Returns the tests of its first part.
fn tests(component: &HostComponent) -> Vec<(CriterionKind, Option<i32>, &str)> {
    let criteria = component.parts[0].criteria.iter();
    criteria.map(|criterion| (criterion.kind(), criterion.index(), criterion.text())).collect()
}

#[test]
fn every_kind_is_read_with_its_variables() {
    let app = component(
        "container = true\ncriteria = [\n{ index = 0, regex = 'java' },\n{ user = \"${user}\" },\n\
         { executable = '^${home}/' },\n{ directory = '^/opt' },\n{ unit = \"app@${user}.service\" },\n\
         { parent = 'launcher' },\n]",
    )
    .unwrap();
    assert_eq!(
        tests(&app),
        [
            (CriterionKind::Argument, Some(0), "java"),
            (CriterionKind::User, None, "kafka"),
            (CriterionKind::Executable, None, r"^(?:/opt/k\.1)/"),
            (CriterionKind::Directory, None, "^/opt"),
            (CriterionKind::Unit, None, "app@kafka.service"),
            (CriterionKind::Parent, None, "launcher"),
        ]
    );
    assert!(app.parts[0].container);
    // Without any argument, and not in containers.
    let app = component("criteria = [{ user = \"1000\" }]").unwrap();
    assert_eq!(tests(&app), [(CriterionKind::User, None, "1000")]);
    assert!(!app.parts[0].container);
}

#[test]
fn user_of_the_start_command_is_that_of_the_processes_unless_a_criterion_says_another() {
    let start = "\n[component.start]\ncommand = [\"run\"]\nuser = \"kafka\"";
    let implied = component(&format!("criteria = [{{ regex = 'app' }}]{start}")).unwrap();
    assert_eq!(tests(&implied)[1..], [(CriterionKind::User, None, "kafka")]);
    let said =
        component(&format!("criteria = [{{ regex = 'app' }}, {{ user = \"nginx\" }}]{start}")).unwrap();
    assert_eq!(tests(&said)[1..], [(CriterionKind::User, None, "nginx")]);
    let none = component("criteria = [{ regex = 'app' }]\n[component.start]\ncommand = [\"run\"]").unwrap();
    assert_eq!(tests(&none).len(), 1);
    // One of several parts may run as another user.
    let parts = "[component.start]\ncommand = [\"run\"]\nuser = \"kafka\"\n\
                 [[component.process]]\nname = \"master\"\ncriteria = [{ regex = 'm' }, { user = \"root\" }]\n\
                 [[component.process]]\nname = \"worker\"\ncriteria = [{ regex = 'w' }]";
    let parts = component(parts).unwrap().parts;
    let users: Vec<&str> = parts.iter().map(|part| part.criteria[1].text()).collect();
    assert_eq!(users, ["root", "kafka"]);
}

#[test]
fn users_are_looked_up_once_and_an_unknown_one_is_told() {
    let text = "criteria = [{ regex = 'app' }]\n[component.start]\ncommand = [\"run\"]\nuser = \"kafka\"";
    let platform = load_sources(&[Source {
        name: "x.toml".to_owned(),
        text: format!(
            "[[component]]\nname = \"app\"\n{text}\n[[environment]]\nname = \"E\"\n\
             host = [{{ name = \"h\", components = [\"app\"] }}]\n"
        ),
    }])
    .unwrap();
    let mut config = platform.host_config(platform.find_host("h").unwrap(), &[]).unwrap();
    assert_eq!(
        config.components[0].unknown_user().as_deref(),
        Some(
            "there is no user \"kafka\" on this host: create the account, or correct its start command's user"
        )
    );
    config.resolve_users(|name| (name == "kafka").then_some(77));
    assert_eq!(config.components[0].unknown_user(), None);
    config.resolve_users(|_| panic!("it is known"));
    let user = config.components[0].parts[0].criteria.last().unwrap();
    assert!(
        matches!(user, Criterion::Attribute(AttributeCriterion::User(user)) if user.uid == Some(77)),
        "{user:?}"
    );
}

#[test]
fn each_problem_has_its_place() {
    let problem = |criterion: &str| component(&format!("criteria = [{criterion}]")).unwrap_err();
    let rows = [
        (
            "{ regex = 'a', user = \"kafka\" }",
            "x.toml:3:13: component \"app\": a criterion tests one thing, this one has \"regex\", \"user\"; give each an entry of its own",
        ),
        (
            "{ user = \"kafka\", unit = \"a.service\" }",
            "x.toml:3:13: component \"app\": a criterion tests one thing, this one has \"user\", \"unit\"; give each an entry of its own",
        ),
        (
            "{ index = 0, user = \"kafka\" }",
            "x.toml:3:13: component \"app\": a criterion tests one thing, this one has \"regex\", \"user\"; give each an entry of its own",
        ),
        (
            "{ user = \"\" }",
            "x.toml:3:22: component \"app\": key \"user\": \"\" is no user; write a name or a number, for example \"kafka\"",
        ),
        (
            "{ user = 1000 }",
            "x.toml:3:22: component \"app\": key \"user\" must be a text in quotes, not an integer",
        ),
        (
            "{ unit = \"kafka\" }",
            "x.toml:3:22: component \"app\": key \"unit\": \"kafka\" is no unit that has processes; write for example \"kafka.service\"",
        ),
        (
            "{ executable = 'a(' }",
            "x.toml:3:28: component \"app\": key \"executable\": \"a(\": not a regex: unclosed group",
        ),
        ("{ usr = \"kafka\" }", "x.toml:3:13: component \"app\": key \"regex\" is missing"),
        (
            "{ directory = '${hme}' }",
            "x.toml:3:27: component \"app\": variable \"hme\" is not known; did you mean \"home\"?",
        ),
    ];
    for (criterion, expected) in rows {
        assert_eq!(problem(criterion).first().map(String::as_str), Some(expected), "{criterion}");
    }
    assert!(problem("{ usr = \"kafka\" }")[1].ends_with("key \"usr\" is not known; did you mean \"user\"?"));
    let place = component("container = \"yes\"\ncriteria = [{ regex = 'a' }]").unwrap_err();
    assert_eq!(
        place,
        ["x.toml:3:13: component \"app\": key \"container\" must be true or false, not a string"]
    );
}
