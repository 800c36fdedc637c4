//! The end-to-end tests: each module runs the real binaries, and says in its first line which part of them.
//!
//! They are one program, because sixty would each be linked with the whole of rta's client. `browser` is
//! another. One module alone: `cargo test --workspace --test e2e leadership::`.

mod agent;
mod audit;
mod authorization;
mod autostart;
mod boot_order;
mod check;
mod clean_start;
mod clocks;
mod comes_back;
mod conditions;
mod control;
mod demo;
mod dependencies;
mod environments;
mod events_follow;
mod golden;
mod hostile;
mod hosts;
mod http_api;
mod identity;
mod incidents;
mod interrupted;
mod large_plans;
mod leadership;
mod learn;
mod lifecycle;
mod logs;
mod metrics;
mod module_cycles;
mod notifications;
mod parts;
mod planned_maintenance;
mod planned_stops;
mod plans;
mod platform;
mod record;
mod reload;
mod rolling_restart;
mod second_agent;
mod secrets;
mod selectors;
mod services;
mod shipped;
mod sign_in;
mod store;
mod suspended;
mod systemd;
mod tls;
mod tokens;
mod watch;
mod what_if;
mod why_down;
mod wrong_host;
