//! File of users and tokens.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use rta_shared::authorization::CallerKind;
use rta_shared::name::Name;
use rta_shared::sanitize::printable;
use serde::Deserialize;

use super::password::{constant_time_eq, hash_problem, token_digest};
use super::{ActScope, Principal};

/// Role of a user or token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum UserRole {
    /// May view.
    Viewer,
    /// May view, start and stop.
    Operator,
}

impl From<UserRole> for CallerKind {
    fn from(role: UserRole) -> Self {
        match role {
            UserRole::Viewer => Self::Viewer,
            UserRole::Operator => Self::Operator,
        }
    }
}

/// Content of the users file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UserList {
    /// True if viewing needs no sign-in.
    pub(crate) is_viewing_open: bool,
    pub(crate) users: Vec<UserEntry>,
    pub(crate) tokens: Vec<TokenEntry>,
}

/// User, a person.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserEntry {
    pub(crate) name: String,
    pub(crate) role: UserRole,
    /// Argon2id hash in PHC format.
    pub(crate) password: String,
}

/// Token of a script.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenEntry {
    pub(crate) name: String,
    pub(crate) role: UserRole,
    /// SHA-256 of the token, in hexadecimal.
    pub(crate) sha256: String,
    /// Environments in which it may act; empty: any.
    #[serde(default)]
    pub(crate) environments: Vec<String>,
    /// Roles of the hosts on which it may act; empty: any.
    #[serde(default)]
    pub(crate) roles: Vec<String>,
    /// Last day (UTC), or moment until which it is valid; `None`: it does not expire.
    #[serde(default)]
    pub(crate) expires: Option<String>,
}

/// Reason why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenError {
    /// The users file does not have it.
    Unknown,
    /// It was valid until then.
    Expired(Timestamp),
}

impl fmt::Display for TokenError {
    /// Formats without an article, to follow one: `the token is not known to the aggregator`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("token is not known to the aggregator"),
            Self::Expired(at) => write!(
                f,
                "token has expired at {}; make another one with rta user token",
                at.strftime("%Y-%m-%d %H:%M UTC")
            ),
        }
    }
}

/// Parses the end of a token: a day, at whose end in UTC it expires, or a moment.
fn parse_expiry(text: &str) -> Option<Timestamp> {
    if let Ok(day) = text.parse::<Date>().map(|day| day.to_datetime(Time::midnight()))
        && !text.contains(':')
    {
        return TimeZone::UTC.to_timestamp(day.checked_add(1.day()).ok()?).ok();
    }
    text.parse().ok()
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ViewingRule {
    Open,
    #[default]
    Closed,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UsersFileContent {
    #[serde(default)]
    viewing: ViewingRule,
    #[serde(default)]
    user: Vec<UserEntry>,
    #[serde(default)]
    token: Vec<TokenEntry>,
}

impl UserList {
    /// Loads and validates the file `path`.
    ///
    /// # Errors
    /// Returns every problem, one a line.
    pub(crate) fn load(path: &Path) -> Result<Self, String> {
        let describe_error = |problem: &dyn std::fmt::Display| format!("{}: {problem}", path.display());
        let mut file = File::open(path).map_err(|error| describe_error(&error))?;
        let metadata = file.metadata().map_err(|error| describe_error(&error))?;
        if !metadata.is_file() {
            return Err(describe_error(&"it is no regular file"));
        }
        let owner = metadata.uid();
        if owner != 0 && owner != rustix::process::geteuid().as_raw() {
            let problem = format!(
                "it belongs to another user (uid {owner}), who could let themselves in; run chown root on it"
            );
            return Err(describe_error(&problem));
        }
        if metadata.permissions().mode() & 0o022 != 0 {
            let problem =
                "others than its owner may write it, and so let themselves in; run chmod go-w on it";
            return Err(describe_error(&problem));
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(|error| describe_error(&error))?;
        Self::parse(&text).map_err(|problems| {
            let problems: Vec<String> = problems.iter().map(|problem| describe_error(problem)).collect();
            problems.join("\n")
        })
    }

    pub(super) fn parse(text: &str) -> Result<Self, Vec<String>> {
        let UsersFileContent { viewing, user: users, token: tokens } =
            toml::from_str(text).map_err(|error| vec![error.to_string().trim_end().to_owned()])?;
        let mut problems = Vec::new();
        let mut names = HashSet::new();
        let all = users.iter().map(|user| ("user", &user.name));
        for (what, name) in all.chain(tokens.iter().map(|token| ("token", &token.name))) {
            let shown = printable(name);
            if name.trim().is_empty() || name.trim() != name || name.chars().count() > 64 {
                problems.push(format!(
                    "the {what} \"{shown}\" needs a name of 1 to 64 letters without spaces around"
                ));
            }
            if !names.insert(name.to_lowercase()) {
                problems.push(format!("the name \"{shown}\" is given twice"));
            }
        }
        for user in &users {
            if let Some(problem) = hash_problem(&user.password) {
                problems.push(format!("the password of \"{}\" {problem}", printable(&user.name)));
            }
        }
        for token in &tokens {
            let is_digest =
                token.sha256.len() == 64 && token.sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
            if !is_digest {
                problems.push(format!(
                    "the sha256 of the token \"{}\" has to be 64 hexadecimal digits; make one with rta user token",
                    printable(&token.name)
                ));
            }
            if let Some(expires) = token.expires.as_ref().filter(|expires| parse_expiry(expires).is_none()) {
                problems.push(format!(
                    "the end \"{}\" of the token \"{}\" is no day; write for example expires = \"2027-01-31\"",
                    printable(expires),
                    printable(&token.name)
                ));
            }
        }
        if users.is_empty() && tokens.is_empty() {
            problems.push("it names nobody; make a user with rta user hash".to_owned());
        }
        match problems.is_empty() {
            true => Ok(Self { is_viewing_open: viewing == ViewingRule::Open, users, tokens }),
            false => Err(problems),
        }
    }

    /// Returns the owner of this token at `now`.
    ///
    /// # Errors
    /// Returns an error if it is unknown or has expired.
    pub(crate) fn principal_of_token(&self, token: &str, now: Timestamp) -> Result<Principal, TokenError> {
        let digest = token_digest(token);
        let found = self.tokens.iter().find(|known| constant_time_eq(&known.sha256.to_lowercase(), &digest));
        let found = found.ok_or(TokenError::Unknown)?;
        // The end was validated when the file was read.
        if let Some(end) = found.expires.as_deref().and_then(parse_expiry).filter(|end| *end <= now) {
            return Err(TokenError::Expired(end));
        }
        let names = |texts: &[String]| texts.iter().map(|text| Name::from(text.as_str())).collect();
        let scope = ActScope { environments: names(&found.environments), roles: names(&found.roles) };
        Ok(Principal { name: found.name.clone(), role: found.role, scope })
    }
}

#[cfg(test)]
mod tests {
    use super::super::password::{hash_password, new_token};
    use super::*;

    #[test]
    fn users_and_tokens_are_read() {
        let (hash, (token, sha256)) = (hash_password("correct horse battery").unwrap(), new_token().unwrap());
        let text = format!(
            "viewing = \"open\"\n[[user]]\nname = \"ann\"\nrole = \"operator\"\npassword = \"{hash}\"\n\
             [[token]]\nname = \"job\"\nrole = \"viewer\"\nsha256 = \"{}\"\n",
            sha256.to_uppercase()
        );
        let users = UserList::parse(&text).unwrap();
        assert!(users.is_viewing_open && users.users[0].role == UserRole::Operator);
        let now = Timestamp::UNIX_EPOCH;
        let scope = ActScope::default();
        assert_eq!(
            users.principal_of_token(&token, now),
            Ok(Principal { name: "job".to_owned(), role: UserRole::Viewer, scope })
        );
        assert_eq!(users.principal_of_token("rta_other", now), Err(TokenError::Unknown));
        assert!(!UserList::parse(&text.replacen("viewing = \"open\"", "", 1)).unwrap().is_viewing_open);
    }

    #[test]
    fn token_ends_with_its_day_and_has_its_scope() {
        let (token, sha256) = new_token().unwrap();
        let text = format!(
            "[[token]]\nname = \"job\"\nrole = \"operator\"\nsha256 = \"{sha256}\"\nenvironments = [\"ITG\"]\n\
             expires = \"2027-01-31\"\n"
        );
        let users = UserList::parse(&text).unwrap();
        let at = |text: &str| users.principal_of_token(&token, text.parse().unwrap());
        assert_eq!(at("2027-01-31T23:59:59Z").unwrap().scope.to_string(), "environments ITG");
        let expired = at("2027-02-01T00:00:00Z").unwrap_err().to_string();
        assert!(expired.starts_with("token has expired at 2027-02-01 00:00 UTC"), "{expired}");
        let moment = text.replace("2027-01-31", "2027-01-31T12:00:00Z");
        let users = UserList::parse(&moment).unwrap();
        assert!(users.principal_of_token(&token, "2027-01-31T12:00:00Z".parse().unwrap()).is_err());
        let problems = UserList::parse(&text.replace("2027-01-31", "soon")).unwrap_err();
        assert!(problems[0].contains("the end \"soon\" of the token \"job\" is no day"), "{problems:?}");
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let text = "[[user]]\nname = \"ann\"\nrole = \"operator\"\npassword = \"x\"\n\
                    [[token]]\nname = \"Ann\"\nrole = \"viewer\"\nsha256 = \"x\"\n";
        let problems = UserList::parse(text).unwrap_err().join("\n");
        for expected in
            ["password of \"ann\" is no password hash", "\"Ann\" is given twice", "64 hexadecimal"]
        {
            assert!(problems.contains(expected), "{problems}");
        }
        for (text, expected) in [
            ("", "names nobody"),
            ("[[user]]\nname = \"a\"\nrole = \"king\"\npassword = \"x\"", "king"),
            ("[[user]]\nnme = \"a\"", "nme"),
        ] {
            let problems = UserList::parse(text).unwrap_err().join("\n");
            assert!(problems.contains(expected), "{problems}");
        }
    }

    #[test]
    fn a_file_that_others_may_write_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o666)).unwrap();
        assert!(UserList::load(file.path()).unwrap_err().contains("chmod go-w"));
        assert!(UserList::load(Path::new("/nowhere")).is_err());
        assert!(UserList::load(Path::new("/dev/null")).unwrap_err().contains("no regular file"));
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o600)).unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(file.path(), Some(65_534), None).unwrap();
            assert!(UserList::load(file.path()).unwrap_err().contains("belongs to another user (uid 65534)"));
        }
    }
}
