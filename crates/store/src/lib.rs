//! Flow history: hot minutes, write-ahead log, Parquet segments.
