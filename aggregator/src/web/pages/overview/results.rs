//! Pages of what was found, if it does not fit one page.

use maud::{Markup, html};
use rta_shared::format::counted;

use crate::web::pages::overview::content::{SelectedEnvironment, SelectedHost, page_index, split_into_pages};
use crate::web::pages::overview::context::OverviewContext;
use crate::web::pages::overview::selection::Selection;
use crate::web::pages::overview::{environment, host};
use crate::web::parts::anchors::environment_id;
use crate::web::parts::html_patch::{GroupTag, HtmlNode};

/// Renders the selected page of the hosts with `selected` instances.
pub(crate) fn results(selected: Vec<SelectedEnvironment<'_>>, shown: &OverviewContext<'_>) -> Vec<HtmlNode> {
    let hosts: usize = selected.iter().map(|environment| environment.hosts.len()).sum();
    let all = selected.iter().flat_map(|environment| &environment.hosts);
    let instances: usize = all.map(|host| host.instances.len()).sum();
    let pages = split_into_pages(selected);
    let at = page_index(shown.selection.page(), pages.len());
    let found = html! {
        p #found.found role="status" {
            strong { (counted(instances, "instance")) " on " (counted(hosts, "host")) } " fit, the worst first."
            (position(at, pages.len()))
        }
    };
    let page = pages.get(at).map_or::<&[SelectedHost<'_>], _>(&[], Vec::as_slice);
    let sections = page.chunk_by(|one, other| one.environment.name == other.environment.name).map(|hosts| {
        let environment = hosts[0].environment;
        let id = environment_id(&environment.name);
        let cards = hosts.iter().map(|selected| host::host(selected, shown)).collect();
        let children = vec![
            environment::head(environment, shown, &id),
            HtmlNode::group(format!("{id}:hosts"), GroupTag::Division, "hosts", cards),
        ];
        HtmlNode::group(id, GroupTag::Section, "environment", children)
    });
    let found = HtmlNode::leaf("found", &found);
    let pager = HtmlNode::leaf("pager", &pager(shown.selection, at, pages.len()));
    std::iter::once(found).chain(sections).chain([pager]).collect()
}

fn position(at: usize, pages: usize) -> Markup {
    html! { @if pages > 1 { " Page " (at + 1) " of " (pages) "." } }
}

/// Renders the links to the other pages of `selection`; `at` counts from 0.
pub(crate) fn pager(selection: &Selection, at: usize, pages: usize) -> Markup {
    let link = |page: usize, word: &str, rel: &str| {
        html! { a href=(selection.with_page(page).address()) rel=(rel) { (word) } }
    };
    html! {
        nav #pager.pager aria-label="Pages of this list" {
            @if pages > 1 {
                @if at > 0 { (link(1, "First", "first")) (link(at, "Previous", "prev")) }
                span { "Page " (at + 1) " of " (pages) }
                @if at + 1 < pages { (link(at + 2, "Next", "next")) (link(pages, "Last", "last")) }
            }
        }
    }
}
