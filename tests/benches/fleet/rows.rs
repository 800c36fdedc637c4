//! Rows of the table, with their goals.

use std::collections::HashMap;

/// Figures by the key of their row.
pub(crate) type Measured = HashMap<&'static str, f64>;

/// Row of the table.
pub(crate) struct Row {
    pub(crate) key: &'static str,
    pub(crate) label: &'static str,
    /// Goal for at most 1,000 hosts.
    pub(crate) goal_1000: Option<f64>,
    /// Goal for at most 10,000 hosts.
    pub(crate) goal_10000: Option<f64>,
}

const fn row(key: &'static str, label: &'static str, goal_1000: Option<f64>, goal_10000: Option<f64>) -> Row {
    Row { key, label, goal_1000, goal_10000 }
}

/// All rows, in the order of the table.
pub(crate) const ROWS: &[Row] = &[
    row("check", "config check, s", Some(0.05), Some(0.5)),
    row("ready", "start to ready, s", Some(0.5), Some(5.0)),
    row("ready-most", "  resident until then at most, MB", None, None),
    row("resident", "resident at rest, MB", Some(64.0), Some(500.0)),
    row("resident-most", "  at most, MB", Some(100.0), None),
    row("rest", "CPU at rest, % of a core", Some(3.0), Some(25.0)),
    row("change", "CPU per change of one instance, ms", Some(0.3), Some(0.4)),
    row("refresh", "refresh of all, s, 5 % of agents hung", Some(1.0), Some(5.0)),
    row("page-10-p50", "change to open page, p50, ms, 10/s", Some(20.0), Some(30.0)),
    row("page-10-p99", "  p99", Some(50.0), Some(80.0)),
    row("page-10-lost", "  changes not seen", Some(0.0), Some(0.0)),
    row("page-100-p50", "change to open page, p50, ms, 100/s", Some(50.0), Some(50.0)),
    row("page-100-p99", "  p99", Some(150.0), Some(150.0)),
    row("page-100-lost", "  changes not seen", Some(0.0), Some(0.0)),
    row("watch-p50", "change to WatchOverview, p50, ms", Some(20.0), Some(30.0)),
    row("watch-p99", "  p99", Some(50.0), Some(80.0)),
    row("page-size", "GET /, kB", Some(600.0), Some(800.0)),
    row("status-size", "rta status, lines", Some(60.0), Some(60.0)),
    row("plan", "plan that stops all, steps of 20 ms, 64 at a time, s", Some(6.0), None),
    row("flap", "CPU with 5 % of agents flapping, % of a core", None, None),
    row("garbage", "CPU with 5 % of agents sending garbage, % of a core", None, None),
    row("death", "half of the agents die: until all are unknown, s", None, None),
    row("return", "  they return: until all are known, s", None, None),
    row("record", "growth of the record at 1 change/s, MB a day", Some(20.0), Some(20.0)),
    row("several-ready", "several: start to led and ready everywhere, s", None, None),
    row("several-settled", "  until each agent has one connection, s", None, None),
    row("several-connections", "  connections of an agent", Some(1.0), Some(1.0)),
    row("several-resident", "  resident of one aggregator at rest, MB", None, None),
    row("several-rest", "  CPU of one aggregator at rest, % of a core", None, None),
    row("several-watch-p50", "  change to WatchOverview of another leader, p50, ms", None, None),
    row("several-watch-p99", "    p99", None, None),
    row("several-refresh", "  refresh of all through one, s", Some(1.0), Some(5.0)),
    row("several-taken", "  leader killed: until its environment is led, s", Some(10.0), Some(10.0)),
    row("several-followed", "    until each agent has one connection again, s", None, None),
];
