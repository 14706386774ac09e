//! The part of the table that is about assets and labels.

use axum::http::Method;

use super::endpoints::{
    CLUSTER, Endpoint, FLAG, Kind, LIST, Parameter, TEXT, WINDOW, get, look_at, may, post,
};
use super::{Access, Question};

const ASSETS: &[Parameter] = &[
    may("namespace", LIST, "Only of this namespace; may be given several times."),
    may("kind", LIST, "Only of this kind, such as Deployment, Host, External; may be repeated."),
    may("id", TEXT, "Only this one."),
    may("text", TEXT, "Only what has this in its name, a label, an address or a value."),
    may(
        "unlabelled",
        TEXT,
        "Only what has no value in this dimension; `any`: in one at least, `all`: in none at all.",
    ),
    may("conflicting", FLAG, "Only what layers say different values of, and nobody decided it."),
    may("after", TEXT, "`next` of the page before, asked with the same parameters."),
    may(
        "limit",
        r#"{"type":"integer","minimum":1,"maximum":1000,"default":100}"#,
        "Assets in a page at most.",
    ),
];

/// Assets, and the layers of their labels.
pub(super) fn label_endpoints() -> [Endpoint; 7] {
    let (viewer, author) = (Access::Viewer, Access::Author);
    let inventory = look_at(
        "/inventory",
        viewer,
        ("Assets with their values by dimension, and who says each.", "Inventory"),
        &[CLUSTER, WINDOW, ASSETS],
        |asked| asked.inventory().map(|of| Question::Inventory(Box::new(of))),
    );
    let words = ("Rules of labels, and the tables that were imported.", "LabelRules");
    let rules = get("/labels/rules", viewer, words, &[], |_asked| Ok(Question::Labels));
    let words =
        ("What other rules would change; nothing changes.", "TryLabelRules", "LabelChanges");
    let attempt =
        post("/labels/preview", author, words, |asked| asked.json().map(Question::TryRules));
    let attempt = Endpoint { parameters: &[], ..attempt };
    let set = Endpoint {
        method: &Method::PUT,
        path: "/labels/rules",
        summary: "Replace the rules.",
        body: Some("NewLabelRules"),
        kind: Kind::Ask(|asked| asked.json().map(Question::SetRules)),
        ..attempt
    };
    let import = Endpoint {
        path: "/labels/import",
        summary: "Import a table (CSV): `asset,dimension,value` a line, or a column for each dimension. \
                  With a line that can't be read nothing is kept, unless `partial` is said.",
        body: Some("NewLabelImport"),
        answer: "LabelImport",
        kind: Kind::Ask(|asked| asked.import().map(|of| Question::ImportLabels(Box::new(of)))),
        ..attempt
    };
    let drop = Endpoint {
        method: &Method::DELETE,
        path: "/labels/imports/{name}",
        summary: "Drop a table.",
        body: None,
        answer: "LabelChanges",
        kind: Kind::Ask(|asked| Ok(Question::DropImport(asked.name.to_owned()))),
        ..attempt
    };
    let hand = Endpoint {
        method: &Method::PUT,
        path: "/labels/asset",
        summary: "Say by hand what an asset is called, or with no value take that back.",
        parameters: &[CLUSTER],
        body: Some("LabelAsset"),
        answer: "LabelChanges",
        kind: Kind::Ask(|asked| asked.by_hand().map(Question::LabelAsset)),
        ..attempt
    };
    [inventory, rules, set, attempt, import, drop, hand]
}
