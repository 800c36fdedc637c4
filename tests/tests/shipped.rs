//! Shipped platform, started and stopped on two hosts by the components' own launchers.
//!
//! The servers are stand-ins. Their launchers behave like the real ones: shells that become `java` by exec, a
//! helper `java` of Spark that already has the class among its arguments, a `java -version` of Cassandra, and
//! scripts that use the directory they are called from. The final command lines are those written by the
//! launchers of the versions in the specification.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Output, Stdio};

use rta_tests::{NamespacedHosts, TestConfig, binary, wait_for};

/// Command line of `bin/kafka-run-class.sh`: 20 options, the class, the file.
const KAFKA: &str = r#"exec -a java "$STAND_IN" -Xmx1G -Xms1G -server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 \
  -XX:InitiatingHeapOccupancyPercent=35 -XX:+DisableExplicitGC -Djava.awt.headless=true -Xloggc:gc.log -verbose:gc \
  -XX:+PrintGCDetails -XX:+PrintGCDateStamps -XX:+PrintGCTimeStamps -Dcom.sun.management.jmxremote -Da=b -Dc=d -De=f \
  -Dlog4j.configuration=file:bin/../config/log4j.properties -cp ":libs/*" CLASS "$@""#;
/// Launcher `bin/spark-class`: a helper writes the command line, and the shell becomes it.
const SPARK_CLASS: &str = r#"(exec -a java "$STAND_IN" -Xmx128m -cp x org.apache.spark.launcher.Main "$@") & helper=$!
sleep 0.2; kill "$helper"; wait "$helper"
class=$1; shift
exec -a "${JAVA_HOME:+$JAVA_HOME/bin/}java" "$STAND_IN" -cp "$SPARK_HOME/conf:x" -Xms1g -Xmx1g "$class" "$@""#;
const SPARK_SUBMIT: &str = r#"exec "${SPARK_HOME}"/bin/spark-class org.apache.spark.deploy.SparkSubmit "$@""#;
const CASSANDRA: &str = r#"[ "$1" = -f ] || exit 1
(exec -a java "$STAND_IN" -version) & sleep 0.2; kill $!; wait $!
exec -a java "$STAND_IN" $(seq -f -Doption.%g 46) org.apache.cassandra.service.CassandraDaemon"#;
const KAIROSDB: &str = r#"[ "$1" = run ] || exit 1
exec -a java "$STAND_IN" $JAVA_OPTS -cp :lib/kairosdb.jar org.kairosdb.core.Main -c run -p conf/kairosdb.properties"#;
const CATALINA: &str = r#"[ "$1" = run ] && [ "$CATALINA_HOME" = "$PWD" ] || exit 1
exec -a java "$STAND_IN" -Dlogging.config=x -Dlogging.manager=x $CATALINA_OPTS -Djava.endorsed.dirs=x -classpath x \
  -Dcatalina.base=x -Dcatalina.home=x -Djava.io.tmpdir=x org.apache.catalina.startup.Bootstrap start"#;
const GRAFANA: &str = r#"exec -a grafana-server "$STAND_IN" "$@""#;

/// Writes the launchers below `folder`.
fn write_launchers(folder: &Path) {
    let stand_in = binary("stand-in").display().to_string();
    let kafka = |class: &str| KAFKA.replace("CLASS", class);
    for (path, script) in [
        (
            "kafka/bin/zookeeper-server-start.sh",
            kafka("org.apache.zookeeper.server.quorum.QuorumPeerMain").as_str(),
        ),
        ("kafka/bin/kafka-server-start.sh", kafka("kafka.Kafka").as_str()),
        ("spark/bin/spark-class", SPARK_CLASS),
        ("spark/bin/spark-submit", SPARK_SUBMIT),
        ("cassandra/bin/cassandra", CASSANDRA),
        ("kairosdb/bin/kairosdb.sh", KAIROSDB),
        ("tomcat/bin/catalina.sh", CATALINA),
        ("grafana/bin/grafana-server", GRAFANA),
    ] {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        // Stand-ins end with PID 1 of their host.
        let text = format!("#!/bin/bash\nexport STAND_IN_LEASE=1\nSTAND_IN='{stand_in}'\n{script}\n");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    std::fs::create_dir_all(folder.join("jobs")).unwrap();
}

/// Returns the environment of the two hosts: the paths of their programs, and nothing else.
fn environment(folder: &Path, hosts: &NamespacedHosts) -> String {
    let folder = folder.display();
    let homes: String = ["kafka", "spark", "cassandra", "kairosdb", "tomcat", "grafana", "jobs"]
        .map(|name| format!("{name}_home = \"{folder}/{name}\"\n"))
        .concat();
    let host = |at: usize, role: &str| {
        let host = hosts.get(at);
        let (name, address) = (host.name(), host.address());
        format!(
            "[[environment.host]]\nname = \"{name}\"\nrole = \"{role}\"\nagent = \"http://{address}:7601\"\n"
        )
    };
    format!(
        "[[environment]]\nname = \"TEST\"\n[environment.variables]\n{homes}log_home = \"{folder}/log\"\n\
         grafana_program = \"{folder}/grafana/bin/grafana-server\"\n{}{}",
        host(0, "main-analytic"),
        host(1, "main-storage"),
    )
}

#[test]
fn every_component_starts_as_its_criteria_expect_and_stops() {
    let Some(hosts) = NamespacedHosts::start(&["analytic", "storage"]) else { return };
    let config = TestConfig::new();
    let folder = config.path("platform");
    write_launchers(&folder);
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/platform");
    for name in ["jobs", "kafka", "roles", "spark", "storage", "variables"] {
        let text = std::fs::read_to_string(format!("{shipped}/{name}.toml")).unwrap();
        // Long settle times are not needed here.
        let lines =
            text.lines().map(|line| if line.starts_with("settle = ") { "settle = \"500ms\"" } else { line });
        config.write(&format!("{name}.toml"), &lines.collect::<Vec<_>>().join("\n"));
    }
    config.write("test.toml", &environment(&folder, &hosts));

    let mut programs = Vec::new();
    for host in hosts.all() {
        let mut agent = host.command(binary("rta-agent"));
        agent.arg("--config").arg(config.folder()).args(["--host", host.name()]);
        agent.args(["--listen", &format!("{}:7601", host.address()), "--insecure"]);
        agent.arg("--state").arg(config.path(host.name()));
        programs.push(rta_tests::ServerProcess::spawn(agent));
    }
    let center = hosts.get(0);
    let grpc = format!("{}:7600", center.address());
    let mut aggregator = center.command(binary("rta-aggregator"));
    aggregator.arg("--config").arg(config.folder());
    aggregator.args(["--grpc", &grpc, "--web", "127.0.0.1:0", "--insecure"]);
    programs.push(rta_tests::ServerProcess::spawn(aggregator));
    let rta = |arguments: &[&str]| -> Output {
        let mut command = std::process::Command::new(binary("rta"));
        command.args(["--aggregator", &format!("http://{grpc}")]).args(arguments);
        command.stdin(Stdio::null()).output().unwrap()
    };
    let overview = || -> Option<Vec<(String, String, usize)>> {
        let shown: serde_json::Value = serde_json::from_slice(&rta(&["list", "--json"]).stdout).ok()?;
        let hosts = shown["environments"][0]["hosts"].as_array()?;
        let instances = hosts.iter().flat_map(|host| host["instances"].as_array().into_iter().flatten());
        let states = instances.map(|instance| {
            let word = |key: &str| instance[key].as_str().unwrap_or_default().to_owned();
            (word("component"), word("health"), instance["pids"].as_array().map_or(0, Vec::len))
        });
        Some(states.collect())
    };
    wait_for("both hosts to be known", || {
        let all = overview()?;
        (all.len() == 16 && all.iter().all(|(_, health, _)| health == "down")).then_some(())
    });

    let output = rta(&["start", "--all", "--yes"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    for (component, health, processes) in overview().unwrap() {
        assert_eq!((health.as_str(), processes), ("up", 1), "{component}");
    }

    let output = rta(&["stop", "--all", "--yes"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    for (component, health, processes) in overview().unwrap() {
        assert_eq!((health.as_str(), processes), ("down", 0), "{component}");
    }
    let stand_ins = |host: &rta_tests::NamespacedHost| {
        let processes = host.processes().into_iter();
        processes.filter(|process| process.arguments[0].ends_with("java")).count()
    };
    assert_eq!(hosts.all().iter().map(stand_ins).sum::<usize>(), 0, "something of it is left");
}
