//! How sure a recommendation is, and why.
//!
//! The score is a rough figure to sort by: each factor stands for one way in which traffic that
//! matters may not have been seen yet. The reasons carry the facts.

use sekisho_model::Completeness;

use crate::history::Evidence;
use crate::proposal::Confidence;

const MINUTE_S: u64 = 60;
const HOUR_S: u64 = 3600;
const DAY_S: u64 = 24 * HOUR_S;
const WEEK_S: u64 = 7 * DAY_S;

/// What was seen of the workloads of one policy.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Watched {
    /// Seconds between the first and the last record of the whole history.
    pub(crate) watched_s: u64,
    /// Distinct hours in which they were seen to talk.
    pub(crate) hours_seen: u64,
    /// Pods seen that are gone.
    pub(crate) restarts_seen: u64,
    /// Runs seen; None unless they are Jobs or CronJobs.
    pub(crate) runs_seen: Option<u64>,
}

/// Weighs what was seen.
pub(crate) fn confidence(
    watched: Watched,
    rules: &[&Evidence],
    completeness: &Completeness,
) -> Confidence {
    let mut reasons = Vec::new();
    let once = rules.iter().filter(|evidence| evidence.connections <= 1).count();
    let inferred = rules.iter().filter(|evidence| evidence.inferred).count();
    let score = time(watched, &mut reasons)
        * whole(completeness, &mut reasons)
        * start_up(watched, &mut reasons)
        * share(once, rules.len(), "on a single connection or one opened before", &mut reasons)
        * share(inferred, rules.len(), "on an inferred direction", &mut reasons);
    Confidence {
        score: (score * 100.0).round() / 100.0,
        watched_s: watched.watched_s,
        hours_seen: watched.hours_seen,
        restarts_seen: watched.restarts_seen,
        runs_seen: watched.runs_seen.unwrap_or_default(),
        rules_seen_once: u64::try_from(once).unwrap_or(u64::MAX),
        reasons,
    }
}

/// How long it was watched.
fn time(watched: Watched, reasons: &mut Vec<String>) -> f64 {
    let (factor, lack) = match watched.watched_s {
        ..HOUR_S => (0.4, ": less than an hour, so hourly and nightly traffic may be missing"),
        HOUR_S..DAY_S => (0.6, ": less than a day, so nightly traffic may be missing"),
        DAY_S..WEEK_S => (0.85, ": less than a week, so weekly traffic may be missing"),
        WEEK_S.. => (1.0, ""),
    };
    let hours = match watched.hours_seen {
        1 => "1 hour".to_owned(),
        hours => format!("{hours} different hours"),
    };
    reasons.push(format!("watched for {}, seen in {hours}{lack}", span(watched.watched_s)));
    factor
}

/// How much of the truth the history holds.
fn whole(completeness: &Completeness, reasons: &mut Vec<String>) -> f64 {
    let ratio = completeness.ratio;
    let ratio = if ratio.is_nan() { 0.0 } else { ratio.clamp(0.0, 1.0) };
    let gaps = completeness.gaps.len();
    let gaps = if gaps == 0 { String::new() } else { format!(", with gaps on {gaps} nodes") };
    let percent = (ratio * 1_000.0).floor() / 10.0;
    reasons.push(format!("the history is {percent:.1} % complete{gaps}"));
    ratio
}

/// Whether starts were seen: much traffic happens only then.
fn start_up(watched: Watched, reasons: &mut Vec<String>) -> f64 {
    let (factor, text) = match (watched.runs_seen, watched.restarts_seen) {
        (Some(0 | 1), _) => (0.8, "only one run was seen: the next may do more".to_owned()),
        (Some(runs), _) => (1.0, format!("{runs} runs were seen")),
        (None, 0) => (0.9, "no restart was seen: traffic of start-up may be missing".to_owned()),
        (None, 1) => (1.0, "1 restart or roll-out was seen".to_owned()),
        (None, restarts) => (1.0, format!("{restarts} restarts or roll-outs were seen")),
    };
    reasons.push(text);
    factor
}

/// Takes off up to a third for rules that rest on little.
#[expect(clippy::cast_precision_loss, reason = "a policy has far fewer than 2^52 rules")]
fn share(weak: usize, all: usize, on_what: &str, reasons: &mut Vec<String>) -> f64 {
    if weak == 0 || all == 0 {
        return 1.0;
    }
    let rest = if weak == 1 { "rests" } else { "rest" };
    reasons.push(format!("{weak} of {all} rules {rest} {on_what}"));
    1.0 - (weak as f64 / all as f64) / 3.0
}

/// A span of time in its two largest units.
pub(crate) fn span(seconds: u64) -> String {
    match seconds {
        ..MINUTE_S => format!("{seconds} s"),
        MINUTE_S..HOUR_S => format!("{} min", seconds / MINUTE_S),
        HOUR_S..DAY_S => {
            format!("{} h {} min", seconds / HOUR_S, seconds % HOUR_S / MINUTE_S)
        }
        DAY_S.. => format!("{} d {} h", seconds / DAY_S, seconds % DAY_S / HOUR_S),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(watched: Watched, connections: u64, ratio: f64) -> Confidence {
        let evidence = Evidence { connections, ..Evidence::default() };
        let completeness = Completeness { ratio, produced: 1, dropped: 0, gaps: Vec::new() };
        confidence(watched, &[&evidence], &completeness)
    }

    const WEEK: Watched =
        Watched { watched_s: WEEK_S, hours_seen: 168, restarts_seen: 2, runs_seen: None };

    #[test]
    fn a_whole_week_with_restarts_and_no_loss_is_full_confidence() {
        assert_eq!(score(WEEK, 100, 1.0).score, 1.0);
    }

    #[test]
    fn every_lack_lowers_the_score_and_is_named() {
        let lacks = [
            (score(Watched { watched_s: 60, ..WEEK }, 100, 1.0), "less than an hour"),
            (score(Watched { restarts_seen: 0, ..WEEK }, 100, 1.0), "no restart was seen"),
            (score(Watched { runs_seen: Some(1), ..WEEK }, 100, 1.0), "only one run"),
            (score(WEEK, 1, 1.0), "1 of 1 rules rests on a single connection"),
            (score(WEEK, 100, 0.5), "50.0 % complete"),
        ];
        for (confidence, reason) in lacks {
            assert!(confidence.score < 1.0, "{reason}");
            let found = confidence.reasons.iter().any(|text| text.contains(reason));
            assert!(found, "{reason} not in {:?}", confidence.reasons);
        }
    }

    #[test]
    fn a_ratio_that_is_no_number_gives_no_confidence() {
        assert_eq!(score(WEEK, 100, f64::NAN).score, 0.0);
    }
}
