//! Page with the last lines of one instance's log.

use maud::{Markup, html};
use rta_shared::overview::InstanceId;
use rta_shared::sanitize::printable_line;

use super::health::text;
use super::layout::layout;
use crate::api::logs::LogChunk;
use crate::web::request_context::RequestContext;

/// Renders the page of an instance's log: the lines read, or the reason why they cannot be read.
pub(in crate::web) fn log(
    context: &RequestContext,
    id: &InstanceId,
    read: &Result<LogChunk, String>,
) -> Markup {
    let title = format!("log of {} on {}", id.component, id.host);
    let body = html! {
        main.log {
            h1 { "Log of " (text(id.component.as_str())) }
            p.where { (text(id.environment.as_str())) " / " (text(id.host.as_str())) }
            @match read {
                Err(reason) => p.error role="alert" { (text(reason)) },
                Ok(piece) => {
                    @if !piece.notice.is_empty() { p.hint { (text(&piece.notice)) } }
                    @if piece.lines.is_empty() {
                        p.empty { "The log is empty." }
                    } @else {
                        pre.lines tabindex="0" aria-label="The log's last lines" {
                            @for line in &piece.lines { (printable_line(line)) "\n" }
                        }
                    }
                    p.hint {
                        "For more, and for what is written from now on: "
                        code { "rta logs -f " (text(&id.to_string())) }
                    }
                }
            }
        }
    };
    layout(context, &format!("{title} - rta"), &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_text_and_a_failure_is_told() {
        let id = InstanceId { environment: "DEV".into(), host: "h".into(), component: "c".into() };
        let piece = LogChunk { lines: vec!["<b>x</b>".to_owned()], notice: String::new() };
        let page = log(&RequestContext::anonymous("/log"), &id, &Ok(piece)).into_string();
        assert!(page.contains("&lt;b&gt;x&lt;/b&gt;\n") && page.contains("rta logs -f DEV/h/c"), "{page}");
        let page = log(&RequestContext::anonymous("/log"), &id, &Err("no log".to_owned())).into_string();
        assert!(page.contains("no log"), "{page}");
    }
}
