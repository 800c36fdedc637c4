//! What became of a button that was pressed.

use maud::{Markup, html};

use super::health::{clock, text};
use crate::web::actions::{Action, Progress};

/// How many of the actions of late are listed.
const LISTED: usize = 8;

/// The action that was just asked for.
pub(super) fn notice(action: &Action) -> Markup {
    let class = match action.progress {
        Progress::UnderWay => "under-way",
        Progress::Done(_) => "done",
        Progress::Failed(_) => "failed",
    };
    html! {
        div class={ "notice " (class) } role="status" {
            p { (sentence(action)) }
            a.dismiss href="/" aria-label="Close this message" { "Close" }
        }
    }
}

/// The actions of late, the newest first.
pub(super) fn recent(actions: &[Action]) -> Markup {
    html! {
        @if !actions.is_empty() {
            section.recent aria-labelledby="recent" {
                h2 #recent { "Recent actions" }
                ol {
                    @for action in actions.iter().take(LISTED) {
                        li { (clock(action.since)) " " (sentence(action)) }
                    }
                }
            }
        }
    }
}

fn sentence(action: &Action) -> Markup {
    let instance = text(&action.instance);
    html! {
        @match (&action.progress, action.kind) {
            (Progress::UnderWay, kind) => { strong { (instance) } ": " (kind.going_on()) " ..." }
            (Progress::Done(done), _) => { strong { (instance) } ": " (text(done)) }
            (Progress::Failed(reason), kind) => { strong { (instance) } ": the " (kind) " failed: " (text(reason)) }
        }
    }
}
