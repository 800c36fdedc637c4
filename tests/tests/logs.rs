//! Logs end to end: a component's file, the agent, the aggregator, the command and the page.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rta_shared::proto::v1;
use rta_tests::{
    OutputReader, ServerProcess, TestCluster, TestConfig, binary, connect_agent, request_target, wait_for,
};

/// Starts one host with a component that has a log, and one without a log. Adds `more` to the first
/// component's `[component.start]` table.
fn start_cluster(more: &str) -> TestCluster {
    let config = TestConfig::new();
    let silent = format!(
        "[[component]]\nname = \"silent\"\ncriteria = [{{ regex = '^--token=silent-{}$' }}]\n",
        config.token()
    );
    let components = config.component_toml("kafka server", "", more) + &silent;
    let cluster =
        TestCluster::builder(config).components(&components).host("h", &["kafka server", "silent"]).start();
    std::fs::create_dir(cluster.config.path("log")).unwrap();
    cluster
}

fn append(path: &Path, text: &str) {
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// Command that follows a log until it is dropped.
struct LogFollower(Child);

impl Drop for LogFollower {
    fn drop(&mut self) {
        // Errors mean that it has ended and was waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_last_lines_are_shown_by_the_command_and_on_the_page() {
    let cluster = start_cluster("");
    append(&cluster.config.log_path("kafka server"), "first\n\tat x.Y\n<b>\u{1b}[31mred</b>\n");
    let output = wait_for("the agent to be known", || {
        Some(cluster.aggregator.rta(&["logs", "kafka", "server", "-n", "2"]))
            .filter(|output| output.status.success())
    });
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "\tat x.Y\n<b>\\u{1b}[31mred</b>\n");

    let page = cluster.aggregator.web.get("/log?environment=TEST&host=h&component=kafka+server");
    assert!(page.code == 200 && page.body.contains("&lt;b&gt;\\u{1b}[31mred&lt;/b&gt;"), "{page:?}");
    assert!(
        cluster
            .aggregator
            .web
            .get("/")
            .body
            .contains("/log?environment=TEST&amp;host=h&amp;component=kafka+server")
    );
}

#[test]
fn only_the_logs_that_the_configuration_names_are_read() {
    let cluster = start_cluster("");
    let none = wait_for("the agent to be known", || {
        let output = cluster.aggregator.rta(&["logs", "silent"]);
        let said = String::from_utf8(output.stderr).unwrap();
        (!said.contains("no connection")).then_some((output.status.code(), said))
    });
    assert_eq!(none.0, Some(1));
    assert!(none.1.contains("silent on h: the configuration names no log for it"), "{}", none.1);
    let missing = cluster.aggregator.rta(&["logs", "kafka server"]);
    assert!(
        String::from_utf8(missing.stderr).unwrap().contains("kafka server.log cannot be read: No such file"),
    );
    for (path, code) in [("../../etc/passwd", 4), ("/etc/passwd", 2), ("kafka server/../x", 4)] {
        let output = cluster.aggregator.rta(&["logs", path]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(code), 0), "{path}");
    }
}

#[test]
fn a_log_that_is_rotated_is_followed_without_losing_a_line() {
    let cluster = start_cluster("");
    append(&cluster.config.log_path("kafka server"), "1\n");
    let mut command = Command::new(binary("rta"));
    command.args([
        "--aggregator",
        &cluster.aggregator.grpc.to_string(),
        "logs",
        "kafka server",
        "-f",
        "-n",
        "1",
    ]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut following = LogFollower(command.spawn().unwrap());
    let lines = OutputReader::collect(following.0.stdout.take().unwrap());
    let notices = OutputReader::collect(following.0.stderr.take().unwrap());
    let until = |wanted: &str| {
        wait_for(wanted, || lines.lines().iter().any(|line| line == wanted).then_some(()));
    };
    until("1");
    for number in 2..50 {
        append(&cluster.config.log_path("kafka server"), &format!("{number}\n"));
        if number % 10 == 0 {
            std::fs::rename(
                cluster.config.log_path("kafka server"),
                cluster.config.path(&format!("log/{number}")),
            )
            .unwrap();
            append(&cluster.config.log_path("kafka server"), "");
            until(&number.to_string());
        }
    }
    until("49");
    let expected: Vec<String> = (1..50).map(|number| number.to_string()).collect();
    assert_eq!(lines.lines(), expected);
    assert!(
        notices.lines().iter().any(|notice| notice == "rta: the log was rotated"),
        "{:?}",
        notices.lines()
    );
}

#[test]
fn folder_that_the_components_user_replaced_by_a_link_is_neither_read_nor_written() {
    // Without root there is no folder of another user.
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let cluster = start_cluster("user = \"nobody\"");
    let root_owned = cluster.config.path("root");
    std::fs::create_dir(&root_owned).unwrap();
    let secret = root_owned.join("kafka server.log");
    append(&secret, "only root may read this\n");
    let (home, log) = (cluster.config.path("log"), cluster.config.log_path("kafka server"));
    // The folder of the log and the log belong to the user.
    std::os::unix::fs::chown(&home, Some(65_534), Some(65_534)).unwrap();
    append(&log, "a line of the component\n");
    std::os::unix::fs::chown(&log, Some(65_534), Some(65_534)).unwrap();
    let shown = wait_for("the agent to be known", || {
        Some(cluster.aggregator.rta(&["logs", "kafka server"])).filter(|output| output.status.success())
    });
    assert_eq!(String::from_utf8(shown.stdout).unwrap(), "a line of the component\n");

    // Replaces the folder by a symbolic link, as the component's user could, who can also
    // change the outer folder.
    std::os::unix::fs::chown(cluster.config.path("."), Some(65_534), None).unwrap();
    std::fs::rename(&home, cluster.config.path("before")).unwrap();
    std::os::unix::fs::symlink(&root_owned, &home).unwrap();
    for command in [&["logs", "kafka server"][..], &["start", "kafka server"]] {
        let output = cluster.aggregator.rta(command);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(!output.status.success() && said.contains("symbolic link"), "{command:?}: {said}");
        assert!(!said.contains("only root"), "{said}");
    }
    let page = cluster.aggregator.web.get("/log?environment=TEST&host=h&component=kafka+server");
    assert!(page.code == 502 && page.body.contains("symbolic link"), "{page:?}");
    // A file that only root can read, moved to the log's path.
    std::fs::remove_file(&home).unwrap();
    std::fs::rename(cluster.config.path("before"), &home).unwrap();
    std::fs::rename(&secret, &log).unwrap();
    std::fs::set_permissions(&log, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let output = cluster.aggregator.rta(&["logs", "kafka server"]);
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(said.contains("it is opened as user nobody, who may not read it"), "{said}");
}

/// A component run by systemd has a log without a file: its unit's journal, shown by journalctl.
#[tokio::test]
async fn a_unit_without_a_log_shows_its_journal() {
    let config = TestConfig::one_host(|_| {
        "[[component]]\nname = \"grafana\"\ncriteria = [{ regex = '^no-such-process$' }]\n\
         start = { systemd = \"grafana-server.service\" }\n"
            .to_owned()
    });
    let programs = config.path("bin");
    std::fs::create_dir(&programs).unwrap();
    let script = "#!/bin/sh\necho \"$@\"\necho started\n";
    let write = "printf %s \"$1\" > \"$2\"; chmod 755 \"$2\"";
    let written =
        Command::new("sh").args(["-c", write, "sh", script]).arg(programs.join("journalctl")).status();
    assert!(written.unwrap().success());
    let mut command = Command::new(binary("rta-agent"));
    command.arg("--config").arg(config.folder()).args(["--host", "h", "--listen", "127.0.0.1:0"]);
    command.env("PATH", format!("{}:/usr/bin:/bin", programs.display()));
    let mut agent = ServerProcess::spawn(command);
    let mut client = connect_agent(agent.address("address")).await;
    let request = v1::AgentServiceReadLogRequest {
        component: "grafana".to_owned(),
        lines: 20,
        follow: false,
        target: request_target(&mut client).await,
    };
    let mut stream = client.read_log(request).await.unwrap().into_inner();
    let mut lines = Vec::new();
    while let Some(piece) = stream.message().await.unwrap() {
        lines.extend(piece.lines);
    }
    assert_eq!(lines, ["--unit=grafana-server.service --lines=20 --output=short-iso --no-pager", "started"]);
}
