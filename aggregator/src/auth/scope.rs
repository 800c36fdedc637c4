//! Scopes of tokens: the hosts on which a token may act. Pure.

use rta_shared::action::Requester;
use rta_shared::config::Platform;
use rta_shared::name::Name;
use rta_shared::sanitize::printable;
use tonic::Code;

use crate::operation_error::OperationError;

/// Hosts on which somebody may act. Empty lists: any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ActScope {
    /// Environments.
    pub(crate) environments: Vec<Name>,
    /// Roles of hosts.
    pub(crate) roles: Vec<Name>,
}

/// Requester, and where they may act.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ActingCaller {
    pub(crate) by: Requester,
    pub(crate) scope: ActScope,
    /// True if another aggregator asks on behalf of the requester.
    pub(crate) is_forwarded: bool,
}

/// Maximum length of a requester's name, in characters.
const MAX_USER_CHARS: usize = 64;

/// Creates a requester with the name that they state, and their address.
pub(crate) fn new_requester(user: &str, address: String) -> Requester {
    let user = printable(user.trim()).chars().take(MAX_USER_CHARS).collect();
    Requester { user, address }
}

impl ActScope {
    /// Returns true if nothing is excluded.
    pub(crate) fn is_everything(&self) -> bool {
        self.environments.is_empty() && self.roles.is_empty()
    }

    fn includes(&self, environment: &Name, role: Option<&Name>) -> bool {
        let is_environment = self.environments.is_empty() || self.environments.contains(environment);
        is_environment && (self.roles.is_empty() || role.is_some_and(|role| self.roles.contains(role)))
    }
}

impl std::fmt::Display for ActScope {
    /// Formats as `environments ITG, DEV; roles broker`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |names: &[Name]| names.iter().map(Name::as_str).collect::<Vec<_>>().join(", ");
        let parts = [("environments", &self.environments), ("roles", &self.roles)];
        let parts = parts.iter().filter(|(_, names)| !names.is_empty());
        let parts: Vec<String> = parts.map(|(what, names)| format!("{what} {}", list(names))).collect();
        f.write_str(&parts.join("; "))
    }
}

impl ActingCaller {
    /// Returns Ok if the caller may act on all these hosts.
    ///
    /// # Errors
    /// Returns `PERMISSION_DENIED` with the first host that the scope does not include.
    pub(crate) fn check_hosts<'n>(
        &self,
        platform: &Platform,
        hosts: impl IntoIterator<Item = &'n Name>,
    ) -> Result<(), OperationError> {
        if self.scope.is_everything() {
            return Ok(());
        }
        for name in hosts {
            let host = platform.find_host(name.as_str());
            if !host.is_some_and(|host| self.scope.includes(&host.environment, host.role.as_ref())) {
                let place =
                    host.map_or_else(|| name.to_string(), |host| format!("{}/{name}", host.environment));
                return Err(self.refusal(&format!("on {place}")));
            }
        }
        Ok(())
    }

    /// Returns Ok if the caller may act everywhere.
    ///
    /// # Errors
    /// Returns `PERMISSION_DENIED` if their scope excludes anything. `what` needs the whole platform.
    pub(crate) fn check_everywhere(&self, what: &str) -> Result<(), OperationError> {
        if self.scope.is_everything() {
            Ok(())
        } else {
            Err(self.refusal(&format!("everywhere, as {what} does")))
        }
    }

    /// Returns Ok if the leader may carry out the request on behalf of the caller.
    ///
    /// # Errors
    /// Returns `PERMISSION_DENIED` if the caller has a scope: the leader learns only the name.
    pub(crate) fn check_forwarded(&self) -> Result<(), OperationError> {
        if self.scope.is_everything() {
            return Ok(());
        }
        let message = format!(
            "a token with a scope ({}) acts only through the aggregator that leads; ask that one",
            self.scope
        );
        Err(OperationError::new(Code::PermissionDenied, message))
    }

    fn refusal(&self, place: &str) -> OperationError {
        let user = if self.by.user.is_empty() { "this token" } else { &self.by.user };
        let message = format!(
            "{user} may act within its scope ({}), and not {place}; ask with another token",
            self.scope
        );
        OperationError::new(Code::PermissionDenied, message)
    }
}

#[cfg(test)]
mod tests {
    use rta_shared::config::{Source, load_sources};

    use super::*;

    #[test]
    fn scope_limits_by_environment_and_role_and_the_refusal_names_it() {
        let text = r#"
            [[component]]
            name = "c"
            criteria = [{ regex = 'c' }]
            [[role]]
            name = "broker"
            components = ["c"]
            [[environment]]
            name = "DEV"
            host = [{ name = "d1", role = "broker" }, { name = "d2", components = ["c"] }]
            [[environment]]
            name = "ITG"
            host = [{ name = "i1", role = "broker" }]
        "#;
        let platform = load_sources(&[Source { name: "x".to_owned(), text: text.to_owned() }]).unwrap();
        let caller = |environments: &[&str], roles: &[&str]| ActingCaller {
            is_forwarded: false,
            by: Requester { user: "job".to_owned(), address: String::new() },
            scope: ActScope {
                environments: environments.iter().map(|name| Name::from(*name)).collect(),
                roles: roles.iter().map(|name| Name::from(*name)).collect(),
            },
        };
        let allowed = |caller: &ActingCaller| -> Vec<&str> {
            let may = |host: &&str| caller.check_hosts(&platform, [&Name::from(*host)]).is_ok();
            ["d1", "d2", "i1"].into_iter().filter(may).collect()
        };
        assert_eq!(allowed(&caller(&[], &[])), ["d1", "d2", "i1"]);
        assert_eq!(allowed(&caller(&["dev"], &[])), ["d1", "d2"]);
        assert_eq!(allowed(&caller(&[], &["Broker"])), ["d1", "i1"]);
        assert_eq!(allowed(&caller(&["DEV"], &["broker"])), ["d1"]);
        let error = caller(&["DEV"], &["broker"]).check_hosts(&platform, [&"i1".into()]).unwrap_err();
        assert_eq!(error.code, Code::PermissionDenied);
        assert_eq!(
            error.message,
            "job may act within its scope (environments DEV; roles broker), and not on ITG/i1; ask with another token"
        );
        assert!(caller(&[], &[]).check_everywhere("a reload").is_ok());
        assert!(caller(&["DEV"], &[]).check_everywhere("a reload").is_err());
    }
}
