//! TLS errors as sentences.

use std::error::Error;
use std::io;

use rustls::{AlertDescription, Error as TlsError};

/// Returns the TLS error that caused `error`, as a part of a sentence; `None` if the cause is another one.
pub fn describe_tls_error(error: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<TlsError>() {
            return Some(describe_error(found));
        }
        // The source of an io::Error is that of the error within it.
        let within = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(found) = within.and_then(|within| within.downcast_ref::<TlsError>()) {
            return Some(describe_error(found));
        }
        next = match within {
            Some(within) => Some(within),
            None => error.source(),
        };
    }
    None
}

fn describe_error(error: &TlsError) -> String {
    match error {
        TlsError::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired => {
                "it asks for a certificate, and none was shown".to_owned()
            }
            AlertDescription::UnknownCA | AlertDescription::DecryptError => {
                "it does not believe the certificate that it was shown, which is of another CA".to_owned()
            }
            AlertDescription::CertificateExpired => {
                "the certificate that it was shown has expired".to_owned()
            }
            AlertDescription::CertificateUnknown | AlertDescription::AccessDenied => {
                "it does not obey the name in the certificate that it was shown".to_owned()
            }
            other => format!("it refused the connection ({other:?})"),
        },
        TlsError::InvalidCertificate(reason) => match reason {
            // A CA of the same name has another key.
            rustls::CertificateError::UnknownIssuer | rustls::CertificateError::BadSignature => {
                "its certificate is of another CA".to_owned()
            }
            rustls::CertificateError::Expired | rustls::CertificateError::ExpiredContext { .. } => {
                "its certificate has expired".to_owned()
            }
            reason => format!("its certificate is invalid: {reason}"),
        },
        TlsError::InvalidMessage(_) => "it does not speak TLS".to_owned(),
        other => other.to_string(),
    }
}
