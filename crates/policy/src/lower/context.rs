//! What policies of Cilium and Calico refer to.

use std::collections::BTreeMap;

use sekisho_manifest::calico::{
    CalicoObject, NetworkSet, Policy as CalicoPolicy, Tier as CalicoTier,
};
use sekisho_manifest::cilium::{CidrGroup, CiliumObject, Policy as CiliumPolicy};
use sekisho_manifest::{LabelSelector, Object, Service};
use sekisho_model::Labels;

use crate::ir::{Expr, Scope};

/// The objects by kind.
#[derive(Default)]
pub(super) struct Context<'o> {
    pub(super) cilium_policies: Vec<&'o CiliumPolicy>,
    pub(super) cidr_groups: Vec<&'o CidrGroup>,
    pub(super) calico_policies: Vec<&'o CalicoPolicy>,
    pub(super) network_sets: Vec<&'o NetworkSet>,
    pub(super) tiers: Vec<&'o CalicoTier>,
    pub(super) services: Vec<&'o Service>,
    pub(super) namespaces: BTreeMap<&'o str, &'o Labels>,
}

impl<'o> Context<'o> {
    pub(super) fn of(objects: &'o [Object]) -> Self {
        let mut context = Self::default();
        for object in objects {
            match object {
                Object::Cilium(CiliumObject::Policy(policy)) => {
                    context.cilium_policies.push(policy);
                }
                Object::Cilium(CiliumObject::CidrGroup(group)) => context.cidr_groups.push(group),
                Object::Calico(CalicoObject::Policy(policy)) => {
                    context.calico_policies.push(policy);
                }
                Object::Calico(CalicoObject::NetworkSet(set)) => context.network_sets.push(set),
                Object::Calico(CalicoObject::Tier(tier)) => context.tiers.push(tier),
                Object::Service(service) => context.services.push(service),
                Object::Namespace(namespace) => {
                    context.namespaces.insert(&namespace.meta.name, &namespace.meta.labels);
                }
                Object::EndpointSlice(_)
                | Object::Node(_)
                | Object::Pod(_)
                | Object::Workload(_)
                | Object::NetworkPolicy(_)
                | Object::TierPolicy(_)
                | Object::Exposure(_)
                | Object::ServiceAccount(_)
                | Object::Host(_)
                | Object::Other(_) => {}
            }
        }
        context.cilium_policies.sort_by_key(|it| (it.scope, &it.meta.namespace, &it.meta.name));
        context
    }
}

/// The pods behind a Service that has a selector.
pub(super) fn behind(service: &Service) -> Expr {
    let pods = LabelSelector::of(service.selector.clone());
    Expr::namespace(&service.meta.namespace).and(Expr::selector(Scope::Pod, &pods))
}

/// What any of them selects.
pub(super) fn any(parts: impl Iterator<Item = Expr>) -> Expr {
    let mut parts: Vec<Expr> = parts.filter(|part| *part != Expr::None).collect();
    if parts.contains(&Expr::All) {
        return Expr::All;
    }
    match parts.len() {
        0 => Expr::None,
        1 => parts.pop().unwrap_or(Expr::None),
        _ => Expr::Or(parts),
    }
}
