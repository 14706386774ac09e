//! Reports as a document: one file, no script, nothing loaded; a browser prints it, also into a PDF.

use sekisho_api::{REPORT_POLICY, REPORT_STYLE, ReportLanguage};

use super::document::{Head, lines};
use super::sheet::{Cell, Sheet};
use super::words::W;

/// The report as HTML.
pub(super) fn html(head: &Head, sheets: &[Sheet], language: ReportLanguage) -> String {
    let title = W::kind(head.report).of(language);
    let mut text = format!(
        "<!doctype html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{}\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{} · {} · Sekisho</title>\n<style>{}</style>\n</head>\n<body>\n<main>\n<h1>{}</h1>\n",
        language.as_str(),
        escaped(&REPORT_POLICY),
        escaped(title),
        escaped(&head.cluster.to_string()),
        REPORT_STYLE,
        escaped(title),
    );
    text.push_str("<dl>\n");
    for (name, value) in lines(head, language) {
        let value = match name == W::Digest.of(language) {
            true => format!("<code>{}</code>", escaped(&value)),
            false => escaped(&value),
        };
        text.push_str(&format!("<dt>{}</dt><dd>{value}</dd>\n", escaped(name)));
    }
    text.push_str("</dl>\n");
    if head.completeness < 1.0 {
        text.push_str(&paragraph("note", W::Incomplete.of(language)));
    }
    if head.earlier_completeness.is_some_and(|ratio| ratio < 1.0) {
        text.push_str(&paragraph("note", W::BeforeIncomplete.of(language)));
    }
    for sheet in sheets {
        add(&mut text, sheet, language);
    }
    text.push_str(&paragraph("soft", W::DigestNote.of(language)));
    text.push_str("</main>\n</body>\n</html>\n");
    text
}

fn paragraph(class: &str, words: &str) -> String {
    format!("<p class=\"{class}\">{}</p>\n", escaped(words))
}

fn add(text: &mut String, sheet: &Sheet, language: ReportLanguage) {
    text.push_str(&format!("<section>\n<h2>{}</h2>\n", escaped(sheet.title.of(language))));
    if let Some(total) = sheet.total {
        let (cut, of) = (W::Cut.of(language), W::Of.of(language));
        text.push_str(&paragraph("note", &format!("{cut} {} {of} {total}", sheet.rows.len())));
    }
    match (sheet.withheld, sheet.rows.is_empty()) {
        (Some(why), _) => text.push_str(&paragraph("soft", why.of(language))),
        (None, true) => text.push_str(&paragraph("soft", W::Nothing.of(language))),
        (None, false) => rows(text, sheet, language),
    }
    text.push_str("</section>\n");
}

fn rows(text: &mut String, sheet: &Sheet, language: ReportLanguage) {
    text.push_str("<table>\n<thead><tr>");
    for (index, column) in sheet.columns.iter().enumerate() {
        let is_number = sheet.rows.iter().any(|row| row.get(index).is_some_and(Cell::is_number));
        let class = if is_number { " class=\"n\"" } else { "" };
        text.push_str(&format!("<th scope=\"col\"{class}>{}</th>", escaped(column.of(language))));
    }
    text.push_str("</tr></thead>\n<tbody>\n");
    for row in &sheet.rows {
        text.push_str("<tr>");
        for cell in row {
            text.push_str(&of_cell(cell, language));
        }
        text.push_str("</tr>\n");
    }
    text.push_str("</tbody>\n</table>\n");
}

fn of_cell(cell: &Cell, language: ReportLanguage) -> String {
    let plain = escaped(&cell.text(language, "\n"));
    match cell {
        Cell::Number(_) | Cell::Share(..) => format!("<td class=\"n\">{plain}</td>"),
        Cell::Time(time) => {
            // Seconds are enough to read; the whole of it stands in the attribute.
            let short: String = time.to_string().chars().take(19).collect();
            format!(
                "<td class=\"t\"><time datetime=\"{plain}\">{}</time></td>",
                short.replace('T', " ")
            )
        }
        Cell::Lines(lines) => {
            let lines: Vec<String> = lines.iter().map(|line| escaped(line)).collect();
            format!("<td>{}</td>", lines.join("<br>"))
        }
        Cell::Text(_) | Cell::Word(_) | Cell::Empty => format!("<td>{plain}</td>"),
    }
}

/// Text in an element or in an attribute in double quotes: names come from workloads.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in sekisho_base::harmless(text).chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_anything_but_text() {
        let hostile = "</td><script>alert(1)</script>\"'&\u{202e}";
        let safe = escaped(hostile);
        assert!(!safe.contains(['<', '>', '"', '\'', '\u{202e}']), "{safe}");
        assert!(safe.contains("&lt;script&gt;"));
        let cell =
            of_cell(&Cell::Lines(vec!["a<b".to_owned(), "c".to_owned()]), ReportLanguage::En);
        assert_eq!(cell, "<td>a&lt;b<br>c</td>");
    }
}
