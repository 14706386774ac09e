//! A flat Parquet file of somebody else as text: a first line of column names, then a line for each
//! row, words parted by a space, `-` for what is null. Cloud providers' flow logs are such tables, and
//! who reads them as text reads them so.
//!
//! It is here and not with the readers of other tools' formats (`sekisho-exchange`), because decoding
//! Parquet is not pure and has one owner; what the columns mean is known there alone.
//!
//! Row group by row group, [`BATCH_ROWS`] rows at a time. A file is somebody's input: what its footer
//! claims is checked before anything is decoded.

use std::fs::File;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;

/// First bytes of every Parquet file.
pub const PARQUET_MAGIC: &[u8] = b"PAR1";

/// Rows in memory at one time.
const BATCH_ROWS: usize = 4_096;
/// Most columns: AWS knows about 40.
const COLUMNS_MAX: usize = 256;
/// Longest text of one cell, bytes.
const CELL_BYTES_MAX: usize = 4_096;
/// Largest column of a row group when it is unpacked, bytes. Writers make row groups of 128 MB or so
/// over all columns.
const COLUMN_BYTES_MAX: i64 = 512 << 20;

/// A file can't be read as a flat table.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// It can't be opened.
    #[error("read the file")]
    Io(#[from] io::Error),
    /// It is damaged, or packed by a method that is not known.
    #[error("Parquet: {0}")]
    Parquet(String),
    /// A row group can't be decoded.
    #[error("Parquet: row group {group} of {groups}: {text}")]
    Group {
        /// Which, from 1.
        group: usize,
        /// Of how many.
        groups: usize,
        /// Why.
        text: String,
    },
    /// Its columns are none that can be read.
    #[error("Parquet: {0}")]
    Shape(String),
}

/// Reads it as text.
pub struct TableText {
    file: File,
    metadata: ArrowReaderMetadata,
    /// Columns that are read, as they stand in the file.
    columns: Vec<usize>,
    groups: usize,
    /// The row group after the one that is read.
    next: usize,
    batches: Option<ParquetRecordBatchReader>,
    /// Text that was made and not yet read, from `given` on.
    text: Vec<u8>,
    given: usize,
}

impl TableText {
    /// Opens the file at `path`, and looks whether it is a flat table.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn open(path: &Path) -> Result<Self, TableError> {
        let file = File::open(path)?;
        let load = || {
            // What another writer says of Arrow's types is not needed, and one thing less to trust.
            let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
            ArrowReaderMetadata::load(&file, options)
        };
        let metadata = guarded(load).map_err(TableError::Parquet)?;
        let groups = metadata.metadata().num_row_groups();
        let columns = flat_columns(&metadata)?;
        check_sizes(&metadata)?;
        let mut text = Vec::new();
        for (place, column) in columns.iter().enumerate() {
            let name = metadata.parquet_schema().column(*column).name().to_owned();
            push_word(&mut text, place, &name);
        }
        text.push(b'\n');
        Ok(Self { file, metadata, columns, groups, next: 0, batches: None, text, given: 0 })
    }

    /// Makes the text of the next rows; false after the last.
    fn fill(&mut self) -> Result<bool, TableError> {
        (self.given, self.text) = (0, Vec::new());
        loop {
            let Some(batches) = &mut self.batches else {
                if self.next >= self.groups {
                    return Ok(false);
                }
                self.batches = Some(self.group()?);
                self.next += 1;
                continue;
            };
            let (group, groups) = (self.next, self.groups);
            let read = guarded(|| batches.next().transpose().map_err(ParquetError::from));
            match read.map_err(|text| TableError::Group { group, groups, text })? {
                None => self.batches = None,
                Some(batch) if batch.num_rows() == 0 => {}
                Some(batch) => {
                    write_rows(&batch, &mut self.text);
                    return Ok(true);
                }
            }
        }
    }

    fn group(&self) -> Result<ParquetRecordBatchReader, TableError> {
        let file = self.file.try_clone()?;
        let build = || {
            let columns = self.columns.iter().copied();
            let mask = ProjectionMask::leaves(self.metadata.parquet_schema(), columns);
            ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone())
                .with_projection(mask)
                .with_row_groups(vec![self.next])
                .with_batch_size(BATCH_ROWS)
                .build()
        };
        let (group, groups) = (self.next + 1, self.groups);
        guarded(build).map_err(|text| TableError::Group { group, groups, text })
    }
}

impl std::fmt::Debug for TableText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableText").field("next", &self.next).finish_non_exhaustive()
    }
}

impl Read for TableText {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given >= self.text.len() && !self.fill().map_err(io::Error::other)? {
            return Ok(0);
        }
        let rest = self.text.get(self.given..).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..length), rest.get(..length)) {
            to.copy_from_slice(from);
        }
        self.given += length;
        Ok(length)
    }
}

/// The decoder's answer, or its error as text. Damaged pages can make it panic, which is an error of
/// the file here.
fn guarded<T>(decode: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(decode)) {
        Ok(done) => done.map_err(|error| match error {
            ParquetError::General(text) => text,
            other => other.to_string(),
        }),
        Err(_panic) => Err("its pages are damaged".to_owned()),
    }
}

/// Columns with one value in each row, of types that are words. Others (lists, structures) are left
/// out: AWS writes none.
fn flat_columns(metadata: &ArrowReaderMetadata) -> Result<Vec<usize>, TableError> {
    let schema = metadata.parquet_schema();
    if schema.num_columns() > COLUMNS_MAX {
        let count = schema.num_columns();
        return Err(TableError::Shape(format!("{count} columns are more than {COLUMNS_MAX}")));
    }
    let fields = metadata.schema().fields();
    let is_flat = |column: &usize| {
        let descriptor = schema.column(*column);
        let field = fields.get(schema.get_column_root_idx(*column));
        descriptor.max_rep_level() == 0
            && descriptor.path().parts().len() == 1
            && field.is_some_and(|field| is_word(field.data_type()))
    };
    let columns: Vec<usize> = (0..schema.num_columns()).filter(is_flat).collect();
    if columns.is_empty() {
        return Err(TableError::Shape("no column of it holds numbers or texts".to_owned()));
    }
    Ok(columns)
}

fn is_word(kind: &DataType) -> bool {
    kind.is_integer()
        || matches!(
            kind,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary | DataType::LargeBinary
        )
}

/// Refuses a footer that claims what no writer makes.
fn check_sizes(metadata: &ArrowReaderMetadata) -> Result<(), TableError> {
    let groups = metadata.metadata().row_groups();
    for (place, group) in groups.iter().enumerate() {
        let largest = group.columns().iter().map(|column| column.uncompressed_size()).max();
        if largest.is_some_and(|bytes| !(0..=COLUMN_BYTES_MAX).contains(&bytes)) {
            return Err(TableError::Group {
                group: place + 1,
                groups: groups.len(),
                text: format!("a column of it is larger than {COLUMN_BYTES_MAX} bytes"),
            });
        }
    }
    Ok(())
}

fn write_rows(batch: &RecordBatch, text: &mut Vec<u8>) {
    for row in 0..batch.num_rows() {
        for (place, column) in batch.columns().iter().enumerate() {
            push_word(text, place, &cell(column, row));
        }
        text.push(b'\n');
    }
}

/// A cell as text; empty if it is null.
fn cell(column: &dyn Array, row: usize) -> String {
    if column.is_null(row) {
        return String::new();
    }
    let bytes = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value(row).to_owned(),
        DataType::LargeUtf8 => column.as_string::<i64>().value(row).to_owned(),
        DataType::Binary => bytes(column.as_binary::<i32>().value(row)),
        DataType::LargeBinary => bytes(column.as_binary::<i64>().value(row)),
        DataType::Int8 => column.as_primitive::<Int8Type>().value(row).to_string(),
        DataType::Int16 => column.as_primitive::<Int16Type>().value(row).to_string(),
        DataType::Int32 => column.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::UInt8 => column.as_primitive::<UInt8Type>().value(row).to_string(),
        DataType::UInt16 => column.as_primitive::<UInt16Type>().value(row).to_string(),
        DataType::UInt32 => column.as_primitive::<UInt32Type>().value(row).to_string(),
        DataType::UInt64 => column.as_primitive::<UInt64Type>().value(row).to_string(),
        // Left out by `is_word`.
        _ => String::new(),
    }
}

/// One word of a line: nothing in it parts words or ends the line.
fn push_word(text: &mut Vec<u8>, place: usize, word: &str) {
    if place > 0 {
        text.push(b' ');
    }
    if word.is_empty() {
        text.push(b'-');
        return;
    }
    let start = text.len();
    for letter in word.chars() {
        let breaks = letter.is_whitespace() || letter.is_control();
        let letter = if breaks { '\u{fffd}' } else { letter };
        text.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
        if text.len() - start > CELL_BYTES_MAX {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int32Array, Int64Array, ListArray, StringArray};
    use parquet::arrow::ArrowWriter;
    use parquet::basic::Compression;
    use parquet::file::properties::WriterProperties;

    use super::*;

    fn file(columns: Vec<(&str, ArrayRef)>, compression: Compression) -> tempfile::NamedTempFile {
        let batch = RecordBatch::try_from_iter_with_nullable(
            columns.into_iter().map(|(name, column)| (name, column, true)),
        )
        .unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        let properties = WriterProperties::builder()
            .set_compression(compression)
            .set_max_row_group_row_count(Some(3))
            .build();
        let to = file.reopen().unwrap();
        let mut writer = ArrowWriter::try_new(to, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        file
    }

    fn rows(count: i32) -> Vec<(&'static str, ArrayRef)> {
        let addresses = (0..count).map(|row| (row % 2 == 0).then(|| format!("10.0.0.{row}")));
        vec![
            ("version", Arc::new(Int32Array::from_iter_values(0..count)) as ArrayRef),
            ("srcaddr", Arc::new(addresses.collect::<StringArray>())),
            ("bytes", Arc::new(Int64Array::from_iter_values((0..count).map(i64::from)))),
        ]
    }

    fn text(path: &Path) -> Result<String, String> {
        let mut table = TableText::open(path).map_err(|error| error.to_string())?;
        let mut text = String::new();
        table.read_to_string(&mut text).map_err(|error| error.to_string())?;
        Ok(text)
    }

    #[test]
    fn a_flat_table_is_lines_of_words_however_it_is_packed() {
        let gzip = Compression::GZIP(Default::default());
        let zstd = Compression::ZSTD(Default::default());
        for compression in [Compression::UNCOMPRESSED, gzip, Compression::SNAPPY, zstd] {
            let file = file(rows(7), compression);
            let expected = "version srcaddr bytes\n0 10.0.0.0 0\n1 - 1\n2 10.0.0.2 2\n3 - 3\n\
                            4 10.0.0.4 4\n5 - 5\n6 10.0.0.6 6\n";
            assert_eq!(text(file.path()).unwrap(), expected, "{compression}");
        }
    }

    #[test]
    fn a_cell_parts_no_words_and_ends_no_line() {
        let cells = StringArray::from(vec!["a b\nc", "", "\u{2028}"]);
        let file = file(vec![("name", Arc::new(cells))], Compression::UNCOMPRESSED);
        assert_eq!(text(file.path()).unwrap(), "name\na\u{fffd}b\u{fffd}c\n-\n\u{fffd}\n");
    }

    #[test]
    fn what_is_no_flat_table_is_refused_or_left_out() {
        let lists = || {
            let lists = vec![Some(vec![Some(1), Some(2)]), None];
            Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists)) as ArrayRef
        };
        let nothing = file(vec![("list", lists())], Compression::UNCOMPRESSED);
        assert!(text(nothing.path()).unwrap_err().contains("no column"));
        let numbers = Arc::new(Int32Array::from(vec![5, 6]));
        let some = file(vec![("list", lists()), ("n", numbers)], Compression::UNCOMPRESSED);
        assert_eq!(text(some.path()).unwrap(), "n\n5\n6\n");
    }

    #[test]
    fn what_is_cut_off_or_is_no_parquet_is_named() {
        let file = file(rows(7), Compression::UNCOMPRESSED);
        let whole = std::fs::read(file.path()).unwrap();
        for length in [4, 40, whole.len() - 1] {
            std::fs::write(file.path(), &whole[..length]).unwrap();
            let error = text(file.path()).unwrap_err();
            assert!(error.starts_with("Parquet: "), "{length}: {error}");
        }
    }

    /// Each byte of a small file damaged in one of three ways: text or an error, never a panic, and
    /// never more text than the file could hold.
    #[test]
    fn no_damaged_byte_ends_the_program() {
        let file = file(rows(7), Compression::SNAPPY);
        let whole = std::fs::read(file.path()).unwrap();
        let (mut errors, hook) = (0, std::panic::take_hook());
        // What the decoder says while it panics is of no use here.
        std::panic::set_hook(Box::new(|_| {}));
        for place in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[place] ^= [0x01, 0x80, 0xff][place % 3];
            std::fs::write(file.path(), &bytes).unwrap();
            match text(file.path()) {
                Ok(text) => assert!(text.len() < 1 << 20),
                Err(_told) => errors += 1,
            }
        }
        std::panic::set_hook(hook);
        assert!(errors > whole.len() / 3, "{errors} of {}", whole.len());
    }
}
