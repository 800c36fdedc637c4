//! What people should know of a component: notes, owner, labels, links.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::variables::Variables;
use crate::address::{AddressProblem, url};
use crate::redact::redact_text;
use crate::sanitize::printable;
use crate::template::{Form, Located, Resolved, Template, Templated, UnknownVariable};

/// Labels, by their names.
pub type Labels = BTreeMap<String, String>;

/// What people should know of a component. It has no effect on the component.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(bound(serialize = "F::Text: Serialize"))]
pub struct ComponentNotes<F: Form = Resolved> {
    /// Text for operators, of one or several lines.
    pub notes: Option<String>,
    /// Person or team that is responsible.
    pub owner: Option<String>,
    /// Labels, by which notifications are routed.
    pub labels: Labels,
    /// URL of the instructions for trouble.
    pub runbook: Option<F::Text>,
    /// Further links, in the order of the configuration.
    pub links: Vec<NamedLink<F>>,
}

/// Link with its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(bound(serialize = "F::Text: Serialize"))]
pub struct NamedLink<F: Form = Resolved> {
    /// Text of the link.
    pub name: String,
    /// URL, whose scheme is `http` or `https`.
    pub url: F::Text,
}

impl<F: Form> ComponentNotes<F> {
    /// Returns true if nothing is noted.
    pub fn is_empty(&self) -> bool {
        let Self { notes, owner, labels, runbook, links } = self;
        notes.is_none() && owner.is_none() && labels.is_empty() && runbook.is_none() && links.is_empty()
    }
}

impl ComponentNotes<Templated> {
    /// Replaces the variables.
    ///
    /// # Errors
    /// Returns a sentence if a variable has no value, or if a URL is invalid.
    pub(in super::super) fn resolve(&self, variables: &Variables<'_>) -> Result<ComponentNotes, String> {
        let Self { notes, owner, labels, runbook, links } = self;
        let links = links.iter().map(|NamedLink { name, url }| {
            Ok::<_, String>(NamedLink { name: name.clone(), url: link_url(url, variables)? })
        });
        Ok(ComponentNotes {
            notes: notes.clone(),
            owner: owner.clone(),
            labels: labels.clone(),
            runbook: runbook.as_ref().map(|url| link_url(url, variables)).transpose()?,
            links: links.collect::<Result<_, _>>()?,
        })
    }

    /// Returns the texts with variables.
    pub(in super::super) fn templates(&self) -> Vec<Located<&Template>> {
        let Self { notes: _, owner: _, labels: _, runbook, links } = self;
        runbook.iter().chain(links.iter().map(|link| &link.url)).map(Located::as_ref).collect()
    }
}

fn link_url(text: &Located<Template>, variables: &Variables<'_>) -> Result<String, String> {
    let text = variables.text(text).map_err(|UnknownVariable(name)| match name.as_str() {
        "ip" => {
            "${ip} is not known to the aggregator, which shows the link, unless the host sets \"ip\"; use \
                 ${hostname}"
                .to_owned()
        }
        name => UnknownVariable(name.to_owned()).to_string(),
    })?;
    check_link(&text)?;
    Ok(text)
}

fn check_link(text: &str) -> Result<(), String> {
    let describe_error = |reason: &str| format!("\"{}\" {reason}", redact_text(&printable(text)));
    // The fragment is for the browser, and often names the section of a document.
    let address = text.split_once('#').map_or(text, |(address, _)| address);
    let found = url(address).map_err(|problem| match problem {
        AddressProblem::User => {
            describe_error("has a user name or a password, which everybody would see; leave it out")
        }
        AddressProblem::Shape => {
            describe_error("is no URL; write for example \"https://wiki.example/kafka#restart\"")
        }
        problem => describe_error(&problem.to_string()),
    })?;
    match found.scheme_str() {
        Some("http" | "https") => Ok(()),
        _ => Err(describe_error("is no http:// or https:// URL")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_web_addresses() {
        for text in ["https://wiki.example/kafka#restart", "http://h:8080", "https://h/a?b=c&d=%20"] {
            assert_eq!(check_link(text), Ok(()), "{text}");
        }
        let rows = [
            ("javascript:alert(1)", "is no URL"),
            ("data:text/html,x", "is no URL"),
            ("ftp://h/x", "is no http:// or https:// URL"),
            ("//h/x", "is no URL"),
            ("wiki", "is no URL"),
            ("https://ann:s3cret@h/", "has a user name or a password"),
            ("https://h:99999/", "has a port"),
            ("#x", "is no URL"),
            ("java\nscript://h", "is no URL"),
        ];
        for (text, expected) in rows {
            let reason = check_link(text).unwrap_err();
            assert!(reason.contains(expected) && !reason.contains("s3cret"), "{text}: {reason}");
        }
    }
}
