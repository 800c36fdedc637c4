//! Origin of a request: from the connection, or from a trusted proxy's headers.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::header::RETRY_AFTER;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http_body_util::BodyExt as _;
use rta_shared::keyed_semaphore::KeyedSemaphore;

/// Maximum numbers of concurrent requests through trusted proxies: in total, and for one client, whose
/// connections cannot be counted. A live page is one request.
const MAX_PROXIED_REQUESTS: usize = 3584;
const MAX_REQUESTS_PER_CLIENT: usize = 896;

/// IP network, such as `10.0.0.0/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpNetwork {
    address: IpAddr,
    prefix: u32,
}

impl IpNetwork {
    fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let mask = u32::MAX.checked_shl(32 - self.prefix).unwrap_or(0);
                u32::from(own) & mask == u32::from(other) & mask
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let mask = u128::MAX.checked_shl(128 - self.prefix).unwrap_or(0);
                u128::from(own) & mask == u128::from(other) & mask
            }
            _ => false,
        }
    }
}

impl FromStr for IpNetwork {
    type Err = String;

    /// Parses `127.0.0.1`, `10.0.0.0/8`, `fd00::/8`.
    fn from_str(text: &str) -> Result<Self, String> {
        const HINT: &str = "write for example 127.0.0.1 or 10.0.0.0/8";
        let (address, prefix) =
            text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| format!("it is no IP address; {HINT}"))?;
        let address = address.to_canonical();
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(longest), str::parse).ok().filter(|prefix| *prefix <= longest);
        let prefix = prefix.ok_or_else(|| format!("its prefix is no number from 0 to {longest}; {HINT}"))?;
        Ok(Self { address, prefix })
    }
}

/// Proxies whose headers are trusted, and the limits for requests of their clients.
#[derive(Clone, Debug)]
pub(crate) struct TrustedProxies {
    trusted: Arc<[IpNetwork]>,
    places: KeyedSemaphore<IpAddr>,
}

impl TrustedProxies {
    pub(crate) fn new(trusted: &[IpNetwork]) -> Self {
        Self {
            trusted: trusted.into(),
            places: KeyedSemaphore::new(MAX_PROXIED_REQUESTS, MAX_REQUESTS_PER_CLIENT),
        }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(address))
    }

    /// Returns the client of a request that arrived on a connection from `peer`.
    fn client(&self, peer: IpAddr, is_https: bool, headers: &HeaderMap) -> ClientOrigin {
        let mut client = ClientOrigin { address: peer, is_https, is_proxied: self.trusts(peer) };
        if !client.is_proxied {
            return client;
        }
        // Each proxy appends the address of its client: entries before the last untrusted one were made by
        // that client.
        for hop in header_values(headers, "x-forwarded-for").rev() {
            let Some(address) = hop_address(hop) else { break };
            client.address = address;
            if !self.trusts(address) {
                break;
            }
        }
        if let Some(scheme) = header_values(headers, "x-forwarded-proto").next_back() {
            client.is_https = scheme.eq_ignore_ascii_case("https");
        }
        client
    }
}

/// Returns the values of a list header, over all its lines, in their order.
fn header_values<'h>(headers: &'h HeaderMap, name: &'static str) -> impl DoubleEndedIterator<Item = &'h str> {
    let lines: Vec<&HeaderValue> = headers.get_all(name).iter().collect();
    // A line that is no text is an empty value, which is no address.
    let values: Vec<&str> =
        lines.iter().flat_map(|line| line.to_str().unwrap_or_default().split(',')).collect();
    values.into_iter().map(str::trim)
}

/// Parses `10.0.0.7`, `10.0.0.7:4711`, `fd00::7`, `[fd00::7]:4711`.
fn hop_address(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']')).unwrap_or(hop);
    let address = bare.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|address| address.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

/// Origin of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientOrigin {
    pub(crate) address: IpAddr,
    /// True if the browser uses HTTPS, to the aggregator or to a trusted proxy; its cookies are limited to
    /// HTTPS then.
    pub(crate) is_https: bool,
    is_proxied: bool,
}

impl ClientOrigin {
    /// Client without any information.
    pub(crate) const UNKNOWN: Self =
        Self { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), is_https: false, is_proxied: false };
}

impl<S: Sync> FromRequestParts<S> for ClientOrigin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().copied().unwrap_or(Self::UNKNOWN))
    }
}

/// Extension of a request: true if its connection uses TLS.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SecureConnection(pub(crate) bool);

/// Adds the [`ClientOrigin`] to a request, and limits concurrent requests of a proxy's clients.
pub(crate) async fn locate_client(
    State(proxies): State<TrustedProxies>,
    mut request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.ip().to_canonical());
    let is_https = request.extensions().get::<SecureConnection>().is_some_and(|secured| secured.0);
    let client = match peer {
        Some(peer) => proxies.client(peer, is_https, request.headers()),
        None => ClientOrigin { is_https, ..ClientOrigin::UNKNOWN },
    };
    request.extensions_mut().insert(client);
    if !client.is_proxied {
        return next.run(request).await;
    }
    let Some(place) = proxies.places.acquire(client.address) else {
        let said = "Too many requests of yours are being answered at this moment; try again soon.\n";
        return (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, "5")], said).into_response();
    };
    next.run(request).await.map(|body| {
        // The permit is held until the body is sent completely or dropped.
        let held = move |frame| {
            let _ = &place;
            frame
        };
        Body::new(body.map_frame(held))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> IpNetwork {
        text.parse().unwrap()
    }

    #[test]
    fn networks_hold_their_addresses() {
        let rows = [
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.1.2.3/8", "11.0.0.1", false),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("0.0.0.0/0", "::1", false),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("fd00::/8", "fd12::1", true),
            ("::/0", "fe80::1", true),
            ("::1", "::2", false),
        ];
        for (own, address, expected) in rows {
            assert_eq!(network(own).contains(address.parse().unwrap()), expected, "{own} {address}");
        }
        for wrong in
            ["", "proxy", "10.0.0.0/33", "10.0.0.0/-1", "::1/129", "10.0.0.0/", "10.0.0/8", "1.2.3.4/+8/"]
        {
            assert!(wrong.parse::<IpNetwork>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_what_trusted_proxies_say_is_believed() {
        let proxies = TrustedProxies::new(&[network("10.0.0.1"), network("10.1.0.0/16")]);
        type Headers = &'static [(&'static str, &'static str)];
        let client = |peer: &str, headers: Headers| {
            let headers: HeaderMap = headers
                .iter()
                .map(|(name, value)| {
                    (name.parse::<axum::http::HeaderName>().unwrap(), HeaderValue::from_static(value))
                })
                .collect();
            let client = proxies.client(peer.parse().unwrap(), false, &headers);
            (client.address.to_string(), client.is_https)
        };
        const FOR: &str = "x-forwarded-for";
        const PROTO: &str = "x-forwarded-proto";
        let rows: [(&str, Headers, &str, bool); 13] = [
            ("192.0.2.1", &[(FOR, "203.0.113.9"), (PROTO, "https")], "192.0.2.1", false),
            ("10.0.0.1", &[(FOR, "203.0.113.9"), (PROTO, "https")], "203.0.113.9", true),
            // Entries that the client itself sent stand before the one that the proxy added.
            ("10.0.0.1", &[(FOR, "1.1.1.1, 203.0.113.9"), (PROTO, "https, http")], "203.0.113.9", false),
            ("10.0.0.1", &[(FOR, "1.1.1.1"), (FOR, "203.0.113.9")], "203.0.113.9", false),
            ("10.0.0.1", &[(FOR, "1.1.1.1,10.0.0.1,203.0.113.9 , 10.1.2.3")], "203.0.113.9", false),
            ("10.0.0.1", &[(FOR, "10.1.0.9, 10.1.2.3")], "10.1.0.9", false),
            ("10.0.0.1", &[(FOR, "203.0.113.9:4711")], "203.0.113.9", false),
            ("10.0.0.1", &[(FOR, "[2001:db8::7]:4711")], "2001:db8::7", false),
            ("10.0.0.1", &[(FOR, "[2001:db8::7]")], "2001:db8::7", false),
            ("::ffff:10.0.0.1", &[(FOR, "::ffff:203.0.113.9")], "203.0.113.9", false),
            // An invalid entry ends the search: the last address that a trusted proxy named is the client.
            ("10.0.0.1", &[(FOR, "1.1.1.1, unknown, 10.1.2.3")], "10.1.2.3", false),
            ("10.0.0.1", &[(FOR, "")], "10.0.0.1", false),
            ("10.0.0.1", &[], "10.0.0.1", false),
        ];
        for (peer, headers, expected, is_https) in rows {
            assert_eq!(client(peer, headers), (expected.to_owned(), is_https), "{peer} {headers:?}");
        }
    }
}
