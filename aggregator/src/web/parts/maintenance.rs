//! Badge of maintenance: a word and a shape beside the affected instance or host.

use maud::{Markup, html};
use rta_shared::maintenance::Maintenance;

use crate::web::parts::health::text;

/// Renders the badge with end, reason and user.
pub(crate) fn badge(maintenance: &Maintenance) -> Markup {
    html! { span.maintenance { (wrench()) (text(&maintenance.sentence())) } }
}

/// Renders the badge as a line of a host's card.
pub(crate) fn line(maintenance: &Maintenance) -> Markup {
    html! { p.maintained { (badge(maintenance)) } }
}

fn wrench() -> Markup {
    html! {
        svg.icon viewBox="0 0 16 16" width="14" height="14" aria-hidden="true" {
            path d="M10.6 1.3a4 4 0 0 0-4 5.4L1.6 11.7a1.9 1.9 0 0 0 2.7 2.7l5-5a4 4 0 0 0 5.1-5.3L12 6.5 9.5 4z" fill="currentColor" {}
        }
    }
}
