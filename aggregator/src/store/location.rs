//! Location of a database, as an operator writes it.

use std::fmt;
use std::path::PathBuf;

use super::backend::Backend;
use super::postgres::{PostgresBackend, PostgresLocation, redact_url};
use super::scope::WriterScope;
use super::sqlite::SqliteBackend;

/// Location of the event store's database. Shown without a password.
#[derive(Clone, Debug)]
pub enum StoreLocation {
    /// In memory, lost when the aggregator ends.
    Memory,
    /// SQLite in this data folder, created if missing.
    Folder(PathBuf),
    /// PostgreSQL.
    Postgres(PostgresLocation),
}

impl StoreLocation {
    /// Parses `sqlite:DIR` or `postgres://USER@HOST/DATABASE`.
    ///
    /// # Errors
    /// Returns an error, as a sentence without a password, if the text is neither.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("sqlite", folder)) if !folder.is_empty() => Ok(Self::Folder(PathBuf::from(folder))),
            Some(("postgres" | "postgresql", _)) => PostgresLocation::parse(text).map(Self::Postgres),
            _ => Err(format!(
                "\"{}\" is no store; write sqlite:DIR or postgres://USER@HOST/DATABASE",
                redact_url(text)
            )),
        }
    }

    /// Creates the backend, which is not open yet, for a writer of this scope.
    pub(super) fn backend(&self, scope: &WriterScope) -> Box<dyn Backend> {
        match self {
            Self::Memory => Box::new(SqliteBackend::in_memory()),
            Self::Folder(path) => Box::new(SqliteBackend::in_folder(path.clone())),
            Self::Postgres(location) => Box::new(PostgresBackend::new(location.clone(), scope.clone())),
        }
    }
}

impl fmt::Display for StoreLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::Folder(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(location) => location.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn location_is_a_folder_or_a_server() {
        let shown = |text: &str| StoreLocation::parse(text).map(|location| location.to_string());
        assert_eq!(shown("sqlite:/var/lib/rta").as_deref(), Ok("sqlite:/var/lib/rta"));
        assert_eq!(
            shown("postgresql://ann:s3cret@localhost/rta").as_deref(),
            Ok("postgres://ann@localhost/rta")
        );
        for wrong in ["/var/lib/rta", "sqlite:", "mysql://ann:s3cret@db/rta"] {
            let error = shown(wrong).unwrap_err();
            assert!(error.contains("is no store") && !error.contains("s3cret"), "{error}");
        }
    }
}
