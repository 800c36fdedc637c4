//! Rolling restarts on real processes: batch by batch over the hosts, and no further than the first failure.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use rta_tests::{TestCluster, TestConfig, binary, wait_for};

const HOSTS: [&str; 3] = ["k1", "k2", "k3"];

/// Starts three hosts with the role `main`, each of which runs Kafka, and one without it. While the file
/// `broken-HOST` exists, Kafka of that host does not start; while `unwell-HOST` exists, its probe fails.
fn start_cluster() -> TestCluster {
    let config = TestConfig::new();
    let (token, folder) = (config.token().to_owned(), config.folder());
    let components = format!(
        "[[component]]\nname = \"kafka server\"\ncriteria = [{{ regex = '^--token=${{self}}-{token}$' }}]\n\
         probe = {{ command = [\"/bin/sh\", \"-c\", \"[ ! -e {folder}/unwell-${{self}} ]\"], interval = \"1s\", failures = 1, grace = \"0s\" }}\n\
         [component.start]\nsettle = \"0s\"\ntimeout = \"20s\"\n\
         command = [\"/bin/sh\", \"-c\", \"[ -e {folder}/broken-${{self}} ] && exit 3; exec {stand_in} --token=${{self}}-{token}\"]\n\
         environment.STAND_IN_LEASE = \"{lease}\"\n\
         [[role]]\nname = \"main\"\ncomponents = [\"kafka server\"]\n",
        folder = folder.display(),
        stand_in = binary("stand-in").display(),
        lease = std::process::id(),
    );
    let mut cluster = TestCluster::builder(config).components(&components);
    for host in HOSTS {
        cluster = cluster.host_with(host, &format!("role = \"main\"\nvariables = {{ self = \"{host}\" }}"));
    }
    let cluster = cluster
        .host_with("other", "components = [\"kafka server\"]\nvariables = { self = \"other\" }")
        .start();
    cluster.aggregator.rta_success(&["start", "--all", "--yes"]);
    wait_for("everything to be up", || {
        cluster.aggregator.instances().iter().all(|one| one["health"] == "up").then_some(())
    });
    cluster
}

/// Returns the PID of Kafka on each host.
fn pids(cluster: &TestCluster) -> Vec<u32> {
    HOSTS.iter().chain(&["other"]).map(|host| cluster.config.find_process(host).unwrap()).collect()
}

const RESTART: [&str; 11] =
    ["restart", "kafka", "server", "--role", "main", "--batch", "1", "--pause", "1s", "--gate", "probe"];

#[test]
fn hosts_of_the_role_are_restarted_one_after_the_other() {
    let cluster = start_cluster();
    let before = pids(&cluster);
    let plan = cluster.aggregator.rta_success(&[&RESTART[..], &["--plan"]].concat());
    for expected in [
        "batch 1:\n1. restart  TEST/k1/kafka server\n2. check    TEST/k1/kafka server  after 1  (it must be up and pass its probe, for 1s)\n",
        "batch 2:\n3. restart  TEST/k2/kafka server  after 2\n",
        "batch 3:\n5. restart  TEST/k3/kafka server  after 4\n",
    ] {
        assert!(plan.contains(expected), "{expected}\n{plan}");
    }
    assert_eq!(pids(&cluster), before, "a plan alone does nothing");
    let said = cluster.aggregator.rta_success(&[&RESTART[..], &["--yes"]].concat());
    let after = pids(&cluster);
    assert!((0..3).all(|at| before[at] != after[at]), "{said}");
    assert_eq!(before[3], after[3], "it has another role");
    assert!(said.contains("TEST/k1/kafka server: it has been up for 1 s"), "{said}");
    // The order in which the steps ended.
    let ends: Vec<usize> = [
        "TEST/k1/kafka server: it has been up",
        "TEST/k2/kafka server: it has been up",
        "TEST/k3/kafka server: it is up",
    ]
    .iter()
    .map(|text| said.find(text).unwrap())
    .collect();
    assert!(ends.is_sorted(), "{said}");
    let began = said.find("TEST/k2/kafka server: restarting").unwrap();
    assert!(ends[0] < began, "the second batch waits for the first: {said}");
    assert!(said.contains("6 steps done"), "{said}");

    // The same from the page: the plan first, then the button that begins it.
    let web = cluster.aggregator.web;
    let batches = "environment=TEST&component=kafka+server&role=main&batch=2&pause=0s&gate=up";
    let preview = web.get(&format!("/preview?action=restart&{batches}"));
    for expected in [
        "Restart kafka server in TEST on the hosts with role main, 2 hosts at a time?",
        "kafka server is on 4 hosts of TEST.",
        "batch 2",
        "Restart 3 instances",
    ] {
        assert!(preview.code == 200 && preview.body.contains(expected), "{expected}: {preview:?}");
    }
    assert_eq!(pids(&cluster), after, "a preview alone does nothing");
    let asked = web.post("/restart", batches);
    assert!(asked.code == 200 && asked.body.contains("name=\"agreed\""), "{asked:?}");
    let agreed = HOSTS.map(|host| format!("&agreed=TEST/{host}/kafka+server")).concat();
    let begun = web.post("/restart", &format!("{batches}{agreed}"));
    assert_eq!(begun.code, 303, "{begun:?}");
    wait_for("the end of the plan", || {
        let page = web.get(begun.header("location").unwrap()).body;
        page.contains("<strong role=\"status\">6 steps done").then_some(())
    });
    let last = pids(&cluster);
    assert!((0..3).all(|at| last[at] != after[at]) && last[3] == after[3]);
    let wrong = web.post("/restart", "environment=TEST&component=kafka+server&batch=1&pause=soon");
    assert!(wrong.code == 400 && wrong.body.contains("is no length of time"), "{wrong:?}");
}

#[test]
fn batch_that_does_not_come_back_ends_it() {
    let cluster = start_cluster();
    let before = pids(&cluster);
    let (broken, last) = (cluster.config.folder().join("broken-k2"), before[2]);
    std::fs::write(&broken, "").unwrap();
    let output = cluster.aggregator.rta(&[&RESTART[..], &["--yes"]].concat());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    for expected in [
        "TEST/k1/kafka server: it has been up for 1 s",
        "TEST/k2/kafka server: failed",
        "TEST/k3/kafka server: skipped: not attempted, since the restart of kafka server on k2 failed",
        "2 steps done, 1 failed, 3 skipped",
    ] {
        assert!(said.contains(expected), "{expected}\n{said}");
    }
    assert_eq!(cluster.config.find_process("k3"), Some(last), "the last batch was not touched");
    let events = cluster.aggregator.events("kind=step");
    let checked = |event: &serde_json::Value| {
        event["text"].as_str().unwrap().starts_with("check of kafka server on k1: done: it has been up")
    };
    assert!(events.iter().any(checked), "{events:?}");
}

#[test]
fn probe_that_fails_in_the_pause_ends_it() {
    let cluster = start_cluster();
    let before = pids(&cluster);
    let folder = cluster.config.folder();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // The probe fails once the first host is up again.
            wait_for("the first batch", || {
                let new = cluster.config.find_process("k1").filter(|pid| *pid != before[0]);
                let is_up = cluster.aggregator.events("kind=step").iter().any(|event| {
                    event["text"]
                        .as_str()
                        .is_some_and(|text| text.starts_with("restart of kafka server on k1: done"))
                });
                new.filter(|_| is_up)
            });
            std::fs::write(folder.join("unwell-k1"), "").unwrap();
        });
        let mut restart = RESTART;
        restart[8] = "1h";
        let output = cluster.aggregator.rta(&[&restart[..], &["--yes"]].concat());
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("TEST/k1/kafka server: failed: it did not stay up: it is degraded"), "{said}");
        let skipped =
            "TEST/k2/kafka server: skipped: not attempted, since the check of kafka server on k1 failed";
        assert!(said.contains(skipped), "{said}");
    });
    assert_eq!(pids(&cluster)[1..], before[1..], "nothing else was touched");
}

#[test]
fn cancel_in_a_pause_leaves_the_rest_alone() {
    let cluster = start_cluster();
    let before = pids(&cluster);
    let mut restart = RESTART;
    restart[8] = "1h";
    std::thread::scope(|scope| {
        let run = scope.spawn(|| cluster.aggregator.rta(&[&restart[..], &["--yes", "--json"]].concat()));
        let plan = wait_for("the pause", || {
            let events = cluster.aggregator.events("kind=step");
            let begun = events.iter().find(|event| {
                event["text"]
                    .as_str()
                    .is_some_and(|text| text.starts_with("check of kafka server on k1: under way"))
            })?;
            begun["plan"].as_u64()
        });
        let page = cluster.aggregator.web.get(&format!("/plan?id={plan}")).body;
        assert!(page.contains("Check kafka server") && page.contains("batch 3"), "{page}");
        // Cancelled too early it would count as not up.
        wait_for("the pause to be shown", || {
            let page = cluster.aggregator.web.get(&format!("/plan?id={plan}")).body;
            page.contains("it is up; pausing for 3600 s").then_some(())
        });
        assert_eq!(cluster.aggregator.web.post("/cancel", &format!("id={plan}")).code, 303);
        let output = run.join().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("the pause was cut short, since the plan was cancelled"), "{said}");
        assert!(said.contains("\"cancelled\":true"), "{said}");
    });
    assert_eq!(pids(&cluster)[1..], before[1..], "nothing else was touched");
}
