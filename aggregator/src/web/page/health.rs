//! Small pieces: health as shape, word and colour; times; foreign text.

use std::borrow::Cow;

use jiff::Timestamp;
use maud::{Markup, html};
use rta_shared::human;
use rta_shared::overview::{Health, InstanceOverview};
use rta_shared::text::printable;

/// A shape for each health, so that colour is never alone. It takes the colour of the text around it.
pub(super) fn icon(health: Health) -> Markup {
    html! {
        svg.icon width="16" height="16" aria-hidden="true" { use href={ "#is-" (health) } {} }
    }
}

/// The shapes, once for each page.
pub(super) fn shapes() -> Markup {
    html! {
        svg.shapes width="0" height="0" aria-hidden="true" {
            symbol #is-up viewBox="0 0 16 16" {
                circle cx="8" cy="8" r="7" fill="currentColor" {}
                path.cut d="M4.8 8.3l2.2 2.2 4.2-4.6" fill="none" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round" {}
            }
            symbol #is-degraded viewBox="0 0 16 16" {
                path d="M8 1.2l7.2 13H.8z" fill="currentColor" stroke="currentColor" stroke-linejoin="round" {}
                path.cut d="M8 6v4M8 12v.1" fill="none" stroke-width="1.8" stroke-linecap="round" {}
            }
            symbol #is-unknown viewBox="0 0 16 16" {
                rect x="1.7" y="1.7" width="12.6" height="12.6" rx="3" fill="none" stroke="currentColor" stroke-width="1.6" stroke-dasharray="2.6 1.6" {}
                path d="M6 6.3a2 2 0 1 1 2.8 1.8c-.6.3-.8.6-.8 1.2M8 11.4v.1" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" {}
            }
            symbol #is-down viewBox="0 0 16 16" {
                path d="M5 1h6l4 4v6l-4 4H5l-4-4V5z" fill="currentColor" {}
                path.cut d="M5.6 5.6l4.8 4.8m0-4.8l-4.8 4.8" fill="none" stroke-width="1.8" stroke-linecap="round" {}
            }
        }
    }
}

/// Shape, word and colour.
pub(super) fn badge(health: Health) -> Markup {
    html! { span class={ "health " (health) } { (icon(health)) (health) } }
}

/// Shape and colour, for a place where the word follows for readers who cannot see them.
pub(super) fn mark(health: Health) -> Markup {
    html! { span class={ "health " (health) } { (icon(health)) span.unseen { (health) " " } } }
}

/// Foreign text for one line.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    printable(text)
}

/// A time of day for people, exact for machines.
pub(super) fn clock(time: Timestamp) -> Markup {
    html! { time datetime=(time) { (time.strftime("%H:%M:%S UTC")) } }
}

/// How long ago something was; a clock that is ahead of ours says "just now".
pub(super) fn ago(then: Timestamp, now: Timestamp) -> Markup {
    html! {
        time data-ago datetime=(then) title=(then.strftime("%F %H:%M:%S UTC")) { (human::ago(then, now)) }
    }
}

/// For how long something has been.
pub(super) fn lasting(since: Timestamp, now: Timestamp) -> Markup {
    html! {
        time data-lasting datetime=(since) title={ "since " (since.strftime("%F %H:%M:%S UTC")) } {
            (human::elapsed(since, now))
        }
    }
}

/// Why an instance is not up; how long ago that happened goes on counting on the page.
pub(super) fn reason(instance: &InstanceOverview, now: Timestamp) -> Markup {
    html! {
        @match instance.reason_around_age() {
            Some((before, at, after)) => { (text(&before)) " " (ago(at, now)) (text(&after)) }
            None => (text(&instance.reason)),
        }
    }
}
