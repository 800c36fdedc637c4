//! List of certificates.

use std::fmt::Write as _;

use jiff::Timestamp;
use rta_shared::format::counted;
use rta_shared::sanitize::printable;
use rta_shared::tls::Certificate;
use rta_shared::tls::certificate::WARN_DAYS;

use super::folder::Listed;

/// Formats a line for each certificate: name, use, remaining time, path.
pub(super) fn table(listed: &[Listed], now: Timestamp) -> String {
    let mut text = String::new();
    for (path, certificate) in listed {
        // Writing into a String cannot fail.
        let _ = match certificate {
            Err(reason) => writeln!(text, "{}", printable(reason)),
            Ok(certificate) => writeln!(
                text,
                "{:<20} {:<5} {:<34} {}",
                certificate.name,
                used_for(certificate),
                left(certificate.days_left(now)),
                path.display()
            ),
        };
    }
    text
}

fn used_for(certificate: &Certificate) -> &'static str {
    match certificate {
        Certificate { is_ca: true, .. } => "CA",
        Certificate { for_servers: true, .. } => "host",
        _ => "user",
    }
}

fn left(days: i64) -> String {
    let number = counted(usize::try_from(days.unsigned_abs()).unwrap_or(usize::MAX), "day");
    match days {
        ..0 => format!("expired {number} ago"),
        0..=WARN_DAYS => format!("{number} left: renew it soon"),
        _ => format!("{number} left"),
    }
}
