//! Bearer token of a script, sent with every call.

use std::net::IpAddr;
use std::path::Path;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// Interceptor that adds the token to every call; adds nothing without a token.
#[derive(Clone, Debug, Default)]
pub(crate) struct BearerToken(Option<MetadataValue<Ascii>>);

impl BearerToken {
    /// Reads the token from the file `path`, for the aggregator at `url`.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read or does not hold exactly one token, or if the token would
    /// cross a network unencrypted.
    pub(crate) fn read(path: &Path, url: &str) -> Result<Self, String> {
        if !is_encrypted_or_local(url) {
            return Err(format!(
                "the token would go to {url} in clear, for everybody to read; ask at https://"
            ));
        }
        let describe_error = |why: &dyn std::fmt::Display| format!("--token-file {}: {why}", path.display());
        let text = std::fs::read_to_string(path).map_err(|error| describe_error(&error))?;
        let token = text.trim();
        if token.is_empty() || token.contains(char::is_whitespace) {
            return Err(describe_error(&"it has to hold one token and nothing else"));
        }
        let value = format!("Bearer {token}").parse::<MetadataValue<Ascii>>();
        let mut value = value.map_err(|_| describe_error(&"that is no token"))?;
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }
}

impl Interceptor for BearerToken {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// Returns true if the connection to `url` is encrypted or local.
fn is_encrypted_or_local(url: &str) -> bool {
    let Some(place) = url.strip_prefix("http://") else { return true };
    let place = place.split('/').next().unwrap_or_default();
    let host = place.rsplit_once(':').map_or(place, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_by_tls_or_stays_on_this_machine() {
        for url in ["https://h:7600", "http://127.0.0.1:7600", "http://[::1]:7600", "http://localhost:7600"] {
            assert!(is_encrypted_or_local(url), "{url}");
        }
        for url in
            ["http://h:7600", "http://10.0.0.1:7600", "http://localhost.evil:1", "http://127.0.0.1.evil:1"]
        {
            assert!(!is_encrypted_or_local(url), "{url}");
        }
    }

    #[test]
    fn a_file_holds_one_token() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let read = |text: &str| {
            std::fs::write(file.path(), text).unwrap();
            BearerToken::read(file.path(), "https://h")
        };
        assert!(read("rta_x\n").is_ok());
        for wrong in ["", "\n", "a b", "a\nb", "\u{7f}"] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
        assert!(BearerToken::read(file.path(), "http://h").unwrap_err().contains("in clear"));
    }
}
