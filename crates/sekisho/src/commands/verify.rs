//! `sekisho verify`.

use super::{history, input, output};
use crate::cli::{TableOrJson, VerifyArgs};
use crate::exit::Exit;
use crate::{pipeline, server};

/// Replays history against the policies in the files; `Found` if more would be blocked than
/// allowed by `--max-would-block`.
pub(crate) fn run(args: &VerifyArgs) -> anyhow::Result<Exit> {
    let files = input::read(&args.files)?;
    let policies = server::read_policies(&files)?;
    if policies.is_empty() && !args.prune {
        anyhow::bail!("the files hold no NetworkPolicy: nothing to verify");
    }
    let history = history::load(&args.history, args.history.range(history::now()))?;
    let proposed = server::proposed(&history.current, policies, args.prune);
    let answer =
        pipeline::what_if(&history, &history.current, &proposed, &[], args.max_would_block);
    match args.output {
        TableOrJson::Table => {
            output::print(&sekisho_verify::table(&answer.report, output::width(), output::color()))?
        }
        TableOrJson::Json => output::print(&sekisho_verify::json(&answer.report))?,
    }
    if answer.report.summary.would_block > args.max_would_block {
        return Ok(Exit::Found);
    }
    // Nothing recorded proves nothing: that is not the same as "nothing would break".
    if history.rows.is_empty() {
        output::note("no history in this window: nothing was verified");
        return Ok(Exit::Partial);
    }
    Ok(history::whole_or_partial(&history))
}
