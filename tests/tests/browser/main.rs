//! The page in a real browser: display, buttons and text input.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot set itself up fails")]

mod sign_in;
mod window;

use std::net::SocketAddr;

use rta_tests::{ServerProcess, TestConfig, run_binary};
use rustix::process::{Pid, Signal, kill_process};
use window::{Browser, Script};

/// One host with `app`, `user`, which depends on it, and `other`; an agent and an aggregator.
struct World {
    site: TestConfig,
    _agent: ServerProcess,
    aggregator: ServerProcess,
    web: SocketAddr,
    grpc: SocketAddr,
}

impl World {
    fn new() -> Self {
        Self::with(|_| Vec::new())
    }

    /// Starts the programs, with more arguments for the aggregator.
    fn with(arguments: impl FnOnce(&TestConfig) -> Vec<String>) -> Self {
        let site = TestConfig::new();
        let components = [("app", ""), ("user", "\"app\""), ("other", "")]
            .map(|(name, needs)| site.component_toml(name, needs, ""));
        site.write("components.toml", &components.concat());
        let [(agent, _)] = site.start_agents(["h"], &[], "host.toml", |[agent]| {
            format!(
                "[[environment]]\nname = \"TEST\"\nhost = [{{ name = \"h\", role = \"r\", agent = \"http://{agent}\" }}]\n\
                 [[role]]\nname = \"r\"\ncomponents = [\"app\", \"user\", \"other\"]\n"
            )
        });
        let free = "127.0.0.1:0".to_owned();
        let mut aggregator = aggregator(&site, &free, &free, &arguments(&site));
        let (web, grpc) = (aggregator.address("web"), aggregator.address("grpc"));
        let world = Self { site, _agent: agent, aggregator, web, grpc };
        for component in ["app", "user", "other"] {
            let grpc = world.grpc.to_string();
            let mut rta = vec!["--aggregator", &grpc, "start", component];
            // Only on servers with user accounts.
            let (file, token) = (world.site.path("token"), "--token-file");
            if file.exists() {
                rta.extend([token, file.to_str().unwrap()]);
            }
            let started = run_binary("rta", rta);
            assert!(started.status.success(), "{started:?}");
        }
        world
    }

    fn page(&self, path: &str) -> String {
        format!("http://{}{path}", self.web)
    }

    fn kill(&self, component: &str) {
        let pid = self
            .site
            .find_process(component)
            .and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?))
            .unwrap();
        kill_process(pid, Signal::KILL).unwrap();
    }

    fn every_page(&self) -> Vec<String> {
        let of = "environment=TEST&host=h&component=user";
        [
            "/",
            "/?q=app",
            "/events",
            "/graph",
            "/history",
            "/history?length=7d",
            &format!("/instance?{of}"),
            "/preview?action=stop&environment=TEST&host=h&component=app",
            "/plan?id=1",
            &format!("/log?{of}"),
            "/nowhere",
        ]
        .map(|path| self.page(path))
        .to_vec()
    }
}

fn aggregator(site: &TestConfig, web: &str, grpc: &str, more: &[String]) -> ServerProcess {
    let config = site.folder();
    let arguments = ["--config", config.to_str().unwrap(), "--web", web, "--grpc", grpc];
    ServerProcess::start("rta-aggregator", arguments.into_iter().chain(more.iter().map(String::as_str)))
}

#[tokio::test]
async fn a_process_that_is_killed_turns_its_row_without_a_reload() {
    let Some(browser) = Browser::open(Script::On).await else { return };
    let world = World::new();
    browser.goto(&world.page("/")).await;
    browser.reads("Everything is up").await;
    // State that a reload would lose: a marker, half-typed text, and the focus.
    browser.run("window.mark = 'kept'; return null").await;
    browser.type_into("#find", "half").await;
    world.kill("app");
    let text = browser.reads("1 down, 1 degraded").await;
    assert!(text.contains("app on h is down") && text.contains("it is not running"), "{text}");
    assert_eq!(browser.run("return window.mark").await, "kept");
    assert_eq!(browser.run("return document.getElementById('find').value").await, "half");
    assert_eq!(browser.run("return document.activeElement.id").await, "find");
    assert_eq!(browser.run("return document.title").await, "1 down, 1 degraded of 3 instances - rta");
    browser.close().await;
}

#[tokio::test]
async fn an_instances_page_goes_on_with_what_takes_its_place() {
    let Some(browser) = Browser::open(Script::On).await else { return };
    let world = World::new();
    browser.goto(&world.page("/instance?environment=TEST&host=h&component=app")).await;
    let before = world.site.find_process("app").unwrap();
    browser.reads(&format!("pid {before}, ")).await;
    // State that a reload would lose: the scroll position.
    browser.resize(1000, 300).await;
    browser
        .run("document.getElementById('relations').scrollIntoView({behavior: 'instant'}); return null")
        .await;
    let place = "return Math.round(document.getElementById('relations').getBoundingClientRect().top)";
    let read_at = browser.run(place).await.as_i64().unwrap();
    let restarted = run_binary("rta", ["--aggregator", &world.grpc.to_string(), "restart", "app", "--yes"]);
    assert!(restarted.status.success(), "{restarted:?}");
    let after = world.site.find_process("app").unwrap();
    let text = browser.reads(&format!("pid {after}, ")).await;
    assert!(!text.contains(&format!("pid {before}, ")), "{text}");
    browser.reads("restart of app on h: done").await;
    let moved = (browser.run(place).await.as_i64().unwrap() - read_at).abs();
    assert!(moved <= 2, "what was read has moved by {moved} pixels");
    browser.close().await;
}

#[tokio::test]
async fn an_action_is_previewed_agreed_to_and_followed() {
    let Some(browser) = Browser::open(Script::On).await else { return };
    let world = World::new();
    browser.goto(&world.page("/")).await;
    browser.press("a[href*='component=app']").await;
    browser.reads("on h is up").await;
    browser.press("button.stop").await;
    let text = browser.reads("Stop app on h?").await;
    assert!(text.contains("It also takes down: user on h"), "{text}");
    browser.press("button.primary").await;
    browser.shows("#plan-line strong", "2 steps done").await;
    assert!(browser.address().await.contains("/plan?id="));
    assert!(world.site.find_process("app").is_none() && world.site.find_process("user").is_none());

    browser.goto(&world.page("/")).await;
    browser.reads("2 down").await;
    browser.press("button[aria-label='Start app on h']").await;
    browser.shows("#plan-line strong", "1 step done").await;
    assert!(world.site.find_process("app").is_some());
    browser.close().await;
}

#[tokio::test]
async fn what_a_plan_stopped_is_quiet_and_started_again_by_one_button() {
    let Some(browser) = Browser::open(Script::On).await else { return };
    let world = World::new();
    let stopped = run_binary("rta", ["--aggregator", &world.grpc.to_string(), "stop", "app", "--yes"]);
    assert!(stopped.status.success(), "{stopped:?}");
    browser.goto(&world.page("/")).await;
    let text = browser.reads("2 instances down: stopped by").await;
    // CSS shows its headings in upper case.
    assert!(
        text.contains("2 stopped on purpose") && !text.to_lowercase().contains("what is wrong"),
        "{text}"
    );
    let colour = |query: &str| format!("return getComputedStyle(document.querySelector({query:?})).color");
    let quiet = browser.run(&colour(".verdict")).await;
    assert_eq!(browser.run(&colour(".host .health")).await, quiet);
    for width in [1440, 360] {
        browser.resize(width, 800).await;
        let wide = browser.run("return document.scrollingElement.scrollWidth - window.innerWidth").await;
        assert!(wide.as_i64().unwrap() <= 0, "at {width}: {wide} too wide");
    }
    for scheme in ["light", "dark"] {
        browser.prefer(scheme).await;
        if let Some(violations) = browser.violations().await {
            assert_eq!(violations, Vec::<String>::new(), "{scheme}");
        }
    }
    // A simultaneous failure is shown prominently at once, and the stop stays unobtrusive.
    world.kill("other");
    browser.reads("other on h is down").await;
    assert_ne!(browser.run(&colour(".verdict")).await, quiet);
    browser.press(".start-again button").await;
    browser.shows("#plan-line strong", "2 steps done").await;
    let runs = |name: &str| world.site.find_process(name).is_some();
    assert_eq!((runs("app"), runs("user"), runs("other")), (true, true, false));
    browser.goto(&world.page("/")).await;
    let text = browser.reads("1 down").await;
    assert!(!text.contains("on purpose"), "{text}");
    browser.close().await;
}

#[tokio::test]
async fn the_filter_is_in_the_address() {
    let Some(browser) = Browser::open(Script::On).await else { return };
    let world = World::new();
    browser.goto(&world.page("/")).await;
    browser.reads("Everything is up").await;
    browser.run("document.body.dispatchEvent(new KeyboardEvent('keydown', {key: '/', bubbles: true})); return null").await;
    assert_eq!(browser.run("return document.activeElement.id").await, "find");
    browser.type_into("#find", "other\n").await;
    browser.reads("Show everything").await;
    assert!(browser.address().await.contains("q=other"));
    let rows = "return [...document.querySelectorAll('.component')].map(row => row.textContent).join()";
    assert_eq!(browser.run(rows).await, "other");
    // The filter also applies to later updates.
    world.kill("app");
    browser.reads("1 down, 1 degraded").await;
    assert_eq!(browser.run(rows).await, "other");
    browser.close().await;
}

#[tokio::test]
async fn without_script_the_page_is_complete() {
    let Some(browser) = Browser::open(Script::Off).await else { return };
    let world = World::new();
    browser.goto(&world.page("/")).await;
    browser.reads("Everything is up").await;
    world.kill("other");
    browser.press("form.refresh button").await;
    browser.reads("1 down").await;
    browser.press("button[aria-label='Start other on h']").await;
    browser.shows("#plan-line strong", "1 step done").await;
    browser.press(".theme button").await;
    browser.reads("Start of other on h").await;
    browser.close().await;
}

#[tokio::test]
async fn an_aggregator_that_is_gone_is_told_in_large_letters_until_it_is_back() {
    let Some(browser) = Browser::open(Script::On).await else { return };
    let mut world = World::new();
    browser.goto(&world.page("/")).await;
    browser.reads("live").await;
    world.aggregator.signal(Signal::KILL);
    world.aggregator.wait();
    browser.reads("The connection to rta is lost").await;
    assert_eq!(browser.run("return document.documentElement.className").await, "is-old");
    world.kill("app");
    world.aggregator = aggregator(&world.site, &world.web.to_string(), &world.grpc.to_string(), &[]);
    let text = browser.reads("1 down, 1 degraded").await;
    assert!(!text.contains("is lost"), "{text}");
    browser.close().await;
}

#[tokio::test]
async fn colours_follow_the_system_and_the_switch() {
    let Some(browser) = Browser::open(Script::On).await else { return };
    let world = World::new();
    let paper = "return getComputedStyle(document.body).backgroundColor";
    browser.prefer("light").await;
    browser.goto(&world.page("/")).await;
    let light = browser.run(paper).await;
    browser.prefer("dark").await;
    let dark = browser.run(paper).await;
    assert_ne!(light, dark);
    // From the system's setting to dark, and then to light.
    browser.press(".theme button").await;
    browser.reads("Everything is up").await;
    browser.prefer("light").await;
    assert_eq!(browser.run(paper).await, dark);
    browser.press(".theme button").await;
    browser.reads("Everything is up").await;
    browser.prefer("dark").await;
    assert_eq!(browser.run(paper).await, light);
    browser.close().await;
}

#[tokio::test]
async fn every_page_fits_a_phone_and_breaks_no_rule_of_access() {
    let Some(browser) = Browser::open(Script::On).await else { return };
    let world = World::new();
    world.kill("app");
    for scheme in ["light", "dark"] {
        browser.prefer(scheme).await;
        for page in world.every_page() {
            browser.goto(&page).await;
            for width in [1400, 360] {
                browser.resize(width, 800).await;
                let wide =
                    browser.run("return document.scrollingElement.scrollWidth - window.innerWidth").await;
                assert!(wide.as_i64().unwrap() <= 0, "{page} at {width}: {wide} too wide");
            }
            if let Some(violations) = browser.violations().await {
                assert_eq!(violations, Vec::<String>::new(), "{page}, {scheme}");
            }
        }
    }
    browser.close().await;
}
