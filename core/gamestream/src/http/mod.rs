//! The HTTP that clients speak to ports 47989 (plain) and 47984 (TLS): one GET a connection, answered with XML.
//!
//! ```text
//! bytes ─ Request::parse ─► Request ─ Call::parse(caller) ─► Call::{ServerInfo, Pair, AppList, …}
//!                              └ RequestError   └ Refusal          │ the service acts
//!                                    └──────────────┴─► Response ◄─┘ answers::*
//! ```
//! What went wrong is said twice: as the `status_code` of the XML's root, which clients obey, and as its
//! `status_message`, which they show to a person. The HTTP status stays 200 for all that is HTTP at all.

pub mod answers;
mod call;
mod launch;
mod request;
mod response;
mod route;
pub mod xml;

pub use call::{Call, Caller, Refusal};
pub use launch::{LaunchQuery, Mode, ResumeQuery, Surround};
pub use request::{MAX_HEAD, Parsed, Query, QueryError, Request, RequestError};
pub use response::Response;
pub use route::{Access, Route};

#[cfg(test)]
mod tests;
