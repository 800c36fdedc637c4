//! Who may look and who may act, on the real aggregator. What hostile clients send: `hostile`.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::net::SocketAddr;

use rta_tests::{PASSWORD, People, Program, Session, Site, Web, patiently, run};

const FORM: &str = "environment=TEST&host=h&component=app";

struct World {
    site: Site,
    _agent: Program,
    _aggregator: Program,
    web: Web,
    grpc: SocketAddr,
    people: People,
}

impl World {
    fn new(viewing: &str) -> Self {
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
            ],
        );
        let (web, grpc) = (Web(aggregator.address("web")), aggregator.address("grpc"));
        Self { site, _agent: agent, _aggregator: aggregator, web, grpc, people }
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
fn attempts_are_slowed_down_and_the_right_one_is_let_in_again() {
    let world = World::new("open");
    for _ in 0..5 {
        assert_eq!(world.web.sign_in("ann", "wrong horse battery").code, 401);
    }
    // The first waits are short: a password may take longer to be checked on a busy machine.
    let slowed = patiently("the right one to be slowed down, too", || {
        if world.web.sign_in("ann", "wrong horse battery").code != 429 {
            return None;
        }
        Some(world.web.sign_in("ann", PASSWORD)).filter(|answer| answer.code == 429)
    });
    assert!(slowed.header("retry-after").is_some(), "{slowed:?}");
    patiently("the wait to be over", || (world.web.sign_in("ann", PASSWORD).code == 303).then_some(()));
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
