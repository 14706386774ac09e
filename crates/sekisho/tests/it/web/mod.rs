//! The HTTP API as its users ask it: every answer against its schema, every right with its twin.

mod answers;
mod browser;
mod changes;
mod http;
mod labels;
mod reports;
mod rights;
mod schema;
mod uploads;
