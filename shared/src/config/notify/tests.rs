use std::time::Duration;

use jiff::Timestamp;

use super::*;

fn load(text: &str) -> Result<NotifyConfig, String> {
    let source = Source { name: "notify.toml".to_owned(), text: text.to_owned() };
    load_notify_source(source).map_err(|error| error.to_string())
}

#[test]
fn defaults_and_overrides_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "whsec\n").unwrap();
    let text = format!(
        r#"
link = "https://rta.example.com/"
for = "5s"
[[channel]]
name = "ops"
webhook = {{ url = "https://sink.example.com/x", secret = {{ file = "{}" }}, timeout = "3s" }}
[[channel]]
name = "mail"
mail = {{ server = "smtp.example.com", from = "rta@example.com", to = ["a@example.com"] }}
[[route]]
channels = ["ops", "mail"]
environment = ["ITG"]
severity = ["critical"]
label = {{ team = "data" }}
for = "1m"
last = true
"#,
        secret.display()
    );
    let config = load(&text).unwrap();
    assert_eq!(config.link.as_deref(), Some("https://rta.example.com"));
    assert_eq!((config.begin_delay, config.end_delay), (Duration::from_secs(5), Duration::from_secs(30)));
    assert_eq!(config.flapping, FlapRule { begins: 3, within: Duration::from_secs(600) });
    let ChannelKind::Webhook(webhook) = &config.channels[0].kind else { panic!("{config:?}") };
    assert_eq!(webhook.secret.as_ref().unwrap().read().unwrap(), "whsec");
    assert!(!format!("{config:?}").contains("whsec"), "a secret is shown");
    let ChannelKind::Mail(mail) = &config.channels[1].kind else { panic!("{config:?}") };
    assert_eq!((mail.tls, mail.port), (MailTls::StartTls, None));
    let route = &config.routes[0];
    assert_eq!((route.begin_delay, route.last), (Some(Duration::from_secs(60)), true));
    assert_eq!(
        (route.severities.as_slice(), &route.labels["team"]),
        (&[Severity::Critical][..], &"data".to_owned())
    );
}

#[test]
fn each_problem_has_its_place_and_the_nearest_word() {
    let channel = "[[channel]]\nname = \"ops\"\nwebhook = { url = \"https://h/x\" }\n";
    let rows = [
        ("fro = \"5s\"", "1:1: key \"fro\" is not known; did you mean \"for\"?"),
        ("repeat = \"5s\"", "1:10: key \"repeat\" is at least \"1m\", or \"0s\" for no repetition"),
        ("growth = -1", "1:10: key \"growth\" is a number from 0 to 1000"),
        ("[flapping]\nbegins = 1", "2:10: flapping: key \"begins\" is a number from 2 to 1000"),
        (
            "[[route]]\nchannels = [\"osp\"]",
            "5:13: route: channel \"osp\" is not known; did you mean \"ops\"?",
        ),
        ("[[route]]\nchannels = [\"ops\"]\nseverity = [\"critcal\"]", "did you mean \"critical\"?"),
        ("[[route]]\nchannels = [\"ops\"]\ndays = [\"mond\"]", "is no day; did you mean \"mon\"?"),
        ("[[route]]\nchannels = [\"ops\"]\nhours = \"8-18\"", "is no range of times"),
        ("[[route]]\nchannels = [\"ops\"]\ntimezone = \"Mars\"", "is no time zone"),
        ("[[channel]]\nname = \"ops\"\nchat = { url = \"http://h\" }", "channel \"ops\" is given twice"),
        ("[[channel]]\nname = \"x\"", "it is of one kind"),
        (
            "[[channel]]\nname = \"x\"\nwebhook = { url = \"ftp://h\" }",
            "is no address that begins with https://",
        ),
        (
            "[[channel]]\nname = \"x\"\nwebhook = { url = \"http://h\", secret = \"s\" }",
            "is a secret, which does not belong into this file",
        ),
        (
            "[[channel]]\nname = \"x\"\nwebhook = { url = \"http://h\", secret = { file = \"/nowhere\" } }",
            "the secret in /nowhere cannot be read",
        ),
        (
            "[[channel]]\nname = \"x\"\nchat = { url = \"http://h\", template = '{\"a\": \"${sumary}\"}' }",
            "did you mean \"summary\"?",
        ),
        ("[[channel]]\nname = \"x\"\ncommand = { run = [\"notify\"] }", "the absolute path of a program"),
        (
            "[[channel]]\nname = \"x\"\nmail = { server = \"h\", from = \"a\", to = [\"b@c\"], tls = \"start\" }",
            "\"start\" is no encryption",
        ),
    ];
    for (text, expected) in rows {
        // What is no table has to come first.
        let text = match text.starts_with('[') {
            true => format!("{channel}{text}\n"),
            false => format!("{text}\n{channel}"),
        };
        let text = if expected.starts_with("2:10") { text.replacen(channel, "", 1) } else { text };
        let refusal = load(&text).unwrap_err();
        assert!(refusal.contains(expected), "{text}\n{refusal}");
    }
}

#[test]
fn route_is_open_in_its_hours() {
    let hours = |keys: &str| {
        let text = format!(
            "[[channel]]\nname = \"ops\"\nwebhook = {{ url = \"https://h/x\" }}\n[[route]]\nchannels = [\"ops\"]\n{keys}"
        );
        load(&text).unwrap().routes.remove(0).hours
    };
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    // 2026-11-27 is a Friday.
    let night = hours("hours = \"22:00-06:00\"\ndays = [\"fri\"]");
    for (time, is_open) in [
        ("2026-11-27T21:59:59Z", false),
        ("2026-11-27T22:00:00Z", true),
        ("2026-11-28T05:59:00Z", true),
        ("2026-11-28T06:00:00Z", false),
        ("2026-11-28T23:00:00Z", false),
        ("2026-11-27T05:00:00Z", false),
    ] {
        assert_eq!(night.is_open(at(time)), is_open, "{time}");
    }
    let day = hours("hours = \"08:00-18:00\"\ntimezone = \"Europe/Berlin\"");
    assert!(day.is_open(at("2026-11-27T07:00:00Z")) && !day.is_open(at("2026-11-27T17:00:00Z")));
    assert!(hours("hours = \"08:00-24:00\"").is_open(at("2026-11-27T23:59:00Z")));
    assert!(RouteHours::default().is_open(at("2026-11-27T03:00:00Z")));
}

#[test]
fn file_that_others_may_write_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o666)).unwrap();
    assert!(load_notify_file(file.path()).unwrap_err().to_string().contains("chmod go-w"));
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(load_notify_file(file.path()).is_ok());
    assert!(load_notify_file(Path::new("/nowhere")).is_err());
}
