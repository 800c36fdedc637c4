//! The web side: the page, its JSON, and the health endpoints.
