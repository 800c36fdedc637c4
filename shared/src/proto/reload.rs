//! Conversions of the results of a configuration reload.

use super::{ProtocolError, optional, v1};
use crate::name::Name;
use crate::reload::{HostReload, PlatformReload, ReloadResult};

impl From<ReloadResult> for v1::ReloadOutcome {
    fn from(reload: ReloadResult) -> Self {
        let ReloadResult { digest, changes, error } = reload;
        Self { config_digest: digest, changes, error: error.unwrap_or_default() }
    }
}

impl From<v1::ReloadOutcome> for ReloadResult {
    fn from(outcome: v1::ReloadOutcome) -> Self {
        let v1::ReloadOutcome { config_digest, changes, error } = outcome;
        Self { digest: config_digest, changes, error: optional(error) }
    }
}

impl From<v1::AgentServiceReloadConfigResponse> for ReloadResult {
    fn from(response: v1::AgentServiceReloadConfigResponse) -> Self {
        let v1::AgentServiceReloadConfigResponse { config_digest, changes } = response;
        Self { digest: config_digest, changes, error: None }
    }
}

impl From<PlatformReload> for v1::ReloadConfigResponse {
    fn from(reload: PlatformReload) -> Self {
        let hosts = reload.hosts.into_iter().map(|host| v1::HostReload {
            environment: host.environment.as_str().to_owned(),
            host: host.host.as_str().to_owned(),
            outcome: Some(host.outcome.into()),
        });
        Self { aggregator: Some(reload.aggregator.into()), hosts: hosts.collect() }
    }
}

impl TryFrom<v1::ReloadConfigResponse> for PlatformReload {
    type Error = ProtocolError;

    fn try_from(response: v1::ReloadConfigResponse) -> Result<Self, ProtocolError> {
        let hosts = response.hosts.into_iter().map(|host| {
            Ok(HostReload {
                environment: Name::from(host.environment),
                host: Name::from(host.host),
                outcome: host.outcome.ok_or(ProtocolError::Missing("outcome"))?.into(),
            })
        });
        Ok(Self {
            aggregator: response.aggregator.ok_or(ProtocolError::Missing("aggregator"))?.into(),
            hosts: hosts.collect::<Result<_, ProtocolError>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_comes_back() {
        let taken = ReloadResult {
            digest: "abc".to_owned(),
            changes: vec!["role \"x\" added".to_owned()],
            error: None,
        };
        let refused =
            ReloadResult { error: Some("x.toml:1:1: no\ny.toml: no".to_owned()), ..ReloadResult::default() };
        let host = HostReload { environment: "DEV".into(), host: "h".into(), outcome: refused };
        let reload = PlatformReload { aggregator: taken, hosts: vec![host] };
        assert!(!reload.is_complete());
        assert_eq!(PlatformReload::try_from(v1::ReloadConfigResponse::from(reload.clone())), Ok(reload));
        assert!(PlatformReload::try_from(v1::ReloadConfigResponse::default()).is_err());
    }
}
