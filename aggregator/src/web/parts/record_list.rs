//! Frame of the pages that list what was recorded, the newest first: heading, filter, list, and a link to
//! what is older.

use maud::{Markup, html};
use rta_shared::overview::Overview;

use super::config;
use super::health::text;
use super::html_patch::{GroupTag, HtmlNode};
use super::layout::{self, PageFrame};
use crate::operation_error::OperationError;
use crate::web::request_context::RequestContext;

/// What such a page says of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordList {
    /// Title, whose lower case is the path of the page and a part of the IDs.
    pub(crate) title: &'static str,
    pub(crate) subtitle: &'static str,
    /// Sentence of an empty list.
    pub(crate) empty: &'static str,
    /// Maximum number of entries.
    pub(crate) limit: usize,
}

impl RecordList {
    fn name(self) -> String {
        self.title.to_lowercase()
    }

    /// Renders the page with its filter and live part. `live` is the address of the live changes.
    pub(crate) fn page(
        self,
        context: &RequestContext,
        filter: &Markup,
        parts: &HtmlNode,
        live: Option<String>,
    ) -> Markup {
        let body = html! {
            header.top {
                div.events-head { h1 { (self.title) } p { (self.subtitle) } }
            }
            main.events-page {
                (filter)
                (parts)
            }
        };
        let title = format!("{} - rta", self.title);
        layout::frame(context, &title, &PageFrame { reload_seconds: None, live }, &body)
    }

    /// Renders the live part: the entries that `found` has, or the error for which they cannot be read. Of
    /// more than the limit the last ones are left out behind a link. `list` renders the list, and `older` is
    /// the address of what is older than an entry.
    pub(crate) fn parts<T>(
        self,
        found: &Result<Vec<T>, OperationError>,
        overview: &Overview,
        list: impl Fn(&[T]) -> HtmlNode,
        older: impl Fn(&T) -> String,
    ) -> Vec<HtmlNode> {
        let name = self.name();
        let mut children = vec![leaf(&format!("{name}-store"), &config::store_impairment(overview))];
        let message = |message: &str| leaf(&format!("no-{name}"), &html! { p.empty { (text(message)) } });
        match found {
            Err(error) => children.push(message(&error.message)),
            Ok(found) if found.is_empty() => children.push(message(self.empty)),
            Ok(found) => {
                let listed = &found[..found.len().min(self.limit)];
                children.push(list(listed));
                if let (Some(last), true) = (listed.last(), found.len() > listed.len()) {
                    children.push(link(&format!("older-{name}"), &older(last), &format!("Older {name}")));
                }
            }
        }
        children
    }

    /// Creates the node of the live part.
    pub(crate) fn live(self, children: Vec<HtmlNode>) -> HtmlNode {
        HtmlNode::group(format!("{}-live", self.name()), GroupTag::Division, "", children)
    }
}

/// Renders a link below the list.
pub(crate) fn link(id: &str, address: &str, title: &str) -> HtmlNode {
    leaf(id, &html! { p.older { a href=(address) { (title) } } })
}

fn leaf(id: &str, content: &Markup) -> HtmlNode {
    HtmlNode::leaf(id, &html! { div id=(id) { (content) } })
}
