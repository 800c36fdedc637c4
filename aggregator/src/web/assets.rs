//! The stylesheet and the icon. Their paths carry a hash of their content, so that a browser may keep them
//! for ever and yet never shows an old one.

use std::sync::LazyLock;

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
        let hash: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Self { path: format!("/assets/{hash}.{extension}"), content_type, content }
    }
}

/// The one stylesheet: the tokens and what all pages share, then what single pages have of their own.
pub(super) static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    let all = concat!(include_str!("assets/style.css"), include_str!("assets/history.css"));
    Asset::new("css", "text/css; charset=utf-8", all)
});

/// The icon in the browser's tab.
pub(super) static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("svg", "image/svg+xml", include_str!("assets/icon.svg")));
