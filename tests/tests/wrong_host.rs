//! Requests that reach the wrong agent: nothing is done, and the reason is reported.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::net::SocketAddr;

use rta_shared::proto::v1;
use rta_tests::{ServerProcess, TestConfig, connect_agent, request_target, run_binary, wait_for};
use rustix::process::Signal;
use serde_json::Value;
use tonic::Code;

/// Host `h` with its agent, and a host `wrong` that is configured with the address of the same agent.
struct Platform {
    site: TestConfig,
    agent: ServerProcess,
    address: SocketAddr,
    _aggregator: ServerProcess,
    grpc: SocketAddr,
}

impl Platform {
    fn new(components: &str, more: impl Fn(&TestConfig) -> String) -> Self {
        let site = TestConfig::new();
        site.write("components.toml", &more(&site));
        let hosts = |[address]: [SocketAddr; 1]| {
            // Two names of one machine, because the configuration rejects duplicate addresses.
            let port = address.port();
            [("h", "127.0.0.1"), ("wrong", "localhost")].iter().fold(
                "[[environment]]\nname = \"TEST\"\n".to_owned(),
                |text, (host, machine)| {
                    format!(
                        "{text}[[environment.host]]\nname = \"{host}\"\ncomponents = [{components}]\n\
                         agent = \"http://{machine}:{port}\"\n"
                    )
                },
            )
        };
        let state = site.path("state");
        let [(agent, address)] =
            site.start_agents(["h"], &["--state", state.to_str().unwrap()], "hosts.toml", hosts);
        // The agent and the aggregator must read the same file, because plans must fit both.
        agent.signal(Signal::HUP);
        let config = site.folder();
        let mut aggregator = ServerProcess::start(
            "rta-aggregator",
            ["--config", config.to_str().unwrap(), "--web", "127.0.0.1:0", "--grpc", "127.0.0.1:0"],
        );
        let grpc = aggregator.address("grpc");
        Self { site, agent, address, _aggregator: aggregator, grpc }
    }

    /// Runs a command against the aggregator; returns its exit code and everything it printed.
    fn rta(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let aggregator = self.grpc.to_string();
        let output = run_binary("rta", ["--aggregator", &aggregator].iter().chain(arguments));
        let printed = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.code(), printed)
    }

    /// Waits until the agent of host `wrong` is known to belong to another host.
    fn until_wrong_is_known(&self) {
        wait_for("the wrong host to be noticed", || {
            let (_, printed) = self.rta(&["status"]);
            printed.contains("is that of host h, not of wrong").then_some(())
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_asked_of_a_host_is_done_on_another() {
    let platform = Platform::new("\"svc\"", |site| {
        site.component_toml("svc", "", "")
            .replace("[component.start]", "[component.start]\nenvironment.SAYS = \"secret\"")
    });
    platform.until_wrong_is_known();
    assert_eq!(platform.rta(&["start", "svc", "--host", "h", "--yes"]).0, Some(0));
    let pid = platform.site.find_process("svc").unwrap();
    std::fs::write(platform.site.log_path("svc"), "what h wrote\n").unwrap();

    let reason = "is that of host h, not of wrong; correct the agent's address in the configuration";
    for action in ["stop", "restart", "start"] {
        let (code, printed) = platform.rta(&[action, "svc", "--host", "wrong", "--yes"]);
        assert!(code != Some(0) && printed.contains(reason), "{action}: {code:?} {printed}");
        assert_eq!(platform.site.processes(), [pid], "{action}");
    }
    for reading in [&["logs", "svc", "--host", "wrong"][..], &["explain", "svc", "--host", "wrong"]] {
        let (code, printed) = platform.rta(reading);
        assert!(code != Some(0) && printed.contains(reason), "{reading:?}: {code:?} {printed}");
        assert!(!printed.contains("what h wrote") && !printed.contains(&pid.to_string()), "{printed}");
    }
    let (code, printed) = platform.rta(&["config", "reload"]);
    assert!(code == Some(1) && printed.contains(reason), "{code:?} {printed}");

    // The maintenance of `wrong` does not reach the agent, and that of `h` does.
    assert_eq!(platform.rta(&["maintenance", "on", "--host", "wrong"]).0, Some(0));
    assert_eq!(platform.rta(&["maintenance", "on", "svc", "--host", "h"]).0, Some(0));
    let kept = wait_for("the agent to keep its maintenance", || {
        let state = std::fs::read_to_string(platform.site.path("state/agent.json")).ok()?;
        let state: Value = serde_json::from_str(&state).unwrap();
        Some(state["maintenance"].clone()).filter(|kept| kept.as_array().is_some_and(|kept| !kept.is_empty()))
    });
    assert_eq!(kept.as_array().unwrap().len(), 1, "{kept}");
    assert_eq!(kept[0]["component"], "svc");
}

#[tokio::test]
async fn agent_refuses_what_is_not_for_it() {
    let site = TestConfig::one_host(|site| site.component_toml("svc", "", ""));
    let (agent, address) = site.start_agent("h");
    let mut client = connect_agent(address).await;
    let right = request_target(&mut client).await.unwrap();
    let component = || "svc".to_owned();
    let wrong = v1::RequestTarget { host: "wrong".to_owned(), ..right.clone() };
    let booted = v1::RequestTarget { boot_id: "earlier".to_owned(), ..right.clone() };
    let configured = v1::RequestTarget { config_digest: "older".to_owned(), ..right.clone() };
    for (target, expected) in [
        (None, "the request does not say for which host it is, and was not carried out by the agent of h: "),
        (Some(wrong.clone()), "this is the agent of h, not of wrong; the request was not carried out: "),
        (Some(booted), "h was booted since this was planned; "),
        (Some(configured), "the configuration of h changed since this was planned; "),
    ] {
        let kind = v1::ActionKind::Start.into();
        let start = v1::AgentServiceActRequest { kind, component: component(), by: None, target };
        let status = client.act(start).await.unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert!(status.message().starts_with(expected), "{status}");
    }
    for kind in [0, 99] {
        let target = Some(right.clone());
        let act = v1::AgentServiceActRequest { kind, component: component(), by: None, target };
        assert_eq!(client.act(act).await.unwrap_err().code(), Code::InvalidArgument, "{kind}");
    }
    for target in [None, Some(wrong)] {
        let read = v1::AgentServiceReadLogRequest {
            component: component(),
            target: target.clone(),
            ..Default::default()
        };
        let statuses = [
            client.read_log(read).await.unwrap_err(),
            client
                .explain(v1::AgentServiceExplainRequest { component: component(), target: target.clone() })
                .await
                .unwrap_err(),
            client
                .inspect(v1::AgentServiceInspectRequest { component: component(), target: target.clone() })
                .await
                .unwrap_err(),
            client
                .reload_config(v1::AgentServiceReloadConfigRequest { target: target.clone() })
                .await
                .unwrap_err(),
            client
                .set_maintenance(v1::AgentServiceSetMaintenanceRequest {
                    maintenance: vec![],
                    target: target.clone(),
                })
                .await
                .unwrap_err(),
            client
                .set_prerequisites(v1::AgentServiceSetPrerequisitesRequest { prerequisites: vec![], target })
                .await
                .unwrap_err(),
        ];
        for status in statuses {
            assert_eq!(status.code(), Code::FailedPrecondition);
            assert!(status.message().contains("not carried out"), "{status}");
        }
    }
    assert!(site.processes().is_empty());
    drop(agent);
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_is_not_carried_out_by_a_configuration_that_it_was_not_made_for() {
    let platform = Platform::new("\"first\", \"second\"", |site| {
        // The launcher of the first component waits for a file.
        let waiting = format!(
            "until [ -e '{}' ]; do sleep 0.05; done\nexec \"$stand_in\" --token=first-$token",
            site.path("go").display()
        );
        site.scripted_component_toml("first", &waiting, "") + &site.component_toml("second", "\"first\"", "")
    });
    platform.until_wrong_is_known();
    let mut client = connect_agent(platform.address).await;
    let planned = request_target(&mut client).await;
    let starting = std::thread::scope(|scope| {
        let starting = scope.spawn(|| platform.rta(&["start", "second", "--host", "h", "--yes"]));
        wait_for("the first one to be starting", || {
            let (_, printed) = platform.rta(&["status", "--json"]);
            printed.contains("\"starting\"").then_some(())
        });
        platform.site.write("more.toml", "# Something else.\n");
        platform.agent.signal(Signal::HUP);
        wait_for("the agent to take up its configuration", || {
            let reported = request_target(&mut client);
            let now = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(reported));
            (now != planned).then_some(())
        });
        std::fs::write(platform.site.path("go"), "").unwrap();
        starting.join().unwrap()
    });
    let (code, printed) = starting;
    assert!(code != Some(0), "{printed}");
    let reason = "the configuration of h changed since this was planned; the request was not carried out: plan it again";
    assert!(printed.contains(reason), "{printed}");
    assert!(platform.site.find_process("first").is_some() && platform.site.find_process("second").is_none());
    assert_eq!(platform.rta(&["start", "second", "--host", "h", "--yes"]).0, Some(0));
}
