//! Sign-in page.

use maud::{Markup, html};

use super::layout;
use crate::web::request_context::RequestContext;

/// Renders the sign-in form, which redirects to `next`. `error` is the reason why the last attempt failed.
pub(in crate::web) fn sign_in(context: &RequestContext, next: &str, error: Option<&str>) -> Markup {
    let body = html! {
        main.sign-in {
            h1 { "Sign in" }
            @if let Some(error) = error { p.error role="alert" { (error) } }
            form method="post" action="/sign-in" {
                input type="hidden" name="next" value=(next);
                label { span { "Name" } input type="text" name="name" autocomplete="username" required autofocus; }
                label {
                    span { "Password" }
                    input type="password" name="password" autocomplete="current-password" required;
                }
                button.primary type="submit" { "Sign in" }
            }
        }
    };
    // A link to this page on itself is not needed.
    let context = RequestContext { can_sign_in: false, ..context.clone() };
    layout::layout(&context, "Sign in - rta", &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_can_be_filled_by_a_password_manager_and_tells_errors() {
        let html = sign_in(&RequestContext::anonymous("/sign-in"), "/?q=\"<b>", Some("no <b>")).into_string();
        for expected in [
            "autocomplete=\"username\"",
            "autocomplete=\"current-password\"",
            "role=\"alert\">no &lt;b&gt;</p>",
            "name=\"next\" value=\"/?q=&quot;&lt;b&gt;\"",
        ] {
            assert!(html.contains(expected), "{html}");
        }
    }
}
