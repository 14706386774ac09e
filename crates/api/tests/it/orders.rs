//! Orders keep everything on their way, whatever policies and cluster they carry.
//!
//! The wire format has no field names: a field that is left out would shift all that follow.

use sekisho_api::Order;
use sekisho_manifest::parse;
use sekisho_model::TimeRange;
use sekisho_policy::{Cluster, Dialect, RuleSet};
use sekisho_verify::{Summary, VerifiedRecord};

const EVERY_KIND: &str = "
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: np, namespace: a}
spec: {podSelector: {}, ingress: [{}]}
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: cnp}
spec:
  tier: Admin
  priority: 1
  subject: {namespaces: {}}
  ingress: [{action: Deny, from: [{namespaces: {matchLabels: {team: b}}}]}]
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: cilium, namespace: a}
spec: {endpointSelector: {}, egressDeny: [{toEntities: [world]}]}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: calico}
spec: {selector: has(app), types: [Ingress], ingress: [{action: Deny}]}
---
apiVersion: v1
kind: Namespace
metadata: {name: a}
";

fn order(text: &str) -> Order {
    let objects = parse("every.yaml", text).unwrap();
    let rules = RuleSet::from_objects(&objects, Dialect::Cilium);
    let record = VerifiedRecord {
        policies: rules.policies().to_vec(),
        others: rules.others().to_vec(),
        dialect: rules.dialect(),
        window: TimeRange::ALL,
        completeness: 1.0,
        summary: Summary::default(),
        accepted: vec!["a".to_owned()],
        version: "1".to_owned(),
        digest: "d".to_owned(),
    };
    let cluster = Cluster::from_objects(&objects);
    let enforce = Some(record);
    Order { generation: 3, enforce, audit: None, revision: 2, cut: true, cluster }
}

#[test]
fn an_order_arrives_with_policies_of_every_kind_and_with_none() {
    let of_one_kind = EVERY_KIND.split("---").next().unwrap();
    for text in [EVERY_KIND, of_one_kind, ""] {
        let sent = order(text);
        let wire = postcard::to_stdvec(&sent).unwrap();
        let taken: Order = postcard::from_bytes(&wire).unwrap();
        assert_eq!(taken, sent);
    }
    let others = order(EVERY_KIND).enforce.unwrap().others;
    assert_eq!(others.len(), 4, "three policies, and the namespace that Cilium's refers to");
}
