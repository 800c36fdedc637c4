//! Overview of the platform: the first page.
//!
//! | module | holds |
//! |---|---|
//! | `content` | the bound of the page: what is shown in full, folded, and counted |
//! | `view` | the page, in the layout that its size demands |
//! | `selection` | the filter in the address |
//! | `causes`, `cause_group`, `outages` | what is wrong, and what was stopped on purpose |
//! | `environment`, `summary`, `results` | sections of environments; many of them folded; pages of what was found |
//! | `host`, `instance`, `agent`, `host_grid` | cards, rows and tiles |
//! | `context`, `handler`, `notice` | input of all parts; the route; plans |

pub(crate) mod agent;
pub(crate) mod cause_group;
pub(crate) mod causes;
pub(crate) mod content;
pub(crate) mod context;
pub(crate) mod environment;
pub(crate) mod handler;
pub(crate) mod host;
pub(crate) mod host_grid;
pub(crate) mod instance;
pub(crate) mod notice;
pub(crate) mod outages;
pub(crate) mod results;
pub(crate) mod selection;
pub(crate) mod summary;
pub(crate) mod view;
