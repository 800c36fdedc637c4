//! List of certificates.

use std::fmt::Write as _;

use jiff::Timestamp;
use rta_shared::format::counted;
use rta_shared::sanitize::printable;
use rta_shared::tls::Certificate;
use rta_shared::tls::certificate::WARN_DAYS;

use super::folder::ListedCertificate;

/// Formats a line for each certificate: name, use, remaining time, path.
pub(crate) fn certificate_table(listed: &[ListedCertificate], now: Timestamp) -> String {
    let mut text = String::new();
    for (path, certificate) in listed {
        // Writing into a String cannot fail.
        let _ = match certificate {
            Err(reason) => writeln!(text, "{}", printable(reason)),
            Ok(certificate) => writeln!(
                text,
                "{:<20} {:<5} {:<34} {}",
                certificate.name,
                certificate_use(certificate),
                remaining_time(certificate.days_left(now)),
                path.display()
            ),
        };
    }
    text
}

fn certificate_use(certificate: &Certificate) -> &'static str {
    match certificate {
        Certificate { is_ca: true, .. } => "CA",
        Certificate { for_servers: true, .. } => "host",
        _ => "user",
    }
}

fn remaining_time(days: i64) -> String {
    let number = counted(usize::try_from(days.unsigned_abs()).unwrap_or(usize::MAX), "day");
    match days {
        ..0 => format!("expired {number} ago"),
        0..=WARN_DAYS => format!("{number} left: renew it soon"),
        _ => format!("{number} left"),
    }
}
