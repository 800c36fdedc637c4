//! Parts that several pages share: pure functions from values to HTML.
//!
//! | module | holds |
//! |---|---|
//! | `anchors` | IDs of elements and parts of addresses |
//! | `config` | banners of configuration problems and impairments |
//! | `filter` | forms that filter what a page lists |
//! | `form` | forms with the token of the session |
//! | `health` | colours, marks and words of health; ages |
//! | `html_patch` | rendered page as a tree, and the difference of two |
//! | `layout` | frame of every page, and pages with one message |
//! | `links` | links to instances |
//! | `maintenance` | marks of maintenance |
//! | `planned` | planned stops, with the button to start again |
//! | `record_list` | frame of the pages that list what was recorded |
//! | `sparkline` | small diagrams of resource usage |
//! | `timeline` | timelines as diagrams |

pub(crate) mod anchors;
pub(crate) mod config;
pub(crate) mod filter;
pub(crate) mod form;
pub(crate) mod health;
pub(crate) mod html_patch;
pub(crate) mod layout;
pub(crate) mod links;
pub(crate) mod maintenance;
pub(crate) mod planned;
pub(crate) mod record_list;
pub(crate) mod sparkline;
pub(crate) mod timeline;
