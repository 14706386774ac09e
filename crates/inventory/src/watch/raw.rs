//! An object as it comes from the API server, cut down while it is decoded.

use std::borrow::Cow;

use kube::Resource;
use kube::core::{ApiResource, ObjectMeta};
use serde::Deserialize;
use serde_json::Value;

/// Any object: its metadata, and the parts that some [`super::kinds::Form`] keeps. Everything else
/// at its top is skipped by the decoder.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Raw {
    /// metadata.
    #[serde(default)]
    pub(crate) metadata: ObjectMeta,
    /// spec.
    #[serde(default)]
    pub(crate) spec: Value,
    /// specs of a policy of Cilium.
    #[serde(default)]
    pub(crate) specs: Value,
    /// status.
    #[serde(default)]
    pub(crate) status: Value,
    /// addressType, endpoints and ports of an EndpointSlice, which has no spec.
    #[serde(default, rename = "addressType")]
    pub(crate) address_type: Value,
    #[serde(default)]
    pub(crate) endpoints: Value,
    #[serde(default)]
    pub(crate) ports: Value,
}

impl Resource for Raw {
    type DynamicType = ApiResource;
    type Scope = kube::core::DynamicResourceScope;

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        Cow::Borrowed(&resource.group)
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        Cow::Borrowed(&resource.version)
    }

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        Cow::Borrowed(&resource.kind)
    }

    fn api_version(resource: &ApiResource) -> Cow<'_, str> {
        Cow::Borrowed(&resource.api_version)
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        Cow::Borrowed(&resource.plural)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// What both ways to ask for objects give.
pub(crate) trait Arrived: Send {
    /// Metadata and the rest; the rest of an object of which only metadata was asked is empty.
    fn into_raw(self) -> Raw;
}

impl Arrived for Raw {
    fn into_raw(self) -> Raw {
        self
    }
}

impl Arrived for kube::core::PartialObjectMeta<Raw> {
    fn into_raw(self) -> Raw {
        Raw { metadata: self.metadata, ..Raw::default() }
    }
}
