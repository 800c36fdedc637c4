//! Page that asks for confirmation of the effects of a plan.

use std::collections::BTreeSet;

use maud::{Markup, html};
use rta_shared::action::ActionKind;
use rta_shared::format::counted;
use rta_shared::name::Name;
use rta_shared::overview::{HostOverview, Overview};
use rta_shared::plan::{GateCondition, Plan};

use super::view::{capitalised, step_row};
use crate::plans::confirmation;
use crate::web::action_subject::{ActionSubject, RollingSubject};
use crate::web::parts::filter::select_field;
use crate::web::parts::health::text;
use crate::web::parts::{form, layout};
use crate::web::request_context::RequestContext;

/// Renders the page that asks for confirmation of the effects of a plan beside `subject`. `overview` has the
/// hosts on which a restart may go on, batch by batch.
pub(in crate::web) fn confirmation_page(
    context: &RequestContext,
    subject: &ActionSubject,
    plan: &Plan,
    overview: &Overview,
) -> Markup {
    let unnamed = plan.implied_instances();
    let requested = plan.requested_instances();
    let verb = capitalised(plan.kind.word());
    // Subject of the question, and of the buttons.
    let (asked, named) = match subject {
        ActionSubject::Instance(id) => (id.name_in_text(), text(id.component.as_str()).into_owned()),
        ActionSubject::StoppedBy(stopped_by) => {
            (format!("what plan {stopped_by} has stopped"), counted(requested.len(), "instance"))
        }
        ActionSubject::Rolling(rolling) => (rolling_text(rolling), counted(requested.len(), "instance")),
    };
    let question = format!("{verb} {asked}?");
    let path = format!("/{}", plan.kind);
    let touched = match subject {
        ActionSubject::Instance(_) => unnamed.len() + 1,
        ActionSubject::StoppedBy(_) => plan.steps.len(),
        // Gates are steps, too.
        ActionSubject::Rolling(_) => unnamed.len() + requested.len(),
    };
    let alone = plan.instances_to_confirm().into_iter().filter(|id| !unnamed.contains(id));
    let body = html! {
        main.plan {
            div.plan-head {
                h1 { (text(&question)) }
                @if unnamed.is_empty() && touched == 1 { p { "Nothing else is touched by it." } }
                @if let Some(no_way_back) = confirmation::irreversible_stops(plan) { p.warning { "It " (text(&no_way_back)) "." } }
                @for consequence in confirmation::describe_effects(plan, &unnamed) { p { "It also " (text(&consequence)) "." } }
            }
            ol.steps {
                @for step in &plan.steps { (step_row(step, None, "", None)) }
            }
            div.plan-line {
                (form::post(context, &path, None, &html! {
                    (form::subject_fields(subject))
                    @for id in plan.instances_to_confirm() { input type="hidden" name="agreed" value=(id); }
                    button.primary type="submit" {
                        (verb) " "
                        @if unnamed.is_empty() { (named) } @else { (counted(touched, "instance")) }
                    }
                }))
                @if !unnamed.is_empty() {
                    (form::post(context, &path, None, &html! {
                        (form::subject_fields(subject))
                        input type="hidden" name="alone" value="";
                        @for id in alone { input type="hidden" name="agreed" value=(id); }
                        button type="submit" { (verb) " " (named) " alone" }
                    }))
                }
                a href="/" { "Cancel, nothing is done" }
            }
            @if plan.kind == ActionKind::Restart { (rolling_form(subject, overview)) }
        }
    };
    layout::layout(context, &format!("{} - rta", text(&question)), &body)
}

/// Returns a subject in batches as part of a question: `kafka server in ITG, 1 host at a time`.
fn rolling_text(RollingSubject { environment, component, role, batches }: &RollingSubject) -> String {
    let hosts = counted(usize::try_from(batches.batch).unwrap_or(usize::MAX), "host");
    let of_role = if role.is_empty() { String::new() } else { format!(" on the hosts with role {role}") };
    format!("{component} in {environment}{of_role}, {hosts} at a time")
}

/// Renders the form of a restart batch by batch; nothing if the component is on one host alone.
fn rolling_form(subject: &ActionSubject, overview: &Overview) -> Markup {
    let (environment, component) = match subject {
        ActionSubject::Instance(id) => (id.environment.as_str(), id.component.as_str()),
        ActionSubject::Rolling(rolling) => (rolling.environment.as_str(), rolling.component.as_str()),
        ActionSubject::StoppedBy(_) => return Markup::default(),
    };
    let rolling = match subject {
        ActionSubject::Rolling(rolling) => Some(rolling),
        ActionSubject::Instance(_) | ActionSubject::StoppedBy(_) => None,
    };
    let hosts = carriers(overview, environment, component);
    if hosts.len() < 2 {
        return Markup::default();
    }
    let roles: BTreeSet<&str> =
        hosts.iter().filter_map(|host| host.role.as_ref()).map(|role| role.as_str()).collect();
    let roles = roles.into_iter().map(str::to_owned).collect();
    let batch = rolling.map_or(1, |rolling| rolling.batches.batch);
    let pause = rolling.map_or_else(|| "30s".to_owned(), |rolling| format!("{:#}", rolling.batches.pause));
    let chosen = rolling.map_or(GateCondition::Up, |rolling| rolling.batches.condition);
    html! {
        section.panel.rolling {
            h2 { "Batch by batch" }
            p {
                (text(component)) " is on " (counted(hosts.len(), "host")) " of " (text(environment))
                ". A rolling restart goes on to the next hosts when those before are well again, and stops at the first failure."
            }
            form.filter method="get" action="/preview" {
                input type="hidden" name="action" value=(ActionKind::Restart.word());
                input type="hidden" name="environment" value=(environment);
                input type="hidden" name="component" value=(component);
                (select_field("role", "Role of the hosts", rolling.map_or("", |rolling| &rolling.role), roles))
                label.short {
                    span { "Hosts at a time" }
                    input type="number" name="batch" min="1" max=(hosts.len()) value=(batch) required;
                }
                label.short {
                    span { "Pause between" }
                    input type="text" name="pause" value=(pause) autocomplete="off" spellcheck="false";
                }
                label {
                    span { "Go on when each" }
                    select name="gate" {
                        @for condition in GateCondition::ALL {
                            option value=(condition.word()) selected[condition == chosen] { (gate_text(condition)) }
                        }
                    }
                }
                button type="submit" { "Show the plan" }
            }
        }
    }
}

fn gate_text(condition: GateCondition) -> &'static str {
    match condition {
        GateCondition::Up => "is up",
        GateCondition::Probe => "is up and passes its probe",
    }
}

/// Returns the hosts of an environment that carry a component; names are compared without regard to case.
fn carriers<'o>(overview: &'o Overview, environment: &str, component: &str) -> Vec<&'o HostOverview> {
    let (environment, component) = (Name::from(environment), Name::from(component));
    let named = overview.environments.iter().filter(|one| one.name == environment);
    let hosts = named.flat_map(|environment| &environment.hosts).map(|host| &**host);
    hosts.filter(|host| host.instances.iter().any(|one| one.component == component)).collect()
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use rta_shared::overview::Health;
    use rta_shared::plan::RollingRestart;
    use rta_shared::report::State;

    use super::*;
    use crate::sample_overview::{instance, sample};
    use crate::sample_plan::{step, stop};

    fn kafka() -> ActionSubject {
        ActionSubject::Instance(stop().steps[1].instance.clone())
    }

    #[test]
    fn before_more_is_touched_than_was_pressed_the_page_asks() {
        let html =
            confirmation_page(&RequestContext::anonymous("/"), &kafka(), &stop(), &sample()).into_string();
        for expected in [
            "<h1>Stop kafka server on h1?</h1>",
            "It also takes down: raw &lt;b&gt;writer on h1.",
            "taken down: it needs kafka server on h1",
            "<form method=\"post\" action=\"/stop\">",
            "name=\"component\" value=\"kafka server\"",
            "name=\"agreed\" value=\"DEV/h1/raw &lt;b&gt;writer\"",
            "Stop 2 instances</button>",
            "name=\"alone\" value=\"\"><button type=\"submit\">Stop kafka server alone</button>",
        ] {
            assert!(html.contains(expected), "{expected}\n{html}");
        }
        assert!(
            !html.contains("http-equiv") && !html.contains("style=\"") && !html.contains("waiting</span>")
        );
    }

    #[test]
    fn the_page_says_what_is_to_be_known_of_what_was_pressed() {
        let mut plan = stop();
        plan.steps[1].why = "detector on <h2>, whose host does not answer, needs it too".to_owned();
        let html =
            confirmation_page(&RequestContext::anonymous("/"), &kafka(), &plan, &sample()).into_string();
        let note = "<p class=\"why\">detector on &lt;h2&gt;, whose host does not answer, needs it too</p>";
        assert!(html.contains(note), "{html}");
    }

    #[test]
    fn restart_of_what_is_on_several_hosts_may_go_batch_by_batch() {
        let context = RequestContext::anonymous("/");
        let restart = |hosts: &[&str]| {
            let steps = hosts.iter().map(|host| {
                let mut step = step("kafka server", ActionKind::Restart, "");
                step.instance.host = (*host).into();
                step
            });
            Plan { kind: ActionKind::Restart, steps: steps.collect() }
        };
        let one = confirmation_page(&context, &kafka(), &restart(&["h1"]), &sample()).into_string();
        assert!(!one.contains("Batch by batch"), "it is on one host: {one}");
        let mut overview = sample();
        let other = instance("kafka server", Some(State::Running), Health::Up);
        overview.environments[0].hosts[1].instances.push(other.into());
        let single = confirmation_page(&context, &kafka(), &restart(&["h1"]), &overview).into_string();
        for expected in [
            "kafka server is on 2 hosts of DEV.",
            "<option value=\"main-analytic\">",
            "name=\"batch\" min=\"1\" max=\"2\" value=\"1\"",
            "name=\"pause\" value=\"30s\"",
        ] {
            assert!(single.contains(expected), "{expected}\n{single}");
        }
        let rolling = ActionSubject::Rolling(RollingSubject {
            environment: "DEV".to_owned(),
            component: "kafka server".to_owned(),
            role: "<main>".to_owned(),
            batches: RollingRestart {
                batch: 1,
                pause: SignedDuration::from_secs(5),
                condition: GateCondition::Probe,
            },
        });
        let html = confirmation_page(&context, &rolling, &restart(&["h1", "h2"]), &overview).into_string();
        for expected in [
            "<h1>Restart kafka server in DEV on the hosts with role &lt;main&gt;, 1 host at a time?</h1>",
            "name=\"role\" value=\"&lt;main&gt;\"",
            "name=\"batch\" value=\"1\"",
            "name=\"pause\" value=\"5s\"",
            "name=\"gate\" value=\"probe\"",
            "name=\"agreed\" value=\"DEV/h2/kafka server\"",
            "Restart 2 instances</button>",
            "<option value=\"probe\" selected>",
        ] {
            assert!(html.contains(expected), "{expected}\n{html}");
        }
    }
}
