//! Every gRPC method and every route of the page, with what it takes to call it.

/// What it takes to call something. The greater includes the smaller ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// Nothing: signing in, the page's own files, liveness.
    Open,
    /// Seeing the platform, its record and its logs.
    View,
    /// Changing something: starting, stopping, maintenance, reloading.
    Act,
}

/// A gRPC method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MethodRule {
    /// Its path, `/package.Service/Method`.
    pub path: &'static str,
    /// What it takes.
    pub right: Right,
}

/// A route of the page's server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteRule {
    /// `GET`, which includes `HEAD`, or `POST`.
    pub method: &'static str,
    /// Its path; one that ends in `*` stands for every path that begins so.
    pub path: &'static str,
    /// What it takes.
    pub right: Right,
}

const fn method(path: &'static str, right: Right) -> MethodRule {
    MethodRule { path, right }
}

const fn get(path: &'static str, right: Right) -> RouteRule {
    RouteRule { method: "GET", path, right }
}

const fn post(path: &'static str, right: Right) -> RouteRule {
    RouteRule { method: "POST", path, right }
}

/// The methods of an agent.
pub const AGENT_METHODS: &[MethodRule] = &[
    method("/rta.v1.AgentService/GetReport", Right::View),
    method("/rta.v1.AgentService/WatchReport", Right::View),
    method("/rta.v1.AgentService/Start", Right::Act),
    method("/rta.v1.AgentService/Stop", Right::Act),
    method("/rta.v1.AgentService/Restart", Right::Act),
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

/// The methods of the aggregator.
pub const AGGREGATOR_METHODS: &[MethodRule] = &[
    method("/rta.v1.AggregatorService/GetOverview", Right::View),
    method("/rta.v1.AggregatorService/WatchOverview", Right::View),
    method("/rta.v1.AggregatorService/Refresh", Right::View),
    method("/rta.v1.AggregatorService/Plan", Right::View),
    method("/rta.v1.AggregatorService/Start", Right::Act),
    method("/rta.v1.AggregatorService/Stop", Right::Act),
    method("/rta.v1.AggregatorService/Restart", Right::Act),
    method("/rta.v1.AggregatorService/WatchPlan", Right::View),
    method("/rta.v1.AggregatorService/CancelPlan", Right::Act),
    method("/rta.v1.AggregatorService/ListEvents", Right::View),
    method("/rta.v1.AggregatorService/SetMaintenance", Right::Act),
    method("/rta.v1.AggregatorService/ReadLog", Right::View),
    method("/rta.v1.AggregatorService/Explain", Right::View),
    method("/rta.v1.AggregatorService/ReloadConfig", Right::Act),
    method("/grpc.health.v1.Health/Check", Right::View),
    method("/grpc.health.v1.Health/Watch", Right::View),
    method("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Right::View),
];

/// The routes of the page's server.
pub const HTTP_ROUTES: &[RouteRule] = &[
    get("/", Right::View),
    get("/api/v1/overview", Right::View),
    get("/live", Right::View),
    get("/instance", Right::View),
    get("/preview", Right::View),
    get("/live/instance", Right::View),
    get("/live/graph", Right::View),
    get("/live/plan", Right::View),
    get("/sign-in", Right::Open),
    post("/sign-in", Right::Open),
    post("/sign-out", Right::View),
    post("/theme", Right::View),
    get("/graph", Right::View),
    get("/log", Right::View),
    get("/events", Right::View),
    get("/api/v1/events", Right::View),
    get("/history", Right::View),
    get("/api/v1/history", Right::View),
    get("/healthz", Right::Open),
    get("/readyz", Right::Open),
    post("/refresh", Right::View),
    get("/plan", Right::View),
    post("/start", Right::Act),
    post("/stop", Right::Act),
    post("/restart", Right::Act),
    post("/cancel", Right::Act),
    get("/assets/*", Right::Open),
];

/// Returns what it takes to call the gRPC method `path` by the table `rules`; `None`: it is in no row, and nobody
/// may.
pub fn method_right(rules: &[MethodRule], path: &str) -> Option<Right> {
    rules.iter().find(|rule| rule.path == path).map(|rule| rule.right)
}

/// Returns what it takes to ask the page's server for `path` by `method`; `None`: it is in no row, and nobody may.
pub fn route_right(method: &str, path: &str) -> Option<Right> {
    let method = if method == "HEAD" { "GET" } else { method };
    let fits = |rule: &&RouteRule| {
        let is_path = match rule.path.strip_suffix('*') {
            Some(beginning) => path.starts_with(beginning),
            None => path == rule.path,
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

    /// The methods of a service, by the compiled descriptors.
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
        assert_eq!(method_right(AGENT_METHODS, "/rta.v1.AgentService/Stop"), Some(Right::Act));
        assert_eq!(method_right(AGENT_METHODS, "/rta.v1.AgentService/stop"), None);
        assert_eq!(method_right(AGENT_METHODS, "/rta.v1.AggregatorService/Stop"), None);
        assert_eq!(route_right("HEAD", "/healthz"), Some(Right::Open));
        assert_eq!(route_right("GET", "/assets/style-1.css"), Some(Right::Open));
        for (method, path) in
            [("GET", "/stop"), ("DELETE", "/"), ("POST", "/"), ("GET", "/x"), ("GET", "/assets")]
        {
            assert_eq!(route_right(method, path), None, "{method} {path}");
        }
    }
}
