//! Command lines without the secrets in them: people put passwords there, and a page is seen by many.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

/// What stands in place of a secret.
const MASK: &str = "***";
/// What names a secret, within a longer name too: `-Djavax.net.ssl.keyStorePassword`, `--api-key`.
const SECRET: &str = "passw(?:or)?d|storepass|keypass|passphrase|passwd|pwd|secret|token|credentials?|api[-_.]?key|access[-_.]?key|private[-_.]?key|authorization|cookie";

/// A name with its value: `password=x`, `"token": "x"`, `;pwd=x;`. A value ends where the next one begins.
static NAMED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(&format!(
        r#"(?i)(?P<name>[\w.-]*(?:{SECRET})[\w.-]*\\?["']?\s*[=:]\s*)(?P<value>\\?"[^"]*"?|\\?'[^']*'?|[^\s"'&;,}}]+)"#
    ))
    .ok()
});
/// An argument that is a secret with its name: all of the rest is it, whatever stands in it.
static WHOLE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(&format!(r"(?is)^(?P<name>-{{1,2}}[\w.-]*(?:{SECRET})[\w.-]*=).+$")).ok());
/// A flag and its value within one argument, as of a shell's command: `sh -c "x --password y"`.
static SPOKEN: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(&format!(r"(?i)(?P<name>(?:^|\s)-{{1,2}}[\w.-]*(?:{SECRET})[\w.-]*\s+)\S+")).ok()
});
/// A flag whose value is the next argument: `--password x`.
static FLAG: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(&format!(r"(?i)^-{{1,2}}[\w.-]*(?:{SECRET})[\w.-]*$")).ok());
/// `https://user:password@host`.
static ADDRESS: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?P<name>[A-Za-z][\w+.-]*://[^\s/:@]*:)(?P<value>\S+)@").ok());
/// `Bearer x`, `Basic x`.
static SCHEME: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?i)\b(?P<name>(?:bearer|basic)\s+)(?P<value>[\w+/=.~-]{6,})").ok());

/// The arguments with `***` in place of what looks like a secret. More may be hidden than is one.
pub fn masked<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut is_secret = false;
    let mask = |argument: &str| {
        if std::mem::replace(&mut is_secret, is_match(&FLAG, argument)) && !argument.starts_with("--") {
            return MASK.to_owned();
        }
        let argument = replaced(&WHOLE, argument, "${name}***");
        let argument = replaced(&SPOKEN, &argument, "${name}***");
        let argument = replaced(&SCHEME, &argument, "${name}***");
        let argument = replaced(&ADDRESS, &argument, "${name}***@");
        replaced(&NAMED, &argument, "${name}***").into_owned()
    };
    arguments.into_iter().map(mask).collect()
}

/// An expression that is broken would hide nothing, so it hides everything.
fn is_match(expression: &LazyLock<Option<Regex>>, text: &str) -> bool {
    expression.as_ref().is_none_or(|expression| expression.is_match(text))
}

fn replaced<'t>(expression: &LazyLock<Option<Regex>>, text: &'t str, by: &str) -> Cow<'t, str> {
    match expression.as_ref() {
        Some(expression) => expression.replace_all(text, by),
        None => Cow::Borrowed(MASK),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_wherever_they_stand() {
        let rows = [
            ("-Djavax.net.ssl.keyStorePassword=s3cret", "-Djavax.net.ssl.keyStorePassword=***"),
            ("--token=abc", "--token=***"),
            ("--API_KEY=abc", "--API_KEY=***"),
            ("jdbc:db://h/x?user=a&password=s3cret&ssl=1", "jdbc:db://h/x?user=a&password=***&ssl=1"),
            ("user=a;pwd=s3cret;host=b", "user=a;pwd=***;host=b"),
            ("{\"token\": \"s3cret\", \"a\": 1}", "{\"token\": ***, \"a\": 1}"),
            ("spark.hadoop.fs.s3a.secret.key=s3cret", "spark.hadoop.fs.s3a.secret.key=***"),
            ("https://ann:s3cret@h:8080/x", "https://ann:***@h:8080/x"),
            ("Authorization: Bearer abcdef123", "Authorization: *** ***"),
            ("-DkeyStorePassword=s3cret,and&more", "-DkeyStorePassword=***"),
            ("--password=pa\"s3cret", "--password=***"),
            ("java -jar x.jar --password s3cret --verbose", "java -jar x.jar --password *** --verbose"),
            (r#"{\"password\":\"s3cret\"}"#, r#"{\"password\":***}"#),
            ("https://ann:s3/cret@h", "https://ann:***@h"),
            ("https://ann:p@s3cret@h", "https://ann:***@h"),
            ("-H", "-H"),
            // What is none stays.
            ("/opt/java", "/opt/java"),
            ("kafka.Kafka", "kafka.Kafka"),
            ("-Xmx1G", "-Xmx1G"),
            ("http://h:8080/x", "http://h:8080/x"),
            ("--password-file=", "--password-file="),
        ];
        for (argument, expected) in rows {
            let masked = masked([argument]);
            assert!(!masked[0].contains("s3cret"), "{masked:?}");
            if !argument.starts_with("Auth") {
                assert_eq!(masked, [expected]);
            } else {
                assert!(!masked[0].contains("abcdef123"), "{masked:?}");
            }
        }
    }

    #[test]
    fn the_argument_after_a_flag_that_names_a_secret_is_one() {
        assert_eq!(
            masked(["x", "--password", "s3cret", "-storepass", "-s3cret", "--token", "--user", "ann"]),
            ["x", "--password", "***", "-storepass", "***", "--token", "--user", "ann"]
        );
    }
}
