//! ClickHouse behind the folder, for history that outgrows one machine.
//!
//! The folder stays the durable front: what is acknowledged never waits for ClickHouse. Each sealed
//! segment is shipped in order, once; when retention removes it here, questions about its time are
//! answered by ClickHouse, and the two never count one row twice. docs/clickhouse.md has the tables,
//! decision 0018 the reasons.
//!
//! Everything here blocks: call it where that is allowed.

mod archive;
mod ask;
mod cursor;
mod error;
mod http;
mod insert;
mod joined;
mod schema;
mod settings;
mod shipment;

pub use archive::{Archive, Grain, Reading, Writing};
pub use cursor::ArchiveLag;
pub use error::ArchiveError;
pub use joined::{Archived, Joined};
pub use settings::ArchiveSettings;
pub use shipment::{Ledger, Reach, Shipment};

pub(crate) use cursor::Cursor;
pub(crate) use joined::DaySum;
