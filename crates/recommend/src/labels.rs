//! Which labels a person would select a workload by.

use sekisho_manifest::{LabelSelector, Operator, Requirement};
use sekisho_model::Labels;

/// Keys people select by, best first. Others follow in order of their name.
const PREFERRED: [&str; 8] = [
    "app.kubernetes.io/name",
    "app",
    "k8s-app",
    "name",
    "run",
    "app.kubernetes.io/component",
    "app.kubernetes.io/instance",
    "component",
];

/// Keys whose values name an application.
const NAMING: [&str; 5] = ["app.kubernetes.io/name", "app", "k8s-app", "name", "run"];

/// Keys whose values change with each roll-out or run: never used.
const UNSTABLE: [&str; 8] = [
    "pod-template-hash",
    "controller-revision-hash",
    "pod-template-generation",
    "job-name",
    "controller-uid",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
    "rollouts-pod-template-hash",
];

/// Keys whose values change with each release: used only if nothing else tells workloads apart.
const VERSION_LIKE: [&str; 8] = [
    "app.kubernetes.io/version",
    "helm.sh/chart",
    "app.kubernetes.io/managed-by",
    "version",
    "chart",
    "heritage",
    "release-version",
    "track",
];

/// Candidates tried in combination; more are only tried all at once.
const COMBINED_MAX: usize = 12;

/// Whether policies may select by `key` at all.
pub(crate) fn is_stable(key: &str) -> bool {
    !UNSTABLE.contains(&key) && !key.starts_with("batch.kubernetes.io/")
}

/// Position of `key` in the order of preference.
fn rank(key: &str) -> (usize, &str) {
    if VERSION_LIKE.contains(&key) {
        return (PREFERRED.len() + 1, key);
    }
    (PREFERRED.iter().position(|known| *known == key).unwrap_or(PREFERRED.len()), key)
}

/// The stable labels that all `sets` share.
pub(crate) fn shared<'a>(sets: impl IntoIterator<Item = &'a Labels>) -> Labels {
    let mut sets = sets.into_iter();
    let Some(first) = sets.next() else { return Labels::new() };
    let mut shared = first.clone();
    shared.retain(|key, _| is_stable(key));
    for set in sets {
        shared.retain(|key, value| set.get(key) == Some(value));
    }
    shared
}

/// The shortest selector, in labels people prefer, that selects every set of `own` and none of
/// `others`. None if stable labels can't tell them apart.
pub(crate) fn selector(own: &[&Labels], others: &[&Labels]) -> Option<LabelSelector> {
    let shared = shared(own.iter().copied());
    let mut candidates: Vec<(&String, &String)> = shared.iter().collect();
    candidates.sort_by(|a, b| rank(a.0).cmp(&rank(b.0)));
    shortest(&candidates, others).or_else(|| with_absent_keys(own, others, shared.clone()))
}

/// The first smallest combination of `candidates` that matches none of `others`. It names the
/// application if any label does: an instance or a component alone would also pick pods of other
/// applications to come. An empty selector is never given, for the same reason.
fn shortest(candidates: &[(&String, &String)], others: &[&Labels]) -> Option<LabelSelector> {
    let chosen = |labels: &[&(&String, &String)]| {
        let labels = labels.iter().map(|(key, value)| ((*key).clone(), (*value).clone()));
        let selector = LabelSelector::of(labels.collect());
        let exact = !others.iter().any(|other| selector.matches(other));
        exact.then_some(selector)
    };
    let few = candidates.get(..COMBINED_MAX).unwrap_or(candidates);
    let names = |(key, _): &&(&String, &String)| NAMING.contains(&key.as_str());
    let has_name = few.iter().any(|label| names(&label));
    // Names come first among candidates, so the first of a combination is one if any is.
    let first = || {
        few.iter().enumerate().filter(move |(_, label)| {
            if has_name { names(label) } else { !VERSION_LIKE.contains(&label.0.as_str()) }
        })
    };
    if let Some(found) = first().find_map(|(_, a)| chosen(&[a])) {
        return Some(found);
    }
    for (index, a) in first() {
        if let Some(found) = few.iter().skip(index + 1).find_map(|b| chosen(&[a, b])) {
            return Some(found);
        }
    }
    for (index, a) in first() {
        for (second, b) in few.iter().enumerate().skip(index + 1) {
            if let Some(found) = few.iter().skip(second + 1).find_map(|c| chosen(&[a, b, c])) {
                return Some(found);
            }
        }
    }
    let all: Vec<&(&String, &String)> = candidates.iter().collect();
    if all.is_empty() { None } else { chosen(&all) }
}

/// Tells the rest apart by keys that only the others carry (`DoesNotExist`), e.g. a canary's.
fn with_absent_keys(own: &[&Labels], others: &[&Labels], shared: Labels) -> Option<LabelSelector> {
    let best = shared.iter().min_by(|a, b| rank(a.0).cmp(&rank(b.0)));
    let best: Labels = best.map(|(key, value)| (key.clone(), value.clone())).into_iter().collect();
    // Few labels first; all of them if the few leave others that no missing key tells apart.
    absent_keys(own, others, best).or_else(|| absent_keys(own, others, shared))
}

fn absent_keys(own: &[&Labels], others: &[&Labels], labels: Labels) -> Option<LabelSelector> {
    let mut selector = LabelSelector::of(labels);
    while let Some(other) = others.iter().find(|other| selector.matches(other)) {
        let key = other
            .keys()
            .filter(|key| is_stable(key) && !own.iter().any(|set| set.contains_key(*key)))
            .min_by(|a, b| rank(a).cmp(&rank(b)))?;
        let operator = Operator::DoesNotExist;
        selector.match_expressions.push(Requirement {
            key: key.clone(),
            operator,
            values: Vec::new(),
        });
    }
    if selector.is_empty() { None } else { Some(selector) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Labels {
        let pair = |pair: &str| {
            let (key, value) = pair.split_once('=').unwrap();
            (key.to_owned(), value.to_owned())
        };
        text.split_whitespace().map(pair).collect()
    }

    fn check(own: &[&str], others: &[&str], expected: &str) {
        let own: Vec<Labels> = own.iter().map(|text| labels(text)).collect();
        let others: Vec<Labels> = others.iter().map(|text| labels(text)).collect();
        let own: Vec<&Labels> = own.iter().collect();
        let others: Vec<&Labels> = others.iter().collect();
        let found = selector(&own, &others).map_or_else(
            || "none".to_owned(),
            |selector| {
                let mut words: Vec<String> = selector
                    .match_labels
                    .iter()
                    .map(|(key, value)| format!("{key}={value}"))
                    .collect();
                words.extend(selector.match_expressions.iter().map(|r| format!("!{}", r.key)));
                words.join(" ")
            },
        );
        assert_eq!(found, expected);
    }

    #[test]
    fn one_label_is_enough_when_it_tells_all_apart() {
        check(&["app=cart tier=back"], &["app=web tier=back"], "app=cart");
    }

    #[test]
    fn the_recommended_label_wins_over_the_old_ones() {
        check(&["app=x app.kubernetes.io/name=cart k8s-app=y"], &[], "app.kubernetes.io/name=cart");
    }

    #[test]
    fn a_second_label_comes_only_when_needed() {
        check(
            &["app.kubernetes.io/name=redis app.kubernetes.io/instance=a tier=x"],
            &["app.kubernetes.io/name=redis app.kubernetes.io/instance=b tier=x"],
            "app.kubernetes.io/instance=a app.kubernetes.io/name=redis",
        );
        check(&["tier=x component=a"], &["tier=x component=b"], "component=a");
        check(
            &["app=web component=api tier=x"],
            &["app=web component=job tier=x", "app=ad component=api tier=x"],
            "app=web component=api",
        );
    }

    #[test]
    fn labels_that_change_with_each_rollout_are_never_used() {
        check(&["pod-template-hash=1 job-name=a batch.kubernetes.io/job-name=a"], &[], "none");
        check(&["app=web pod-template-hash=1"], &["app=web pod-template-hash=2"], "none");
    }

    #[test]
    fn a_version_label_is_used_only_when_nothing_else_helps() {
        check(&["app=web version=1"], &["app=ad version=1"], "app=web");
        check(&["app=web version=1"], &["app=web version=2"], "app=web version=1");
    }

    #[test]
    fn a_missing_key_tells_a_workload_from_its_canary() {
        check(&["app=web"], &["app=web track=canary"], "app=web !track");
        check(&["pod-template-hash=1"], &["app=web"], "!app");
    }

    #[test]
    fn a_label_that_pods_of_the_workload_do_not_share_is_not_used() {
        check(&["app=web color=red", "app=web color=blue"], &["app=ad"], "app=web");
    }
}
