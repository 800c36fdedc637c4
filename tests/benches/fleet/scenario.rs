//! The course of the bench for one size of the platform.

use std::path::Path;
use std::time::{Duration, Instant};

use rta_shared::plan::{ActionRequest, ExecutionOptions, PlanEvent};
use rta_shared::proto::v1;
use rta_tests::measurement::{CpuMeter, most_resident_kb, percentile, resident_kb};
use rta_tests::{AgentBehaviour, FakeAgents, TestAggregator, TestCluster, TestConfig, binary, run_binary};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use tokio::runtime::Runtime;

use crate::changes::{
    Changer, Latencies, follow_overviews, page_latencies, refresh_time, wait_for_overview, watch_latencies,
};
use crate::rows::Measured;

/// Components of each host.
pub(crate) const COMPONENTS: usize = 14;
/// Time limit for the start of a large platform.
pub(crate) const START_PATIENCE: Duration = Duration::from_secs(300);
/// Time in which the platform settles after each part.
pub(crate) const SETTLE: Duration = Duration::from_secs(3);
/// Limit of open files that is enough for the largest platform; only root can exceed the hard limit.
const OPEN_FILES: u64 = 65_536;
/// Time that each action of the plan takes.
const STEP: Duration = Duration::from_millis(20);
/// Changes whose cost is measured: rounds of rest and of changes, the duration of each half, and the rate of the
/// changes.
const CHANGE_ROUNDS: u32 = 5;
const CHANGE_ROUND: Duration = Duration::from_secs(4);
const CHANGES_A_SECOND: u32 = 10;
/// Number of changes for which the growth of the record is measured.
const RECORDED_CHANGES: u32 = 600;

/// Choices of the user.
pub(crate) struct Options {
    /// Groups of rows to measure; `None`: all.
    pub(crate) groups: Option<Vec<String>>,
    pub(crate) rest_seconds: u64,
    pub(crate) environments: usize,
}

impl Options {
    fn has(&self, group: &str) -> bool {
        self.groups.as_ref().is_none_or(|groups| groups.iter().any(|one| one == group))
    }
}

/// Measures a platform of so many hosts.
pub(crate) fn measure(hosts: usize, options: &Options) -> Measured {
    let note = |what: &str| println!("{hosts} hosts: {what}");
    raise_open_files();
    // Built before anything is measured.
    binary("rta-aggregator");
    let agents = FakeAgents::new(hosts, COMPONENTS);
    let config = TestConfig::new();
    let toml = agents.startable_toml_in(options.environments);
    config.write("components.toml", &toml);
    let mut measured = Measured::new();
    if options.has("check") {
        note("config check");
        let began = Instant::now();
        let folder = config.folder().display().to_string();
        let output = run_binary("rta", ["config", "check", &folder]);
        measured.insert("check", began.elapsed().as_secs_f64());
        assert!(output.status.success(), "{output:?}");
    }
    note("start");
    let data = config.path("data");
    let began = Instant::now();
    let mut cluster = TestCluster::builder(config).data().start();
    wait_until_ready(&cluster.aggregator);
    let pid = cluster.aggregator.process.pid();
    measured.insert("ready", began.elapsed().as_secs_f64());
    measured.insert("ready-most", mb(most_resident_kb(pid)));
    std::thread::sleep(SETTLE);

    let mut bench = Bench { agents: &agents, hosts, cpu: CpuMeter::new(pid), measured };
    if options.has("rest") {
        note("rest");
        bench.rest(Duration::from_secs(options.rest_seconds));
    }
    if options.has("change") {
        note("changes");
        bench.cost_of_changes();
    }
    let runtime = Runtime::new().expect("a runtime can be made");
    let aggregator = &cluster.aggregator;
    if options.has("page") {
        note("open page");
        bench.page(aggregator);
    }
    if options.has("watch") {
        note("WatchOverview");
        let mut changer = Changer::new(&agents, hosts);
        let seen = watch_latencies(&runtime, aggregator.grpc, &mut changer, 60);
        bench.insert_latencies(["watch-p50", "watch-p99"], &seen);
        changer.restore();
        std::thread::sleep(SETTLE);
    }
    if options.has("size") {
        bench.measured.insert("page-size", aggregator.web.get("/").body.len() as f64 / 1e3);
        let status = aggregator.rta(&["status"]).stdout;
        bench.measured.insert("status-size", String::from_utf8_lossy(&status).lines().count() as f64);
    }
    if options.has("refresh") {
        note("refresh");
        let refreshed = bench.with_sick(AgentBehaviour::Hung, aggregator, |_| {
            let client = runtime.block_on(aggregator.client());
            refresh_time(&runtime, client.max_decoding_message_size(256 << 20))
        });
        bench.measured.insert("refresh", refreshed.as_secs_f64());
    }
    if options.has("sick") {
        for (key, behaviour) in [("flap", AgentBehaviour::Flapping), ("garbage", AgentBehaviour::Garbage)] {
            note(key);
            let share = bench.with_sick(behaviour, aggregator, |bench| bench.cpu_share(SETTLE * 3));
            bench.measured.insert(key, share * 100.0);
        }
        note("death");
        bench.death(&runtime, aggregator);
    }
    if options.has("plan") {
        note("plan");
        let time = plan(&runtime, aggregator, &agents, hosts * COMPONENTS);
        bench.measured.insert("plan", time.as_secs_f64());
    }
    let mut measured = bench.measured;
    if options.has("record") {
        note("record");
        measured.insert("record", record_growth(&mut cluster.aggregator, &agents, hosts, &data));
    }
    measured
}

/// Platform that is being measured.
struct Bench<'a> {
    agents: &'a FakeAgents,
    hosts: usize,
    cpu: CpuMeter,
    measured: Measured,
}

impl Bench<'_> {
    /// Returns the share of a core that the aggregator uses for a time.
    fn cpu_share(&mut self, duration: Duration) -> f64 {
        let (began, before) = (Instant::now(), self.cpu.read());
        while began.elapsed() < duration {
            std::thread::sleep(Duration::from_millis(500));
            self.cpu.read();
        }
        (self.cpu.read() - before).as_secs_f64() / began.elapsed().as_secs_f64()
    }

    fn rest(&mut self, duration: Duration) {
        let share = self.cpu_share(duration);
        self.measured.insert("rest", share * 100.0);
        self.measured.insert("resident", mb(resident_kb(self.cpu.pid())));
        self.measured.insert("resident-most", mb(most_resident_kb(self.cpu.pid())));
    }

    /// Measures what changes cost beyond the rest, which is measured in turn with them: it varies by more than they
    /// cost within a minute.
    fn cost_of_changes(&mut self) {
        let mut changer = Changer::new(self.agents, self.hosts);
        let (mut beyond, mut count) = (0.0, 0);
        for _ in 0..CHANGE_ROUNDS {
            let at_rest = self.cpu_share(CHANGE_ROUND);
            let (began, before) = (Instant::now(), self.cpu.read());
            count += changer.run(CHANGES_A_SECOND, CHANGE_ROUND);
            std::thread::sleep(Duration::from_millis(500));
            let used = (self.cpu.read() - before).as_secs_f64();
            beyond += used - at_rest * began.elapsed().as_secs_f64();
        }
        self.measured.insert("change", beyond.max(0.0) * 1e3 / count as f64);
        changer.restore();
        std::thread::sleep(SETTLE);
    }

    fn page(&mut self, aggregator: &TestAggregator) {
        let keys = [
            (10, ["page-10-p50", "page-10-p99"], "page-10-lost"),
            (100, ["page-100-p50", "page-100-p99"], "page-100-lost"),
        ];
        for (a_second, percentiles, lost_key) in keys {
            let mut changer = Changer::new(self.agents, self.hosts);
            let Latencies { seen, lost } =
                page_latencies(aggregator.web.0, &mut changer, a_second, Duration::from_secs(8));
            self.insert_latencies(percentiles, &seen);
            self.measured.insert(lost_key, lost as f64);
            changer.restore();
            std::thread::sleep(SETTLE);
        }
    }

    fn insert_latencies(&mut self, keys: [&'static str; 2], seen: &[Duration]) {
        if !seen.is_empty() {
            for (key, share) in keys.into_iter().zip([0.5, 0.99]) {
                self.measured.insert(key, percentile(seen, share).as_secs_f64() * 1e3);
            }
        }
    }

    /// Makes every twentieth agent sick meanwhile.
    fn with_sick<T>(
        &mut self,
        behaviour: AgentBehaviour,
        aggregator: &TestAggregator,
        measure: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let (agents, hosts) = (self.agents, self.hosts);
        let set = |behaviour| (0..hosts).step_by(20).for_each(|host| agents.set_behaviour(host, behaviour));
        set(behaviour);
        let result = measure(self);
        set(AgentBehaviour::Healthy);
        std::thread::sleep(SETTLE * 2);
        wait_until_ready(aggregator);
        result
    }

    /// Lets half of the agents die at once, and return at once.
    fn death(&mut self, runtime: &Runtime, aggregator: &TestAggregator) {
        let half = self.hosts / 2;
        let mut stream = follow_overviews(runtime, aggregator.grpc, false);
        let cases = [("death", AgentBehaviour::Dead, half), ("return", AgentBehaviour::Healthy, 0)];
        for (key, behaviour, unreachable) in cases {
            let began = Instant::now();
            (0..half).for_each(|host| self.agents.set_behaviour(host, behaviour));
            let at = wait_for_overview(runtime, &mut stream, |message| message.unreachable() == unreachable);
            self.measured.insert(key, at.saturating_duration_since(began).as_secs_f64());
        }
        drop(stream);
        std::thread::sleep(SETTLE);
    }
}

/// Stops everything by one plan, and returns the time that it took. Then everything runs again.
fn plan(runtime: &Runtime, aggregator: &TestAggregator, agents: &FakeAgents, steps: usize) -> Duration {
    agents.set_action_time(STEP);
    let began = Instant::now();
    runtime.block_on(async {
        let mut client = aggregator.client().await.max_decoding_message_size(1 << 30);
        let selection = ActionRequest { all: true, ..ActionRequest::default() };
        let options = ExecutionOptions { everything: true, parallel: 64, ..ExecutionOptions::default() };
        let request = v1::AggregatorServiceActRequest {
            kind: v1::ActionKind::Stop.into(),
            selection: Some((&selection).into()),
            options: Some(v1::PlanOptions::new(&options, "ann")),
        };
        let mut events = client.act(request).await.expect("the plan begins").into_inner();
        while let Some(message) = events.message().await.expect("the plan goes on") {
            let event = message.event.expect("there is an event");
            if let PlanEvent::Ended(end) = event.try_into().expect("it is valid") {
                assert_eq!(end.done, steps);
            }
        }
    });
    let took = began.elapsed();
    for at in 0..steps {
        agents.set_state(at / COMPONENTS, at % COMPONENTS, v1::State::Running);
    }
    std::thread::sleep(SETTLE);
    took
}

/// Returns the growth of the data folder in MB a day, at a change a second. A restart without changes is
/// measured too, and subtracted. The aggregator has ended afterwards.
fn record_growth(aggregator: &mut TestAggregator, agents: &FakeAgents, hosts: usize, folder: &Path) -> f64 {
    let mut size_after = |changes: u32| {
        if changes > 0 {
            let mut changer = Changer::new(agents, hosts);
            changer.run(40, Duration::from_secs(u64::from(changes) / 40));
        }
        std::thread::sleep(SETTLE);
        aggregator.stop(Signal::TERM);
        let size = folder_size(folder);
        aggregator.start_again();
        wait_until_ready(aggregator);
        size
    };
    // The first restart fills the pages of the file that earlier parts have left free.
    size_after(0);
    let (first, idle, busy) = (size_after(0), size_after(0), size_after(RECORDED_CHANGES));
    let grown = (busy - idle) - (idle - first);
    grown / f64::from(RECORDED_CHANGES) * 86_400.0 / 1e6
}

fn folder_size(folder: &Path) -> f64 {
    let files = std::fs::read_dir(folder).expect("there is a data folder").flatten();
    files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len() as f64).sum()
}

fn wait_until_ready(aggregator: &TestAggregator) {
    let began = Instant::now();
    while aggregator.web.get("/readyz").code != 200 {
        assert!(began.elapsed() < START_PATIENCE, "the aggregator does not become ready");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Allows enough open files, as far as the system does: each agent listens, and has a connection.
pub(crate) fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let enough = |most| Rlimit { current: Some(most), maximum: Some(most) };
    let raised = setrlimit(Resource::Nofile, enough(OPEN_FILES));
    if let (Err(_), Some(most)) = (raised, limit.maximum) {
        setrlimit(Resource::Nofile, enough(most)).expect("the limit can be raised to its maximum");
    }
}

pub(crate) fn mb(kb: u64) -> f64 {
    kb as f64 * 1024.0 / 1e6
}
