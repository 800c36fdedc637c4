//! Compares `config/platform/` with the specification's tables, which are spelled out again here.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::path::Path;

use rta_shared::config::{
    CommandRule, DependencyPlace, Host, Platform, ProviderIndex, StopSignal, load_folder,
};
use rta_shared::criterion::arguments_match;
use rta_shared::process::CommandLine;

fn platform() -> Platform {
    load_folder(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../config/platform"))).unwrap()
}

fn host<'p>(platform: &'p Platform, name: &str) -> &'p Host {
    platform.find_host(name).unwrap()
}

/// "component mapping table": for each component, whether a main-analytic and a main-storage host carry it.
const MAPPING: [(&str, bool, bool); 14] = [
    ("kafka zookeeper server", true, false),
    ("kafka server", true, false),
    ("spark master", true, true),
    ("spark worker", true, true),
    ("processor accelerometer", true, false),
    ("processor gyroscope", true, false),
    ("processor barometer", true, false),
    ("processor aggregator", true, false),
    ("cassandra", false, true),
    ("kairosDb server", false, true),
    ("grafana server", false, true),
    ("tomcat server", false, true),
    ("novelty detector", false, true),
    ("raw writer", false, true),
];

/// "component dependencies"; "Spark" is the master and the worker.
const DEPENDENCIES: [(&str, &[&str]); 14] = [
    ("kafka zookeeper server", &[]),
    ("kafka server", &[]),
    ("spark master", &[]),
    ("spark worker", &[]),
    ("processor accelerometer", &["spark master", "spark worker", "kafka server"]),
    ("processor gyroscope", &["spark master", "spark worker", "kafka server"]),
    ("processor barometer", &["spark master", "spark worker", "kafka server"]),
    ("processor aggregator", &["spark master", "spark worker", "kafka server"]),
    ("cassandra", &[]),
    ("kairosDb server", &["cassandra"]),
    ("grafana server", &["kairosDb server"]),
    ("tomcat server", &[]),
    ("novelty detector", &["spark master", "spark worker", "kafka server"]),
    ("raw writer", &["spark master", "spark worker", "kafka server"]),
];

/// Index of each criterion, and an argument on which the criterion holds.
type Criteria = &'static [(Option<i32>, &'static str)];

/// "Process list": a component with its criteria, an argument that each looks for, and at which index.
/// 192.0.2.7 is the host's address. KairosDB's properties file may be at any position; see
/// config/platform/storage.toml.
const CRITERIA: [(&str, Criteria); 14] = [
    (
        "kafka zookeeper server",
        &[
            (Some(0), "java"),
            (Some(22), "config/zookeeper.properties"),
            (Some(21), "org.apache.zookeeper.server.quorum.QuorumPeerMain"),
        ],
    ),
    ("kafka server", &[(Some(0), "java"), (Some(22), "config/server.properties"), (Some(21), "kafka.Kafka")]),
    (
        "spark master",
        &[(Some(0), "java"), (Some(5), "org.apache.spark.deploy.master.Master"), (Some(7), "192.0.2.7")],
    ),
    (
        "spark worker",
        &[
            (Some(0), "java"),
            (Some(5), "org.apache.spark.deploy.worker.Worker"),
            (Some(8), "spark://192.0.2.7:7077"),
        ],
    ),
    (
        "processor accelerometer",
        &[
            (Some(0), "java"),
            (Some(18), "sklearn"),
            (Some(17), "accelerometer"),
            (Some(16), "rta_processor_simple.py"),
        ],
    ),
    (
        "processor gyroscope",
        &[
            (Some(0), "java"),
            (Some(18), "sklearn"),
            (Some(17), "gyroscope"),
            (Some(16), "rta_processor_simple.py"),
        ],
    ),
    (
        "processor barometer",
        &[
            (Some(0), "java"),
            (Some(18), "sklearn"),
            (Some(17), "barometer"),
            (Some(16), "rta_processor_simple.py"),
        ],
    ),
    (
        "processor aggregator",
        &[(Some(0), "java"), (Some(17), "naivebayes"), (Some(16), "har_predict_aggr_ensemble.py")],
    ),
    ("cassandra", &[(Some(0), "java"), (Some(47), "org.apache.cassandra.service.CassandraDaemon")]),
    (
        "kairosDb server",
        &[(Some(0), "java"), (Some(5), "org.kairosdb.core.Main"), (None, "conf/kairosdb.properties")],
    ),
    ("grafana server", &[(Some(0), "grafana-server")]),
    ("tomcat server", &[(Some(0), "java"), (Some(9), "org.apache.catalina.startup.Bootstrap")]),
    ("novelty detector", &[(Some(0), "java"), (Some(16), "novelty_detect.py")]),
    ("raw writer", &[(Some(0), "java"), (Some(16), "raw_writer.py")]),
];

#[test]
fn each_role_carries_what_the_mapping_table_says() {
    let platform = platform();
    assert_eq!(platform.components.len(), MAPPING.len());
    for (environment, analytic, storage) in [("ITG", "c9t17308", "C2t08977"), ("DEV", "C9t21193", "C2t08978")]
    {
        for (name, role, column) in [(analytic, "main-analytic", 1), (storage, "main-storage", 2)] {
            let host = host(&platform, name);
            assert_eq!(
                (host.environment.as_str(), host.role.as_ref().unwrap().as_str()),
                (environment, role)
            );
            for (component, on_analytic, on_storage) in MAPPING {
                let expected = if column == 1 { on_analytic } else { on_storage };
                assert_eq!(host.carries(&component.into()), expected, "{component} on {name}");
            }
        }
    }
    assert_eq!(platform.hosts().count(), 4);
}

#[test]
fn dependencies_are_those_of_the_table() {
    let platform = platform();
    for (component, expected) in DEPENDENCIES {
        let component = platform.component(component).unwrap();
        let names: Vec<_> = component.depends_on.iter().map(|needed| needed.component.as_str()).collect();
        assert_eq!(names, expected, "{}", component.name);
        assert!(component.depends_on.iter().all(|needed| needed.place == DependencyPlace::Nearest));
    }
}

#[test]
fn the_storage_hosts_jobs_need_their_own_spark_and_the_analytic_hosts_kafka() {
    let platform = platform();
    let index = ProviderIndex::new(&platform);
    for (storage, analytic) in [("c2t08977", "c9t17308"), ("c2t08978", "c9t21193")] {
        let storage = host(&platform, storage);
        for job in ["novelty detector", "raw writer"] {
            let providers: Vec<Vec<&str>> = platform
                .component(job)
                .unwrap()
                .depends_on
                .iter()
                .map(|needed| {
                    index.providers(storage, needed).iter().map(|host| host.name.as_str()).collect()
                })
                .collect();
            let own = storage.name.as_str();
            assert_eq!(providers, [vec![own], vec![own], vec![analytic]], "{job} on {own}");
        }
    }
}

/// Tests that processes which only name a component's files do not match it: editors, shells, launchers, and
/// rta itself.
#[test]
fn who_merely_names_a_component_is_not_taken_for_it() {
    let platform = platform();
    let lines: [&[&str]; 6] = [
        &["vim", "config/server.properties"],
        &["bash", "bin/kafka-server-start.sh", "config/server.properties"],
        &["sh", "-c", "java kafka.Kafka config/server.properties"],
        &["grep", "-r", "org.apache.cassandra.service.CassandraDaemon", "."],
        &["rta", "stop", "kafka", "server"],
        &["rta-agent", "--config", "config/platform", "--host", "c9t17308"],
    ];
    for host in platform.hosts() {
        let config = platform.host_config(host, &["15.0.0.1".parse().unwrap()]).unwrap();
        for line in lines {
            let claimed: Vec<_> = config
                .components
                .iter()
                .filter(|component| component.matches_arguments(&CommandLine::from_arguments(line)))
                .map(|component| component.name.as_str())
                .collect();
            assert_eq!(claimed, [] as [&str; 0], "{line:?}");
        }
    }
}

#[test]
fn criteria_match_where_the_tables_say_and_nowhere_else() {
    let platform = platform();
    let address = "192.0.2.7".parse().unwrap();
    for (component, rows) in CRITERIA {
        let carrier = platform.hosts().find(|host| host.carries(&component.into())).unwrap();
        let config = platform.host_config(carrier, &[address]).unwrap();
        let criteria = &config.find(component).unwrap().parts[0].criteria;
        let indexes: Vec<_> = criteria.iter().map(|criterion| criterion.index()).collect();
        assert_eq!(indexes, rows.iter().map(|(index, _)| *index).collect::<Vec<_>>(), "{component}");

        let mut arguments = vec!["-x".to_owned(); 50];
        for (index, text) in rows {
            arguments[usize::try_from(index.unwrap_or(30)).unwrap()] = (*text).to_owned();
        }
        assert!(arguments_match(criteria, &CommandLine::from_arguments(&arguments)), "{component}");
        // Each criterion is necessary, and a dot in it matches only a dot.
        for (index, text) in rows {
            let at = usize::try_from(index.unwrap_or(30)).unwrap();
            for wrong in [String::new(), text.replace('.', "x") + "y"] {
                let mut arguments = arguments.clone();
                if !text.contains('.') && !wrong.is_empty() {
                    continue;
                }
                arguments[at] = wrong;
                let line = CommandLine::from_arguments(&arguments);
                assert!(!arguments_match(criteria, &line), "{component} without {text}");
            }
        }
    }
}

/// Command line that each component's launcher produces, with `java` in front: the arguments of the server
/// itself. For Spark it is what Spark 1.x writes before the main class; for Tomcat what 7 and 8.0 write; for
/// Cassandra a number of options that depends on its version, 46 in the specification.
fn launched(component: &str, rule: &CommandRule) -> Vec<String> {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let environment = |name: &str| {
        let (_, value) = rule.environment.iter().find(|(given, _)| given == name).unwrap();
        words(value)
    };
    let arguments = &rule.command[1..];
    let java = |options: &[Vec<String>]| [vec!["java".to_owned()], options.concat()].concat();
    let spark = "-cp /opt/spark/conf:/opt/spark/lib/* -Xms1g -Xmx1g";
    match (component, rule.command[0].rsplit('/').next().unwrap()) {
        ("kafka zookeeper server", "zookeeper-server-start.sh") => java(&[
            vec!["-option".to_owned(); 20],
            words("org.apache.zookeeper.server.quorum.QuorumPeerMain"),
            arguments.to_vec(),
        ]),
        ("kafka server", "kafka-server-start.sh") => {
            java(&[vec!["-option".to_owned(); 20], words("kafka.Kafka"), arguments.to_vec()])
        }
        (_, "spark-class") => java(&[words(spark), arguments.to_vec()]),
        (_, "spark-submit") => {
            java(&[words(spark), words("org.apache.spark.deploy.SparkSubmit"), arguments.to_vec()])
        }
        ("cassandra", "cassandra") if arguments == ["-f"] => {
            java(&[vec!["-option".to_owned(); 46], words("org.apache.cassandra.service.CassandraDaemon")])
        }
        ("kairosDb server", "kairosdb.sh") if arguments == ["run"] => java(&[
            environment("JAVA_OPTS"),
            words("-cp :lib/kairosdb.jar org.kairosdb.core.Main -c run -p conf/kairosdb.properties"),
        ]),
        ("tomcat server", "catalina.sh") if arguments == ["run"] => java(&[
            words("-Djava.util.logging.config.file=x -Djava.util.logging.manager=x"),
            environment("CATALINA_OPTS"),
            words(
                "-Djava.endorsed.dirs=x -classpath x -Dcatalina.base=x -Dcatalina.home=x -Djava.io.tmpdir=x",
            ),
            words("org.apache.catalina.startup.Bootstrap start"),
        ]),
        ("grafana server", "grafana-server") => rule.command.clone(),
        other => panic!("{other:?} is no launcher"),
    }
}

#[test]
fn each_component_is_started_as_its_own_criteria_expect() {
    let platform = platform();
    let address = "192.0.2.7".parse().unwrap();
    for host in platform.hosts() {
        let config = platform.host_config(host, &[address]).unwrap();
        for component in &config.components {
            let rule = component.start.as_ref().and_then(|start| start.engine.command());
            let rule = rule.unwrap_or_else(|| panic!("{} can be started", component.name));
            let line = CommandLine::from_arguments(launched(component.name.as_str(), rule));
            let matched = config.components.iter().filter(|other| other.matches_arguments(&line));
            let matched: Vec<_> = matched.map(|other| other.name.as_str()).collect();
            assert_eq!(matched, [component.name.as_str()], "{line:?}");
            // The launchers' own shells do not match.
            let shell = [&["/bin/bash".to_owned()], rule.command.as_slice()].concat();
            assert!(!component.matches_arguments(&CommandLine::from_arguments(shell)));

            let file = component.name.folded().replace(' ', "-");
            assert_eq!(rule.log.as_deref(), Some(Path::new(&format!("/var/log/rta/{file}.log"))));
            assert!(rule.directory.as_ref().is_some_and(|directory| directory.is_absolute()));
            assert!(component.stop.kill && component.stop.signal == StopSignal::Term);
        }
    }
}

/// Tests Spark 2 and later, which write one option less before the main class; `spark_java_opts` makes up for
/// it.
#[test]
fn one_option_puts_newer_sparks_at_the_same_index() {
    let mut platform = platform();
    for host in platform.environments.iter_mut().flat_map(|environment| &mut environment.hosts) {
        host.variables.insert("spark_java_opts".to_owned(), "-Xms64m".to_owned());
    }
    let host = host(&platform, "c9t17308");
    let config = platform.host_config(host, &["192.0.2.7".parse().unwrap()]).unwrap();
    for (component, variable) in [
        ("spark master", "SPARK_DAEMON_JAVA_OPTS"),
        ("spark worker", "SPARK_DAEMON_JAVA_OPTS"),
        ("processor barometer", "SPARK_SUBMIT_OPTS"),
    ] {
        let component = config.find(component).unwrap();
        let rule = component.start.as_ref().unwrap().engine.command().unwrap();
        let option = rule.environment.iter().find(|(name, _)| name == variable).unwrap().1.clone();
        let mut line = launched(component.name.as_str(), rule);
        line.splice(3..5, [option, "-Xmx1g".to_owned()]);
        assert!(component.matches_arguments(&CommandLine::from_arguments(line)), "{}", component.name);
    }
}

#[test]
fn names_are_found_as_people_write_them() {
    let platform = platform();
    assert_eq!(platform.find_host("C2T08977").unwrap().name.as_str(), "c2t08977");
    assert_eq!(platform.find_host("c9t21193.itcs.example.net.").unwrap().name.as_str(), "c9t21193");
    assert!(platform.find_host("c9t2119").is_none());
    assert_eq!(platform.component("Raw Writter").unwrap().name.as_str(), "raw writer");
    assert_eq!(platform.component("KAIROSDB server").unwrap().name.as_str(), "kairosDb server");
}

#[test]
fn the_specifications_own_zookeeper_is_matched() {
    let platform = platform();
    let config = platform.host_config(host(&platform, "c9t17308"), &["192.0.2.7".parse().unwrap()]).unwrap();
    let arguments = [
        "java",
        "-Xmx512M",
        "-Xms512M",
        "-server",
        "-XX:+UseG1GC",
        "-XX:MaxGCPauseMillis=20",
        "-XX:InitiatingHeapOccupancyPercent=35",
        "-XX:+DisableExplicitGC",
        "-Djava.awt.headless=true",
        "-Xloggc:/opt/mount1/kafka_2.10-0.9.0.0/bin/../logs/zookeeper-gc.log",
        "-verbose:gc",
        "-XX:+PrintGCDetails",
        "-XX:+PrintGCDateStamps",
        "-XX:+PrintGCTimeStamps",
        "-Dcom.sun.management.jmxremote",
        "-Dcom.sun.management.jmxremote.authenticate=false",
        "-Dcom.sun.management.jmxremote.ssl=false",
        "-Dkafka.logs.dir=/opt/mount1/kafka_2.10-0.9.0.0/bin/../logs",
        "-Dlog4j.configuration=file:bin/../config/log4j.properties",
        "-cp",
        ":/opt/mount1/kafka_2.10-0.9.0.0/bin/../libs/*",
        "org.apache.zookeeper.server.quorum.QuorumPeerMain",
        "config/zookeeper.properties",
    ];
    let line = CommandLine::from_arguments(arguments);
    let matched: Vec<_> = config
        .components
        .iter()
        .filter(|component| component.matches_arguments(&line))
        .map(|component| component.name.as_str())
        .collect();
    assert_eq!(matched, ["kafka zookeeper server"]);
}
