//! Its arguments.

use std::path::PathBuf;

use clap::Args;
use sekisho_exchange::{Format, FormatError};
use sekisho_model::ClusterName;

use crate::cli::TableOrJson;

#[derive(Debug, Args)]
#[command(after_help = IMPORT_HELP)]
pub(crate) struct ImportArgs {
    /// Files of flow records, plain or compressed by gzip; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Format of all files; found out from what they hold if absent.
    #[arg(long, value_name = "FORMAT", value_parser = format)]
    pub(crate) format: Option<Format>,
    /// Folder of history; made if it is not there. Not that of a running server.
    #[arg(long, value_name = "DIR")]
    pub(crate) store: PathBuf,
    /// The cluster whose flows they are. Each has a history of its own in the folder: addresses and names
    /// of two clusters never mix.
    #[arg(long, value_name = "NAME", default_value_t = ClusterName::default())]
    pub(crate) cluster: ClusterName,
    /// Who had an address: objects of the cluster (`kubectl get pods,services,nodes,... -A -o json`), lines
    /// of `CIDR name [from [to]]`, or CSV with the columns ip, name, perhaps from and to, and tags. Kept in
    /// the folder.
    #[arg(long, value_name = "FILE")]
    pub(crate) inventory: Vec<PathBuf>,
    /// Lines after which what was read so far lasts, whatever ends the import.
    #[arg(long, value_name = "N", default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) commit_lines: u64,
    /// Form of the answer.
    #[arg(short, long, value_enum, default_value_t = TableOrJson::Table)]
    pub(crate) output: TableOrJson,
}

const IMPORT_HELP: &str =
    "Formats: hubble (hubble observe -o json, exporter files), pcap (also pcapng), aws-vpc (version
2, or fields that a first line names; also in Parquet), gcp (VPC and firewall logs), azure
(virtual networks, security groups), calico (Whisker, Enterprise), netobserv (also out of
Loki), envoy (Istio's access logs), zeek (conn.log, also as JSON), netflow (v5, v9, IPFIX),
conntrack (a listing: connections at the moment of the import).

Try it:
  hubble observe --last 100000 -o json > flows.json
  sekisho import --store history flows.json
  sekisho map --store history
  sekisho recommend --store history --write policies/
  sekisho verify --store history -f policies/
  sekisho import --store history --cluster east --inventory east.json east-*.parquet

A file counts once, however often it is imported, and an import that was cut off goes on where it
was. Lines that are not understood are counted by reason; then the exit code is 3.";

fn format(text: &str) -> Result<Format, FormatError> {
    text.parse()
}
