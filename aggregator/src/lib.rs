//! rta's aggregator: follows every agent, concludes what is up, down or broken, and renders the page.

pub mod operations;
pub mod web;
