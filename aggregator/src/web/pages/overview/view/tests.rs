//! Tests of pages of sample platforms.

use rta_shared::action::Requester;
use rta_shared::config::ProcessCount;
use rta_shared::overview::InstanceOverview;
use rta_shared::planned_stop::PlannedStop;
use rta_shared::probe::{ProbeReport, ProbeState};
use rta_shared::report::{PartReport, State};
use rta_shared::usage::{HostUsage, ProcessUsage};

use super::*;
use crate::sample_overview::{agent, instance, sample};
use crate::web::parts::planned;

fn html_of(overview_shown: &Overview) -> String {
    overview(
        overview_shown,
        &[],
        &Selection::default(),
        &RequestContext::anonymous("/"),
        Timestamp::UNIX_EPOCH,
    )
    .into_string()
}

#[test]
fn the_cause_comes_first_with_what_it_takes_down() {
    let html = html_of(&sample());
    assert!(html.contains("<h1>1 down, 1 unknown, 1 degraded</h1>"));
    let causes = html.find("What is wrong").unwrap();
    let hosts = html.find("class=\"hosts\"").unwrap();
    assert!(causes < hosts);
    let listed = &html[causes..hosts];
    assert!(listed.contains("kafka server") && listed.contains("1 instance degraded by it"));
    assert!(
        listed.contains("/instance?environment=DEV&amp;host=c2t08978&amp;component=novelty+detector")
            && html.contains("id=\"dev.c2t08978.novelty_detector\"")
    );
}

#[test]
fn what_is_unknown_is_never_green_and_has_no_buttons() {
    let mut overview = sample();
    overview.environments[0].hosts.drain(..2);
    let html = html_of(&overview);
    assert!(!html.contains("class=\"health up\"") && !html.contains("Everything is up"));
    assert!(html.contains("<h1>1 unknown</h1>"));
    assert!(["/stop", "/start", "/restart"].iter().all(|path| !html.contains(&format!("action=\"{path}\""))));
}

#[test]
fn buttons_fit_the_state() {
    let html = html_of(&sample());
    assert!(html.contains("aria-label=\"Start kafka server on c9t21193\""));
    assert!(html.contains("aria-label=\"Stop novelty detector on c2t08978\""));
    assert!(html.contains("aria-label=\"Restart novelty detector on c2t08978\""));
    assert!(!html.contains("aria-label=\"Stop kafka server on c9t21193\""));
    assert!(!html.contains("aria-label=\"Restart kafka server on c9t21193\""));
    let mut overview = sample();
    overview.environments[0].hosts[0].instances[0].startable = false;
    let html = html_of(&overview);
    assert!(!html.contains("aria-label=\"Start kafka server") && html.contains("watched only"));
}

#[test]
fn all_up_is_calm() {
    let mut overview = sample();
    let hosts = &mut overview.environments[0].hosts;
    hosts.truncate(1);
    hosts[0].instances = vec![instance("kafka server", Some(State::Running), Health::Up).into()];
    let html = html_of(&overview);
    assert!(html.contains("<h1>Everything is up</h1>") && !html.contains("What is wrong"));
    assert!(!html.contains("http-equiv"));
}

#[test]
fn the_page_looks_again_only_while_something_changes() {
    let mut overview = sample();
    overview.environments[0].hosts[0].instances[0].state = Some(State::Starting);
    assert!(html_of(&overview).contains("http-equiv=\"refresh\""));
    assert!(!html_of(&sample()).contains("http-equiv=\"refresh\""));
}

/// Returns the sample with all data of an agent on its second host.
fn faulty_overview() -> Overview {
    let mut overview = sample();
    let host = &mut overview.environments[0].hosts[1];
    host.agent = Some(agent());
    host.usage = Some(HostUsage {
        measured_at: Timestamp::UNIX_EPOCH,
        cpus: 8,
        load: [0.5, 0.25, 0.0],
        memory_total_bytes: 32_000_000_000,
        memory_available_bytes: 19_500_000_000,
        booted_at: None,
        processes: vec![ProcessUsage {
            pid: 4242,
            cpu_percent: 12.5,
            resident_bytes: 512_000_000,
            threads: 3,
            open_files: None,
        }],
        cpu_times: Vec::new(),
        probe_durations: Vec::new(),
    });
    let part = |name: &str, running| PartReport {
        name: Some(name.into()),
        count: ProcessCount::ONE,
        running,
        pids: vec![],
    };
    host.instances[0].parts = vec![part("launcher", 1), part("driver", 0)].into();
    host.instances[0].probe = Some(ProbeReport {
        state: ProbeState::Failing,
        since: Timestamp::UNIX_EPOCH,
        reason: "refused".to_owned(),
    });
    overview
}

#[test]
fn a_card_tells_how_its_host_is_watched_and_what_is_used() {
    let html = html_of(&faulty_overview());
    for expected in [
        "seen <time",
        "<li>watching by scans: not permitted</li>",
        ": 300 processes in 25 ms</li>",
        "<li>events lost: 2</li>",
        "<li>agent 0.1.0</li>",
        "<li>load 0.50 on 8 cores</li><li>memory 12 GB of 32 GB used</li>",
        "<li>launcher 1/1</li><li class=\"lacking\">driver 0/1 missing</li>",
        "<li class=\"lacking\">probe failing for 0 s</li><li>cpu 12.5 %</li><li>512 MB</li>",
    ] {
        assert!(html.contains(expected), "{expected}\n{html}");
    }
    assert!(!html.contains("class=\"banner\"") && !html.contains("class=\"warning\""));
}

#[test]
fn configurations_that_are_wrong_or_differ_are_told_where_they_are_worked_by() {
    let mut shown = faulty_overview();
    shown.config_error = Some("a.toml:1:2: <b>one\nb.toml:3:4: two\u{1b}".to_owned());
    let agent = shown.environments[0].hosts[1].agent.as_mut().unwrap();
    agent.config_differs = true;
    agent.config_error = Some("c.toml:5:6: three".to_owned());
    let html = html_of(&shown);
    for expected in [
        "The configuration on disk is invalid; the previous one stays in use:</h2>",
        "<li>a.toml:1:2: &lt;b&gt;one</li><li>b.toml:3:4: two\\u{1b}</li>",
        "Its agent rejected a new configuration; the previous one stays in use:</p>",
        "<li>c.toml:5:6: three</li>",
        "another configuration (def) than the aggregator (abc)",
    ] {
        assert!(html.contains(expected), "{expected}\n{html}");
    }
    // The last data of a lost agent is out of date.
    shown.environments[0].hosts[1].reachable = false;
    assert!(!html_of(&shown).contains("Its agent"));
    shown.config_error = Some("x.toml: no\n".repeat(100));
    assert!(html_of(&shown).contains("<li>and 80 more; "));
}

/// Returns a thousand hosts with 14 components; every twentieth host has one that is down.
fn thousand() -> Overview {
    let mut overview = faulty_overview();
    let environment = &mut overview.environments[0];
    let mut host = environment.hosts[1].clone();
    let one = host.instances[0].clone();
    let component = |at: usize| InstanceOverview {
        component: format!("processor number {at}").as_str().into(),
        health: Health::Up,
        reason: String::new(),
        cause: None,
        parts: vec![].into(),
        probe: None,
        ..(*one).clone()
    };
    host.instances = (0..14).map(component).map(Into::into).collect();
    host.health = Health::Up;
    environment.hosts = (0..1000)
        .map(|at| {
            let mut host = host.clone();
            host.name = format!("c9t{at:05}").as_str().into();
            if at % 20 == 0 {
                host.health = Health::Down;
                host.instances[3].health = Health::Down;
                host.instances[3].state = Some(State::Stopped);
                host.instances[3].reason = "it is not running".to_owned();
            }
            host
        })
        .collect();
    overview
}

#[test]
fn a_thousand_hosts_fit_a_page_with_their_problems_first() {
    let html = html_of(&thousand());
    assert_eq!(html.matches("class=\"tile ").count(), 1000);
    assert_eq!(html.matches("<article").count(), 12);
    let order = [
        "What is wrong",
        "<strong>processor number 3</strong> is <strong>down</strong> on <strong>50 hosts</strong>",
        "<article",
        "class=\"tile ",
    ]
    .map(|part| html.find(part));
    assert!(order.iter().all(Option::is_some) && order.is_sorted(), "{order:?}");
    for expected in [
        "<a href=\"/?environment=dev&amp;health=down&amp;q=processor+number+3\">and 42 more</a>",
        "<a href=\"/?environment=dev&amp;health=bad\">38 more hosts</a> are not up.",
    ] {
        assert!(html.contains(expected), "{expected}");
    }
    assert!(html.matches("class=\"instance ").count() == 12, "only what is not up");
}

/// Renders the page of the thousand hosts in a hundred environments of ten.
fn hundred_environments(selection: &Selection) -> String {
    let mut shown = thousand();
    let pattern = shown.environments[0].clone();
    shown.environments = (0..100)
        .map(|number| {
            let mut environment = (*pattern).clone();
            environment.name = format!("E{number}").as_str().into();
            environment.hosts = pattern.hosts[number * 10..number * 10 + 10].to_vec();
            environment.health = if number % 2 == 0 { Health::Down } else { Health::Up };
            environment.into()
        })
        .collect();
    overview(&shown, &[], selection, &RequestContext::anonymous("/"), Timestamp::UNIX_EPOCH).into_string()
}

#[test]
fn many_environments_are_lines_below_the_problems_of_all() {
    let html = hundred_environments(&Selection::default());
    assert!(html.contains("on <strong>50 hosts</strong> of 50 environments: "));
    assert!(html.contains("100 environments, the worst first"));
    let lines = html.split_once("id=\"environment-lines\"").unwrap().1;
    assert_eq!(lines.matches("<li id=\"env:e").count(), 100);
    assert!(lines.find("id=\"env:e98\"") < lines.find("id=\"env:e1\""), "those with problems are first");
    assert!(lines.contains("<a href=\"/?environment=e1\">E1</a><span>10 hosts: all 140 instances up</span>"));
    let one = hundred_environments(&Selection::of_environment(&"E2".into()));
    assert_eq!((one.matches("<article").count(), one.matches("class=\"instance ").count()), (10, 140));
}

#[test]
fn what_is_found_is_counted_and_shown_page_by_page() {
    let found = Selection::default().with_problems();
    let html = hundred_environments(&found);
    assert!(html.contains("<strong>50 instances on 50 hosts</strong> fit, the worst first. Page 1 of 3."));
    assert_eq!(html.matches("<article").count(), 24);
    assert!(html.contains("<a href=\"/?health=bad&amp;page=2\" rel=\"next\">Next</a>"));
    let last = hundred_environments(&found.with_page(9));
    assert_eq!(last.matches("<article").count(), 2, "a page beyond the end is the last one");
    assert!(last.contains("Page 3 of 3.") && !last.contains("rel=\"next\""));
    assert!(last.contains("data-live=\"/live?health=bad&amp;page=9\""));
}

#[test]
#[ignore = "a measurement: cargo test --release -p rta-aggregator --lib -- --ignored --nocapture thousand"]
fn how_long_a_page_of_a_thousand_hosts_takes() {
    let overview = thousand();
    let mut times: Vec<_> = (0..50)
        .map(|_| {
            let began = std::time::Instant::now();
            let length = html_of(&overview).len();
            (began.elapsed(), length)
        })
        .collect();
    times.sort_unstable();
    println!("median {:?}, most {:?}, {} bytes", times[25].0, times[49].0, times[0].1);
}

#[test]
fn hostile_text_stays_text() {
    let mut shown = faulty_overview();
    let instance = &mut shown.environments[0].hosts[0].instances[0];
    instance.component = "<script>alert(1)</script>".into();
    instance.reason = "\u{1b}[31m\u{202e}\"><img src=x onerror=y>".to_owned();
    let agent = shown.environments[0].hosts[1].agent.as_mut().unwrap();
    agent.version = "<img>\u{1b}".to_owned();
    agent.watch.fallback = Some("<img>\u{202e}".to_owned());
    let html = html_of(&shown);
    assert!(!html.contains("<script>") && !html.contains("<img") && !html.contains(['\u{1b}', '\u{202e}']));
}

/// Returns the sample with Kafka stopped by plan 5, and no other problem but its consequences.
fn stopped_on_purpose() -> Overview {
    let mut overview = sample();
    let hosts = &mut overview.environments[0].hosts;
    hosts.truncate(2);
    let stop = PlannedStop {
        plan: 5,
        by: Requester { user: "<ann>".to_owned(), address: String::new() },
        at: Timestamp::UNIX_EPOCH,
    };
    hosts[0].instances[0].reason = stop.to_string();
    hosts[0].instances[0].stopped_by = Some(Box::new(stop));
    overview
}

#[test]
fn planned_stop_is_quiet_and_offers_to_start_it_again() {
    let html = html_of(&stopped_on_purpose());
    let who = "stopped by &lt;ann&gt; <time data-ago datetime=\"1970-01-01T00:00:00Z\"";
    for expected in [
        "class=\"verdict planned\"><h1>1 down, 1 degraded</h1>",
        "; 1 stopped on purpose",
        "class=\"chip planned\"",
        "<span class=\"health planned\"><svg class=\"icon\" width=\"16\" height=\"16\" aria-hidden=\"true\"><use href=\"#is-planned\"></use></svg>down</span>",
        "class=\"instance planned\"",
        "class=\"host planned\"",
        "Stopped on purpose</h3>",
        "1 instance affected by it: ",
        "(<a href=\"/plan?id=5\">plan 5</a>)",
        "<form method=\"post\" action=\"/start\" class=\"start-again\"><input type=\"hidden\" name=\"stopped_by\" value=\"5\">",
        "Start it again</button>",
    ] {
        assert!(html.contains(expected), "{expected}\n{html}");
    }
    assert_eq!(html.matches(who).count(), 2, "in the list and at the instance: {html}");
    assert!(!html.contains("What is wrong") && !html.contains(" down\""), "{html}");
    // The dependent keeps its own health.
    assert!(html.contains("class=\"instance degraded\""), "{html}");
}

#[test]
fn failure_beside_a_planned_stop_is_loud() {
    let mut overview = stopped_on_purpose();
    let failed = InstanceOverview {
        reason: "it is not running".to_owned(),
        ..instance("raw writer", Some(State::Stopped), Health::Down)
    };
    overview.environments[0].hosts[0].instances.push(failed.into());
    let html = html_of(&overview);
    for expected in [
        "class=\"verdict down\"><h1>2 down, 1 degraded</h1>",
        "class=\"chip down\"",
        "class=\"host down\"",
        "What is wrong</h3>",
        "class=\"instance down\"",
        "class=\"instance planned\"",
    ] {
        assert!(html.contains(expected), "{expected}\n{html}");
    }
}

#[test]
fn who_may_only_look_cannot_start_again_what_a_plan_stopped() {
    let context = RequestContext { may_act: false, ..RequestContext::anonymous("/") };
    let shown = stopped_on_purpose();
    let html = overview(&shown, &[], &Selection::default(), &context, Timestamp::UNIX_EPOCH).into_string();
    assert!(html.contains("Stopped on purpose") && !html.contains("action=\"/start\""), "{html}");
}

#[test]
fn page_of_a_plan_that_is_not_kept_says_what_is_left_of_it() {
    let page = |id| {
        planned::stopped_by(&RequestContext::anonymous("/"), id, &stopped_on_purpose(), Timestamp::UNIX_EPOCH)
    };
    let html = page(5).unwrap().into_string();
    for expected in ["<h1>Plan 5</h1>", "stopped by &lt;ann&gt;", "kafka server", "Start it again</button>"] {
        assert!(html.contains(expected), "{expected}\n{html}");
    }
    assert!(page(6).is_none());
}
