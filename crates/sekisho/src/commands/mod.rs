//! What each command does.

pub(crate) mod amend;
pub(crate) mod apply;
pub(crate) mod certificates;
pub(crate) mod cluster;
pub(crate) mod connect;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod export;
pub(crate) mod gitops;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod input;
pub(crate) mod lab;
pub(crate) mod map;
pub(crate) mod native;
pub(crate) mod observe;
pub(crate) mod output;
pub(crate) mod policy;
pub(crate) mod recommend;
pub(crate) mod roles;
pub(crate) mod stack;
pub(crate) mod status;
pub(crate) mod tunnel;
pub(crate) mod verify;
pub(crate) mod yaml;
