//! Operations of the page and the gRPC service on incidents.

use jiff::Timestamp;
use rta_shared::incident::{Incident, IncidentDetails};
use rta_shared::name::{Name, too_long};
use rta_shared::proto::v1;
use rta_shared::selector::{NameIndex, Selector};
use tonic::Code;

use crate::api::Operations;
use crate::api::history::canonical_selector;
use crate::operation_error::OperationError;
use crate::store::IncidentQuery;

/// Default number of incidents in an answer.
const DEFAULT_INCIDENTS: usize = 50;
/// Maximum number of incidents in an answer. Each names up to a hundred instances.
const MAX_INCIDENTS: usize = 500;
/// Maximum number of events of one incident in an answer.
const MAX_INCIDENT_EVENTS: usize = 2000;

/// Incident query as a person wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IncidentFilter {
    /// True for only those that are not over.
    pub(crate) is_open: bool,
    /// Name of the environment, or a part of it; empty: any.
    pub(crate) environment: String,
    /// Time at which, or after which, they were open.
    pub(crate) since: Option<Timestamp>,
    /// Name of a person who acted; empty: any.
    pub(crate) person: String,
    /// Upper bound of the ID, exclusive.
    pub(crate) before: Option<u64>,
    /// Maximum number; 0: [`DEFAULT_INCIDENTS`].
    pub(crate) limit: usize,
}

impl TryFrom<v1::ListIncidentsRequest> for IncidentFilter {
    type Error = OperationError;

    fn try_from(request: v1::ListIncidentsRequest) -> Result<Self, OperationError> {
        let since = request.oldest();
        let since = since.map_err(|_| OperationError::new(Code::InvalidArgument, "since is no time"))?;
        let v1::ListIncidentsRequest { open, environment, person, before, limit, .. } = request;
        Ok(Self {
            is_open: open,
            environment,
            since,
            person,
            before: (before != 0).then_some(before),
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
        })
    }
}

impl Operations {
    /// Returns the matching incidents, the newest first.
    ///
    /// # Errors
    /// Returns an error if the environment is unknown or too long, or if the event store cannot be read.
    pub(crate) async fn list_incidents(
        &self,
        filter: &IncidentFilter,
    ) -> Result<Vec<Incident>, OperationError> {
        let found = self.list_incident_details(filter, 0).await?;
        Ok(found.into_iter().map(|details| details.incident).collect())
    }

    /// Returns the matching incidents, the newest first, each with at most this number of its newest events.
    ///
    /// # Errors
    /// Returns an error if the environment is unknown or too long, or if the event store cannot be read.
    pub(crate) async fn list_incident_details(
        &self,
        filter: &IncidentFilter,
        events: usize,
    ) -> Result<Vec<IncidentDetails>, OperationError> {
        if let Some(message) = too_long(&filter.person) {
            return Err(OperationError::new(Code::InvalidArgument, message));
        }
        let selector = Selector { environment: filter.environment.trim().to_owned(), ..Selector::default() };
        let inventory = self.inventory();
        let index = NameIndex::from(inventory.platform.as_ref());
        let exact = selector.canonical(&index)?;
        let query = |names: &Selector| IncidentQuery {
            id: None,
            is_open: filter.is_open,
            environment: (!names.environment.is_empty()).then(|| Name::from(names.environment.as_str())),
            person: Some(filter.person.trim().to_owned()).filter(|person| !person.is_empty()),
            since: filter.since,
            before: filter.before,
            limit: match filter.limit {
                0 => DEFAULT_INCIDENTS,
                limit => limit.min(MAX_INCIDENTS),
            },
            events,
        };
        let found = self.query_incidents(query(&exact)).await?;
        if !found.is_empty() {
            return Ok(found);
        }
        // An environment that was removed may still have incidents; one without any is part of a name, or a mistake.
        match canonical_selector(&selector, &index)? {
            Some(meant) if meant != exact => self.query_incidents(query(&meant)).await,
            Some(_) | None => Ok(found),
        }
    }

    /// Returns an incident with its events.
    ///
    /// # Errors
    /// Returns an error if there is no such incident, or if the event store cannot be read.
    pub(crate) async fn incident(&self, id: u64) -> Result<IncidentDetails, OperationError> {
        let query =
            IncidentQuery { id: Some(id), limit: 1, events: MAX_INCIDENT_EVENTS, ..IncidentQuery::default() };
        let found = self.query_incidents(query).await?.into_iter().next();
        found.ok_or_else(|| {
            let message = format!("incident {id} is not known; rta incidents lists those that are recorded");
            OperationError::new(Code::NotFound, message)
        })
    }

    async fn query_incidents(&self, query: IncidentQuery) -> Result<Vec<IncidentDetails>, OperationError> {
        let found = self.store.query_incidents(query).await;
        found.map_err(|message| OperationError::new(Code::Unavailable, message))
    }
}
