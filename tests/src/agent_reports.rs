//! Reports of an agent, read by an asynchronous test.

use rta_shared::proto::v1;
use rta_shared::proto::v1::watch_report_response::Event;
use tokio::time::timeout;
use tonic::Streaming;

use crate::server_process::TEST_TIMEOUT;
use crate::{AgentClient, TestAgent};

/// Stream of an agent's reports, and a client of the agent.
#[derive(Debug)]
pub struct AgentReports {
    /// Client of the agent.
    pub client: AgentClient,
    stream: Streaming<v1::WatchReportResponse>,
}

impl AgentReports {
    /// Connects to an agent and follows its reports.
    ///
    /// # Panics
    /// Panics if the agent does not report.
    pub async fn open(agent: &TestAgent) -> Self {
        let mut client = agent.client().await;
        let stream = client.watch_report(v1::WatchReportRequest::default()).await.expect("the agent reports");
        Self { client, stream: stream.into_inner() }
    }

    /// Returns the next report that is a change.
    ///
    /// # Panics
    /// Panics if none arrives in time, or if the agent cannot see its host.
    pub async fn next(&mut self) -> v1::Report {
        let next = async {
            loop {
                let message = self.stream.message().await.expect("the agent reports");
                let event = message.expect("the reports go on").event;
                if let Some(Event::Report(report)) = event {
                    assert_eq!(report.error, "");
                    return report;
                }
            }
        };
        timeout(TEST_TIMEOUT, next).await.expect("a change is reported in time")
    }

    /// Follows the reports until the first component is as `wanted`; returns every report of it on the way.
    pub async fn until(&mut self, wanted: impl Fn(&v1::ComponentReport) -> bool) -> Vec<v1::ComponentReport> {
        let mut way = Vec::new();
        loop {
            way.push(self.next().await.components.remove(0));
            if way.last().is_some_and(&wanted) {
                return way;
            }
        }
    }

    /// Returns a report from a full scan.
    ///
    /// # Panics
    /// Panics if there is none.
    pub async fn scan(&mut self) -> v1::Report {
        let response = self.client.get_report(v1::GetReportRequest {}).await.expect("the agent scans");
        response.into_inner().report.expect("there is a report")
    }
}
