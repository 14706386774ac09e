//! Assets: many in a table, or one with all that is said of it.

use anyhow::bail;
use sekisho_api::{AssetView, InventoryPage};

use super::args::{ExplainArgs, ListArgs};
use crate::cli::TableOrJson;
use crate::commands::connect::Connection;
use crate::commands::{history, output};
use crate::exit::Exit;

/// Assets asked for at one time.
const PAGE: usize = 1_000;

/// Prints the assets that are asked for.
pub(super) fn list(args: &ListArgs) -> anyhow::Result<Exit> {
    let mut query: Vec<(&str, String)> = Vec::new();
    query.extend(args.cluster.iter().map(|cluster| ("cluster", cluster.to_string())));
    query.extend(args.namespace.iter().map(|name| ("namespace", name.clone())));
    query.extend(args.kind.iter().map(|kind| ("kind", kind.clone())));
    query.extend(args.text.iter().map(|text| ("text", text.clone())));
    query.extend(args.unlabelled.iter().map(|what| ("unlabelled", what.clone())));
    if args.conflicting {
        query.push(("conflicting", "true".to_owned()));
    }
    let now = history::now();
    query.extend(args.since.iter().map(|since| ("since", since.at(now).to_string())));
    let page = all(&args.server.connect()?, query)?;
    match args.output {
        TableOrJson::Table => output::print(&table(&page))?,
        TableOrJson::Json => {
            for asset in &page.assets {
                output::print(&(serde_json::to_string(asset)? + "\n"))?;
            }
        }
    }
    let asked = args.unlabelled.is_some() || args.conflicting;
    Ok(if asked && !page.assets.is_empty() { Exit::Found } else { Exit::Done })
}

/// All pages of an answer as one.
fn all(client: &Connection, query: Vec<(&str, String)>) -> anyhow::Result<InventoryPage> {
    let ask = |after: Option<&String>| {
        let mut query = query.clone();
        query.push(("limit", PAGE.to_string()));
        query.extend(after.map(|after| ("after", after.clone())));
        history::call(client.inventory(&query))
    };
    let mut page = ask(None)?;
    while page.next.is_some() {
        let next = ask(page.next.as_ref())?;
        page.assets.extend(next.assets);
        page.next = next.next;
    }
    Ok(page)
}

fn table(page: &InventoryPage) -> String {
    let mut head = vec!["ASSET".to_owned()];
    head.extend(page.dimensions.iter().map(|one| one.name.as_str().to_uppercase()));
    let mut rows = vec![head];
    let clusters: std::collections::BTreeSet<_> =
        page.assets.iter().map(|asset| &asset.cluster).collect();
    for asset in &page.assets {
        let name = match clusters.len() {
            0 | 1 => asset.id.clone(),
            _several => format!("{}/{}", asset.cluster, asset.id),
        };
        let mut row = vec![sekisho_base::harmless(&name)];
        row.extend(page.dimensions.iter().map(
            |dimension| match asset.values.get(&dimension.name) {
                None => "-".to_owned(),
                Some(value) => {
                    let layer = value.said.first().map_or("", |said| said.layer.as_str());
                    let conflict = if value.conflict { ", conflict" } else { "" };
                    format!("{} ({layer}{conflict})", sekisho_base::harmless(&value.value))
                }
            },
        ));
        rows.push(row);
    }
    let shown = page.assets.len();
    let InventoryPage { total, unlabelled, conflicting, .. } = page;
    format!(
        "{}{shown} of {total} assets; {unlabelled} without any label, {conflicting} with conflicts\n",
        output::columns(&rows, &[])
    )
}

/// Prints what each layer says of an asset.
pub(super) fn explain(args: &ExplainArgs) -> anyhow::Result<Exit> {
    let wanted = args.asset.as_str();
    let key = if wanted.ends_with(']') { "id" } else { "text" };
    let mut query = vec![(key, wanted.to_owned())];
    query.extend(args.cluster.iter().map(|cluster| ("cluster", cluster.to_string())));
    let page = all(&args.server.connect()?, query)?;
    let is_it = |asset: &&AssetView| {
        let full = format!("{}/{}", asset.namespace, asset.name);
        [asset.id.as_str(), &asset.name, &full].contains(&wanted)
    };
    let found: Vec<&AssetView> = page.assets.iter().filter(is_it).collect();
    let asset = match found.as_slice() {
        [only] => *only,
        [] => bail!("there is no asset `{wanted}`: `sekisho labels list --text {wanted}`"),
        several => {
            let ids: Vec<&str> = several.iter().map(|asset| asset.id.as_str()).collect();
            bail!("`{wanted}` may be any of {}: name one", ids.join(", "))
        }
    };
    match args.output {
        TableOrJson::Json => output::print_json(asset)?,
        TableOrJson::Table => output::print(&explained(&page, asset))?,
    }
    Ok(Exit::Done)
}

fn explained(page: &InventoryPage, asset: &AssetView) -> String {
    let mut rows = vec![["DIMENSION", "LAYER", "VALUE", "SAID BY", ""].map(str::to_owned).to_vec()];
    for dimension in &page.dimensions {
        let Some(value) = asset.values.get(&dimension.name) else {
            let none = [dimension.name.as_str(), "-", "-", "nobody", ""];
            rows.push(none.map(str::to_owned).to_vec());
            continue;
        };
        for (number, said) in value.said.iter().enumerate() {
            let differs = said.value != value.value;
            let remark = match (number, differs, value.conflict) {
                (0, _, _) => "holds",
                (_, true, true) => "conflicts",
                (_, true, false) => "overruled",
                (_, false, _) => "agrees",
            };
            let name = if number == 0 { dimension.name.as_str() } else { "" };
            let words = [name, said.layer.as_str(), &said.value, &said.source, remark];
            rows.push(words.map(sekisho_base::harmless).to_vec());
        }
    }
    let gone = if asset.present { "" } else { " (not there now)" };
    format!("{}{gone}\n{}", sekisho_base::harmless(&asset.id), output::columns(&rows, &[]))
}
