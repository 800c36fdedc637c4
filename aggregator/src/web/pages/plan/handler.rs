//! Handlers of the buttons: they begin plans, cancel them, and redirect to the page of a plan.

use axum::extract::{Form, Query, State};
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{MethodRouter, post};
use jiff::Timestamp;
use rta_shared::action::ActionKind;
use rta_shared::name::MAX_NAME_LENGTH;
use rta_shared::overview::InstanceId;
use rta_shared::plan::{ActionRequest, ExecutionOptions};
use serde::Deserialize;
use tonic::Code;

use super::confirmation::confirmation_page;
use super::view;
use crate::api::Operations;
use crate::api::plans::BeginPlanError;
use crate::operation_error::OperationError;
use crate::web::action_subject::{ActionSubject, RollingFields};
use crate::web::parts::{layout, planned};
use crate::web::request_context::RequestContext;

/// Title of a page that says why nothing was done.
pub(crate) const REFUSAL_TITLE: &str = "Nothing was done";

/// Fields of a form, in their order.
type FormFields = Vec<(String, String)>;

/// Fields that a form has once at most.
const SINGLE_FIELDS: [&str; 8] =
    ["environment", "host", "component", "stopped_by", "role", "batch", "pause", "gate"];

/// Submitted form of an action.
#[derive(Debug, PartialEq, Eq)]
struct ActionForm {
    subject: ActionSubject,
    agreed: Vec<InstanceId>,
    /// True if no other instances may be touched, whatever that breaks.
    alone: bool,
}

impl ActionForm {
    /// Parses the fields.
    ///
    /// # Errors
    /// Returns an error if no form of this page has them, or if a person wrote something invalid.
    fn parse(fields: FormFields) -> Result<Self, OperationError> {
        let (fields, agreed, alone) = Self::sort_fields(fields).ok_or_else(unknown_form)?;
        let [environment, host, component, stopped_by, role, batch, pause, gate] = fields;
        let subject = match (environment, host, component, stopped_by, batch) {
            (Some(environment), Some(host), Some(component), None, None) => {
                ActionSubject::Instance(InstanceId {
                    environment: environment.into(),
                    host: host.into(),
                    component: component.into(),
                })
            }
            (Some(environment), None, Some(component), None, Some(batch)) => {
                let [role, pause, gate] = [role, pause, gate].map(Option::unwrap_or_default);
                let fields = RollingFields { role, batch, pause, gate };
                ActionSubject::Rolling(fields.into_subject(environment, component)?)
            }
            (None, None, None, Some(plan), None) => {
                let plan = plan.parse().ok().filter(|plan| *plan != 0);
                ActionSubject::StoppedBy(plan.ok_or_else(unknown_form)?)
            }
            _ => return Err(unknown_form()),
        };
        Ok(Self { subject, agreed, alone })
    }

    /// Returns the values of the single fields, in the order of [`SINGLE_FIELDS`], the agreed instances, and
    /// whether no others may be touched; `None` if there are other fields.
    fn sort_fields(fields: FormFields) -> Option<([Option<String>; 8], Vec<InstanceId>, bool)> {
        let mut single = [const { None }; 8];
        let (mut agreed, mut alone) = (Vec::new(), false);
        for (key, value) in fields {
            match key.as_str() {
                "agreed" => agreed.push(view::instance(&value)?),
                // Checked before, see `authenticate`.
                "csrf" => {}
                "alone" => alone = true,
                key => {
                    let field = single.get_mut(SINGLE_FIELDS.iter().position(|name| *name == key)?)?;
                    if value.is_empty() || value.len() > MAX_NAME_LENGTH || field.replace(value).is_some() {
                        return None;
                    }
                }
            }
        }
        Some((single, agreed, alone))
    }
}

/// Returns the error for a form that is none of this page's.
fn unknown_form() -> OperationError {
    let message = "The form does not name an environment, a host and a component, or a plan.";
    OperationError::new(Code::InvalidArgument, message)
}

/// Returns the handler of the buttons for `kind`.
pub(crate) fn action_handler(kind: ActionKind) -> MethodRouter<Operations> {
    post(async move |state: State<Operations>, context: RequestContext, form: Form<FormFields>| {
        handle_action(&state.0, kind, context, form.0).await
    })
}

async fn handle_action(
    operations: &Operations,
    kind: ActionKind,
    context: RequestContext,
    fields: FormFields,
) -> Response {
    let ActionForm { subject, agreed, alone } = match ActionForm::parse(fields) {
        Ok(form) => form,
        Err(error) => return refusal_page(&context, REFUSAL_TITLE, &error),
    };
    let request = ActionRequest { no_dependencies: alone, ..subject.to_request() };
    let options = ExecutionOptions { agreed, ..ExecutionOptions::default() };
    match operations.begin_plan(kind, &request, options, context.acting()).await {
        Ok(plan_run) => redirect_to_plan(plan_run.begun().id),
        Err(BeginPlanError::Unconfirmed { plan, .. }) => {
            let markup = confirmation_page(&context, &subject, &plan, &operations.overview());
            ([(CACHE_CONTROL, "no-store")], markup).into_response()
        }
        Err(BeginPlanError::Refused(error)) => refusal_page(&context, REFUSAL_TITLE, &error),
    }
}

/// Query of a plan's page: `id=7`.
#[derive(Debug, Deserialize)]
pub(crate) struct PlanQuery {
    pub(crate) id: u64,
}

pub(crate) async fn plan(
    State(operations): State<Operations>,
    context: RequestContext,
    Query(query): Query<PlanQuery>,
) -> Response {
    let (overview, now) = (operations.overview(), Timestamp::now());
    match operations.find_plan(query.id).await {
        Ok(plan_run) => {
            let markup = view::plan(&context, &plan_run.snapshot(), &overview);
            ([(CACHE_CONTROL, "no-store")], markup).into_response()
        }
        // The plan is not kept any more, but its planned stops are.
        Err(error) => match planned::stopped_by(&context, query.id, &overview, now) {
            Some(markup) => ([(CACHE_CONTROL, "no-store")], markup).into_response(),
            None => refusal_page(&context, REFUSAL_TITLE, &error),
        },
    }
}

pub(crate) async fn cancel(
    State(operations): State<Operations>,
    context: RequestContext,
    Form(query): Form<PlanQuery>,
) -> Response {
    match operations.cancel_plan(query.id, context.acting()).await {
        Ok(_) => redirect_to_plan(query.id),
        Err(error) => refusal_page(&context, REFUSAL_TITLE, &error),
    }
}

fn redirect_to_plan(id: u64) -> Response {
    Redirect::to(&format!("/plan?id={id}")).into_response()
}

/// Returns a page with this title that says why nothing was done.
pub(crate) fn refusal_page(context: &RequestContext, title: &str, error: &OperationError) -> Response {
    let status = match error.code {
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::InvalidArgument => StatusCode::BAD_REQUEST,
        Code::FailedPrecondition => StatusCode::CONFLICT,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, layout::message(context, title, &error.message)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &[(&str, &str)]) -> Option<ActionForm> {
        ActionForm::parse(
            fields.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        )
        .ok()
    }

    #[test]
    fn a_form_names_one_instance_and_what_was_agreed() {
        let one = [("environment", "E"), ("host", "h"), ("component", "kafka server")];
        let pressed = read(&one).unwrap();
        let kafka =
            InstanceId { environment: "E".into(), host: "h".into(), component: "kafka server".into() };
        assert_eq!((pressed.subject, pressed.agreed.len()), (ActionSubject::Instance(kafka), 0));
        let more = [one.as_slice(), &[("agreed", "E/h2/raw writer"), ("agreed", "E/h2/b")]].concat();
        let agreed: Vec<String> = read(&more).unwrap().agreed.iter().map(InstanceId::to_string).collect();
        assert_eq!(agreed, ["E/h2/raw writer", "E/h2/b"]);
        assert!(!read(&more).unwrap().alone);
        assert!(read(&[one.as_slice(), &[("alone", "")]].concat()).unwrap().alone);
    }

    #[test]
    fn form_names_what_a_plan_stopped() {
        let pressed = read(&[("stopped_by", "5"), ("agreed", "E/h2/b")]).unwrap();
        assert_eq!((&pressed.subject, pressed.agreed.len()), (&ActionSubject::StoppedBy(5), 1));
        assert_eq!(pressed.subject.to_request(), ActionRequest { stopped_by: 5, ..ActionRequest::default() });
    }

    #[test]
    fn form_names_the_batches_of_a_component() {
        let batches = [("environment", "E"), ("component", "kafka"), ("role", "main"), ("batch", "2")];
        let more = [("pause", "30s"), ("gate", "probe"), ("agreed", "E/h2/b")];
        let form = read(&[&batches[..], &more].concat()).unwrap();
        let request = form.subject.to_request();
        assert!(request.all && request.host.is_empty() && request.role == "main", "{request:?}");
        let rolling = request.rolling.unwrap();
        assert_eq!((rolling.batch, rolling.pause.as_secs(), rolling.condition.word()), (2, 30, "probe"));
        // Its own fields alone, and no host.
        assert_eq!(read(&[&batches[..], &[("host", "h")]].concat()), None);
        assert_eq!(read(&[&batches[..3], &more].concat()), None);
    }

    #[test]
    fn forms_that_are_none_of_ours_are_refused() {
        let long = "x".repeat(MAX_NAME_LENGTH + 1);
        for fields in [
            vec![("environment", "E"), ("host", "h")],
            vec![("stopped_by", "0")],
            vec![("stopped_by", "five")],
            vec![("stopped_by", "5"), ("stopped_by", "6")],
            vec![("environment", "E"), ("host", "h"), ("component", "c"), ("stopped_by", "5")],
            vec![("environment", "E"), ("host", "h"), ("component", "")],
            vec![("environment", "E"), ("host", "h"), ("component", &long)],
            vec![("environment", "E"), ("host", "h"), ("component", "c"), ("host", "h2")],
            vec![("environment", "E"), ("host", "h"), ("component", "c"), ("agreed", "E/h")],
            vec![("environment", "E"), ("host", "h"), ("component", "c"), ("everything", "1")],
        ] {
            assert_eq!(read(&fields), None, "{fields:?}");
        }
    }
}
