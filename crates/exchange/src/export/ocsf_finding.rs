//! OCSF 1.3.0, class Detection Finding (2004) with the profiles Security Control and Container
//! (schema.ocsf.io/1.3.0/classes/detection_finding): one JSON object a line.

use sekisho_model::Timestamp;
use serde_json::{Value, json};

use super::finding::{Affected, Attack, Evidence, Finding, FindingKind, Severity};
use super::ocsf;
use super::text::{PRODUCT, ascii, milliseconds};

/// Name of this format, in `--format` and of sinks.
pub const OCSF_FINDINGS: &str = "ocsf-findings";
const CATEGORY: u32 = 2;
const CLASS: u32 = 2_004;
/// The release of ATT&CK whose numbers are named.
const ATTACK_VERSION: &str = "17.1";

/// What became of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindingActivity {
    /// Told for the first time.
    Create,
    /// Told before, with older figures.
    Update,
    /// It is over, since about then.
    Close(Timestamp),
}

impl FindingActivity {
    /// Numbers and captions of activity and status.
    fn words(self) -> [Word; 2] {
        match self {
            Self::Create => [(1, "Create"), (1, "New")],
            Self::Update => [(2, "Update"), (2, "In Progress")],
            Self::Close(_) => [(3, "Close"), (4, "Resolved")],
        }
    }
}

/// A finding as one line, without its end.
#[must_use]
pub fn ocsf_finding(finding: &Finding, activity: FindingActivity, version: &str) -> String {
    let [(number, name), (status_number, status)] = activity.words();
    let (severity_number, severity) = severity(finding.severity);
    let (action, disposition) = control(finding.kind);
    let (first, last) = (milliseconds(finding.first_seen), milliseconds(finding.last_seen));
    let time = match activity {
        FindingActivity::Create | FindingActivity::Update => last,
        FindingActivity::Close(at) => milliseconds(at),
    };
    let event = json!({
        "activity_id": number,
        "activity_name": name,
        "category_uid": CATEGORY,
        "category_name": "Findings",
        "class_uid": CLASS,
        "class_name": "Detection Finding",
        "type_uid": CLASS * 100 + number,
        "type_name": format!("Detection Finding: {name}"),
        "severity_id": severity_number,
        "severity": severity,
        "status_id": status_number,
        "status": status,
        "action_id": action.0,
        "action": action.1,
        "disposition_id": disposition.0,
        "disposition": disposition.1,
        "firewall_rule": finding.policy.as_ref().map(ocsf::rule),
        "time": time,
        "start_time": first,
        "end_time": last,
        "count": ocsf::count(finding.count),
        "message": finding.to_string(),
        "metadata": ocsf::metadata("findings", version),
        "finding_info": info(finding),
        "evidences": finding.evidence.iter().map(evidence).collect::<Vec<_>>(),
        "resources": finding.affected.iter().map(resource).collect::<Vec<_>>(),
        "remediation": remediation(&finding.remedy),
        "unmapped": { "cluster": finding.cluster, "decided_by": finding.policy },
    });
    ascii(&ocsf::without_nulls(event).to_string())
}

fn severity(severity: Severity) -> Word {
    match severity {
        Severity::Low => (2, "Low"),
        Severity::Medium => (3, "Medium"),
        Severity::High => (4, "High"),
    }
}

/// Number and caption of an enumeration's value.
type Word = (u32, &'static str);

/// What the control did: action and disposition.
fn control(kind: FindingKind) -> (Word, Word) {
    match kind {
        FindingKind::Denied => ((2, "Denied"), (2, "Blocked")),
        FindingKind::WouldDeny | FindingKind::NewImage => ((1, "Allowed"), (17, "Logged")),
        FindingKind::NotEnforced => ((1, "Allowed"), (1, "Allowed")),
        FindingKind::PolicyChanged => ((0, "Unknown"), (17, "Logged")),
        FindingKind::RulesChanged => ((0, "Unknown"), (11, "Corrected")),
    }
}

fn info(finding: &Finding) -> Value {
    json!({
        "uid": finding.uid(),
        "title": finding.to_string(),
        "desc": finding.detail,
        "types": [finding.kind.as_str()],
        "analytic": {
            "uid": finding.kind.as_str(),
            "name": finding.kind.caption(),
            "type_id": 1,
            "type": "Rule",
        },
        "attacks": finding.attack.map(|attack| vec![technique(attack)]),
        "data_sources": [PRODUCT],
        "first_seen_time": milliseconds(finding.first_seen),
        "last_seen_time": milliseconds(finding.last_seen),
    })
}

fn technique(attack: Attack) -> Value {
    let sub_technique = match attack {
        Attack::ImpairDefenses => None,
        Attack::SystemFirewall => {
            Some(json!({ "uid": "T1562.004", "name": "Disable or Modify System Firewall" }))
        }
    };
    json!({
        "version": ATTACK_VERSION,
        "tactics": [{ "uid": "TA0005", "name": "Defense Evasion" }],
        "technique": { "uid": "T1562", "name": "Impair Defenses" },
        "sub_technique": sub_technique,
    })
}

fn evidence(evidence: &Evidence) -> Value {
    match evidence {
        Evidence::Edge(row) => {
            let mut data = ocsf::unmapped(row);
            if let Value::Object(fields) = &mut data {
                fields.insert("connections".to_owned(), row.stats.connections.into());
                fields.insert("first_seen".to_owned(), row.stats.first_seen.to_string().into());
                fields.insert("last_seen".to_owned(), row.stats.last_seen.to_string().into());
            }
            json!({
                "src_endpoint": ocsf::source(&row.key),
                "dst_endpoint": ocsf::destination(&row.key),
                "connection_info": ocsf::connection(&row.key),
                "data": data,
            })
        }
        Evidence::Pair { source, destination, protocol, port, data } => json!({
            "src_endpoint": { "uid": source, "name": source },
            "dst_endpoint": { "uid": destination, "name": destination, "port": port },
            "connection_info": {
                "direction_id": 0,
                "protocol_name": protocol.to_string().to_ascii_lowercase(),
            },
            "data": data,
        }),
        Evidence::Data(data) => json!({ "data": data }),
    }
}

fn resource(affected: &Affected) -> Value {
    let Affected { namespace, name, kind } = affected;
    let uid = match namespace.as_str() {
        "" => format!("{name}[{kind}]"),
        namespace => format!("{namespace}/{name}[{kind}]"),
    };
    let namespace = (!namespace.is_empty()).then_some(namespace);
    json!({ "uid": uid, "name": name, "type": kind, "namespace": namespace })
}

fn remediation(text: &str) -> Option<Value> {
    (!text.is_empty()).then(|| json!({ "desc": text }))
}
