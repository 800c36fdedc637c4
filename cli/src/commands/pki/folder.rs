//! Files of certificates and keys.

use std::fs::{DirBuilder, Permissions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rta_shared::tls::Certificate;
use tempfile::NamedTempFile;

use super::signing::CertificateAndKey;

/// Folder with a CA and the certificates that it signed.
pub(crate) struct PkiFolder<'p> {
    pub(crate) path: &'p Path,
    /// True if existing files may be replaced.
    pub(crate) force: bool,
}

/// File, and the certificate in it or why it cannot be read.
pub(crate) type ListedCertificate = (PathBuf, Result<Certificate, String>);

/// Owner of a certificate in a folder.
pub(crate) enum CertificateOwner {
    Authority,
    Host(String),
    User(String),
}

impl PkiFolder<'_> {
    /// Returns the paths of the certificate and the key.
    pub(crate) fn paths(&self, place: &CertificateOwner) -> (PathBuf, PathBuf) {
        let (folder, name) = match place {
            CertificateOwner::Authority => (self.path.to_owned(), "ca"),
            CertificateOwner::Host(name) => (self.path.join("hosts"), name.as_str()),
            CertificateOwner::User(name) => (self.path.join("users"), name.as_str()),
        };
        (folder.join(format!("{name}.pem")), folder.join(format!("{name}-key.pem")))
    }

    /// # Errors
    /// Returns an error if a file exists and may not be replaced.
    pub(crate) fn check_replaceable(&self, place: &CertificateOwner) -> Result<(), String> {
        let (certificate, key) = self.paths(place);
        let there = [&certificate, &key].into_iter().find(|path| path.symlink_metadata().is_ok());
        match (there, place) {
            (Some(_), _) if self.force => Ok(()),
            (Some(path), CertificateOwner::Authority) => Err(format!(
                "{} is there already, and nothing is changed; with --force a new CA replaces it, and every \
                 certificate that it signed is refused from then on",
                path.display()
            )),
            (Some(path), _) => Err(format!(
                "{} is there already, and nothing is changed; --force replaces it by a new one",
                path.display()
            )),
            (None, _) => Ok(()),
        }
    }

    /// Reads the CA's certificate and key.
    pub(crate) fn read_authority(&self) -> Result<(String, String), String> {
        let (certificate, key) = self.paths(&CertificateOwner::Authority);
        let read = |path: &Path| {
            std::fs::read_to_string(path).map_err(|error| match error.kind() {
                ErrorKind::NotFound => {
                    format!("there is no CA: {} is missing; make one with rta pki init", path.display())
                }
                _ => format!("{}: {error}", path.display()),
            })
        };
        Ok((read(&certificate)?, read(&key)?))
    }

    /// Writes a certificate and its key; each file is written completely or not at all.
    pub(crate) fn save(&self, place: &CertificateOwner, made: &CertificateAndKey) -> Result<(), String> {
        let (certificate, key) = self.paths(place);
        let mut folder = DirBuilder::new();
        folder.recursive(true).mode(0o700);
        for path in [self.path, certificate.parent().unwrap_or(self.path)] {
            folder.create(path).map_err(|error| format!("the folder {}: {error}", path.display()))?;
        }
        self.write(&key, &made.key, 0o600)?;
        self.write(&certificate, &made.certificate, 0o644)
    }

    fn write(&self, path: &Path, content: &str, mode: u32) -> Result<(), String> {
        let written = || {
            let mut file = NamedTempFile::new_in(path.parent().unwrap_or(self.path))?;
            file.write_all(content.as_bytes())?;
            file.as_file().set_permissions(Permissions::from_mode(mode))?;
            file.as_file().sync_all()?;
            let kept = if self.force { file.persist(path) } else { file.persist_noclobber(path) };
            kept.map(drop).map_err(|error| error.error)
        };
        written().map_err(|error| format!("{} cannot be written: {error}", path.display()))
    }

    /// Lists every certificate by name, the CA first.
    pub(crate) fn list_certificates(&self) -> Result<Vec<ListedCertificate>, String> {
        // A folder without a CA certificate is not a CA folder.
        let (authority, _) = self.paths(&CertificateOwner::Authority);
        if !authority.exists() {
            return Err(format!(
                "there is no CA: {} is missing; make one with rta pki init",
                authority.display()
            ));
        }
        let mut paths = Vec::new();
        for folder in ["hosts", "users"] {
            let folder = self.path.join(folder);
            let entries = match std::fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(format!("{}: {error}", folder.display())),
            };
            for entry in entries {
                let path = entry.map_err(|error| format!("{}: {error}", folder.display()))?.path();
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                if name.ends_with(".pem") && !name.ends_with("-key.pem") {
                    paths.push(path);
                }
            }
        }
        paths.sort();
        paths.insert(0, authority);
        Ok(paths.into_iter().map(|path| (path.clone(), Certificate::read(&path))).collect())
    }
}
