//! PageFrame of every page.

use maud::{DOCTYPE, Markup, html};
use rta_shared::sanitize::printable;

use crate::web::parts::form;
use crate::web::parts::health::{shapes, text};
use rta_shared::overview::Overview;
use rta_shared::report::State;

use crate::plans::run::PlanSnapshot;
use crate::web::assets::{ICON, MORPH, SCRIPT, STYLE};
use crate::web::request_context::RequestContext;

/// Navigation of every page: paths and titles.
const PAGES: [(&str, &str); 6] = [
    ("/", "Overview"),
    ("/graph", "Graph"),
    ("/history", "History"),
    ("/incidents", "Incidents"),
    ("/events", "Events"),
    ("/maintenance", "Maintenance"),
];

/// Seconds until the page reloads while something changes.
pub(crate) const RELOAD_SECONDS: u32 = 2;

/// Refresh behaviour of a page.
#[derive(Clone, Debug, Default)]
pub(crate) struct PageFrame {
    /// Seconds until the browser reloads the page, without script.
    pub(crate) reload_seconds: Option<u32>,
    /// Address of the live changes of the page.
    pub(crate) live: Option<String>,
}

/// Renders a whole document for `context` without refresh.
pub(crate) fn layout(context: &RequestContext, title: &str, body: &Markup) -> Markup {
    frame(context, title, &PageFrame::default(), body)
}

/// Renders a whole document for `context`.
pub(crate) fn frame(context: &RequestContext, title: &str, frame: &PageFrame, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" data-theme=(context.theme.word()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                @if let Some(seconds) = frame.reload_seconds {
                    noscript { meta http-equiv="refresh" content=(seconds); }
                }
                @if let Some(token) = &context.csrf { meta name="csrf" content=(token); }
                title { (title) }
                link rel="stylesheet" href=(STYLE.path);
                link rel="icon" type="image/svg+xml" href=(ICON.path);
                script defer src=(MORPH.path) {}
                script defer src=(SCRIPT.path) {}
            }
            body data-live=[frame.live.as_ref()] {
                (shapes())
                a.skip href="#content" { "Skip to the content" }
                (head(context, frame.live.is_some()))
                p #old.old role="alert" hidden {}
                div #content tabindex="-1" { (body) }
            }
        }
    }
}

/// Renders the navigation, and the user who is signed in.
fn head(context: &RequestContext, is_live: bool) -> Markup {
    let path = context.here.split('?').next().unwrap_or_default();
    html! {
        header.site {
            a.brand href="/" { "rta" }
            nav aria-label="Pages" {
                @for (address, word) in PAGES {
                    a href=(address) aria-current=[(path == address).then_some("page")] { (word) }
                }
            }
            div.who {
                @if is_live { span #link.link role="status" hidden {} }
                (theme(context))
                @if let Some(name) = &context.name {
                    span { (text(name)) }
                    (form::post(context, "/sign-out", None, &html! { button type="submit" { "Sign out" } }))
                }
                @if context.can_sign_in { a href="/sign-in" { "Sign in" } }
            }
        }
    }
}

/// Renders the switch between light, dark and the system's setting.
fn theme(context: &RequestContext) -> Markup {
    let next = context.theme.next();
    form::post(
        context,
        "/theme",
        Some("theme"),
        &html! {
            input type="hidden" name="theme" value=(next.word());
            input type="hidden" name="next" value=(context.here);
            button type="submit" title={ "Colours: " (context.theme.word()) "; change to " (next.word()) } {
                svg.icon viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" {
                    circle cx="8" cy="8" r="6.2" fill="none" stroke="currentColor" stroke-width="1.6" {}
                    path d="M8 1.8a6.2 6.2 0 0 1 0 12.4z" fill="currentColor" {}
                }
                span.unseen { "Change the colours from " (context.theme.word()) " to " (next.word()) }
            }
        },
    )
}

/// Renders a page with a message and a link to the overview.
pub(in crate::web) fn message(context: &RequestContext, title: &str, text: &str) -> Markup {
    let body = html! {
        main.message {
            h1 { (title) }
            p { (printable(text)) }
            p { a href="/" { "Back to the overview" } }
        }
    };
    layout(context, &format!("{title} - rta"), &body)
}

/// Returns true if something is changing, so that the page reloads by itself.
pub(crate) fn is_under_way(overview: &Overview, plans: &[PlanSnapshot]) -> bool {
    plans.iter().any(|plan| plan.end.is_none())
        || overview.instances().any(|located| located.instance.state.is_some_and(State::is_transient))
}
