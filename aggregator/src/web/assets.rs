//! The stylesheet and the icon. Their paths carry a hash of their content, so that a browser may keep them
//! for ever and yet never shows an old one.

use std::sync::LazyLock;

use rta_shared::text::hex;
use sha2::{Digest as _, Sha256};

/// A file that is part of the program.
pub(super) struct Asset {
    /// Where it is served.
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

/// The one stylesheet: the tokens and what all pages share, then what single pages have of their own.
pub(super) static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    let all = concat!(
        include_str!("assets/style.css"),
        include_str!("assets/detail.css"),
        include_str!("assets/graph.css"),
        include_str!("assets/history.css")
    );
    Asset::new("css", "text/css; charset=utf-8", all)
});

/// What turns one piece of a page into another without losing focus or scroll: idiomorph 0.8.0, unchanged
/// (<https://github.com/bigskysoftware/idiomorph>, Zero-Clause BSD).
pub(super) static MORPH: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new("js", "text/javascript; charset=utf-8", include_str!("assets/idiomorph.min.js"))
});

/// What brings to an open page what changes, and the keys.
pub(super) static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("js", "text/javascript; charset=utf-8", include_str!("assets/live.js")));

/// The icon in the browser's tab.
pub(super) static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("svg", "image/svg+xml", include_str!("assets/icon.svg")));
