//! Tests the proposals, and that they survive a round trip through a configuration.

use proptest::prelude::*;

use super::*;
use crate::attributes::CriterionKind;
use crate::config::{Source, load_sources};
use crate::criterion::{Criterion, arguments_match};

const IP: [&str; 2] = ["10.0.0.1", "fe80::1"];

fn variables() -> Vec<(String, String)> {
    [("ip", IP[0]), ("ip", IP[1]), ("hostname", "c9t17308"), ("kafka_home", "/opt/kafka")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

/// Returns the criteria of the proposal after a round trip through a configuration.
fn loaded(proposal: &Proposal) -> Vec<Criterion> {
    let text = format!(
        "{proposal}\n[[environment]]\nname = \"E\"\nvariables = {{ kafka_home = \"/opt/kafka\" }}\n\
         [[environment.host]]\nname = \"c9t17308\"\nip = [\"{}\", \"{}\"]\ncomponents = [{}]\n",
        IP[0],
        IP[1],
        toml::Value::from(proposal.name.as_str())
    );
    let platform = load_sources(&[Source { name: "proposal".to_owned(), text: text.clone() }])
        .unwrap_or_else(|error| panic!("{error}\n{text}"));
    let host = platform.hosts().next().unwrap();
    platform.host_config(host, &[]).unwrap().components.remove(0).parts.remove(0).criteria
}

/// Creates a process of which only the command line is known.
fn subject(line: &CommandLine) -> LearnSubject<'_> {
    LearnSubject { line, user: None }
}

fn subjects(lines: &[CommandLine]) -> Vec<LearnSubject<'_>> {
    lines.iter().map(subject).collect()
}

fn line(text: &str) -> CommandLine {
    CommandLine::from_arguments(text.split(' '))
}

fn learnt(target: &str, others: &[&str]) -> String {
    let target = line(target);
    let others: Vec<CommandLine> = others.iter().map(|other| line(other)).collect();
    let proposal = learn(subject(&target), &subjects(&others), &variables()).unwrap();
    let criteria = loaded(&proposal);
    assert!(arguments_match(&criteria, &target), "{proposal}");
    assert!(others.iter().all(|other| !arguments_match(&criteria, other)), "{proposal}");
    proposal.to_string()
}

const KAFKA: &str = "/opt/jdk/bin/java -Xmx1G -Dkafka.logs.dir=/opt/kafka/logs -cp :libs/* kafka.Kafka";

#[test]
fn kafka_is_known_by_class_and_configuration() {
    let broker = format!("{KAFKA} config/server.properties");
    let expected = "[[component]]\nname = \"kafka server\"\ncriteria = [\n    \
                    { index = 0, regex = '(^|/)java$' },\n    \
                    { regex = '^kafka\\.Kafka$' },\n    \
                    { regex = '(^|/)config/server\\.properties$' },\n]\n";
    assert_eq!(learnt(&broker, &[]), expected);
    let other = format!("{KAFKA} config/server-2.properties");
    let shell = format!("/bin/bash {broker}");
    assert_eq!(learnt(&broker, &[&other, &shell, "vi config/server.properties"]), expected);
}

#[test]
fn folders_tell_brokers_with_files_of_one_name_apart() {
    let [one, two] =
        ["/opt/kafka", "/srv/kafka"].map(|home| format!("{KAFKA} {home}/config/server.properties"));
    let said = learnt(&one, &[&two]);
    assert!(said.contains("{ regex = '^${kafka_home}/config/server\\.properties$' },\n]"), "{said}");
}

#[test]
fn a_spark_job_is_known_by_script_and_words_even_alone() {
    let job = |sensor: &str| {
        format!(
            "java -cp x org.apache.spark.deploy.SparkSubmit --master spark://10.0.0.1:7077 \
             rta_processor_simple.py {sensor} sklearn"
        )
    };
    let alone = learnt(&job("accelerometer"), &[]);
    assert_eq!(alone, learnt(&job("accelerometer"), &[&job("gyroscope"), &job("barometer")]));
    assert!(
        alone.contains("'(^|/)rta_processor_simple\\.py$'") && alone.contains("'^accelerometer$'"),
        "{alone}"
    );
}

#[test]
fn the_hosts_address_is_a_variable_and_what_differs_decides() {
    let worker = |ip: &str| {
        format!("java -cp x org.apache.spark.deploy.worker.Worker --webui-port 8081 spark://{ip}:7077")
    };
    let said = learnt(&worker("10.0.0.1"), &[&worker("10.0.0.11")]);
    assert!(said.contains("{ regex = '^spark://${ip}:7077$' },\n]"), "{said}");
    // Both addresses are the host's own: only the literal text distinguishes them.
    let said = learnt(&worker("10.0.0.1"), &[&worker("fe80::1")]);
    assert!(said.contains(r"regex = '^spark://10\.0\.0\.1:7077$'"), "{said}");
}

#[test]
fn positions_and_passing_values_are_the_last_resort() {
    assert!(learnt("app a b", &["app b a"]).contains("{ index = 1, regex = '^a$' }"));
    assert!(learnt("app x", &["app x y"]).contains("{ index = -1, regex = '^x$' }"));
    let said = learnt("app --id 123456789 --zone z", &["app --id 987654321 --zone y"]);
    assert!(said.contains("'^z$'") && !said.contains("123456789"), "{said}");
    assert!(learnt("app --id 123456789", &["app --id 987654321"]).contains("'^123456789$'"));
}

#[test]
fn an_interpreter_alone_says_nothing() {
    let said = learnt("/usr/bin/perl -e run", &[]);
    assert!(said.contains("'(^|/)perl$'") && said.contains("{ regex = '^run$' }"), "{said}");
    assert_eq!(learnt("bash", &[]).matches("regex").count(), 1);
    assert_eq!(learnt("sleep 900", &[]).matches("regex").count(), 1);
}

#[test]
fn what_was_added_and_proves_needless_is_left_out() {
    // "w" excludes most at first; "x" and "y", which the rest needs, exclude those too.
    let others = ["app x q q", "app x q p", "app q y q", "app q y p", "app x y w q"];
    let said = learnt("app x y z", &others);
    assert_eq!(said.matches("regex").count(), 2, "{said}");
}

#[test]
fn what_cannot_be_told_apart_is_named() {
    let fails = |target: &str, others: &[&str]| {
        let others: Vec<CommandLine> = others.iter().map(|other| line(other)).collect();
        learn(subject(&line(target)), &subjects(&others), &[]).unwrap_err()
    };
    assert_eq!(
        fails("app x", &["app y", "app x"]),
        IndistinguishableError { others: vec![1], has_secret: false }
    );
    assert_eq!(
        fails("app --token=a", &["app --token=b"]),
        IndistinguishableError { others: vec![0], has_secret: true }
    );
    assert_eq!(
        fails("app app", &["app app app"]),
        IndistinguishableError { others: vec![0], has_secret: false }
    );
    let nothing = learn(subject(&CommandLine::new()), &[], &[]).unwrap_err();
    assert_eq!(nothing, IndistinguishableError { others: vec![], has_secret: false });
}

#[test]
fn user_is_asked_for_where_the_command_line_does_not_tell() {
    let learnt = |target: (&str, &str), others: &[(&str, &str)]| {
        let own = line(target.0);
        let lines: Vec<CommandLine> = others.iter().map(|(other, _)| line(other)).collect();
        let others = lines.iter().zip(others);
        let others: Vec<LearnSubject<'_>> =
            others.map(|(line, (_, user))| LearnSubject { line, user: Some(*user) }).collect();
        learn(LearnSubject { line: &own, user: Some(target.1) }, &others, &[])
    };
    let proposal = learnt(("app x", "kafka"), &[("app x", "mallory"), ("app y", "kafka")]).unwrap();
    let said = proposal.to_string();
    assert!(said.contains("{ regex = '^x$' },\n    { user = \"kafka\" },\n]"), "{said}");
    let criteria = loaded(&proposal);
    assert_eq!(criteria.last().map(|last| (last.kind(), last.text())), Some((CriterionKind::User, "kafka")));
    // If the command line suffices, the user is not needed.
    let said = learnt(("app x", "kafka"), &[("app y", "mallory")]).unwrap().to_string();
    assert!(!said.contains("user"), "{said}");
    let same = learnt(("app x", "kafka"), &[("app x", "mallory"), ("app x", "kafka")]).unwrap_err();
    assert_eq!(same.others, [0, 1]);
}

#[test]
fn container_is_said() {
    let target = line("app x");
    let mut proposal = learn(subject(&target), &[], &[]).unwrap();
    proposal.container = true;
    assert!(proposal.to_string().contains("\ncontainer = true\n"));
    loaded(&proposal);
}

#[test]
fn quotes_and_bytes_that_are_no_text_survive() {
    for argument in
        [&b"it's"[..], b"'''\"\"\"", b"\xff'\xfe", b"a\nb\r", b"$10.0.0.1${x}$${y}", "\u{202e}x".as_bytes()]
    {
        let target = CommandLine::from_arguments([&b"app"[..], argument]);
        let other = line("app x");
        let proposal = learn(subject(&target), &[subject(&other)], &variables()).unwrap();
        let criteria = loaded(&proposal);
        assert!(arguments_match(&criteria, &target) && !arguments_match(&criteria, &other), "{proposal}");
        assert_eq!(
            crate::sanitize::printable(&proposal.to_string().replace('\n', "")),
            proposal.to_string().replace('\n', "")
        );
    }
}

#[test]
fn a_huge_command_line_is_learnt_by_what_is_short() {
    let arguments: Vec<String> = (0..20_000).map(|number| format!("argument-{number}")).collect();
    let target = CommandLine::from_arguments(["app"].into_iter().chain(arguments.iter().map(String::as_str)));
    let long = CommandLine::from_arguments(["app", &"x".repeat(1_000_000)]);
    let proposal = learn(subject(&target), &[subject(&long)], &variables()).unwrap();
    assert_eq!(proposal.criteria.len(), 2);
    let proposal = learn(subject(&long), &[subject(&target)], &variables()).unwrap();
    assert!(proposal.to_string().len() < 1000);
}

/// Generates meaningful arguments, and arbitrary bytes.
fn argument() -> impl Strategy<Value = Vec<u8>> {
    const KNOWN: [&str; 26] = [
        "java",
        "/opt/jdk/bin/java",
        "-cp",
        "a:b",
        "-jar",
        "app.jar",
        "kafka.Kafka",
        "config/server.properties",
        "--config=/etc/a/b.ini",
        "-Dx=file:/opt/kafka/y.xml",
        "org.apache.spark.deploy.SparkSubmit",
        "--master",
        "spark://10.0.0.1:7077",
        "10.0.0.11",
        "job.py",
        "python3",
        "-m",
        "accelerometer",
        "--token=x",
        "--password",
        "$10.0.0.1",
        "${ip}",
        "c9t17308:9092",
        "/tmp/x/123456789",
        "@args",
        "it's",
    ];
    prop_oneof![
        6 => proptest::sample::select(&KNOWN[..]).prop_map(|known| known.as_bytes().to_vec()),
        1 => proptest::collection::vec(proptest::sample::select(&b"ab$\\{}'\"/=:.- \n\xff\xc3"[..]), 0..6),
        1 => proptest::collection::vec(1_u8..=255, 0..8),
    ]
}

fn command_line() -> impl Strategy<Value = CommandLine> {
    proptest::collection::vec(argument(), 0..7).prop_map(CommandLine::from_arguments)
}

proptest! {
    #[test]
    fn whatever_is_proposed_loads_and_matches_the_target_alone(
        target in command_line(),
        others in proptest::collection::vec(command_line(), 0..12),
    ) {
        match learn(subject(&target), &subjects(&others), &variables()) {
            Ok(proposal) => {
                let criteria = loaded(&proposal);
                prop_assert!(arguments_match(&criteria, &target), "{}", proposal);
                for other in &others {
                    prop_assert!(!arguments_match(&criteria, other), "{}\n{:?}", proposal, other);
                }
            }
            Err(inseparable) => {
                // Only processes that resemble the target, as far as it may be examined, are reported as
                // inseparable.
                prop_assert!(!inseparable.others.is_empty() || target.is_empty() || inseparable.has_secret);
                for at in inseparable.others {
                    prop_assert!(inseparable.has_secret || others[at].len() >= target.len());
                }
            }
        }
    }
}
