//! `sekisho doctor`.

use sekisho_observe::{Tier, TierStatus};

use super::output;
use crate::cli::TableOrJson;
use crate::exit::Exit;

/// Prints what this machine offers; `Found` if something needed is missing.
pub(crate) fn run(form: TableOrJson) -> anyhow::Result<Exit> {
    let tiers = sekisho_observe::doctor();
    let missing = tiers.iter().any(|tier| tier.status == TierStatus::Missing);
    match form {
        TableOrJson::Json => output::print_json(&tiers.iter().map(json).collect::<Vec<_>>())?,
        TableOrJson::Table => {
            let head = ["area", "status", "used", "why", "how to get more"].map(str::to_owned);
            let mut rows = vec![head.to_vec()];
            for tier in &tiers {
                rows.push(vec![
                    tier.area.clone(),
                    status(tier).to_owned(),
                    tier.used.clone(),
                    tier.reason.clone(),
                    tier.remedy.clone(),
                ]);
            }
            output::print(&output::columns(&rows, &[]))?;
        }
    }
    Ok(if missing { Exit::Found } else { Exit::Done })
}

fn status(tier: &Tier) -> &'static str {
    match tier.status {
        TierStatus::Ok => "ok",
        TierStatus::Degraded => "degraded",
        TierStatus::Missing => "MISSING",
    }
}

fn json(tier: &Tier) -> serde_json::Value {
    serde_json::json!({
        "area": tier.area,
        "status": status(tier).to_ascii_lowercase(),
        "used": tier.used,
        "reason": tier.reason,
        "remedy": tier.remedy,
    })
}
