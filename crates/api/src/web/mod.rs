//! The HTTP API for people and their programs, and the console beside it.
//!
//! What may be asked is one table ([`endpoints`]): the routes, who may ask them, their parameters and
//! the OpenAPI document are all made of it. A [`People`] answers; who asks is an [`Account`], known by
//! a token or by the cookie that was had for one.

mod account;
mod answers;
mod asking;
mod assets;
mod audit;
mod changes;
mod endpoints;
mod imports;
mod kept;
mod label_endpoints;
mod label_questions;
mod labels;
mod listener;
mod oidc;
mod openapi;
mod operators;
mod operators_labels;
mod parameters;
mod people;
mod problem;
mod pulse;
mod question;
mod reports;
mod router;
mod secret;
mod session;
mod sign_in;
mod stream;
mod threads;
mod throttle;
mod tokens;
mod upload;

pub use account::{Access, AccessError, Account};
pub use assets::{Asset, Assets};
pub use audit::{AuditEntry, AuditPage, Outcome};
pub use endpoints::{Endpoint, Parameter, endpoints};
pub use imports::{ImportState, ImportStatus, Upload, UploadQuestion};
pub use kept::{Kept, NewKept, Noisy, View};
pub use label_questions::{
    HandQuestion, ImportQuestion, InventoryQuestion, NewRules, RulesQuestion, Unlabelled,
};
pub use labels::{
    AssetValue, AssetView, DimensionView, ImportReport, ImportView, InventoryPage, LabelChange,
    LabelChanges, RulesView, UnmatchedRow,
};
pub use listener::{WebListenError, WebListener, WebTls};
pub use oidc::{OidcGrant, OidcSettings, OidcSettingsError};
pub use openapi::openapi;
pub use operators::operators_router;
pub use operators_labels::operators_labels_router;
pub use people::People;
pub use problem::Problem;
pub use question::{
    ApplyQuestion, EdgeQuestion, FlowsQuestion, HistoryOrder, HistoryPlace, HistoryQuestion,
    MapQuestion, NewToken, PageQuestion, Question, RecommendQuestion, RollbackQuestion,
    RuleHitsQuestion, TemplatesQuestion, TimelineQuestion, WhatIfQuestion, WorkloadQuestion,
};
pub use reports::{
    REPORT_POLICY, REPORT_STYLE, ReportFormat, ReportKind, ReportLanguage, ReportQuestion,
};
pub use router::web_router;
pub use secret::{NoRandomness, Secret};
pub use tokens::{CreatedToken, TokenError, TokenInfo, Tokens};
