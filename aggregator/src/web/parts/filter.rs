//! Forms that filter what a page lists.

use maud::{Markup, html};

use crate::web::parts::health::text;

/// Periods that the form offers, as parameter and as text.
const PERIODS: [(&str, &str); 4] =
    [("1h", "1 hour"), ("24h", "24 hours"), ("7d", "7 days"), ("30d", "30 days")];
/// Maximum number of values offered as a list; of more, one is typed.
const MAX_OPTIONS: usize = 200;

/// Renders the form of the page at `path` with these fields.
pub(crate) fn filter_form(path: &str, fields: &Markup) -> Markup {
    html! {
        form.filter method="get" action=(path) {
            (fields)
            button type="submit" { "Show" }
        }
    }
}

/// Renders a selection of periods. A chosen value that is not among them is kept.
pub(crate) fn period_field(chosen: &str) -> Markup {
    html! {
        label {
            span { "Within" }
            select name="since" {
                option value="" { "any time" }
                @for (value, shown) in PERIODS { option value=(value) selected[chosen == value] { (shown) } }
                @if !chosen.is_empty() && PERIODS.iter().all(|(value, _)| *value != chosen) {
                    option value=(chosen) selected { (text(chosen)) }
                }
            }
        }
    }
}

/// Renders a field for a number, or any.
pub(crate) fn number_field(name: &str, title: &str, value: &str) -> Markup {
    html! {
        label.short {
            span { (title) }
            input type="text" inputmode="numeric" pattern="[0-9]*" name=(name) value=(value) placeholder="any" autocomplete="off";
        }
    }
}

/// Renders a field for a text, or any.
pub(crate) fn text_field(name: &str, title: &str, value: &str) -> Markup {
    html! {
        label.short {
            span { (title) }
            input type="text" name=(name) value=(value) placeholder="any" autocomplete="off" spellcheck="false";
        }
    }
}

/// Returns the distinct names in alphabetical order.
pub(crate) fn distinct_sorted(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = names.collect();
    names.sort();
    names.dedup();
    names
}

/// Renders a selection of `values` or any. A chosen value that is not among them, such as a removed host, is
/// kept.
pub(crate) fn select_field(name: &str, title: &str, chosen: &str, mut values: Vec<String>) -> Markup {
    if values.len() > MAX_OPTIONS {
        return html! {
            label {
                span { (title) }
                input type="text" name=(name) value=(chosen) placeholder="any" autocomplete="off" spellcheck="false";
            }
        };
    }
    if !chosen.is_empty() && !values.iter().any(|value| value == chosen) {
        values.push(chosen.to_owned());
    }
    html! {
        label {
            span { (title) }
            select name=(name) {
                option value="" { "any" }
                @for value in values { option value=(value) selected[value == chosen] { (text(&value)) } }
            }
        }
    }
}
