//! The `sekisho` binary: flags, configuration, wiring.

mod agent;
mod approvals;
mod cli;
mod commands;
mod config;
mod exit;
mod flow_file;
mod images;
mod labelling;
mod logging;
mod memory;
mod pipeline;
mod reports;
mod rule_hits;
#[cfg(test)]
mod samples;
mod server;
mod signals;
mod when;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};
use crate::exit::{Exit, UNUSABLE};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    // The lab starts its pods and node processes by running this binary again.
    if let Some(code) = sekisho_lab::internal_main(&words) {
        return code;
    }
    let mut cli = Cli::parse();
    if let Command::Workload { args } = &cli.command {
        return sekisho_lab::workload_main(args);
    }
    match run(&mut cli) {
        Ok(exit) => exit.into(),
        Err(error) => {
            commands::output::note(&format!("sekisho: {error:#}"));
            ExitCode::from(UNUSABLE)
        }
    }
}

fn run(cli: &mut Cli) -> anyhow::Result<Exit> {
    let mut config = config::load(cli.config.as_deref())?;
    match (cli.quiet, cli.verbose) {
        (true, _) => "error".clone_into(&mut config.log.level),
        (false, 0) => {}
        (false, 1) => "debug".clone_into(&mut config.log.level),
        (false, _) => "trace".clone_into(&mut config.log.level),
    }
    logging::start(&config.log)?;
    if let Some(server) = cli.command.server_mut() {
        server.complete(&config.client);
    }
    match &cli.command {
        Command::Demo(args) => commands::demo::run(args),
        Command::Lab(command) => commands::lab::run(command),
        Command::Agent(args) => commands::roles::agent(args, &config),
        Command::Server(args) => commands::roles::server(args, &config),
        Command::Doctor { output } => commands::doctor::run(*output),
        Command::Status { server, output } => commands::status::run(server, *output),
        Command::Observe(args) => commands::observe::run(args),
        Command::Import(args) => commands::import::run(args),
        Command::Export(args) => commands::export::run(args),
        Command::Map(args) => commands::map::run(args),
        Command::Recommend(args) => commands::recommend::run(args),
        Command::Verify(args) => commands::verify::run(args),
        Command::Stage(args) => commands::apply::stage(args),
        Command::Apply { args, gitops, .. } if gitops.to.is_some() => {
            commands::gitops::run(args, gitops)
        }
        Command::Apply { args, cut, .. } => commands::apply::apply(args, *cut),
        Command::Rollback(args) => commands::apply::rollback(args),
        Command::Certificates(command) => commands::certificates::run(command),
        Command::Token(command) => commands::token::run(command),
        Command::Audit(args) => commands::audit::run(args),
        Command::Labels(command) => commands::labels::run(command),
        Command::Report(args) => commands::report::run(args),
        Command::Policy(command) => commands::policy::run(command),
        Command::Cluster(command) => commands::cluster::run(command),
        // Answered before: it has its own arguments and exit codes.
        Command::Workload { .. } => Ok(Exit::Done),
    }
}
