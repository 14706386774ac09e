//! What somebody else changed since a revision came into force. Pure.

use std::collections::BTreeMap;

use sekisho_manifest::Object;

use super::content::{content, differences};
use super::desired::Desired;
use super::kinds::ObjectKey;
use super::live::{FieldChange, Live, LiveState};

/// How the cluster differs from the revision in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DriftKind {
    /// One of our objects says something else.
    Edited,
    /// One of our objects is not there.
    Deleted,
    /// One of our objects carries our marks no more, or another one of its name was made.
    Taken,
    /// An object with our marks that the revision does not hold: an apply was cut short.
    Stray,
    /// Somebody else's policy that was not there when the revision was verified.
    ForeignAdded,
    /// Somebody else's policy says something else than when the revision was verified.
    ForeignChanged,
    /// Somebody else's policy that is not there any more.
    ForeignRemoved,
}

impl DriftKind {
    /// One word for tables, JSON and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Edited => "edited",
            Self::Deleted => "deleted",
            Self::Taken => "taken",
            Self::Stray => "stray",
            Self::ForeignAdded => "foreign_added",
            Self::ForeignChanged => "foreign_changed",
            Self::ForeignRemoved => "foreign_removed",
        }
    }

    /// Whether applying the revision again mends it. What others made is theirs to mend.
    #[must_use]
    pub fn is_ours(self) -> bool {
        match self {
            Self::Edited | Self::Deleted | Self::Stray => true,
            Self::Taken | Self::ForeignAdded | Self::ForeignChanged | Self::ForeignRemoved => false,
        }
    }
}

/// One difference.
#[derive(Clone, Debug, PartialEq)]
pub struct Drift {
    /// Which object.
    pub key: ObjectKey,
    /// What happened to it.
    pub kind: DriftKind,
    /// The fields that differ.
    pub fields: Vec<String>,
    /// Who did it, as far as the API server knows; it keeps no trace of who deleted something.
    pub by: Option<FieldChange>,
    /// The object as it is now; None if it is gone.
    pub now: Option<Object>,
}

/// Compares what the API server holds with the revision in force: `ours` is what we applied,
/// `foreign` what others had made when it was verified. By object.
#[must_use]
pub fn drift(ours: &[Desired], foreign: &[Object], live: &LiveState) -> Vec<Drift> {
    let mut found = Vec::new();
    let mut rest: BTreeMap<&ObjectKey, &Live> = live.objects.iter().collect();
    let known = |key: &ObjectKey| !live.unlisted.contains(key.kind.as_str());
    for wanted in ours {
        match rest.remove(&wanted.key) {
            None if known(&wanted.key) => found.push(gone(&wanted.key, DriftKind::Deleted)),
            None => {}
            Some(live) if !live.ours => found.push(Drift {
                fields: differences(&wanted.content, &live.content),
                ..changed(live, DriftKind::Taken)
            }),
            Some(live) => {
                let fields = differences(&wanted.content, &live.content);
                if !fields.is_empty() {
                    found.push(Drift { fields, ..changed(live, DriftKind::Edited) });
                }
            }
        }
    }
    for object in foreign {
        let key = ObjectKey::of(object);
        match rest.remove(&key) {
            None if known(&key) => found.push(gone(&key, DriftKind::ForeignRemoved)),
            None => {}
            Some(live) => {
                let fields = differences(&content(object), &live.content);
                if !fields.is_empty() {
                    found.push(Drift { fields, ..changed(live, DriftKind::ForeignChanged) });
                }
            }
        }
    }
    // What can't be read was no part of what was verified either: it is told as unreadable.
    for live in rest.into_values().filter(|live| live.ours || live.object.is_some()) {
        let kind = if live.ours { DriftKind::Stray } else { DriftKind::ForeignAdded };
        found.push(changed(live, kind));
    }
    found.sort_by(|a, b| a.key.cmp(&b.key));
    found
}

fn gone(key: &ObjectKey, kind: DriftKind) -> Drift {
    Drift { key: key.clone(), kind, fields: Vec::new(), by: None, now: None }
}

fn changed(live: &Live, kind: DriftKind) -> Drift {
    Drift {
        key: live.key.clone(),
        kind,
        fields: Vec::new(),
        by: live.last_change_by_others().or_else(|| live.managers.last()).cloned(),
        now: live.object.clone(),
    }
}
