//! `sekisho verify`.

use sekisho_policy::RuleSet;
use sekisho_verify::{Limits, UNCHANGED_ALL};

use super::{history, input, output};
use crate::cli::{TableOrJson, VerifyArgs};
use crate::exit::Exit;
use crate::pipeline;

/// Replays history against the policies in the files; `Found` if more would be blocked than
/// allowed by `--max-would-block`, `Partial` if it is not known of more than `--max-uncertain`.
pub(crate) fn run(args: &VerifyArgs) -> anyhow::Result<Exit> {
    let objects = input::objects(&args.files)?;
    if RuleSet::from_objects(&objects, args.dialect).is_empty() && !args.prune {
        anyhow::bail!("the files hold no policy: nothing to verify");
    }
    let history = history::load(&args.history, args.history.range(history::now()))?;
    let current = history.current.in_dialect(args.dialect);
    let none = RuleSet::default().in_dialect(args.dialect);
    let kept = if args.prune { &none } else { &current };
    let proposed = pipeline::proposed(&history, kept, objects);
    let limits = Limits { would_block: args.max_would_block, uncertain: args.max_uncertain };
    let answer = pipeline::what_if(&history, (&current, &proposed), &[], limits, UNCHANGED_ALL);
    match args.output {
        TableOrJson::Table => {
            output::print(&sekisho_verify::table(&answer.report, output::width(), output::color()))?
        }
        TableOrJson::Json => output::print(&sekisho_verify::json(&answer.report))?,
    }
    if answer.report.summary.would_block > args.max_would_block {
        return Ok(Exit::Found);
    }
    // Answered in part: of these edges nobody knows.
    if answer.report.may_block_unaccepted() > args.max_uncertain {
        return Ok(Exit::Partial);
    }
    // Nothing recorded proves nothing: that is not the same as "nothing would break".
    if history.rows.is_empty() {
        output::note("no history in this window: nothing was verified");
        return Ok(Exit::Partial);
    }
    Ok(history::whole_or_partial(&history))
}
