//! The one owner of the scanner and of what is under way: scans each second and whenever asked, publishes
//! every report, and lets one action at a time work on a component.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rta_shared::config::HostConfig;
use rta_shared::report::{ActionKind, Report, State};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::scan::{Scanner, Sight};

/// From the end of one scan to the next that nobody asked for.
const REST: Duration = Duration::from_secs(1);
/// How many requests may wait.
const INBOX: usize = 128;

/// What is under way on a component.
pub(crate) type Action = (ActionKind, Timestamp);

enum Request {
    /// A scan that begins after the request.
    Scan(oneshot::Sender<Arc<Report>>),
    /// Reserves a component, or tells what holds it.
    Begin(usize, ActionKind, oneshot::Sender<Result<(), Action>>),
    /// Frees a component.
    End(usize),
}

/// A handle on the worker; clones share it.
#[derive(Clone)]
pub(crate) struct Worker {
    requests: mpsc::Sender<Request>,
    reports: watch::Receiver<Option<Arc<Report>>>,
}

/// The worker is gone, since the agent is shutting down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;

impl Worker {
    /// A worker for `config`, and the task that must run.
    pub(crate) fn new(
        config: HostConfig,
        shutdown: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (requests, inbox) = mpsc::channel(INBOX);
        let (publisher, reports) = watch::channel(None);
        let owner = Owner {
            rest: Rest::Scanner(Box::new(Scanner::new(config))),
            actions: HashMap::new(),
            last: None,
            publisher,
        };
        let task = async move {
            shutdown.run_until_cancelled_owned(owner.run(inbox)).await;
        };
        (Self { requests, reports }, task)
    }

    /// Every report as it is published; `None` before the first.
    pub(crate) fn reports(&self) -> watch::Receiver<Option<Arc<Report>>> {
        self.reports.clone()
    }

    /// The report of a scan that begins now.
    pub(crate) async fn scan(&self) -> Result<Arc<Report>, Gone> {
        let (answer, report) = oneshot::channel();
        self.requests.send(Request::Scan(answer)).await.map_err(|_| Gone)?;
        report.await.map_err(|_| Gone)
    }

    /// Reserves the component at a position for an action, or tells what holds it.
    pub(crate) async fn begin(&self, component: usize, kind: ActionKind) -> Result<Result<(), Action>, Gone> {
        let (answer, reserved) = oneshot::channel();
        self.requests.send(Request::Begin(component, kind, answer)).await.map_err(|_| Gone)?;
        reserved.await.map_err(|_| Gone)
    }

    /// Frees a component again.
    pub(crate) async fn end(&self, component: usize) {
        // Where the worker is gone, so is the reservation.
        let _ = self.requests.send(Request::End(component)).await;
    }
}

/// Where the scanner is: a scan takes it along to a thread that may block.
enum Rest {
    Scanner(Box<Scanner>),
    Scanning(JoinHandle<(Box<Scanner>, Sight)>),
}

struct Owner {
    rest: Rest,
    actions: HashMap<usize, Action>,
    last: Option<Sight>,
    publisher: watch::Sender<Option<Arc<Report>>>,
}

impl Owner {
    async fn run(mut self, mut inbox: mpsc::Receiver<Request>) {
        let mut next = Instant::now();
        // Those that wait for the scan after the one that runs, and for the one that runs.
        let mut waiting: Vec<oneshot::Sender<Arc<Report>>> = Vec::new();
        let mut served: Vec<oneshot::Sender<Arc<Report>>> = Vec::new();
        loop {
            let due = !waiting.is_empty() || Instant::now() >= next;
            self.rest = match self.rest {
                Rest::Scanner(mut scanner) if due => {
                    served.append(&mut waiting);
                    Rest::Scanning(tokio::task::spawn_blocking(move || {
                        let sight = scanner.look();
                        (scanner, sight)
                    }))
                }
                rest => rest,
            };
            let idle = matches!(self.rest, Rest::Scanner(_));
            let scanned = async {
                match &mut self.rest {
                    Rest::Scanning(task) => task.await,
                    Rest::Scanner(_) => std::future::pending().await,
                }
            };
            tokio::select! {
                done = scanned => match done {
                    Ok((scanner, sight)) => {
                        self.rest = Rest::Scanner(scanner);
                        self.last = Some(sight);
                        next = Instant::now() + REST;
                        if let Some(report) = self.publish() {
                            for answer in served.drain(..) {
                                // Whoever asked may have gone.
                                let _ = answer.send(Arc::clone(&report));
                            }
                        }
                    }
                    Err(error) => {
                        // Without its scanner the agent is blind; its silence says so to the aggregator.
                        tracing::error!(%error, "a scan failed");
                        return;
                    }
                },
                () = tokio::time::sleep_until(next), if idle => {}
                request = inbox.recv() => match request {
                    None => return,
                    Some(Request::Scan(answer)) => waiting.push(answer),
                    Some(Request::Begin(component, kind, answer)) => {
                        let reserved = match self.actions.get(&component) {
                            Some(held) => Err(*held),
                            None => Ok(()),
                        };
                        if answer.send(reserved).is_ok() && reserved.is_ok() {
                            self.actions.insert(component, (kind, Timestamp::now()));
                            self.publish();
                        }
                    }
                    Some(Request::End(component)) => {
                        self.actions.remove(&component);
                        self.publish();
                    }
                },
            }
        }
    }

    /// Publishes what the last scan and the actions say; `None` before the first scan and while one runs.
    fn publish(&self) -> Option<Arc<Report>> {
        let Rest::Scanner(scanner) = &self.rest else { return None };
        let sight = self.last.as_ref()?;
        let report = Arc::new(scanner.report(sight, |at| self.actions.get(&at).copied()));
        log_changes(self.publisher.borrow().as_deref(), &report);
        self.publisher.send_replace(Some(Arc::clone(&report)));
        Some(report)
    }
}

/// One line in the log for each component that changed.
fn log_changes(before: Option<&Report>, after: &Report) {
    let components = match &after.components {
        Ok(components) => components,
        Err(reason) => {
            if before.is_none_or(|before| before.components != after.components) {
                tracing::error!(reason, "blind");
            }
            return;
        }
    };
    let old = before.and_then(|before| before.components.as_ref().ok());
    for (at, new) in components.iter().enumerate() {
        let from = old.and_then(|old| old.get(at)).map(|old| old.state);
        if from != Some(new.state) && !(from.is_none() && new.state == State::Stopped) {
            let pids: Vec<u32> = new.processes.iter().map(|process| process.id.pid).collect();
            let from = from.map_or("unseen", State::word);
            tracing::info!(component = %new.component, from, to = new.state.word(), ?pids, "state changed");
        }
    }
}
