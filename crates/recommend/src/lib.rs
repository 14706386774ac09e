//! Flows to least-privilege policies and ring-fence templates.
//!
//! [`propose`] turns recorded history into NetworkPolicies that a person would have written: stable
//! labels, named ports, one rule for peers that use the same ports, and for each rule the evidence
//! it rests on. Only what was seen working becomes a rule; what is left out is noted with its cause.
//! Pure: the same history and cluster give the same bytes, whatever the order of rows.

mod confidence;
mod fence;
mod groups;
mod history;
mod labels;
mod names;
mod proposal;
mod propose;
mod render;
mod request;
mod rules;
mod template;
mod traffic;

pub use proposal::{
    Confidence, NotNative, Note, NoteKind, Proposal, RecommendedPolicy, RuleEvidence,
};
pub use propose::propose;
pub use render::{json, yaml};
pub use request::{Request, Scope};
pub use template::catalogue::{self, TemplateId};
pub use template::choices::Choices;
pub use template::settings::{Template, TemplateError};
