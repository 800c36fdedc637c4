//! Page as a tree of elements: two versions are compared element by element, and only the differences are
//! sent to open pages.

use std::collections::HashMap;

use maud::{Markup, Render};

/// Element of a page, with an ID that is unique on the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::web) struct HtmlNode {
    id: String,
    content: NodeContent,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum NodeContent {
    /// Whole element.
    Leaf(String),
    /// Element with children.
    Group { open: String, children: Vec<HtmlNode>, close: &'static str },
}

impl HtmlNode {
    /// Creates an element without children; its root has the ID.
    pub(in crate::web) fn leaf(id: impl Into<String>, element: &Markup) -> Self {
        Self { id: id.into(), content: NodeContent::Leaf(element.0.clone()) }
    }

    /// Creates an element `tag` of this class with children.
    pub(in crate::web) fn group(
        id: impl Into<String>,
        tag: GroupTag,
        class: &str,
        children: Vec<HtmlNode>,
    ) -> Self {
        let id = id.into();
        let unfolded = if matches!(tag, GroupTag::UnfoldedDetails) { " open" } else { "" };
        let (tag, close) = match tag {
            GroupTag::Article => ("article", "</article>"),
            GroupTag::Details | GroupTag::UnfoldedDetails => ("details", "</details>"),
            GroupTag::Division => ("div", "</div>"),
            GroupTag::Section => ("section", "</section>"),
            GroupTag::List => ("ul", "</ul>"),
            GroupTag::OrderedList => ("ol", "</ol>"),
        };
        let attribute = |text: &str| maud::html! { (text) }.0;
        let open = format!("<{tag} id=\"{}\" class=\"{}\"{unfolded}>", attribute(&id), attribute(class));
        Self { id, content: NodeContent::Group { open, children, close } }
    }

    /// Appends the element as HTML.
    fn write(&self, html: &mut String) {
        match &self.content {
            NodeContent::Leaf(element) => html.push_str(element),
            NodeContent::Group { open, children, close } => {
                html.push_str(open);
                children.iter().for_each(|child| child.write(html));
                html.push_str(close);
            }
        }
    }

    /// Returns the patch that turns a page with `before` into one with this element: elements that replace
    /// those with the same IDs, and operations on the children of groups:
    ///
    /// - `<template data-gone="ID" data-from="GROUP">`: removes the element from that group; it may be in
    ///   another one;
    /// - `<template data-into="GROUP" data-after="ID">` around an element: inserts it into that group, after
    ///   the element with that ID, or first without this attribute.
    pub(in crate::web) fn changes(&self, before: &Self) -> String {
        let mut html = String::new();
        self.write_patch(before, &mut html);
        html
    }

    fn write_patch(&self, before: &Self, html: &mut String) {
        match (&self.content, &before.content) {
            (now, then) if now == then && self.id == before.id => {}
            (
                NodeContent::Group { open, children, .. },
                NodeContent::Group { open: open_before, children: children_before, .. },
            ) if open == open_before => {
                let (child_operations, is_shorter) = self.child_operations(children, children_before);
                if is_shorter { html.push_str(&child_operations) } else { self.write(html) }
            }
            _ => self.write(html),
        }
    }

    /// Returns the operations on the children, and true if a child stays, which makes them shorter than the
    /// whole group.
    fn child_operations(&self, children: &[Self], before: &[Self]) -> (String, bool) {
        let places: HashMap<&str, usize> =
            before.iter().enumerate().map(|(at, child)| (child.id.as_str(), at)).collect();
        let was: Vec<Option<usize>> =
            children.iter().map(|child| places.get(child.id.as_str()).copied()).collect();
        let stays = longest_increasing_subsequence(&was);
        let mut html = String::new();
        let mut is_there = vec![false; before.len()];
        was.iter().flatten().for_each(|at| is_there[*at] = true);
        for (gone, _) in before.iter().zip(is_there).filter(|(_, is_there)| !is_there) {
            html.push_str(&maud::html! { template data-gone=(gone.id) data-from=(self.id) {} }.0);
        }
        let mut after: Option<&str> = None;
        for ((child, was), stays) in children.iter().zip(was).zip(stays.iter()) {
            match was.filter(|_| *stays) {
                Some(was) => child.write_patch(&before[was], &mut html),
                None => {
                    html.push_str(
                        &maud::html! { template data-into=(self.id) data-after=[after] { (child) } }.0,
                    );
                }
            }
            after = Some(&child.id);
        }
        (html, stays.contains(&true))
    }
}

/// Returns which places belong to a longest increasing subsequence, so that as few of the others as possible
/// move.
fn longest_increasing_subsequence(places: &[Option<usize>]) -> Vec<bool> {
    // For each length, the end of the subsequence with the lowest last place; and the predecessor of each
    // place.
    let mut ends: Vec<usize> = Vec::new();
    let mut earlier: Vec<Option<usize>> = vec![None; places.len()];
    for (at, place) in places.iter().enumerate() {
        let Some(place) = place else { continue };
        let length = ends.partition_point(|end| places[*end].is_some_and(|end| end < *place));
        earlier[at] = length.checked_sub(1).map(|before| ends[before]);
        match ends.get_mut(length) {
            Some(end) => *end = at,
            None => ends.push(at),
        }
    }
    let mut rises = vec![false; places.len()];
    let mut next = ends.last().copied();
    while let Some(at) = next {
        rises[at] = true;
        next = earlier[at];
    }
    rises
}

/// Kind of a group's element.
#[derive(Clone, Copy, Debug)]
pub(in crate::web) enum GroupTag {
    Article,
    Details,
    UnfoldedDetails,
    Division,
    Section,
    List,
    OrderedList,
}

impl Render for HtmlNode {
    fn render_to(&self, buffer: &mut String) {
        self.write(buffer);
    }
}

#[cfg(test)]
mod tests {
    use maud::html;
    use proptest::prelude::*;
    use proptest::sample::subsequence;

    use super::*;

    fn leaf(id: &str, text: &str) -> HtmlNode {
        HtmlNode::leaf(id, &html! { p id=(id) { (text) } })
    }

    fn page(children: Vec<HtmlNode>) -> HtmlNode {
        HtmlNode::group(
            "page",
            GroupTag::Division,
            "a \"b\"",
            vec![HtmlNode::group("list", GroupTag::List, "l", children)],
        )
    }

    #[test]
    fn it_is_written_as_one_element_and_text_in_it_stays_text() {
        let html = html! { (page(vec![leaf("a", "<1>")])) }.into_string();
        assert_eq!(
            html,
            "<div id=\"page\" class=\"a &quot;b&quot;\"><ul id=\"list\" class=\"l\"><p id=\"a\">&lt;1&gt;</p></ul></div>"
        );
    }

    #[test]
    fn only_what_differs_is_sent() {
        let before = page(vec![leaf("a", "1"), leaf("b", "1")]);
        assert_eq!(before.changes(&before), "");
        assert_eq!(page(vec![leaf("a", "1"), leaf("b", "2")]).changes(&before), "<p id=\"b\">2</p>");
        let changed = page(vec![leaf("b", "2"), leaf("c", "3")]).changes(&before);
        assert_eq!(
            changed,
            "<template data-gone=\"a\" data-from=\"list\"></template><p id=\"b\">2</p>\
             <template data-into=\"list\" data-after=\"b\"><p id=\"c\">3</p></template>"
        );
        // No child remains: the group is sent as a whole.
        for children in [vec![leaf("c", "1")], vec![]] {
            let changed = page(children).changes(&before);
            assert!(changed.starts_with("<ul id=\"list\"") && changed.ends_with("</ul>"), "{changed}");
        }
    }

    #[test]
    fn as_few_as_possible_are_moved() {
        let named = |names: &str| page(names.split(' ').map(|name| leaf(name, "1")).collect());
        let changed = named("e a b c d").changes(&named("a b c d e"));
        assert_eq!(changed, "<template data-into=\"list\"><p id=\"e\">1</p></template>");
        let changed = named("a d b c").changes(&named("a b c d"));
        assert_eq!(changed, "<template data-into=\"list\" data-after=\"a\"><p id=\"d\">1</p></template>");
    }

    /// Content of two lists of a page, which may be absent.
    type Lists = [Vec<String>; 2];

    fn page_of([first, second]: &Lists) -> HtmlNode {
        let list = |id: &str, names: &[String]| {
            HtmlNode::group(id, GroupTag::List, "l", names.iter().map(|name| leaf(name, "1")).collect())
        };
        HtmlNode::group("page", GroupTag::Division, "p", vec![list("list-0", first), list("list-1", second)])
    }

    /// Applies an operation as the script does.
    fn apply_operation(lists: &mut Lists, order: &str) {
        let attribute = |name: &str| {
            let (_, rest) = order.split_once(&format!("{name}=\""))?;
            rest.split('"').next().map(str::to_owned)
        };
        let list = |name: String| name.trim_start_matches("list-").parse::<usize>().unwrap();
        if let Some(gone) = attribute("data-gone") {
            return lists[list(attribute("data-from").unwrap())].retain(|name| *name != gone);
        }
        let placed = attribute(" id").unwrap();
        // An element that is on the page already moves.
        lists.iter_mut().for_each(|names| names.retain(|name| *name != placed));
        let into = &mut lists[list(attribute("data-into").unwrap())];
        let after = attribute("data-after");
        let at = after.map_or(0, |after| into.iter().position(|name| *name == after).unwrap() + 1);
        into.insert(at, placed);
    }

    fn lists() -> impl Strategy<Value = Lists> {
        let some = subsequence((0..9).collect::<Vec<u8>>(), 0..9).prop_shuffle();
        (some, 0_usize..9).prop_map(|(names, at)| {
            let names: Vec<String> = names.iter().map(|name| format!("n{name}")).collect();
            let (first, second) = names.split_at(at.min(names.len()));
            [first.to_vec(), second.to_vec()]
        })
    }

    proptest! {
        #[test]
        fn whoever_obeys_the_orders_has_the_same_children(before in lists(), now in lists()) {
            let changed = page_of(&now).changes(&page_of(&before));
            let mut lists = before;
            let mut rest = changed.as_str();
            while !rest.is_empty() {
                if let Some(whole) = rest.strip_prefix("<ul id=\"list-") {
                    let at: usize = whole[..1].parse().unwrap();
                    lists[at].clone_from(&now[at]);
                    rest = rest.split_once("</ul>").unwrap().1;
                } else {
                    let (order, after) = rest.split_once("</template>").unwrap();
                    apply_operation(&mut lists, order);
                    rest = after;
                }
            }
            prop_assert_eq!(lists, now);
        }
    }
}
