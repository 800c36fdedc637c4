//! Authentication and authorization of gRPC calls.

use rta_shared::action::Requester;
use rta_shared::authorization::{CallerKind, Right, ServerKind};
use rta_shared::connection::ConnectedPeer;
use rta_shared::local_socket::{LOCAL_GROUP, LocalUser};
use rta_shared::sanitize::printable;
use rta_shared::tls::{CertificateIdentity, IdentityKind, PeerInfo};
use tonic::codegen::http::Request;
use tonic::{Extensions, Status};

use crate::audit::Refusal;
use crate::auth::{
    AccessControl, ActScope, ActingCaller, Principal, TokenError, UserRole, bearer_token, new_requester,
};
use crate::forwarding::{InvalidRequester, read_requester};

const NO_TOKEN: &str = "the aggregator has users and asks who you are: give --token-file with a token, which rta user token makes";
const NO_CERTIFICATE: &str =
    "the aggregator asks who you are: give --cert and --key, which rta pki user NAME makes, or --token-file";
const NO_AGGREGATOR: &str = "only another aggregator follows hosts in this way; ask for the overview";

/// Authorized caller.
#[derive(Clone, Debug)]
pub(crate) struct AuthenticatedCaller {
    /// Name as proved by a token, a certificate or the kernel; `None`: nothing was proved.
    name: Option<String>,
    /// Address; empty if it is not known.
    address: String,
    /// Where they may act.
    scope: ActScope,
    /// True if another aggregator calls on their behalf.
    is_forwarded: bool,
}

/// Accepts a call whose caller has the right to it, and puts the [`AuthenticatedCaller`] into its extensions.
///
/// On the local socket, the mode of its file limits who can connect; these callers are operators under their
/// login name, unless the users file has that name as a viewer. Without TLS, which only `--insecure` allows,
/// every caller may act if there are no users, and otherwise view if viewing is open.
///
/// # Errors
/// Returns `UNAUTHENTICATED` if the caller has no credentials or an unknown token, and `PERMISSION_DENIED` if
/// the caller's role does not include the right.
pub(crate) fn authorize(
    access: &AccessControl,
    aggregator_names: &[String],
    right: Right,
    mut call: Request<()>,
) -> Result<Request<()>, Status> {
    let identified = match read_requester(call.headers()) {
        Some(by) => identify_forwarded(access, aggregator_names, &call, by),
        None => identify(access, &call),
    };
    let (kind, caller) = identified.inspect_err(|status| record_refusal(access, None, &call, status))?;
    if kind.may(ServerKind::Aggregator, right) {
        call.extensions_mut().insert(caller);
        return Ok(call);
    }
    if kind == CallerKind::Anonymous
        && right == Right::View
        && is_unencrypted(&call)
        && access.is_viewing_open()
    {
        return Ok(call);
    }
    let status = match right {
        Right::Follow => Status::permission_denied(NO_AGGREGATOR),
        Right::Open | Right::View | Right::Act => refusal(kind, &caller, &call),
    };
    record_refusal(access, Some(&caller), &call, &status);
    Err(status)
}

/// Records a refused call in the audit log.
fn record_refusal(
    access: &AccessControl,
    caller: Option<&AuthenticatedCaller>,
    call: &Request<()>,
    status: &Status,
) {
    access.record_refusal(Refusal {
        who: caller.and_then(|caller| caller.name.clone()),
        from: caller.map_or_else(|| address_of(call), |caller| caller.address.clone()),
        target: call.uri().path().to_owned(),
        reason: status.message().to_owned(),
    });
}

fn is_unencrypted(call: &Request<()>) -> bool {
    matches!(
        call.extensions().get::<ConnectedPeer>(),
        Some(ConnectedPeer::Tcp(PeerInfo { secured: false, .. }))
    )
}

/// Identifies the person on whose behalf another aggregator calls.
///
/// # Errors
/// Returns `PERMISSION_DENIED` if anybody else calls in this way.
fn identify_forwarded(
    access: &AccessControl,
    aggregator_names: &[String],
    call: &Request<()>,
    by: Result<Requester, InvalidRequester>,
) -> Result<(CallerKind, AuthenticatedCaller), Status> {
    let kind = match call.extensions().get::<ConnectedPeer>() {
        Some(ConnectedPeer::Tcp(PeerInfo { identity: Some(identity), .. }))
            if identity.is_host_named(aggregator_names) =>
        {
            CallerKind::ForwardingAggregator
        }
        // The same user could send anything in the name of this aggregator in any case.
        Some(ConnectedPeer::Local(user)) if user.uid == rustix::process::geteuid().as_raw() => {
            CallerKind::ForwardingAggregator
        }
        // Everybody acts there under any name.
        Some(ConnectedPeer::Tcp(PeerInfo { secured: false, .. })) if !access.has_users() => {
            CallerKind::Unasked
        }
        _ => {
            return Err(Status::permission_denied(
                "only another aggregator calls on behalf of somebody: over TLS with a certificate that has a name of \
                 --aggregator-name, or over the local socket as the same user",
            ));
        }
    };
    let by = by.map_err(|error| Status::invalid_argument(error.to_string()))?;
    let name = (!by.user.is_empty()).then_some(by.user);
    let caller =
        AuthenticatedCaller { name, address: by.address, scope: ActScope::default(), is_forwarded: true };
    Ok((kind, caller))
}

fn identify(access: &AccessControl, call: &Request<()>) -> Result<(CallerKind, AuthenticatedCaller), Status> {
    let peer = call.extensions().get::<ConnectedPeer>();
    let address = address_of(call);
    if let Some(ConnectedPeer::Local(user @ LocalUser { is_member: false, .. })) = peer {
        return Ok((
            CallerKind::OtherLocalUser,
            AuthenticatedCaller::new(Some(user.to_string()), address, ActScope::default()),
        ));
    }
    if let Some(header) = call.headers().get("authorization") {
        let token = header.to_str().ok().and_then(bearer_token).ok_or(TokenError::Unknown);
        let Principal { name, role, scope } = token
            .and_then(|token| access.principal_of_token(token))
            .map_err(|error| Status::unauthenticated(format!("the {error}")))?;
        return Ok((role.into(), AuthenticatedCaller::new(Some(name), address, scope)));
    }
    let (kind, name) = match peer {
        Some(ConnectedPeer::Local(user)) => {
            let kind = match access.role_of(&user.name) {
                Some(UserRole::Viewer) => CallerKind::Viewer,
                Some(UserRole::Operator) | None => CallerKind::LocalMember,
            };
            (kind, Some(user.to_string()))
        }
        Some(ConnectedPeer::Tcp(PeerInfo {
            identity: Some(CertificateIdentity { kind, name, .. }), ..
        })) => {
            let kind = match kind {
                IdentityKind::User => CallerKind::PersonCertificate,
                IdentityKind::Host => CallerKind::HostCertificate,
            };
            (kind, Some(name.clone()))
        }
        Some(ConnectedPeer::Tcp(PeerInfo { secured: false, .. })) if !access.has_users() => {
            (CallerKind::Unasked, None)
        }
        Some(ConnectedPeer::Tcp(_)) | None => (CallerKind::Anonymous, None),
    };
    Ok((kind, AuthenticatedCaller::new(name, address, ActScope::default())))
}

/// Returns the address of a call; empty if it is not known.
fn address_of(call: &Request<()>) -> String {
    match call.extensions().get::<ConnectedPeer>() {
        Some(ConnectedPeer::Tcp(peer)) => peer.address.ip().to_canonical().to_string(),
        Some(ConnectedPeer::Local(_)) => Requester::LOCAL.to_owned(),
        None => String::new(),
    }
}

fn refusal(kind: CallerKind, caller: &AuthenticatedCaller, call: &Request<()>) -> Status {
    let name = caller.name.as_deref().map(|name| printable(name).to_string()).unwrap_or_default();
    match kind {
        CallerKind::OtherLocalUser => Status::permission_denied(format!(
            "{name} may not use the aggregator's socket: it is for root and members of the group {LOCAL_GROUP}; \
             usermod --append --groups {LOCAL_GROUP} makes a user one"
        )),
        CallerKind::HostCertificate => Status::permission_denied(format!(
            "the certificate of host {name} may look, and not act; ask with a person's, which rta pki user NAME makes"
        )),
        CallerKind::Viewer => {
            Status::permission_denied(format!("{name} may look, and not act; ask with an operator's token"))
        }
        _ if is_unencrypted(call) => Status::unauthenticated(NO_TOKEN),
        _ => Status::unauthenticated(NO_CERTIFICATE),
    }
}

impl AuthenticatedCaller {
    /// Creates a caller who calls themselves.
    fn new(name: Option<String>, address: String, scope: ActScope) -> Self {
        Self { name, address, scope, is_forwarded: false }
    }

    /// Returns the caller from a call's extensions.
    ///
    /// # Errors
    /// Returns `UNAUTHENTICATED` if the call was accepted without a caller.
    pub(crate) fn from_extensions(extensions: &Extensions) -> Result<Self, Status> {
        extensions.get::<Self>().cloned().ok_or_else(|| Status::unauthenticated(NO_TOKEN))
    }

    /// Returns the caller who acts, with the requester to record: the proved name, or without TLS the name
    /// that the client claims.
    pub(crate) fn acting(self, claimed_name: &str) -> ActingCaller {
        ActingCaller {
            by: new_requester(self.name.as_deref().unwrap_or(claimed_name), self.address),
            scope: self.scope,
            is_forwarded: self.is_forwarded,
        }
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;
    use crate::forwarding::write_requester;

    fn request(peer: ConnectedPeer) -> Request<()> {
        let mut request = Request::new(());
        request.extensions_mut().insert(peer);
        request
    }

    fn tcp(secured: bool, identity: Option<(IdentityKind, &str)>) -> Request<()> {
        let identity = identity.map(|(kind, name)| CertificateIdentity {
            kind,
            name: name.to_owned(),
            dns: vec![name.to_owned()],
        });
        request(ConnectedPeer::Tcp(PeerInfo { address: "10.0.0.9:1".parse().unwrap(), secured, identity }))
    }

    fn local(name: &str, is_member: bool) -> Request<()> {
        request(ConnectedPeer::Local(LocalUser { uid: 1000, name: name.to_owned(), is_member }))
    }

    fn names() -> Vec<String> {
        vec!["aggregator".to_owned()]
    }

    /// Creates access with a user `ann` of this role.
    fn users(viewing: &str, role: &str) -> AccessControl {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.toml");
        let hash = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let text = format!(
            "viewing = \"{viewing}\"\n[[user]]\nname = \"ann\"\nrole = \"{role}\"\npassword = \"{hash}\"\n"
        );
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        AccessControl::with_users_file(&path, false).unwrap()
    }

    /// Returns the user that an action is recorded for, or the code of the refusal.
    fn acts(access: &AccessControl, call: Request<()>) -> Result<String, Code> {
        let call = authorize(access, &names(), Right::Act, call).map_err(|status| status.code())?;
        let caller =
            AuthenticatedCaller::from_extensions(call.extensions()).map_err(|status| status.code())?;
        Ok(caller.acting("told").by.to_string())
    }

    fn looks(access: &AccessControl, call: Request<()>) -> Result<(), Code> {
        authorize(access, &names(), Right::View, call).map(drop).map_err(|status| status.code())
    }

    #[test]
    fn where_there_are_users_nobody_acts_without_a_name() {
        let (open, closed) = (users("open", "operator"), users("closed", "operator"));
        assert_eq!(looks(&closed, tcp(false, None)), Err(Code::Unauthenticated));
        assert_eq!(looks(&open, tcp(false, None)), Ok(()));
        assert_eq!(acts(&open, tcp(false, None)), Err(Code::Unauthenticated));
        assert_eq!(looks(&open, tcp(true, None)), Err(Code::Unauthenticated));
        let ann = tcp(true, Some((IdentityKind::User, "ann")));
        assert_eq!(acts(&closed, ann).as_deref(), Ok("ann from 10.0.0.9"), "a certificate is as good");
    }

    #[test]
    fn over_tls_only_known_ones_ask_and_only_people_act_under_their_own_name() {
        let open = AccessControl::without_users(false);
        assert_eq!(looks(&open, tcp(true, None)), Err(Code::Unauthenticated));
        let host = || tcp(true, Some((IdentityKind::Host, "h")));
        assert_eq!((looks(&open, host()), acts(&open, host())), (Ok(()), Err(Code::PermissionDenied)));
        let ann = tcp(true, Some((IdentityKind::User, "ann")));
        assert_eq!(acts(&open, ann).as_deref(), Ok("ann from 10.0.0.9"));
        assert_eq!(acts(&open, tcp(false, None)).as_deref(), Ok("told from 10.0.0.9"));
        let mut with_token = tcp(false, None);
        with_token.headers_mut().insert("authorization", "Bearer rta_x".parse().unwrap());
        assert_eq!(looks(&open, with_token), Err(Code::Unauthenticated));
    }

    #[test]
    fn local_members_act_under_their_login_name_unless_they_are_viewers() {
        let open = AccessControl::without_users(false);
        assert_eq!(acts(&open, local("ann", true)).as_deref(), Ok("ann (uid 1000), local"));
        assert_eq!(looks(&open, local("eve", false)), Err(Code::PermissionDenied));
        let viewer = users("closed", "viewer");
        assert_eq!(looks(&viewer, local("ann", true)), Ok(()));
        assert_eq!(acts(&viewer, local("ann", true)), Err(Code::PermissionDenied));
        assert_eq!(acts(&viewer, local("bob", true)).as_deref(), Ok("bob (uid 1000), local"));
    }

    #[test]
    fn only_another_aggregator_acts_on_behalf_of_somebody() {
        let forwarded = |mut call: Request<()>| {
            let by = Requester { user: "bob".to_owned(), address: "10.0.0.7".to_owned() };
            write_requester(call.headers_mut(), &by);
            call
        };
        let closed = users("closed", "operator");
        let aggregator = || tcp(true, Some((IdentityKind::Host, "aggregator")));
        assert_eq!(acts(&closed, forwarded(aggregator())).as_deref(), Ok("bob from 10.0.0.7"));
        assert_eq!(acts(&closed, aggregator()), Err(Code::PermissionDenied), "it has no name of its own");
        let own_uid = rustix::process::geteuid().as_raw();
        let same_user =
            |uid| request(ConnectedPeer::Local(LocalUser { uid, name: "rta".to_owned(), is_member: true }));
        assert_eq!(acts(&closed, forwarded(same_user(own_uid))).as_deref(), Ok("bob from 10.0.0.7"));
        for other in [
            tcp(true, Some((IdentityKind::Host, "h"))),
            tcp(true, Some((IdentityKind::User, "aggregator"))),
            tcp(true, None),
            tcp(false, None),
            same_user(own_uid + 1),
        ] {
            assert_eq!(acts(&closed, forwarded(other)), Err(Code::PermissionDenied));
        }
        let open = AccessControl::without_users(false);
        assert_eq!(acts(&open, forwarded(tcp(false, None))).as_deref(), Ok("bob from 10.0.0.7"));
        let mut invalid = aggregator();
        invalid.headers_mut().insert("rta-on-behalf-of-bin", "%".parse().unwrap());
        assert_eq!(acts(&closed, invalid), Err(Code::InvalidArgument));
    }
}
