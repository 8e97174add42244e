//! Source: from an import path and a version to a [`Checkout`] on disk.
//!
//! [`Sources`] is the entry point: it knows what each version meant when it was last looked up,
//! keeps checkouts, and sends a fetch worker to an island for what is missing. The server itself
//! never parses a pack, a zip or a page.

mod checkout;
mod fetch;
mod gate;
mod path;
mod places;
mod request;
mod resolution;
mod sources;
mod version;

pub use checkout::Checkout;
pub(crate) use checkout::short_hex;
pub use fetch::{Fetcher, SourceError};
pub use fetch_job::{HostPattern, Mirror, Origin, Place, Reach};
pub use gate::{Gate, GatePolicy, GateSocket, Proxies};
pub use path::{ImportPath, PathError};
pub use places::named_places;
pub use request::PackageRequest;
pub use sources::{CachedSource, Sources, SourcesBounds, SourcesOptions};
pub use version::{Revision, Version, VersionError};
