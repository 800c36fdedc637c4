//! Rules for checking the health of a component.

use std::fmt;
use std::time::Duration;

use tonic::transport::Uri;

use super::super::variables::Variables;
use super::probe_answer::{AnswerTest, JsonTest, Pattern, StatusSet};
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
    /// Connects over TCP.
    Tcp(TcpProbe<F>),
    /// Sends a GET request.
    Http(HttpProbe<F>),
    /// Runs a command, which must end with exit status 0.
    Command(CommandProbe<F>),
    /// Waits for a line of the component's log that this regex finds, written by its present run. Once found,
    /// it holds for the run.
    Log(Pattern<F>),
}

/// Check by a TCP connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpProbe<F: Form = Resolved> {
    /// Address, `host:port`.
    pub address: F::Text,
    /// Text that is sent after the connection is made; `None`: nothing.
    pub send: Option<F::Text>,
    /// Regex that must be found in what comes back; `None`: a connection is enough.
    pub expect: Option<Pattern<F>>,
}

/// Check by an HTTP GET request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpProbe<F: Form = Resolved> {
    /// URL, whose scheme is `http` or `https`.
    pub url: F::Url,
    /// Expected status codes.
    pub status: StatusSet,
    /// Tests on the body.
    pub body: AnswerTest<F>,
    /// Comparisons of the body's values, which must all hold. Without any, the body need not be JSON.
    pub json: Vec<JsonTest<F>>,
    /// How the server is verified; meaningless without TLS.
    pub tls: TlsCheck<F>,
}

/// How the server of a check over TLS is verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsCheck<F: Form = Resolved> {
    /// File with the CA's certificates; `None`: the CAs that the host trusts.
    pub ca: Option<F::Path>,
    /// Name that is asked for and verified; `None`: that of the URL.
    pub server_name: Option<F::Text>,
    /// Minimum number of days for which the certificate is still valid.
    pub certificate_days: Option<u32>,
}

/// Check by a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandProbe<F: Form = Resolved> {
    /// Program and arguments. Never empty; the program is looked up like that of a
    /// [`StartRule`](super::StartRule).
    pub command: Vec<F::Text>,
    /// Tests on what it writes.
    pub output: AnswerTest<F>,
}

impl ProbeMethod {
    /// Returns the check whether a connection to `address` can be made.
    pub fn tcp(address: impl Into<String>) -> Self {
        Self::Tcp(TcpProbe { address: address.into(), send: None, expect: None })
    }

    /// Returns the check whether a GET of `url` is answered with 200.
    pub fn http(url: Uri) -> Self {
        Self::Http(HttpProbe {
            url,
            status: StatusSet::default(),
            body: AnswerTest::default(),
            json: Vec::new(),
            tls: TlsCheck::default(),
        })
    }

    /// Returns the check whether this command ends with exit status 0.
    pub fn command<W: Into<String>>(command: impl IntoIterator<Item = W>) -> Self {
        let command = command.into_iter().map(Into::into).collect();
        Self::Command(CommandProbe { command, output: AnswerTest::default() })
    }
}

impl fmt::Display for ProbeMethod {
    /// Writes the check briefly: `tcp 127.0.0.1:9092`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(TcpProbe { address, .. }) => write!(f, "tcp {address}"),
            Self::Http(HttpProbe { url, .. }) => write!(f, "GET {url}"),
            Self::Command(CommandProbe { command, .. }) => write!(f, "command {}", command.join(" ")),
            Self::Log(pattern) => write!(f, "log {pattern}"),
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
            ProbeMethod::Tcp(TcpProbe { address, send, expect }) => {
                let texts = [address].into_iter().chain(send).map(Located::as_ref);
                texts.chain(expect.iter().map(Pattern::template)).collect()
            }
            ProbeMethod::Http(http) => http.templates(),
            ProbeMethod::Command(CommandProbe { command, output }) => {
                command.iter().map(Located::as_ref).chain(output.templates()).collect()
            }
            ProbeMethod::Log(pattern) => vec![pattern.template()],
        }
    }
}

impl ProbeMethod<Templated> {
    fn resolve(&self, variables: &Variables<'_>) -> Result<ProbeMethod, String> {
        Ok(match self {
            Self::Tcp(TcpProbe { address, send, expect }) => {
                let address = variables.text(address).map_err(unknown)?;
                check_probe_address(&address)?;
                ProbeMethod::Tcp(TcpProbe {
                    address,
                    send: send.as_ref().map(|send| variables.text(send)).transpose().map_err(unknown)?,
                    expect: expect.as_ref().map(|expect| expect.resolve(variables)).transpose()?,
                })
            }
            Self::Http(http) => ProbeMethod::Http(http.resolve(variables)?),
            Self::Command(CommandProbe { command, output }) => ProbeMethod::Command(CommandProbe {
                command: variables.texts(command).map_err(unknown)?,
                output: output.resolve(variables)?,
            }),
            Self::Log(pattern) => ProbeMethod::Log(pattern.resolve(variables)?),
        })
    }
}

impl HttpProbe<Templated> {
    fn resolve(&self, variables: &Variables<'_>) -> Result<HttpProbe, String> {
        let Self { url, status, body, json, tls: TlsCheck { ca, server_name, certificate_days } } = self;
        let url = probe_url(&variables.text(url).map_err(unknown)?)?;
        let is_tls_given = ca.is_some() || server_name.is_some() || certificate_days.is_some();
        if is_tls_given && url.scheme_str() != Some("https") {
            return Err("\"ca\", \"server_name\" and \"certificate_days\" need an https:// URL".to_owned());
        }
        let server_name = server_name.as_ref().map(|name| variables.text(name)).transpose();
        let server_name = server_name.map_err(unknown)?;
        if let Some(name) = server_name.as_ref().filter(|name| !is_server_name(name)) {
            let shown = printable(name);
            return Err(format!(
                "server_name: \"{shown}\" is no name or address that a certificate can have"
            ));
        }
        Ok(HttpProbe {
            url,
            status: status.clone(),
            body: body.resolve(variables)?,
            json: json.iter().map(|test| test.resolve(variables)).collect::<Result<_, _>>()?,
            tls: TlsCheck {
                ca: ca.as_ref().map(|ca| variables.path(ca)).transpose().map_err(unknown)?,
                server_name,
                certificate_days: *certificate_days,
            },
        })
    }

    fn templates(&self) -> Vec<Located<&Template>> {
        let Self { url, status: _, body, json, tls: TlsCheck { ca, server_name, certificate_days: _ } } =
            self;
        let texts = [url].into_iter().chain(ca).chain(server_name).map(Located::as_ref);
        texts.chain(body.templates()).chain(json.iter().flat_map(JsonTest::templates)).collect()
    }
}

fn unknown(error: UnknownVariable) -> String {
    error.to_string()
}

fn is_server_name(name: &str) -> bool {
    rustls::pki_types::ServerName::try_from(name).is_ok()
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
    let describe_error = |reason: &str| format!("\"{}\" {reason}", redact_text(&printable(text)));
    let url = url_of(text).map_err(|problem| match problem {
        AddressProblem::Shape => describe_error(HINT),
        AddressProblem::User => describe_error(
            "has a user name or a password, which probes do not send; use a command such as curl",
        ),
        problem => describe_error(&problem.to_string()),
    })?;
    match url.scheme_str() {
        Some("http" | "https") => Ok(url),
        _ => Err(describe_error(HINT)),
    }
}
