//! HTTP API on the real binaries: every operation, held against the description that the aggregator serves.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::TcpStream;

use rta_tests::{OutputReader, TestCluster, TestConfig, WebClient, WebResponse, wait_for};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Starts a host with `base`, `app`, which needs it, and `other`.
fn start_cluster() -> TestCluster {
    let config = TestConfig::new();
    let components = [
        config.component_toml("base", "", ""),
        config.component_toml("app", "\"base\"", ""),
        config.component_toml("other", "", ""),
    ];
    let cluster = TestCluster::builder(config)
        .components(&components.concat())
        .host("h", &["base", "app", "other"])
        .users("closed")
        .data()
        .start();
    let api = Api::new(&cluster);
    wait_for("the host to be known", || {
        let overview = api.get("/api/v1/overview").1;
        (overview["environments"][0]["hosts"][0]["reachable"] == true).then_some(())
    });
    cluster
}

/// Client that holds each answer against the description.
struct Api {
    web: WebClient,
    authorization: String,
    document: Value,
    /// Operations that were called and succeeded.
    called: RefCell<BTreeSet<String>>,
}

impl Api {
    /// Creates a client that acts as an operator.
    fn new(cluster: &TestCluster) -> Self {
        let web = cluster.aggregator.web;
        // The description needs no rights.
        let document = serde_json::from_str(&web.get("/api/v1/openapi.json").body).unwrap();
        let authorization = format!("Bearer {}", cluster.users().operator_token);
        let called = BTreeSet::from(["getDescription".to_owned()]);
        Self { web, authorization, document, called: RefCell::new(called) }
    }

    fn get(&self, path: &str) -> (WebResponse, Value) {
        self.call("GET", path, &[], "")
    }

    fn post(&self, path: &str, body: &Value) -> (WebResponse, Value) {
        self.call("POST", path, &[("Content-Type", "application/json")], &body.to_string())
    }

    fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (WebResponse, Value) {
        let own = ("Authorization", self.authorization.as_str());
        let is_given = headers.iter().any(|(name, _)| matches!(*name, "Authorization" | "Cookie"));
        let all: Vec<_> = headers.iter().copied().chain((!is_given).then_some(own)).collect();
        let response = self.web.request(method, path, &all, body);
        let answer = serde_json::from_str(&response.body).unwrap_or(Value::Null);
        self.check(method, path, &response, &answer);
        (response, answer)
    }

    /// Checks that the description has this answer.
    fn check(&self, method: &str, path: &str, response: &WebResponse, answer: &Value) {
        let what = format!("{method} {path}: {response:?}");
        let bare = path.split('?').next().unwrap();
        let operation = &self.document["paths"][template(bare)][method.to_lowercase()];
        let described = self.follow(&operation["responses"][response.code.to_string()]);
        assert!(described.is_object(), "not described: {what}");
        let media = response.header("content-type").unwrap_or_default();
        let schema = &described["content"][media]["schema"];
        assert!(schema.is_object(), "not described as {media}: {what}");
        let whole = json!({ "allOf": [schema], "components": self.document["components"] });
        let validator = jsonschema::draft202012::options().build(&whole).unwrap();
        let errors: Vec<String> = validator
            .iter_errors(answer)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{errors:#?}\n{what}");
        if response.code >= 400 {
            assert_eq!(answer["status"], response.code, "{what}");
            assert_eq!(answer["type"], "about:blank");
        } else {
            self.called.borrow_mut().insert(operation["operationId"].as_str().unwrap().to_owned());
        }
    }

    fn follow<'d>(&'d self, value: &'d Value) -> &'d Value {
        match value["$ref"].as_str() {
            Some(reference) => self.document.pointer(reference.trim_start_matches('#')).unwrap(),
            None => value,
        }
    }

    /// Opens a stream, and returns its lines as they come.
    fn stream(&self, path: &str, headers: &str) -> OutputReader {
        let mut stream = TcpStream::connect(self.web.0).unwrap();
        let authorization = &self.authorization;
        let host = self.web.0;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {authorization}\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let bare = path.split('?').next().unwrap();
        let operation = &self.document["paths"][template(bare)]["get"];
        assert!(operation["responses"]["200"]["content"]["text/event-stream"].is_object(), "{path}");
        self.called.borrow_mut().insert(operation["operationId"].as_str().unwrap().to_owned());
        OutputReader::collect(stream)
    }

    /// Waits for the end of a plan, and returns its state.
    fn wait_for_end(&self, plan: &Value) -> Value {
        let path = format!("/api/v1/plans/{}", plan["id"]);
        wait_for("a plan to end", || {
            let state = self.get(&path).1;
            (!state["end"].is_null()).then_some(state)
        })
    }

    fn wait_for_health(&self, component: &str, health: &str) {
        wait_for(&format!("{component} to be {health}"), || {
            let instance = self.get(&format!("/api/v1/instance?component={component}")).1;
            (instance["instance"]["health"] == health).then_some(())
        });
    }
}

/// Returns the path of the description for a path with a number.
fn template(path: &str) -> String {
    let segment = |segment: &str| match segment.parse::<u64>() {
        Ok(_) => "{id}".to_owned(),
        Err(_) => segment.to_owned(),
    };
    path.split('/').map(segment).collect::<Vec<_>>().join("/")
}

/// Returns the data of the server-sent events with this name.
fn events(lines: &OutputReader, name: &str) -> Vec<Value> {
    let lines = lines.lines();
    let wanted = format!("event: {name}");
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if line.trim() == wanted {
            let rest = lines[at..].iter().take(4).find_map(|line| line.trim().strip_prefix("data: "));
            found.extend(rest.and_then(|data| serde_json::from_str(data).ok()));
        }
    }
    found
}

#[test]
fn every_operation_answers_as_described() {
    let cluster = start_cluster();
    let api = Api::new(&cluster);

    // A plan: previewed, begun, watched and ended.
    let (_, preview) = api.post("/api/v1/plans/preview", &json!({ "action": "start", "component": "app" }));
    assert_eq!(preview["plan"]["steps"].as_array().unwrap().len(), 2, "{preview}");
    let begin = json!({ "action": "start", "component": "app", "confirm_all": true });
    let (begun, plan) = api.post("/api/v1/plans", &begin);
    assert_eq!(begun.code, 201);
    assert_eq!(begun.header("location"), Some(format!("/api/v1/plans/{}", plan["id"]).as_str()));
    assert_eq!(plan["by"]["user"], "job");
    let stream = api.stream(&format!("/api/v1/plans/{}/stream", plan["id"]), "");
    wait_for("the end in the stream", || (!events(&stream, "ended").is_empty()).then_some(()));
    assert_eq!(events(&stream, "begun")[0]["id"], plan["id"]);
    assert!(events(&stream, "step").iter().any(|step| step["state"] == "done"));
    let ended = api.wait_for_end(&plan);
    assert_eq!((&ended["end"]["done"], &ended["end"]["failed"]), (&json!(2), &json!(0)), "{ended}");
    api.wait_for_health("app", "up");
    assert_eq!(api.get("/api/v1/plans").1["plans"][0]["id"], plan["id"]);
    let (late, _) = api.post(&format!("/api/v1/plans/{}/cancel", plan["id"]), &Value::Null);
    assert_eq!(late.code, 409);

    // A stop that affects more than it names has to be confirmed.
    let (refused, problem) = api.post("/api/v1/stop", &json!({ "component": "base" }));
    assert_eq!(refused.code, 409);
    let to_confirm = &problem["to_confirm"];
    assert_eq!(to_confirm[0]["component"], "app", "{problem}");
    let (stopped, plan) = api.post("/api/v1/stop", &json!({ "component": "base", "confirmed": to_confirm }));
    assert_eq!(stopped.code, 201);
    api.wait_for_end(&plan);
    api.wait_for_health("app", "down");
    let (again, plan) = api.post("/api/v1/start", &json!({ "stopped_by": plan["id"], "confirm_all": true }));
    assert_eq!(again.code, 201);
    api.wait_for_end(&plan);
    let restart = json!({ "component": "app", "no_dependencies": true });
    let (restarted, plan) = api.post("/api/v1/restart", &restart);
    assert_eq!(restarted.code, 201);
    // It has ended already, or is cancelled.
    let (cancelled, _) = api.post(&format!("/api/v1/plans/{}/cancel", plan["id"]), &Value::Null);
    assert!(matches!(cancelled.code, 200 | 409));
    api.wait_for_end(&plan);
    cancel_a_running_plan(&api);

    // State, events and timelines.
    api.wait_for_health("app", "up");
    let (_, instance) = api.get("/api/v1/instance?environment=TEST&host=h&component=app");
    assert_eq!((&instance["host"], &instance["host_reachable"]), (&json!("h"), &json!(true)));
    let first = api.get("/api/v1/events?limit=3").1;
    assert_eq!(first["events"].as_array().unwrap().len(), 3);
    let next = api.get(&format!("/api/v1/events?limit=500&before={}", first["next_before"])).1;
    assert_eq!(next["next_before"], Value::Null);
    assert!(next["events"][0]["id"].as_u64() < first["events"][2]["id"].as_u64());
    let incidents = wait_for("an incident", || {
        let found = api.get("/api/v1/incidents?limit=1").1;
        (!found["incidents"][0].is_null()).then_some(found)
    });
    let incident = &incidents["incidents"][0]["id"];
    let details = api.get(&format!("/api/v1/incidents/{incident}")).1;
    assert_eq!(details["incident"]["id"], *incident);
    assert_eq!(api.get("/api/v1/history?length=1h").1["instances"].as_array().unwrap().len(), 3);
    let stream = api.stream("/api/v1/events/stream", "");
    wait_for("the stream to be live", || (!events(&stream, "caught-up").is_empty()).then_some(()));

    // Maintenance.
    let on = json!({ "on": true, "component": "other", "length": "2h", "reason": "disks" });
    let (_, changed) = api.post("/api/v1/maintenance", &on);
    assert_eq!(
        (&changed["changed"][0]["by"]["user"], &changed["changed"][0]["reason"]),
        (&json!("job"), &json!("disks"))
    );
    assert_eq!(api.get("/api/v1/maintenance").1["maintenance"][0]["component"], "other");
    wait_for("the event", || {
        events(&stream, "event").iter().any(|one| one["kind"] == "maintenance").then_some(())
    });
    api.get("/api/v1/overview");
    api.get("/api/v1/what-if?action=stop&component=other");
    api.post("/api/v1/maintenance", &json!({ "on": false, "component": "other" }));
    assert_eq!(api.get("/api/v1/maintenance").1["maintenance"], json!([]));
    let weekly = json!({ "host": "h", "every": "sat 02:00", "length": "2h", "time_zone": "Europe/Berlin" });
    let (created, planned) = api.post("/api/v1/maintenance/planned", &weekly);
    assert_eq!((created.code, &planned["every"], &planned["id"]), (201, &json!("sat 02:00"), &json!(1)));
    assert_eq!(api.get("/api/v1/maintenance/planned").1["planned"], json!([planned]));
    api.post("/api/v1/maintenance/planned/1/cancel", &json!({}));
    assert_eq!(api.get("/api/v1/maintenance/planned").1["planned"], json!([]));

    let paths = api.document["paths"].as_object().unwrap();
    let operations = paths.values().flat_map(|methods| methods.as_object().unwrap().values());
    let all: BTreeSet<String> =
        operations.map(|operation| operation["operationId"].as_str().unwrap().to_owned()).collect();
    assert_eq!(*api.called.borrow(), all);
}

/// Cancels a plan while its first step is under way.
fn cancel_a_running_plan(api: &Api) {
    wait_for("a plan that is cancelled in time", || {
        let stop = json!({ "component": "base", "confirm_all": true });
        let (begun, plan) = api.post("/api/v1/restart", &stop);
        assert_eq!(begun.code, 201);
        let (cancelled, _) = api.post(&format!("/api/v1/plans/{}/cancel", plan["id"]), &Value::Null);
        api.wait_for_end(&plan);
        let start = json!({ "component": "app", "confirm_all": true });
        let (begun, plan) = api.post("/api/v1/start", &start);
        if begun.code == 201 {
            api.wait_for_end(&plan);
        }
        (cancelled.code == 200).then_some(())
    });
}

#[test]
fn wrong_requests_are_answered_with_problems() {
    let cluster = start_cluster();
    let api = Api::new(&cluster);
    let json_type = ("Content-Type", "application/json");
    for (method, path, headers, body, code, detail) in [
        ("GET", "/api/v1/instance?component=nothing", vec![], "", 404, "is not known"),
        ("GET", "/api/v1/instance?host=h", vec![], "", 400, "name a component"),
        ("GET", "/api/v1/events?limit=x", vec![], "", 400, "limit has to be a number"),
        ("GET", "/api/v1/events?incident=99", vec![], "", 404, "incident 99 is not known"),
        ("GET", "/api/v1/incidents/99", vec![], "", 404, "incident 99 is not known"),
        ("GET", "/api/v1/incidents?open=maybe", vec![], "", 400, "open has to be true or false"),
        ("GET", "/api/v1/incidents?environment=DVE", vec![], "", 404, "environment \"DVE\" is not known"),
        ("GET", "/api/v1/plans/99", vec![], "", 404, "plan 99 is not known"),
        ("GET", "/api/v1/plans/99/stream", vec![], "", 404, "plan 99 is not known"),
        ("POST", "/api/v1/plans/99/cancel", vec![json_type], "", 404, "plan 99 is not known"),
        ("POST", "/api/v1/plans", vec![json_type], "{}", 400, "action has to be start, stop or restart"),
        ("POST", "/api/v1/plans", vec![json_type], "{", 400, "EOF"),
        ("POST", "/api/v1/start", vec![json_type], "{\"hst\": \"h\"}", 400, "unknown field `hst`"),
        ("POST", "/api/v1/start", vec![json_type], "{\"component\": \"ap\"}", 404, "is not known"),
        ("POST", "/api/v1/start", vec![("Content-Type", "text/plain")], "{}", 415, "application/json"),
        ("POST", "/api/v1/maintenance", vec![json_type], "{\"on\": true}", 400, "name a component"),
        (
            "POST",
            "/api/v1/maintenance",
            vec![json_type],
            "{\"on\": true, \"host\": \"h\", \"length\": \"x\"}",
            400,
            "x",
        ),
        (
            "POST",
            "/api/v1/maintenance/planned/9/cancel",
            vec![json_type],
            "{}",
            404,
            "no planned maintenance 9",
        ),
        (
            "POST",
            "/api/v1/maintenance/planned",
            vec![json_type],
            "{\"host\": \"h\", \"every\": \"sat 02:00\", \"length\": \"2h\", \"time_zone\": \"Mars/Base\"}",
            400,
            "\"Mars/Base\" is not known",
        ),
        ("POST", "/api/v1/start", vec![json_type, ("Idempotency-Key", "")], "{}", 400, "Idempotency-Key"),
        ("GET", "/api/v1/overview", vec![("Authorization", "Bearer rta_no")], "", 401, "token"),
    ] {
        let (response, problem) = api.call(method, path, &headers, body);
        assert_eq!(response.code, code, "{method} {path} {body}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(detail), "{path}: {problem}");
    }
    // What the description does not have is a problem too.
    for (method, path, code) in [("DELETE", "/api/v1/plans", 405), ("GET", "/api/v1/nothing", 404)] {
        let headers = [("Authorization", api.authorization.as_str())];
        let response = api.web.request(method, path, &headers, "");
        assert_eq!(response.code, code, "{path}");
        assert_eq!(response.header("content-type"), Some("application/problem+json"), "{path}");
    }
    // So is what is too large, and a page elsewhere.
    let long = "a".repeat(40_000);
    let padding: Vec<(String, String)> =
        (0..110).map(|number| (format!("X-{number}"), "a".to_owned())).collect();
    let many = padding.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let ann = api.web.session("ann");
    for (path, is_large, code, detail) in [
        ("/api/v1/overview?component=", false, 414, "at most 32768 are read"),
        ("/api/v1/overview", true, 431, "at most 100 are read"),
        ("/events?host=", false, 414, "at most 32768 are read"),
        ("/events", true, 431, "at most 100 are read"),
        ("/api/v1/incidents/%ff", false, 400, "The path has bytes that are no UTF-8."),
    ] {
        let address = if path.ends_with('=') { format!("{path}{long}") } else { path.to_owned() };
        let identity = match path.starts_with("/api/") {
            true => ("Authorization", api.authorization.as_str()),
            false => ("Cookie", ann.cookie.as_str()),
        };
        let headers: Vec<_> = [identity].into_iter().chain(many.clone().filter(|_| is_large)).collect();
        let response = api.web.request("GET", &address, &headers, "");
        let media =
            if path.starts_with("/api/") { "application/problem+json" } else { "text/html; charset=utf-8" };
        assert_eq!((response.code, response.header("content-type")), (code, Some(media)), "{path}");
        assert!(response.body.contains(detail), "{path}: {}", response.body);
    }
}

#[test]
fn acting_needs_the_right_and_with_a_session_its_token() {
    let cluster = start_cluster();
    let api = Api::new(&cluster);
    let act = |headers: &[(&str, &str)]| {
        let headers = [&[("Content-Type", "application/json")], headers].concat();
        api.call("POST", "/api/v1/start", &headers, "{\"component\": \"other\"}").0.code
    };
    let viewer = format!("Bearer {}", cluster.users().viewer_token);
    assert_eq!(act(&[("Authorization", &viewer)]), 403);
    let ann = cluster.aggregator.web.session("ann");
    let bob = cluster.aggregator.web.session("bob");
    assert_eq!(act(&[("Cookie", &ann.cookie)]), 403);
    assert_eq!(act(&[("Cookie", &ann.cookie), ("X-CSRF-Token", "wrong")]), 403);
    assert_eq!(act(&[("Cookie", &ann.cookie), ("X-CSRF-Token", &bob.csrf)]), 403);
    assert_eq!(act(&[("Cookie", &bob.cookie), ("X-CSRF-Token", &bob.csrf)]), 403);
    assert_eq!(
        act(&[("Cookie", &ann.cookie), ("X-CSRF-Token", &ann.csrf), ("Origin", "https://evil.example")]),
        403
    );
    assert!(api.get("/api/v1/plans").1["plans"].as_array().unwrap().is_empty());
    assert_eq!(act(&[("Cookie", &ann.cookie), ("X-CSRF-Token", &ann.csrf)]), 201);
    assert_eq!(api.get("/api/v1/plans").1["plans"][0]["by"]["user"], "ann");
}

#[test]
fn repeated_request_is_performed_once_also_after_a_restart() {
    let mut cluster = start_cluster();
    let api = Api::new(&cluster);
    let start = |key: &str, component: &str| {
        let headers = [("Content-Type", "application/json"), ("Idempotency-Key", key)];
        api.call("POST", "/api/v1/start", &headers, &json!({ "component": component }).to_string())
    };
    let (first, plan) = start("\"k1\"", "other");
    assert_eq!((first.code, first.header("idempotent-replayed")), (201, None));
    api.wait_for_end(&plan);
    let (second, same) = start("k1", "other");
    assert_eq!((second.code, second.header("idempotent-replayed")), (201, Some("true")));
    assert_eq!((&same, second.header("location")), (&plan, first.header("location")));
    assert_eq!(start("k1", "base").0.code, 422);
    assert_eq!(api.get("/api/v1/plans").1["plans"].as_array().unwrap().len(), 1);
    let ended = api.wait_for_end(&plan);
    // A request that did nothing does not use its key up.
    assert_eq!(start("k2", "nothing").0.code, 404);
    assert_eq!(start("k2", "base").0.code, 201);
    drop(api);

    cluster.aggregator.stop(Signal::KILL);
    cluster.aggregator.start_again();
    let api = Api::new(&cluster);
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", "k1")];
    let again = |component: &str| {
        api.call("POST", "/api/v1/start", &headers, &json!({ "component": component }).to_string())
    };
    let (third, same) = again("other");
    assert_eq!((third.code, third.header("idempotent-replayed")), (201, Some("true")));
    assert_eq!((&same, third.header("location")), (&plan, first.header("location")));
    assert_eq!(again("base").0.code, 422);
    let begun = api.get("/api/v1/events?kind=plan").1;
    let begun = begun["events"].as_array().unwrap().iter().filter(|event| event["to"] == "under way");
    assert_eq!(begun.count(), 2);

    // Plans that ended before are read from the record.
    let address = format!("/api/v1/plans/{}", plan["id"]);
    let recorded = api.get(&address).1;
    for key in ["steps", "by", "action"] {
        assert_eq!(recorded[key], ended[key]);
    }
    assert_eq!(recorded["end"]["done"], 1);
    let stream = api.stream(&format!("{address}/stream"), "");
    wait_for("the end of the plan", || events(&stream, "ended").pop());
    let (late, refused) = api.post(&format!("{address}/cancel"), &Value::Null);
    assert_eq!(late.code, 409, "{refused}");
    let ann = api.web.session("ann");
    let page = api.web.request("GET", &format!("/plan?id={}", plan["id"]), &[("Cookie", &ann.cookie)], "");
    assert!(page.code == 200 && page.body.contains("1 step done"), "{page:?}");
    assert_eq!(api.get("/api/v1/plans/99").0.code, 404);
}

#[test]
fn client_that_acts_too_often_is_told_when_to_return() {
    let cluster = start_cluster();
    let api = Api::new(&cluster);
    let preview = json!({ "action": "start", "component": "other" });
    let refused = wait_for("a refusal", || {
        let (response, _) = api.post("/api/v1/plans/preview", &preview);
        (response.code == 429).then_some(response)
    });
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=2).contains(&seconds), "{refused:?}");
    // Others are not affected, nor are requests that only read.
    let other = format!("Bearer {}", cluster.users().viewer_token);
    let headers = [("Content-Type", "application/json"), ("Authorization", other.as_str())];
    assert_eq!(api.call("POST", "/api/v1/plans/preview", &headers, &preview.to_string()).0.code, 200);
    assert_eq!(api.get("/api/v1/overview").0.code, 200);
    std::thread::sleep(std::time::Duration::from_secs(seconds));
    assert_eq!(api.post("/api/v1/plans/preview", &preview).0.code, 200);
}

#[test]
fn stream_of_events_continues_where_it_ended() {
    let cluster = start_cluster();
    let api = Api::new(&cluster);
    let stream = api.stream("/api/v1/events/stream?kind=plan", "");
    let caught_up = wait_for("the stream to be live", || events(&stream, "caught-up").pop());
    assert!(events(&stream, "event").is_empty(), "no recorded ones are asked for");
    let (_, plan) = api.post("/api/v1/start", &json!({ "component": "other" }));
    api.wait_for_end(&plan);
    let live = wait_for("both events of the plan", || {
        let events = events(&stream, "event");
        (events.len() == 2).then_some(events)
    });
    assert!(live.iter().all(|event| event["plan"] == plan["id"] && event["kind"] == "plan"));
    let header = format!("Last-Event-ID: {}\r\n", caught_up["last_id"]);
    let continued = api.stream("/api/v1/events/stream?kind=plan", &header);
    wait_for("the stream to be live", || events(&continued, "caught-up").pop());
    assert_eq!(events(&continued, "event"), live);
    let header = format!("Last-Event-ID: {}\r\n", live[0]["id"]);
    let continued = api.stream("/api/v1/events/stream?kind=plan", &header);
    wait_for("the stream to be live", || events(&continued, "caught-up").pop());
    assert_eq!(events(&continued, "event"), live[1..]);
}
