//! Shipped units under a real systemd: without certificates they fail and name the command that creates them;
//! then they work with the shipped user, group and folder.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use rta_tests::{RealSystemd, TestConfig, binary, wait_for};

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../config");
/// Ordinary users, one of them in the group `rta`.
const USERS: &str = "rta-ann:x:61001:61001::/:/bin/sh\nrta-eve:x:61002:61002::/:/bin/sh\n";

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Returns a shipped unit with the paths of the test; its data is also kept in the test's folder.
fn unit(config: &TestConfig, name: &str, more: &str) -> (String, String) {
    let unit = format!("{name}.service");
    let text = std::fs::read_to_string(format!("{SHIPPED}/systemd/{unit}")).unwrap();
    let folder = shown(&config.path(""));
    let text = text
        .replace("/usr/local/bin/", &format!("{folder}bin/"))
        .replace("--config /etc/rta/platform", &format!("--config {folder}config {more}"))
        .replace("/etc/rta/tls", &format!("{folder}tls"))
        .replace("/var/lib/rta", &format!("{folder}data"))
        .replace("${STATE_DIRECTORY}", &format!("{folder}state"));
    let kept: Vec<&str> = text.lines().filter(|line| !line.starts_with("StateDirectory")).collect();
    let text = kept.join("\n").replace(
        "[Service]\n",
        &format!("[Service]\nReadWritePaths={folder}data\nStandardError=append:{folder}{name}.log\n"),
    );
    (unit, text + "\n")
}

fn succeeded(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    output
}

/// Adds the shipped user and group to the user database, in this systemd's mount namespace alone.
fn add_users(config: &TestConfig, systemd: &RealSystemd) {
    let root = config.path("root");
    std::fs::create_dir_all(root.join("etc")).unwrap();
    for file in ["passwd", "group"] {
        let text = std::fs::read_to_string(format!("/etc/{file}")).unwrap();
        let text: Vec<&str> = text.lines().filter(|line| !line.starts_with("rta:")).collect();
        let more = if file == "passwd" { USERS } else { "" };
        std::fs::write(root.join("etc").join(file), format!("{}\n{more}", text.join("\n"))).unwrap();
    }
    let mut sysusers = Command::new("systemd-sysusers");
    succeeded(sysusers.arg(format!("--root={}", shown(&root))).arg(format!("{SHIPPED}/sysusers.d/rta.conf")));
    let group = root.join("etc/group");
    let text = std::fs::read_to_string(&group).unwrap();
    let with_member = |line: &str| match line.starts_with("rta:") {
        true => format!("{}rta-ann\n", line.trim_end()),
        false => format!("{line}\n"),
    };
    std::fs::write(&group, text.lines().map(with_member).collect::<String>()).unwrap();
    for file in ["passwd", "group"] {
        succeeded(
            systemd.enter("mount").arg("--bind").arg(root.join("etc").join(file)).arg(format!("/etc/{file}")),
        );
    }
}

/// Returns a property of a unit.
fn property(systemd: &RealSystemd, unit: &str, property: &str) -> String {
    let output = systemd.systemctl(&["show", "--property", property, "--value", unit]);
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn units_need_certificates_and_then_serve_the_group_rta() {
    let config = TestConfig::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let host = format!(
        "[[environment]]\nname = \"TEST\"\nhost = [{{ name = \"h\", components = [\"app\"], agent = \"https://127.0.0.1:{port}\" }}]\n"
    );
    config.write("site.toml", &(config.component_toml("app", "", "") + &host));
    let (agent, text) = unit(&config, "rta-agent", "--host h");
    let agent_text = text.replace("0.0.0.0:7601", &format!("127.0.0.1:{port}"));
    let (aggregator, aggregator_text) = unit(&config, "rta-aggregator", "--web 127.0.0.1:0");
    let units = [(agent.as_str(), agent_text), (aggregator.as_str(), aggregator_text)];
    let Some(systemd) = RealSystemd::start(config.token(), &units) else { return };
    add_users(&config, &systemd);
    std::fs::create_dir(config.path("bin")).unwrap();
    for program in ["rta", "rta-agent", "rta-aggregator"] {
        // Copied by a separate process: a file open for writing here would be busy during a fork.
        succeeded(Command::new("cp").arg(binary(program)).arg(config.path("bin")));
    }
    for folder in ["", "config"] {
        std::fs::set_permissions(config.path(folder), Permissions::from_mode(0o755)).unwrap();
    }
    succeeded(systemd.enter("install").args(["-d", "-o", "rta", "-g", "rta"]).arg(config.path("data")));
    succeeded(
        systemd.enter("systemd-tmpfiles").arg("--create").arg(format!("{SHIPPED}/tmpfiles.d/rta.conf")),
    );

    for unit in [&agent, &aggregator] {
        // With Type=notify the command fails at once; with Type=simple only the unit's
        // state shows the failure.
        systemd.systemctl(&["start", unit]);
        wait_for("the unit to fail", || (property(&systemd, unit, "ActiveState") == "failed").then_some(()));
        assert_eq!(property(&systemd, unit, "ExecMainStatus"), "2");
        assert_eq!(property(&systemd, unit, "NRestarts"), "0", "{unit} is not tried again");
        succeeded(systemd.enter("systemctl").args(["reset-failed", unit.as_str()]));
    }
    let log = |program: &str| std::fs::read_to_string(config.path(&format!("{program}.log"))).unwrap();
    for (program, certificate) in [("rta-agent", "agent.pem"), ("rta-aggregator", "aggregator.pem")] {
        let said = log(program);
        assert!(said.contains(certificate) && said.contains("rta pki host NAME --install DIR"), "{said}");
    }

    let (pki, tls) = (shown(&config.path("pki")), shown(&config.path("tls")));
    let rta = |arguments: &[&str]| {
        let mut command = systemd.enter(config.path("bin/rta"));
        command.args(arguments);
        command
    };
    succeeded(&mut rta(&["pki", "--dir", &pki, "init"]));
    succeeded(&mut rta(&["pki", "--dir", &pki, "host", "h", "--install", &tls]));
    succeeded(&mut rta(&["pki", "--dir", &pki, "host", "aggregator", "--install", &tls]));
    for unit in [&agent, &aggregator] {
        let started = systemd.systemctl(&["start", unit]);
        assert!(started.status.success(), "{started:?}: {}{}", log("rta-agent"), log("rta-aggregator"));
    }
    // The command finds the socket without a flag.
    wait_for("the agent to be reached", || {
        let status = rta(&["status"]).output().unwrap();
        String::from_utf8_lossy(&status.stdout).contains("app on h is down").then_some(())
    });
    let as_user = |uid: &str| {
        let mut command = systemd.enter("setpriv");
        command
            .args(["--reuid", uid, "--regid", uid, "--init-groups"])
            .arg(config.path("bin/rta"))
            .arg("list");
        command.output().unwrap()
    };
    let member = as_user("61001");
    assert!(member.status.success(), "{member:?}");
    let other = as_user("61002");
    assert_eq!(other.status.code(), Some(4));
    assert!(
        String::from_utf8_lossy(&other.stderr).contains("only root and members of the group rta"),
        "{other:?}"
    );
    for unit in [&aggregator, &agent] {
        assert!(systemd.systemctl(&["stop", unit]).status.success());
    }
}
