//! The table of what people may ask.

use axum::http::Method;

use super::imports::imports;
use super::label_endpoints::label_endpoints;
use super::parameters::Asked;
use super::question::{EdgeQuestion, FlowsQuestion, PageQuestion, TimelineQuestion};
use super::reports::reports;
use super::{Access, Question, WorkloadQuestion};
use crate::Refusal;

/// Flows in one page.
const FLOWS: (usize, usize, usize) = (1, 100, 1_000);
/// Entries of the audit log in one page.
const ENTRIES: (usize, usize, usize) = (1, 100, 1_000);
/// Parts of a time line.
const BUCKETS: (usize, usize, usize) = (1, 60, 240);

/// One thing that may be asked.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    /// Method.
    pub method: &'static Method,
    /// Path after `/api/v1`; a part in braces is a name.
    pub path: &'static str,
    /// Who may ask; None = everybody, also who is not signed in.
    pub access: Option<Access>,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// Its parameters.
    pub parameters: &'static [&'static [Parameter]],
    /// Name of the body's schema; None = it has no body.
    pub body: Option<&'static str>,
    /// Name of the answer's schema.
    pub answer: &'static str,
    /// How it is answered.
    pub(crate) kind: Kind,
}

/// How an endpoint is answered.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// As [`Kind::Ask`]; who asks the same within the second gets the same answer.
    Look(fn(&Asked<'_>) -> Result<Question, Refusal>),
    /// Read to a question, and answered by [`super::People`].
    Ask(fn(&Asked<'_>) -> Result<Question, Refusal>),
    /// Flows as they come.
    Stream,
    /// That something changed.
    Changes,
    /// Who is signed in.
    Session,
    /// A file is taken in.
    Upload,
    /// Sign in.
    SignIn,
    /// Sign out.
    SignOut,
    /// How somebody may sign in.
    Ways,
    /// The OpenAPI document.
    OpenApi,
}

/// A query parameter.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it says.
    pub summary: &'static str,
    /// JSON Schema of its values.
    pub schema: &'static str,
    /// Whether it must be given.
    pub required: bool,
}

pub(super) const TEXT: &str = r#"{"type":"string"}"#;
pub(super) const FLAG: &str = r#"{"type":"boolean","default":false}"#;
pub(super) const LIST: &str = r#"{"type":"array","items":{"type":"string"}}"#;
const COUNT: &str = r#"{"type":"integer","minimum":1}"#;

pub(super) const fn may(
    name: &'static str,
    schema: &'static str,
    summary: &'static str,
) -> Parameter {
    Parameter { name, summary, schema, required: false }
}

pub(super) const fn must(
    name: &'static str,
    schema: &'static str,
    summary: &'static str,
) -> Parameter {
    Parameter { name, summary, schema, required: true }
}

pub(super) const CLUSTER: &[Parameter] =
    &[may("cluster", TEXT, "The cluster; may be left out where the server has one only.")];
pub(super) const WINDOW: &[Parameter] = &[
    may(
        "since",
        TEXT,
        "Start of the window: a duration back from now (15m, 24h, 14d), RFC 3339, or `all`; 24h if \
         nothing is said.",
    ),
    may("from", TEXT, "The same as `since`."),
    may("to", TEXT, "End of the window, in the same forms; now if nothing is said."),
];
pub(super) const NAMESPACE: &[Parameter] =
    &[may("namespace", LIST, "Only what has an end in one of these; may be given several times.")];
pub(super) const NOISE: &[Parameter] = &[
    may("hide_dns", FLAG, "Leaves out DNS inside the cluster."),
    may("hide_probes", FLAG, "Leaves out probes by nodes."),
    may("hide_scrapes", FLAG, "Leaves out what programs that collect metrics ask for."),
    may(
        "hide_noise",
        FLAG,
        "Leaves out what `GET /noise` names, unless it was or would be denied.",
    ),
];
const GROUPING: &[Parameter] = &[
    may(
        "by",
        r#"{"type":"string","pattern":"^(cluster|namespace|application|environment|node|workload|pod|process|label:.+|dimension:.+)$","default":"workload"}"#,
        "What one node stands for; `label:KEY` for each value of a label of pods, hosts or their \
         namespaces, `dimension:NAME` for each value of a dimension of labels.",
    ),
    may(
        "within",
        LIST,
        "Only what has an end within this node, by its id at any grouping (`tier=web[Label]`, \
         `shop/cart[Deployment]`); given several times: within all of them.",
    ),
];
const TOP: &[Parameter] = &[
    may("top", COUNT, "Only the first so many edges."),
    may(
        "order",
        r#"{"type":"string","enum":["connections","bytes","resets","newest"],"default":"connections"}"#,
        "By what they are the first.",
    ),
];
const EARLIER: &[Parameter] = &[
    may("earlier_from", TEXT, "Start of the earlier window; as long as the later one if absent."),
    may("earlier_to", TEXT, "End of the earlier window; where the later one begins if absent."),
];
const ENDS: &[Parameter] = &[
    may("source", TEXT, "Only edges from this node."),
    may("destination", TEXT, "Only edges to this node."),
];
const EDGE: &[Parameter] = &[
    must("source", TEXT, "Id of the initiator's node."),
    must("destination", TEXT, "Id of the responder's node."),
];
const BUCKET: &[Parameter] = &[may(
    "buckets",
    r#"{"type":"integer","minimum":1,"maximum":240,"default":60}"#,
    "Parts of the window at most; each is a number of whole minutes.",
)];
const ID: &[Parameter] =
    &[must("id", TEXT, "Its id on the map by workload: `namespace/name[Kind]`.")];
pub(crate) const FLOW: &[Parameter] = &[
    may("from_pod", TEXT, "Source pod: `namespace/prefix`, or a prefix of its name."),
    may("to_pod", TEXT, "Destination pod."),
    may("pod", TEXT, "Pod at either end."),
    may("from_namespace", TEXT, "Source namespace."),
    may("to_namespace", TEXT, "Destination namespace."),
    may("namespace", TEXT, "Namespace at either end."),
    may("from_workload", TEXT, "Source workload: `namespace/name` or `name`."),
    may("to_workload", TEXT, "Destination workload."),
    may("workload", TEXT, "Workload at either end."),
    may("from_ip", TEXT, "Source address."),
    may("to_ip", TEXT, "Destination address."),
    may("to_fqdn", TEXT, "DNS name of the destination; `*` stands for any characters."),
    may("to_port", r#"{"type":"integer","minimum":0,"maximum":65535}"#, "Destination port."),
    may("protocol", r#"{"type":"string","enum":["TCP","UDP","SCTP","ICMP"]}"#, "Protocol."),
    may(
        "verdict",
        r#"{"type":"string","enum":["allowed","denied","would_deny","unknown","dropped"]}"#,
        "What became of it.",
    ),
    may("process", TEXT, "Executable or command at either end; `*` stands for any characters."),
    may("decided_by", TEXT, "Policy that decided, `namespace/name`."),
];
const PAGE: &[Parameter] = &[
    may(
        "limit",
        r#"{"type":"integer","minimum":1,"maximum":1000,"default":100}"#,
        "At most so many.",
    ),
    may("before", COUNT, "`next` of the page before."),
];
const LABEL: &[Parameter] =
    &[may("label", TEXT, "Label whose values are offered to templates that ask for one.")];
const RECOMMEND: &[Parameter] = &[
    may("workload", TEXT, "Only this workload: `namespace/name`."),
    may(
        "template",
        r#"{"type":"string","default":"least-privilege"}"#,
        "What kind of policies: the name of a template.",
    ),
    may(
        "set",
        r#"{"type":"array","items":{"type":"string"}}"#,
        "A setting of the template, `KEY=VALUE`; several values with commas between them.",
    ),
    may(
        "format",
        r#"{"type":"string","enum":["json","yaml"],"default":"json"}"#,
        "Form of the answer.",
    ),
];

pub(super) const fn get(
    path: &'static str,
    access: Access,
    (summary, answer): (&'static str, &'static str),
    parameters: &'static [&'static [Parameter]],
    ask: fn(&Asked<'_>) -> Result<Question, Refusal>,
) -> Endpoint {
    let kind = Kind::Ask(ask);
    let (access, method) = (Some(access), &Method::GET);
    Endpoint { method, path, access, summary, parameters, body: None, answer, kind }
}

/// As [`get`], of what many look at and takes long.
pub(super) const fn look_at(
    path: &'static str,
    access: Access,
    words: (&'static str, &'static str),
    parameters: &'static [&'static [Parameter]],
    ask: fn(&Asked<'_>) -> Result<Question, Refusal>,
) -> Endpoint {
    Endpoint { kind: Kind::Look(ask), ..get(path, access, words, parameters, ask) }
}

pub(super) const fn post(
    path: &'static str,
    access: Access,
    (summary, body, answer): (&'static str, &'static str, &'static str),
    ask: fn(&Asked<'_>) -> Result<Question, Refusal>,
) -> Endpoint {
    let (access, method, parameters) = (Some(access), &Method::POST, &[CLUSTER] as &[_]);
    let (body, kind) = (Some(body), Kind::Ask(ask));
    Endpoint { method, path, access, summary, parameters, body, answer, kind }
}

/// All of them, in the order of the document.
#[must_use]
pub fn endpoints() -> Vec<Endpoint> {
    [
        session().as_slice(),
        &look(),
        &details(),
        &flows(),
        &policies(),
        &reports(),
        &kept(),
        &imports(),
        &label_endpoints(),
        &administration(),
    ]
    .concat()
}

fn session() -> [Endpoint; 5] {
    let of = |method, access, (summary, answer), body, kind| Endpoint {
        method,
        path: "/session",
        access,
        summary,
        parameters: &[],
        body,
        answer,
        kind,
    };
    let viewer = Some(Access::Viewer);
    let open = of(&Method::GET, None, ("This document.", "OpenApi"), None, Kind::OpenApi);
    [
        Endpoint { path: "/openapi.json", ..open },
        of(&Method::GET, viewer, ("Who is signed in.", "Session"), None, Kind::Session),
        of(
            &Method::POST,
            None,
            ("Sign in: a cookie for a token.", "Session"),
            Some("SignIn"),
            Kind::SignIn,
        ),
        of(&Method::DELETE, None, ("Sign out.", "Nothing"), None, Kind::SignOut),
        Endpoint {
            path: "/session/ways",
            summary: "How to sign in, besides with a token: a browser is sent to \
                      `/session/oidc?next=PATH` where there is a provider of OpenID Connect.",
            answer: "SignInWays",
            kind: Kind::Ways,
            ..open
        },
    ]
}

fn look() -> [Endpoint; 6] {
    let viewer = Access::Viewer;
    [
        get("/clusters", viewer, ("Names of the clusters.", "Clusters"), &[], |_asked| {
            Ok(Question::Clusters)
        }),
        get(
            "/status",
            viewer,
            ("Health and figures: agents, history, problems.", "Status"),
            &[],
            |_asked| Ok(Question::Status),
        ),
        look_at(
            "/summary",
            viewer,
            ("What matters first: workloads by state, new edges, what to do next.", "Summary"),
            &[CLUSTER, WINDOW, NAMESPACE, NOISE],
            |asked| asked.map().map(Question::Summary),
        ),
        look_at(
            "/map",
            viewer,
            ("The dependency map.", "Map"),
            &[CLUSTER, WINDOW, GROUPING, NAMESPACE, NOISE, TOP],
            |asked| asked.map().map(Question::Map),
        ),
        look_at(
            "/map/compare",
            viewer,
            ("What the map has other than that of an earlier window.", "MapDiff"),
            &[CLUSTER, WINDOW, EARLIER, GROUPING, NAMESPACE, NOISE],
            |asked| {
                let map = asked.map()?;
                let earlier = asked.earlier(map.range)?;
                Ok(Question::MapCompare(map, earlier))
            },
        ),
        look_at(
            "/scene",
            viewer,
            ("The map with a place for each node.", "Scene"),
            &[CLUSTER, WINDOW, GROUPING, NAMESPACE, NOISE, TOP],
            |asked| asked.map().map(Question::Scene),
        ),
    ]
}

fn details() -> [Endpoint; 3] {
    let viewer = Access::Viewer;
    [
        look_at(
            "/timeline",
            viewer,
            ("Connections by time and verdict.", "Timeline"),
            &[CLUSTER, WINDOW, GROUPING, NAMESPACE, NOISE, ENDS, BUCKET],
            |asked| {
                let own = |name| asked.text(name).map(|text| text.map(str::to_owned));
                Ok(Question::Timeline(TimelineQuestion {
                    map: asked.map()?,
                    buckets: asked.number("buckets", BUCKETS)?,
                    source: own("source")?,
                    destination: own("destination")?,
                }))
            },
        ),
        look_at(
            "/edge",
            viewer,
            ("One pair of nodes: processes, ports, who decided.", "Edge"),
            &[CLUSTER, WINDOW, GROUPING, NAMESPACE, NOISE, EDGE],
            |asked| {
                Ok(Question::Edge(EdgeQuestion {
                    map: asked.map()?,
                    source: asked.needed("source")?,
                    destination: asked.needed("destination")?,
                }))
            },
        ),
        look_at(
            "/workload",
            viewer,
            ("One workload: pods, peers, policies.", "Workload"),
            &[CLUSTER, WINDOW, NOISE, ID],
            |asked| {
                Ok(Question::Workload(WorkloadQuestion {
                    map: asked.map()?,
                    id: asked.needed("id")?,
                }))
            },
        ),
    ]
}

/// Reads which flows are asked for.
pub(crate) fn flows_question(asked: &Asked<'_>) -> Result<FlowsQuestion, Refusal> {
    Ok(FlowsQuestion {
        cluster: asked.parsed("cluster")?,
        filter: asked.filter()?,
        before: asked.parsed("before")?,
        limit: asked.number("limit", FLOWS)?,
    })
}

const HISTORY_PAGE: &[Parameter] = &[
    may(
        "order",
        r#"{"type":"string","enum":["last_seen","first_seen","connections","bytes"],"default":"last_seen"}"#,
        "Which come first: the latest or the greatest.",
    ),
    may("after", TEXT, "`next` of the page before, asked with the same parameters."),
    may(
        "limit",
        r#"{"type":"integer","minimum":1,"maximum":1000,"default":100}"#,
        "Edges in a page at most.",
    ),
];

fn flows() -> [Endpoint; 4] {
    let list = get(
        "/flows",
        Access::Viewer,
        ("Flows in memory, newest first; pages stay stable while new ones come.", "Flows"),
        &[CLUSTER, FLOW, PAGE],
        |asked| flows_question(asked).map(|of| Question::Flows(Box::new(of))),
    );
    let stream = Endpoint {
        path: "/flows/stream",
        summary: "Flows as they come (server-sent events `flow` and `missed`); goes on after \
                  `Last-Event-ID`.",
        parameters: &[CLUSTER, FLOW],
        answer: "FlowEvent",
        kind: Kind::Stream,
        ..list
    };
    let history = get(
        "/history",
        Access::Viewer,
        (
            "Edges of history with their sums, and when they were seen first and last in the window; \
             pages stay stable while more comes.",
            "History",
        ),
        &[CLUSTER, WINDOW, FLOW, HISTORY_PAGE],
        |asked| asked.history(FLOWS).map(|of| Question::History(Box::new(of))),
    );
    let changes = Endpoint {
        path: "/changes",
        summary: "That flows came or policies changed (server-sent events `change`, at most two a \
                  second): when to ask for a map anew.",
        parameters: &[],
        answer: "Change",
        kind: Kind::Changes,
        ..list
    };
    [list, stream, changes, history]
}

fn policies() -> [Endpoint; 8] {
    let (viewer, author, operator) = (Access::Viewer, Access::Author, Access::Operator);
    [
        get(
            "/recommendations",
            author,
            ("Least-privilege policies with their evidence.", "Proposal"),
            &[CLUSTER, WINDOW, NAMESPACE, RECOMMEND],
            |asked| asked.recommend().map(Question::Recommend),
        ),
        get(
            "/templates",
            author,
            ("The templates of recommendations, and what can be chosen for them.", "Templates"),
            &[CLUSTER, WINDOW, LABEL],
            |asked| asked.templates().map(Question::Templates),
        ),
        post(
            "/what-if",
            author,
            (
                "What these policies would have done to history; nothing changes.",
                "WhatIf",
                "Report",
            ),
            |asked| asked.what_if().map(Question::WhatIf),
        ),
        post(
            "/stage",
            author,
            (
                "Verify, then audit: what would be denied is told and nothing stopped.",
                "Apply",
                "Applied",
            ),
            |asked| asked.apply().map(Question::Stage),
        ),
        post("/apply", operator, ("Verify, then put in force.", "Apply", "Applied"), |asked| {
            asked.apply().map(Question::Apply)
        }),
        post(
            "/rollback",
            operator,
            ("Go back to an earlier revision.", "Rollback", "Applied"),
            |asked| asked.rollback().map(Question::Rollback),
        ),
        get(
            "/revisions",
            viewer,
            ("What was put in force, when and by whom; newest first.", "Revisions"),
            &[CLUSTER],
            |asked| asked.parsed("cluster").map(Question::Revisions),
        ),
        get(
            "/policies",
            viewer,
            ("Policies in force and staged.", "Policies"),
            &[CLUSTER],
            |asked| asked.parsed("cluster").map(Question::Policies),
        ),
    ]
}

/// What people keep: each their own, and what an author shares with all.
fn kept() -> [Endpoint; 6] {
    let viewer = Access::Viewer;
    let list =
        get("/views", viewer, ("Views of the map: own and shared.", "Views"), &[], |_asked| {
            Ok(Question::Views)
        });
    let words = ("Keep a view; a shared one needs the role author.", "NewView", "View");
    let keep = post("/views", viewer, words, |asked| asked.new_view().map(Question::KeepView));
    let keep = Endpoint { parameters: &[], ..keep };
    let drop = Endpoint {
        method: &Method::DELETE,
        path: "/views/{id}",
        summary: "Drop a view of one's own, or as an author a shared one.",
        answer: "Nothing",
        kind: Kind::Ask(|asked| asked.id().map(Question::DropView)),
        ..list
    };
    let rules = Endpoint {
        path: "/noise",
        summary: "Rules of what is noise on the map: own and shared.",
        answer: "NoiseRules",
        kind: Kind::Ask(|_asked| Ok(Question::Noise)),
        ..list
    };
    let keep_rule = Endpoint {
        path: "/noise",
        summary: "Keep a rule; a shared one needs the role author.",
        body: Some("NewNoiseRule"),
        answer: "NoiseRule",
        kind: Kind::Ask(|asked| asked.new_noise().map(Question::KeepNoise)),
        ..keep
    };
    let drop_rule = Endpoint {
        path: "/noise/{id}",
        summary: "Drop a rule of one's own, or as an author a shared one.",
        kind: Kind::Ask(|asked| asked.id().map(Question::DropNoise)),
        ..drop
    };
    [list, keep, drop, rules, keep_rule, drop_rule]
}

fn administration() -> [Endpoint; 4] {
    let operator = Access::Operator;
    let list = get("/tokens", operator, ("Tokens.", "Tokens"), &[], |_asked| Ok(Question::Tokens));
    let create = post(
        "/tokens",
        operator,
        (
            "Make a token; its secret is in this answer and nowhere else.",
            "NewToken",
            "CreatedToken",
        ),
        |asked| asked.new_token().map(Question::CreateToken),
    );
    let revoke = Endpoint {
        method: &Method::DELETE,
        path: "/tokens/{name}",
        summary: "End a token, and the sessions that were had for it.",
        answer: "Nothing",
        kind: Kind::Ask(|asked| Ok(Question::RevokeToken(asked.name.to_owned()))),
        ..list
    };
    let audit =
        get("/audit", operator, ("The audit log, newest first.", "AuditPage"), &[PAGE], |asked| {
            let (before, limit) = (asked.parsed("before")?, asked.number("limit", ENTRIES)?);
            Ok(Question::Audit(PageQuestion { before, limit }))
        });
    [list, Endpoint { parameters: &[], ..create }, revoke, audit]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_path_is_asked_by_one_method_once_and_each_schema_of_a_parameter_is_json() {
        let mut seen = BTreeSet::new();
        for endpoint in endpoints() {
            let name = (endpoint.method.as_str(), endpoint.path);
            assert!(seen.insert(name), "{name:?} is there twice");
            let mut names = BTreeSet::new();
            for parameter in endpoint.parameters.iter().copied().flatten() {
                assert!(names.insert(parameter.name), "{name:?} {}", parameter.name);
                let schema: serde_json::Value = serde_json::from_str(parameter.schema).unwrap();
                assert!(schema.is_object());
            }
        }
    }

    #[test]
    fn what_changes_something_is_for_authors_and_what_stops_traffic_for_operators() {
        for endpoint in endpoints() {
            // Who keeps something of their own changes nothing for anybody else.
            let own = ["/session", "/views", "/noise"];
            let is_own = own.iter().any(|path| endpoint.path.starts_with(path));
            let changes = endpoint.method != Method::GET && !is_own;
            assert!(!changes || endpoint.access >= Some(Access::Author), "{}", endpoint.path);
            let stops = ["/apply", "/rollback", "/tokens", "/tokens/{name}", "/audit", "/imports"];
            let is_stop = stops.contains(&endpoint.path);
            assert_eq!(endpoint.access == Some(Access::Operator), is_stop, "{}", endpoint.path);
        }
    }
}
