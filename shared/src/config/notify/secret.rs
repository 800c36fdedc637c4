//! Secrets, which are references to files and environment variables.

use std::fmt;
use std::path::{Path, PathBuf};

use super::super::fields::{TableReader, reader_of_table};
use super::super::source::Problems;

/// Text that is or contains a secret. Its content is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(SecretSource);

#[derive(Clone, PartialEq, Eq)]
enum SecretSource {
    Plain(String),
    File(PathBuf),
    Variable(String),
}

impl SecretText {
    /// Creates a text that is known.
    pub fn plain(text: impl Into<String>) -> Self {
        Self(SecretSource::Plain(text.into()))
    }

    /// Reads the text, without surrounding white space. A file is read each time, so that a renewed secret
    /// needs no restart.
    ///
    /// # Errors
    /// Returns a sentence if the file or the variable cannot be read, or is empty.
    pub fn read(&self) -> Result<String, String> {
        let text = match &self.0 {
            SecretSource::Plain(text) => text.clone(),
            SecretSource::File(path) => read_regular(path)
                .map_err(|error| format!("the secret in {} cannot be read: {error}", path.display()))?,
            SecretSource::Variable(name) => std::env::var(name)
                .map_err(|_| format!("the environment variable {name} is not set, or is no text"))?,
        };
        match text.trim() {
            "" => Err(format!("{self} is empty")),
            text => Ok(text.to_owned()),
        }
    }
}

/// Reads a file. A pipe, for example, whose reader would wait for a writer, is refused.
fn read_regular(path: &Path) -> std::io::Result<String> {
    match std::fs::metadata(path)?.is_file() {
        true => std::fs::read_to_string(path),
        false => Err(std::io::Error::other("it is no regular file")),
    }
}

impl fmt::Display for SecretText {
    /// Writes where the secret is, never its content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            SecretSource::Plain(_) => f.write_str("the text"),
            SecretSource::File(path) => write!(f, "the file {}", path.display()),
            SecretSource::Variable(name) => write!(f, "the environment variable {name}"),
        }
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretText({self})")
    }
}

/// Reads a secret: `{ file = "PATH" }` or `{ env = "NAME" }`. A text in its place is refused.
pub(super) fn parse_secret(
    fields: &mut TableReader<'_, '_>,
    key: &'static str,
    problems: &mut Problems<'_>,
) -> Option<SecretText> {
    let value = fields.value(key)?;
    if value.value.as_str().is_some() {
        let owner = &fields.owner;
        let message = format!(
            "{owner}: key \"{key}\" is a secret, which does not belong into this file; write {{ file = \"/path\" }} or \
             {{ env = \"NAME\" }}"
        );
        problems.report(value.place, message);
        return None;
    }
    let mut table = reader_of_table(&value, format!("{}: {key}", fields.owner), key, problems)?;
    let file = table.text("file", problems);
    let variable = table.text("env", problems);
    let (place, owner) = (table.place, table.owner.clone());
    table.finish(problems);
    let source = match (file, variable) {
        (Some(file), None) if Path::new(&file.value).is_absolute() => SecretSource::File(file.value.into()),
        (Some(file), None) => {
            problems.report(file.place, format!("{owner}: key \"file\" must be an absolute path"));
            return None;
        }
        (None, Some(variable)) => SecretSource::Variable(variable.value),
        _ => {
            problems.report(place, format!("{owner}: it is in one place: \"file\" or \"env\""));
            return None;
        }
    };
    let secret = SecretText(source);
    if let Err(why) = secret.read() {
        problems.report(place, format!("{owner}: {why}"));
    }
    Some(secret)
}

/// Reads an address, which may contain a secret and then is a reference as [`parse_secret`] reads it. The
/// scheme must be http or https.
pub(super) fn parse_address(
    fields: &mut TableReader<'_, '_>,
    key: &'static str,
    problems: &mut Problems<'_>,
) -> Option<SecretText> {
    let Some(value) = fields.value(key) else {
        fields.missing(key, problems);
        return None;
    };
    let address = match value.value.as_str() {
        Some(text) => SecretText::plain(text),
        None => parse_secret(fields, key, problems)?,
    };
    // What cannot be read was reported.
    if let Ok(text) = address.read() {
        let is_address = ["http://", "https://"].iter().any(|scheme| text.starts_with(scheme))
            && text.parse::<tonic::transport::Uri>().is_ok_and(|uri| uri.host().is_some());
        if !is_address {
            let message =
                format!("{}: key \"{key}\" is no address that begins with https:// or http://", fields.owner);
            problems.report(value.place, message);
        }
    } else if value.value.as_str().is_some() {
        problems.report(value.place, format!("{}: key \"{key}\" is empty", fields.owner));
    }
    Some(address)
}
