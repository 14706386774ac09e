//! Which edges of a segment a filter may take, told by a few columns before the rest is read.
//!
//! Words are read as numbers into a dictionary, as the file has them, so that a filter looks at each
//! word once and not at each row. What these columns can't tell passes: whoever reads the keys asks
//! the filter again.

use std::fs::File;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{Array, DictionaryArray, RecordBatch, StringArray, UInt16Array};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use sekisho_flow::FlowFilter;

use crate::SegmentError;
use crate::columns::{DECIDED_BY, DESTINATION, PORT, PROTOCOL, PartyNames, SOURCE, VERDICT};
use crate::segment::{Part, Segment};
use crate::words;

const BATCH_ROWS: usize = 65_536;

/// What one column must say.
enum Asked<'a> {
    Word(&'static str, Box<dyn Fn(&str) -> bool + 'a>),
    Port(u16),
}

/// Columns that must all say what is asked of them.
type All<'a> = Vec<Asked<'a>>;
/// Of which one must.
type Any<'a> = Vec<All<'a>>;

fn word<'a>(column: &'static str, takes: impl Fn(&str) -> bool + 'a) -> Asked<'a> {
    Asked::Word(column, Box::new(takes))
}

fn is<'a>(column: &'static str, wanted: &'a str) -> Asked<'a> {
    word(column, move |text| text == wanted)
}

fn workload<'a>(of: &PartyNames, wanted: &'a str) -> All<'a> {
    match wanted.split_once('/') {
        Some((namespace, name)) => vec![is(of.namespace, namespace), is(of.workload, name)],
        None => vec![is(of.workload, wanted)],
    }
}

fn pod<'a>(of: &PartyNames, wanted: &'a str) -> All<'a> {
    let begins = |name: &'a str| word(of.pod, move |pod| !pod.is_empty() && pod.starts_with(name));
    match wanted.split_once('/') {
        Some((namespace, name)) => vec![is(of.namespace, namespace), begins(name)],
        None => vec![begins(wanted)],
    }
}

fn namespace<'a>(of: &PartyNames, wanted: &'a str) -> All<'a> {
    vec![is(of.namespace, wanted)]
}

type Maker = for<'a> fn(&PartyNames, &'a str) -> All<'a>;

/// What must all be true of a row that `filter` takes.
fn tests(filter: &FlowFilter) -> Vec<Any<'_>> {
    let mut tests: Vec<Any<'_>> = Vec::new();
    if let Some(wanted) = filter.verdict {
        let takes = move |text: &str| words::verdict_of(text).is_none_or(|own| wanted.takes(own));
        tests.push(vec![vec![word(VERDICT, takes)]]);
    }
    let by_end: [(Maker, [&Option<String>; 3]); 3] = [
        (workload, [&filter.from_workload, &filter.to_workload, &filter.workload]),
        (pod, [&filter.from_pod, &filter.to_pod, &filter.pod]),
        (namespace, [&filter.from_namespace, &filter.to_namespace, &filter.namespace]),
    ];
    for (make, [from, to, either]) in by_end {
        tests.extend(from.iter().map(|wanted| vec![make(&SOURCE, wanted)]));
        tests.extend(to.iter().map(|wanted| vec![make(&DESTINATION, wanted)]));
        let both = |wanted| vec![make(&SOURCE, wanted), make(&DESTINATION, wanted)];
        tests.extend(either.iter().map(|wanted| both(wanted.as_str())));
    }
    tests.extend(filter.decided_by.iter().map(|wanted| vec![vec![is(DECIDED_BY, wanted)]]));
    let protocol =
        filter.protocol.map(|own| word(PROTOCOL, move |text| text == words::protocol(own)));
    tests.extend(protocol.map(|asked| vec![vec![asked]]));
    tests.extend(filter.to_port.map(|port| vec![vec![Asked::Port(port)]]));
    tests
}

impl Asked<'_> {
    fn column(&self) -> &'static str {
        match self {
            Self::Word(column, _) => column,
            Self::Port(_) => PORT,
        }
    }

    /// Whether each row of `batch` says it.
    fn said(&self, batch: &RecordBatch) -> Result<Vec<bool>, SegmentError> {
        let name = self.column();
        let column = batch.column_by_name(name).ok_or(SegmentError::Column(name))?;
        match self {
            Self::Port(wanted) => {
                let ports = column.as_any().downcast_ref::<UInt16Array>();
                let ports = ports.ok_or(SegmentError::Column(name))?;
                Ok(ports.values().iter().map(|port| port == wanted).collect())
            }
            Self::Word(_, takes) => {
                let numbers = column.as_any().downcast_ref::<DictionaryArray<Int32Type>>();
                let numbers = numbers.ok_or(SegmentError::Column(name))?;
                let texts = numbers.values().as_any().downcast_ref::<StringArray>();
                let texts = texts.ok_or(SegmentError::Column(name))?;
                let taken: Vec<bool> = texts.iter().map(|text| text.is_some_and(takes)).collect();
                let is_taken = |number: usize| taken.get(number).copied().unwrap_or(false);
                let keys = numbers.keys().iter();
                Ok(keys
                    .map(|key| key.and_then(|key| usize::try_from(key).ok()).is_some_and(is_taken))
                    .collect())
            }
        }
    }
}

/// Whether each row of `batch` passes all of `tests`.
fn passing(tests: &[Any<'_>], batch: &RecordBatch) -> Result<Vec<bool>, SegmentError> {
    let mut passing = vec![true; batch.num_rows()];
    for any in tests {
        let mut one_passes = vec![false; batch.num_rows()];
        for all in any {
            let mut all_pass = passing.clone();
            for asked in all {
                for (pass, said) in all_pass.iter_mut().zip(asked.said(batch)?) {
                    *pass &= said;
                }
            }
            for (one, all) in one_passes.iter_mut().zip(all_pass) {
                *one |= all;
            }
        }
        passing = one_passes;
    }
    Ok(passing)
}

/// Whether each row of the edges of `segment`, of the current layout, may be taken by `filter`; None
/// if all may.
pub(crate) fn candidates(
    segment: &Segment,
    filter: &FlowFilter,
) -> Result<Option<Vec<bool>>, SegmentError> {
    let tests = tests(filter);
    if tests.is_empty() {
        return Ok(None);
    }
    let asked = tests.iter().flatten().flatten().map(Asked::column);
    let mut candidates = Vec::new();
    for batch in reader(segment, &asked.collect::<Vec<_>>())?.build()? {
        candidates.extend(passing(&tests, &batch?)?);
    }
    Ok(Some(candidates))
}

/// Opens the edges of `segment` for reading `columns`, words as numbers into a dictionary.
fn reader(
    segment: &Segment,
    columns: &[&'static str],
) -> Result<ParquetRecordBatchReaderBuilder<File>, SegmentError> {
    let file = File::open(segment.part(Part::Edges))?;
    let plain = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())?;
    let dictionary = || DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let fields = plain.schema().fields().iter().map(|field| match field.data_type() {
        DataType::Utf8 if columns.contains(&field.name().as_str()) => {
            Arc::new(Field::new(field.name(), dictionary(), field.is_nullable()))
        }
        _other => Arc::clone(field),
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let options = ArrowReaderOptions::new().with_schema(schema);
    let by_number = ArrowReaderMetadata::try_new(Arc::clone(plain.metadata()), options)?;
    let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, by_number);
    let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
    Ok(builder.with_projection(mask).with_batch_size(BATCH_ROWS))
}
