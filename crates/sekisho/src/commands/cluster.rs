//! `sekisho cluster probe`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use sekisho_enforce::native::{Access, ApiServer, ProbeOptions, ProbeReport, ProbeVerdict};

use super::output;
use crate::cli::TableOrJson;
use crate::exit::Exit;

#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Does this cluster's network plugin enforce NetworkPolicy? Two short-lived pods and a policy in
    /// a namespace of their own measure it. Exit code 1: it does not.
    Probe(ProbeArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ProbeArgs {
    /// Credentials; KUBECONFIG, ~/.kube/config or the pod's service account if absent.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context in the kubeconfig.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Image of the pods: `sh`, `nc` and `grep` of busybox.
    #[arg(long, default_value = "busybox:1.37", value_name = "IMAGE")]
    image: String,
    /// Seconds that a pod may take to start.
    #[arg(long, default_value_t = 90, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    start_wait: u64,
    /// Seconds that the plugin has to enforce a policy.
    #[arg(long, default_value_t = 15, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=600))]
    enforce_wait: u64,
    /// Form of the answer.
    #[arg(short, long, value_enum, default_value_t = TableOrJson::Table)]
    output: TableOrJson,
}

pub(crate) fn run(command: &ClusterCommand) -> anyhow::Result<Exit> {
    match command {
        ClusterCommand::Probe(args) => probe(args),
    }
}

fn probe(args: &ProbeArgs) -> anyhow::Result<Exit> {
    let access = Access {
        kubeconfig: args.kubeconfig.clone(),
        context: args.context.clone(),
        ..Access::default()
    };
    let options = ProbeOptions {
        image: args.image.clone(),
        start_wait: Duration::from_secs(args.start_wait),
        enforce_wait: Duration::from_secs(args.enforce_wait),
    };
    let report = ApiServer::connect(&access)?.probe(&options)?;
    match args.output {
        TableOrJson::Json => output::print_json(&report)?,
        TableOrJson::Table => output::print(&table(&report))?,
    }
    let any = |verdict| report.findings.iter().any(|found| found.verdict == verdict);
    Ok(match (any(ProbeVerdict::NotEnforced), any(ProbeVerdict::Inconclusive)) {
        (true, _) => Exit::Found,
        (false, true) => Exit::Partial,
        (false, false) => Exit::Done,
    })
}

fn table(report: &ProbeReport) -> String {
    let place = if report.client_node == report.server_node {
        format!("on {}", report.client_node)
    } else {
        format!("from {} to {}", report.client_node, report.server_node)
    };
    let mut text = format!("Kubernetes {}, pods {place}\n", report.kubernetes);
    let mut rows = vec![["direction", "enforced", "detail"].map(str::to_owned).to_vec()];
    for found in &report.findings {
        let word = match found.verdict {
            ProbeVerdict::Enforced => "yes",
            ProbeVerdict::NotEnforced => "NO",
            ProbeVerdict::Inconclusive => "not measured",
        };
        rows.push(vec![found.direction.to_owned(), word.to_owned(), found.detail.clone()]);
    }
    text.push_str(&output::columns(&rows, &[false, false, false]));
    if report.findings.iter().any(|found| found.verdict == ProbeVerdict::NotEnforced) {
        text.push_str(
            "This network plugin ignores NetworkPolicy: policies in this cluster stop nothing. Use a \
             plugin that enforces, or let our agents enforce (`enforcement = \"datapath\"`).\n",
        );
    }
    text
}
