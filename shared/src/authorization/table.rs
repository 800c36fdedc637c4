//! Table of all gRPC methods and all routes of the page, with the right that each requires.

use std::borrow::Cow;
use std::sync::LazyLock;

use crate::action::ActionKind;

/// Right that a call requires. A greater right includes the smaller ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// No right required: signing in, the page's own files, liveness.
    Open,
    /// Right to see the platform, its history and its logs.
    View,
    /// Right to change something: starting, stopping, maintenance, reloading.
    Act,
    /// Right of other aggregators to follow the hosts of an environment.
    Follow,
}

/// Rule for a gRPC method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MethodRule {
    /// Path of the method, `/package.Service/Method`.
    pub path: &'static str,
    /// Required right.
    pub right: Right,
}

/// Rule for a route of the page's server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteRule {
    /// HTTP method: `GET`, which includes `HEAD`, or `POST`.
    pub method: &'static str,
    /// Path; a trailing `*` matches every path with that prefix.
    pub path: Cow<'static, str>,
    /// Required right.
    pub right: Right,
}

const fn method(path: &'static str, right: Right) -> MethodRule {
    MethodRule { path, right }
}

const fn get(path: &'static str, right: Right) -> RouteRule {
    RouteRule { method: "GET", path: Cow::Borrowed(path), right }
}

const fn post(path: &'static str, right: Right) -> RouteRule {
    RouteRule { method: "POST", path: Cow::Borrowed(path), right }
}

/// Methods of an agent.
pub const AGENT_METHODS: &[MethodRule] = &[
    method("/rta.v1.AgentService/GetReport", Right::View),
    method("/rta.v1.AgentService/WatchReport", Right::View),
    method("/rta.v1.AgentService/Act", Right::Act),
    method("/rta.v1.AgentService/WatchAction", Right::Act),
    method("/rta.v1.AgentService/SetMaintenance", Right::Act),
    method("/rta.v1.AgentService/SetPrerequisites", Right::Act),
    method("/rta.v1.AgentService/ReadLog", Right::View),
    method("/rta.v1.AgentService/Explain", Right::View),
    method("/rta.v1.AgentService/Inspect", Right::View),
    method("/rta.v1.AgentService/ReloadConfig", Right::Act),
    method("/grpc.health.v1.Health/Check", Right::View),
    method("/grpc.health.v1.Health/Watch", Right::View),
    method("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Right::View),
];

/// Methods of the aggregator.
pub const AGGREGATOR_METHODS: &[MethodRule] = &[
    method("/rta.v1.AggregatorService/GetOverview", Right::View),
    method("/rta.v1.AggregatorService/WatchOverview", Right::View),
    method("/rta.v1.AggregatorService/WatchHosts", Right::Follow),
    method("/rta.v1.AggregatorService/Refresh", Right::View),
    method("/rta.v1.AggregatorService/Plan", Right::View),
    method("/rta.v1.AggregatorService/WhatIf", Right::View),
    method("/rta.v1.AggregatorService/Act", Right::Act),
    method("/rta.v1.AggregatorService/WatchPlan", Right::View),
    method("/rta.v1.AggregatorService/CancelPlan", Right::Act),
    method("/rta.v1.AggregatorService/ListEvents", Right::View),
    method("/rta.v1.AggregatorService/WatchEvents", Right::View),
    method("/rta.v1.AggregatorService/ListIncidents", Right::View),
    method("/rta.v1.AggregatorService/GetIncident", Right::View),
    method("/rta.v1.AggregatorService/SetMaintenance", Right::Act),
    method("/rta.v1.AggregatorService/PlanMaintenance", Right::Act),
    method("/rta.v1.AggregatorService/ListPlannedMaintenance", Right::View),
    method("/rta.v1.AggregatorService/CancelPlannedMaintenance", Right::Act),
    method("/rta.v1.AggregatorService/ReadLog", Right::View),
    method("/rta.v1.AggregatorService/GetNotes", Right::View),
    method("/rta.v1.AggregatorService/Explain", Right::View),
    method("/rta.v1.AggregatorService/ReloadConfig", Right::Act),
    method("/rta.v1.AggregatorService/TestNotification", Right::Act),
    method("/rta.v1.AggregatorService/GetNotifyStatus", Right::View),
    method("/rta.v1.AggregatorService/DryRunNotifications", Right::View),
    method("/grpc.health.v1.Health/Check", Right::View),
    method("/grpc.health.v1.Health/Watch", Right::View),
    method("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Right::View),
];

/// Routes of the page's server: those of `PAGE_ROUTES`, and two for each action.
pub static HTTP_ROUTES: LazyLock<Vec<RouteRule>> = LazyLock::new(|| {
    let action = |path: String| RouteRule { method: "POST", path: Cow::Owned(path), right: Right::Act };
    let actions =
        ActionKind::ALL.into_iter().flat_map(|kind| [format!("/{kind}"), format!("/api/v1/{kind}")]);
    PAGE_ROUTES.iter().cloned().chain(actions.map(action)).collect()
});

/// Routes of the page's server that are no actions.
const PAGE_ROUTES: &[RouteRule] = &[
    get("/", Right::View),
    get("/api/v1/overview", Right::View),
    get("/live", Right::View),
    get("/instance", Right::View),
    get("/preview", Right::View),
    get("/what-if", Right::View),
    get("/api/v1/what-if", Right::View),
    get("/live/instance", Right::View),
    get("/live/graph", Right::View),
    get("/live/plan", Right::View),
    get("/live/events", Right::View),
    get("/live/incidents", Right::View),
    get("/sign-in", Right::Open),
    post("/sign-in", Right::Open),
    post("/sign-out", Right::View),
    post("/theme", Right::View),
    get("/graph", Right::View),
    get("/log", Right::View),
    get("/events", Right::View),
    get("/api/v1/events", Right::View),
    get("/incidents", Right::View),
    get("/api/v1/incidents", Right::View),
    get("/api/v1/incidents/{id}", Right::View),
    get("/history", Right::View),
    get("/api/v1/history", Right::View),
    get("/metrics", Right::View),
    get("/api/v1/instance", Right::View),
    get("/api/v1/events/stream", Right::View),
    get("/api/v1/plans", Right::View),
    post("/api/v1/plans/preview", Right::View),
    post("/api/v1/plans", Right::Act),
    get("/api/v1/plans/{id}", Right::View),
    get("/api/v1/plans/{id}/stream", Right::View),
    post("/api/v1/plans/{id}/cancel", Right::Act),
    get("/api/v1/maintenance", Right::View),
    post("/api/v1/maintenance", Right::Act),
    get("/api/v1/maintenance/planned", Right::View),
    post("/api/v1/maintenance/planned", Right::Act),
    post("/api/v1/maintenance/planned/{id}/cancel", Right::Act),
    get("/maintenance", Right::View),
    post("/maintenance/begin", Right::Act),
    post("/maintenance/end", Right::Act),
    post("/maintenance/plan", Right::Act),
    post("/maintenance/cancel", Right::Act),
    get("/api/v1/openapi.json", Right::Open),
    get("/healthz", Right::Open),
    get("/readyz", Right::Open),
    post("/refresh", Right::View),
    get("/plan", Right::View),
    post("/cancel", Right::Act),
    get("/assets/*", Right::Open),
];

/// Returns the right that the gRPC method `path` requires by the table `rules`; `None`: it is not in the
/// table, and denied to everyone.
pub fn method_right(rules: &[MethodRule], path: &str) -> Option<Right> {
    rules.iter().find(|rule| rule.path == path).map(|rule| rule.right)
}

/// Returns the right that a request with `method` for `path` requires on the page's server; `None`: it is not
/// in the table, and denied to everyone.
pub fn route_right(method: &str, path: &str) -> Option<Right> {
    let method = if method == "HEAD" { "GET" } else { method };
    let fits = |rule: &&RouteRule| {
        let is_path = match rule.path.strip_suffix('*') {
            Some(beginning) => path.starts_with(beginning),
            None => rule.path == path,
        };
        is_path && rule.method == method
    };
    HTTP_ROUTES.iter().find(fits).map(|rule| rule.right)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;
    use crate::proto::FILE_DESCRIPTOR_SET;

    /// Methods of a service, from the compiled descriptors.
    fn described(service: &str) -> BTreeSet<String> {
        let files = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).unwrap().file;
        let services = files.iter().flat_map(|file| &file.service);
        let service = services.into_iter().find(|found| found.name() == service).unwrap();
        let path = |method: &prost_types::MethodDescriptorProto| {
            format!("/rta.v1.{}/{}", service.name(), method.name())
        };
        service.method.iter().map(path).collect()
    }

    #[test]
    fn table_has_every_method_of_both_services_once() {
        for (service, rules) in [("AgentService", AGENT_METHODS), ("AggregatorService", AGGREGATOR_METHODS)] {
            let of_rta =
                rules.iter().map(|rule| rule.path.to_owned()).filter(|path| path.starts_with("/rta."));
            assert_eq!(of_rta.clone().collect::<BTreeSet<_>>(), described(service));
            assert_eq!(of_rta.count(), described(service).len(), "{service}: a method stands twice");
        }
    }

    #[test]
    fn what_is_in_no_row_has_no_right() {
        assert_eq!(method_right(AGENT_METHODS, "/rta.v1.AgentService/Act"), Some(Right::Act));
        assert_eq!(method_right(AGENT_METHODS, "/rta.v1.AgentService/act"), None);
        assert_eq!(method_right(AGENT_METHODS, "/rta.v1.AggregatorService/Act"), None);
        assert_eq!(route_right("HEAD", "/healthz"), Some(Right::Open));
        assert_eq!(route_right("GET", "/assets/style-1.css"), Some(Right::Open));
        assert_eq!(route_right("POST", "/restart"), Some(Right::Act));
        for (method, path) in
            [("GET", "/stop"), ("DELETE", "/"), ("POST", "/"), ("GET", "/x"), ("GET", "/assets")]
        {
            assert_eq!(route_right(method, path), None, "{method} {path}");
        }
    }
}
