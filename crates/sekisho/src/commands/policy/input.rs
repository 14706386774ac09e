//! What the questions are about.

use std::path::PathBuf;

use clap::Args;
use sekisho_manifest::Object;
use sekisho_policy::{Cluster, Dialect, RuleSet};

use crate::commands::input;

/// Which objects are asked about.
#[derive(Debug, Args)]
pub(crate) struct SourceArgs {
    /// Objects and policies: files or folders; `-` is standard input.
    #[arg(short = 'f', required = true, value_name = "DIR|FILE")]
    pub(crate) files: Vec<PathBuf>,
}

/// What objects mean.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) rules: RuleSet,
    pub(crate) cluster: Cluster,
}

impl SourceArgs {
    /// Reads the files; what an API server would refuse although its meaning is clear is told, and
    /// read.
    pub(crate) fn load(&self, dialect: Option<Dialect>) -> anyhow::Result<Source> {
        Ok(Source::of(input::lenient(&self.files)?, dialect))
    }
}

impl Source {
    /// Reads the meaning of objects; without a dialect, as the specification says.
    pub(crate) fn of(objects: Vec<Object>, dialect: Option<Dialect>) -> Self {
        let rules = RuleSet::from_objects(&objects, dialect.unwrap_or_default());
        let cluster = Cluster::from_owned(objects);
        Self { rules, cluster }
    }
}
