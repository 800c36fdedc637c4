//! The kinds of callers, and what each may.

use super::table::Right;

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// An agent's gRPC service.
    Agent,
    /// The aggregator's gRPC service.
    Aggregator,
    /// The page's server, which knows no certificates and no local socket.
    Page,
}

/// Who calls, as far as it is proved. Somebody whose certificate is of another CA is none of these: their connection
/// is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerKind {
    /// Proves nothing.
    Anonymous,
    /// User of the host who is not in the group of the local socket.
    OtherLocalUser,
    /// Root, the server's own user, or a member of the group, over the local socket.
    LocalMember,
    /// Person or token whose role is to look.
    Viewer,
    /// Person or token whose role is to act.
    Operator,
    /// Certificate of a host.
    HostCertificate,
    /// Certificate under the aggregator's name, which is a host's too.
    AggregatorCertificate,
    /// Certificate of a person.
    PersonCertificate,
    /// Proves nothing where nobody is asked who they are: `--insecure`, or the demo's page.
    Unasked,
}

impl CallerKind {
    /// Returns the greatest right that this kind of caller has on `server`; `None`: not even an answer.
    ///
    /// An agent answers the aggregator, and members of its group on its own host; what people may do is decided by
    /// the aggregator, which passes on who asked.
    pub fn right_on(self, server: Server) -> Option<Right> {
        match (server, self) {
            (Server::Page, Self::Operator | Self::Unasked) => Some(Right::Act),
            (Server::Page, Self::Viewer) => Some(Right::View),
            (Server::Page, _) => Some(Right::Open),
            (_, Self::Anonymous | Self::OtherLocalUser) => None,
            (_, Self::LocalMember | Self::Unasked) => Some(Right::Act),
            (Server::Agent, Self::AggregatorCertificate) => Some(Right::Act),
            (Server::Agent, _) => None,
            (Server::Aggregator, Self::Operator | Self::PersonCertificate) => Some(Right::Act),
            (Server::Aggregator, Self::Viewer | Self::HostCertificate | Self::AggregatorCertificate) => {
                Some(Right::View)
            }
        }
    }

    /// Whether this kind of caller may call on `server` what takes `right`.
    pub fn may(self, server: Server, right: Right) -> bool {
        self.right_on(server).is_some_and(|own| own >= right)
    }
}
