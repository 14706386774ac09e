//! Which edges of a segment a filter may take, told by a few columns before the rest is read.
//!
//! Words are read as numbers into a dictionary, as the file has them, so that a condition looks at each
//! word once and not at each row.

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
use crate::conditions::{Any, Condition, conditions};
use crate::segment::{Part, Segment};

const BATCH_ROWS: usize = 65_536;

/// Whether each row of `batch` meets `condition`.
fn met(condition: &Condition<'_>, batch: &RecordBatch) -> Result<Vec<bool>, SegmentError> {
    let name = condition.column();
    let column = batch.column_by_name(name).ok_or(SegmentError::Column(name))?;
    if let Condition::Port(wanted) = condition {
        let ports = column.as_any().downcast_ref::<UInt16Array>();
        let ports = ports.ok_or(SegmentError::Column(name))?;
        return Ok(ports.values().iter().map(|port| port == wanted).collect());
    }
    let numbers = column.as_any().downcast_ref::<DictionaryArray<Int32Type>>();
    let numbers = numbers.ok_or(SegmentError::Column(name))?;
    let texts = numbers.values().as_any().downcast_ref::<StringArray>();
    let texts = texts.ok_or(SegmentError::Column(name))?;
    let is_met = |text: Option<&str>| text.is_some_and(|text| condition.is_met(text));
    let words: Vec<bool> = texts.iter().map(is_met).collect();
    let row = |number: Option<i32>| {
        let word = number.and_then(|number| usize::try_from(number).ok());
        word.and_then(|word| words.get(word)).copied().unwrap_or(false)
    };
    Ok(numbers.keys().iter().map(row).collect())
}

/// Whether each row of `batch` meets all `conditions`.
fn passing(conditions: &[Any<'_>], batch: &RecordBatch) -> Result<Vec<bool>, SegmentError> {
    let mut passing = vec![true; batch.num_rows()];
    for any in conditions {
        let mut one_passes = vec![false; batch.num_rows()];
        for all in any {
            let mut all_pass = passing.clone();
            for condition in all {
                for (pass, met) in all_pass.iter_mut().zip(met(condition, batch)?) {
                    *pass &= met;
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
    let conditions = conditions(filter);
    if conditions.is_empty() {
        return Ok(None);
    }
    let columns = conditions.iter().flatten().flatten().map(Condition::column);
    let mut candidates = Vec::new();
    for batch in reader(segment, &columns.collect::<Vec<_>>())?.build()? {
        candidates.extend(passing(&conditions, &batch?)?);
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
