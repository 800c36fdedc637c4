//! Forms that change something.

use maud::{Markup, html};
use rta_shared::overview::InstanceId;

use crate::web::action_subject::{ActionSubject, RollingSubject};
use crate::web::request_context::RequestContext;

/// Renders a form of `context` that posts to `path`; `class` is for the stylesheet.
pub(crate) fn post(context: &RequestContext, path: &str, class: Option<&str>, content: &Markup) -> Markup {
    html! {
        form method="post" action=(path) class=[class] {
            @if let Some(token) = &context.csrf { input type="hidden" name="csrf" value=(token); }
            (content)
        }
    }
}

/// Renders the fields that name an instance.
pub(crate) fn instance_fields(id: &InstanceId) -> Markup {
    html! {
        input type="hidden" name="environment" value=(id.environment);
        input type="hidden" name="host" value=(id.host);
        input type="hidden" name="component" value=(id.component);
    }
}

/// Renders the fields that name an action's subject.
pub(crate) fn subject_fields(subject: &ActionSubject) -> Markup {
    match subject {
        ActionSubject::Instance(id) => instance_fields(id),
        ActionSubject::StoppedBy(stopped_by) => plan_fields(*stopped_by),
        ActionSubject::Rolling(RollingSubject { environment, component, role, batches }) => html! {
            input type="hidden" name="environment" value=(environment);
            input type="hidden" name="component" value=(component);
            @if !role.is_empty() { input type="hidden" name="role" value=(role); }
            input type="hidden" name="batch" value=(batches.batch);
            input type="hidden" name="pause" value=(format!("{:#}", batches.pause));
            input type="hidden" name="gate" value=(batches.condition.word());
        },
    }
}

/// Renders the field that names the instances which a plan has stopped.
pub(crate) fn plan_fields(plan: u64) -> Markup {
    html! { input type="hidden" name="stopped_by" value=(plan); }
}
