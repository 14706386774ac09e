//! docs/templates.md: each template with an example, made by running it.

use std::fmt::Write as _;
use std::path::Path;

use sekisho_manifest::{print_policy, print_tier_policy};
use sekisho_recommend::TemplateId;
use sekisho_recommend::catalogue::{CATALOGUE, Entry, Parameter, Preset};

use crate::templates::made_in;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/templates.md");

/// Policies of an example that are shown.
const SHOWN: usize = 2;

const HEAD: &str = "\
# Templates

Written by the tests of crates/recommend (`cargo xtask bless`), which run each example; do not edit.

A template makes policies from a few settings and from what was seen. What comes out takes the same road as every
recommendation: `sekisho verify` replays it against history and tells what it would block, newly allow, or leave uncertain.

```sh
sekisho recommend --list-templates                              # all of them
sekisho recommend --list-templates --template crown-jewel       # what it asks, and what of that was seen
sekisho recommend --template crown-jewel --set workload=data/postgres --write policies/
sekisho verify -f policies/
```

`--set` may be given several times; several values of one setting have commas between them. A setting that is wrong or missing
is named, with the values there are. `-n` keeps a template to namespaces. Over HTTP: `GET /templates`, and
`GET /recommendations?template=NAME&set=KEY=VALUE` (docs/api.md). In the console: Recommend, then the template's name.

Infrastructure comes first: fences that come later cannot cut it off. Policies of the whole cluster (ClusterNetworkPolicy of
tier Admin) are judged in the order of their priority: quarantine 10, infrastructure 100, cloud-metadata 210,
control-plane-ports 310, lateral-movement 410, vm-to-cluster 510, tenant 600; who is spared comes ten before, with `Pass`, so
that the policies below decide. They go into `_cluster.yaml`. Our agents enforce them; another plugin must read the kind. Some
templates have a `form=native` of NetworkPolicies alone, which says less.

A window of `vendor-window` does not close by itself: nothing in Kubernetes removes a NetworkPolicy, and Sekisho does not
either. The policy says when, in `sekisho.dev/expires-at`; from then on `sekisho status` tells that it is still in force, until
whoever applied it applies the others without it (`--prune`).

";

/// Settings of the example of a template, and the namespaces it is for.
fn example(id: TemplateId) -> (&'static [&'static str], &'static [(&'static str, &'static str)]) {
    match id {
        TemplateId::LeastPrivilege => (&["data"], &[]),
        TemplateId::Application => {
            (&[], &[("label", "app.kubernetes.io/part-of"), ("values", "shop")])
        }
        TemplateId::Namespace => (&["data"], &[]),
        TemplateId::Environment => (&["dev"], &[("label", "environment")]),
        TemplateId::Tenant => (&[], &[("label", "tenant")]),
        TemplateId::CrownJewel => {
            (&[], &[("workload", "data/postgres"), ("clients", "shop/checkout,shop/report")])
        }
        TemplateId::VmToCluster => (&[], &[("vm", "hosts/legacy-db")]),
        TemplateId::Infrastructure => (&[], &[("gateway", "ingress/nginx")]),
        TemplateId::DefaultDenyDns => (&["dev"], &[]),
        TemplateId::EgressAllowList => {
            (&[], &[("workload", "shop/payment"), ("names", "payments.example")])
        }
        TemplateId::InternetFacing => {
            (&[], &[("workload", "shop/frontend"), ("gateway", "ingress/nginx")])
        }
        TemplateId::CloudMetadata => (&[], &[("allow", "shop/cart")]),
        TemplateId::ControlPlanePorts => (&[], &[]),
        TemplateId::LateralMovement => (&[], &[("allow", "ops/jump")]),
        TemplateId::Bastion => (&[], &[("bastion", "ops/jump"), ("targets", "shop/cart")]),
        TemplateId::VendorWindow => (
            &[],
            &[
                ("networks", "192.0.2.50"),
                ("workload", "shop/cart"),
                ("ports", "8080"),
                ("until", "2026-12-24T18:00:00Z"),
            ],
        ),
        TemplateId::Quarantine => (&[], &[("workload", "shop/cart"), ("forensics", "ops/jump")]),
    }
}

fn page() -> String {
    let mut text = HEAD.to_owned();
    text.push_str("| template | for | what |\n|---|---|---|\n");
    for entry in CATALOGUE {
        let (name, purpose, what) = (entry.name, entry.purpose.as_str(), entry.what);
        writeln!(text, "| [{name}](#{name}) | {purpose} | {what} |").unwrap();
    }
    for entry in CATALOGUE {
        section(entry, &mut text);
    }
    text
}

fn section(entry: &Entry, text: &mut String) {
    writeln!(text, "\n## {}\n\nMakes {}: {}.", entry.name, entry.makes, entry.what).unwrap();
    if !entry.parameters.is_empty() {
        text.push_str("\n| setting | if absent | meaning |\n|---|---|---|\n");
        for parameter in entry.parameters {
            let absent = absent(parameter);
            writeln!(text, "| `{}` | {absent} | {} |", parameter.name, parameter.what).unwrap();
        }
    }
    let (namespaces, given) = example(entry.id);
    let made = made_in(namespaces, entry.id, given);
    text.push_str("\n```sh\nsekisho recommend");
    for namespace in namespaces {
        write!(text, " -n {namespace}").unwrap();
    }
    write!(text, " --template {}", entry.name).unwrap();
    for (name, value) in given {
        write!(text, " --set {name}={value}").unwrap();
    }
    text.push_str("\n```\n");
    for words in &made.proposal.words {
        writeln!(text, "\n{words}").unwrap();
    }
    text.push_str("\n```yaml\n");
    let cluster = made.proposal.cluster_policies.iter().map(print_tier_policy);
    let own = made.proposal.all().into_iter().map(print_policy);
    let documents: Vec<String> = cluster.chain(own).map(|one| plain(&one)).collect();
    let shown: Vec<&str> = documents.iter().take(SHOWN).map(String::as_str).collect();
    text.push_str(&shown.join("---\n"));
    if let more @ 1.. = documents.len().saturating_sub(SHOWN) {
        writeln!(text, "# and {more} more").unwrap();
    }
    text.push_str("```\n");
    if !entry.not_native.is_empty() {
        text.push_str("\nNetworkPolicy cannot say:\n\n");
        for (what, instead) in entry.not_native {
            writeln!(text, "- {what}. Instead: {instead}.").unwrap();
        }
    }
}

fn absent(parameter: &Parameter) -> String {
    match parameter.preset {
        Preset::Needed => "must be given".to_owned(),
        Preset::Value(value) => format!("`{}`", value.replace(',', "`, `")),
        Preset::FirstOf(keys) => format!("the first there is of `{}`", keys.join("`, `")),
        Preset::Otherwise(words) => words.to_owned(),
    }
}

/// Without the label and the annotations that are on every policy.
fn plain(document: &str) -> String {
    let usual = ["labels:", "managed-by:", "evidence-", "confidence:", "sekisho.dev/template:"];
    let mut lines: Vec<&str> = Vec::new();
    let head = document.lines().take_while(|line| *line != "spec:").count();
    for (index, line) in document.lines().enumerate() {
        if index >= head || !usual.iter().any(|word| line.contains(word)) {
            lines.push(line);
        }
    }
    if let Some(at) = lines.iter().position(|line| *line == "  annotations:")
        && lines.get(at + 1) == Some(&"spec:")
    {
        lines.remove(at);
    }
    lines.join("\n") + "\n"
}

#[test]
fn the_page_of_templates_shows_what_they_make() {
    let page = page();
    if std::env::var("INSTA_UPDATE").is_ok_and(|how| how == "always") {
        std::fs::write(Path::new(PAGE), &page).unwrap();
    }
    let written = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(written == page, "docs/templates.md is not what the templates make: cargo xtask bless");
}
