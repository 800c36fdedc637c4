//! Tests configurations of starts, stops, restarts and logs, and the rejection of invalid ones.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::path::Path;
use std::time::Duration;

use rta_shared::config::{
    EnvironmentFile, HostComponent, LimitedResource, ProcessSettings, ResourceLimit, RestartRule,
    RestartWhen, Source, StartEngine, StopScope, SuccessExitStatus, load_sources,
};

/// Creates a platform whose only component has `text` below its criteria.
fn platform(text: &str) -> Source {
    let text = format!(
        "[[component]]\nname = \"app\"\ncriteria = [{{ regex = 'app' }}]\n{text}\n[[environment]]\n\
         name = \"E\"\nhost = [{{ name = \"h1\", components = [\"app\"], variables = {{ home = \"/opt/app\" }} }}]\n"
    );
    Source { name: "x.toml".to_owned(), text }
}

fn component(text: &str) -> HostComponent {
    let platform = load_sources(&[platform(text)]).unwrap();
    let host = platform.hosts().next().unwrap();
    platform.host_config(host, &[]).unwrap().components.remove(0)
}

fn problems(text: &str) -> Vec<String> {
    let error = load_sources(&[platform(text)]).unwrap_err();
    error.to_string().lines().map(str::to_owned).collect()
}

#[test]
fn a_stop_command_runs_where_and_as_whom_the_start_command_does() {
    let app = component(
        "start = { command = [\"run\"], directory = \"${home}\", user = \"kafka\", log = \"${home}/out.log\" }\n\
         stop = { command = [\"bin/stop.sh\", \"${hostname}\"], scope = \"group\", timeout = \"5s\" }",
    );
    let command = app.stop_command().unwrap();
    assert_eq!(command.command, ["bin/stop.sh", "h1"]);
    assert_eq!(command.directory.as_deref(), Some(Path::new("/opt/app")));
    assert_eq!(command.user.as_deref(), Some("kafka"));
    assert_eq!(
        (app.stop.scope, app.stop.timeout, app.stop.kill),
        (StopScope::Group, Duration::from_secs(5), true)
    );
    assert_eq!(component("").stop.scope, StopScope::Tree);
}

#[test]
fn the_log_is_the_components_own_or_that_of_its_start() {
    let start = "start = { command = [\"run\"], log = \"${home}/out.log\" }";
    assert_eq!(component(start).log.as_deref(), Some(Path::new("/opt/app/out.log")));
    let own = component(&format!("log = \"${{home}}/own.log\"\n{start}"));
    assert_eq!(own.log.as_deref(), Some(Path::new("/opt/app/own.log")));
    assert_eq!(component("").log, None);
}

#[test]
fn a_file_and_the_journal_of_a_unit_are_logs() {
    let has_log = |text: &str| load_sources(&[platform(text)]).unwrap().components[0].has_log();
    assert!(has_log("log = \"/var/log/app.log\""));
    assert!(has_log("start = { command = [\"run\"], log = \"/var/log/app.log\" }"));
    assert!(has_log("start = { systemd = \"app.service\" }"));
    assert!(!has_log("start = { command = [\"run\"] }") && !has_log(""));
}

#[test]
fn a_unit_takes_the_place_of_a_command() {
    let app = component(
        "start = { systemd = \"app@${hostname}.service\", timeout = \"9s\" }\nstop = { timeout = \"7s\" }",
    );
    let start = app.start.unwrap();
    assert_eq!(start.engine, StartEngine::Systemd("app@h1.service".to_owned()));
    assert_eq!((start.timeout.as_secs(), app.stop.timeout.as_secs()), (9, 7));
}

#[test]
fn a_restart_rule_is_a_word_or_a_table() {
    let start = "start = { command = [\"run\"] }\n";
    assert_eq!(component(start).restart.when, RestartWhen::Never);
    let short = component(&format!("{start}restart = \"on-failure\""));
    assert_eq!(short.restart, RestartRule { when: RestartWhen::OnFailure, ..RestartRule::default() });
    let long = component(&format!(
        "{start}wanted = \"running\"\nrestart = {{ when = \"always\", backoff = \"100ms\", longest = \"2s\", limit = 3, within = \"1m\" }}"
    ));
    let rule = RestartRule {
        when: RestartWhen::Always,
        backoff: Duration::from_millis(100),
        longest: Duration::from_secs(2),
        limit: 3,
        within: Duration::from_secs(60),
        success: SuccessExitStatus::default(),
    };
    assert_eq!((long.restart, long.wanted), (rule, true));
}

#[test]
fn more_ends_can_count_as_success() {
    let app = component(
        "start = { command = [\"run\"] }\nrestart = { when = \"on-failure\", success_exit_status = [3, \"KILL\"] }",
    );
    let expected = SuccessExitStatus::default().with_status(3).with_signal("KILL").unwrap();
    assert_eq!(app.restart.success, expected);
}

#[test]
fn how_long_what_was_stopped_must_stay_away_can_be_set() {
    assert_eq!(component("").stop.settle, None);
    assert_eq!(component("stop = { settle = \"5s\" }").stop.settle, Some(Duration::from_secs(5)));
    assert_eq!(component("stop = { settle = \"0s\" }").stop.settle, Some(Duration::ZERO));
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_place() {
    let start = "start = { command = [\"run\"] }\n";
    let rows = [
        (
            "start = { systemd = \"app.service\", user = \"x\" }",
            "key \"user\" has no place beside \"systemd\"",
        ),
        ("start = { systemd = \"app\" }", "\"app\" is no unit; write for example"),
        ("start = { systemd = \"a.service\" }\nstop = { signal = \"INT\" }", "systemd stops it"),
        ("start = { systemd = \"a.service\" }\nstop = { settle = \"1s\" }", "systemd stops it"),
        ("start = { systemd = \"a.service\" }\nrestart = \"always\"", "by \"Restart=\" in its unit"),
        ("start = {}", "key \"command\" needs at least a program"),
        ("stop = { scope = \"tre\" }", "scope \"tre\" is not known; did you mean \"tree\"?"),
        ("stop = { signal = \"INT\", command = [\"x\"] }", "it has both \"signal\" and \"command\""),
        ("stop = { command = [] }", "key \"command\" needs at least a program"),
        ("stop = { command = [\"${nowhere}\"] }", "variable \"nowhere\" is not known"),
        ("log = \"${nowhere}\"", "variable \"nowhere\" is not known"),
        ("restart = \"always\"", "it has no start command"),
        ("restart = \"allways\"", "restart \"allways\" is not known; did you mean \"always\"?"),
        ("wanted = \"running\"", "means nothing without restart"),
        ("wanted = \"stopped\"", "wanted \"stopped\" is not known"),
    ];
    for (text, expected) in rows {
        let problems = problems(text);
        assert_eq!(problems.len(), 1, "{text}: {problems:#?}");
        assert!(problems[0].contains("component \"app\"") && problems[0].contains(expected), "{problems:#?}");
        assert!(problems[0].starts_with("x.toml:"), "{problems:#?}");
    }
    let rows = [
        ("restart = { limit = 3 }", "key \"when\" is missing"),
        (
            "restart = { when = \"always\", success_exit_status = [256] }",
            "has exit statuses from 0 to 255 and names of signals",
        ),
        (
            "restart = { when = \"always\", success_exit_status = [\"TREM\"] }",
            "names of signals such as \"TERM\"; did you mean \"TERM\"?",
        ),
        ("restart = { when = \"always\", limit = 0 }", "key \"limit\" is at least 1"),
        ("restart = { when = \"always\", backoff = \"2m\" }", "\"longest\" is at least \"backoff\""),
    ];
    for (text, expected) in rows {
        let problems = problems(&format!("{start}{text}"));
        assert!(problems.len() == 1 && problems[0].contains(expected), "{text}: {problems:#?}");
    }
}

#[test]
fn start_says_what_its_process_gets_and_a_stop_command_gets_the_same() {
    let app = component(
        "start = { command = [\"run\"], environment_file = [\"/etc/app\", \"-${home}/env\"], umask = \"0027\", \
         group = \"data\", nice = -5, limits = { nofile = 65536, core = \"unlimited\", \
         stack = { soft = 1024, hard = \"unlimited\" } } }\n\
         stop = { command = [\"end\"] }",
    );
    let start = app.start.as_ref().unwrap().engine.command().unwrap();
    let file = |path: &str, is_optional| EnvironmentFile { path: path.into(), is_optional };
    assert_eq!(start.environment_files, [file("/etc/app", false), file("/opt/app/env", true)]);
    let limit = |resource, soft, hard| ResourceLimit { resource, soft, hard };
    let limits = vec![
        limit(LimitedResource::Core, None, None),
        limit(LimitedResource::OpenFiles, Some(65_536), Some(65_536)),
        limit(LimitedResource::Stack, Some(1024), None),
    ];
    let expected =
        ProcessSettings { umask: Some(0o027), group: Some("data".to_owned()), limits, nice: Some(-5) };
    assert_eq!(start.process, expected);
    let stop = app.stop_command().unwrap();
    assert_eq!((&stop.environment_files, &stop.process), (&start.environment_files, &start.process));
    let one = component("start = { command = [\"run\"], environment_file = \"/etc/app\" }");
    assert_eq!(one.start.unwrap().engine.command().unwrap().environment_files, [file("/etc/app", false)]);
}

#[test]
fn settings_of_a_process_that_cannot_be_meant_are_told_with_their_place() {
    for (key, expected) in [
        (
            "umask = \"0o27\"",
            "key \"umask\": \"0o27\" is no mask in octal digits; write for example \"0027\"",
        ),
        ("umask = \"1777\"", "key \"umask\": \"1777\" is no mask"),
        ("umask = \"\"", "key \"umask\": \"\" is no mask"),
        ("umask = 27", "key \"umask\" must be a text in quotes, not an integer"),
        ("nice = 20", "key \"nice\" is from -20, the highest priority, to 19"),
        ("group = \"\"", "key \"group\": this is no name of a group"),
        ("environment_file = \"env\"", "key \"environment_file\": \"env\" is no absolute path"),
        ("environment_file = \"-env\"", "key \"environment_file\": \"env\" is no absolute path"),
        ("environment_file = \"${hostname}/env\"", "environment_file: \"h1/env\" is no absolute path"),
        ("environment_file = \"${hom}/env\"", "hom"),
        ("limits = { nofiles = 1 }", "key \"nofiles\" is not known; did you mean \"nofile\"?"),
        ("limits = { nofile = -1 }", "limits: nofile: this is no limit; write a whole number from 0"),
        ("limits = { nofile = \"many\" }", "limits: nofile: this is no limit"),
        ("limits = { nofile = { soft = 1 } }", "limits: nofile: key \"hard\" is missing"),
        ("limits = { nofile = { soft = 2, hard = 1 } }", "limits: nofile: \"soft\" is at most \"hard\""),
        ("limits = { nofile = { soft = \"unlimited\", hard = 1 } }", "\"soft\" is at most \"hard\""),
    ] {
        let found = problems(&format!("[component.start]\ncommand = [\"run\"]\n{key}"));
        assert_eq!(found.len(), 1, "{key}: {found:?}");
        assert!(found[0].starts_with("x.toml:6:") && found[0].contains(expected), "{key}: {found:?}");
    }
    for key in ["environment_file = \"/e\"", "umask = \"0\"", "group = \"g\"", "limits = {}", "nice = 1"] {
        let found = problems(&format!("[component.start]\nsystemd = \"app.service\"\n{key}"));
        assert!(found[0].contains("has no place beside \"systemd\""), "{key}: {found:?}");
    }
}
