//! Names that indicate a secret.

use super::TextKind;

/// Words that indicate a secret, also within a longer word: `dbpassword`, `AuthToken`.
const WITHIN: [&str; 12] = [
    "password",
    "passwd",
    "passwort",
    "passphrase",
    "passcode",
    "secret",
    "token",
    "credential",
    "apikey",
    "accesskey",
    "privatekey",
    "authorization",
];
/// Words that indicate a secret only as a whole word.
const ALONE: [&str; 10] =
    ["pass", "pw", "pwd", "psw", "cred", "cookie", "passin", "passout", "signature", "sessionid"];
/// Words that indicate a secret at the end of a longer word, such as `storepass` and `dbpwd`; and ordinary
/// words with the same ending.
const ENDINGS: [&str; 3] = ["pass", "pwd", "pw"];
const NO_PASSWORDS: [&str; 7] =
    ["bypass", "compass", "trespass", "overpass", "underpass", "surpass", "encompass"];
/// Words before `key` with which the key is a secret.
const KEYS: [&str; 10] =
    ["api", "access", "private", "secret", "encryption", "signing", "account", "storage", "shared", "master"];
/// Last words of names that describe a secret without being it: `--password-file /etc/rta/password`,
/// `TokenService.java:7`.
const ABOUT: [&str; 25] = [
    "file",
    "files",
    "path",
    "dir",
    "directory",
    "folder",
    "location",
    "timeout",
    "ttl",
    "expiry",
    "length",
    "size",
    "type",
    "class",
    "algorithm",
    "iterations",
    "policy",
    "enabled",
    "stdin",
    "prompt",
    "manager",
    "interval",
    "java",
    "scala",
    "py",
];

/// Returns true if a value with this name is likely to be a secret: `-Djavax.net.ssl.keyStorePassword`,
/// `API_KEY`.
pub(super) fn names_a_secret(name: &str, kind: TextKind) -> bool {
    let trimmed = name.trim_start_matches('-');
    // Shell variable with the working directory.
    if matches!(trimmed, "PWD" | "OLDPWD") {
        return false;
    }
    [property(name), trimmed].iter().any(|name| are_of_a_secret(&words(name), kind))
}

fn are_of_a_secret(words: &[String], kind: TextKind) -> bool {
    let Some(last) = words.last() else { return false };
    if ABOUT.contains(&last.as_str()) {
        return false;
    }
    let is_one = |word: &String| {
        // Plurals such as `tokens` count; `pass` and `access` are not plurals.
        let word = word.strip_suffix('s').filter(|word| !word.ends_with('s')).unwrap_or(word);
        ALONE.contains(&word)
            || WITHIN.iter().any(|secret| word.contains(secret))
            || ENDINGS.iter().any(|ending| word.ends_with(ending)) && !NO_PASSWORDS.contains(&word)
    };
    let opens = |pair: &[String]| matches!(pair, [of, key] if key == "key" && KEYS.contains(&of.as_str()));
    // In the output of programs, a `key` alone may be that of any map.
    let is_key = words.len() == 1 && last == "key" && kind == TextKind::Command;
    words.iter().any(is_one) || words.windows(2).any(opens) || is_key || last == "auth"
}

/// Returns the name without its dashes and without the letter of an option that sets a property: `-Dpass`,
/// `-J-Dpass`.
fn property(name: &str) -> &str {
    let mut name = name;
    while let Some(rest) = name.strip_prefix('-') {
        let property = rest.strip_prefix(['D', 'P', 'J', 'E']);
        name = property
            .filter(|name| name.starts_with(|next: char| next.is_lowercase() || next == '-'))
            .unwrap_or(rest);
    }
    name
}

/// Returns the words of a name in lower case: `key`, `store` and `password` for `keyStore_Password`.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for letter in name.chars() {
        let begins = !letter.is_alphanumeric() || was_lower && letter.is_uppercase();
        was_lower = letter.is_lowercase() || letter.is_ascii_digit();
        if begins && words.last().is_some_and(|word| !word.is_empty()) {
            words.push(String::new());
        }
        if letter.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(letter.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart_into_words() {
        let rows: [(&str, &[&str]); 5] = [
            ("-Djavax.net.ssl.keyStorePassword", &["javax", "net", "ssl", "key", "store", "password"]),
            ("-J-Dpass", &["pass"]),
            ("--API_KEY", &["api", "key"]),
            ("-Debug", &["ebug"]),
            ("--", &[]),
        ];
        for (name, expected) in rows {
            assert_eq!(words(property(name)), expected, "{name}");
        }
    }

    #[test]
    fn secrets_are_told_from_what_only_looks_like_one() {
        for name in [
            "password",
            "-Dpass",
            "--pass",
            "-storepass",
            "dbpwd",
            "PGPASSWORD",
            "DB_PW",
            "apiKey",
            "--api-key",
            "tokens",
            "AuthToken",
            "aws_secret_access_key",
            "AWS_ACCESS_KEY_ID",
            "client-secret",
            "X-Api-Key",
            "http-auth",
            "Cookie",
            "spark.hadoop.fs.s3a.secret.key",
            "CREDENTIALS",
            "passphrase",
            "MYSQL_PWD",
        ] {
            assert!(names_a_secret(name, TextKind::Prose), "{name}");
        }
        for name in [
            "bypass",
            "--class-path",
            "monkey",
            "--password-file",
            "token.ttl",
            "PWD",
            "OLDPWD",
            "keystore",
            "author",
            "passenger",
            "--port",
            "compass",
            "key.serializer",
            "--password-stdin",
            "-D",
            "",
        ] {
            assert!(!names_a_secret(name, TextKind::Command), "{name}");
        }
        assert!(names_a_secret("key", TextKind::Command) && !names_a_secret("key", TextKind::Prose));
    }
}
