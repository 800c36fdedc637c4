//! Forms that change something.

use maud::{Markup, html};

use crate::web::viewer::Viewer;

/// A form of `viewer` that posts to `path`; `class` for the stylesheet.
pub(super) fn post(viewer: &Viewer, path: &str, class: Option<&str>, content: &Markup) -> Markup {
    html! {
        form method="post" action=(path) class=[class] {
            @if let Some(token) = &viewer.csrf { input type="hidden" name="csrf" value=(token); }
            (content)
        }
    }
}
