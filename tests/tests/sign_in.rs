//! Rights to view and to act, on the real aggregator. Attacks are tested in `hostile`.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use rta_tests::{PASSWORD, People, Program, Session, Site, Web, patiently, run};

const FORM: &str = "environment=TEST&host=h&component=app";

struct World {
    site: Site,
    _agent: Program,
    aggregator: Program,
    web: Web,
    grpc: SocketAddr,
    people: People,
}

impl World {
    fn new(viewing: &str) -> Self {
        Self::with(viewing, &[])
    }

    /// Starts the programs, with `more` arguments for the aggregator.
    fn with(viewing: &str, more: &[&str]) -> Self {
        let site = Site::new();
        site.write("components.toml", &site.component("app", "", ""));
        let [(agent, _)] = site.agents(["h"], &[], "host.toml", |[agent]| {
            format!(
                "[[environment]]\nname = \"TEST\"\nhost = [{{ name = \"h\", components = [\"app\"], agent = \"http://{agent}\" }}]\n"
            )
        });
        let people = People::new(&site, viewing);
        let config = site.config();
        let mut aggregator = Program::start(
            "rta-aggregator",
            [
                "--config",
                config.to_str().unwrap(),
                "--users",
                people.file.to_str().unwrap(),
                "--web",
                "127.0.0.1:0",
                "--grpc",
                "127.0.0.1:0",
            ]
            .iter()
            .chain(more),
        );
        let (web, grpc) = (Web(aggregator.address("web")), aggregator.address("grpc"));
        Self { site, _agent: agent, aggregator, web, grpc, people }
    }

    fn is_running(&self) -> bool {
        self.site.process("app").is_some()
    }
}

#[test]
fn one_signs_in_acts_and_signs_out() {
    let world = World::new("closed");
    let page = world.web.get("/?q=app");
    assert_eq!(
        (page.code, page.head.contains("location: /sign-in?next=%2f%3fq%3dapp")),
        (303, true),
        "{page:?}"
    );
    assert_eq!(world.web.get("/api/v1/overview").code, 401);
    assert_eq!(world.web.get("/live").code, 401);
    assert_eq!(world.web.get("/healthz").code, 200);

    let wrong = world.web.sign_in("ann", "wrong horse battery");
    assert!(
        wrong.code == 401 && wrong.body.contains("not right") && !wrong.head.contains("set-cookie"),
        "{wrong:?}"
    );
    let right = world.web.sign_in("ann", PASSWORD);
    assert!(right.code == 303 && right.head.contains("location: /events"), "{right:?}");
    let line = right.header("set-cookie").unwrap();
    assert!(line.contains("httponly") && line.contains("samesite=lax") && line.contains("path=/"), "{line}");

    let Session { cookie, csrf } = world.web.session("ann");
    let page = world.web.ask("GET", "/", &[("Cookie", &cookie)], "");
    assert!(page.code == 200 && page.body.contains("Sign out") && page.body.contains("action=\"/start\""));
    let started = world.web.ask("POST", "/start", &[("Cookie", &cookie)], &format!("{FORM}&csrf={csrf}"));
    assert_eq!(started.code, 303, "{started:?}");
    patiently("it to run", || world.is_running().then_some(()));
    let events = patiently("it to be recorded", || {
        let events = world.web.ask("GET", "/api/v1/events?kind=plan", &[("Cookie", &cookie)], "").body;
        events.contains("\"user\":\"ann\"").then_some(events)
    });
    assert!(events.contains("start of app on h"), "{events}");

    let out = world.web.ask("POST", "/sign-out", &[("Cookie", &cookie)], &format!("csrf={csrf}"));
    assert_eq!(out.code, 303);
    assert_eq!(
        world.web.ask("GET", "/", &[("Cookie", &cookie)], "").code,
        303,
        "the cookie is worth nothing any more"
    );
}

#[test]
fn sign_ins_are_events_and_no_typed_secret_is() {
    let world = World::new("open");
    let texts = || {
        let answer = world.web.get("/api/v1/events?kind=sign-in").body;
        let events: serde_json::Value = serde_json::from_str(&answer).unwrap();
        let texts = events["events"].as_array().unwrap().iter();
        texts.map(|event| event["text"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for _ in 0..3 {
        assert_eq!(world.web.sign_in("ann", "wrong horse battery").code, 401);
    }
    assert_eq!(world.web.sign_in("my secret, in the wrong field", PASSWORD).code, 401);
    let Session { cookie, csrf } = world.web.session("ann");
    let out = world.web.ask("POST", "/sign-out", &[("Cookie", &cookie)], &format!("csrf={csrf}"));
    assert_eq!(out.code, 303);
    // The newest first; the second and third wrong one are counted, and recorded later.
    assert_eq!(
        texts(),
        [
            "ann signed out",
            "ann signed in from 127.0.0.1",
            "sign-in with an unknown name from 127.0.0.1 failed",
            "sign-in as ann from 127.0.0.1 failed",
        ]
    );
}

#[test]
fn who_only_looks_has_no_buttons_and_viewing_may_be_open() {
    let world = World::new("open");
    let page = world.web.get("/");
    assert!(page.code == 200 && page.body.contains("href=\"/sign-in\""), "{page:?}");
    assert!(!page.body.contains("action=\"/start\""));
    let cookie = world.web.session("bob").cookie;
    let page = world.web.ask("GET", "/", &[("Cookie", &cookie)], "");
    assert!(page.body.contains(">bob</span>") && !page.body.contains("action=\"/start\""));
}

#[test]
fn right_passwords_are_let_in_whatever_is_tried_from_the_same_address() {
    let world = World::new("open");
    let is_over = AtomicBool::new(false);
    let wrong = |name: &str| {
        let mut answered = 0;
        while !is_over.load(Ordering::Relaxed) {
            let answer = world.web.sign_in(name, "wrong horse battery");
            assert!(matches!(answer.code, 401 | 429), "{answer:?}");
            answered += 1;
        }
        answered
    };
    let answered = std::thread::scope(|scope| {
        let names = ["ann", "ann", "ann", "ann", "bob", "bob", "cid", "dan", "eve", "eve", "fay", "gus"];
        let attackers: Vec<_> = names.iter().map(|name| scope.spawn(|| wrong(name))).collect();
        // The first attempts are answered at once; after these all are slowed down.
        patiently("wrong passwords to be tried", || {
            let log = world.aggregator.log();
            let tried = log.iter().filter(|line| line.contains("a wrong name or password")).count();
            (tried > 40).then_some(())
        });
        for _ in 0..15 {
            for name in ["ann", "bob"] {
                let answer = world.web.sign_in(name, PASSWORD);
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
fn memory(world: &World, figure: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", world.aggregator.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(figure)).unwrap();
    let kilobytes = line.trim_matches(|letter: char| !letter.is_ascii_digit());
    kilobytes.parse::<u64>().unwrap() * 1024
}

#[test]
fn memory_of_many_wrong_passwords_is_bounded_and_given_back() {
    const MB: u64 = 1 << 20;
    let world = World::with("open", &["--trusted-proxy", "127.0.0.1"]);
    assert_eq!(world.web.sign_in("ann", PASSWORD).code, 303);
    let before = memory(&world, "VmRSS");
    std::thread::scope(|scope| {
        for attacker in 0..32 {
            let world = &world;
            scope.spawn(move || {
                for attempt in 0..10 {
                    let from = format!("10.0.{attacker}.{attempt}");
                    let form = "name=ann&password=wrong+horse+battery&next=/";
                    let answer = world.web.ask("POST", "/sign-in", &[("X-Forwarded-For", &from)], form);
                    assert_eq!(answer.code, 401, "{answer:?}");
                }
            });
        }
    });
    let (after, most) = (memory(&world, "VmRSS"), memory(&world, "VmHWM"));
    // At most four passwords are checked at the same time, each in 19 MiB.
    assert!(most < before + 110 * MB, "{} MB at most, {} MB before", most / MB, before / MB);
    assert!(after < before + 15 * MB, "{} MB after, {} MB before", after / MB, before / MB);
}

#[test]
fn trusted_proxy_says_who_asks_and_how() {
    const CLIENT: &str = "203.0.113.9";
    let form = "name=ann&password=correct+horse+battery&next=/";
    let proxied = [("X-Forwarded-For", "192.0.2.1, 203.0.113.9"), ("X-Forwarded-Proto", "https")];
    let world = World::with("closed", &["--trusted-proxy", "127.0.0.0/8"]);
    let answer = world.web.ask("POST", "/sign-in", &proxied, form);
    let set = answer.header("set-cookie").unwrap();
    assert!(set.starts_with("__host-rta=") && set.contains("; secure"), "{set}");
    let cookie = answer.cookie().replace("__host-rta", "__Host-rta");
    let [address, scheme] = proxied;
    let headers = [address, scheme, ("Cookie", cookie.as_str())];
    let ask = |method: &str, path: &str, body: &str| world.web.ask(method, path, &headers, body);
    let csrf = ask("GET", "/", "").csrf();
    assert_eq!(ask("POST", "/start", &format!("{FORM}&csrf={csrf}")).code, 303);
    patiently("the start to be recorded under the client's address", || {
        let events = ask("GET", "/api/v1/events?kind=plan", "").body;
        events.contains(&format!("\"address\":\"{CLIENT}\"")).then_some(())
    });
    let signed_in = |world: &World| {
        patiently("the sign-in to be logged", || {
            world.aggregator.log().into_iter().find(|line| line.contains("signed in"))
        })
    };
    assert!(signed_in(&world).contains(CLIENT), "{}", signed_in(&world));
    // Headers of an untrusted proxy are ignored.
    let world = World::new("closed");
    let answer = world.web.ask("POST", "/sign-in", &proxied, form);
    let set = answer.header("set-cookie").unwrap();
    assert!(set.starts_with("rta=") && !set.contains("secure"), "{set}");
    let line = signed_in(&world);
    assert!(line.contains("127.0.0.1") && !line.contains(CLIENT), "{line}");
    let output = run("rta-aggregator", ["--config", "x", "--trusted-proxy", "10.0.0.0/40"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.code() == Some(2) && said.contains("its prefix is no number from 0 to 32"),
        "{said}"
    );
}

#[test]
fn errors_below_api_are_problem_details() {
    let world = World::new("closed");
    let token = format!("Bearer {}", world.people.viewer_token);
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
        let answer = world.web.ask(method, path, headers, "");
        assert_eq!(answer.code, code, "{path}: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{path}: {answer:?}");
        let problem: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!((&problem["type"], &problem["status"]), (&"about:blank".into(), &code.into()), "{path}");
        assert!(problem["title"].is_string(), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(detail), "{path}: {problem}");
    }
    let wrong = world.web.ask("POST", "/api/v1/overview", &[known], "");
    assert_eq!(wrong.header("allow"), Some("get,head"));
}

#[test]
fn scripts_ask_with_their_tokens() {
    let world = World::new("closed");
    let People { operator_token: operator, viewer_token: viewer, .. } = &world.people;
    let bearer = format!("Bearer {viewer}");
    let json = world.web.ask("GET", "/api/v1/overview", &[("Authorization", &bearer)], "");
    assert!(
        json.code == 200 && json.body.contains("\"environments\"") && !json.head.contains("set-cookie"),
        "{json:?}"
    );
    let grpc = world.grpc.to_string();
    let as_whom = |token: &str, command: &[&str]| {
        let file = world.site.path("token");
        std::fs::write(&file, token).unwrap();
        let own = ["--aggregator", &grpc, "--token-file", file.to_str().unwrap()];
        run("rta", own.iter().chain(command))
    };
    let act = |token: &str| as_whom(token, &["start", "app"]);
    for command in [&["start", "app"][..], &["status"]] {
        let nobody = run("rta", ["--aggregator", &grpc].iter().chain(command));
        let told = String::from_utf8(nobody.stderr).unwrap();
        assert!(!nobody.status.success() && told.contains("give --token-file"), "{told}");
    }
    for (token, said) in [(viewer.as_str(), "may look, and not act"), ("rta_0", "is not known")] {
        let output = act(token);
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && told.contains(said), "{told}");
    }
    let output = act(operator);
    assert!(output.status.success(), "{output:?}");
    let events = as_whom(viewer, &["events", "--kind", "plan"]);
    let events = String::from_utf8(events.stdout).unwrap();
    assert!(events.contains("by job from 127.0.0.1") || events.contains("(job from 127.0.0.1)"), "{events}");
}

#[test]
fn broken_users_file_is_told_and_changes_nothing_until_it_is_repaired() {
    let world = World::new("closed");
    let bearer = format!("Bearer {}", world.people.viewer_token);
    let told = || {
        let answer = world.web.ask("GET", "/api/v1/overview", &[("Authorization", &bearer)], "");
        assert_eq!(answer.code, 200, "{answer:?}");
        let overview: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        let all = overview["impairments"].as_array().unwrap();
        let users = all.iter().find(|one| one["part"] == "users");
        users.map(|one| one["message"].as_str().unwrap().to_owned())
    };
    assert_eq!(told(), None);
    let right = std::fs::read(&world.people.file).unwrap();
    std::fs::write(&world.people.file, "user = 7\n").unwrap();
    let message = patiently("the broken file to be told", told);
    assert!(
        message.contains("users from before are used until rta-aggregator ends: repair the file"),
        "{message}"
    );
    assert!(message.contains(&world.people.file.display().to_string()), "{message}");
    assert_eq!(world.web.sign_in("ann", PASSWORD).code, 303);
    std::fs::write(&world.people.file, right).unwrap();
    patiently("the repaired file to be taken", || told().is_none().then_some(()));
}

#[test]
fn beyond_loopback_the_page_needs_users_or_has_no_buttons() {
    let site = Site::new();
    site.write(
        "site.toml",
        &(site.component("app", "", "")
            + "[[environment]]\nname = \"E\"\nhost = [{ name = \"h\", components = [\"app\"] }]\n"),
    );
    let config = site.config();
    let refused = |more: &[&str]| {
        let arguments = ["--config", config.to_str().unwrap(), "--web", "0.0.0.0:0"];
        let output = run("rta-aggregator", arguments.iter().chain(more));
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    for more in [vec![], vec!["--insecure"]] {
        let said = refused(&more);
        assert!(said.contains("--users FILE") && said.contains("--read-only"), "{said}");
    }
    assert!(refused(&["--read-only"]).contains("--web-cert"));
    let users = site.path("users.toml");
    std::fs::write(&users, "[[user]]\nname = \"ann\"\nrole = \"operator\"\npassword = \"secret\"\n").unwrap();
    let said = refused(&["--insecure", "--users", users.to_str().unwrap()]);
    assert!(
        said.contains("the password of \"ann\" is no password hash; make one with rta user hash"),
        "{said}"
    );

    let mut aggregator = Program::start(
        "rta-aggregator",
        [
            "--config",
            config.to_str().unwrap(),
            "--web",
            "127.0.0.1:0",
            "--grpc",
            "127.0.0.1:0",
            "--read-only",
        ],
    );
    let answer = Web(aggregator.address("web")).post("/start", FORM);
    assert!(answer.code == 403 && answer.body.contains("for looking only"), "{answer:?}");
}
