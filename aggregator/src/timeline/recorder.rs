//! Detection of timeline changes: which instances have another state in an overview than in the one before.
//!
//! Events alone do not suffice. Neither the first state of an instance is an event, nor a change to unknown
//! that is caused by its host or by a prerequisite elsewhere; a timeline made of events would stay green
//! there.

use std::collections::HashMap;

use rta_shared::overview::{InstanceId, Overview};

use super::TimelineState;

/// Last state of every instance.
#[derive(Debug, Default)]
pub(crate) struct TimelineRecorder {
    /// `None` before the first overview.
    config_digest: Option<String>,
    /// Instances in the configuration's order.
    instances: Vec<(InstanceId, TimelineState)>,
}

impl TimelineRecorder {
    /// Returns the instances whose state changed, new ones included. Removed instances become "not recorded".
    pub(crate) fn record_overview(&mut self, overview: &Overview) -> Vec<(InstanceId, TimelineState)> {
        // With an unchanged configuration the positions match. This shortcut matters, since every overview is
        // compared.
        if self.config_digest.as_ref() == Some(&overview.config_digest) {
            let mut changed = Vec::new();
            for ((id, before), located) in self.instances.iter_mut().zip(overview.instances()) {
                let now = TimelineState::of_instance(located.instance);
                if *before != now {
                    *before = now;
                    changed.push((id.clone(), now));
                }
            }
            return changed;
        }
        self.config_digest = Some(overview.config_digest.clone());
        let now =
            overview.instances().map(|located| (located.id(), TimelineState::of_instance(located.instance)));
        let before = std::mem::replace(&mut self.instances, now.collect());
        let mut before: HashMap<InstanceId, TimelineState> = before.into_iter().collect();
        let mut changed: Vec<(InstanceId, TimelineState)> =
            self.instances.iter().filter(|(id, now)| before.remove(id) != Some(*now)).cloned().collect();
        changed.extend(before.into_keys().map(|gone| (gone, TimelineState::NotRecorded)));
        changed
    }

    /// Returns the states of all instances.
    pub(crate) fn current_states(&self) -> Vec<(InstanceId, TimelineState)> {
        self.instances.clone()
    }
}

#[cfg(test)]
mod tests {
    use rta_shared::overview::Health;

    use super::*;
    use crate::web::page::tests::sample;

    fn told(changed: &[(InstanceId, TimelineState)]) -> Vec<String> {
        changed.iter().map(|(id, state)| format!("{} {}", id.component, state.word())).collect()
    }

    #[test]
    fn everything_is_noted_once_and_then_what_changes_also_without_an_event() {
        let mut shown = TimelineRecorder::default();
        let mut overview = sample();
        assert_eq!(
            told(&shown.record_overview(&overview)),
            ["kafka server down", "novelty detector degraded", "cassandra unknown"]
        );
        assert!(shown.record_overview(&overview).is_empty());
        // Its host is unchanged; only its prerequisite became unknown. That is no event.
        let detector = &mut overview.environments[0].hosts[1].instances[0];
        detector.health = Health::Unknown;
        assert_eq!(told(&shown.record_overview(&overview)), ["novelty detector unknown"]);
        assert_eq!(shown.current_states().len(), 3);
    }

    #[test]
    fn what_comes_and_goes_with_the_configuration_is_noted() {
        let mut shown = TimelineRecorder::default();
        shown.record_overview(&sample());
        let mut other = sample();
        other.config_digest = "def".to_owned();
        other.environments[0].hosts.remove(0);
        assert_eq!(told(&shown.record_overview(&other)), ["kafka server not recorded"]);
        assert_eq!(told(&shown.record_overview(&sample())), ["kafka server down"]);
    }
}
