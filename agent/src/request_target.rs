//! Refuses requests that are for a different agent: those for another host, for an earlier boot of this one,
//! or planned with another configuration.
//!
//! An aggregator may reach the wrong agent (a wrong address, a changed DNS record, a moved port), and a plan
//! may be carried out minutes after it was made. A request is carried out only if it names this host.

use rta_shared::name::Name;
use rta_shared::proto::v1;
use rta_shared::sanitize::quoted_input;
use tonic::Status;

/// Identity of this agent, which the target of a request must match.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AgentIdentity<'a> {
    /// Name of the host in the configuration.
    pub(crate) host: &'a Name,
    /// Content of `/proc/sys/kernel/random/boot_id`.
    pub(crate) boot_id: &'a str,
    /// Digest of the configuration in use.
    pub(crate) config_digest: &'a str,
}

impl AgentIdentity<'_> {
    /// Admits a request that starts, stops or restarts a component.
    ///
    /// # Errors
    /// Returns FAILED_PRECONDITION with a sentence if the request does not name its host, or if its host,
    /// boot or configuration differs.
    pub(crate) fn admit_action(&self, target: Option<&v1::RequestTarget>) -> Result<(), Status> {
        self.admit(target)?;
        let host = self.host;
        let v1::RequestTarget { boot_id, config_digest, .. } = target.cloned().unwrap_or_default();
        if boot_id.is_empty() {
            return Err(refuse(format!(
                "the state of {host} was not known when this was planned; the request was not carried out: plan it \
                 again"
            )));
        }
        if config_digest != self.config_digest {
            return Err(refuse(format!(
                "the configuration of {host} changed since this was planned; the request was not carried out: plan \
                 it again"
            )));
        }
        Ok(())
    }

    /// Admits any other request, such as one that reads, sets maintenance or reloads.
    ///
    /// # Errors
    /// Returns FAILED_PRECONDITION with a sentence if the request does not name its host, or if its host
    /// differs, or its boot if it names one.
    pub(crate) fn admit(&self, target: Option<&v1::RequestTarget>) -> Result<(), Status> {
        let host = self.host;
        let Some(target) = target.filter(|target| !target.host.is_empty()) else {
            return Err(refuse(format!(
                "the request does not say for which host it is, and was not carried out by the agent of {host}: it \
                 comes from an older version; upgrade the aggregator"
            )));
        };
        if *host != *target.host.as_str() {
            let wrong = quoted_input(&target.host);
            return Err(refuse(format!(
                "this is the agent of {host}, not of {wrong}; the request was not carried out: correct the agent's \
                 address of {wrong} in the configuration"
            )));
        }
        if !target.boot_id.is_empty() && target.boot_id != self.boot_id {
            return Err(refuse(format!(
                "{host} was booted since this was planned; the request was not carried out: plan it again"
            )));
        }
        Ok(())
    }
}

fn refuse(sentence: String) -> Status {
    Status::failed_precondition(sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(host: &str, boot_id: &str, config_digest: &str) -> v1::RequestTarget {
        v1::RequestTarget {
            host: host.to_owned(),
            boot_id: boot_id.to_owned(),
            config_digest: config_digest.to_owned(),
            ..Default::default()
        }
    }

    fn admitted(target: Option<v1::RequestTarget>) -> [Result<(), String>; 2] {
        let host = Name::from("h1");
        let identity = AgentIdentity { host: &host, boot_id: "boot", config_digest: "digest" };
        let said = |result: Result<(), Status>| {
            result.map_err(|status| {
                assert_eq!(status.code(), tonic::Code::FailedPrecondition);
                status.message().to_owned()
            })
        };
        [said(identity.admit(target.as_ref())), said(identity.admit_action(target.as_ref()))]
    }

    #[test]
    fn request_for_this_host_boot_and_configuration_is_admitted() {
        assert_eq!(admitted(Some(target("H1", "boot", "digest"))), [Ok(()), Ok(())]);
    }

    #[test]
    fn read_needs_the_host_and_action_needs_the_rest() {
        for (target, expected) in [
            (target("h1", "", ""), "the state of h1 was not known when this was planned; "),
            (target("h1", "boot", ""), "the configuration of h1 changed since this was planned; "),
            (target("h1", "boot", "older"), "the configuration of h1 changed since this was planned; "),
        ] {
            let [read, action] = admitted(Some(target));
            assert_eq!(read, Ok(()));
            assert!(action.unwrap_err().starts_with(expected), "{expected}");
        }
    }

    #[test]
    fn request_for_another_host_or_boot_or_without_target_is_refused() {
        for (target, expected) in [
            (None, "the request does not say for which host it is, "),
            (Some(target("", "boot", "digest")), "the request does not say for which host it is, "),
            (
                Some(target("wrong", "boot", "digest")),
                "this is the agent of h1, not of wrong; the request was not carried out: correct the agent's \
                 address of wrong in the configuration",
            ),
            (Some(target("h1", "earlier", "digest")), "h1 was booted since this was planned; "),
        ] {
            for refused in admitted(target) {
                let message = refused.unwrap_err();
                assert!(message.starts_with(expected), "{message}");
            }
        }
        let [read, _] = admitted(Some(target(&"x".repeat(100_000), "", "")));
        assert!(read.unwrap_err().len() < 500);
    }
}
