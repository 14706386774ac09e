//! What a watch tells.

use sekisho_manifest::Object;
use sekisho_model::Timestamp;

use crate::Change;

/// Something that the watch learned.
#[derive(Clone, Debug)]
pub enum Delta {
    /// An object is there, is different or is gone.
    Change {
        /// When we heard of it, by our clock: flows are timed by the nodes' clocks, and the API
        /// server tells no time of a change that could be compared with those.
        time: Timestamp,
        /// What happened.
        change: Change,
        /// The object, trimmed. Of one that is gone only kind, namespace and name are there.
        object: Box<Object>,
    },
    /// All objects of a kind were told since the start: another one that is known from an earlier
    /// run is gone. Comes once for each kind, and for kinds that the cluster does not have.
    Listed {
        /// When the list ended.
        time: Timestamp,
        /// The kind, as [`Object::kind`] spells it.
        kind: String,
        /// Namespace and name of those that are there and could not be read: not gone.
        unreadable: Vec<(String, String)>,
    },
}
