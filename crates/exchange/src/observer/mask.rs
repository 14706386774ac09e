//! Which fields of flows a client wants (`GetFlowsRequest.field_mask`).

use prost::Message as _;

use super::messages::{FieldMask, Flow};
use super::wire;

/// Fields of `flow.Flow` by name. What we never fill is known all the same: wanting it is no mistake.
const FIELDS: [(&str, u64); 45] = [
    ("time", 1),
    ("verdict", 2),
    ("drop_reason", 3),
    ("ethernet", 4),
    ("IP", 5),
    ("l4", 6),
    ("source", 8),
    ("destination", 9),
    ("Type", 10),
    ("node_name", 11),
    ("source_names", 13),
    ("destination_names", 14),
    ("l7", 15),
    ("reply", 16),
    ("event_type", 19),
    ("source_service", 20),
    ("destination_service", 21),
    ("traffic_direction", 22),
    ("policy_match_type", 23),
    ("trace_observation_point", 24),
    ("drop_reason_desc", 25),
    ("is_reply", 26),
    ("debug_capture_point", 27),
    ("interface", 28),
    ("proxy_port", 29),
    ("trace_context", 30),
    ("sock_xlate_point", 31),
    ("socket_cookie", 32),
    ("cgroup_id", 33),
    ("uuid", 34),
    ("auth_type", 35),
    ("trace_reason", 36),
    ("node_labels", 37),
    ("file", 38),
    ("tunnel", 39),
    ("ip_trace_id", 40),
    ("emitter", 41),
    ("egress_allowed_by", 21_001),
    ("ingress_allowed_by", 21_002),
    ("egress_denied_by", 21_004),
    ("ingress_denied_by", 21_005),
    ("policy_log", 21_006),
    ("aggregate", 21_007),
    ("Summary", 100_000),
    ("extensions", 150_000),
];

/// The fields that are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask(Vec<u64>);

/// A path that names no field of a flow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field_mask: `{0}` is no field of flow.Flow")]
pub struct UnknownPath(String);

impl Mask {
    /// Reads one; None = all fields. A path into a field, such as `source.namespace`, wants it whole.
    ///
    /// # Errors
    /// [`UnknownPath`].
    pub fn read(mask: &FieldMask) -> Result<Option<Self>, UnknownPath> {
        let number = |path: &String| {
            let name = path.split('.').next().unwrap_or_default();
            let known = FIELDS.iter().find(|(known, _)| *known == name);
            known.map(|(_, number)| *number).ok_or_else(|| {
                UnknownPath(sekisho_base::harmless(path).chars().take(100).collect())
            })
        };
        let numbers = mask.paths.iter().map(number).collect::<Result<Vec<_>, _>>()?;
        Ok((!numbers.is_empty()).then_some(Self(numbers)))
    }

    /// `flow` with the wanted fields alone.
    #[must_use]
    pub fn cut(&self, flow: &Flow) -> Flow {
        let bytes = flow.encode_to_vec();
        let parts = wire::parts(&bytes).unwrap_or_default();
        let wanted = parts.into_iter().filter(|(number, _)| self.0.contains(number));
        let kept: Vec<u8> = wanted.flat_map(|(_, bytes)| bytes).copied().collect();
        // Fields of a message of ours are one.
        Flow::decode(kept.as_slice()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(paths: &[&str]) -> Result<Option<Mask>, UnknownPath> {
        Mask::read(&FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() })
    }

    #[test]
    fn what_is_not_wanted_is_left_out_and_nothing_asked_is_all() {
        let flow = Flow { node_name: "a/b".to_owned(), verdict: 1, ..Flow::default() };
        let cut = mask(&["verdict", "source.namespace"]).unwrap().unwrap().cut(&flow);
        assert_eq!(cut, Flow { verdict: 1, ..Flow::default() });
        assert_eq!(mask(&[]).unwrap(), None);
        assert!(mask(&["verdicts"]).unwrap_err().to_string().contains("`verdicts`"));
    }
}
