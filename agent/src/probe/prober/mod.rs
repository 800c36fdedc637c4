//! Single attempt of a probe: success, or the reason of the failure as a sentence.

mod answer;
mod command;
mod http;
mod json;
mod tcp;
#[cfg(test)]
pub(super) mod tests;

use std::time::Duration;

use rta_shared::config::{CommandProbe, HttpProbe, ProbeMethod};
use rta_shared::redact::{redact_command_line, redact_text};
use tokio::process::Child;

use self::answer::quote;
use super::reasons::{shorten, timeout_reason};
use crate::logs::RunLog;

/// Runs the attempts of one probe on one run of its component.
#[derive(Debug)]
pub(crate) struct Prober {
    question: ProbeMethod,
    timeout: Duration,
    /// Log of the run.
    log: RunLog,
    /// Killed command of an earlier attempt that has not ended. While there is one, no other is run: with a
    /// disk that hangs, each attempt would leave one more process.
    stuck: Option<Child>,
}

impl Prober {
    pub(crate) fn new(question: ProbeMethod, timeout: Duration, log: RunLog) -> Self {
        Self { question, timeout, log, stuck: None }
    }

    /// Runs one attempt. If the future is dropped, nothing of the attempt remains.
    ///
    /// # Errors
    /// Returns an error if the attempt fails; the sentence begins with the question.
    pub(crate) async fn run_attempt(&mut self) -> Result<(), String> {
        let timeout = self.timeout;
        let result = match &self.question {
            ProbeMethod::Tcp(probe) => {
                let mut seen = Vec::new();
                let result = with_timeout(timeout, tcp::probe_tcp(probe, &mut seen)).await;
                match seen.is_empty() {
                    true => result,
                    // What came tells more than that the rest did not.
                    false => result.map_err(|reason| match reason == timeout_reason(timeout) {
                        true => format!("{reason} but {}", quote(&seen)),
                        false => reason,
                    }),
                }
            }
            ProbeMethod::Http(probe) => with_timeout(timeout, http::probe_http(probe)).await,
            ProbeMethod::Command(probe) => command::run_probe_command(probe, timeout, &mut self.stuck).await,
            ProbeMethod::Log(pattern) => with_timeout(timeout, self.log.find(pattern)).await,
        };
        result.map_err(|reason| format!("{}: {reason}", format_question(&self.question)))
    }
}

async fn with_timeout(
    timeout: Duration,
    attempt: impl Future<Output = Result<(), String>>,
) -> Result<(), String> {
    tokio::time::timeout(timeout, attempt).await.unwrap_or_else(|_| Err(timeout_reason(timeout)))
}

/// Returns the question for display: one line, and without the password that a URL may contain.
pub(crate) fn format_question(question: &ProbeMethod) -> String {
    match question {
        ProbeMethod::Http(HttpProbe { url, .. }) => {
            let authority = url.authority().map_or("", |authority| authority.as_str());
            let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
            let path = url.path_and_query().map_or("/", |path| path.as_str());
            let scheme = url.scheme_str().unwrap_or("http");
            shorten(&redact_text(&format!("GET {scheme}://{place}{path}")))
        }
        ProbeMethod::Command(CommandProbe { command, .. }) => {
            let words = redact_command_line(command.iter().map(String::as_str));
            shorten(&format!("command {words}"))
        }
        question @ (ProbeMethod::Tcp(_) | ProbeMethod::Log(_)) => shorten(&question.to_string()),
    }
}
