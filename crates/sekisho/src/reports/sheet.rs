//! What a report shows, whatever its form: sheets of rows.

use sekisho_model::Timestamp;

use super::words::W;

/// One table of a report.
#[derive(Clone, Debug)]
pub(crate) struct Sheet {
    pub(crate) title: W,
    pub(crate) columns: Vec<W>,
    pub(crate) rows: Vec<Vec<Cell>>,
    /// Rows there are, if some are left out.
    pub(crate) total: Option<u64>,
    /// Why there is no row, where that is not that there is nothing.
    pub(crate) withheld: Option<W>,
}

/// One cell.
#[derive(Clone, Debug)]
pub(crate) enum Cell {
    /// A name that others chose.
    Text(String),
    /// Several, one a line.
    Lines(Vec<String>),
    Number(u64),
    Time(Timestamp),
    Word(W),
    /// A part of a whole, as a percentage; nothing of nothing is none.
    Share(u64, u64),
    Empty,
}

impl Sheet {
    /// A whole sheet.
    pub(crate) fn new(title: W, columns: &[W], rows: Vec<Vec<Cell>>) -> Self {
        Self { title, columns: columns.to_vec(), rows, total: None, withheld: None }
    }

    /// A sheet of which `total` rows are the whole.
    pub(crate) fn of(self, total: u64) -> Self {
        let total = (total > self.rows.len() as u64).then_some(total);
        Self { total, ..self }
    }

    /// A sheet that is not for who asks.
    pub(crate) fn withheld(title: W, why: W) -> Self {
        Self { withheld: Some(why), ..Self::new(title, &[], Vec::new()) }
    }
}

impl Cell {
    /// As text in a language; lines are separated by `between`.
    pub(crate) fn text(&self, language: sekisho_api::ReportLanguage, between: &str) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Lines(lines) => lines.join(between),
            Self::Number(number) => number.to_string(),
            Self::Time(time) => time.to_string(),
            Self::Word(word) => word.of(language).to_owned(),
            Self::Share(part, whole) => share(*part, *whole),
            Self::Empty => String::new(),
        }
    }

    /// Whether it stands at the right.
    pub(crate) fn is_number(&self) -> bool {
        match self {
            Self::Number(_) | Self::Share(..) => true,
            Self::Text(_) | Self::Lines(_) | Self::Time(_) | Self::Word(_) | Self::Empty => false,
        }
    }
}

/// `12.3 %`, rounded down: what is not all of it is never told as all of it.
fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return String::new();
    }
    let tenths = u128::from(part) * 1_000 / u128::from(whole);
    format!("{}.{} %", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_that_is_not_whole_is_never_told_as_whole() {
        assert_eq!(share(999_999, 1_000_000), "99.9 %");
        assert_eq!(share(7, 7), "100.0 %");
        assert_eq!(share(0, 7), "0.0 %");
        assert_eq!(share(u64::MAX, u64::MAX), "100.0 %");
        assert_eq!(share(0, 0), "");
    }
}
