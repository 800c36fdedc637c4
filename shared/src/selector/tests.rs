//! Every form of a name against the resolver.

use super::*;
use crate::config::{Platform, Source, load_sources};

fn platform() -> Platform {
    let text = r#"
        [[component]]
        name = "kafka server"
        aliases = ["broker"]
        criteria = [{ regex = 'kafka' }]
        [[component]]
        name = "kafka zookeeper server"
        criteria = [{ regex = 'zookeeper' }]
        [[component]]
        name = "raw writer"
        aliases = ["raw writter"]
        criteria = [{ regex = 'raw' }]
        [[component]]
        name = "unused"
        criteria = [{ regex = 'x' }]
        [[environment]]
        name = "DEV"
        host = [
            { name = "d1", components = ["kafka server", "raw writer", "kafka zookeeper server"] },
            { name = "d2.example.net", components = ["raw writer"] },
        ]
        [[environment]]
        name = "ITG"
        host = [{ name = "i1", components = ["kafka server"] }]
    "#;
    load_sources(&[Source { name: "x".to_owned(), text: text.to_owned() }]).unwrap()
}

fn selector([component, environment, host]: [&str; 3]) -> Selector {
    Selector { environment: environment.to_owned(), host: host.to_owned(), component: component.to_owned() }
}

/// The instances that component, environment and host select.
fn selected(names: [&str; 3], purpose: Purpose) -> Result<Vec<String>, SelectorError> {
    let platform = platform();
    let selection = selector(names).resolve(&NameIndex::from(&platform), purpose)?;
    Ok(selection.instances.iter().map(|instance| instance.id().to_string()).collect())
}

#[test]
fn whole_names_select_for_every_purpose() {
    const WRITERS: &[&str] = &["DEV/d1/raw writer", "DEV/d2.example.net/raw writer"];
    const KAFKAS: &[&str] = &["DEV/d1/kafka server", "ITG/i1/kafka server"];
    for (names, expected) in [
        (["raw writer", "", ""], WRITERS),
        (["RAW  Writer", "", ""], WRITERS),
        (["Raw Writter", "", ""], WRITERS),
        (["broker", "", ""], KAFKAS),
        (["kafka server", "itg", ""], &KAFKAS[1..]),
        (["kafka server", "", "D1"], &KAFKAS[..1]),
        (["kafka server", "", "d1.example.net."], &KAFKAS[..1]),
        (["raw writer", "", "d2"], &WRITERS[1..]),
        (["raw writer", "", "D2.EXAMPLE.NET"], &WRITERS[1..]),
        (["d1/broker", "", ""], &KAFKAS[..1]),
        (["d1/broker", "", "i1"], &KAFKAS[..1]),
        (["dev/d1.example.net/KAFKA SERVER", "", ""], &KAFKAS[..1]),
        (["ITG / i1 / broker", "DEV", "d1"], &KAFKAS[1..]),
        (["", "ITG", ""], &KAFKAS[1..]),
        (["", "", "d2"], &WRITERS[1..]),
    ] {
        for purpose in [Purpose::Reading, Purpose::Acting] {
            assert_eq!(selected(names, purpose).unwrap(), expected, "{names:?}");
        }
    }
    assert_eq!(selected(["", "", ""], Purpose::Reading).unwrap().len(), 5);
}

#[test]
fn parts_of_names_select_for_reading_and_are_suggested_for_acting() {
    for (names, expected, suggestion) in [
        (
            ["bro", "itg", ""],
            "ITG/i1/kafka server",
            "component \"bro\" is not known; did you mean \"kafka server\"?",
        ),
        (["kafka z", "", ""], "DEV/d1/kafka zookeeper server", "did you mean \"kafka zookeeper server\"?"),
        (["ka z", "", ""], "DEV/d1/kafka zookeeper server", "did you mean \"kafka zookeeper server\"?"),
        (["zookeeper", "", ""], "DEV/d1/kafka zookeeper server", "did you mean \"kafka zookeeper server\"?"),
        // Only one is there.
        (["kafka", "", "i1"], "ITG/i1/kafka server", "did you mean \"kafka server\"?"),
        (["i/broker", "", ""], "ITG/i1/kafka server", "host \"i\" is not known; did you mean \"i1\"?"),
        (["broker", "I", ""], "ITG/i1/kafka server", "environment \"I\" is not known; did you mean \"ITG\"?"),
    ] {
        assert_eq!(selected(names, Purpose::Reading).unwrap(), [expected], "{names:?}");
        let error = selected(names, Purpose::Acting).unwrap_err();
        assert_eq!(error.kind, SelectorErrorKind::Unknown, "{names:?}");
        assert!(error.message.ends_with(suggestion), "{error}");
    }
}

#[test]
fn names_that_select_nothing_are_answered_with_candidates() {
    use SelectorErrorKind::{Absent, Malformed, Unknown};
    for (names, kind, expected) in [
        (
            ["kafka", "", ""],
            Unknown,
            "component \"kafka\" is not known; did you mean one of \"kafka server\", \"kafka zookeeper server\"?",
        ),
        (["d", "", "d"], Unknown, "host \"d\" is not known; did you mean one of \"d1\", \"d2.example.net\"?"),
        (
            ["kafka sever", "", ""],
            Unknown,
            "component \"kafka sever\" is not known; did you mean \"kafka server\"?",
        ),
        (
            ["zzz", "", ""],
            Unknown,
            "component \"zzz\" is not known; known: kafka server, kafka zookeeper server, raw writer",
        ),
        (["zzz", "ITG", ""], Unknown, "component \"zzz\" is not known; known: kafka server"),
        (["broker", "DVE", ""], Unknown, "environment \"DVE\" is not known; did you mean \"DEV\"?"),
        (["broker", "", "x9"], Unknown, "host \"x9\" is not known; known: d1, d2.example.net, i1"),
        (["broker", "", "d1x.example.net"], Unknown, "did you mean \"d2.example.net\"?"),
        (["", "ITG", "d1"], Absent, "host d1 is not in environment ITG; it is in DEV"),
        (
            ["raw writer", "ITG", ""],
            Absent,
            "\"raw writer\" is not on any host of environment ITG; there is DEV/d1/raw writer, \
             DEV/d2.example.net/raw writer",
        ),
        (["raw writer", "", "i1"], Absent, "\"raw writer\" is not on host i1; there is DEV/d1/raw writer"),
        (["unused", "", ""], Absent, "\"unused\" is not on any host; there is none"),
        (["d1/", "", ""], Malformed, "the name \"d1/\" has no component; write COMPONENT"),
        (["DEV//broker", "", ""], Malformed, "the name \"DEV//broker\" has an empty part"),
        ([" ", "", "d1"], Malformed, "the name of the component is blank"),
        (["", " ", "d1"], Malformed, "the name of the environment is blank"),
    ] {
        for purpose in [Purpose::Reading, Purpose::Acting] {
            let error = selected(names, purpose).unwrap_err();
            assert_eq!(error.kind, kind, "{names:?}");
            assert!(error.message.contains(expected), "{error}");
        }
    }
}

#[test]
fn longer_text_than_a_name_is_refused_before_it_is_compared() {
    let huge = "k".repeat(1_000_000);
    for names in [[&*huge, "", ""], ["x", &huge, ""], ["x", "", &huge]] {
        let error = selected(names, Purpose::Acting).unwrap_err();
        assert_eq!(error.kind, SelectorErrorKind::Malformed);
        assert_eq!(error.message, "a name has at most 255 bytes, this one has 1000000");
    }
    let longest = selected([&"k".repeat(255), "", ""], Purpose::Acting).unwrap_err();
    assert!(longest.message.contains("kkk…\" is not known") && longest.message.len() < 250, "{longest}");
}

#[test]
fn one_instance_is_told_from_several() {
    let platform = platform();
    let index = NameIndex::from(&platform);
    let one = |names| {
        let selection = selector(names).resolve(&index, Purpose::Acting)?;
        selection.one("name the host").map(|instance| (instance.at, instance.host.at))
    };
    assert_eq!(one(["broker", "ITG", ""]), Ok((4, 2)));
    let error = one(["broker", "", ""]).unwrap_err();
    assert_eq!(error.kind, SelectorErrorKind::Several);
    assert_eq!(
        error.message,
        "\"kafka server\" is on several hosts, name the host: DEV/d1/kafka server, ITG/i1/kafka server"
    );
    assert_eq!(one(["", "ITG", ""]).unwrap_err().message, "name a component");
}

#[test]
fn candidates_are_few_however_many_there_are() {
    let names: Vec<String> = (0..500).map(|at| format!("\"c{at}\"")).collect();
    let components: String = names
        .iter()
        .map(|name| format!("[[component]]\nname = {name}\ncriteria = [{{ regex = 'x' }}]\n"))
        .collect();
    let environment = format!(
        "[[environment]]\nname = \"E\"\nhost = [{{ name = \"h\", components = [{}] }}]\n",
        names.join(", ")
    );
    let source = Source { name: "x".to_owned(), text: components + &environment };
    let platform = load_sources(&[source]).unwrap();
    for typed in ["c", "zzz"] {
        let error =
            selector([typed, "", ""]).resolve(&NameIndex::from(&platform), Purpose::Reading).unwrap_err();
        assert!(error.message.contains("and 490 more") && error.message.len() < 200, "{error}");
    }
}

#[test]
fn known_names_become_canonical_and_others_stay() {
    let platform = platform();
    let index = NameIndex::from(&platform);
    let canonical = |names| selector(names).canonical(&index).unwrap();
    assert_eq!(canonical(["Broker", "dev", "D1.example.net"]), selector(["kafka server", "DEV", "d1"]));
    assert_eq!(canonical(["itg/i1/broker", "", ""]), selector(["kafka server", "ITG", "i1"]));
    assert_eq!(canonical(["gone", "OLD", "o1"]), selector(["gone", "OLD", "o1"]));
    // Parts of names may be whole ones of what the configuration does not have any more.
    assert_eq!(canonical(["kafka", "D", "d"]), selector(["kafka", "D", "d"]));
}
