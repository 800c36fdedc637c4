//! Simulated hosts that other tests rely on.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use rta_tests::{NamespacedHost, NamespacedHosts, wait_for};

fn output(host: &NamespacedHost, program: &str, arguments: &[&str]) -> String {
    let output = host.command(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn hosts_have_names_processes_and_boots_of_their_own() {
    let Some(mut hosts) = NamespacedHosts::start(&["one", "two"]) else { return };
    let boot_id = |host: &NamespacedHost| output(host, "cat", &["/proc/sys/kernel/random/boot_id"]);
    assert_eq!(output(hosts.get(1), "hostname", &[]), "two");
    assert_ne!(boot_id(hosts.get(0)), boot_id(hosts.get(1)));

    // With a shell in between, because nsenter would stop together with its own child.
    let mut sleeper = hosts.get(0).command("sh").args(["-c", "sleep 600; true"]).spawn().unwrap();
    let sleeps = |host: &NamespacedHost| {
        host.processes().into_iter().find(|process| process.arguments == ["sleep", "600"])
    };
    let found = wait_for("the process to be seen", || sleeps(hosts.get(0)));
    assert_eq!((found.uid, found.is_stopped), (0, false));
    assert!(sleeps(hosts.get(1)).is_none());
    hosts.get(0).signal(found.pid, "STOP");
    wait_for("it to be stopped", || sleeps(hosts.get(0)).filter(|process| process.is_stopped));

    let before = boot_id(hosts.get(0));
    hosts.get_mut(0).power_off();
    assert!(!hosts.get(0).is_on() && hosts.get(0).processes().is_empty());
    sleeper.wait().unwrap();
    hosts.get_mut(0).power_on();
    assert_ne!(boot_id(hosts.get(0)), before);
    assert!(sleeps(hosts.get(0)).is_none());
}

#[test]
fn a_host_that_is_cut_off_answers_nobody_until_it_is_healed() {
    let Some(hosts) = NamespacedHosts::start(&["one"]) else { return };
    let host = hosts.get(0);
    let listener = TcpListener::bind("10.77.0.254:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let connects = || {
        let script = format!("exec 3<>/dev/tcp/10.77.0.254/{port}");
        let mut command = host.command("timeout");
        command.args(["1", "bash", "-c", &script]).stderr(std::process::Stdio::null());
        command.status().unwrap().success()
    };
    assert!(connects());
    host.cut();
    assert!(!connects());
    // The opposite case: no refusal and no answer.
    let address = SocketAddr::from((host.address(), 9));
    let error = TcpStream::connect_timeout(&address, Duration::from_millis(500)).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    host.heal();
    wait_for("the host to be joined again", || connects().then_some(()));
}

#[test]
fn the_threads_own_network_is_back_in_the_end() {
    let namespace = || std::fs::read_link("/proc/thread-self/ns/net").unwrap();
    let before = namespace();
    let Some(hosts) = NamespacedHosts::start(&["one"]) else { return };
    assert_ne!(namespace(), before);
    drop(hosts);
    assert_eq!(namespace(), before);
}
