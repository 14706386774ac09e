//! Each question to its answer.

use std::sync::Arc;

use bytes::Bytes;
use sekisho_api::{
    Account, DatapathMode, FlowPage, FlowsQuestion, People, Question, Refusal, Service, Tokens,
    Upload, UploadQuestion,
};
use sekisho_base::harmless;
use serde::Serialize;

use super::audit::Call;
use super::scope::whole;
use crate::server::core::Core;
use crate::server::fleet::Fleet;
use crate::server::service::now;
use crate::server::uploads::Spooling;

/// What an edge or a node is as JSON, about; what is not used is given back.
const ITEM_BYTES: usize = 768;

/// Encodes an answer.
pub(super) fn json(answer: &impl Serialize) -> Result<Bytes, Refusal> {
    let text = serde_json::to_vec(answer);
    text.map(Bytes::from).map_err(|error| Refusal::Unavailable(format!("not encoded: {error}")))
}

/// The same of an answer of many `items` of about `ITEM_BYTES`: a large one would be copied each time that
/// it outgrows its place.
fn json_of_many(answer: &impl Serialize, items: usize) -> Result<Bytes, Refusal> {
    let mut text = Vec::with_capacity(items.saturating_mul(ITEM_BYTES));
    match serde_json::to_writer(&mut text, answer) {
        Ok(()) => Ok(Bytes::from(text)),
        Err(error) => Err(Refusal::Unavailable(format!("not encoded: {error}"))),
    }
}

impl People for Fleet {
    fn tokens(&self) -> &Tokens {
        self.all_tokens()
    }

    fn answer(&self, account: &Account, question: &Question) -> Result<Bytes, Refusal> {
        match question {
            Question::Clusters => json(&self.clusters()),
            Question::Status => {
                whole(account, "the status")?;
                json(&self.status())
            }
            Question::Summary(of) => json(&self.summary(account, of)?),
            Question::Map(of) => {
                let map = self.map(account, of)?;
                json_of_many(&map, map.nodes.len().saturating_add(map.edges.len()))
            }
            Question::MapCompare(of, earlier) => self.compare(account, of, *earlier),
            Question::Scene(of) => json(&self.scene(account, of)?),
            Question::Timeline(of) => json(&self.timeline(account, of)?),
            Question::Edge(of) => json(&self.edge(account, of)?),
            Question::Workload(of) => json(&self.workload(account, of)?),
            Question::History(of) => json(&self.past_edges(account, of)?),
            Question::Flows(of) => json(&self.page(account, of)?),
            Question::Recommend(of) => self.recommend(account, of),
            Question::Templates(of) => json(&self.templates(account, of)?),
            Question::WhatIf(of) => {
                let report = self.what_if(account, of)?;
                json_of_many(&report, report.edges.len())
            }
            Question::Stage(of) => json(&self.put(account, of, DatapathMode::Audit)?),
            Question::Apply(of) => json(&self.put(account, of, DatapathMode::Enforce)?),
            Question::Rollback(of) => json(&self.go_back(account, of)?),
            Question::Revisions(cluster) => json(&self.past(account, cluster.as_ref())?),
            Question::Policies(cluster) => json(&self.policies(account, cluster.as_ref())?),
            Question::Report(of) => self.report(account, of),
            Question::RuleHits(of) => json(&self.rules(account, of)?),
            Question::Tokens => {
                whole(account, "the list of tokens")?;
                json(&self.tokens().list())
            }
            Question::CreateToken(wanted) => {
                whole(account, "making tokens")?;
                json(&self.create_token(wanted.clone(), &account.name)?)
            }
            Question::RevokeToken(name) => {
                whole(account, "revoking tokens")?;
                self.revoke_token(name, &account.name).map(|()| Bytes::new())
            }
            Question::Views => json(&self.views(account)),
            Question::KeepView(wanted) => json(&self.keep_view(account, wanted)?),
            Question::DropView(id) => self.drop_view(account, *id).map(|()| Bytes::new()),
            Question::Noise => json(&self.noise(account)),
            Question::KeepNoise(wanted) => json(&self.keep_noise(account, wanted)?),
            Question::DropNoise(id) => self.drop_noise(account, *id).map(|()| Bytes::new()),
            Question::Imports(cluster) => {
                whole(account, "the list of imports")?;
                json(&self.pick(cluster.as_ref())?.desk().list())
            }
            Question::Inventory(of) => json(&self.inventory(account, of)?),
            Question::Labels => json(&self.label_rules(account)?),
            Question::LabelState => {
                whole(account, "what was told about labels")?;
                json(&self.labels().told().state)
            }
            Question::TryRules(of) => json(&self.try_rules(account, &of.rules)?),
            Question::SetRules(of) => json(&self.set_rules(account, of)?),
            Question::ImportLabels(of) => json(&self.import_labels(account, of)?),
            Question::DropImport(name) => json(&self.drop_import(account, name)?),
            Question::LabelAsset(of) => json(&self.label_asset(account, of)?),
            Question::Audit(of) => {
                whole(account, "the audit log")?;
                json(&self.audit().page(of.before, of.limit)?)
            }
        }
    }

    fn receive(
        &self,
        account: &Account,
        question: &UploadQuestion,
    ) -> Result<Box<dyn Upload>, Refusal> {
        whole(account, "handing in files")?;
        let server = Arc::clone(self.shared(question.cluster.as_ref())?);
        let call = Call { who: &account.name, action: "import", target: server.name().as_str() };
        self.audit().done(&call, &harmless(&question.name), now())?;
        let names = (question.name.as_str(), account.name.as_str());
        Ok(Box::new(Spooling::begin(server, names, question.format.as_deref())?))
    }

    fn follow(
        &self,
        account: &Account,
        question: &FlowsQuestion,
        cursor: u64,
    ) -> Result<FlowPage, Refusal> {
        self.flows_after(account, question, cursor)
    }

    fn own(&self, account: &Account) -> String {
        self.own_maps(account)
    }

    fn revision(&self) -> u64 {
        // An odd factor: changes of both at one time do not cancel each other.
        let of = |core: &Core| {
            let policies = core.revisions.next_number();
            let came = core.recent.added().wrapping_add(core.past);
            came.wrapping_add(policies.wrapping_mul(0x9e37_79b9_7f4a_7c15))
        };
        let labels = self.labels().told().state.revision.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        self.members().fold(labels, |sum, member| sum.wrapping_add(of(&member.core())))
    }

    fn signed_in(&self, account: &Account) -> Result<(), Refusal> {
        let own = account.namespaces.as_ref().map_or_else(
            || "all namespaces".to_owned(),
            |own| own.iter().map(String::as_str).collect::<Vec<_>>().join(", "),
        );
        let call = Call { who: &account.name, action: "sign_in", target: "" };
        self.audit().done(&call, &format!("{} of {own}", account.role), now())
    }

    fn denied(&self, who: &str, action: &str, why: &str) {
        let call = Call { who, action, target: "" };
        self.audit().denied(&call, why, now());
    }
}
