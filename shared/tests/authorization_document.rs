//! Compares `docs/authorization.md` with the table that the programs enforce. With RTA_WRITE_DOCS=1 this test
//! writes the document; otherwise it fails if the document differs.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::fmt::Write as _;
use std::path::Path;

use rta_shared::authorization::{
    AGENT_METHODS, AGGREGATOR_METHODS, CallerKind, HTTP_ROUTES, MethodRule, Right, ServerKind,
};

const INTRODUCTION: &str = "\
# Who may call what

Made from `shared/src/authorization/` by `RTA_WRITE_DOCS=1 cargo test -p rta-shared --test authorization_document`; do
not edit it. The programs decide by the same table: what is not in it is answered to nobody. The test
`tests/tests/authorization.rs` calls every method and route as each of these callers.

| caller | is |
|---|---|
| nobody | somebody who proves nothing |
| other user | a user of the same host, over the local socket, who is not in the group `rta` |
| group rta | root, the program's own user, or a member of the group `rta`, over the local socket |
| viewer, operator | who signed in, or has a token, with that role in the file of `--users` |
| person | a person's certificate (`rta pki user NAME`) |
| foreign | a certificate of another CA |
| host | a host's certificate (`rta pki host NAME`) |
| aggregator | the certificate under the aggregator's name |
| forwarding | another aggregator, with that certificate or as the same user over the local socket, which names the person on whose behalf it calls |

`yes`: answered. `no`: refused, and logged. `-`: no connection: TLS refuses it, or there is no way to prove that here.

";

const COLUMNS: [(&str, Option<CallerKind>); 10] = [
    ("nobody", Some(CallerKind::Anonymous)),
    ("other user", Some(CallerKind::OtherLocalUser)),
    ("group rta", Some(CallerKind::LocalMember)),
    ("viewer", Some(CallerKind::Viewer)),
    ("operator", Some(CallerKind::Operator)),
    ("person", Some(CallerKind::PersonCertificate)),
    ("foreign", None),
    ("host", Some(CallerKind::HostCertificate)),
    ("aggregator", Some(CallerKind::AggregatorCertificate)),
    ("forwarding", Some(CallerKind::ForwardingAggregator)),
];

fn row(text: &mut String, cells: impl IntoIterator<Item = String>) {
    let cells: Vec<String> = cells.into_iter().collect();
    writeln!(text, "| {} |", cells.join(" | ")).unwrap();
}

fn head(text: &mut String, first: &str, columns: &[&str]) {
    row(text, [first].iter().chain(columns).map(|cell| (*cell).to_owned()));
    row(text, (0..=columns.len()).map(|_| "---".to_owned()));
}

fn cell(kind: Option<CallerKind>, server: ServerKind, right: Right) -> String {
    let proves = |kind: &CallerKind| match kind {
        // An agent's TLS admits only the aggregator.
        CallerKind::OtherLocalUser | CallerKind::LocalMember => server != ServerKind::Page,
        CallerKind::AggregatorCertificate => server != ServerKind::Page,
        CallerKind::PersonCertificate | CallerKind::HostCertificate | CallerKind::ForwardingAggregator => {
            server == ServerKind::Aggregator
        }
        CallerKind::Viewer | CallerKind::Operator | CallerKind::Anonymous => server != ServerKind::Agent,
        CallerKind::Unasked => true,
    };
    match kind.filter(proves) {
        None => "-",
        Some(kind) if kind.may(server, right) => "yes",
        Some(_) => "no",
    }
    .to_owned()
}

fn methods(text: &mut String, server: ServerKind, rules: &[MethodRule]) {
    head(text, "method", &COLUMNS.map(|(name, _)| name));
    for rule in rules {
        let cells = COLUMNS.map(|(_, kind)| cell(kind, server, rule.right));
        row(text, [format!("`{}`", rule.path)].into_iter().chain(cells));
    }
}

fn document() -> String {
    let mut text = INTRODUCTION.to_owned();
    text.push_str(
        "## An agent, gRPC\n\nOnly the aggregator passes on who asked; others act under their own name.\n\n",
    );
    methods(&mut text, ServerKind::Agent, AGENT_METHODS);
    text.push_str(
        "\n## The aggregator, gRPC\n\nA member of the group whose login name is a viewer in the file of users may do \
         what a viewer may.\n\n",
    );
    methods(&mut text, ServerKind::Aggregator, AGGREGATOR_METHODS);
    text.push_str(
        "\n## The aggregator, the page's server\n\nIt asks for no certificate and has no socket: a client that does not sign \
         in or show a token is nobody. `HEAD` is as `GET`.\n\n",
    );
    let columns: Vec<_> =
        COLUMNS.iter().filter(|(_, kind)| cell(*kind, ServerKind::Page, Right::Open) != "-").collect();
    head(&mut text, "route", &columns.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    for rule in HTTP_ROUTES.iter() {
        let cells = columns.iter().map(|(_, kind)| cell(*kind, ServerKind::Page, rule.right));
        row(&mut text, [format!("`{} {}`", rule.method, rule.path)].into_iter().chain(cells));
    }
    text.push_str(
        "\n## What flags change\n\n\
         - Without `--users` the page shows everything to anyone who reaches it, and lets nobody act; with `--insecure` \
         everybody acts.\n\
         - `viewing = \"open\"` in the file of users: nobody may what a viewer may, on the page, and over gRPC in clear.\n\
         - `--read-only`: nobody acts by the page.\n\
         - `--insecure`: gRPC over TCP in clear. An agent obeys anyone who reaches its port. So does the aggregator, unless \
         it has users: then those who show a token.\n\
         - `--socket none`: no local socket.\n",
    );
    text
}

#[test]
fn document_says_what_the_table_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/authorization.md");
    let text = document();
    if std::env::var_os("RTA_WRITE_DOCS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == text,
        "{} is not what the table says; write it with RTA_WRITE_DOCS=1 cargo test -p rta-shared --test \
         authorization_document",
        path.display()
    );
}
