//! Authorization of callers, and the name under which their actions are recorded.

use rta_shared::action::Requester;
use rta_shared::authorization::{CallerKind, Right, ServerKind};
use rta_shared::connection::ConnectedPeer;
use rta_shared::local_socket::{LOCAL_GROUP, LocalUser};
use rta_shared::proto::v1;
use rta_shared::sanitize::printable;
use rta_shared::tls::PeerInfo;
use tonic::codegen::http::Request;
use tonic::{Extensions, Status};

/// Admits a call if its caller has the required right.
///
/// # Errors
/// Returns `PERMISSION_DENIED` if the caller lacks the right.
pub(crate) fn authorize(right: Right, call: Request<()>) -> Result<Request<()>, Status> {
    let peer = call.extensions().get::<ConnectedPeer>();
    let kind = match peer {
        Some(ConnectedPeer::Local(LocalUser { is_member: true, .. })) => CallerKind::LocalMember,
        Some(ConnectedPeer::Local(_)) => CallerKind::OtherLocalUser,
        // TLS admits only the aggregator (`Admission::Named`).
        Some(ConnectedPeer::Tcp(PeerInfo { secured: true, .. })) => CallerKind::AggregatorCertificate,
        Some(ConnectedPeer::Tcp(_)) => CallerKind::Unasked,
        None => CallerKind::Anonymous,
    };
    if kind.may(ServerKind::Agent, right) {
        return Ok(call);
    }
    let caller = peer.map_or_else(|| "the caller".to_owned(), ToString::to_string);
    Err(Status::permission_denied(format!(
        "{} may not call the agent: its socket is for root and members of the group {LOCAL_GROUP}",
        printable(&caller)
    )))
}

/// Maximum length of a name or an address, in characters: they are part of every report.
const MAX_REQUESTER_LENGTH: usize = 64;

/// Returns the requester to record for a call with these extensions. Only the aggregator may name the
/// requester on whose behalf it calls; a local caller is recorded under its own name, regardless of
/// `claimed`.
pub(crate) fn requester(extensions: &Extensions, claimed: Option<v1::Requester>) -> Requester {
    let v1::Requester { user, address } = claimed.unwrap_or_default();
    let mut by = Requester { user: shorten_requester(&user), address: shorten_requester(&address) };
    match extensions.get::<ConnectedPeer>() {
        Some(ConnectedPeer::Local(user)) => {
            by = Requester {
                user: shorten_requester(&user.to_string()),
                address: Requester::LOCAL.to_owned(),
            };
        }
        Some(ConnectedPeer::Tcp(peer)) if by.address.is_empty() => {
            by.address = peer.address.ip().to_canonical().to_string();
        }
        Some(ConnectedPeer::Tcp(_)) | None => {}
    }
    if by == Requester::autostart() {
        // A caller is an operator whatever name it sends, and must not pass for the agent's own autostart.
        by.address = "outside".to_owned();
    }
    by
}

fn shorten_requester(text: &str) -> String {
    printable(text.get(..4 * MAX_REQUESTER_LENGTH).unwrap_or(text))
        .chars()
        .take(MAX_REQUESTER_LENGTH)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(peer: ConnectedPeer) -> Request<()> {
        let mut call = Request::new(());
        call.extensions_mut().insert(peer);
        call
    }

    fn local(is_member: bool) -> ConnectedPeer {
        ConnectedPeer::Local(LocalUser { uid: 1000, name: "ann".to_owned(), is_member })
    }

    fn tcp(secured: bool) -> ConnectedPeer {
        ConnectedPeer::Tcp(PeerInfo { address: "10.0.0.9:1".parse().unwrap(), secured, identity: None })
    }

    #[test]
    fn local_user_outside_the_group_is_refused_by_name() {
        let refused = authorize(Right::View, call(local(false))).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::PermissionDenied);
        assert!(refused.message().starts_with("ann (uid 1000), local may not"), "{refused:?}");
        assert!(authorize(Right::View, Request::new(())).is_err(), "a caller without a connection");
        for peer in [local(true), tcp(true), tcp(false)] {
            assert!(authorize(Right::Act, call(peer.clone())).is_ok(), "{peer}");
        }
    }

    #[test]
    fn claimed_name_does_not_replace_that_of_a_local_caller() {
        let by = |peer: ConnectedPeer, user: &str, address: &str| {
            let claimed = v1::Requester { user: user.to_owned(), address: address.to_owned() };
            requester(call(peer).extensions(), Some(claimed)).to_string()
        };
        assert_eq!(by(local(true), "bob", "10.0.0.7"), "ann (uid 1000), local");
        assert_eq!(by(local(true), "autostart", ""), "ann (uid 1000), local");
        assert_eq!(by(tcp(true), "bob", "10.0.0.7"), "bob from 10.0.0.7");
        assert_eq!(by(tcp(false), "", ""), "somebody from 10.0.0.9");
        assert_ne!(by(tcp(true), "autostart", ""), Requester::autostart().to_string());
    }
}
