//! The frame of every page.

use maud::{DOCTYPE, Markup, html};
use rta_shared::text::printable;

use crate::web::assets::{ICON, STYLE};

/// A whole document. With `looks_again` the browser loads it anew after so many seconds.
pub(super) fn layout(title: &str, looks_again: Option<u32>, body: &Markup) -> Markup {
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
            body { (body) }
        }
    }
}

/// A page that says one thing, with a way back.
pub(in crate::web) fn message(title: &str, text: &str) -> Markup {
    let body = html! {
        main.message {
            span.brand { "rta" }
            h1 { (title) }
            p { (printable(text)) }
            p { a href="/" { "Back to the overview" } }
        }
    };
    layout(&format!("{title} - rta"), None, &body)
}
