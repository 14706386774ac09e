//! Reports for people who were not there: the same data as JSON, CSV, a printable document, a table.
//!
//! A report is a head (what was asked, of what, how complete, by whom) and data. The data has a
//! digest, so that two who have it can compare; the head has what differs each time it is made.
//! Each form is made of the same sheets, so that none tells more than another.

mod changes;
mod connectivity;
mod csv;
mod document;
mod html;
mod segmentation;
mod sheet;
mod table;
mod words;

pub(crate) use changes::{Changes, Images, RevisionLine};
pub(crate) use connectivity::Connectivity;
pub(crate) use document::{AnyDocument, Document, Head, Report, Scope};
pub(crate) use segmentation::{Place, Segmentation};
pub(crate) use table::table;
