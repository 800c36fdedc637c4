//! Calls about events and incidents.

use std::pin::Pin;

use futures::{Stream, StreamExt as _};
use rta_shared::event::Event;
use rta_shared::incident::{Incident, IncidentDetails};
use rta_shared::proto::{ProtocolError, v1};
use rta_shared::timing::RESPONSE_TIMEOUT;
use tonic::Code;

use super::AggregatorClient;
use crate::exit::CommandFailure;

/// Stream of recorded and new events.
pub(crate) type EventItemStream = Pin<Box<dyn Stream<Item = Result<EventItem, CommandFailure>> + Send>>;

/// Item of a stream of events.
#[derive(Debug)]
pub(crate) enum EventItem {
    Event(Box<Event>),
    /// Maximum number of events that are not sent.
    Missed(u64),
    /// ID up to which all events have been sent.
    CaughtUp(u64),
}

impl TryFrom<v1::watch_events_response::Item> for EventItem {
    type Error = ProtocolError;

    fn try_from(item: v1::watch_events_response::Item) -> Result<Self, ProtocolError> {
        use v1::watch_events_response::Item;
        Ok(match item {
            Item::Event(event) => Self::Event(Box::new(event.try_into()?)),
            Item::Missed(missed) => Self::Missed(missed),
            Item::CaughtUp(last_id) => Self::CaughtUp(last_id),
        })
    }
}

impl AggregatorClient {
    /// Returns the recorded events, newest first.
    pub(crate) async fn list_events(
        &self,
        request: v1::ListEventsRequest,
    ) -> Result<Vec<Event>, CommandFailure> {
        let mut calls = self.calls.clone();
        let events = self.await_response(RESPONSE_TIMEOUT, calls.list_events(request)).await?.events;
        let events: Result<_, _> = events.into_iter().map(Event::try_from).collect();
        events.map_err(|error| self.invalid_response(&error))
    }

    /// Returns the recorded incidents, newest first.
    pub(crate) async fn list_incidents(
        &self,
        request: v1::ListIncidentsRequest,
    ) -> Result<Vec<Incident>, CommandFailure> {
        let mut calls = self.calls.clone();
        let incidents = self.await_response(RESPONSE_TIMEOUT, calls.list_incidents(request)).await?.incidents;
        let incidents: Result<_, _> = incidents.into_iter().map(Incident::try_from).collect();
        incidents.map_err(|error| self.invalid_response(&error))
    }

    /// Returns an incident with its events.
    pub(crate) async fn incident(&self, id: u64) -> Result<IncidentDetails, CommandFailure> {
        let mut calls = self.calls.clone();
        let request = v1::GetIncidentRequest { id };
        let response = self.await_response(RESPONSE_TIMEOUT, calls.get_incident(request)).await?;
        response.try_into().map_err(|error| self.invalid_response(&error))
    }

    /// Streams recorded events, then every new one.
    pub(crate) async fn watch_events(
        &self,
        request: v1::WatchEventsRequest,
    ) -> Result<EventItemStream, CommandFailure> {
        let mut calls = self.calls.clone();
        let stream = self.await_response(RESPONSE_TIMEOUT, calls.watch_events(request)).await?;
        let client = self.clone();
        Ok(Box::pin(stream.map(move |response| {
            let response = response.map_err(|status| match status.code() {
                // The aggregator is busy or shutting down: the stream can be requested again.
                Code::Unavailable | Code::ResourceExhausted => {
                    CommandFailure::Unreachable(client.failure_from(&status).message())
                }
                _ => client.failure_from(&status),
            });
            let item = response?.item;
            let item = item.ok_or(ProtocolError::Missing("item")).and_then(EventItem::try_from);
            item.map_err(|error| client.invalid_response(&error))
        })))
    }
}
