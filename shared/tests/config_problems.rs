//! Tests that all problems of a configuration are reported at once, with their positions and the most similar
//! valid word.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::path::Path;

use regex::bytes::Regex;
use rta_shared::config::{
    HostConfig, HttpProbe, Part, ProbeMethod, Source, StopSignal, load_folder, load_sources,
};
use rta_shared::criterion::Criterion;

const SOUND: &str = r#"
[[component]]
name = "kafka server"
criteria = [{ index = 0, regex = 'java' }]
[[component]]
name = "app"
criteria = [{ regex = 'app' }]
depends_on = ["kafka server"]
[[role]]
name = "main"
components = ["kafka server", "app"]
[[environment]]
name = "DEV"
variables = { home = "/opt/k" }
[[environment.host]]
name = "h1"
role = "main"
"#;

/// Returns the regex of a part's first criterion.
fn regex(part: &Part) -> &Regex {
    match &part.criteria[0] {
        Criterion::Argument(argument) => &argument.regex,
        Criterion::Attribute(attribute) => panic!("it is on no argument: {attribute:?}"),
    }
}

fn source(text: &str) -> Source {
    Source { name: "x.toml".to_owned(), text: text.to_owned() }
}

fn problems(text: &str) -> Vec<String> {
    match load_sources(&[source(text)]) {
        Ok(_) => Vec::new(),
        Err(error) => error.problems.iter().map(ToString::to_string).collect(),
    }
}

/// Returns the only problem of the valid configuration with one text replaced by another.
#[track_caller]
fn problem_with(from: &str, to: &str) -> String {
    assert!(SOUND.contains(from), "{from}");
    let problems = problems(&SOUND.replacen(from, to, 1));
    assert_eq!(problems.len(), 1, "{problems:#?}");
    problems.into_iter().next().unwrap()
}

#[test]
fn a_sound_configuration_has_no_problem() {
    assert_eq!(problems(SOUND), Vec::<String>::new());
}

#[test]
fn each_problem_has_its_place_and_its_hint() {
    let rows = [
        (
            "index = 0",
            "indx = 0",
            "x.toml:4:15: component \"kafka server\": key \"indx\" is not known; did you mean \"index\"?",
        ),
        (
            "index = 0",
            "index = \"0\"",
            "x.toml:4:23: component \"kafka server\": key \"index\" must be a whole number, not a string",
        ),
        (
            "index = 0",
            "index = 99999999999",
            "x.toml:4:23: component \"kafka server\": key \"index\" is out of range",
        ),
        (
            "'java'",
            "'ja(va'",
            "x.toml:4:34: component \"kafka server\": key \"regex\": \"ja(va\": not a regex: unclosed group",
        ),
        (
            "'java'",
            "'${hme}'",
            "x.toml:4:34: component \"kafka server\": variable \"hme\" is not known; did you mean \"home\"?",
        ),
        (
            "'java'",
            "'${hme'",
            "x.toml:4:34: component \"kafka server\": key \"regex\": \"${hme\": \"${\" is not closed by \"}\"; write \"$${\" for the two characters",
        ),
        (
            "depends_on = [\"kafka server\"]",
            "depends_on = [\"kafka sever\"]",
            "x.toml:8:15: component \"app\": component \"kafka sever\" is not known; did you mean \"kafka server\"?",
        ),
        (
            "depends_on = [\"kafka server\"]",
            "depends_on = [\"app\"]",
            "x.toml:6:8: component \"app\" depends on itself: \"app\" -> \"app\"",
        ),
        (
            "depends_on = [\"kafka server\"]",
            "depends_on = [{ component = \"kafka server\", host = \"sam\" }]",
            "x.toml:8:52: component \"app\": host \"sam\" is not known; did you mean \"same\"?",
        ),
        (
            "depends_on = [\"kafka server\"]",
            "depend_on = []",
            "x.toml:8:1: component \"app\": key \"depend_on\" is not known; did you mean \"depends_on\"?",
        ),
        (
            "name = \"app\"",
            "name = \"Kafka  Server\"",
            "x.toml:6:8: component \"Kafka  Server\": the name is already taken, at x.toml:3",
        ),
        (
            "name = \"main\"",
            "name = \"a/b\"",
            "x.toml:10:8: role \"a/b\": a name cannot contain \"/\", which separates names",
        ),
        (
            "role = \"main\"",
            "role = \"mian\"",
            "x.toml:17:8: host \"h1\": role \"mian\" is not known; did you mean \"main\"?",
        ),
        ("role = \"main\"", "", "x.toml:16:8: host \"h1\": it needs a \"role\", \"components\", or both"),
        (
            "role = \"main\"",
            "role = \"main\"\nagent = \"h1:7601\"",
            "x.toml:18:9: host \"h1\": key \"agent\": \"h1:7601\" is no agent address; write for example \"https://c9t21193:7601\"",
        ),
        (
            "role = \"main\"",
            "role = \"main\"\nip = [\"15.0.0\"]",
            "x.toml:18:7: host \"h1\": key \"ip\": \"15.0.0\" is no IP address",
        ),
        (
            "role = \"main\"",
            "role = \"main\"\nip = []",
            "x.toml:18:6: host \"h1\": key \"ip\" is an array of addresses, such as [\"15.0.0.1\"]; leave it out for those of the interfaces",
        ),
        (
            "role = \"main\"",
            "components = [\"app\"]",
            "x.toml:16:8: host \"h1\": component \"app\" depends on \"kafka server\", but no host of environment DEV carries it",
        ),
        (
            "role = \"main\"",
            "role = \"main\"\n[[environment.host]]\nname = \"H1\"\nrole = \"main\"\nagent = \"http://h2:1\"",
            "x.toml:19:8: host \"H1\": the name is already taken, at x.toml:16",
        ),
        (
            "role = \"main\"",
            "role = \"main\"\n[[environment.host]]\nname = \"h2\"\nrole = \"main\"\nagent = \"https://H1:7601\"",
            "x.toml:21:9: host \"h2\": the agent https://h1:7601 is already that of host \"h1\"",
        ),
        (
            "home = \"/opt/k\"",
            "hostname = \"x\"",
            "x.toml:14:15: environment \"DEV\": variable \"hostname\" is the host's own",
        ),
        ("[[role]]", "[[rol]]", "x.toml:9:3: key \"rol\" is not known; did you mean \"role\"?"),
        (
            "criteria = [{ regex = 'app' }]",
            "criteria = []",
            "x.toml:5:1: component \"app\": key \"criteria\" needs at least one criterion",
        ),
        (
            "criteria = [{ regex = 'app' }]",
            "criteria = [{ regex = 'app' }",
            "x.toml:8:1: not TOML: missing comma between array elements, expected `,`",
        ),
    ];
    for (from, to, expected) in rows {
        // An invalid name also invalidates the references to it.
        let problems = problems(&SOUND.replacen(from, to, 1));
        assert!(problems.iter().any(|problem| problem == expected), "{expected}\n{problems:#?}");
    }
}

#[test]
fn start_and_stop_are_checked() {
    let rows = [
        (
            "[component.start]\ncommand = []",
            "component \"app\": start: key \"command\" needs at least a program",
        ),
        (
            "[component.start]\ncommand = [\"x\"]\ntimeout = \"60\"",
            "component \"app\": start: key \"timeout\": \"60\" is no time between 1s and 24h; write for example \"30s\" or \"2m\"",
        ),
        (
            "[component.start]\ncommand = [\"${hoem}/x\"]",
            "component \"app\": variable \"hoem\" is not known; did you mean \"home\"?",
        ),
        (
            "[component.start]\ncommand = [\"x\"]\nusr = \"kafka\"",
            "component \"app\": start: key \"usr\" is not known; did you mean \"user\"?",
        ),
        (
            "[component.start]\ncommand = [\"x\"]\nprobe = 7",
            "component \"app\": start: key \"probe\" is not known; known: systemd, command, directory, log, environment, \
             user, environment_file, umask, group, nice, limits, timeout, settle",
        ),
        (
            "[component.stop]\nsignal = \"TREM\"",
            "component \"app\": stop: signal \"TREM\" is not known; did you mean \"TERM\"?",
        ),
        (
            "[component.stop]\nkill = \"yes\"",
            "component \"app\": stop: key \"kill\" must be true or false, not a string",
        ),
    ];
    for (section, expected) in rows {
        let problem = problem_with("[[role]]", &format!("{section}\n[[role]]"));
        assert!(problem.ends_with(expected), "{problem}");
    }
}

#[test]
fn a_cycle_is_told_with_its_way() {
    let text = r#"
[[component]]
name = "a"
criteria = [{ regex = 'a' }]
depends_on = ["b"]
[[component]]
name = "b"
criteria = [{ regex = 'b' }]
depends_on = ["c"]
[[component]]
name = "c"
criteria = [{ regex = 'c' }]
depends_on = ["a"]
"#;
    assert_eq!(
        problems(text),
        ["x.toml:3:8: component \"a\" depends on itself: \"a\" -> \"b\" -> \"c\" -> \"a\""]
    );
}

#[test]
fn a_name_that_no_form_takes_is_refused() {
    let problems = problems(&SOUND.replace("name = \"h1\"", &format!("name = \"{}\"", "h".repeat(256))));
    assert!(problems[0].ends_with("a name cannot be longer than 255 bytes"), "{problems:?}");
}

#[test]
fn all_problems_are_told_in_one_run() {
    let text = SOUND
        .replace("index = 0", "indx = 0")
        .replace("'app'", "'a)pp'")
        .replace("role = \"main\"", "role = \"mian\"");
    assert_eq!(problems(&text).len(), 3, "{:#?}", problems(&text));
}

#[test]
fn a_variable_without_a_value_on_one_host_names_the_host() {
    let text = SOUND.replace("'java'", "'${home}'")
        + "[[environment]]\nname = \"ITG\"\n[[environment.host]]\nname = \"h2\"\nrole = \"main\"\n";
    assert_eq!(
        problems(&text),
        ["x.toml:4:34: component \"kafka server\": variable \"home\" has no value on ITG/h2; set it in \
          \"variables\" of the host or its environment, or a default in [variables]"]
    );
}

#[test]
fn a_default_holds_where_neither_host_nor_environment_says_otherwise() {
    let text = "[variables]\nhome = \"/opt/default\"\n".to_owned()
        + &SOUND
            .replace("'java'", "'${home}/java'")
            .replace("variables = { home = \"/opt/k\" }", "")
            .replace(
                "role = \"main\"\n",
                "role = \"main\"\n[[environment.host]]\nname = \"h2\"\nrole = \"main\"\n",
            );
    let value = |text: &str, host: &str| {
        let platform = load_sources(&[source(text)]).unwrap();
        platform.find_host(host).unwrap().variables["home"].clone()
    };
    assert_eq!(value(&text, "h1"), "/opt/default");
    let environment = text.replace("name = \"DEV\"", "name = \"DEV\"\nvariables = { home = \"/opt/dev\" }");
    assert_eq!(value(&environment, "h1"), "/opt/dev");
    let own = environment.replace("name = \"h1\"", "name = \"h1\"\nvariables = { home = \"/opt/own\" }");
    assert_eq!((value(&own, "h1"), value(&own, "h2")), ("/opt/own".to_owned(), "/opt/dev".to_owned()));
}

#[test]
fn defaults_are_given_once_and_overridden_by_their_right_names() {
    let defaults =
        Source { name: "d.toml".to_owned(), text: "[variables]\nspark_home = \"/opt\"\n".to_owned() };
    let messages = |text: &str| {
        let error = load_sources(&[defaults.clone(), source(text)]).unwrap_err();
        error.problems.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let used = SOUND.replace("'java'", "'${spark_home}'");
    let misspelt = used.replace("home = \"/opt/k\"", "spark_hom = \"/opt/k\"");
    assert_eq!(
        messages(&misspelt),
        [
            "x.toml:14:15: environment \"DEV\": no component uses variable \"spark_hom\"; did you mean \"spark_home\"?"
        ]
    );
    assert_eq!(
        messages(&("[variables]\nspark_home = \"/srv\"\nip = \"x\"\n".to_owned() + &used)),
        [
            "x.toml:2:1: variables: \"spark_home\" has a default value already, at d.toml:2",
            "x.toml:3:1: variables: variable \"ip\" is the host's own; the key \"ip\" of a host sets it"
        ]
    );
    assert_eq!(
        messages(&("variables = 1\n".to_owned() + &used))[0],
        "x.toml:1:13: variables: key \"variables\" must be a table, not an integer"
    );
}

#[test]
fn problems_of_several_files_name_their_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.toml"), SOUND).unwrap();
    std::fs::write(folder.path().join("b.toml"), "[[environment]]\nname = \"dev\"\n").unwrap();
    std::fs::write(folder.path().join(".#b.toml"), "left by an editor").unwrap();
    std::fs::write(folder.path().join("README.md"), "not a configuration").unwrap();
    let error = load_folder(folder.path()).unwrap_err().to_string();
    let b = folder.path().join("b.toml").display().to_string();
    let a = folder.path().join("a.toml").display().to_string();
    assert_eq!(
        error,
        format!(
            "{b}:1:1: environment \"dev\": it has no [[environment.host]]\n\
             {b}:2:8: environment \"dev\": the name is already taken, at {a}:13"
        )
    );
}

#[test]
fn a_folder_that_holds_nothing_is_told() {
    let folder = tempfile::tempdir().unwrap();
    assert!(load_folder(folder.path()).unwrap_err().to_string().ends_with("the folder holds no .toml file"));
    let missing = load_folder(&folder.path().join("none")).unwrap_err().to_string();
    assert!(missing.contains("cannot be read"), "{missing}");
    let file = folder.path().join("x.toml");
    std::fs::write(&file, SOUND).unwrap();
    assert!(load_folder(&file).unwrap_err().to_string().contains("this is a file"));
    std::fs::write(&file, b"name = \"\xff\"").unwrap();
    assert!(load_folder(folder.path()).unwrap_err().to_string().contains("the file cannot be read"));
}

/// Tests the solution center of docs/configuration.md: a new environment is one new file.
#[test]
fn a_new_environment_is_one_new_file() {
    let folder = tempfile::tempdir().unwrap();
    let shipped = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../config/platform"));
    for entry in std::fs::read_dir(shipped).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let reference = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
    let reference = std::fs::read_to_string(reference).unwrap();
    let example = reference
        .split("```toml\n")
        .filter_map(|block| block.split("```").next())
        .find(|block| block.contains("name = \"SOLUTION-CENTER\""))
        .expect("the reference shows a solution center");
    std::fs::write(folder.path().join("solution-center.toml"), example).unwrap();
    let platform = load_folder(folder.path()).unwrap();
    let environment =
        platform.environments.iter().find(|environment| environment.name == *"solution-center").unwrap();
    assert_eq!(environment.hosts.len(), 2);
    assert!(environment.hosts.iter().all(|host| host.components.len() == 8));
}

fn host_config(text: &str) -> HostConfig {
    let platform = load_sources(&[source(text)]).unwrap();
    let host = platform.find_host("h1").unwrap();
    platform.host_config(host, &["192.0.2.7".parse().unwrap(), "fe80::1".parse().unwrap()]).unwrap()
}

#[test]
fn variables_are_replaced_for_the_host() {
    let text = SOUND
        .replace("'app'", "'^${hostname} ${ip} ${home}$'")
        .replace(
            "[[role]]",
            "[component.start]\ncommand = [\"${home}/run\", \"--on=${ip}\"]\ndirectory = \"${home}\"\n\
             log = \"/var/log/${hostname}.log\"\nenvironment = { LOGS = \"${home}/logs\", RAW = \"$${x}\" }\n\
             [component.stop]\nsignal = \"sigint\"\ntimeout = \"1m 30s\"\nkill = false\n[[role]]",
        )
        .replace("role = \"main\"", "role = \"main\"\nvariables = { home = \"/opt/own.1\" }");
    let config = host_config(&text);
    let app = config.find("APP").unwrap();
    assert!(regex(&app.parts[0]).is_match(b"h1 192.0.2.7 /opt/own.1"));
    assert!(regex(&app.parts[0]).is_match(b"h1 fe80::1 /opt/own.1"));
    assert!(!regex(&app.parts[0]).is_match(b"h1 192.0.2.7 /opt/ownx1"));
    let start = app.start.as_ref().unwrap();
    let command = start.engine.command().unwrap();
    assert_eq!(command.command, ["/opt/own.1/run", "--on=192.0.2.7"]);
    assert_eq!(command.directory.as_deref(), Some(Path::new("/opt/own.1")));
    assert_eq!(command.log.as_deref(), Some(Path::new("/var/log/h1.log")));
    assert!(command.environment.contains(&("LOGS".to_owned(), "/opt/own.1/logs".to_owned())));
    assert!(command.environment.contains(&("RAW".to_owned(), "${x}".to_owned())));
    assert_eq!((start.timeout.as_secs(), start.settle.as_secs()), (60, 2));
    assert_eq!((app.stop.signal, app.stop.timeout.as_secs(), app.stop.kill), (StopSignal::Int, 90, false));
}

#[test]
fn a_configured_address_is_the_only_one() {
    let text = SOUND
        .replace("'app'", "'^${ip}$'")
        .replace("role = \"main\"", "role = \"main\"\nip = [\"15.0.0.1\"]");
    let config = host_config(&text);
    let regex = regex(&config.find("app").unwrap().parts[0]);
    assert!(regex.is_match(b"15.0.0.1"));
    assert!(!regex.is_match(b"192.0.2.7"));
}

#[test]
fn parts_have_names_criteria_and_a_count() {
    let parts = |text: &str| SOUND.replace("criteria = [{ regex = 'app' }]\n", "").replace("[[role]]", text);
    let sound = parts(
        "[[component.process]]\nname = \"launcher\"\ncriteria = [{ regex = 'launcher' }]\n\
         [[component.process]]\nname = \"worker\"\ncriteria = [{ regex = '${hostname}' }]\ncount = { min = 0, max = 3 }\n\
         [[component.process]]\nname = \"driver\"\ncriteria = [{ regex = 'driver' }]\ncount = 2\n[[role]]",
    );
    let config = host_config(&sound.replace("depends_on = [\"kafka server\"]\n", ""));
    let app = config.find("app").unwrap();
    let seen: Vec<_> = app
        .parts
        .iter()
        .map(|part| (part.name.as_ref().unwrap().as_str(), part.count.min, part.count.max))
        .collect();
    assert_eq!(seen, [("launcher", 1, Some(1)), ("worker", 0, Some(3)), ("driver", 2, Some(2))]);
    assert!(regex(&app.parts[1]).is_match(b"h1"));

    let part = |more: &str| {
        problems(&parts(&format!(
            "[[component.process]]\nname = \"a\"\ncriteria = [{{ regex = 'a' }}]\n{more}\n[[role]]"
        )))
    };
    let rows = [
        ("count = 0", "process \"a\": count: it is at least 1, or { min = 0, max = 1 }"),
        ("count = -1", "process \"a\": count: it is at least 1"),
        ("count = { min = 3, max = 2 }", "count: \"max\" is at least 1, and at least \"min\""),
        ("count = { mx = 2 }", "key \"mx\" is not known; did you mean \"max\"?"),
        ("count = { min = 0 }", "one of its processes must be needed"),
        ("count = \"two\"", "key \"count\" must be a whole number, not a string"),
        (
            "[[component.process]]\nname = \"A\"\ncriteria = [{ regex = 'b' }]",
            "two of its processes are called \"A\"",
        ),
        ("[[component.process]]\ncriteria = [{ regex = 'b' }]", "process: key \"name\" is missing"),
        (
            "[[component.process]]\nname = \"b\"",
            "process \"b\": key \"criteria\" needs at least one criterion",
        ),
    ];
    for (more, expected) in rows {
        let problems = part(more);
        assert_eq!(problems.len(), 1, "{more}: {problems:#?}");
        assert!(problems[0].contains("component \"app\"") && problems[0].contains(expected), "{problems:#?}");
    }
    let both =
        problems(&SOUND.replace(
            "[[role]]",
            "[[component.process]]\nname = \"a\"\ncriteria = [{ regex = 'a' }]\n[[role]]",
        ));
    assert!(
        both.len() == 1 && both[0].contains("it has both \"criteria\" and [[component.process]]"),
        "{both:#?}"
    );
}

#[test]
fn a_probe_asks_one_thing_that_can_be_asked() {
    let probe = |text: &str| SOUND.replace("[[role]]", &format!("probe = {{ {text} }}\n[[role]]"));
    let rule = |text: &str| host_config(&probe(text)).find("app").unwrap().probe.clone().unwrap();
    let tcp = rule("tcp = \"${ip}:9092\"");
    assert_eq!(tcp.question, ProbeMethod::tcp("192.0.2.7:9092"));
    assert_eq!(
        (tcp.interval.as_secs(), tcp.timeout.as_secs(), tcp.failures, tcp.grace.as_secs()),
        (10, 5, 3, 30)
    );
    let http = rule(
        "http = \"http://127.0.0.1:3000/api/health\", status = 204, interval = \"2s\", timeout = \"1s\", failures = 1, grace = \"0s\"",
    );
    let ProbeMethod::Http(HttpProbe { status, .. }) = &http.question else { panic!("{http:?}") };
    assert_eq!(status.to_string(), "204");
    assert_eq!(
        (http.interval.as_secs(), http.timeout.as_secs(), http.failures, http.grace.as_secs()),
        (2, 1, 1, 0)
    );
    let command = rule("command = [\"nodetool\", \"-h\", \"${hostname}\", \"status\"]");
    assert_eq!(command.question, ProbeMethod::command(["nodetool", "-h", "h1", "status"]));

    let rows = [
        (
            "tcp = \"a:1\", http = \"http://h\"",
            "probe: it asks one thing: \"tcp\", \"http\", \"command\" or \"log\"",
        ),
        ("interval = \"1s\"", "it asks one thing"),
        ("tcp = \"9092\"", "\"9092\" is no address to connect to"),
        ("tcp = \"h:99999\"", "\"h:99999\" has a port that is no number from 1 to 65535; write for example"),
        ("tcp = \"ann:s3cret@h:1\"", "has a user name or a password"),
        ("http = \"http://h:80800/x\"", "\"http://h:80800/x\" has a port that is no number from 1 to 65535"),
        ("http = \"http://h:0\"", "has a port that is no number"),
        (
            "http = \"http://ann:s3cret@h/x\"",
            "\"http://ann:***@h/x\" has a user name or a password, which probes do not send",
        ),
        ("http = \"http://h/x#y\"", "has a fragment"),
        ("command = [\"bin/probe\"]", "its program \"bin/probe\" is relative"),
        ("http = \"h/x\"", "is no URL"),
        ("tcp = \"h:1\", status = 200", "key \"status\" belongs to \"http\""),
        ("http = \"http://h\", status = 99", "key \"status\" is an HTTP status"),
        ("http = \"http://h\", status = [200, \"300-250\"]", "key \"status\" is an HTTP status"),
        ("http = \"http://h\", status = []", "key \"status\" is an HTTP status"),
        ("command = [\"x\"], body = 'x'", "key \"body\" belongs to \"http\""),
        ("tcp = \"h:1\", without = 'x'", "key \"without\" belongs to \"http\" or \"command\""),
        ("tcp = \"h:1\", send = \"ruok\"", "key \"send\" needs \"expect\""),
        ("tcp = \"h:1\", expect = '('", "key \"expect\": not a regex: unclosed group"),
        ("http = \"http://h\", json = \"aliveworkers >= 1\"", "is no comparison of a value in the answer"),
        ("http = \"http://h\", json = \"/a >= x\"", "\"/a >= x\": only a number can be compared by >="),
        ("http = \"http://h\", ca = \"/ca.pem\"", "need an https:// URL"),
        ("http = \"https://h\", ca = \"ca.pem\"", "probe: ca: \"ca.pem\" is no absolute path"),
        ("http = \"https://h\", server_name = \"a b\"", "server_name: \"a b\" is no name or address"),
        ("http = \"https://h\", certificate_days = 0", "key \"certificate_days\" is at least 1"),
        ("log = 'started'", "key \"log\": the component has no log; set its \"log\""),
        ("tcp = \"h:1\", failures = 0", "key \"failures\" is at least 1"),
        ("tcp = \"h:1\", interval = \"0s\"", "is no time between 1s and 24h"),
        ("command = []", "key \"command\" needs at least a program"),
        ("tcp = \"${nowhere}:1\"", "variable \"nowhere\" is not known"),
        ("command = [\"check\", \"app\"]", "its command fits the component's own criteria"),
    ];
    for (text, expected) in rows {
        let problems = problems(&probe(text));
        assert_eq!(problems.len(), 1, "{text}: {problems:#?}");
        assert!(problems[0].contains("component \"app\"") && problems[0].contains(expected), "{problems:#?}");
    }
}

#[test]
fn paths_that_lead_nowhere_certain_are_refused() {
    let component = |rest: &str| {
        let own = "[[component]]\nname = \"paths\"\ncriteria = [{ regex = 'p' }]\n";
        SOUND.replace("[[role]]", &format!("{own}{rest}\n[[role]]"))
    };
    let rows = [
        ("log = \"app.log\"", "component \"paths\": log: \"app.log\" is no absolute path"),
        ("log = \"~/app.log\"", "log: \"~/app.log\" is no absolute path"),
        ("log = \"/var/log/\"", "log: \"/var/log/\" is a folder"),
        ("log = \"/var/log/..\"", "is a folder"),
        (
            "log = \"/dev/console\"",
            "is no file that holds a log; write the path of a file, or /dev/null for none",
        ),
        ("log = \"/proc/kmsg\"", "is no file that holds a log"),
        (
            "start = { command = [\"x\"], log = \"logs/x.log\" }",
            "start: log: \"logs/x.log\" is no absolute path",
        ),
        ("start = { command = [\"x\"], log = \"\" }", "start: log: \"\" is no absolute path"),
        (
            "start = { command = [\"x\"], directory = \"opt\" }",
            "start: directory: \"opt\" is no absolute path",
        ),
        (
            "start = { command = [\"bin/x\"] }",
            "start: command: \"bin/x\" is relative, and there is no \"directory\"",
        ),
        (
            "start = { command = [\"/x\"] }\nstop = { command = [\"./stop\"] }",
            "stop: command: \"./stop\" is relative",
        ),
    ];
    for (rest, expected) in rows {
        let problems = problems(&component(rest));
        assert_eq!(problems.len(), 1, "{rest}: {problems:#?}");
        assert!(problems[0].contains(expected), "{rest}: {problems:#?}");
    }
    // The value with variables replaced is validated, once for all hosts that have the same value.
    let relative = SOUND.replace("/opt/k", "opt/k").replace("[[role]]", "log = \"${home}/x.log\"\n[[role]]");
    let found = problems(&relative);
    assert!(found.len() == 1 && found[0].contains("\"opt/k/x.log\" is no absolute path"), "{found:#?}");
    for rest in [
        "log = \"/var/log/app.log\"",
        "start = { command = [\"bin/x\"], directory = \"/opt/x\" }\nstop = { command = [\"bin/stop\"] }",
        "start = { command = [\"x\"], log = \"/dev/null\" }",
        "log = \"/dev/null\"",
    ] {
        load_sources(&[Source { name: "x".to_owned(), text: component(rest) }]).unwrap();
    }
}

#[test]
fn dev_null_is_a_log_of_which_there_is_nothing_to_read() {
    let start = "start = { command = [\"/opt/x\"], log = \"/dev/null\" }\n[[role]]";
    let config = host_config(&SOUND.replace("[[role]]", start));
    let app = config.find("app").unwrap();
    assert_eq!(app.log, None);
    assert_eq!(app.start.as_ref().unwrap().engine.command().unwrap().log, None);
}

#[test]
fn a_digest_tells_configurations_apart_but_not_their_folders() {
    let digest = |name: &str, text: &str| {
        load_sources(&[Source { name: name.to_owned(), text: text.to_owned() }]).unwrap().digest
    };
    let one = digest("/etc/rta/x.toml", SOUND);
    assert_eq!(one.len(), 12);
    assert_eq!(one, digest("config/x.toml", SOUND));
    assert_ne!(one, digest("/etc/rta/x.toml", &SOUND.replace("/opt/k", "/opt/l")));
}
