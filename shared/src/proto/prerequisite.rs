//! Conversions of the readiness of prerequisites on other hosts.

use super::{ProtocolError, v1};
use crate::name::Name;
use crate::prerequisite::{Readiness, RemotePrerequisite};

impl From<&RemotePrerequisite> for v1::RemotePrerequisite {
    fn from(prerequisite: &RemotePrerequisite) -> Self {
        let readiness = match prerequisite.readiness {
            Readiness::Ready => v1::Readiness::Ready,
            Readiness::NotReady => v1::Readiness::NotReady,
            Readiness::Unknown => v1::Readiness::Unknown,
        };
        Self {
            host: prerequisite.host.to_string(),
            component: prerequisite.component.to_string(),
            readiness: readiness.into(),
        }
    }
}

impl TryFrom<v1::RemotePrerequisite> for RemotePrerequisite {
    type Error = ProtocolError;

    fn try_from(prerequisite: v1::RemotePrerequisite) -> Result<Self, ProtocolError> {
        let v1::RemotePrerequisite { host, component, readiness } = prerequisite;
        let readiness = match v1::Readiness::try_from(readiness) {
            Ok(v1::Readiness::Ready) => Readiness::Ready,
            Ok(v1::Readiness::NotReady) => Readiness::NotReady,
            Ok(v1::Readiness::Unknown) => Readiness::Unknown,
            Ok(v1::Readiness::Unspecified) | Err(_) => {
                return Err(ProtocolError::unknown("prerequisite.readiness", readiness));
            }
        };
        Ok(Self { host: Name::from(host), component: Name::from(component), readiness })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_arrives_and_an_unknown_word_is_refused() {
        for readiness in [Readiness::Ready, Readiness::NotReady, Readiness::Unknown] {
            let sent = RemotePrerequisite { host: "k1".into(), component: "kafka".into(), readiness };
            assert_eq!(RemotePrerequisite::try_from(v1::RemotePrerequisite::from(&sent)), Ok(sent));
        }
        assert!(RemotePrerequisite::try_from(v1::RemotePrerequisite::default()).is_err());
    }
}
