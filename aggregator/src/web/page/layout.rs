//! The frame of every page.

use maud::{DOCTYPE, Markup, html};
use rta_shared::text::printable;

use super::form;
use super::health::text;
use crate::web::assets::{ICON, STYLE};
use crate::web::viewer::Viewer;

/// What every page leads to: paths, and the words for them.
const PAGES: [(&str, &str); 2] = [("/", "Overview"), ("/events", "Events")];

/// A whole document for `viewer`. With `looks_again` the browser loads it anew after so many seconds.
pub(super) fn layout(viewer: &Viewer, title: &str, looks_again: Option<u32>, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                @if let Some(seconds) = looks_again {
                    meta http-equiv="refresh" content=(seconds);
                }
                title { (title) }
                link rel="stylesheet" href=(STYLE.path);
                link rel="icon" type="image/svg+xml" href=(ICON.path);
            }
            body {
                (head(viewer))
                (body)
            }
        }
    }
}

/// The pages that every page leads to, and as whom one is here.
fn head(viewer: &Viewer) -> Markup {
    let path = viewer.here.split('?').next().unwrap_or_default();
    html! {
        header.site {
            a.brand href="/" { "rta" }
            nav aria-label="Pages" {
                @for (address, word) in PAGES {
                    a href=(address) aria-current=[(path == address).then_some("page")] { (word) }
                }
            }
            div.who {
                @if let Some(name) = &viewer.name {
                    span { (text(name)) }
                    (form::post(viewer, "/sign-out", None, &html! { button type="submit" { "Sign out" } }))
                }
                @if viewer.can_sign_in { a href="/sign-in" { "Sign in" } }
            }
        }
    }
}

/// A page that says one thing, with a way back.
pub(in crate::web) fn message(viewer: &Viewer, title: &str, text: &str) -> Markup {
    let body = html! {
        main.message {
            h1 { (title) }
            p { (printable(text)) }
            p { a href="/" { "Back to the overview" } }
        }
    };
    layout(viewer, &format!("{title} - rta"), None, &body)
}
