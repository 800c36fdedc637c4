//! Small elements: health as shape, word and colour; times; untrusted text.

use std::borrow::Cow;

use jiff::Timestamp;
use maud::{Markup, html};
use rta_shared::format;
use rta_shared::overview::{Health, InstanceOverview};
use rta_shared::sanitize::printable;

/// Style of a health: a state that was caused on purpose alone is muted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HealthTone {
    health: Health,
    on_purpose: bool,
}

impl HealthTone {
    /// Creates the style; muted if `on_purpose` and the health is not up.
    pub(crate) fn new(health: Health, on_purpose: bool) -> Self {
        Self { health, on_purpose: on_purpose && health != Health::Up }
    }

    pub(crate) fn of_instance(instance: &InstanceOverview) -> Self {
        Self::new(instance.health, instance.stopped_by.is_some())
    }

    /// Returns the class for the stylesheet, which is also the suffix of the shape's ID.
    pub(crate) fn class(self) -> &'static str {
        if self.on_purpose { "planned" } else { self.health.word() }
    }
}

impl From<Health> for HealthTone {
    fn from(health: Health) -> Self {
        Self::new(health, false)
    }
}

/// Renders the shape of a health, so that colour is never the only sign. It has the colour of the text around
/// it.
pub(crate) fn icon(tone: impl Into<HealthTone>) -> Markup {
    html! {
        svg.icon width="16" height="16" aria-hidden="true" { use href={ "#is-" (tone.into().class()) } {} }
    }
}

/// Renders the definitions of the shapes, once for each page.
pub(crate) fn shapes() -> Markup {
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
            symbol #is-planned viewBox="0 0 16 16" {
                path d="M5.2 1.6h5.6l3.6 3.6v5.6l-3.6 3.6H5.2l-3.6-3.6V5.2z" fill="none" stroke="currentColor" stroke-width="1.4" stroke-linejoin="round" {}
                rect x="5.2" y="5.2" width="5.6" height="5.6" rx="0.8" fill="currentColor" {}
            }
            symbol #is-down viewBox="0 0 16 16" {
                path d="M5 1h6l4 4v6l-4 4H5l-4-4V5z" fill="currentColor" {}
                path.cut d="M5.6 5.6l4.8 4.8m0-4.8l-4.8 4.8" fill="none" stroke-width="1.8" stroke-linecap="round" {}
            }
        }
    }
}

/// Renders shape, word and colour.
pub(crate) fn badge(tone: impl Into<HealthTone>) -> Markup {
    let tone = tone.into();
    html! { span class={ "health " (tone.class()) } { (icon(tone)) (tone.health) } }
}

/// Renders shape and colour, with the word for screen readers alone.
pub(crate) fn mark(tone: impl Into<HealthTone>) -> Markup {
    let tone = tone.into();
    html! { span class={ "health " (tone.class()) } { (icon(tone)) span.unseen { (tone.health) " " } } }
}

/// Makes untrusted text printable on one line.
pub(crate) fn text(text: &str) -> Cow<'_, str> {
    printable(text)
}

/// Renders a time of day for people, exact for machines.
pub(crate) fn clock(time: Timestamp) -> Markup {
    html! { time datetime=(time) { (time.strftime("%H:%M:%S UTC")) } }
}

/// Renders the age of a moment; "just now" if its clock is ahead of this one.
pub(crate) fn ago(then: Timestamp, now: Timestamp) -> Markup {
    html! {
        time data-ago datetime=(then) title=(then.strftime("%F %H:%M:%S UTC")) { (format::ago(then, now)) }
    }
}

/// Renders the duration since a moment.
pub(crate) fn duration_since(since: Timestamp, now: Timestamp) -> Markup {
    html! {
        time data-since datetime=(since) title={ "since " (since.strftime("%F %H:%M:%S UTC")) } {
            (format::elapsed(since, now))
        }
    }
}

/// Renders the reason why an instance is not up; the age in it is updated on the page.
pub(crate) fn reason(instance: &InstanceOverview, now: Timestamp) -> Markup {
    html! {
        @match instance.reason_split_at_age() {
            Some((before, at, after)) => { (text(&before)) " " (ago(at, now)) (text(&after)) }
            None => (text(&instance.reason)),
        }
    }
}
