//! The few messages of the Container Runtime Interface that are asked for, by hand: no compiler of
//! schemas in the build. Field numbers are those of k8s.io/cri-api pkg/apis/runtime/v1/api.proto
//! (v0.37); unknown fields are skipped as protobuf has it.

use std::collections::BTreeMap;

/// `runtime.v1.VersionRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct VersionRequest {}

/// `runtime.v1.VersionResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct VersionResponse {
    #[prost(string, tag = "2")]
    pub(super) runtime_name: String,
    #[prost(string, tag = "3")]
    pub(super) runtime_version: String,
}

/// `runtime.v1.ListContainersRequest` without a filter: all containers in all states.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ListContainersRequest {}

/// `runtime.v1.ListContainersResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ListContainersResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) containers: Vec<Container>,
}

/// `runtime.v1.Container`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Container {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(message, optional, tag = "3")]
    pub(super) metadata: Option<Metadata>,
    /// As the pod asked for it.
    #[prost(message, optional, tag = "4")]
    pub(super) image: Option<ImageSpec>,
    /// What it is: an id or a digest.
    #[prost(string, tag = "5")]
    pub(super) image_ref: String,
    #[prost(btree_map = "string, string", tag = "8")]
    pub(super) labels: BTreeMap<String, String>,
}

/// `runtime.v1.ContainerMetadata`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Metadata {
    #[prost(string, tag = "1")]
    pub(super) name: String,
}

/// `runtime.v1.ImageSpec`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ImageSpec {
    #[prost(string, tag = "1")]
    pub(super) image: String,
    /// The reference of the pod's spec, where `image` was resolved already.
    #[prost(string, tag = "18")]
    pub(super) user_specified_image: String,
}
