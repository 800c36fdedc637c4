//! Signing in and out with the browser.

use rta_tests::{PASSWORD, TestCa, TestCluster, TestConfig, TestUsers};

use crate::window::{Browser, Script};
use crate::{page, start_cluster};

/// Starts a server whose page requires a sign-in, with more arguments for the aggregator.
fn start_closed_cluster(config: TestConfig, aggregator_arguments: &[String]) -> TestCluster {
    let users = TestUsers::new(&config, "closed");
    std::fs::write(config.path("token"), &users.operator_token).unwrap();
    let mut arguments = vec!["--users".to_owned(), users.file.display().to_string()];
    arguments.extend_from_slice(aggregator_arguments);
    start_cluster(config, &arguments)
}

/// Fills in the form and sends it.
async fn sign_in(browser: &Browser, name: &str, password: &str) {
    browser.reads("Password").await;
    browser.type_into("input[name=name]", name).await;
    browser.type_into("input[name=password]", password).await;
    browser.press(".sign-in button").await;
}

/// Signs in as an operator, first with a wrong password, acts, and signs out. `cookie` is the name
/// of the session cookie.
async fn signs_in_acts_and_signs_out(
    browser: &Browser,
    cluster: &TestCluster,
    page: &str,
    cookie: &str,
    secure: bool,
) {
    // An anonymous user is redirected to the sign-in form, and then to the requested page.
    browser.goto(&format!("{page}/?q=other")).await;
    let asked = browser.address().await;
    assert!(asked.starts_with(&format!("{page}/sign-in?next=")), "{asked}");
    sign_in(browser, "ann", "wrong horse battery").await;
    let text = browser.reads("Wrong user name or password.").await;
    assert!(text.contains("Password") && !text.contains("Sign out"), "{text}");
    assert_eq!(browser.address().await, format!("{page}/sign-in"));
    let cookies = browser.cookies().await;
    assert!(cookies.iter().all(|held| held.name != cookie), "{cookies:?}");
    sign_in(browser, "ann", PASSWORD).await;
    let text = browser.reads("Everything is up").await;
    assert!(text.contains("ann") && text.contains("Sign out"), "{text}");
    assert_eq!(browser.address().await, format!("{page}/?q=other"));
    let cookies = browser.cookies().await;
    let session = cookies.iter().find(|held| held.name == cookie).expect("there is a session's cookie");
    assert_eq!((session.secure, session.path.as_deref()), (Some(secure), Some("/")));
    // Scripts in the page cannot read the cookie.
    assert_eq!(browser.run("return document.cookie").await, "");

    // The button arrives with a live update of the open page.
    browser.reads("live").await;
    cluster.config.kill_component("other");
    browser.press("button[aria-label='Start other on h']").await;
    browser.shows("#plan-line strong", "1 step done").await;
    assert!(cluster.config.find_process("other").is_some());
    let events = browser
        .goto_until(&format!("{page}/events?kind=plan&component=other"), "by ann from 127.0.0.1")
        .await;
    assert!(events.contains("start of other on h"), "{events}");

    browser.press("form[action='/sign-out'] button").await;
    browser.reads("Password").await;
    assert!(browser.cookies().await.iter().all(|held| held.name != cookie));
    browser.goto(&format!("{page}/events")).await;
    let text = browser.reads("Password").await;
    assert!(!text.contains("start of other") && !text.contains("Sign out"), "{text}");
}

#[tokio::test]
async fn one_signs_in_acts_under_ones_name_and_signs_out() {
    let Some(browser) = Browser::open(Script::On).await else { return };
    let cluster = start_closed_cluster(TestConfig::new(), &[]);
    let page = format!("http://{}", cluster.aggregator.web.0);
    signs_in_acts_and_signs_out(&browser, &cluster, &page, "rta", false).await;
    browser.close().await;
}

#[tokio::test]
async fn by_https_the_session_goes_by_https_alone() {
    // The browser does not know the CA.
    let Some(browser) = Browser::open_with(Script::On, &["--ignore-certificate-errors"]).await else {
        return;
    };
    let config = TestConfig::new();
    let page_flags = TestCa::new(config.path("pki")).create_host("page").web_flags();
    let cluster = start_closed_cluster(config, &page_flags);
    let page = format!("https://{}", cluster.aggregator.web.0);
    // A cookie with this prefix is accepted only over HTTPS and from exactly this host.
    signs_in_acts_and_signs_out(&browser, &cluster, &page, "__Host-rta", true).await;
    browser.close().await;
}

#[tokio::test]
async fn who_may_only_look_is_shown_no_buttons() {
    let Some(browser) = Browser::open(Script::On).await else { return };
    let cluster = start_closed_cluster(TestConfig::new(), &[]);
    browser.goto(&page(&cluster, "/")).await;
    sign_in(&browser, "bob", PASSWORD).await;
    browser.reads("Everything is up").await;
    let acts = "return [...document.querySelectorAll('form')].map(form => form.getAttribute('action'))
        .filter(action => /start|stop|restart|cancel|preview/.test(action)).join()";
    assert_eq!(browser.run(acts).await, "");
    browser.reads("live").await;
    cluster.config.kill_component("other");
    browser.reads("1 down").await;
    assert_eq!(browser.run(acts).await, "");
    browser.goto(&page(&cluster, "/instance?environment=TEST&host=h&component=other")).await;
    browser.reads("on h is down").await;
    assert_eq!(browser.run(acts).await, "");
    assert!(cluster.config.find_process("other").is_none());
    // For an operator the same query finds the buttons.
    browser.press("form[action='/sign-out'] button").await;
    sign_in(&browser, "ann", PASSWORD).await;
    browser.reads("1 down").await;
    let found = browser.run(acts).await;
    assert!(found.as_str().is_some_and(|found| found.contains("/start")), "{found}");
    browser.close().await;
}

#[tokio::test]
async fn the_form_breaks_no_rule_of_access() {
    let Some(browser) = Browser::open(Script::On).await else { return };
    let cluster = start_closed_cluster(TestConfig::new(), &[]);
    for scheme in ["light", "dark"] {
        browser.prefer(scheme).await;
        browser.goto(&page(&cluster, "/")).await;
        browser.reads("Password").await;
        assert_eq!(browser.run("return document.activeElement.name").await, "name");
        let Some(violations) = browser.violations().await else { return };
        assert_eq!(violations, Vec::<String>::new(), "{scheme}");
        sign_in(&browser, "ann", "wrong horse battery").await;
        browser.reads("Wrong user name or password.").await;
        assert_eq!(browser.violations().await, Some(Vec::new()), "{scheme}, after a wrong password");
    }
    browser.close().await;
}
