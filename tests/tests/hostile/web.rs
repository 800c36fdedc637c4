//! Hostile input to the page.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rta_tests::{PASSWORD, TestCluster, TestConfig, WebResponse, WebSession, wait_for};

use crate::hostile::{FORM, assert_untouched, open_files, send, start_cluster, wait_for_closed_connections};

#[test]
fn hostile_requests_are_refused_and_nothing_is_touched() {
    let cluster = start_cluster(TestConfig::new(), &[]);
    let operator = cluster.aggregator.web.session("ann");
    let WebSession { cookie, csrf } = &operator;
    let other_csrf = cluster.aggregator.web.session("ann").csrf;
    let WebSession { cookie: viewer, csrf: viewer_csrf } = &cluster.aggregator.web.session("bob");
    let own = format!("http://{}", cluster.aggregator.web.0);
    let longer = format!("{own}.evil.example");
    let named = format!("{}.evil.example", cluster.aggregator.web.0.ip());
    let viewer_token = format!("Bearer {}", cluster.users().viewer_token);
    let bare_token = cluster.users().operator_token.clone();
    let form = format!("{FORM}&csrf={csrf}");
    let viewer_form = format!("{FORM}&csrf={viewer_csrf}");
    let in_the_address = format!("/start?csrf={csrf}");
    let huge = "x".repeat(10_000_000);
    let cookie = ("Cookie", cookie.as_str());
    let viewer = ("Cookie", viewer.as_str());
    type Row<'r> = (&'r str, &'r str, &'r [(&'r str, &'r str)], &'r str, &'r [u16]);
    let rows: &[Row<'_>] = &[
        ("nobody", "/start", &[], FORM, &[403]),
        ("nobody, with a token", "/start", &[], &form, &[403]),
        ("nobody, by a proxy's word", "/start", &[("X-Forwarded-User", "ann")], FORM, &[403]),
        ("without the token of the session", "/start", &[cookie], FORM, &[403]),
        ("a token of another session", "/start", &[cookie], &format!("{FORM}&csrf={other_csrf}"), &[403]),
        ("a token of somebody else", "/start", &[cookie], &viewer_form, &[403]),
        ("two tokens", "/start", &[cookie], &format!("{form}&csrf={csrf}"), &[403]),
        ("half a token", "/start", &[cookie], &form[..form.len() - 32], &[403]),
        ("the token in the address", &in_the_address, &[cookie], FORM, &[403]),
        ("the token in a header", "/start", &[cookie, ("X-CSRF-Token", csrf)], FORM, &[403]),
        ("a viewer starts", "/start", &[viewer], &viewer_form, &[403]),
        ("a viewer stops", "/stop", &[viewer], &viewer_form, &[403]),
        ("a viewer restarts", "/restart", &[viewer], &viewer_form, &[403]),
        ("a viewer cancels", "/cancel", &[viewer], &format!("id=1&csrf={viewer_csrf}"), &[403]),
        ("a viewer with the token of an operator", "/start", &[viewer], &form, &[403]),
        ("from another site", "/start", &[cookie, ("Origin", "https://evil.example")], &form, &[403]),
        ("from another port", "/start", &[cookie, ("Origin", "http://127.0.0.1:9")], &form, &[403]),
        ("from a longer name", "/start", &[cookie, ("Origin", &longer)], &form, &[403]),
        ("from no site", "/start", &[cookie, ("Origin", "null")], &form, &[403]),
        (
            "cross-site by its own word",
            "/start",
            &[cookie, ("Origin", &own), ("Sec-Fetch-Site", "cross-site")],
            &form,
            &[403],
        ),
        (
            "from a neighbour by its own word",
            "/start",
            &[cookie, ("Origin", &own), ("Sec-Fetch-Site", "same-site")],
            &form,
            &[403],
        ),
        (
            "from another site to sign in",
            "/sign-in",
            &[("Origin", "https://evil.example")],
            "name=ann&password=correct+horse+battery&next=/",
            &[403],
        ),
        (
            "from another site to sign out",
            "/sign-out",
            &[cookie, ("Origin", "https://evil.example")],
            &form,
            &[403],
        ),
        ("a name that was made to point here", "/start", &[cookie, ("Host", "evil.example")], &form, &[403]),
        (
            "the same, of its own origin",
            "/start",
            &[cookie, ("Host", "evil.example"), ("Origin", "http://evil.example")],
            &form,
            &[403],
        ),
        ("a name that begins as ours", "/start", &[cookie, ("Host", &named)], &form, &[403]),
        (
            "our name by a proxy's word",
            "/start",
            &[cookie, ("Host", "evil.example"), ("X-Forwarded-Host", "localhost")],
            &form,
            &[403],
        ),
        ("no name", "/start", &[cookie, ("Host", "")], &form, &[403]),
        ("a made-up session", "/start", &[("Cookie", "rta=0123")], &form, &[403]),
        (
            "a session by another name",
            "/start",
            &[("Cookie", &cookie.1.replace("rta=", "RTA="))],
            &form,
            &[403],
        ),
        ("two cookie headers", "/start", &[cookie, viewer], &form, &[403]),
        ("a made-up token", "/start", &[("Authorization", "Bearer rta_0")], FORM, &[401]),
        ("a token that is none", "/start", &[("Authorization", "Bearer ")], FORM, &[401]),
        ("a token without its word", "/start", &[("Authorization", &bare_token)], FORM, &[401]),
        ("a password as browsers send it", "/start", &[("Authorization", "Basic YW5uOng=")], FORM, &[401]),
        (
            "a made-up token in a session",
            "/start",
            &[cookie, ("Authorization", "Bearer rta_0")],
            &form,
            &[401],
        ),
        ("a viewer's token", "/start", &[("Authorization", &viewer_token)], FORM, &[403]),
        (
            "a viewer's token in a session",
            "/start",
            &[cookie, ("Authorization", &viewer_token)],
            &form,
            &[403],
        ),
        ("a text that is no form", "/start", &[cookie, ("Content-Type", "text/plain")], &form, &[415]),
        ("JSON", "/start", &[cookie, ("Content-Type", "application/json")], &form, &[415]),
        ("10 MB", "/start", &[cookie], &huge, &[413, 0]),
        ("10 MB of nobody", "/start", &[], &huge, &[403, 0]),
        ("10 MB to sign in", "/sign-in", &[], &huge, &[413, 0]),
        ("10 MB to choose colours", "/theme", &[], &huge, &[413, 0]),
        ("10 MB to sign out", "/sign-out", &[cookie], &huge, &[413, 0]),
        ("another path for the same", "/start/", &[cookie], &form, &[404]),
        ("a path with dots", "/x/../start", &[cookie], &form, &[404]),
        ("an encoded path", "/%73tart", &[cookie], &form, &[404]),
        ("two slashes", "//start", &[cookie], &form, &[404]),
        ("another case", "/Start", &[cookie], &form, &[404]),
    ];
    for (what, path, headers, body, expected) in rows {
        let answer = cluster.aggregator.web.request("POST", path, headers, body);
        assert!(expected.contains(&answer.code), "{what}: {} {}", answer.code, answer.body);
        assert_eq!(answer.header("set-cookie"), None, "{what}");
        assert_eq!(cluster.config.find_process("app"), None, "{what}");
    }
    // Only POST performs actions, whatever other requests carry.
    for method in ["GET", "HEAD", "PUT", "PATCH", "DELETE", "TRACE", "post", "POSTS"] {
        for path in ["/start", "/stop", "/restart", "/cancel", "/sign-out"] {
            let headers = [cookie, ("X-HTTP-Method-Override", "POST")];
            let answer = cluster.aggregator.web.request(method, &format!("{path}?{form}"), &headers, &form);
            assert_eq!(answer.code, 405, "{method} {path}: {answer:?}");
        }
    }
    assert_untouched(&cluster, &operator, "requests that were refused");
}

#[test]
fn heads_that_are_none_and_paths_that_lead_away_are_refused() {
    let cluster = start_cluster(TestConfig::new(), &[]);
    let operator = cluster.aggregator.web.session("ann");
    let (cookie, csrf) = (&operator.cookie, &operator.csrf);
    let form = format!("{FORM}&csrf={csrf}");
    let length = form.len();
    let host = format!("Host: {}\r\nConnection: close\r\n", cluster.aggregator.web.0);
    let start = format!(
        "POST /start HTTP/1.1\r\n{host}Content-Type: application/x-www-form-urlencoded\r\nCookie: {cookie}\r\n"
    );
    let many: String = (0..500).map(|at| format!("X-{at}: x\r\n")).collect();
    let long = "x".repeat(600_000);
    let rows = [
        ("two hosts", format!("GET / HTTP/1.1\r\n{host}Host: evil.example\r\n\r\n")),
        ("no host", "GET / HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned()),
        ("a version of old", "GET /\r\n\r\n".to_owned()),
        ("a version to come", format!("GET / HTTP/7.0\r\n{host}\r\n")),
        ("a cookie of 600 kB", format!("GET / HTTP/1.1\r\n{host}Cookie: {long}\r\n\r\n")),
        ("a path of 600 kB", format!("GET /{long} HTTP/1.1\r\n{host}\r\n")),
        ("500 headers", format!("GET / HTTP/1.1\r\n{host}{many}\r\n")),
        ("a space before the colon", format!("{start}Content-Length : {length}\r\n\r\n{form}")),
        ("a folded line", format!("{start}Content-Length:\r\n {length}\r\n\r\n{form}")),
        ("two lengths", format!("{start}Content-Length: {length}\r\nContent-Length: 1\r\n\r\n{form}")),
        ("a negative length", format!("{start}Content-Length: -1\r\n\r\n{form}")),
        ("a length that is none", format!("{start}Content-Length: 0x10\r\n\r\n{form}")),
        ("a length beyond all", format!("{start}Content-Length: 99999999999999999999\r\n\r\n{form}")),
        ("an unknown transfer", format!("{start}Transfer-Encoding: chunked, x\r\n\r\n{form}")),
        ("a broken piece", format!("{start}Transfer-Encoding: chunked\r\n\r\nzz\r\n{form}\r\n0\r\n\r\n")),
        ("a zero in a header", format!("{start}X: \0\r\nContent-Length: {length}\r\n\r\n{form}")),
        ("a zero in the path", format!("GET /\0 HTTP/1.1\r\n{host}\r\n")),
        ("a way through a proxy", format!("CONNECT evil.example:80 HTTP/1.1\r\n{host}\r\n")),
        ("the start of TLS", "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03".to_owned() + &"x".repeat(500)),
    ];
    for (what, request) in rows {
        let answer = cluster.aggregator.web.send_raw(&request);
        assert!(matches!(answer.code, 400..500), "{what}: {answer:?}");
        assert_eq!(cluster.config.find_process("app"), None, "{what}");
    }
    // Other sites may not read the responses.
    let asked = [("Origin", "https://evil.example"), ("Access-Control-Request-Method", "POST")];
    for method in ["GET", "OPTIONS"] {
        let answer = cluster.aggregator.web.request(method, "/api/v1/overview", &asked, "");
        assert!(!answer.head.contains("access-control-"), "{answer:?}");
    }
    // A DNS name that was made to point here gets no data either.
    for path in ["/", "/live", "/api/v1/overview", "/sign-in", "/healthz"] {
        assert_eq!(
            cluster.aggregator.web.request("GET", path, &[("Host", "evil.example")], "").code,
            403,
            "{path}"
        );
    }
    for path in ["/..%2f..%2fetc/passwd", "/assets/../../etc/passwd", "/%00", "/%ff", "/.git/config"] {
        assert_eq!(cluster.aggregator.web.get(path).code, 404, "{path}");
    }
    let log = cluster.aggregator.web.get("/log?environment=TEST&host=h&component=../../etc/passwd");
    assert!(log.code != 200 && !log.body.contains("root:"), "{log:?}");
    // The redirect after a sign-in never leaves the site, and cannot inject a header.
    let password = PASSWORD.replace(' ', "+");
    for next in ["//evil.example", "https://evil.example", "/%5Cevil.example", "%2F%0D%0ASet-Cookie:+x=y"] {
        let form = cluster.aggregator.web.get(&format!("/sign-in?next={next}"));
        let leads_home = "action=\"/sign-in\"><input type=\"hidden\" name=\"next\" value=\"/\">";
        assert!(form.code == 200 && form.body.contains(leads_home), "{form:?}");
        let led =
            cluster.aggregator.web.post("/sign-in", &format!("name=ann&password={password}&next={next}"));
        assert_eq!((led.code, led.header("location")), (303, Some("/")), "{led:?}");
        assert_eq!(led.head.matches("set-cookie").count(), 1, "{led:?}");
    }
    assert_untouched(&cluster, &operator, "heads that are none");
    // The recorded address cannot be changed by a header.
    let headers =
        [("Cookie", cookie.as_str()), ("X-Forwarded-For", "10.9.9.9"), ("Forwarded", "for=10.9.9.9")];
    assert_eq!(cluster.aggregator.web.request("POST", "/start", &headers, &form).code, 303);
    let events = wait_for("it to be recorded", || {
        let events = cluster.aggregator.web.get("/api/v1/events?kind=plan").body;
        (events.matches("start of app on h").count() >= 2).then_some(events)
    });
    assert!(events.contains("127.0.0.1") && !events.contains("10.9.9.9"), "{events}");
}

#[test]
fn sessions_that_have_ended_are_worth_nothing() {
    let cluster = start_cluster(TestConfig::new(), &[]);
    let start = |cookie: &str, csrf: &str| {
        cluster
            .aggregator
            .web
            .request("POST", "/start", &[("Cookie", cookie)], &format!("{FORM}&csrf={csrf}"))
            .code
    };
    let out = cluster.aggregator.web.session("ann");
    let left = cluster.aggregator.web.request(
        "POST",
        "/sign-out",
        &[("Cookie", &out.cookie)],
        &format!("csrf={}", out.csrf),
    );
    assert_eq!(left.code, 303);
    let ann = cluster.aggregator.web.session("ann");
    assert_eq!(start(&out.cookie, &out.csrf), 403, "it has signed out");
    assert_eq!(start(&ann.cookie, &out.csrf), 403, "the token of a session that has signed out");
    assert_eq!(start(&out.cookie, &ann.csrf), 403, "the token of another session");
    // A sign-in does not adopt the cookie of an old session: an attacker who planted it gains no access.
    let fixed = cluster.aggregator.web.request(
        "POST",
        "/sign-in",
        &[("Cookie", &out.cookie)],
        &format!("name=ann&password={}&next=/", PASSWORD.replace(' ', "+")),
    );
    assert_eq!(fixed.code, 303);
    assert_ne!(fixed.cookie(), out.cookie);
    assert_eq!(start(&out.cookie, &out.csrf), 403, "one that was set from outside");

    let users = std::fs::read_to_string(&cluster.users().file).unwrap();
    let until = |what: &str, users: &str, is_so: &dyn Fn(&WebResponse) -> bool| {
        std::fs::write(&cluster.users().file, users).unwrap();
        wait_for(what, || {
            is_so(&cluster.aggregator.web.request("GET", "/", &[("Cookie", &ann.cookie)], "")).then_some(())
        });
    };
    let is_hers = |page: &WebResponse| page.body.contains("Sign out");
    let may_act = |page: &WebResponse| page.body.contains("action=\"/start\"");
    let demoted = users.replace("name = \"ann\"\nrole = \"operator\"", "name = \"ann\"\nrole = \"viewer\"");
    until("ann to be a viewer", &demoted, &|page| is_hers(page) && !may_act(page));
    assert_eq!(start(&ann.cookie, &ann.csrf), 403, "she may look only");
    let (without, probe) = users.split_at(users.rfind("[[").unwrap());
    let without = without.replace("name = \"ann\"", "name = \"anne\"");
    assert!(probe.contains("probe"), "the last entry is that of a token: {probe}");
    until("ann to be unknown", &without, &|page| !is_hers(page));
    assert_eq!(start(&ann.cookie, &ann.csrf), 403, "she is not known");
    // The user is admitted again, but the earlier session is not.
    std::fs::write(&cluster.users().file, &users).unwrap();
    let token = format!("Bearer {}", cluster.users().viewer_token);
    wait_for("the file to be read", || {
        (cluster.aggregator.web.request("GET", "/", &[("Authorization", &token)], "").code == 200)
            .then_some(())
    });
    assert_eq!(start(&ann.cookie, &ann.csrf), 403, "the session from before");
    assert_untouched(&cluster, &cluster.aggregator.web.session("ann"), "sessions that have ended");
}

#[test]
fn heads_and_bodies_that_do_not_come_keep_nobody_else_out() {
    let cluster = start_cluster(TestConfig::new(), &[]);
    let operator = cluster.aggregator.web.session("ann");
    let host = format!("Host: {}\r\nConnection: close\r\n", cluster.aggregator.web.0);
    let before = open_files(&cluster);
    let mut heads: Vec<TcpStream> = (0..300)
        .map(|_| send(cluster.aggregator.web.0, format!("GET /healthz HTTP/1.1\r\n{host}X-Slow: ")))
        .collect();
    let form = format!("{FORM}&csrf={}", operator.csrf);
    let half = |path: &str, more: &str| {
        let length =
            format!("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n", form.len());
        let half = &form[..form.len() / 2];
        send(cluster.aggregator.web.0, format!("POST {path} HTTP/1.1\r\n{host}{more}{length}\r\n{half}"))
    };
    let cookie = format!("Cookie: {}\r\n", operator.cookie);
    let bodies: Vec<TcpStream> = (0..50).map(|_| half("/start", &cookie)).collect();
    let strangers: Vec<TcpStream> = (0..50).map(|_| half("/sign-in", "")).collect();
    assert_untouched(&cluster, &operator, "400 requests that do not come to an end");
    // A request completed after all is answered, unless the server has given it up.
    for head in &mut heads {
        let _ = head.write_all(b"x\r\n\r\n");
    }
    for head in heads {
        let answer = WebResponse::read(head);
        assert!(matches!(answer.code, 200 | 408 | 0), "{answer:?}");
    }
    for body in bodies {
        let answer = WebResponse::read(body);
        assert!(matches!(answer.code, 408 | 0), "{answer:?}");
    }
    drop(strangers);
    wait_for_closed_connections(&cluster, before);
    assert_untouched(&cluster, &operator, "400 requests that did not come to an end");
}

/// Time limit that only broken servers exceed.
const PATIENCE: Duration = Duration::from_secs(60);
/// Maximum number of open pages, and the maximum for one user.
const OPEN: usize = 1_000;
const OF_ONE: usize = 900;

/// Open page and its updates.
struct OpenPage {
    stream: TcpStream,
    received_text: String,
}

impl OpenPage {
    /// Opens a page.
    fn new(cluster: &TestCluster, cookie: &str) -> Self {
        let request =
            format!("GET /live HTTP/1.1\r\nHost: {}\r\nCookie: {cookie}\r\n\r\n", cluster.aggregator.web.0);
        Self { stream: send(cluster.aggregator.web.0, request), received_text: String::new() }
    }

    /// Reads until the received text is as `wanted`.
    fn until(&mut self, wanted: impl Fn(&str) -> bool) -> &str {
        let deadline = Instant::now() + PATIENCE;
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        while !wanted(&self.received_text) {
            assert!(Instant::now() < deadline, "waited in vain: {}", self.received_text);
            let mut bytes = [0; 65_536];
            let length = self.stream.read(&mut bytes).unwrap();
            assert_ne!(length, 0, "the page is cut off: {}", self.received_text);
            self.received_text.push_str(&String::from_utf8_lossy(&bytes[..length]));
        }
        &self.received_text
    }

    fn is_served(&mut self) -> bool {
        self.until(|received_text| received_text.contains("\r\n\r\n")).starts_with("HTTP/1.1 200")
    }
}

/// Asserts that each page receives the changes.
fn assert_all_served(pages: &mut [OpenPage]) {
    for (number, page) in pages.iter_mut().enumerate() {
        assert!(page.is_served(), "page {number}: {}", page.received_text);
    }
}

#[test]
fn a_thousand_open_pages_are_told_and_more_are_refused() {
    let cluster = start_cluster(TestConfig::new(), &[]);
    let operator = cluster.aggregator.web.session("ann");
    let before = open_files(&cluster);
    let mut open: Vec<OpenPage> = (0..OF_ONE).map(|_| OpenPage::new(&cluster, "")).collect();
    assert_all_served(&mut open);
    assert_eq!(cluster.aggregator.web.get("/live").code, 503, "nobody has all of them");
    open.extend((OF_ONE..OPEN).map(|_| OpenPage::new(&cluster, &operator.cookie)));
    assert_all_served(&mut open);
    for path in
        ["/live", "/live/instance?environment=TEST&host=h&component=app", "/live/graph?environment=TEST"]
    {
        for _ in 0..20 {
            let refused = cluster.aggregator.web.get(path);
            assert!(refused.code == 503 && refused.header("retry-after").is_some(), "{refused:?}");
        }
    }
    assert_untouched(&cluster, &operator, "1,000 open pages");
    // The first update is the whole page, followed by the changes of the start and the stop.
    for page in [0, OPEN - 1] {
        open[page].until(|received_text| received_text.matches("event: patch").count() >= 3);
    }
    // A closed page makes room for another one.
    open.pop();
    wait_for("room for another page", || {
        let mut another = OpenPage::new(&cluster, &operator.cookie);
        another.is_served().then_some(another)
    });
    drop(open);
    wait_for_closed_connections(&cluster, before);
    assert_untouched(&cluster, &operator, "1,000 pages that were closed");
}
