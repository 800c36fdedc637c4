//! Tokens with scopes and an end, on the real binaries: made, listed and revoked by `rta user`.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::fs::OpenOptions;
use std::io::Write as _;

use rta_tests::{TestCluster, TestConfig, WebResponse, run_binary, wait_for};

/// Makes a token with these further arguments, and adds it to the users file. Returns it.
fn add_token(cluster: &TestCluster, name: &str, more: &[&str]) -> String {
    let output = run_binary("rta", [&["user", "token", "--name", name], more].concat());
    assert!(output.status.success(), "{output:?}");
    let file = &cluster.users().file;
    OpenOptions::new().append(true).open(file).unwrap().write_all(&output.stdout).unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    said.lines().find(|line| line.starts_with("rta_")).unwrap().to_owned()
}

fn start(cluster: &TestCluster, token: &str, host: &str) -> WebResponse {
    let authorization = format!("Bearer {token}");
    let headers = [("Authorization", authorization.as_str()), ("Content-Type", "application/json")];
    let body = format!("{{\"host\": \"{host}\", \"component\": \"app\"}}");
    cluster.aggregator.web.request("POST", "/api/v1/start", &headers, &body)
}

#[test]
fn token_acts_within_its_scope_until_it_ends_or_is_revoked() {
    let config = TestConfig::new();
    let app = config.component_toml("app", "", "") + "\n[[role]]\nname = \"edge\"\ncomponents = [\"app\"]\n";
    let audit = config.path("audit.log");
    let cluster = TestCluster::builder(config)
        .components(&app)
        .host("h1", &["app"])
        .host_with("h2", "role = \"edge\"")
        .users("closed")
        .aggregator_arguments(["--audit-log", audit.to_str().unwrap()])
        .start();
    let scoped = add_token(&cluster, "deploy", &["--host-role", "edge", "--expires", "2099-12-31"]);
    let expired = add_token(&cluster, "old", &["--expires", "2020-01-31"]);
    wait_for("the tokens to be known", || (start(&cluster, &scoped, "h2").code == 201).then_some(()));

    let refused = start(&cluster, &scoped, "h1");
    assert_eq!((refused.code, refused.header("content-type")), (403, Some("application/problem+json")));
    assert!(refused.body.contains("deploy may act within its scope (roles edge)"), "{refused:?}");
    assert!(refused.body.contains("TEST/h1"), "{refused:?}");
    let refusal = wait_for("the refusal to be written", || {
        let text = std::fs::read_to_string(&audit).unwrap_or_default();
        text.lines()
            .find(|line| line.contains("\"what\":\"refusal\"") && line.contains("TEST/h1"))
            .map(str::to_owned)
    });
    assert!(refusal.contains("\"who\":\"deploy\"") && refusal.contains("\"target\":\"start\""), "{refusal}");

    let late = start(&cluster, &expired, "h2");
    assert_eq!(late.code, 401);
    assert!(late.body.contains("has expired at 2020-02-01 00:00 UTC"), "{late:?}");

    let file = cluster.users().file.to_str().unwrap();
    let listed = run_binary("rta", ["user", "list", "--users", file]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("token deploy: operator; roles edge; until 2099-12-31\n"), "{listed}");
    let revoked = run_binary("rta", ["user", "revoke", "deploy", "--users", file]);
    assert!(revoked.status.success(), "{revoked:?}");
    wait_for("the token to be refused", || (start(&cluster, &scoped, "h2").code == 401).then_some(()));
    // The others are as before.
    assert_eq!(start(&cluster, &cluster.users().operator_token, "h2").code, 201);
}
