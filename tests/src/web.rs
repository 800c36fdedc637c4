//! HTTP client for the page: HTTP/1.1, one connection per request.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use crate::PASSWORD;
use crate::server_process::TEST_TIMEOUT;

/// Page served without TLS at this address.
#[derive(Clone, Copy, Debug)]
pub struct WebClient(pub SocketAddr);

impl WebClient {
    /// Requests `path`.
    pub fn get(self, path: &str) -> WebResponse {
        self.request("GET", path, &[], "")
    }

    /// Posts a form.
    pub fn post(self, path: &str, form: &str) -> WebResponse {
        self.request("POST", path, &[], form)
    }

    /// Sends a request with `headers`, and adds the headers that a browser would send.
    pub fn request(self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> WebResponse {
        let host = self.0.to_string();
        let usual = [
            ("Host", host.as_str()),
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Connection", "close"),
        ];
        let is_given = |name: &str| headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
        let usual = usual.iter().filter(|(name, _)| !is_given(name));
        let lines = usual.chain(headers).map(|(name, value)| format!("{name}: {value}\r\n"));
        let lines: String = lines.collect();
        let length = body.len();
        self.send_raw(format!("{method} {path} HTTP/1.1\r\n{lines}Content-Length: {length}\r\n\r\n{body}"))
    }

    /// Sends arbitrary bytes, and reads until the server closes the connection.
    ///
    /// # Panics
    /// Panics if there is no server, or if it does not close the connection.
    pub fn send_raw(self, request: impl AsRef<[u8]>) -> WebResponse {
        let mut stream = TcpStream::connect(self.0).expect("the page can be asked for");
        stream.set_write_timeout(Some(TEST_TIMEOUT)).expect("a connection can have a timeout");
        // A server that refuses need not read to the end.
        let _ = stream.write_all(request.as_ref());
        WebResponse::read(stream)
    }

    /// Signs in, with a redirect to `/events`.
    pub fn sign_in(self, name: &str, password: &str) -> WebResponse {
        let password = password.replace(' ', "+");
        self.post("/sign-in", &format!("name={name}&password={password}&next=/events"))
    }

    /// Signs in one of the [`TestUsers`](crate::TestUsers) and returns the session.
    ///
    /// # Panics
    /// Panics if the sign-in is refused.
    pub fn session(self, name: &str) -> WebSession {
        let cookie = self.sign_in(name, PASSWORD).cookie();
        let csrf = self.request("GET", "/", &[("Cookie", &cookie)], "").csrf();
        WebSession { cookie, csrf }
    }
}

/// Session of a signed-in user, as a browser has it.
#[derive(Clone, Debug)]
pub struct WebSession {
    /// Cookie, with its name.
    pub cookie: String,
    /// CSRF token of each form.
    pub csrf: String,
}

/// HTTP response.
#[derive(Debug)]
pub struct WebResponse {
    /// Status code; 0 if there was no response.
    pub code: u16,
    /// Status line and headers, in lower case.
    pub head: String,
    /// Body.
    pub body: String,
}

impl WebResponse {
    /// Reads a response until the server closes the connection.
    ///
    /// # Panics
    /// Panics if the server does not close it in time.
    pub fn read(mut stream: TcpStream) -> Self {
        let deadline = Instant::now() + TEST_TIMEOUT;
        let (mut bytes, mut piece) = (Vec::new(), [0; 65_536]);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let all = || String::from_utf8_lossy(&bytes);
            assert!(!left.is_zero(), "the server does not end the connection: {}", all());
            stream.set_read_timeout(Some(left)).expect("a connection can have a timeout");
            match stream.read(&mut piece) {
                Ok(0) => break,
                Ok(length) => bytes.extend_from_slice(&piece[..length]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                // A refused request may be cut off.
                Err(_) => break,
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default();
        Self { code, head: head.to_lowercase(), body: body.to_owned() }
    }

    /// Returns the value of a header, whose name is in lower case; `None` if it is absent.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// Returns the cookie that the response sets.
    ///
    /// # Panics
    /// Panics if it sets none.
    pub fn cookie(&self) -> String {
        let cookie = self.header("set-cookie").and_then(|cookie| cookie.split(';').next());
        cookie.expect("it sets a cookie").to_owned()
    }

    /// Returns the CSRF token of its forms.
    ///
    /// # Panics
    /// Panics if it has none.
    pub fn csrf(&self) -> String {
        let token =
            self.body.split_once("name=\"csrf\" content=\"").and_then(|(_, rest)| rest.split('"').next());
        token.expect("its forms have a token").to_owned()
    }
}
