//! Rules for checking the health of a component.

use std::fmt;
use std::time::Duration;

use tonic::transport::Uri;

use super::super::variables::Variables;
use crate::address::{AddressProblem, host_and_port, url as url_of};
use crate::redact::redact_text;
use crate::sanitize::printable;
use crate::template::{Form, Located, Resolved, Template, Templated, UnknownVariable};

/// Rule for checking the health of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeRule<F: Form = Resolved> {
    /// Check that the probe makes.
    pub question: ProbeMethod<F>,
    /// Delay between the end of one attempt and the start of the next.
    pub interval: Duration,
    /// Time limit for one attempt; a longer one has failed.
    pub timeout: Duration,
    /// Number of consecutive failed attempts that count as a failure; never 0.
    pub failures: u32,
    /// Time after the start in which failures do not count.
    pub grace: Duration,
}

/// Check that a probe makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeMethod<F: Form = Resolved> {
    /// Connects to this `host:port`.
    Tcp(F::Text),
    /// Sends a GET request to this URL, whose scheme is `http`, and compares the status of the response.
    Http {
        /// URL.
        url: F::Url,
        /// Expected status code.
        status: u16,
    },
    /// Runs this command, which must end with exit status 0. Never empty; the program is looked up like that
    /// of a [`StartRule`](super::StartRule).
    Command(Vec<F::Text>),
}

impl fmt::Display for ProbeMethod {
    /// Writes the check briefly: `tcp 127.0.0.1:9092`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp {address}"),
            Self::Http { url, .. } => write!(f, "GET {url}"),
            Self::Command(command) => write!(f, "command {}", command.join(" ")),
        }
    }
}

impl ProbeRule<Templated> {
    /// Replaces the variables.
    ///
    /// # Errors
    /// Returns a sentence if a variable has no value, or if the result is not a valid check.
    pub(in super::super) fn resolve(&self, variables: &Variables<'_>) -> Result<ProbeRule, String> {
        let Self { question, interval, timeout, failures, grace } = self;
        Ok(ProbeRule {
            question: question.resolve(variables)?,
            interval: *interval,
            timeout: *timeout,
            failures: *failures,
            grace: *grace,
        })
    }

    /// Returns the texts of the check.
    pub(in super::super) fn templates(&self) -> Vec<Located<&Template>> {
        let Self { question, interval: _, timeout: _, failures: _, grace: _ } = self;
        match question {
            ProbeMethod::Tcp(text) | ProbeMethod::Http { url: text, status: _ } => vec![text.as_ref()],
            ProbeMethod::Command(command) => command.iter().map(Located::as_ref).collect(),
        }
    }
}

impl ProbeMethod<Templated> {
    fn resolve(&self, variables: &Variables<'_>) -> Result<ProbeMethod, String> {
        let sentence = |error: UnknownVariable| error.to_string();
        Ok(match self {
            Self::Tcp(address) => {
                let address = variables.text(address).map_err(sentence)?;
                check_probe_address(&address)?;
                ProbeMethod::Tcp(address)
            }
            Self::Http { url, status } => {
                let url = probe_url(&variables.text(url).map_err(sentence)?)?;
                ProbeMethod::Http { url, status: *status }
            }
            Self::Command(command) => ProbeMethod::Command(variables.texts(command).map_err(sentence)?),
        })
    }
}

fn check_probe_address(address: &str) -> Result<(), String> {
    host_and_port(address).map_err(|problem| {
        let what = match problem {
            AddressProblem::Shape => "is no address to connect to".to_owned(),
            problem => problem.to_string(),
        };
        let shown = redact_text(&printable(address));
        format!("\"{shown}\" {what}; write for example \"127.0.0.1:9092\"")
    })
}

fn probe_url(text: &str) -> Result<Uri, String> {
    const HINT: &str = "is no URL; write for example \"http://127.0.0.1:3000/api/health\"";
    let told = |reason: &str| format!("\"{}\" {reason}", redact_text(&printable(text)));
    let url = url_of(text).map_err(|problem| match problem {
        AddressProblem::Shape => told(HINT),
        AddressProblem::User => {
            told("has a user name or a password, which probes do not send; use a command such as curl")
        }
        problem => told(&problem.to_string()),
    })?;
    match url.scheme_str() {
        Some("http") => Ok(url),
        Some("https") => Err(told("asks for TLS, which probes do not have; use a command such as curl")),
        _ => Err(told(HINT)),
    }
}
