//! Tables of tags: `asset,dimension,value` a line, or what a CMDB exports, with a line for each asset
//! and a column for each dimension.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::csv::{Record, records};
use crate::{AssetKey, DimensionName, value};

/// Values of a table at most.
pub const ROWS_MAX: usize = 100_000;
/// Rejected lines that are told one by one.
const REJECTED_MAX: usize = 200;
/// Columns of a table that may name the asset, where nobody says which does: the first that is there.
const KEYS: [&str; 10] =
    ["asset", "id", "workload", "fqdn", "hostname", "host", "name", "ip", "address", "cidr"];
/// Columns of the form with a value a line.
const LONG: [&str; 3] = ["asset", "dimension", "value"];

/// How a table is to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableForm {
    /// Column that names the asset; None = the first of those that usually do.
    pub key: Option<String>,
    /// Columns of dimensions whose columns are not called as they are.
    pub columns: BTreeMap<DimensionName, String>,
}

/// One value of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRow {
    /// Line, from 1.
    pub line: u32,
    /// The asset, as the table names it.
    pub asset: String,
    /// The dimension.
    pub dimension: DimensionName,
    /// The value.
    pub value: String,
}

/// A line that can't be taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Line, from 1.
    pub line: u32,
    /// Column; empty for the line as a whole.
    pub column: String,
    /// What is wrong, and what is expected.
    pub reason: String,
}

/// What a table says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Its values, in its order.
    pub rows: Vec<TableRow>,
    /// Lines that can't be taken, the first 200.
    pub rejected: Vec<Rejected>,
    /// How many can't.
    pub rejected_total: usize,
    /// Columns that are no dimension: nothing is taken of them.
    pub ignored: Vec<String>,
}

/// A table can't be read at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// It has no line.
    #[error("the table is empty: its first line names the columns")]
    Empty,
    /// Its first line is broken.
    #[error("line {0}: {1}")]
    Head(u32, String),
    /// No column names the asset.
    #[error(
        "line {line}: none of the columns {columns} names the asset: call one of them {}, or say which",
        KEYS.join(", ")
    )]
    NoKey {
        /// Line of the head.
        line: u32,
        /// Its columns.
        columns: String,
    },
    /// No column is a dimension.
    #[error(
        "line {line}: none of the columns {columns} is one of the dimensions {dimensions}: say which is"
    )]
    NoDimension {
        /// Line of the head.
        line: u32,
        /// Its columns.
        columns: String,
        /// The dimensions that there are.
        dimensions: String,
    },
    /// A column that was named is not there.
    #[error("line {line}: there is no column `{column}` among {columns}")]
    NoColumn {
        /// Line of the head.
        line: u32,
        /// The column.
        column: String,
        /// Those that there are.
        columns: String,
    },
}

/// Reads a table of the dimensions `known`.
///
/// # Errors
/// [`TableError`] if its columns can't be understood. A line that can't is in [`Table::rejected`].
pub fn read_table(
    text: &str,
    form: &TableForm,
    known: &[DimensionName],
) -> Result<Table, TableError> {
    let mut records = records(text);
    let head = records.next().ok_or(TableError::Empty)?;
    let names = head.fields.map_err(|cause| TableError::Head(head.line, cause.to_owned()))?;
    let columns = Columns::read((head.line, &names), form, known)?;
    let mut reader = Reader { columns, known, table: Table::default(), seen: BTreeMap::new() };
    reader.table.ignored = reader.columns.ignored(&names);
    for record in records {
        if reader.table.rows.len() >= ROWS_MAX {
            reader.reject(record.line, "", format!("more than {ROWS_MAX} values: make two tables"));
            break;
        }
        reader.take(record, names.len());
    }
    Ok(reader.table)
}

/// Which column is what, by their places.
#[derive(Debug)]
struct Columns {
    key: usize,
    key_name: String,
    /// Of a table that names assets by namespace and name.
    namespace: Option<usize>,
    values: Values,
}

#[derive(Debug)]
enum Values {
    /// The dimension's column, and the value's.
    Long(usize, usize),
    /// A column for each dimension.
    Wide(Vec<(DimensionName, usize)>),
}

impl Columns {
    fn read(
        (line, names): (u32, &[String]),
        form: &TableForm,
        known: &[DimensionName],
    ) -> Result<Self, TableError> {
        let place = |wanted: &str| names.iter().position(|name| name.eq_ignore_ascii_case(wanted));
        let columns = || names.join(", ");
        let needed = |wanted: &str| {
            place(wanted).ok_or_else(|| TableError::NoColumn {
                line,
                column: wanted.to_owned(),
                columns: columns(),
            })
        };
        if let [Some(key), Some(dimension), Some(value)] = LONG.map(place)
            && form.columns.is_empty()
        {
            let key = form.key.as_deref().map_or(Ok(key), needed)?;
            let (key_name, values) = (named(names, key), Values::Long(dimension, value));
            return Ok(Self { key, key_name, namespace: None, values });
        }
        let usual = || KEYS.iter().find_map(|name| place(name));
        let key = match &form.key {
            Some(name) => needed(name)?,
            None => usual().ok_or_else(|| TableError::NoKey { line, columns: columns() })?,
        };
        let mut values = Vec::new();
        for dimension in known {
            let column = match form.columns.get(dimension) {
                Some(name) => Some(needed(name)?),
                None => place(dimension.as_str()),
            };
            values.extend(column.filter(|at| *at != key).map(|at| (dimension.clone(), at)));
        }
        if values.is_empty() {
            let dimensions: Vec<&str> = known.iter().map(DimensionName::as_str).collect();
            let (columns, dimensions) = (columns(), dimensions.join(", "));
            return Err(TableError::NoDimension { line, columns, dimensions });
        }
        let key_name = named(names, key);
        let namespace = place("namespace").filter(|_| key_name.eq_ignore_ascii_case("name"));
        Ok(Self { key, key_name, namespace, values: Values::Wide(values) })
    }

    fn ignored(&self, names: &[String]) -> Vec<String> {
        let is_used = |at: usize| {
            let of_values = match &self.values {
                Values::Long(dimension, value) => at == *dimension || at == *value,
                Values::Wide(values) => values.iter().any(|(_, column)| *column == at),
            };
            of_values || at == self.key || self.namespace == Some(at)
        };
        let unused = names.iter().enumerate().filter(|(at, _)| !is_used(*at));
        unused.map(|(_, name)| name.clone()).collect()
    }
}

fn named(names: &[String], place: usize) -> String {
    names.get(place).cloned().unwrap_or_default()
}

struct Reader<'a> {
    columns: Columns,
    known: &'a [DimensionName],
    table: Table,
    /// Line and value of what was read.
    seen: BTreeMap<(AssetKey, DimensionName), (u32, String)>,
}

impl Reader<'_> {
    fn reject(&mut self, line: u32, column: &str, reason: String) {
        self.table.rejected_total += 1;
        if self.table.rejected.len() < REJECTED_MAX {
            let column = column.to_owned();
            self.table.rejected.push(Rejected { line, column, reason });
        }
    }

    fn take(&mut self, record: Record, width: usize) {
        let Record { line, fields } = record;
        let fields = match fields {
            Ok(fields) if fields.len() == width => fields,
            Ok(fields) => {
                let found = fields.len();
                let reason = format!("{found} fields, where the first line has {width}");
                return self.reject(line, "", reason);
            }
            Err(reason) => return self.reject(line, "", reason.to_owned()),
        };
        let cell = |at: usize| fields.get(at).map_or("", String::as_str);
        let name = match self.columns.namespace.map(cell) {
            Some(namespace) if !namespace.is_empty() => {
                format!("{namespace}/{}", cell(self.columns.key))
            }
            Some(_) | None => cell(self.columns.key).to_owned(),
        };
        let asset: AssetKey = match name.parse() {
            Ok(asset) => asset,
            Err(cause) => {
                let column = self.columns.key_name.clone();
                return self.reject(line, &column, cause.to_string());
            }
        };
        let told = match &self.columns.values {
            Values::Long(dimension, value) => {
                let wanted = cell(*dimension);
                let found = self.known.iter().find(|name| name.as_str() == wanted);
                let Some(found) = found else {
                    let all: Vec<&str> = self.known.iter().map(DimensionName::as_str).collect();
                    let all = all.join(", ");
                    let reason = format!("`{}` is not one of {all}", wanted.escape_debug());
                    return self.reject(line, "dimension", reason);
                };
                vec![(found.clone(), "value".to_owned(), cell(*value).to_owned())]
            }
            // An empty cell says nothing.
            Values::Wide(values) => values
                .iter()
                .filter(|(_, at)| !cell(*at).is_empty())
                .map(|(name, at)| (name.clone(), name.to_string(), cell(*at).to_owned()))
                .collect(),
        };
        for (dimension, column, text) in told {
            self.put((line, &column), &asset, dimension, &text);
        }
    }

    fn put(
        &mut self,
        (line, column): (u32, &str),
        asset: &AssetKey,
        dimension: DimensionName,
        text: &str,
    ) {
        let value = match value(text) {
            Ok(value) => value,
            Err(cause) => return self.reject(line, column, cause.to_string()),
        };
        let place = (asset.clone(), dimension.clone());
        match self.seen.get(&place) {
            // An export tells a machine with two interfaces twice.
            Some((_, known)) if *known == value => {}
            Some((first, known)) => {
                let reason = format!("line {first} says `{known}` of the same asset");
                self.reject(line, column, reason);
            }
            None => {
                self.seen.insert(place, (line, value.clone()));
                let asset = asset.to_string();
                self.table.rows.push(TableRow { line, asset, dimension, value });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<DimensionName> {
        ["application", "environment", "role"].map(|name| name.parse().unwrap()).to_vec()
    }

    fn read(text: &str, form: &TableForm) -> Result<Table, TableError> {
        read_table(text, form, &known())
    }

    fn said(table: &Table) -> Vec<String> {
        let row =
            |row: &TableRow| format!("{}: {} {}={}", row.line, row.asset, row.dimension, row.value);
        table.rows.iter().map(row).collect()
    }

    fn rejected(table: &Table) -> Vec<String> {
        let line = |one: &Rejected| format!("{} {}: {}", one.line, one.column, one.reason);
        table.rejected.iter().map(line).collect()
    }

    #[test]
    fn a_value_a_line_and_a_column_a_dimension_say_the_same() {
        let long = "asset,dimension,value\nshop/cart,role,web\nshop/cart,environment,prod\n";
        let table = read(long, &TableForm::default()).unwrap();
        assert_eq!(said(&table), ["2: shop/cart role=web", "3: shop/cart environment=prod"]);
        let wide = "Namespace,Name,Owner,Role,Environment\nshop,cart,ann,web,prod\n,web-01,bob,,\n";
        let table = read(wide, &TableForm::default()).unwrap();
        assert_eq!(said(&table), ["2: shop/cart environment=prod", "2: shop/cart role=web"]);
        assert_eq!(table.ignored, ["Owner"]);
        let form = TableForm {
            key: Some("CI".to_owned()),
            columns: [("role".parse().unwrap(), "Tier".to_owned())].into(),
        };
        let table = read("ci;tier\nWEB-01;web\n10.0.0.1;db\n", &form).unwrap();
        assert_eq!(said(&table), ["2: web-01 role=web", "3: 10.0.0.1 role=db"]);
    }

    #[test]
    fn each_line_that_cannot_be_taken_says_where_and_why() {
        let text = "asset,dimension,value\nshop/cart,colour,red\n,role,web\nshop/cart,role\n\
                    shop/cart,role,\nshop/cart,role,web\nshop/cart,role,web\nshop/cart,role,db\n\"x,role,a";
        let table = read(text, &TableForm::default()).unwrap();
        assert_eq!(said(&table), ["6: shop/cart role=web"]);
        assert_eq!(
            rejected(&table),
            [
                "2 dimension: `colour` is not one of application, environment, role",
                "3 asset: names no asset: it is empty",
                "4 : 2 fields, where the first line has 3",
                "5 value: the value is empty",
                "8 value: line 6 says `web` of the same asset",
                "9 : a quoted field that does not end",
            ]
        );
        for (text, words) in [
            ("", "the table is empty"),
            ("a,b\n", "names the asset"),
            ("asset,colour\n", "is one of the dimensions"),
            ("\"a,b\n", "line 1: a quoted field"),
        ] {
            let error = read(text, &TableForm::default()).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let form = TableForm { key: Some("host".to_owned()), ..TableForm::default() };
        let error = read("asset,role\n", &form).unwrap_err().to_string();
        assert_eq!(error, "line 1: there is no column `host` among asset, role");
    }

    proptest::proptest! {
        #[test]
        fn every_line_of_any_table_is_taken_or_rejected(
            lines in proptest::collection::vec("[a-c/]{0,3},(role|environment|x),[a-b\"]{0,2}", 0..30)
        ) {
            let text = format!("asset,dimension,value\n{}", lines.join("\n"));
            let table = read(&text, &TableForm::default()).unwrap();
            let told: usize = table.rows.len() + table.rejected_total;
            proptest::prop_assert!(told <= lines.len());
            proptest::prop_assert_eq!(table.rejected.len(), table.rejected_total);
        }
    }
}
