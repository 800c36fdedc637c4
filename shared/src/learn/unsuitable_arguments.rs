//! Detects arguments that make bad criteria: secrets, which do not belong in a file, and values that change
//! at the next start.

use crate::redact::redact_arguments;

/// Folders of temporary files.
const PASSING_FOLDERS: [&str; 4] = ["/tmp/", "/var/tmp/", "/dev/shm/", "/run/user/"];
/// Ports that Linux assigns automatically (`ip_local_port_range` in ip(7)).
const EPHEMERAL_PORTS: std::ops::RangeInclusive<u32> = 32_768..=60_999;
/// Length of a run of digits that is taken for a time, a number of bytes or an identifier.
const LONG_NUMBER: usize = 6;
/// Length of a run of hexadecimal digits that is taken for a hash, or the end of a UUID.
const LONG_HEX: usize = 12;

/// Returns for each argument whether it may contain a secret, that is, whether displayed command lines hide a
/// part of it.
pub(super) fn secrets(arguments: &[&[u8]]) -> Vec<bool> {
    let texts: Vec<_> = arguments.iter().map(|argument| String::from_utf8_lossy(argument)).collect();
    let shown = redact_arguments(texts.iter().map(AsRef::as_ref));
    texts.iter().zip(shown).map(|(text, shown)| *text != shown).collect()
}

/// Returns true if `text` looks like something that another start of the same program would not have: an
/// identifier, a time, a temporary file, a port that the kernel assigned.
pub(super) fn is_volatile(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text).to_lowercase();
    let words = || text.split(|character: char| !character.is_ascii_alphanumeric());
    let digits = |word: &str| word.chars().filter(char::is_ascii_digit).count();
    let has_long_number =
        text.split(|character: char| !character.is_ascii_digit()).any(|run| run.len() >= LONG_NUMBER);
    let has_hash = words().any(|word| {
        word.len() >= LONG_HEX && digits(word) > 0 && word.bytes().all(|byte| byte.is_ascii_hexdigit())
    });
    let has_date =
        text.split(|character: char| !(character.is_ascii_digit() || "-_".contains(character))).any(|run| {
            let mut parts = run.trim_matches(['-', '_']).split(['-', '_']).map(str::len);
            (parts.next(), parts.next(), parts.next()) == (Some(4), Some(2), Some(2))
        });
    let has_passing_folder = PASSING_FOLDERS.iter().any(|folder| text.contains(folder));
    let has_pid = words().any(|word| word == "pid") && digits(&text) > 0;
    let has_port =
        words().any(|word| word.len() == 5 && word.parse().is_ok_and(|port| EPHEMERAL_PORTS.contains(&port)));
    has_long_number || has_hash || has_date || has_passing_folder || has_pid || has_port
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_their_key() {
        for argument in [
            "--token=abc",
            "-Djavax.net.ssl.keyStorePassword=x",
            "API_KEY=1",
            "--api-key=1",
            "--apiKey=1",
            "key=1",
            "--pass=x",
            "--secret:x",
            "postgres://app:hunter2@db/metrics",
            "export DB_PASSWORD=x; exec app",
        ] {
            assert_eq!(secrets(&[b"app", argument.as_bytes()]), [false, true], "{argument}");
        }
        assert_eq!(secrets(&[b"--password", b"hunter2"]), [false, true]);
        for argument in
            ["token-service", "com.example.TokenService", "--class-path=x", "--bypass=1", "--monkey=1"]
        {
            assert_eq!(secrets(&[b"--config", argument.as_bytes()]), [false, false], "{argument}");
        }
        assert_eq!(secrets(&[b"http://app@db/metrics", b"\xff\xfe=\xff"]), [false, false]);
    }

    #[test]
    fn what_the_next_start_changes_is_volatile() {
        for text in [
            "app-20261010101010-0001",
            "app-2026-10-10",
            "550e8400-e29b-41d4-a716-446655440000",
            "/tmp/spark-x/y",
            "--parent-pid=42",
            "--port=45123",
            "localhost:40000",
            "-XX:MaxMetaspaceSize=268435456",
        ] {
            assert!(is_volatile(text.as_bytes()), "{text}");
        }
        for text in
            ["config/server-1.properties", "kafka_2.10-0.9.0.0", "--port=9092", "10.0.0.11", "accelerometer"]
        {
            assert!(!is_volatile(text.as_bytes()), "{text}");
        }
    }
}
