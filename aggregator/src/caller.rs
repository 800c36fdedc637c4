//! Who makes a gRPC call, and what they may ask.

use rta_shared::control::Requester;
use rta_shared::text::printable;
use rta_shared::tls::{IdentityKind, Peer};
use tonic::{Extensions, Request, Status};

use crate::access::{Access, Person, Role, bearer};
use crate::operations::requester;

const NO_TOKEN: &str = "the aggregator has users and asks who you are: give --token-file with a token, which rta user token makes";

/// Somebody who did not say who they are, where there are users.
#[derive(Clone, Copy, Debug)]
struct Stranger;

/// Lets calls pass of whom the CA knows, or who have a token. In clear, which only loopback or an explicit flag allows,
/// everybody's too, unless there are users: then others look where viewing is open, and act nowhere.
///
/// # Errors
/// `UNAUTHENTICATED`: a token that is not known; no token where there are users and viewing is not open; by TLS,
/// neither a certificate nor a token.
pub(crate) fn known(access: &Access, mut request: Request<()>) -> Result<Request<()>, Status> {
    if let Some(header) = request.metadata().get("authorization") {
        let person = header.to_str().ok().and_then(bearer).and_then(|token| access.of_token(token));
        let person =
            person.ok_or_else(|| Status::unauthenticated("the token is not known to the aggregator"))?;
        request.extensions_mut().insert(person);
        return Ok(request);
    }
    match request.extensions().get::<Peer>() {
        Some(Peer { secured: true, identity: None, .. }) => Err(Status::unauthenticated(
            "the aggregator asks who you are: give --cert and --key, which rta pki user NAME makes, or --token-file",
        )),
        Some(Peer { identity: Some(_), .. }) => Ok(request),
        _ if access.has_users() && !access.is_viewing_open() => Err(Status::unauthenticated(NO_TOKEN)),
        _ => {
            if access.has_users() {
                request.extensions_mut().insert(Stranger);
            }
            Ok(request)
        }
    }
}

/// Somebody who may act.
#[derive(Debug)]
pub(crate) struct Caller {
    /// As proved by a token or a certificate.
    name: Option<String>,
    /// Empty: not known.
    address: String,
}

impl Caller {
    /// Whoever makes a call with these extensions.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`: there are users, and they did not say who they are. `PERMISSION_DENIED`: the token is a
    /// viewer's; the certificate is a host's: hosts may look, and act for nobody.
    pub(crate) fn of(extensions: &Extensions) -> Result<Self, Status> {
        let peer = extensions.get::<Peer>();
        let address = peer.map(|peer| peer.address.ip().to_canonical().to_string()).unwrap_or_default();
        if let Some(Person { name, role }) = extensions.get::<Person>() {
            return match role {
                Role::Operator => Ok(Self { name: Some(name.clone()), address }),
                Role::Viewer => Err(Status::permission_denied(format!(
                    "the token \"{}\" may look, and not act; ask with an operator's",
                    printable(name)
                ))),
            };
        }
        if extensions.get::<Stranger>().is_some() {
            return Err(Status::unauthenticated(NO_TOKEN));
        }
        match peer.and_then(|peer| peer.identity.as_ref()) {
            Some(identity) if identity.kind == IdentityKind::Host => Err(Status::permission_denied(format!(
                "the certificate of host {} may look, and not act; ask with a person's, which rta pki user NAME makes",
                printable(&identity.name)
            ))),
            identity => Ok(Self { name: identity.map(|identity| identity.name.clone()), address }),
        }
    }

    /// Who is recorded: the certificate's name, or in clear the name that they `told`.
    pub(crate) fn requester(self, told: &str) -> Requester {
        requester(self.name.as_deref().unwrap_or(told), self.address)
    }
}

#[cfg(test)]
mod tests {
    use rta_shared::tls::Identity;
    use tonic::Code;

    use super::*;

    fn request(secured: bool, identity: Option<(IdentityKind, &str)>) -> Request<()> {
        let identity = identity.map(|(kind, name)| Identity { kind, name: name.to_owned() });
        let mut request = Request::new(());
        let address = "10.0.0.9:1".parse().unwrap();
        request.extensions_mut().insert(Peer { address, secured, identity });
        request
    }

    #[test]
    fn where_there_are_users_nobody_acts_without_a_name() {
        let folder = tempfile::tempdir().unwrap();
        let users = |viewing: &str| {
            let path = folder.path().join("users.toml");
            let hash = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
            let text = format!(
                "viewing = \"{viewing}\"\n[[user]]\nname = \"ann\"\nrole = \"operator\"\npassword = \"{hash}\"\n"
            );
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
            Access::users(&path, false).unwrap()
        };
        let stranger = known(&users("closed"), request(false, None)).unwrap_err();
        assert_eq!(stranger.code(), Code::Unauthenticated);
        let looks = known(&users("open"), request(false, None)).unwrap();
        assert_eq!(Caller::of(looks.extensions()).unwrap_err().code(), Code::Unauthenticated);
        let ann = known(&users("closed"), request(true, Some((IdentityKind::User, "ann")))).unwrap();
        assert!(Caller::of(ann.extensions()).is_ok(), "a certificate is as good");
    }

    #[test]
    fn by_tls_only_known_ones_ask_and_only_people_act_under_their_own_name() {
        let by =
            |request: Request<()>| Caller::of(request.extensions()).map(|caller| caller.requester("told"));
        let open = Access::open(false);
        let stranger = request(true, None);
        assert_eq!(known(&open, stranger).unwrap_err().code(), Code::Unauthenticated);
        let host = request(true, Some((IdentityKind::Host, "h")));
        assert_eq!(by(known(&open, host).unwrap()).unwrap_err().code(), Code::PermissionDenied);
        let ann = by(known(&open, request(true, Some((IdentityKind::User, "ann")))).unwrap()).unwrap();
        assert_eq!((ann.user.as_str(), ann.address.as_str()), ("ann", "10.0.0.9"));
        let clear = by(known(&open, request(false, None)).unwrap()).unwrap();
        assert_eq!(clear.user, "told");
        let mut with_token = request(false, None);
        with_token.metadata_mut().insert("authorization", "Bearer rta_x".parse().unwrap());
        assert_eq!(known(&open, with_token).unwrap_err().code(), Code::Unauthenticated);
        for (role, expected) in [(Role::Viewer, Err(Code::PermissionDenied)), (Role::Operator, Ok("job"))] {
            let mut request = request(true, None);
            request.extensions_mut().insert(Person { name: "job".to_owned(), role });
            let by = by(request);
            assert_eq!(by.as_ref().map(|by| by.user.as_str()).map_err(Status::code), expected);
        }
    }
}
