//! Aggregators of the platform: one with a data folder, or several over one PostgreSQL.

use std::net::{Ipv4Addr, SocketAddr};

use rta_tests::{PostgresServer, WebClient};

use crate::platform::{AGENTS, HOSTS};

/// Address of this machine in the hosts' network.
const OUTSIDE: &str = "10.77.0.254";
/// Rules of authentication of the server, in its folder.
const RULES: &str = "hba.conf";

/// What an aggregator does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AggregatorState {
    Running,
    /// Stopped by SIGSTOP.
    Paused,
    /// Its host is cut off from all others.
    Cut,
    Ended,
}

/// Aggregators, each on a host of its own.
#[derive(Debug)]
pub(crate) struct Aggregators {
    pub(crate) states: Vec<AggregatorState>,
    /// Database of several aggregators, with its address for the hosts and for this process.
    database: Option<(PostgresServer, String, String)>,
    pub(crate) is_database_up: bool,
    /// Position of the aggregator that was asked last.
    asked: usize,
}

impl Aggregators {
    /// Starts the database of several aggregators. Returns `None` if it is not installed.
    pub(crate) fn new(count: usize) -> Option<Self> {
        let database = match count {
            1 => None,
            _ => {
                let settings = [format!("listen_addresses={OUTSIDE}"), format!("hba_file={RULES}")];
                let rules = "local all all trust\nhost all all 10.77.0.0/24 trust\n";
                let write = |folder: &std::path::Path| std::fs::write(folder.join(RULES), rules).unwrap();
                let server = PostgresServer::start_with(&settings, write)?;
                let local = server.create_database();
                let name = local.rsplit('/').next().unwrap();
                let remote = format!("postgres://rta@{OUTSIDE}/{name}?sslmode=disable");
                Some((server, remote, local))
            }
        };
        let states = vec![AggregatorState::Ended; count];
        Some(Self { states, database, is_database_up: true, asked: 0 })
    }

    pub(crate) fn are_several(&self) -> bool {
        self.states.len() > 1
    }

    /// Returns the address of the database for the hosts.
    pub(crate) fn store(&self) -> Option<&str> {
        self.database.as_ref().map(|(_, remote, _)| remote.as_str())
    }

    /// Returns the page of the next aggregator that answers; `None` if none does.
    pub(crate) fn next_web(&mut self, address: impl Fn(usize) -> Ipv4Addr) -> Option<WebClient> {
        let count = self.states.len();
        let mut next = (1..=count).map(|step| (self.asked + step) % count);
        let at = next.find(|at| self.states[*at] == AggregatorState::Running)?;
        self.asked = at;
        Some(WebClient(SocketAddr::from((address(host_of(at)), 8080))))
    }

    /// Returns the positions of the aggregators in this state.
    pub(crate) fn in_state(&self, state: AggregatorState) -> Vec<usize> {
        (0..self.states.len()).filter(|at| self.states[*at] == state).collect()
    }

    /// Returns the position of the aggregator whose lease is valid.
    pub(crate) fn leader(&self) -> Option<usize> {
        let (server, _, local) = self.database.as_ref().filter(|_| self.is_database_up)?;
        let sql =
            "SELECT address FROM rta_leases WHERE holder <> '' AND expires_at > clock_timestamp() LIMIT 1";
        let address = server.run_sql(local, sql);
        (0..self.states.len()).find(|at| address == advertised(*at))
    }

    /// Returns the highest epoch.
    pub(crate) fn epoch(&self) -> String {
        let Some((server, _, local)) = &self.database else { return "0".to_owned() };
        server.run_sql(local, "SELECT coalesce(max(epoch), 0) FROM rta_leases")
    }

    /// Ends the database as an administrator, or as a crash does.
    pub(crate) fn stop_database(&mut self, crashes: bool) {
        let Some((server, ..)) = &self.database else { return };
        if crashes {
            server.crash()
        } else {
            server.stop()
        }
        self.is_database_up = false;
    }

    /// Starts the database again.
    pub(crate) fn start_database(&mut self) {
        if let Some((server, ..)) = &self.database {
            server.start_again();
            self.is_database_up = true;
        }
    }

    /// Stops the processes of the database by signals.
    pub(crate) fn pause_database(&mut self) {
        if let Some((server, ..)) = &self.database {
            server.pause();
            self.is_database_up = false;
        }
    }

    /// Lets the processes of the database run again.
    pub(crate) fn resume_database(&mut self) {
        if let Some((server, ..)) = &self.database {
            server.resume();
            self.is_database_up = true;
        }
    }
}

/// Returns the position of the host of an aggregator.
pub(crate) fn host_of(aggregator: usize) -> usize {
    AGENTS + aggregator
}

/// Returns the address that people are shown.
pub(crate) fn advertised(aggregator: usize) -> String {
    format!("http://10.77.0.{}/{}", host_of(aggregator) + 1, HOSTS[host_of(aggregator)])
}
