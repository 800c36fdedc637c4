//! Address of a PostgreSQL database, as an operator writes it:
//! `postgres://user@host/database?sslmode=verify-full`.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use super::password_file;
use super::redact::redact_url;

/// Whether and how the connection is encrypted, with libpq's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TlsMode {
    /// Never.
    Disable,
    /// If the server offers it. The certificate is not verified.
    Prefer,
    /// Always. The certificate is not verified.
    Require,
    /// Always; the certificate must be of a known CA.
    VerifyCa,
    /// Always; the certificate must be of a known CA and for this host.
    VerifyFull,
}

impl TlsMode {
    fn from_word(word: &str) -> Result<Self, String> {
        match word {
            "disable" => Ok(Self::Disable),
            "prefer" => Ok(Self::Prefer),
            "require" => Ok(Self::Require),
            "verify-ca" => Ok(Self::VerifyCa),
            "verify-full" => Ok(Self::VerifyFull),
            _ => Err(format!(
                "sslmode={word} is unknown; use disable, prefer, require, verify-ca or verify-full"
            )),
        }
    }

    /// Returns true if the server's certificate is verified.
    pub(super) fn is_verified(self) -> bool {
        matches!(self, Self::VerifyCa | Self::VerifyFull)
    }
}

/// Environment variables and files that complete an address.
#[derive(Clone, Debug, Default)]
pub(super) struct Environment {
    pub(super) password: Option<String>,
    pub(super) password_file: Option<PathBuf>,
    pub(super) tls_mode: Option<String>,
    pub(super) root_certificate: Option<PathBuf>,
    pub(super) user: Option<String>,
}

impl Environment {
    /// Reads libpq's variables of this process.
    pub(super) fn of_process() -> Self {
        let path = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let home = path("HOME").map(|home| home.join(".pgpass")).filter(|file| file.exists());
        Self {
            password: text("PGPASSWORD"),
            password_file: path("PGPASSFILE").or(home),
            tls_mode: text("PGSSLMODE"),
            root_certificate: path("PGSSLROOTCERT"),
            user: text("PGUSER"),
        }
    }
}

/// Address of a PostgreSQL database, complete with its password. Shown without it.
#[derive(Clone)]
pub struct PostgresLocation {
    pub(super) config: Box<Config>,
    pub(super) tls: TlsMode,
    /// File with the certificates of the CAs.
    pub(super) root_certificate: Option<PathBuf>,
    /// Address without the password.
    shown: String,
}

impl PostgresLocation {
    /// Parses an address, and completes it from the environment and the password file.
    ///
    /// # Errors
    /// Returns an error, as a sentence without the password, if the address is invalid or the password file
    /// cannot be used.
    pub fn parse(url: &str) -> Result<Self, String> {
        Self::parse_with(url, &Environment::of_process())
    }

    pub(super) fn parse_with(url: &str, environment: &Environment) -> Result<Self, String> {
        let (base, parameters) = url.split_once('?').unwrap_or((url, ""));
        let mut mode = environment.tls_mode.clone();
        let mut root_certificate = environment.root_certificate.clone();
        let mut others = Vec::new();
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = percent_decode_str(value).decode_utf8_lossy();
            match key {
                "sslmode" => mode = Some(value.into_owned()),
                "sslrootcert" => root_certificate = Some(PathBuf::from(value.into_owned())),
                _ => others.push(parameter),
            }
        }
        // The parser's error may quote the address, and with it the password.
        let mut config: Config = format!("{base}?{}", others.join("&")).parse().map_err(|_| {
            format!("{}: the address is invalid; write postgres://USER@HOST[:PORT]/DATABASE", redact_url(url))
        })?;
        if config.get_hosts().is_empty() {
            return Err(format!("{}: the address names no host", redact_url(url)));
        }
        if config.get_user().is_none() {
            let user = environment.user.clone().unwrap_or_else(|| "rta".to_owned());
            config.user(user);
        }
        if config.get_dbname().is_none() {
            let name = config.get_user().unwrap_or("rta").to_owned();
            config.dbname(name);
        }
        let shown = shown_address(&config);
        let tls = match mode {
            Some(word) => TlsMode::from_word(&word).map_err(|why| format!("{shown}: {why}"))?,
            None if config.get_hosts().iter().all(is_local) => TlsMode::Disable,
            None => TlsMode::VerifyFull,
        };
        if tls.is_verified() && root_certificate.is_none() {
            return Err(format!(
                "{shown}: the server's certificate cannot be verified without a CA; add \
                 ?sslrootcert=FILE to the address, or sslmode=require to do without"
            ));
        }
        config.ssl_mode(match tls {
            TlsMode::Disable => SslMode::Disable,
            TlsMode::Prefer => SslMode::Prefer,
            TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => SslMode::Require,
        });
        let mut location = Self { config: Box::new(config), tls, root_certificate, shown };
        location.complete_password(environment)?;
        Ok(location)
    }

    fn complete_password(&mut self, environment: &Environment) -> Result<(), String> {
        if self.config.get_password().is_some() {
            return Ok(());
        }
        let password = match (&environment.password, &environment.password_file) {
            (Some(password), _) => Some(password.clone()),
            (None, Some(file)) => self.password_from(file)?,
            (None, None) => None,
        };
        if let Some(password) = password {
            self.config.password(password);
        }
        Ok(())
    }

    fn password_from(&self, file: &Path) -> Result<Option<String>, String> {
        let host = match self.config.get_hosts().first() {
            Some(Host::Tcp(name)) => name.clone(),
            // As libpq has it.
            Some(Host::Unix(_)) | None => "localhost".to_owned(),
        };
        let port = self.config.get_ports().first().copied().unwrap_or(5432).to_string();
        let (database, user) =
            (self.config.get_dbname().unwrap_or_default(), self.config.get_user().unwrap_or_default());
        password_file::read_password(file, [&host, &port, database, user])
    }
}

impl fmt::Display for PostgresLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for PostgresLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PostgresLocation").field(&self.shown).finish()
    }
}

fn is_local(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
        }
    }
}

fn shown_address(config: &Config) -> String {
    let ports = config.get_ports();
    let hosts = config.get_hosts().iter().enumerate().map(|(at, host)| {
        let name = match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string().replace('/', "%2F"),
        };
        match ports.get(at).or(ports.first()) {
            Some(port) if *port != 5432 => format!("{name}:{port}"),
            _ => name,
        }
    });
    let hosts: Vec<String> = hosts.collect();
    let (user, database) = (config.get_user().unwrap_or_default(), config.get_dbname().unwrap_or_default());
    format!("postgres://{user}@{}/{database}", hosts.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<PostgresLocation, String> {
        PostgresLocation::parse_with(url, &Environment::default())
    }

    #[test]
    fn address_is_shown_without_its_password() {
        let location = parse("postgres://ann:s3cret@db.example:5433/rta?sslmode=require").unwrap();
        assert_eq!(location.to_string(), "postgres://ann@db.example:5433/rta");
        assert!(!format!("{location:?}").contains("s3cret"));
        assert_eq!(location.config.get_password(), Some("s3cret".as_bytes()));
        for invalid in [
            "postgres://ann:s3cret@db:port/rta",
            "postgres://ann:s3cret@db/rta?x=1",
            "postgres://ann:s3cret@db/rta?sslmode=x",
        ] {
            let error = parse(invalid).unwrap_err();
            assert!(!error.contains("s3cret"), "{error}");
        }
        assert_eq!(redact_url("postgres://ann:p@ss@db/rta?password=p&x=1"), "postgres://ann@db/rta?x=1");
    }

    #[test]
    fn beyond_this_host_the_certificate_is_verified_unless_told_otherwise() {
        assert_eq!(parse("postgres://ann@%2Frun%2Fpostgresql/rta").unwrap().tls, TlsMode::Disable);
        assert_eq!(parse("postgres://ann@127.0.0.1/rta").unwrap().tls, TlsMode::Disable);
        assert!(parse("postgres://ann@db/rta").unwrap_err().contains("add ?sslrootcert=FILE"));
        let location = parse("postgres://ann@db/rta?sslrootcert=%2Fetc%2Fca.pem").unwrap();
        assert_eq!(
            (location.tls, location.root_certificate),
            (TlsMode::VerifyFull, Some("/etc/ca.pem".into()))
        );
        assert_eq!(parse("postgres://ann@db/rta?sslmode=prefer").unwrap().tls, TlsMode::Prefer);
        assert!(
            parse("postgres://ann@db/rta?sslmode=always").unwrap_err().contains("sslmode=always is unknown")
        );
    }

    #[test]
    fn password_of_the_address_precedes_that_of_the_environment() {
        let environment = Environment { password: Some("two".to_owned()), ..Environment::default() };
        let password = |url| {
            let location = PostgresLocation::parse_with(url, &environment).unwrap();
            location.config.get_password().map(|password| String::from_utf8(password.to_vec()).unwrap())
        };
        assert_eq!(password("postgres://ann:one@localhost/rta").as_deref(), Some("one"));
        assert_eq!(password("postgres://ann@localhost/rta").as_deref(), Some("two"));
    }
}
