//! Stylesheets, scripts and the icon. Their paths contain a hash of their content, so that a browser may
//! cache them forever and never shows an old one.

use std::sync::LazyLock;

use rta_shared::sanitize::hex;
use sha2::{Digest as _, Sha256};

/// File that is embedded in the program.
pub(super) struct Asset {
    /// Path under which it is served.
    pub(super) path: String,
    pub(super) content_type: &'static str,
    pub(super) content: &'static str,
}

impl Asset {
    fn new(extension: &str, content_type: &'static str, content: &'static str) -> Self {
        let digest = Sha256::digest(content);
        let hash = hex(&digest[..8]);
        Self { path: format!("/assets/{hash}.{extension}"), content_type, content }
    }
}

/// Stylesheet: the tokens and rules that all pages share, then those of single pages.
pub(super) static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    let all = concat!(
        include_str!("assets/style.css"),
        include_str!("assets/detail.css"),
        include_str!("assets/graph.css"),
        include_str!("assets/history.css")
    );
    Asset::new("css", "text/css; charset=utf-8", all)
});

/// Script that morphs an element into another one without losing focus or scroll: idiomorph 0.8.0, unchanged
/// (<https://github.com/bigskysoftware/idiomorph>, Zero-Clause BSD).
pub(super) static MORPH: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("js", "text/javascript; charset=utf-8", include_str!("assets/idiomorph.min.js"))
});

/// Script that applies live changes to an open page, and handles keys.
pub(super) static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("js", "text/javascript; charset=utf-8", include_str!("assets/live.js")));

/// Icon of the browser tab.
pub(super) static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("svg", "image/svg+xml", include_str!("assets/icon.svg")));
