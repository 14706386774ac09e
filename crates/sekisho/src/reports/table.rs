//! Reports on a terminal.

use sekisho_api::ReportLanguage;

use super::document::{Head, lines};
use super::sheet::{Cell, Sheet};
use super::words::W;
use crate::commands::output;

/// The report as text, in English.
pub(crate) fn table(head: &Head, sheets: &[Sheet]) -> String {
    let language = ReportLanguage::En;
    let mut text = format!("{}\n", W::kind(head.report).of(language));
    let lines = lines(head, language).into_iter();
    let rows: Vec<Vec<String>> =
        lines.map(|(name, value)| vec![name.to_owned(), shown(&value)]).collect();
    text.push_str(&output::columns(&rows, &[]));
    for sheet in sheets {
        text.push_str(&format!("\n{}\n", sheet.title.of(language)));
        let why = sheet.withheld.or(sheet.rows.is_empty().then_some(W::Nothing));
        if let Some(why) = why {
            text.push_str(&format!("{}\n", why.of(language)));
            continue;
        }
        let heads = sheet.columns.iter().map(|word| word.of(language).to_uppercase()).collect();
        let mut rows: Vec<Vec<String>> = vec![heads];
        rows.extend(
            sheet
                .rows
                .iter()
                .map(|row| row.iter().map(|cell| shown(&cell.text(language, ", "))).collect()),
        );
        let right: Vec<bool> =
            sheet.rows.first().into_iter().flatten().map(Cell::is_number).collect();
        text.push_str(&output::columns(&rows, &right));
        if let Some(total) = sheet.total {
            let (cut, of) = (W::Cut.of(language), W::Of.of(language));
            text.push_str(&format!("{cut} {} {of} {total}\n", sheet.rows.len()));
        }
    }
    text
}

fn shown(text: &str) -> String {
    sekisho_base::harmless(text)
}
