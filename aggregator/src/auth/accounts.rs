//! Listing and removing entries of the users file, for `rta user`.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::users::{UserList, UserRole};

/// Lists the users and tokens of a users file, one sentence each, in the file's order.
///
/// # Errors
/// Returns every problem of the file, one a line.
pub fn list_accounts(path: &Path) -> Result<Vec<String>, String> {
    let UserList { users, tokens, .. } = UserList::load(path)?;
    let role = |role: UserRole| match role {
        UserRole::Viewer => "viewer",
        UserRole::Operator => "operator",
    };
    let users = users.iter().map(|user| format!("user {}: {}", user.name, role(user.role)));
    let tokens = tokens.iter().map(|token| {
        let mut sentence = format!("token {}: {}", token.name, role(token.role));
        for (what, names) in [("environments", &token.environments), ("roles", &token.roles)] {
            if !names.is_empty() {
                sentence.push_str(&format!("; {what} {}", names.join(", ")));
            }
        }
        if let Some(expires) = &token.expires {
            sentence.push_str(&format!("; until {expires}"));
        }
        sentence
    });
    Ok(users.chain(tokens).collect())
}

/// Removes the user or token of this name from a users file, and returns which of both it was. The rest of
/// the file stays as it is, comments included.
///
/// # Errors
/// Returns an error, as a sentence, if the file is invalid, has no such name or no other one, or cannot be
/// written.
pub fn revoke_account(path: &Path, name: &str) -> Result<&'static str, String> {
    UserList::load(path)?;
    let describe_error = |problem: &dyn std::fmt::Display| format!("{}: {problem}", path.display());
    let text = fs::read_to_string(path).map_err(|error| describe_error(&error))?;
    let (what, rest) = remove_entry(&text, name).ok_or_else(|| {
        describe_error(&format!("it has no user and no token \"{name}\"; see rta user list"))
    })?;
    UserList::parse(&rest).map_err(|problems| {
        describe_error(&format!(
            "without \"{name}\" it would be invalid: {}; nothing was changed",
            problems.join("; ")
        ))
    })?;
    replace_file(path, &rest).map_err(|error| describe_error(&format!("it cannot be written: {error}")))?;
    Ok(what)
}

/// Removes the table of this name from the text of a users file. Returns its kind and the rest.
fn remove_entry(text: &str, name: &str) -> Option<(&'static str, String)> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let is_header = |line: &str| line.trim_start().starts_with('[');
    let mut begins: Vec<usize> = (0..lines.len()).filter(|at| is_header(lines[*at])).collect();
    begins.push(lines.len());
    for pair in begins.windows(2) {
        let &[begin, end] = pair else { continue };
        let what = match lines[begin].trim().split('#').next().map(str::trim) {
            Some("[[user]]") => "user",
            Some("[[token]]") => "token",
            _ => continue,
        };
        let table: Result<toml::Table, _> = toml::from_str(&lines[begin + 1..end].concat());
        if table.is_ok_and(|table| table.get("name").and_then(toml::Value::as_str) == Some(name)) {
            // Comments and empty lines before the next table belong to that.
            let own = (begin + 1..end).rev().find(|at| {
                let line = lines[*at].trim();
                !line.is_empty() && !line.starts_with('#')
            });
            let end = own.map_or(end, |last| last + 1);
            return Some((what, [&lines[..begin], &lines[end..]].concat().concat()));
        }
    }
    None
}

/// Replaces a file at once, with the same owner and permissions.
fn replace_file(path: &Path, text: &str) -> std::io::Result<()> {
    let metadata = path.metadata()?;
    let target = path.canonicalize()?;
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = target.with_file_name(name);
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(metadata.mode() & 0o777).open(&new)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| std::os::unix::fs::fchown(&file, Some(metadata.uid()), Some(metadata.gid())))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&new, &target));
    if written.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&new);
    }
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn accounts_are_listed_and_one_is_removed_without_touching_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.toml");
        let digest = "ab".repeat(32);
        let text = format!(
            "# Accounts.\nviewing = \"open\"\n\n[[token]]\nname = \"job\"\nrole = \"viewer\"\nsha256 = \"{digest}\"\n\n\
             # Of the deploy.\n[[token]] # second\nname = \"deploy\"\nrole = \"operator\"\nsha256 = \"{digest}\"\n\
             environments = [\"ITG\", \"DEV\"]\nroles = [\"broker\"]\nexpires = \"2027-01-31\"\n"
        );
        fs::write(&path, &text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(
            list_accounts(&path).unwrap(),
            [
                "token job: viewer",
                "token deploy: operator; environments ITG, DEV; roles broker; until 2027-01-31"
            ]
        );
        assert!(revoke_account(&path, "other").unwrap_err().contains("no user and no token \"other\""));
        assert_eq!(revoke_account(&path, "job"), Ok("token"));
        let left = fs::read_to_string(&path).unwrap();
        assert!(
            left.starts_with("# Accounts.\nviewing = \"open\"\n\n\n# Of the deploy.\n[[token]] # second"),
            "{left}"
        );
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o640);
        let last = revoke_account(&path, "deploy").unwrap_err();
        assert!(last.contains("would be invalid: it names nobody"), "{last}");
        assert_eq!(fs::read_to_string(&path).unwrap(), left);
    }
}
