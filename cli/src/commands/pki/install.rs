//! Installs a host's certificate where the services of that host look for it.

use std::fs::{DirBuilder, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use nix::unistd::{User, geteuid};
use tempfile::NamedTempFile;

/// Name of the aggregator's certificate, and of its files.
const AGGREGATOR: &str = "aggregator";
/// Name of an agent's files, whatever its host is called.
const AGENT: &str = "agent";
/// User of the aggregator's service (`config/sysusers.d`).
const AGGREGATOR_USER: &str = "rta";

/// Files of one host's certificate.
pub(crate) struct InstalledFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) ca: PathBuf,
}

/// Copies the certificate and the key of the host `name`, and the CA's certificate, into `folder`
/// under the names used in `config/systemd/`: `agent.pem` or `aggregator.pem`, and `ca.pem`. Existing
/// files are replaced. If root runs this and the aggregator's user exists, that user becomes the owner
/// of the aggregator's key.
///
/// # Errors
/// Returns an error that names the file if it cannot be read or written.
pub(crate) fn install(
    folder: &Path,
    name: &str,
    (certificate, key): (&Path, &Path),
    ca: &Path,
) -> Result<InstalledFiles, String> {
    let describe_error =
        |path: &Path, error: io::Error| format!("{} cannot be installed: {error}", path.display());
    let kind = if name == AGGREGATOR { AGGREGATOR } else { AGENT };
    let installed = InstalledFiles {
        certificate: folder.join(format!("{kind}.pem")),
        key: folder.join(format!("{kind}-key.pem")),
        ca: folder.join("ca.pem"),
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(folder)
        .map_err(|error| describe_error(folder, error))?;
    let owner = User::from_name(AGGREGATOR_USER).ok().flatten();
    let owner = owner.filter(|_| kind == AGGREGATOR && geteuid().is_root());
    let copy = |from: &Path, to: &Path, mode: u32| {
        let copied = || {
            let content = std::fs::read(from)?;
            let mut file = NamedTempFile::new_in(folder)?;
            file.write_all(&content)?;
            file.as_file().set_permissions(Permissions::from_mode(mode))?;
            if let Some(owner) = &owner {
                chown(file.path(), Some(owner.uid.as_raw()), None)?;
            }
            file.as_file().sync_all()?;
            file.persist(to).map(drop).map_err(|error| error.error)
        };
        copied().map_err(|error| describe_error(to, error))
    };
    copy(ca, &installed.ca, 0o644)?;
    copy(key, &installed.key, 0o400)?;
    copy(certificate, &installed.certificate, 0o644)?;
    Ok(installed)
}
