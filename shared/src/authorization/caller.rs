//! Kinds of callers, and their rights.

use super::table::Right;

/// Server that is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerKind {
    /// gRPC service of an agent.
    Agent,
    /// gRPC service of the aggregator.
    Aggregator,
    /// Web server of the page, which uses no client certificates and no local socket.
    Page,
}

/// Kind of a caller, as far as it is authenticated. A caller with a certificate of another CA is none of
/// these: its connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerKind {
    /// Not authenticated.
    Anonymous,
    /// User of the host who is not in the group of the local socket.
    OtherLocalUser,
    /// Root, the server's own user, or a member of the group, over the local socket.
    LocalMember,
    /// Person or token with the role of a viewer.
    Viewer,
    /// Person or token with the role of an operator.
    Operator,
    /// Certificate of a host.
    HostCertificate,
    /// Certificate with the aggregator's name, which is also a host certificate.
    AggregatorCertificate,
    /// Another aggregator, by its certificate or as the same user of this host, on behalf of a person whom it has
    /// authenticated and names.
    ForwardingAggregator,
    /// Certificate of a person.
    PersonCertificate,
    /// Not authenticated on a server without authentication: `--insecure`, or the demo's page.
    Unasked,
}

impl CallerKind {
    /// Returns the greatest right that this kind of caller has on `server`; `None`: the call is not even
    /// answered.
    ///
    /// An agent answers only the aggregator and local members of its group. The aggregator decides about the
    /// rights of people, and passes the requester on.
    pub fn right_on(self, server: ServerKind) -> Option<Right> {
        match (server, self) {
            (ServerKind::Page, Self::Operator | Self::Unasked) => Some(Right::Act),
            (ServerKind::Page, Self::Viewer) => Some(Right::View),
            (ServerKind::Page, _) => Some(Right::Open),
            (_, Self::Anonymous | Self::OtherLocalUser) => None,
            (ServerKind::Aggregator, Self::ForwardingAggregator | Self::Unasked) => Some(Right::Follow),
            (_, Self::LocalMember | Self::Unasked) => Some(Right::Act),
            (ServerKind::Agent, Self::AggregatorCertificate) => Some(Right::Act),
            (ServerKind::Agent, _) => None,
            (ServerKind::Aggregator, Self::Operator | Self::PersonCertificate) => Some(Right::Act),
            (ServerKind::Aggregator, Self::Viewer | Self::HostCertificate | Self::AggregatorCertificate) => {
                Some(Right::View)
            }
        }
    }

    /// Returns true if this kind of caller may make calls on `server` that require `right`.
    pub fn may(self, server: ServerKind, right: Right) -> bool {
        self.right_on(server).is_some_and(|own| own >= right)
    }
}
