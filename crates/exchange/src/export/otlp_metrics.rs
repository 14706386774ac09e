//! OTLP metrics in their JSON form (opentelemetry-proto 1.3, `ExportMetricsServiceRequest`, JSON
//! Protobuf encoding): the families of /metrics, all of one resource.
//!
//! Counters are monotonic sums of cumulative temporality, each with the moment that it counts from, so
//! that a receiver tells a restart from a decrease; all else are gauges.

use std::fmt;

use sekisho_model::Timestamp;
use serde_json::{Value, json};

use super::text::{PRODUCT, ascii};

/// `AGGREGATION_TEMPORALITY_CUMULATIVE`.
const CUMULATIVE: u32 = 2;

/// What a family of series is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows, from the series' start.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// A value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// Whole.
    Whole(u64),
    /// Whole, perhaps below 0.
    Signed(i64),
    /// Not whole; what is no number is left out in OTLP.
    Real(f64),
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(value) => value.fmt(f),
            Self::Signed(value) => value.fmt(f),
            Self::Real(value) => value.fmt(f),
        }
    }
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<&u64> for Number {
    fn from(value: &u64) -> Self {
        Self::Whole(*value)
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Self::Signed(value)
    }
}

impl From<u8> for Number {
    fn from(value: u8) -> Self {
        Self::Whole(value.into())
    }
}

impl From<usize> for Number {
    fn from(value: usize) -> Self {
        Self::Whole(value as u64)
    }
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

/// One series at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricPoint {
    /// Names and values.
    pub labels: Vec<(String, String)>,
    /// Its value.
    pub value: Number,
    /// When it began to count.
    pub since: Timestamp,
}

/// Series of one name.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricFamily {
    /// As in /metrics.
    pub name: String,
    /// What it tells.
    pub help: String,
    /// What it is.
    pub kind: MetricKind,
    /// The series.
    pub points: Vec<MetricPoint>,
}

/// The families at `time` as request bodies of at most `points_max` series each, with the number of
/// series in each. `instance` tells this server from others (`service.instance.id`).
#[must_use]
pub fn otlp_metrics(
    families: &[MetricFamily],
    (instance, version): (&str, &str),
    time: Timestamp,
    points_max: usize,
) -> Vec<(String, usize)> {
    let mut bodies = Vec::new();
    let (mut metrics, mut held) = (Vec::new(), 0);
    for family in families {
        let mut rest = family.points.as_slice();
        while !rest.is_empty() {
            let (points, after) = rest.split_at(rest.len().min(points_max.max(1) - held));
            metrics.push(metric(family, points, time));
            (rest, held) = (after, held + points.len());
            if held >= points_max.max(1) {
                bodies.push((request(std::mem::take(&mut metrics), instance, version), held));
                held = 0;
            }
        }
    }
    if held > 0 {
        bodies.push((request(metrics, instance, version), held));
    }
    bodies
}

fn request(metrics: Vec<Value>, instance: &str, version: &str) -> String {
    let resource = [
        ("service.name", PRODUCT),
        ("service.version", version),
        ("service.instance.id", instance),
    ];
    let resource: Vec<Value> = resource.into_iter().map(|(key, value)| text(key, value)).collect();
    let body = json!({
        "resourceMetrics": [{
            "resource": { "attributes": resource },
            "scopeMetrics": [{ "scope": { "name": "sekisho", "version": version }, "metrics": metrics }],
        }]
    });
    ascii(&body.to_string())
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn metric(family: &MetricFamily, points: &[MetricPoint], time: Timestamp) -> Value {
    let points: Vec<Value> =
        points.iter().filter_map(|point| data_point(family.kind, point, time)).collect();
    let mut metric = json!({
        "name": family.name,
        "description": family.help,
        "unit": unit(&family.name),
    });
    let data = match family.kind {
        MetricKind::Gauge => ("gauge", json!({ "dataPoints": points })),
        MetricKind::Counter => (
            "sum",
            json!({
                "dataPoints": points,
                "aggregationTemporality": CUMULATIVE,
                "isMonotonic": true,
            }),
        ),
    };
    if let Value::Object(fields) = &mut metric {
        fields.insert(data.0.to_owned(), data.1);
    }
    metric
}

/// 64-bit integers are strings in the JSON encoding of protobuf. None for what is no number.
fn data_point(kind: MetricKind, point: &MetricPoint, time: Timestamp) -> Option<Value> {
    let labels: Vec<Value> = point.labels.iter().map(|(key, value)| text(key, value)).collect();
    let mut data = json!({ "attributes": labels, "timeUnixNano": time.nanos().to_string() });
    let Value::Object(fields) = &mut data else { return None };
    match point.value {
        Number::Whole(value) => {
            let value = value.min(i64::MAX.unsigned_abs());
            fields.insert("asInt".to_owned(), value.to_string().into());
        }
        Number::Signed(value) => {
            fields.insert("asInt".to_owned(), value.to_string().into());
        }
        Number::Real(value) => {
            fields.insert("asDouble".to_owned(), serde_json::Number::from_f64(value)?.into());
        }
    }
    if kind == MetricKind::Counter {
        // Never after the point itself, also where a clock was set back.
        let since = point.since.min(time).nanos().to_string();
        fields.insert("startTimeUnixNano".to_owned(), since.into());
    }
    Some(data)
}

/// UCUM, from the end of the name as Prometheus' conventions have it.
fn unit(name: &str) -> &'static str {
    let name = name.strip_suffix("_total").unwrap_or(name);
    let ends = [
        ("_bytes", "By"),
        ("_milliseconds", "ms"),
        ("_seconds", "s"),
        ("_ratio", "1"),
        ("_packets", "{packet}"),
        ("_connections", "{connection}"),
    ];
    ends.into_iter().find(|(end, _)| name.ends_with(end)).map_or("", |(_, unit)| unit)
}
