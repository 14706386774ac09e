//! Selectors in words.

use sekisho_manifest::{Operator, Requirement};

use crate::ir::{Expr, Scope, Test, TextOperator};

/// Which pods an expression takes, e.g. `app=web in namespaces with team=a`; `any pod` for all.
pub(crate) fn words(expr: &Expr) -> String {
    match expr {
        Expr::All => "any pod".to_owned(),
        Expr::And(all) => both(all),
        Expr::None | Expr::Not(_) | Expr::Or(_) | Expr::Test(_) => both(std::slice::from_ref(expr)),
    }
}

/// Conditions on pods, then those on their namespaces.
fn both(all: &[Expr]) -> String {
    let (namespaces, pods): (Vec<&Expr>, Vec<&Expr>) =
        all.iter().partition(|one| scope(one) == Some(Scope::Namespace));
    let joined = |list: &[&Expr]| list.iter().map(|one| plain(one)).collect::<Vec<_>>().join(",");
    let name = |expr: &&&Expr| match **expr {
        Expr::Test(Test::Namespace(name)) => Some(name.clone()),
        Expr::Test(Test::Label(Scope::Namespace, requirement)) => by_name(requirement),
        _other => None,
    };
    let place = match namespaces.as_slice() {
        [] => "any namespace".to_owned(),
        [one] => match name(&one) {
            Some(name) => format!("namespace {name}"),
            None => format!("namespaces with {}", plain(one)),
        },
        several => format!("namespaces with {}", joined(several)),
    };
    if pods.is_empty() {
        format!("any pod in {place}")
    } else {
        format!("{} in {place}", joined(&pods))
    }
}

fn by_name(requirement: &Requirement) -> Option<String> {
    let is_name = requirement.key == "kubernetes.io/metadata.name";
    match (requirement.operator, requirement.values.as_slice()) {
        (Operator::In, [name]) if is_name => Some(name.clone()),
        _several => None,
    }
}

/// The scope that all parts of an expression share.
fn scope(expr: &Expr) -> Option<Scope> {
    match expr {
        Expr::All | Expr::None => None,
        Expr::Not(inner) => scope(inner),
        Expr::And(parts) | Expr::Or(parts) => {
            let first = scope(parts.first()?)?;
            parts.iter().all(|part| scope(part) == Some(first)).then_some(first)
        }
        Expr::Test(Test::Namespace(_)) => Some(Scope::Namespace),
        Expr::Test(Test::ServiceAccount(_)) => Some(Scope::ServiceAccount),
        Expr::Test(Test::Label(scope, _) | Test::Text(scope, _)) => Some(*scope),
    }
}

fn plain(expr: &Expr) -> String {
    let list = |parts: &[Expr], between: &str| {
        let parts: Vec<String> = parts.iter().map(plain).collect();
        format!("({})", parts.join(between))
    };
    match expr {
        Expr::All => "any".to_owned(),
        Expr::None => "none".to_owned(),
        Expr::Not(inner) => format!("not {}", plain(inner)),
        Expr::And(parts) => list(parts, " and "),
        Expr::Or(parts) => list(parts, " or "),
        Expr::Test(Test::Namespace(name)) => format!("namespace {name}"),
        Expr::Test(Test::ServiceAccount(name)) => format!("service account {name}"),
        Expr::Test(Test::Label(scope, wanted)) => {
            format!("{}{}", prefix(*scope), requirement(wanted))
        }
        Expr::Test(Test::Text(scope, test)) => {
            let how = match test.operator {
                TextOperator::Contains => "contains",
                TextOperator::StartsWith => "starts with",
                TextOperator::EndsWith => "ends with",
            };
            format!("{}{} {how} {}", prefix(*scope), test.key, test.text)
        }
    }
}

fn prefix(scope: Scope) -> &'static str {
    match scope {
        Scope::Pod | Scope::Namespace => "",
        Scope::ServiceAccount => "service account ",
    }
}

fn requirement(Requirement { key, operator, values }: &Requirement) -> String {
    let listed = values.join(",");
    match (operator, values.as_slice()) {
        (Operator::In, [value]) => format!("{key}={value}"),
        (Operator::In, _) => format!("{key} in ({listed})"),
        (Operator::NotIn, [value]) => format!("{key}!={value}"),
        (Operator::NotIn, _) => format!("{key} not in ({listed})"),
        (Operator::Exists, _) => key.clone(),
        (Operator::DoesNotExist, _) => format!("!{key}"),
    }
}
