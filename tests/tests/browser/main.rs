//! The page in a real browser: display, buttons and text input.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot set itself up fails")]

mod sign_in;
mod window;

use rta_tests::{TestCluster, TestConfig};
use rustix::process::Signal;
use window::{Browser, Script};

/// Starts one host with `app`, `user`, which depends on it, and `other`, and an aggregator with further
/// arguments.
fn start_cluster(config: TestConfig, aggregator_arguments: &[String]) -> TestCluster {
    let components = [("app", ""), ("user", "\"app\""), ("other", "")]
        .map(|(name, needs)| config.component_toml(name, needs, ""));
    let role = "[[role]]\nname = \"r\"\ncomponents = [\"app\", \"user\", \"other\"]\n";
    let cluster = TestCluster::builder(config)
        .components(&(components.concat() + role))
        .host_with("h", "role = \"r\"")
        .aggregator_arguments(aggregator_arguments)
        .start();
    // Only on servers with user accounts.
    let file = cluster.config.path("token");
    let token = file.exists().then(|| ["--token-file", file.to_str().unwrap()]);
    for component in ["app", "user", "other"] {
        let arguments = ["start", component].into_iter().chain(token.into_iter().flatten());
        cluster.aggregator.rta_success(&arguments.collect::<Vec<_>>());
    }
    cluster
}

fn page(cluster: &TestCluster, path: &str) -> String {
    format!("http://{}{path}", cluster.aggregator.web.0)
}

fn every_page(cluster: &TestCluster) -> Vec<String> {
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
    .map(|path| page(cluster, path))
    .to_vec()
}

#[tokio::test]
async fn a_process_that_is_killed_turns_its_row_without_a_reload() {
    let Some(browser) = Browser::open(Script::On).await else { return };
    let cluster = start_cluster(TestConfig::new(), &[]);
    browser.goto(&page(&cluster, "/")).await;
    browser.reads("Everything is up").await;
    // State that a reload would lose: a marker, half-typed text, and the focus.
    browser.run("window.mark = 'kept'; return null").await;
    browser.type_into("#find", "half").await;
    cluster.config.kill_component("app");
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
    let cluster = start_cluster(TestConfig::new(), &[]);
    browser.goto(&page(&cluster, "/instance?environment=TEST&host=h&component=app")).await;
    let before = cluster.config.find_process("app").unwrap();
    browser.reads(&format!("pid {before}, ")).await;
    // State that a reload would lose: the scroll position.
    browser.resize(1000, 300).await;
    browser
        .run("document.getElementById('relations').scrollIntoView({behavior: 'instant'}); return null")
        .await;
    let place = "return Math.round(document.getElementById('relations').getBoundingClientRect().top)";
    let read_at = browser.run(place).await.as_i64().unwrap();
    cluster.aggregator.rta_success(&["restart", "app", "--yes"]);
    let after = cluster.config.find_process("app").unwrap();
    let text = browser.reads(&format!("pid {after}, ")).await;
    assert!(!text.contains(&format!("pid {before}, ")), "{text}");
    browser.reads("restart of app on h: done").await;
    let moved = (browser.run(place).await.as_i64().unwrap() - read_at).abs();
    assert!(moved <= 2, "what was read has moved by {moved} pixels");
    browser.close().await;
}

#[tokio::test]
async fn new_events_appear_on_the_page_of_events_without_a_reload() {
    let Some(browser) = Browser::open(Script::On).await else { return };
    let cluster = start_cluster(TestConfig::new(), &[]);
    browser.goto(&page(&cluster, "/events?kind=health&component=app")).await;
    browser.shows("#link", "live").await;
    browser.run("window.mark = 'kept'; return null").await;
    let rows = "return document.querySelectorAll('#events > li').length";
    let before = browser.run(rows).await.as_i64().unwrap();
    cluster.config.kill_component("app");
    browser.reads("app on h is down").await;
    assert_eq!(browser.run(rows).await.as_i64().unwrap(), before + 1);
    assert_eq!(browser.run("return window.mark").await, "kept");
    browser.close().await;
}

#[tokio::test]
async fn an_action_is_previewed_agreed_to_and_followed() {
    let Some(browser) = Browser::open(Script::On).await else { return };
    let cluster = start_cluster(TestConfig::new(), &[]);
    browser.goto(&page(&cluster, "/")).await;
    browser.press("a[href*='component=app']").await;
    browser.reads("on h is up").await;
    browser.press("button.stop").await;
    let text = browser.reads("Stop app on h?").await;
    assert!(text.contains("It also takes down: user on h"), "{text}");
    browser.press("button.primary").await;
    browser.shows("#plan-line strong", "2 steps done").await;
    assert!(browser.address().await.contains("/plan?id="));
    assert!(cluster.config.find_process("app").is_none() && cluster.config.find_process("user").is_none());

    browser.goto(&page(&cluster, "/")).await;
    browser.reads("2 down").await;
    browser.press("button[aria-label='Start app on h']").await;
    browser.shows("#plan-line strong", "1 step done").await;
    assert!(cluster.config.find_process("app").is_some());
    browser.close().await;
}

#[tokio::test]
async fn what_a_plan_stopped_is_quiet_and_started_again_by_one_button() {
    let Some(browser) = Browser::open(Script::On).await else { return };
    let cluster = start_cluster(TestConfig::new(), &[]);
    cluster.aggregator.rta_success(&["stop", "app", "--yes"]);
    browser.goto(&page(&cluster, "/")).await;
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
    cluster.config.kill_component("other");
    browser.reads("other on h is down").await;
    assert_ne!(browser.run(&colour(".verdict")).await, quiet);
    browser.press(".start-again button").await;
    browser.shows("#plan-line strong", "2 steps done").await;
    let runs = |name: &str| cluster.config.find_process(name).is_some();
    assert_eq!((runs("app"), runs("user"), runs("other")), (true, true, false));
    browser.goto(&page(&cluster, "/")).await;
    let text = browser.reads("1 down").await;
    assert!(!text.contains("on purpose"), "{text}");
    browser.close().await;
}

#[tokio::test]
async fn the_filter_is_in_the_address() {
    let Some(browser) = Browser::open(Script::On).await else { return };
    let cluster = start_cluster(TestConfig::new(), &[]);
    browser.goto(&page(&cluster, "/")).await;
    browser.reads("Everything is up").await;
    browser.run("document.body.dispatchEvent(new KeyboardEvent('keydown', {key: '/', bubbles: true})); return null").await;
    assert_eq!(browser.run("return document.activeElement.id").await, "find");
    browser.type_into("#find", "other\n").await;
    browser.reads("Show everything").await;
    assert!(browser.address().await.contains("q=other"));
    let rows = "return [...document.querySelectorAll('.component')].map(row => row.textContent).join()";
    assert_eq!(browser.run(rows).await, "other");
    // The filter also applies to later updates.
    cluster.config.kill_component("app");
    browser.reads("1 down, 1 degraded").await;
    assert_eq!(browser.run(rows).await, "other");
    browser.close().await;
}

#[tokio::test]
async fn without_script_the_page_is_complete() {
    let Some(browser) = Browser::open(Script::Off).await else { return };
    let cluster = start_cluster(TestConfig::new(), &[]);
    browser.goto(&page(&cluster, "/")).await;
    browser.reads("Everything is up").await;
    cluster.config.kill_component("other");
    // Without script the page is loaded once more, and no later change reaches it.
    cluster.aggregator.wait_for_health("other", "down");
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
    let mut cluster = start_cluster(TestConfig::new(), &[]);
    browser.goto(&page(&cluster, "/")).await;
    browser.reads("live").await;
    cluster.aggregator.process.signal(Signal::KILL);
    cluster.aggregator.process.wait();
    browser.reads("Connection lost. Showing the state of ").await;
    assert_eq!(browser.run("return document.documentElement.className").await, "is-old");
    cluster.config.kill_component("app");
    cluster.aggregator.start_again_at_same_addresses();
    let text = browser.reads("1 down, 1 degraded").await;
    assert!(!text.contains("Connection lost"), "{text}");
    browser.close().await;
}

#[tokio::test]
async fn colours_follow_the_system_and_the_switch() {
    let Some(browser) = Browser::open(Script::On).await else { return };
    let cluster = start_cluster(TestConfig::new(), &[]);
    let paper = "return getComputedStyle(document.body).backgroundColor";
    browser.prefer("light").await;
    browser.goto(&page(&cluster, "/")).await;
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
    let cluster = start_cluster(TestConfig::new(), &[]);
    cluster.config.kill_component("app");
    for scheme in ["light", "dark"] {
        browser.prefer(scheme).await;
        for page in every_page(&cluster) {
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
