//! Databases that tests run on.

use rta_tests::PostgresServer;
use tempfile::TempDir;

use super::*;
use crate::store::postgres::PostgresLocation;
use crate::store::postgres::session::PostgresSession;
use crate::store::sql::SqlSession;

/// Empty database of a test.
pub(super) struct TestDatabase {
    location: StoreLocation,
    /// Folder of SQLite's file.
    _folder: Option<TempDir>,
}

impl TestDatabase {
    pub(super) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { location: StoreLocation::Folder(folder.path().join("data")), _folder: Some(folder) }
    }

    /// Returns `None` if PostgreSQL is not installed.
    pub(super) fn postgres() -> Option<Self> {
        let url = PostgresServer::shared()?.create_database();
        Some(Self {
            location: StoreLocation::Postgres(PostgresLocation::parse(&url).unwrap()),
            _folder: None,
        })
    }

    pub(super) fn options(&self) -> StoreOptions {
        StoreOptions { location: self.location.clone(), ..StoreOptions::default() }
    }

    pub(super) fn open(&self) -> TestStore {
        self.open_at(1000)
    }

    pub(super) fn open_at(&self, seconds: i64) -> TestStore {
        open_at(self.location.clone(), seconds)
    }

    /// Opens another connection, as another program does.
    pub(super) fn connect(&self) -> Box<dyn SqlSession> {
        match &self.location {
            StoreLocation::Folder(folder) => Box::new(Connection::open(folder.join("rta.db")).unwrap()),
            StoreLocation::Postgres(location) => {
                Box::new(PostgresSession::connect(location, "another program").unwrap())
            }
            StoreLocation::Memory => panic!("a database in memory has one connection"),
        }
    }
}

/// Makes a test of each backend from each function, which takes the database.
macro_rules! on_every_backend {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[test]
            fn $name() {
                super::$name(&crate::store::tests::database::TestDatabase::sqlite());
            })*
        }
        mod postgres {
            $(#[test]
            fn $name() {
                if let Some(database) = crate::store::tests::database::TestDatabase::postgres() {
                    super::$name(&database);
                }
            })*
        }
    };
}
pub(super) use on_every_backend;
