//! Finds mistakes in policies: [`lint`].
//!
//! Each lint is one idea in one file and a few codes ([`CODES`]). What they share: [`context`] (the
//! policies in one shape, the ends that matter), [`source`] (where fields stand, and edits of the
//! text), [`reader`] (parts of rules). A finding is told only if it holds whatever the reader of
//! the files may know beside them, or it is a note.

mod blocks;
mod code;
mod context;
pub(crate) mod cover;
mod dns;
mod exposed;
mod finding;
mod objects;
mod overlap;
pub(crate) mod patch;
mod plugins;
mod ports;
mod priority;
mod reader;
mod run;
mod selection;
mod source;
mod suppress;
mod types;
mod vendor;
mod world;

pub use code::{CODES, Code, find as find_code};
pub use finding::{
    EVIDENCE_MAX, Edit, Finding, Fix, Linted, ObjectName, Severity, SeverityError, Unchecked,
};
pub use patch::{apply, unified_diff};
pub use run::{LintInput, lint};
