//! HTTP types and endpoints over a Unix socket or mutual TLS.
//!
//! Agents send batches and wait for orders; people and the CLI ask for snapshots and give policies.
//! [`Service`] is what a server must be able to do; [`router`] puts it on the wire; [`Client`] is
//! the other end. Bodies between our own parts are postcard, everything else is JSON.
//!
//! The socket's file mode (0600) is the access control on one machine. What leaves it is TLS 1.3 with
//! a certificate at both ends, whose name says what its holder may do ([`Role`]).
//!
//! Hubble's clients are served by its Observer API ([`HubbleListener`]), which only reads; where somebody
//! else has it, [`Relay`] follows.

mod address;
mod admit;
mod client;
mod client_labels;
mod client_words;
mod deliver;
mod health;
mod hubble;
mod images;
mod line;
mod listen;
mod native;
mod own;
mod router;
mod service;
mod tls;
mod web;
mod wire;

pub use address::{AddressError, ServerAddress};
pub use client::{CallError, Client, ClientError};
pub use deliver::{DeliverError, Destination, DestinationError, Transport};
pub use health::{Health, HealthListenError, HealthListener};
pub use hubble::{
    HubbleListenError, HubbleListener, Relay, RelayError, RelayFlows, RelayTls, hubble_router,
};
pub use images::{ImageChange, ImageReview, VerifiedImages, WorkloadImages};
pub use listen::{ListenError, MetricsListenError, MetricsListener, UnixSocket, serve};
pub use native::{
    Contradiction, DriftReport, Enforcement, NativeReport, NativeStatus, NativeStep, ObjectName,
};
pub use router::{router, router_with};
pub use service::{Refusal, Service};
pub use tls::{
    Authority, AuthorityError, HandshakeError, Identity, IdentityError, Issued, Lifetime,
    ListenerFigures, ListenerStatus, MaterialError, Peer, Role, SenderFiles, SenderTls, TlsFiles,
    TlsListenError, TlsListener,
};
pub use web::{
    Access, AccessError, Account, ApplyQuestion, Asset, AssetValue, AssetView, Assets, AuditEntry,
    AuditPage, CreatedToken, DimensionView, EdgeQuestion, Endpoint, FlowsQuestion, HandQuestion,
    HistoryOrder, HistoryPlace, HistoryQuestion, ImportQuestion, ImportReport, ImportState,
    ImportStatus, ImportView, InventoryPage, InventoryQuestion, Kept, LabelChange, LabelChanges,
    MapQuestion, NewKept, NewRules, NewToken, NoRandomness, Noisy, OidcGrant, OidcSettings,
    OidcSettingsError, Outcome, PageQuestion, Parameter, People, Problem, Question, REPORT_POLICY,
    REPORT_STYLE, RecommendQuestion, ReportFormat, ReportKind, ReportLanguage, ReportQuestion,
    RollbackQuestion, RuleHitsQuestion, RulesQuestion, RulesView, Secret, TemplatesQuestion,
    TimelineQuestion, TokenError, TokenInfo, Tokens, Unlabelled, UnmatchedRow, Upload,
    UploadQuestion, View, WebListenError, WebListener, WebTls, WhatIfQuestion, WorkloadQuestion,
    endpoints, openapi, operators_labels_router, operators_router, web_router,
};
pub use wire::{
    AGENT_SILENT_S, Ack, AgentReport, AgentStatus, ApplyRequest, ApplyResponse, ArchiveFigures,
    ClusterStatus, DatapathMode, DropPage, EstablishedReport, FlowPage, IngestFigures, KindFigures,
    Order, PolicyFile, RejectFigures, Revision, RollbackRequest, SinkStatus, Snapshot,
    SnapshotQuery, SourceStatus, Status, Step, StoreFigures,
};
