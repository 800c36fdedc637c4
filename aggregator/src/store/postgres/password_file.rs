//! libpq's password file (`PGPASSFILE`, `~/.pgpass`): lines of `host:port:database:user:password`.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Returns the password for a host, port, database and user; `None` if the file has none.
///
/// # Errors
/// Returns an error if the file cannot be read, or if others may read it.
pub(super) fn read_password(path: &Path, wanted: [&str; 4]) -> Result<Option<String>, String> {
    let describe_error =
        |error: std::io::Error| format!("{}: the password file cannot be read: {error}", path.display());
    let mut file = File::open(path).map_err(describe_error)?;
    let mode = file.metadata().map_err(describe_error)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(format!("{}: others may read the password file; run chmod 600 {0}", path.display()));
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(describe_error)?;
    Ok(find_password(&text, wanted))
}

/// Returns the password of the first line that fits.
fn find_password(text: &str, wanted: [&str; 4]) -> Option<String> {
    let mut lines = text.lines().filter(|line| !line.starts_with('#')).map(split_line);
    lines.find_map(|fields| {
        let (password, fields) = fields.split_last()?;
        let fits = fields.len() == 4
            && fields.iter().zip(wanted).all(|(field, wanted)| field == "*" || field == wanted);
        fits.then(|| password.clone())
    })
}

/// Splits a line at its colons. A backslash keeps the character after it.
fn split_line(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character == ':' && fields.len() < 5 {
            fields.push(String::new());
            continue;
        }
        let kept = if character == '\\' { characters.next() } else { Some(character) };
        if let Some(last) = fields.last_mut() {
            last.extend(kept);
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_line_that_fits_has_the_password() {
        let text = "# comment\nother:5432:rta:ann:no\ndb:*:rta:ann:a\\:b\\\\c\n*:*:*:*:last\nbroken\n";
        assert_eq!(find_password(text, ["db", "5433", "rta", "ann"]).as_deref(), Some("a:b\\c"));
        assert_eq!(find_password(text, ["db", "5432", "rta", "bob"]).as_deref(), Some("last"));
        assert_eq!(find_password("db:5432:rta:ann:x", ["db", "5432", "rta", "bob"]), None);
    }

    #[test]
    fn file_that_others_may_read_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "*:*:*:*:secret\n").unwrap();
        let wanted = ["db", "5432", "rta", "ann"];
        assert_eq!(read_password(file.path(), wanted), Ok(Some("secret".to_owned())));
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = read_password(file.path(), wanted).unwrap_err();
        assert!(error.contains("others may read") && !error.contains("secret"), "{error}");
    }
}
