//! Details of one instance beyond the overview: its criteria, what it needs and what needs it, the command
//! lines of its processes.

use rta_shared::attributes::CriterionKind;
use rta_shared::config::{ComponentNotes, Platform};
use rta_shared::dependency::DependencyGraph;
use rta_shared::inspection::InspectedProcess;
use rta_shared::overview::{Health, InstanceId, Overview};
use rta_shared::selector::{Purpose, Selector};

use crate::api::{Operations, agent_of};
use crate::operation_error::OperationError;

/// Instance with its criteria and its neighbours in the graph.
#[derive(Clone, Debug)]
pub(crate) struct InstanceDefinition {
    pub(crate) id: InstanceId,
    /// Criteria of all parts.
    pub(crate) criteria: Vec<ConfiguredCriterion>,
    pub(crate) needs: Vec<ConfiguredRequirement>,
    pub(crate) dependents: Vec<InstanceId>,
    /// What people should know of it.
    pub(crate) notes: ComponentNotes,
}

/// Criterion as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfiguredCriterion {
    pub(crate) part: Option<String>,
    pub(crate) kind: CriterionKind,
    pub(crate) index: Option<i32>,
    /// Regex, user or unit.
    pub(crate) text: String,
}

/// Requirement: any one of the providers meets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfiguredRequirement {
    pub(crate) component: String,
    pub(crate) providers: Vec<InstanceId>,
}

impl Operations {
    /// Returns the details of the selected instance.
    ///
    /// # Errors
    /// Returns an error if the selector does not select one instance.
    pub(crate) async fn instance_definition(
        &self,
        selector: &Selector,
    ) -> Result<InstanceDefinition, OperationError> {
        let id = self.resolve_id(selector)?;
        let operations = self.clone();
        // This takes a while on a large platform.
        let made = tokio::task::spawn_blocking(move || operations.definition_of(&id)).await;
        made.map_err(|error| {
            OperationError::new(tonic::Code::Internal, format!("the aggregator failed: {error}"))
        })
    }

    /// Resolves the selector to the ID of one instance.
    ///
    /// # Errors
    /// Returns an error if the selector does not select one instance.
    pub(crate) fn resolve_id(&self, selector: &Selector) -> Result<InstanceId, OperationError> {
        Ok(self.inventory().resolve_instance(selector, Purpose::Reading)?.id())
    }

    /// Returns the details of an instance in the current configuration.
    pub(crate) fn definition_of(&self, id: &InstanceId) -> InstanceDefinition {
        let inventory = self.inventory();
        build_definition(&inventory.platform, inventory.graph(), id)
    }

    /// Returns the processes of an instance with their command lines, as its agent sees them now.
    ///
    /// # Errors
    /// Returns an error if the selector does not select one instance, or if the agent does not answer or
    /// refuses.
    pub(crate) async fn inspect_processes(
        &self,
        selector: &Selector,
    ) -> Result<Vec<InspectedProcess>, OperationError> {
        let inventory = self.inventory();
        let found = inventory.resolve_instance(selector, Purpose::Reading)?;
        agent_of(&inventory, &found)?.inspect_component(&found.component.name).await
    }
}

fn build_definition(platform: &Platform, graph: &DependencyGraph, id: &InstanceId) -> InstanceDefinition {
    let own = (0..graph.len()).find(|at| graph.id(*at) == id);
    let named = |at: &usize| graph.id(*at).clone();
    let needs = own.map(|at| graph.requirements(at)).unwrap_or_default();
    let needs = needs.iter().map(|need| ConfiguredRequirement {
        component: need.component.as_str().to_owned(),
        providers: need.providers.iter().map(named).collect(),
    });
    let is_needed_by = |at: &usize| {
        graph.requirements(*at).iter().any(|need| own.is_some_and(|own| need.providers.contains(&own)))
    };
    let dependents = (0..graph.len()).filter(is_needed_by).map(|at| named(&at)).collect();
    let component = platform.component(id.component.as_str());
    let parts = component.map(|component| component.parts.as_slice());
    let start = component.and_then(|component| component.start.as_ref());
    let user = start.and_then(|start| start.engine.command()?.user.clone());
    let criteria = parts.unwrap_or_default().iter().flat_map(|part| {
        let is_said = part.criteria.iter().any(|criterion| criterion.kind() == CriterionKind::User);
        // The user of the start command applies if no criterion names another one.
        let implied = user.clone().filter(|_| !is_said).map(|text| ConfiguredCriterion {
            part: part.name.as_ref().map(|name| name.as_str().to_owned()),
            kind: CriterionKind::User,
            index: None,
            text,
        });
        part.criteria
            .iter()
            .map(|criterion| ConfiguredCriterion {
                part: part.name.as_ref().map(|name| name.as_str().to_owned()),
                kind: criterion.kind(),
                index: criterion.index(),
                text: criterion.to_string(),
            })
            .chain(implied)
    });
    let host = platform.find_host(id.host.as_str());
    // The links were checked when the configuration was loaded.
    let notes = component.zip(host).and_then(|(component, host)| component.notes_on(host).ok());
    InstanceDefinition {
        criteria: criteria.collect(),
        needs: needs.collect(),
        dependents,
        notes: notes.unwrap_or_default(),
        id: id.clone(),
    }
}

/// Returns the health of an instance in the overview; `None` if it is not in it.
pub(crate) fn find_health(overview: &Overview, id: &InstanceId) -> Option<Health> {
    overview.find(id).map(|located| located.instance.health)
}

#[cfg(test)]
mod tests {
    use rta_shared::config::{Source, load_sources};

    use super::*;

    #[test]
    fn it_knows_whom_it_needs_and_who_needs_it_over_hosts() {
        let text = r#"
            [[component]]
            name = "kafka server"
            criteria = [{ index = 0, regex = 'java' }, { regex = 'kafka\.Kafka' }]
            depends_on = ["zookeeper"]
            [[component]]
            name = "zookeeper"
            criteria = [{ regex = 'zoo' }]
            [[component]]
            name = "writer"
            criteria = [{ regex = 'writer' }]
            depends_on = ["kafka server"]
            start = { command = ["run"], user = "writer" }
            [[environment]]
            name = "E"
            host = [{ name = "h", components = ["zookeeper", "kafka server"] }, { name = "h2", components = ["writer"] }]
        "#;
        let platform = load_sources(&[Source { name: "x".to_owned(), text: text.to_owned() }]);
        let id = |host: &str, component: &str| InstanceId {
            environment: "E".into(),
            host: host.into(),
            component: component.into(),
        };
        let of = |platform: &Platform, id| build_definition(platform, &DependencyGraph::new(platform), &id);
        let Ok(platform) = platform else { return assert!(platform.is_ok(), "{platform:?}") };
        let kafka = of(&platform, id("h", "kafka server"));
        assert_eq!(
            kafka.needs,
            [ConfiguredRequirement {
                component: "zookeeper".to_owned(),
                providers: vec![id("h", "zookeeper")]
            }]
        );
        let regexes: Vec<_> = kafka.criteria.iter().map(|one| (one.index, one.text.as_str())).collect();
        assert_eq!(regexes, [(Some(0), "java"), (None, r"kafka\.Kafka")]);
        let writer = of(&platform, id("h2", "writer")).criteria;
        assert_eq!((writer[1].kind, writer[1].text.as_str()), (CriterionKind::User, "writer"));
        assert!(of(&platform, id("h", "zookeeper")).dependents == [id("h", "kafka server")]);
        // A provider on another host counts only if the configuration allows it.
        assert_eq!(of(&platform, id("h2", "writer")).dependents, []);
    }
}
