//! Tests of the families, and of their document.

use std::collections::BTreeSet;
use std::path::Path;

use rta_shared::config::{Source, load_sources};
use rta_shared::metrics::{ExpositionFormat, encode_families};

use super::*;

/// Returns the figures of a host whose first scan has not ended.
fn figures() -> HostFigures {
    let text = r#"
        [[component]]
        name = "kafka server"
        criteria = [{ regex = 'kafka' }]
        [[environment]]
        name = "DEV"
        host = [{ name = "d1", components = ["kafka server"] }]
    "#;
    let platform = load_sources(&[Source { name: "x".to_owned(), text: text.to_owned() }]).unwrap();
    let config = platform.host_config(platform.find_host("d1").unwrap(), &[]).unwrap();
    HostFigures { config: Arc::new(config), report: None, usage: None }
}

#[test]
fn configured_component_is_unknown_until_it_was_seen() {
    let text = encode_families(figures(), TABLES, ExpositionFormat::Prometheus).unwrap();
    let labels = "environment=\"DEV\",host=\"d1\",component=\"kafka server\"";
    assert!(text.contains(&format!("\nrta_instance_state{{{labels},state=\"unknown\"}} 1")), "{text}");
    assert!(text.contains(&format!("\nrta_instance_state{{{labels},state=\"stopped\"}} 0")), "{text}");
    assert!(!text.contains("\nrta_instance_processes{") && !text.contains("\nrta_host_"), "{text}");
}

#[test]
fn document_names_every_series() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let document = std::fs::read_to_string(path).unwrap();
    let section =
        document.split("\n## ").find(|section| section.starts_with("Metrics of an agent\n")).unwrap();
    let named: BTreeSet<&str> = section.split('`').filter(|word| word.starts_with("rta_")).collect();
    let real: BTreeSet<String> =
        TABLES.iter().copied().flatten().map(|family| family.description.series_name()).collect();
    assert_eq!(named, real.iter().map(String::as_str).collect());
}
