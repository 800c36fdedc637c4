//! Single attempt of a probe: success, or the reason of the failure as a sentence.

mod command;
mod http;
mod tcp;

use std::time::Duration;

use rta_shared::config::ProbeMethod;
use rta_shared::redact::{redact_command_line, redact_text};
use tokio::process::Child;

use super::reasons::{shorten, timeout_reason};

/// Runs the attempts of one probe.
#[derive(Debug)]
pub(crate) struct Prober {
    question: ProbeMethod,
    timeout: Duration,
    /// Killed command of an earlier attempt that has not ended. While there is one, no other is run: with a
    /// disk that hangs, each attempt would leave one more process.
    stuck: Option<Child>,
}

impl Prober {
    pub(crate) fn new(question: ProbeMethod, timeout: Duration) -> Self {
        Self { question, timeout, stuck: None }
    }

    /// Runs one attempt. If the future is dropped, nothing of the attempt remains.
    ///
    /// # Errors
    /// Returns an error if the attempt fails; the sentence begins with the question.
    pub(crate) async fn run_attempt(&mut self) -> Result<(), String> {
        let result = match &self.question {
            ProbeMethod::Tcp(address) => with_timeout(self.timeout, tcp::probe_tcp(address)).await,
            ProbeMethod::Http { url, status } => {
                with_timeout(self.timeout, http::probe_http(url, *status)).await
            }
            ProbeMethod::Command(words) => {
                command::run_probe_command(words, self.timeout, &mut self.stuck).await
            }
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
        ProbeMethod::Http { url, .. } => {
            let authority = url.authority().map_or("", |authority| authority.as_str());
            let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
            let path = url.path_and_query().map_or("/", |path| path.as_str());
            shorten(&redact_text(&format!("GET http://{place}{path}")))
        }
        ProbeMethod::Command(words) => {
            let words = redact_command_line(words.iter().map(String::as_str));
            shorten(&format!("command {words}"))
        }
        question @ ProbeMethod::Tcp(_) => shorten(&question.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::reasons::MAX_TEXT_LENGTH;
    use super::*;

    #[test]
    fn questions_are_shown_on_one_short_line_without_passwords() {
        let http = |url: &str| ProbeMethod::Http { url: url.parse().unwrap(), status: 200 };
        let command = |words: &[&str]| ProbeMethod::Command(words.iter().map(ToString::to_string).collect());
        let rows = [
            (ProbeMethod::Tcp("127.0.0.1:9092".to_owned()), "tcp 127.0.0.1:9092"),
            (http("http://127.0.0.1:3000/api/health?x=1"), "GET http://127.0.0.1:3000/api/health?x=1"),
            (http("http://admin:secret@[::1]"), "GET http://[::1]/"),
            (http("http://127.0.0.1/x?token=s3cret&y=1"), "GET http://127.0.0.1/x?token=***&y=1"),
            (command(&["nodetool", "a\nb"]), r"command nodetool a\nb"),
            (command(&["nodetool", "-pw", "s3cret", "status"]), "command nodetool -pw *** status"),
        ];
        for (question, expected) in rows {
            assert_eq!(format_question(&question), expected);
        }
        let long = format_question(&command(&[&"é".repeat(5_000)]));
        assert_eq!((long.chars().count(), long.ends_with('…')), (MAX_TEXT_LENGTH + 1, true));
    }
}
