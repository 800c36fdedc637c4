//! Mail by SMTP.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use lettre::address::{Address, Envelope};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use rta_shared::config::notify::{MailChannel, MailTls};
use rta_shared::error_source::error_sources;
use rta_shared::sanitize::printable;

use super::DeliveryError;
use super::files::{read_off_runtime, read_secret};
use crate::notify::message::Message;
use crate::notify::text;

/// Length of the lines of a body.
const MAX_LINE: usize = 76;
/// Number of bytes in an encoded word, which has at most 75 letters.
const MAX_WORD: usize = 45;

/// Sends a message to all recipients.
pub(super) async fn deliver(channel: &MailChannel, message: &Message) -> Result<(), DeliveryError> {
    let (envelope, mail) = compose(channel, message, Timestamp::now())?;
    let transport = transport(channel).await?;
    let sending = tokio::time::timeout(channel.timeout, transport.send_raw(&envelope, &mail));
    match sending.await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => {
            let reason =
                error_sources(&error).fold(error.to_string(), |reason, inner| format!("{reason}: {inner}"));
            let reason = printable(&reason).into_owned();
            // 55x: the server knows the message and will not take it.
            let is_final =
                error.is_permanent() && error.status().is_some_and(|code| code.to_string().starts_with("55"));
            Err(if is_final { DeliveryError::Refused(reason) } else { DeliveryError::Failed(reason) })
        }
        Err(_) => Err(DeliveryError::Failed(format!("no answer within {} s", channel.timeout.as_secs()))),
    }
}

/// Returns the mail of a message with its envelope.
fn compose(
    channel: &MailChannel,
    message: &Message,
    now: Timestamp,
) -> Result<(Envelope, Vec<u8>), DeliveryError> {
    let address = |text: &str| {
        let inner = text.rsplit_once('<').map_or(text, |(_, rest)| rest.trim_end_matches('>')).trim();
        let parsed = inner.parse::<Address>();
        parsed.map_err(|error| DeliveryError::Refused(format!("{}: {error}", printable(text))))
    };
    let from = address(&channel.from)?;
    let to = channel.to.iter().map(|text| address(text)).collect::<Result<Vec<_>, _>>()?;
    let recipients: Vec<String> = to.iter().map(Address::to_string).collect();
    let date = rfc2822::DateTimePrinter::new()
        .timestamp_to_string(&now)
        .map_err(|error| DeliveryError::Failed(format!("the date of the mail: {error}")))?;
    let domain = from.domain();
    let mut mail = String::new();
    for (name, value) in [
        ("From", format!("rta <{from}>")),
        ("To", recipients.join(",\r\n ")),
        ("Subject", encoded_subject(&text::subject(message))),
        ("Date", date),
        // Mail programs and servers drop a second mail with the same ID.
        ("Message-ID", format!("<{}@{domain}>", message.key)),
        // All mails of an incident are one thread.
        ("References", format!("<{}@{domain}>", thread_id(message))),
        ("MIME-Version", "1.0".to_owned()),
        ("Content-Type", "text/plain; charset=utf-8".to_owned()),
        ("Content-Transfer-Encoding", "base64".to_owned()),
    ] {
        mail.push_str(&format!("{name}: {value}\r\n"));
    }
    mail.push_str("\r\n");
    let body = STANDARD.encode(text::body(message).replace('\n', "\r\n"));
    for line in body.as_bytes().chunks(MAX_LINE) {
        mail.push_str(&String::from_utf8_lossy(line));
        mail.push_str("\r\n");
    }
    let envelope = Envelope::new(Some(from), to)
        .map_err(|error| DeliveryError::Refused(format!("the envelope of the mail: {error}")))?;
    Ok((envelope, mail.into_bytes()))
}

/// Returns a subject for the head of a mail: as encoded words (RFC 2047), which are short enough for a line.
fn encoded_subject(subject: &str) -> String {
    let mut words = Vec::new();
    let mut rest = subject;
    while !rest.is_empty() {
        let (word, behind) = rest.split_at(rest.floor_char_boundary(MAX_WORD));
        words.push(format!("=?utf-8?B?{}?=", STANDARD.encode(word)));
        rest = behind;
    }
    words.join("\r\n ")
}

/// Returns an ID that is the same for all messages of an incident.
fn thread_id(message: &Message) -> String {
    let safe = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '.' };
    format!("incident.{}", message.incident.chars().map(safe).collect::<String>())
}

async fn transport(channel: &MailChannel) -> Result<AsyncSmtpTransport<Tokio1Executor>, DeliveryError> {
    let failed = |error: lettre::transport::smtp::Error| {
        DeliveryError::Failed(printable(&error.to_string()).into_owned())
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&channel.server);
    let pem = match &channel.ca {
        Some(ca) if channel.tls != MailTls::Off => {
            let (name, ca) = (format!("the CA {}", ca.display()), ca.clone());
            let read =
                move || std::fs::read(&ca).map_err(|error| format!("the CA {}: {error}", ca.display()));
            Some(read_off_runtime(name, read).await?)
        }
        _ => None,
    };
    let parameters = || -> Result<TlsParameters, DeliveryError> {
        let mut parameters = TlsParameters::builder(channel.server.clone());
        if let Some(pem) = &pem {
            parameters = parameters.certificate_store(CertificateStore::None);
            parameters = parameters.add_root_certificate(Certificate::from_pem(pem).map_err(failed)?);
        }
        parameters.build_rustls().map_err(failed)
    };
    let (tls, port) = match channel.tls {
        MailTls::StartTls => (Tls::Required(parameters()?), 587),
        MailTls::Tls => (Tls::Wrapper(parameters()?), 465),
        MailTls::Off => (Tls::None, 25),
    };
    builder = builder.tls(tls).port(channel.port.unwrap_or(port)).timeout(Some(channel.timeout));
    if let Some((user, password)) = &channel.login {
        let password = read_secret(password).await?;
        builder = builder.credentials(Credentials::new(user.clone(), password));
    }
    Ok(builder.build())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::notify::compose::compose_test;

    #[test]
    fn mail_has_short_lines_and_says_what_the_message_says() {
        let channel = MailChannel {
            server: "h".to_owned(),
            port: None,
            tls: MailTls::StartTls,
            login: None,
            from: "rta <rta@example.com>".to_owned(),
            to: vec!["a@example.com".to_owned(), "Bo <b@example.com>".to_owned()],
            ca: None,
            timeout: Duration::from_secs(1),
        };
        let mut message = compose_test(Timestamp::UNIX_EPOCH, &Default::default());
        message.summary = format!("k\u{e4}fka {}", "x".repeat(200));
        let (envelope, mail) = compose(&channel, &message, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(
            (envelope.from().unwrap().to_string().as_str(), envelope.to().len()),
            ("rta@example.com", 2)
        );
        let mail = String::from_utf8(mail).unwrap();
        assert!(mail.is_ascii() && mail.lines().all(|line| line.len() <= 90), "{mail}");
        let (head, body) = mail.split_once("\r\n\r\n").unwrap();
        let decode = |text: &str| String::from_utf8(STANDARD.decode(text).unwrap()).unwrap();
        assert_eq!(decode(&body.replace("\r\n", "")), text::body(&message));
        let words = head.split("=?utf-8?B?").skip(1).map(|word| decode(word.split("?=").next().unwrap()));
        assert_eq!(words.collect::<String>(), text::subject(&message));
        assert!(head.contains("Date: Thu, 1 Jan 1970 00:00:00") && head.contains("b@example.com"), "{head}");
    }
}
