//! Query of the page of incidents.

use jiff::Timestamp;
use rta_shared::incident::IncidentDetails;
use serde::Deserialize;
use tonic::Code;

use crate::api::Operations;
use crate::api::history::parse_since;
use crate::api::incidents::IncidentFilter;
use crate::operation_error::OperationError;
use crate::web::pages::events::handler::parse_number;

/// Maximum number of incidents on the page.
pub(in crate::web) const MAX_LISTED: usize = 50;
/// Maximum number of events of an incident on the page; the page of events has all.
const MAX_EVENTS: usize = 100;

/// Query parameters, all as text: a form sends unused fields as empty ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(default)]
pub(crate) struct IncidentsQuery {
    /// Number of the only incident to show.
    pub(in crate::web) id: String,
    /// `true` for only those that are not over.
    pub(in crate::web) open: String,
    pub(in crate::web) environment: String,
    pub(in crate::web) person: String,
    pub(in crate::web) since: String,
    pub(in crate::web) before: String,
    pub(in crate::web) limit: String,
}

impl IncidentsQuery {
    /// Returns the filter for the incidents, relative to `now`.
    ///
    /// # Errors
    /// Returns an error if a number, a time or a truth value cannot be read.
    pub(crate) fn to_filter(&self, now: Timestamp) -> Result<IncidentFilter, OperationError> {
        let invalid = |message: String| OperationError::new(Code::InvalidArgument, message);
        Ok(IncidentFilter {
            is_open: match self.open.trim() {
                "" | "false" => false,
                "true" => true,
                _ => return Err(invalid("open has to be true or false".to_owned())),
            },
            environment: self.environment.trim().to_owned(),
            since: match self.since.trim() {
                "" => None,
                text => Some(parse_since(text, now).map_err(invalid)?),
            },
            person: self.person.trim().to_owned(),
            before: parse_number("before", &self.before)?,
            limit: parse_number("limit", &self.limit)?
                .map_or(0, |limit| usize::try_from(limit).unwrap_or(usize::MAX)),
        })
    }

    /// Returns the incidents of the page, one more than it shows, or the error for which they cannot be read.
    pub(in crate::web) async fn load(
        &self,
        operations: &Operations,
    ) -> Result<Vec<IncidentDetails>, OperationError> {
        if let Some(id) = parse_number("id", &self.id)? {
            return operations.incident(id).await.map(|details| vec![details]);
        }
        let filter = IncidentFilter { limit: MAX_LISTED + 1, ..self.to_filter(Timestamp::now())? };
        operations.list_incident_details(&filter, MAX_EVENTS).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_read_and_mistakes_are_reported() {
        let now = Timestamp::from_second(100_000).unwrap();
        let query = IncidentsQuery {
            open: "true".to_owned(),
            person: " ann ".to_owned(),
            since: "1d".to_owned(),
            before: "7".to_owned(),
            ..IncidentsQuery::default()
        };
        let filter = query.to_filter(now).unwrap();
        assert_eq!((filter.is_open, filter.person.as_str(), filter.before), (true, "ann", Some(7)));
        assert_eq!(filter.since.unwrap().as_second(), 100_000 - 86_400);
        for (query, expected) in [
            (IncidentsQuery { before: "x".to_owned(), ..query.clone() }, "before has to be a number"),
            (IncidentsQuery { open: "maybe".to_owned(), ..query.clone() }, "open has to be true or false"),
            (IncidentsQuery { since: "soon".to_owned(), ..query.clone() }, "\"soon\" is no time"),
        ] {
            assert!(query.to_filter(now).unwrap_err().message.starts_with(expected));
        }
    }
}
