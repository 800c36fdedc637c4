//! Audit log on the real binaries: who did what, and what was refused, over rotation and a target that fails.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rta_tests::{TestCluster, TestConfig, wait_for};
use serde_json::Value;

/// Starts a host with `app`, and an aggregator with users and an audit log.
fn start_cluster() -> (TestCluster, PathBuf) {
    let config = TestConfig::new();
    let app = config.component_toml("app", "", "");
    let path = config.path("audit.log");
    let cluster = TestCluster::builder(config)
        .components(&app)
        .host("h", &["app"])
        .users("open")
        .aggregator_arguments(["--audit-log", path.to_str().unwrap()])
        .start();
    (cluster, path)
}

fn entries(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn wait_for_entry(path: &Path, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    wait_for(what, || entries(path).into_iter().find(|entry| is_it(entry)))
}

#[test]
fn actions_sign_ins_refusals_reloads_and_maintenance_are_written() {
    let (cluster, path) = start_cluster();
    let web = cluster.aggregator.web;
    let token = |token: &str| format!("Bearer {token}");
    let operator = token(&cluster.users().operator_token);
    let post = |path: &str, authorization: &str, body: &str| {
        let headers = [("Authorization", authorization), ("Content-Type", "application/json")];
        web.request("POST", path, &headers, body).code
    };
    wait_for("the start to begin", || {
        (post("/api/v1/start", &operator, "{\"component\": \"app\"}") == 201).then_some(())
    });
    let begun =
        wait_for_entry(&path, "the plan", |entry| entry["what"] == "plan" && entry["outcome"] == "under way");
    assert_eq!((&begun["who"], &begun["from"]), (&"job".into(), &"127.0.0.1".into()));
    assert_eq!((&begun["target"], begun["plan"].is_u64()), (&"TEST/h/app".into(), true));
    let done =
        wait_for_entry(&path, "its end", |entry| entry["what"] == "plan" && entry["outcome"] == "done");
    assert_eq!(done["plan"], begun["plan"]);

    assert_eq!(post("/api/v1/maintenance", &operator, "{\"on\": true, \"host\": \"h\"}"), 200);
    wait_for_entry(&path, "the maintenance", |entry| {
        entry["what"] == "maintenance" && entry["outcome"] == "on"
    });

    assert_eq!(post("/api/v1/stop", &token("rta_wrong"), "{\"component\": \"app\"}"), 401);
    let refused = wait_for_entry(&path, "the refusal", |entry| entry["what"] == "refusal");
    assert_eq!((&refused["target"], &refused["outcome"]), (&"POST /api/v1/stop".into(), &"refused".into()));

    assert_eq!(web.sign_in("ann", "wrong password").code, 401);
    let failed = wait_for_entry(&path, "the failed sign-in", |entry| entry["what"] == "sign-in");
    assert_eq!(failed["from"], "127.0.0.1");
    web.session("ann");
    wait_for_entry(&path, "the sign-in", |entry| entry["what"] == "sign-in" && entry["who"] == "ann");

    let token_file = cluster.config.path("token");
    fs::write(&token_file, &cluster.users().operator_token).unwrap();
    fs::set_permissions(&token_file, fs::Permissions::from_mode(0o600)).unwrap();
    cluster.aggregator.rta_success(&["--token-file", token_file.to_str().unwrap(), "config", "reload"]);
    let reload = wait_for_entry(&path, "the reload", |entry| entry["what"] == "config");
    assert_eq!(reload["who"], "job");

    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    fs::rename(&path, cluster.config.path("audit.log.1")).unwrap();
    assert_eq!(post("/api/v1/maintenance", &operator, "{\"on\": false, \"host\": \"h\"}"), 200);
    wait_for_entry(&path, "the entry in the new file", |entry| entry["outcome"] == "off");
}

#[test]
fn target_that_fails_is_an_impairment_and_blocks_nothing() {
    let (cluster, path) = start_cluster();
    let operator = format!("Bearer {}", cluster.users().operator_token);
    let post = |body: &str| {
        let headers = [("Authorization", operator.as_str()), ("Content-Type", "application/json")];
        cluster.aggregator.web.request("POST", "/api/v1/maintenance", &headers, body).code
    };
    wait_for("the first entry", || (!entries(&path).is_empty()).then_some(()));
    // A folder in its place cannot be written, as a full disk cannot.
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(post("{\"on\": true, \"host\": \"h\"}"), 200);
    let is_impaired = |overview: &Value| {
        overview["impairments"].as_array().unwrap().iter().any(|one| one["part"] == "audit")
    };
    cluster.aggregator.wait_for_overview("the impairment", is_impaired);
    fs::remove_dir(&path).unwrap();
    wait_for_entry(&path, "the entry that waited", |entry| entry["outcome"] == "on");
    cluster.aggregator.wait_for_overview("its end", |overview| !is_impaired(overview));
}
