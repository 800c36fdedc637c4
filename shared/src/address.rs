//! Network addresses as people write them: of agents, of the aggregator, of probe targets.

use std::fmt;

use tonic::transport::Uri;

/// Reason why a text is not an address. Its `Display` continues a sentence that begins with the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressProblem {
    /// Not in the form of an address.
    Shape,
    /// Invalid port. A default port must not replace it, because that would lead to another server.
    Port,
    /// User or password in the address, which would be ignored, and displayed.
    User,
    /// Fragment in the address, which is never sent.
    Fragment,
}

impl fmt::Display for AddressProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shape => "is no address",
            Self::Port => "has a port that is no number from 1 to 65535",
            Self::User => "has a user name or a password, which is not used there; leave it out",
            Self::Fragment => "has a fragment (\"#...\"), which no server is asked for; leave it out",
        })
    }
}

/// Validates and completes the URL of a gRPC server: `http://host:port` or `https://host:port`, in lower
/// case.
///
/// # Errors
/// Returns an error if the URL is invalid, or has a path, a query or another scheme.
pub fn server_url(written: &str, default_port: u16) -> Result<String, AddressProblem> {
    let uri = url(written)?;
    let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"));
    let scheme = scheme.ok_or(AddressProblem::Shape)?;
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(AddressProblem::Shape);
    }
    let host = uri.host().ok_or(AddressProblem::Shape)?.to_lowercase();
    let port = port(&uri)?.unwrap_or(default_port);
    Ok(format!("{scheme}://{host}:{port}"))
}

/// Parses a URL with any scheme.
///
/// # Errors
/// Returns an error if the text is not a URL, if its port is invalid, or if it has a user, a password or a
/// fragment, which would be ignored silently.
pub fn url(written: &str) -> Result<Uri, AddressProblem> {
    if written.contains('#') {
        return Err(AddressProblem::Fragment);
    }
    let uri: Uri = written.parse().map_err(|_| AddressProblem::Shape)?;
    let authority = uri.authority().ok_or(AddressProblem::Shape)?;
    if authority.as_str().contains('@') {
        return Err(AddressProblem::User);
    }
    if authority.host().is_empty() || uri.scheme().is_none() {
        return Err(AddressProblem::Shape);
    }
    port(&uri)?;
    Ok(uri)
}

/// Returns the port of a URL; `None` if it has none.
///
/// `Uri::port_u16` cannot be used instead: it also returns `None` for `80800`.
///
/// # Errors
/// Returns an error if the port is invalid.
pub fn port(uri: &Uri) -> Result<Option<u16>, AddressProblem> {
    let Some(authority) = uri.authority() else { return Ok(None) };
    let place = authority.as_str().rsplit_once('@').map_or(authority.as_str(), |(_, place)| place);
    let Some(rest) = place.strip_prefix(authority.host()) else { return Err(AddressProblem::Port) };
    match rest.strip_prefix(':') {
        None if rest.is_empty() => Ok(None),
        None => Err(AddressProblem::Port),
        Some(port) => number(port).map(Some),
    }
}

/// Validates a `host:port`, such as `127.0.0.1:9092`, `[::1]:9092` or `kafka.example:9092`.
///
/// # Errors
/// Returns an error if the host or the port is invalid.
pub fn host_and_port(written: &str) -> Result<(), AddressProblem> {
    let (host, port) = written.rsplit_once(':').ok_or(AddressProblem::Shape)?;
    let is_host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(|host| host.parse::<std::net::Ipv6Addr>().is_ok()),
        None => !host.is_empty() && !host.contains([':', '/', '[', ']', '?', '#']),
    };
    if host.contains('@') {
        return Err(AddressProblem::User);
    }
    if !is_host || host.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
        return Err(AddressProblem::Shape);
    }
    number(port).map(drop)
}

fn number(port: &str) -> Result<u16, AddressProblem> {
    // Only digits, because Rust would also parse a leading plus.
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|port| is_number && *port != 0);
    port.ok_or(AddressProblem::Port)
}

#[cfg(test)]
mod tests {
    use super::AddressProblem::{Fragment, Port, Shape, User};
    use super::*;

    #[test]
    fn urls_of_servers_are_checked_and_completed() {
        let rows = [
            ("http://C9t21193:7601/", Ok("http://c9t21193:7601")),
            ("http://127.0.0.1", Ok("http://127.0.0.1:7601")),
            ("http://[::1]:1", Ok("http://[::1]:1")),
            ("http://[::1]", Ok("http://[::1]:7601")),
            ("HTTPS://H:65535", Ok("https://h:65535")),
            ("h:7601", Err(Shape)),
            ("h", Err(Shape)),
            ("", Err(Shape)),
            ("http://", Err(Shape)),
            ("http://:7601", Err(Shape)),
            ("http://h:1/x", Err(Shape)),
            ("http://h:1?x", Err(Shape)),
            ("ftp://h:1", Err(Shape)),
            ("http://h:80800", Err(Port)),
            ("http://h:0", Err(Port)),
            ("http://h:", Err(Port)),
            ("http://h:7601#x", Err(Fragment)),
            ("http://ann:s3cret@h:7601", Err(User)),
            ("http://ann@h", Err(User)),
        ];
        for (written, expected) in rows {
            assert_eq!(
                server_url(written, 7601).as_deref().map_err(|problem| *problem),
                expected,
                "{written}"
            );
        }
    }

    #[test]
    fn a_port_that_is_none_is_never_left_out() {
        for (written, expected) in [
            ("http://h:8080/x?y", Ok(Some(8080))),
            ("http://h/x", Ok(None)),
            ("http://h:80800/x", Err(Port)),
            ("http://h:65536", Err(Port)),
            ("http://[::1]:80800/", Err(Port)),
            ("http://[::1]/", Ok(None)),
        ] {
            assert_eq!(port(&written.parse().unwrap()), expected, "{written}");
            assert_eq!(url(written).map(drop), expected.map(drop), "{written}");
        }
        assert_eq!(url("/only/a/path").map(drop), Err(Shape));
    }

    #[test]
    fn what_is_connected_to_is_a_host_and_a_port() {
        for (written, expected) in [
            ("127.0.0.1:9092", Ok(())),
            ("kafka.example:1", Ok(())),
            ("[::1]:65535", Ok(())),
            ("9092", Err(Shape)),
            (":9092", Err(Shape)),
            ("::1:9092", Err(Shape)),
            ("[::1:9092", Err(Shape)),
            ("[kafka]:9092", Err(Shape)),
            ("http://h:9092", Err(Shape)),
            ("h h:9092", Err(Shape)),
            ("u@h:9092", Err(User)),
            ("h:99999", Err(Port)),
            ("h:0", Err(Port)),
            ("h:+80", Err(Port)),
            ("h:", Err(Port)),
        ] {
            assert_eq!(host_and_port(written), expected, "{written}");
        }
    }
}
