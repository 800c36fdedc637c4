//! Rights to view and to act, on the real aggregator. Attacks are tested in `hostile`.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::sync::atomic::{AtomicBool, Ordering};

use rta_tests::{
    PASSWORD, ServerProcess, TestCluster, TestConfig, TestUsers, WebClient, WebSession, run_binary, wait_for,
};

const FORM: &str = "environment=TEST&host=h&component=app";

/// Starts one host with `app`, its agent, and an aggregator with users and further arguments.
fn start_cluster(viewing: &str, aggregator_arguments: &[&str]) -> TestCluster {
    let config = TestConfig::new();
    let app = config.component_toml("app", "", "");
    TestCluster::builder(config)
        .components(&app)
        .host("h", &["app"])
        .users(viewing)
        .aggregator_arguments(aggregator_arguments)
        .start()
}

#[test]
fn one_signs_in_acts_and_signs_out() {
    let cluster = start_cluster("closed", &[]);
    let page = cluster.aggregator.web.get("/?q=app");
    assert_eq!(
        (page.code, page.head.contains("location: /sign-in?next=%2f%3fq%3dapp")),
        (303, true),
        "{page:?}"
    );
    assert_eq!(cluster.aggregator.web.get("/api/v1/overview").code, 401);
    assert_eq!(cluster.aggregator.web.get("/live").code, 401);
    assert_eq!(cluster.aggregator.web.get("/healthz").code, 200);

    let wrong = cluster.aggregator.web.sign_in("ann", "wrong horse battery");
    assert!(
        wrong.code == 401
            && wrong.body.contains("Wrong user name or password.")
            && !wrong.head.contains("set-cookie"),
        "{wrong:?}"
    );
    let right = cluster.aggregator.web.sign_in("ann", PASSWORD);
    assert!(right.code == 303 && right.head.contains("location: /events"), "{right:?}");
    let line = right.header("set-cookie").unwrap();
    assert!(line.contains("httponly") && line.contains("samesite=lax") && line.contains("path=/"), "{line}");

    let WebSession { cookie, csrf } = cluster.aggregator.web.session("ann");
    let page = cluster.aggregator.web.request("GET", "/", &[("Cookie", &cookie)], "");
    assert!(page.code == 200 && page.body.contains("Sign out") && page.body.contains("action=\"/start\""));
    let started = cluster.aggregator.web.request(
        "POST",
        "/start",
        &[("Cookie", &cookie)],
        &format!("{FORM}&csrf={csrf}"),
    );
    assert_eq!(started.code, 303, "{started:?}");
    wait_for("it to run", || cluster.config.find_process("app"));
    let events = wait_for("it to be recorded", || {
        let events = cluster
            .aggregator
            .web
            .request("GET", "/api/v1/events?kind=plan", &[("Cookie", &cookie)], "")
            .body;
        events.contains("\"user\":\"ann\"").then_some(events)
    });
    assert!(events.contains("start of app on h"), "{events}");

    let out =
        cluster.aggregator.web.request("POST", "/sign-out", &[("Cookie", &cookie)], &format!("csrf={csrf}"));
    assert_eq!(out.code, 303);
    assert_eq!(
        cluster.aggregator.web.request("GET", "/", &[("Cookie", &cookie)], "").code,
        303,
        "the cookie is worth nothing any more"
    );
}

#[test]
fn sign_ins_are_events_and_no_typed_secret_is() {
    let cluster = start_cluster("open", &[]);
    let web = &cluster.aggregator.web;
    let texts = || {
        let answer = web.get("/api/v1/events?kind=sign-in").body;
        let events: serde_json::Value = serde_json::from_str(&answer).unwrap();
        let texts = events["events"].as_array().unwrap().iter();
        texts.map(|event| event["text"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for _ in 0..3 {
        assert_eq!(web.sign_in("ann", "wrong horse battery").code, 401);
    }
    assert_eq!(web.sign_in("my secret, in the wrong field", PASSWORD).code, 401);
    let WebSession { cookie, csrf } = web.session("ann");
    let out = web.request("POST", "/sign-out", &[("Cookie", &cookie)], &format!("csrf={csrf}"));
    assert_eq!(out.code, 303);
    // The newest first; the second and third wrong one are counted, and recorded later.
    assert_eq!(
        texts(),
        [
            "ann signed out",
            "ann signed in from 127.0.0.1",
            "sign-in from 127.0.0.1 failed",
            "sign-in from 127.0.0.1 failed",
        ]
    );
}

#[test]
fn who_only_looks_has_no_buttons_and_viewing_may_be_open() {
    let cluster = start_cluster("open", &[]);
    let page = cluster.aggregator.web.get("/");
    assert!(page.code == 200 && page.body.contains("href=\"/sign-in\""), "{page:?}");
    assert!(!page.body.contains("action=\"/start\""));
    let cookie = cluster.aggregator.web.session("bob").cookie;
    let page = cluster.aggregator.web.request("GET", "/", &[("Cookie", &cookie)], "");
    assert!(page.body.contains(">bob</span>") && !page.body.contains("action=\"/start\""));
}

#[test]
fn right_passwords_are_let_in_whatever_is_tried_from_the_same_address() {
    let cluster = start_cluster("open", &[]);
    let is_over = AtomicBool::new(false);
    let wrong = |name: &str| {
        let mut answered = 0;
        while !is_over.load(Ordering::Relaxed) {
            let answer = cluster.aggregator.web.sign_in(name, "wrong horse battery");
            assert!(matches!(answer.code, 401 | 429), "{answer:?}");
            answered += 1;
        }
        answered
    };
    let answered = std::thread::scope(|scope| {
        let names = ["ann", "ann", "ann", "ann", "bob", "bob", "cid", "dan", "eve", "eve", "fay", "gus"];
        let attackers: Vec<_> = names.iter().map(|name| scope.spawn(|| wrong(name))).collect();
        // The first attempts are answered at once; after these all are slowed down.
        wait_for("wrong passwords to be tried", || {
            let log = cluster.aggregator.process.log();
            let tried = log.iter().filter(|line| line.contains("a wrong name or password")).count();
            (tried > 40).then_some(())
        });
        for _ in 0..15 {
            for name in ["ann", "bob"] {
                let answer = cluster.aggregator.web.sign_in(name, PASSWORD);
                assert_eq!(answer.code, 303, "{name}: {answer:?}");
            }
        }
        is_over.store(true, Ordering::Relaxed);
        attackers.into_iter().map(|attacker| attacker.join().unwrap()).collect::<Vec<u32>>()
    });
    assert!(answered.iter().all(|answered| *answered > 0), "{answered:?}");
}

/// Returns a memory figure of the aggregator, in bytes: `VmRSS` now, `VmHWM` at its
/// peak (proc_pid_status(5)).
fn memory(cluster: &TestCluster, figure: &str) -> u64 {
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", cluster.aggregator.process.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(figure)).unwrap();
    let kilobytes = line.trim_matches(|letter: char| !letter.is_ascii_digit());
    kilobytes.parse::<u64>().unwrap() * 1024
}

#[test]
fn memory_of_many_wrong_passwords_is_bounded_and_given_back() {
    const MB: u64 = 1 << 20;
    let cluster = start_cluster("open", &["--trusted-proxy", "127.0.0.1"]);
    assert_eq!(cluster.aggregator.web.sign_in("ann", PASSWORD).code, 303);
    let before = memory(&cluster, "VmRSS");
    std::thread::scope(|scope| {
        for attacker in 0..32 {
            let cluster = &cluster;
            scope.spawn(move || {
                for attempt in 0..10 {
                    let from = format!("10.0.{attacker}.{attempt}");
                    let form = "name=ann&password=wrong+horse+battery&next=/";
                    let answer = cluster.aggregator.web.request(
                        "POST",
                        "/sign-in",
                        &[("X-Forwarded-For", &from)],
                        form,
                    );
                    assert_eq!(answer.code, 401, "{answer:?}");
                }
            });
        }
    });
    let (after, most) = (memory(&cluster, "VmRSS"), memory(&cluster, "VmHWM"));
    // At most four passwords are checked at the same time, each in 19 MiB.
    assert!(most < before + 110 * MB, "{} MB at most, {} MB before", most / MB, before / MB);
    assert!(after < before + 15 * MB, "{} MB after, {} MB before", after / MB, before / MB);
}

#[test]
fn trusted_proxy_says_who_asks_and_how() {
    const CLIENT: &str = "203.0.113.9";
    let form = "name=ann&password=correct+horse+battery&next=/";
    let proxied = [("X-Forwarded-For", "192.0.2.1, 203.0.113.9"), ("X-Forwarded-Proto", "https")];
    let cluster = start_cluster("closed", &["--trusted-proxy", "127.0.0.0/8"]);
    let answer = cluster.aggregator.web.request("POST", "/sign-in", &proxied, form);
    let set = answer.header("set-cookie").unwrap();
    assert!(set.starts_with("__host-rta=") && set.contains("; secure"), "{set}");
    let cookie = answer.cookie().replace("__host-rta", "__Host-rta");
    let [address, scheme] = proxied;
    let headers = [address, scheme, ("Cookie", cookie.as_str())];
    let ask =
        |method: &str, path: &str, body: &str| cluster.aggregator.web.request(method, path, &headers, body);
    let csrf = ask("GET", "/", "").csrf();
    assert_eq!(ask("POST", "/start", &format!("{FORM}&csrf={csrf}")).code, 303);
    wait_for("the start to be recorded under the client's address", || {
        let events = ask("GET", "/api/v1/events?kind=plan", "").body;
        events.contains(&format!("\"address\":\"{CLIENT}\"")).then_some(())
    });
    let signed_in = |cluster: &TestCluster| {
        wait_for("the sign-in to be logged", || {
            cluster.aggregator.process.log().into_iter().find(|line| line.contains("signed in"))
        })
    };
    assert!(signed_in(&cluster).contains(CLIENT), "{}", signed_in(&cluster));
    // Headers of an untrusted proxy are ignored.
    let cluster = start_cluster("closed", &[]);
    let answer = cluster.aggregator.web.request("POST", "/sign-in", &proxied, form);
    let set = answer.header("set-cookie").unwrap();
    assert!(set.starts_with("rta=") && !set.contains("secure"), "{set}");
    let line = signed_in(&cluster);
    assert!(line.contains("127.0.0.1") && !line.contains(CLIENT), "{line}");
    let output = run_binary("rta-aggregator", ["--config", "x", "--trusted-proxy", "10.0.0.0/40"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.code() == Some(2) && said.contains("its prefix is no number from 0 to 32"),
        "{said}"
    );
}

#[test]
fn errors_below_api_are_problem_details() {
    let cluster = start_cluster("closed", &[]);
    let token = format!("Bearer {}", cluster.users().viewer_token);
    let known = ("Authorization", token.as_str());
    type Headers<'h> = &'h [(&'h str, &'h str)];
    let rows: [(&str, &str, Headers<'_>, u16, &str); 8] = [
        ("GET", "/api/v1/overview", &[], 401, "Sign in, or give a token"),
        ("GET", "/api/v1/overview", &[("Authorization", "Bearer rta_0")], 401, "The token is not known."),
        ("GET", "/api/v1/overview", &[("Host", "evil.example")], 403, "does not answer under that host name"),
        ("GET", "/api/v1/nothing", &[known], 404, "There is nothing at /api/v1/nothing."),
        ("POST", "/api/v1/overview", &[known], 405, "/api/v1/overview does not take POST."),
        ("GET", "/api/v1/events?before=x", &[known], 400, "before has to be a number"),
        ("GET", "/api/v1/history?host=x&host=y", &[known], 400, "duplicate field"),
        ("GET", "/api/v1/history?environment=TSET", &[known], 404, "did you mean"),
    ];
    for (method, path, headers, code, detail) in rows {
        let answer = cluster.aggregator.web.request(method, path, headers, "");
        assert_eq!(answer.code, code, "{path}: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{path}: {answer:?}");
        let problem: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!((&problem["type"], &problem["status"]), (&"about:blank".into(), &code.into()), "{path}");
        assert!(problem["title"].is_string(), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(detail), "{path}: {problem}");
    }
    let wrong = cluster.aggregator.web.request("POST", "/api/v1/overview", &[known], "");
    assert_eq!(wrong.header("allow"), Some("get,head"));
}

#[test]
fn scripts_ask_with_their_tokens() {
    let cluster = start_cluster("closed", &[]);
    let TestUsers { operator_token: operator, viewer_token: viewer, .. } = cluster.users();
    let bearer = format!("Bearer {viewer}");
    let json = cluster.aggregator.web.request("GET", "/api/v1/overview", &[("Authorization", &bearer)], "");
    assert!(
        json.code == 200 && json.body.contains("\"environments\"") && !json.head.contains("set-cookie"),
        "{json:?}"
    );
    let grpc = cluster.aggregator.grpc.to_string();
    let as_whom = |token: &str, command: &[&str]| {
        let file = cluster.config.path("token");
        std::fs::write(&file, token).unwrap();
        let own = ["--aggregator", &grpc, "--token-file", file.to_str().unwrap()];
        run_binary("rta", own.iter().chain(command))
    };
    let act = |token: &str| as_whom(token, &["start", "app"]);
    for command in [&["start", "app"][..], &["status"]] {
        let nobody = run_binary("rta", ["--aggregator", &grpc].iter().chain(command));
        let reported = String::from_utf8(nobody.stderr).unwrap();
        assert!(!nobody.status.success() && reported.contains("give --token-file"), "{reported}");
    }
    for (token, said) in [(viewer.as_str(), "may look, and not act"), ("rta_0", "is not known")] {
        let output = act(token);
        let reported = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && reported.contains(said), "{reported}");
    }
    let output = act(operator);
    assert!(output.status.success(), "{output:?}");
    let events = as_whom(viewer, &["events", "--kind", "plan"]);
    let events = String::from_utf8(events.stdout).unwrap();
    assert!(events.contains("by job from 127.0.0.1") || events.contains("(job from 127.0.0.1)"), "{events}");
}

#[test]
fn broken_users_file_is_told_and_changes_nothing_until_it_is_repaired() {
    let cluster = start_cluster("closed", &[]);
    let bearer = format!("Bearer {}", cluster.users().viewer_token);
    let reported = || {
        let answer =
            cluster.aggregator.web.request("GET", "/api/v1/overview", &[("Authorization", &bearer)], "");
        assert_eq!(answer.code, 200, "{answer:?}");
        let overview: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        let all = overview["impairments"].as_array().unwrap();
        let users = all.iter().find(|one| one["part"] == "users");
        users.map(|one| one["message"].as_str().unwrap().to_owned())
    };
    assert_eq!(reported(), None);
    let right = std::fs::read(&cluster.users().file).unwrap();
    std::fs::write(&cluster.users().file, "user = 7\n").unwrap();
    let message = wait_for("the broken file to be told", reported);
    assert!(
        message.contains("users from before are used until rta-aggregator ends: repair the file"),
        "{message}"
    );
    assert!(message.contains(&cluster.users().file.display().to_string()), "{message}");
    assert_eq!(cluster.aggregator.web.sign_in("ann", PASSWORD).code, 303);
    std::fs::write(&cluster.users().file, right).unwrap();
    wait_for("the repaired file to be taken", || reported().is_none().then_some(()));
}

#[test]
fn beyond_loopback_the_page_needs_users_or_has_no_buttons() {
    let config = TestConfig::new();
    config.write(
        "site.toml",
        &(config.component_toml("app", "", "")
            + "[[environment]]\nname = \"E\"\nhost = [{ name = \"h\", components = [\"app\"] }]\n"),
    );
    let folder = config.folder();
    let refused = |more: &[&str]| {
        let arguments = ["--config", folder.to_str().unwrap(), "--web", "0.0.0.0:0"];
        let output = run_binary("rta-aggregator", arguments.iter().chain(more));
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    for more in [vec![], vec!["--insecure"]] {
        let said = refused(&more);
        assert!(said.contains("--users FILE") && said.contains("--read-only"), "{said}");
    }
    assert!(refused(&["--read-only"]).contains("--web-cert"));
    let users = config.path("users.toml");
    std::fs::write(&users, "[[user]]\nname = \"ann\"\nrole = \"operator\"\npassword = \"secret\"\n").unwrap();
    let said = refused(&["--insecure", "--users", users.to_str().unwrap()]);
    assert!(
        said.contains("the password of \"ann\" is no password hash; make one with rta user hash"),
        "{said}"
    );

    let mut aggregator = ServerProcess::start(
        "rta-aggregator",
        [
            "--config",
            folder.to_str().unwrap(),
            "--web",
            "127.0.0.1:0",
            "--grpc",
            "127.0.0.1:0",
            "--read-only",
        ],
    );
    let answer = WebClient(aggregator.address("web")).post("/start", FORM);
    assert!(answer.code == 403 && answer.body.contains("for looking only"), "{answer:?}");
}
