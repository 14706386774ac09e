//! What the server answers people: each question of the HTTP API, from the same pipeline as the
//! command line, cut to what the asker may see.

mod answer;
mod archived_line;
mod audit;
mod changes;
mod edge;
mod flows;
mod inventory;
mod kept;
mod label_book;
mod labels;
mod look;
mod past;
mod policies;
mod reports;
mod rules;
mod scope;
mod summary;
mod timeline;
mod workload;

pub(crate) use audit::AuditLog;
pub(crate) use kept::KeptBook;
pub(crate) use label_book::LabelBook;
