//! Verified policies as objects of the cluster, where its own plugin enforces them.
//!
//! [`desired`] turns a [`sekisho_verify::VerifiedPolicy`] into the objects that we want, [`plan`]
//! compares them with what the API server holds, [`drift`] says later what somebody else changed.
//! All three are pure. [`ApiServer`] does the rest: it lists, tries all changes with a dry run,
//! carries them out by server-side apply (Kubernetes v1.34, `PATCH` with
//! `application/apply-patch+yaml`), and takes them back if one fails. [`probe`] measures whether
//! the plugin enforces at all.
//!
//! Fail direction: what was in force stays. An object that somebody else made is never touched.

mod connect;
mod content;
mod desired;
mod drift;
mod installation;
mod kinds;
mod live;
mod plan;
mod probe;
mod probe_pods;
mod refusal;
mod requests;
mod transact;

pub use connect::{Access, ApiServer, ConnectError};
pub use desired::{
    ANNOTATION_DIGEST, ANNOTATION_INSTALLATION, ANNOTATION_REVISION, Desired, Stamp, desired,
};
pub use drift::{Drift, DriftKind, drift};
pub use installation::{Installation, InstallationError};
pub use kinds::{NativeKind, ObjectKey, is_native};
pub use live::{FieldChange, Live, LiveState, Unreadable};
pub use plan::{Plan, PlannedStep, Step, plan};
pub use probe::{ProbeError, ProbeFinding, ProbeOptions, ProbeReport, ProbeVerdict};
pub use refusal::{FieldConflict, Refusal};
pub use transact::{Force, InForce, Left, TransactError, Undoable};
