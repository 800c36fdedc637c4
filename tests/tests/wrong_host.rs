//! Requests that reach the wrong agent: nothing is done, and the reason is reported.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::net::SocketAddr;

use rta_shared::proto::v1;
use rta_tests::{TestCluster, TestConfig, connect_agent, request_target, wait_for};
use rustix::process::Signal;
use serde_json::Value;
use tonic::Code;

/// Starts host `h` with its agent, and a host `wrong` that is configured with the address of the same agent.
fn start_cluster(config: TestConfig, components_toml: &str, components: &'static str) -> TestCluster {
    let hosts = move |agents: &[SocketAddr]| {
        // Two names of one machine, because the configuration rejects duplicate addresses.
        let port = agents[0].port();
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
    let state = config.path("state").display().to_string();
    TestCluster::builder(config)
        .components(components_toml)
        .hosts_toml(&["h"], hosts)
        .agent_arguments(["--state", &state])
        .start()
}

/// Runs a command against the aggregator; returns its exit code and everything it printed.
fn rta(cluster: &TestCluster, arguments: &[&str]) -> (Option<i32>, String) {
    let output = cluster.aggregator.rta(arguments);
    let printed = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.code(), printed)
}

/// Waits until the agent of host `wrong` is known to belong to another host.
fn wait_until_wrong_is_known(cluster: &TestCluster) {
    wait_for("the wrong host to be noticed", || {
        let (_, printed) = rta(cluster, &["status"]);
        printed.contains("is that of host h, not of wrong").then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_asked_of_a_host_is_done_on_another() {
    let config = TestConfig::new();
    let components = {
        config
            .component_toml("svc", "", "")
            .replace("[component.start]", "[component.start]\nenvironment.SAYS = \"secret\"")
    };
    let cluster = start_cluster(config, &components, "\"svc\"");
    wait_until_wrong_is_known(&cluster);
    assert_eq!(rta(&cluster, &["start", "svc", "--host", "h", "--yes"]).0, Some(0));
    let pid = cluster.config.find_process("svc").unwrap();
    std::fs::write(cluster.config.log_path("svc"), "what h wrote\n").unwrap();

    let reason = "is that of host h, not of wrong; correct the agent's address in the configuration";
    for action in ["stop", "restart", "start"] {
        let (code, printed) = rta(&cluster, &[action, "svc", "--host", "wrong", "--yes"]);
        assert!(code != Some(0) && printed.contains(reason), "{action}: {code:?} {printed}");
        assert_eq!(cluster.config.processes(), [pid], "{action}");
    }
    for reading in [&["logs", "svc", "--host", "wrong"][..], &["explain", "svc", "--host", "wrong"]] {
        let (code, printed) = rta(&cluster, reading);
        assert!(code != Some(0) && printed.contains(reason), "{reading:?}: {code:?} {printed}");
        assert!(!printed.contains("what h wrote") && !printed.contains(&pid.to_string()), "{printed}");
    }
    let (code, printed) = rta(&cluster, &["config", "reload"]);
    assert!(code == Some(1) && printed.contains(reason), "{code:?} {printed}");

    // The maintenance of `wrong` does not reach the agent, and that of `h` does.
    assert_eq!(rta(&cluster, &["maintenance", "on", "--host", "wrong"]).0, Some(0));
    assert_eq!(rta(&cluster, &["maintenance", "on", "svc", "--host", "h"]).0, Some(0));
    let kept = wait_for("the agent to keep its maintenance", || {
        let state = std::fs::read_to_string(cluster.config.path("state/agent.json")).ok()?;
        let state: Value = serde_json::from_str(&state).unwrap();
        Some(state["maintenance"].clone()).filter(|kept| kept.as_array().is_some_and(|kept| !kept.is_empty()))
    });
    assert_eq!(kept.as_array().unwrap().len(), 1, "{kept}");
    assert_eq!(kept[0]["component"], "svc");
}

#[tokio::test]
async fn agent_refuses_what_is_not_for_it() {
    let config = TestConfig::one_host(|config| config.component_toml("svc", "", ""));
    let (agent, address) = config.start_agent("h");
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
        let start = v1::AgentServiceActRequest {
            kind,
            component: component(),
            by: None,
            target,
            request_id: String::new(),
        };
        let status = client.act(start).await.unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert!(status.message().starts_with(expected), "{status}");
    }
    for kind in [0, 99] {
        let target = Some(right.clone());
        let act = v1::AgentServiceActRequest {
            kind,
            component: component(),
            by: None,
            target,
            request_id: String::new(),
        };
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
    assert!(config.processes().is_empty());
    drop(agent);
}

#[tokio::test(flavor = "multi_thread")]
async fn plan_is_not_carried_out_by_a_configuration_that_it_was_not_made_for() {
    let config = TestConfig::new();
    let components = {
        // The launcher of the first component waits for a file.
        let waiting = format!(
            "until [ -e '{}' ]; do sleep 0.05; done\nexec \"$stand_in\" --token=first-$token",
            config.path("go").display()
        );
        config.scripted_component_toml("first", &waiting, "")
            + &config.component_toml("second", "\"first\"", "")
    };
    let cluster = start_cluster(config, &components, "\"first\", \"second\"");
    wait_until_wrong_is_known(&cluster);
    let mut client = cluster.agents[0].client().await;
    let planned = request_target(&mut client).await;
    let starting = std::thread::scope(|scope| {
        let starting = scope.spawn(|| rta(&cluster, &["start", "second", "--host", "h", "--yes"]));
        wait_for("the first one to be starting", || {
            let (_, printed) = rta(&cluster, &["status", "--json"]);
            printed.contains("\"starting\"").then_some(())
        });
        cluster.config.write("more.toml", "# Something else.\n");
        cluster.agents[0].process.signal(Signal::HUP);
        wait_for("the agent to take up its configuration", || {
            let reported = request_target(&mut client);
            let now = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(reported));
            (now != planned).then_some(())
        });
        std::fs::write(cluster.config.path("go"), "").unwrap();
        starting.join().unwrap()
    });
    let (code, printed) = starting;
    assert!(code != Some(0), "{printed}");
    let reason = "the configuration of h changed since this was planned; the request was not carried out: plan it again";
    assert!(printed.contains(reason), "{printed}");
    assert!(
        cluster.config.find_process("first").is_some() && cluster.config.find_process("second").is_none()
    );
    assert_eq!(rta(&cluster, &["start", "second", "--host", "h", "--yes"]).0, Some(0));
}
