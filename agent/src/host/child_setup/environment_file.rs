//! Reads files of environment variables, in the syntax of systemd's `EnvironmentFile=` (systemd.exec(5)).
//!
//! What systemd ignores with a warning (a line without `=`, an invalid name, an unclosed quote) is an error
//! here: a variable that is silently missing is found much later.

use std::io::{ErrorKind, Read as _};
use std::path::Path;

use rta_shared::config::EnvironmentFile;

use crate::host::safe_open::open_to_read;

/// Maximum size of a file in bytes; a larger one is assumed to be a mistake.
const MAX_FILE_SIZE: u64 = 1 << 20;

/// Reads the variables of `files` for a command that runs as `user` (`None`: the agent's own), in their
/// order. Reads no file to which `user` has redirected the path. Blocking.
///
/// # Errors
/// Returns an error, with a sentence that names the file and the line but quotes no content, which may be
/// secret.
pub(crate) fn read_environment(
    files: &[EnvironmentFile],
    user: Option<&str>,
) -> Result<Vec<(String, String)>, String> {
    let mut variables = Vec::new();
    for EnvironmentFile { path, is_optional } in files {
        let to_error =
            |error: &dyn std::fmt::Display| format!("environment_file {}: {error}", path.display());
        let text = match read_text(path, user) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound && *is_optional => continue,
            Err(error) => return Err(to_error(&error)),
        };
        let parsed = parse(&text).map_err(|(line, reason)| format!("{}:{line}: {reason}", path.display()));
        variables.extend(parsed.map_err(|reason| format!("environment_file {reason}"))?);
    }
    Ok(variables)
}

fn read_text(path: &Path, user: Option<&str>) -> std::io::Result<String> {
    let file = open_to_read(path, user)?;
    if file.metadata()?.len() > MAX_FILE_SIZE {
        return Err(std::io::Error::other(format!("it has more than {MAX_FILE_SIZE} bytes")));
    }
    let mut text = String::new();
    file.take(MAX_FILE_SIZE).read_to_string(&mut text)?;
    Ok(text)
}

/// Remaining characters, with the current line number.
struct EnvironmentReader<'t> {
    rest: std::iter::Peekable<std::str::Chars<'t>>,
    line: usize,
}

impl EnvironmentReader<'_> {
    fn next(&mut self) -> Option<char> {
        let next = self.rest.next();
        self.line += usize::from(next == Some('\n'));
        next
    }
}

/// Returns the variables of a file's `text`, or the line and description of the first error.
fn parse(text: &str) -> Result<Vec<(String, String)>, (usize, String)> {
    let mut reader = EnvironmentReader { rest: text.chars().peekable(), line: 1 };
    let mut variables = Vec::new();
    while let Some(first) = reader.rest.peek().copied() {
        match first {
            _ if first.is_whitespace() => drop(reader.next()),
            '#' | ';' => skip_comment(&mut reader),
            _ => variables.push(read_variable(&mut reader)?),
        }
    }
    Ok(variables)
}

/// Skips a comment up to the end of the line; a `\` before that continues the comment on the next line.
fn skip_comment(reader: &mut EnvironmentReader<'_>) {
    while let Some(next) = reader.next() {
        match next {
            '\\' => drop(reader.next()),
            '\n' => return,
            _ => {}
        }
    }
}

fn read_variable(reader: &mut EnvironmentReader<'_>) -> Result<(String, String), (usize, String)> {
    let line = reader.line;
    let mut name = String::new();
    loop {
        match reader.next() {
            Some('=') => break,
            None | Some('\n') => return Err((line, "the line has no \"=\"".to_owned())),
            Some(letter) => name.push(letter),
        }
    }
    let name = name.trim_end().to_owned();
    let is_name = name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        && !name.starts_with(|letter: char| letter.is_ascii_digit());
    if name.is_empty() || !is_name {
        let hint = if name.starts_with("export ") { "; leave \"export\" out" } else { "" };
        return Err((line, format!("what stands before \"=\" is no name of an environment variable{hint}")));
    }
    let value = read_value(reader, line, &name)?;
    match value.contains('\0') {
        true => Err((line, format!("the value of {name} holds a NUL character"))),
        false => Ok((name, value)),
    }
}

/// Reads a value up to the end of the line: quoted pieces, and possibly an unquoted one at the end.
fn read_value(
    reader: &mut EnvironmentReader<'_>,
    line: usize,
    name: &str,
) -> Result<String, (usize, String)> {
    let unclosed = || (line, format!("the quote in the value of {name} is not closed"));
    let mut value = String::new();
    loop {
        match reader.rest.peek().copied() {
            None => return Ok(value),
            Some('\n') => {
                reader.next();
                return Ok(value);
            }
            Some('\'') => {
                reader.next();
                loop {
                    match reader.next().ok_or_else(unclosed)? {
                        '\'' => break,
                        letter => value.push(letter),
                    }
                }
            }
            Some('"') => {
                reader.next();
                loop {
                    match reader.next().ok_or_else(unclosed)? {
                        '"' => break,
                        '\\' => match reader.next().ok_or_else(unclosed)? {
                            '\n' => {}
                            letter @ ('"' | '\\' | '`' | '$') => value.push(letter),
                            letter => value.extend(['\\', letter]),
                        },
                        letter => value.push(letter),
                    }
                }
            }
            Some(space) if space.is_whitespace() => drop(reader.next()),
            Some(_) => {
                value.push_str(&read_unquoted(reader));
                return Ok(value);
            }
        }
    }
}

/// Reads an unquoted piece up to the end of the line, without trailing spaces; quotes in it are literal.
fn read_unquoted(reader: &mut EnvironmentReader<'_>) -> String {
    let mut value = String::new();
    // Escaped spaces stay.
    let mut kept = 0;
    while let Some(next) = reader.next() {
        match next {
            '\n' => break,
            '\\' => match reader.next() {
                None | Some('\n') => {}
                Some(letter) => {
                    value.push(letter);
                    kept = value.len();
                }
            },
            letter => {
                value.push(letter);
                if !letter.is_whitespace() {
                    kept = value.len();
                }
            }
        }
    }
    value.truncate(kept);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_systemd_does() {
        let text = "# a comment \\\ngoes on\n; another\n\n  A=plain  \nB = spaced out \nC='single \"quoted\" \\ $x'\n\
                    D=\"double \\\"q\\\" \\$x \\n \\\ngoes on\"\nE='a' \"b\"c\nF=it's\nG=a\\ b\\ \nH=one\\\ntwo\nI=\nJ=#no=comment";
        let expected = [
            ("A", "plain"),
            ("B", "spaced out"),
            ("C", "single \"quoted\" \\ $x"),
            ("D", "double \"q\" $x \\n goes on"),
            ("E", "abc"),
            ("F", "it's"),
            ("G", "a b "),
            ("H", "onetwo"),
            ("I", ""),
            ("J", "#no=comment"),
        ];
        let expected: Vec<_> =
            expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(parse(text), Ok(expected));
        assert_eq!(parse(""), Ok(vec![]));
    }

    #[test]
    fn mistakes_name_their_line_and_no_value() {
        for (text, expected) in [
            ("A=1\n\nsecret words\n", (3, "the line has no \"=\"")),
            (
                "A=1\nexport B=2",
                (2, "what stands before \"=\" is no name of an environment variable; leave \"export\" out"),
            ),
            ("1A=2", (1, "what stands before \"=\" is no name of an environment variable")),
            ("=2", (1, "what stands before \"=\" is no name of an environment variable")),
            ("A='one\ntwo", (1, "the quote in the value of A is not closed")),
            ("A=1\nB=\"one\\", (2, "the quote in the value of B is not closed")),
            ("A=a\0b", (1, "the value of A holds a NUL character")),
        ] {
            assert_eq!(parse(text), Err((expected.0, expected.1.to_owned())), "{text}");
        }
    }

    #[test]
    fn files_are_read_in_order_and_errors_name_their_path() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: Option<&str>, is_optional| {
            let path = folder.path().join(name);
            if let Some(text) = text {
                std::fs::write(&path, text).unwrap();
            }
            EnvironmentFile { path, is_optional }
        };
        let (first, second) = (file("first", Some("A=1\nB=1"), false), file("second", Some("B=2"), true));
        let read_all = read_environment(&[first, file("none", None, true), second], None).unwrap();
        assert_eq!(
            read_all.iter().map(|(name, value)| format!("{name}{value}")).collect::<String>(),
            "A1B1B2"
        );
        for (file, expected) in [
            (file("missing", None, false), "missing: No such file"),
            (file("broken", Some("A=1\nB"), true), "broken:2: the line has no \"=\""),
            (
                EnvironmentFile { path: folder.path().to_owned(), is_optional: true },
                ": it is no regular file",
            ),
            (EnvironmentFile { path: "/dev/zero".into(), is_optional: true }, "it is no regular file"),
        ] {
            let to_error = read_environment(&[file], None).unwrap_err();
            assert!(to_error.starts_with("environment_file /") && to_error.contains(expected), "{to_error}");
        }
    }
}
