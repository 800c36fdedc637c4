//! A page as a tree of parts: what differs between two moments is found part by part, and only that is sent to those
//! who have the page open.

use maud::{Markup, Render};

/// A part of a page: an element with an ID that no other of the page has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::web) struct Node {
    id: String,
    content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    /// The whole element.
    Leaf(String),
    /// An element around others.
    Group { open: String, children: Vec<Node>, close: &'static str },
}

impl Node {
    /// An element as a whole; its root has the ID.
    pub(in crate::web) fn leaf(id: impl Into<String>, element: &Markup) -> Self {
        Self { id: id.into(), content: Content::Leaf(element.0.clone()) }
    }

    /// An element `tag` around others, of this class.
    pub(in crate::web) fn group(id: impl Into<String>, tag: Tag, class: &str, children: Vec<Node>) -> Self {
        let id = id.into();
        let (tag, close) = match tag {
            Tag::Division => ("div", "</div>"),
            Tag::Section => ("section", "</section>"),
            Tag::List => ("ul", "</ul>"),
        };
        let attribute = |text: &str| maud::html! { (text) }.0;
        let open = format!("<{tag} id=\"{}\" class=\"{}\">", attribute(&id), attribute(class));
        Self { id, content: Content::Group { open, children, close } }
    }

    /// Appends it to a page.
    fn write(&self, html: &mut String) {
        match &self.content {
            Content::Leaf(element) => html.push_str(element),
            Content::Group { open, children, close } => {
                html.push_str(open);
                children.iter().for_each(|child| child.write(html));
                html.push_str(close);
            }
        }
    }

    /// The elements that take the place of those of the same IDs, for a page that has `before`.
    pub(in crate::web) fn changes(&self, before: &Self) -> String {
        let mut html = String::new();
        self.differs(before, &mut html);
        html
    }

    fn differs(&self, before: &Self, html: &mut String) {
        match (&self.content, &before.content) {
            (
                Content::Group { open, children, .. },
                Content::Group { open: open_before, children: children_before, .. },
            ) if self.id == before.id
                && open == open_before
                && children
                    .iter()
                    .map(|child| &child.id)
                    .eq(children_before.iter().map(|child| &child.id)) =>
            {
                for (child, before) in children.iter().zip(children_before) {
                    child.differs(before, html);
                }
            }
            (now, then) if now == then => {}
            _ => self.write(html),
        }
    }
}

/// What a group is.
#[derive(Clone, Copy, Debug)]
pub(in crate::web) enum Tag {
    Division,
    Section,
    List,
}

impl Render for Node {
    fn render_to(&self, buffer: &mut String) {
        self.write(buffer);
    }
}

#[cfg(test)]
mod tests {
    use maud::html;

    use super::*;

    fn leaf(id: &str, text: &str) -> Node {
        Node::leaf(id, &html! { p id=(id) { (text) } })
    }

    fn page(children: Vec<Node>) -> Node {
        Node::group("page", Tag::Division, "a \"b\"", vec![Node::group("list", Tag::List, "l", children)])
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
        // Another order, or others: the group around them.
        for children in [vec![leaf("b", "1"), leaf("a", "1")], vec![leaf("a", "1")], vec![]] {
            let changed = page(children).changes(&before);
            assert!(changed.starts_with("<ul id=\"list\"") && changed.ends_with("</ul>"), "{changed}");
        }
    }
}
