//! The server's figures as OTLP, read as strictly as the protocol allows
//! (opentelemetry-proto v1.3.0, opentelemetry/proto/metrics/v1/metrics.proto).

use sekisho_exchange::{MetricFamily, MetricKind, MetricPoint, Number, otlp_metrics};
use sekisho_model::Timestamp;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Request {
    resource_metrics: Vec<ResourceMetrics>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ResourceMetrics {
    resource: Resource,
    scope_metrics: Vec<ScopeMetrics>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resource {
    attributes: Vec<KeyValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyValue {
    key: String,
    value: AnyValue,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct AnyValue {
    string_value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScopeMetrics {
    scope: Scope,
    metrics: Vec<Metric>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scope {
    name: String,
    version: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metric {
    name: String,
    description: String,
    unit: String,
    gauge: Option<Gauge>,
    sum: Option<Sum>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Gauge {
    data_points: Vec<DataPoint>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Sum {
    data_points: Vec<DataPoint>,
    aggregation_temporality: u32,
    is_monotonic: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct DataPoint {
    attributes: Vec<KeyValue>,
    time_unix_nano: String,
    start_time_unix_nano: Option<String>,
    as_int: Option<String>,
    as_double: Option<f64>,
}

const TIME_S: u64 = 1_700_000_100;

fn family(name: &str, kind: MetricKind, values: &[Number]) -> MetricFamily {
    let point = |(place, value): (usize, &Number)| MetricPoint {
        labels: vec![("node".to_owned(), format!("n{place}\n\"\u{202e}"))],
        value: *value,
        since: Timestamp::from_seconds(1_700_000_000),
    };
    MetricFamily {
        name: name.to_owned(),
        help: "Help.".to_owned(),
        kind,
        points: values.iter().enumerate().map(point).collect(),
    }
}

fn pushed(families: &[MetricFamily], points_max: usize) -> Vec<(Vec<Metric>, usize)> {
    let time = Timestamp::from_seconds(TIME_S);
    let bodies = otlp_metrics(families, ("host-1", "1.2.3"), time, points_max);
    let read = |(body, points): (String, usize)| {
        let request: Request = serde_json::from_str(&body).unwrap();
        let [of_resource] = <[_; 1]>::try_from(request.resource_metrics).ok().unwrap();
        let told: Vec<(String, String)> = of_resource
            .resource
            .attributes
            .into_iter()
            .map(|one| (one.key, one.value.string_value))
            .collect();
        assert!(told.contains(&("service.instance.id".to_owned(), "host-1".to_owned())));
        let [scope] = <[_; 1]>::try_from(of_resource.scope_metrics).ok().unwrap();
        assert_eq!((&*scope.scope.name, &*scope.scope.version), ("sekisho", "1.2.3"));
        (scope.metrics, points)
    };
    bodies.into_iter().map(read).collect()
}

#[test]
fn a_counter_is_a_cumulative_sum_with_its_start_and_a_gauge_has_none() {
    let families = [
        family("sekisho_flows_total", MetricKind::Counter, &[u64::MAX.into(), 7_u64.into()]),
        family("sekisho_server_memory_bytes", MetricKind::Gauge, &[5_u64.into()]),
        family("sekisho_completeness_ratio", MetricKind::Gauge, &[0.5.into(), f64::NAN.into()]),
        family("sekisho_ahead_milliseconds", MetricKind::Gauge, &[(-3_i64).into()]),
    ];
    let (metrics, points) = pushed(&families, 100).remove(0);
    assert_eq!((metrics.len(), points), (4, 6));
    let counter = metrics[0].sum.as_ref().unwrap();
    assert!(metrics[0].gauge.is_none());
    assert_eq!((counter.aggregation_temporality, counter.is_monotonic), (2, true));
    let first = &counter.data_points[0];
    assert_eq!(first.as_int.as_deref(), Some("9223372036854775807"), "a signed number");
    assert_eq!(first.start_time_unix_nano.as_deref(), Some("1700000000000000000"));
    assert_eq!(first.time_unix_nano, "1700000100000000000");
    assert_eq!(first.attributes[0].key, "node");
    assert_eq!(first.attributes[0].value.string_value, "n0\n\"\u{202e}");
    let gauge = &metrics[1].gauge.as_ref().unwrap().data_points[0];
    assert_eq!((gauge.as_int.as_deref(), gauge.start_time_unix_nano.as_deref()), (Some("5"), None));
    assert_eq!((&*metrics[1].unit, &*metrics[1].description), ("By", "Help."));
    assert_eq!((&*metrics[2].unit, &*metrics[2].name), ("1", "sekisho_completeness_ratio"));
    let ratio = &metrics[2].gauge.as_ref().unwrap().data_points;
    assert_eq!((ratio.len(), ratio[0].as_double), (1, Some(0.5)), "what is no number is left out");
    let ahead = &metrics[3].gauge.as_ref().unwrap().data_points[0];
    assert_eq!(ahead.as_int.as_deref(), Some("-3"));
}

#[test]
fn a_clock_set_back_makes_no_series_that_starts_after_its_point() {
    let mut late = family("a_total", MetricKind::Counter, &[1_u64.into()]);
    late.points[0].since = Timestamp::from_seconds(TIME_S + 60);
    let (metrics, _) = pushed(&[late], 1).remove(0);
    let point = &metrics[0].sum.as_ref().unwrap().data_points[0];
    assert_eq!(point.start_time_unix_nano.as_deref(), Some(&*point.time_unix_nano));
}

#[test]
fn requests_are_bounded_and_together_hold_every_series_once() {
    let values: Vec<Number> = (0..10_u64).map(Number::from).collect();
    let families = [
        family("a_total", MetricKind::Counter, &values[..7]),
        family("b", MetricKind::Gauge, &[]),
        family("c", MetricKind::Gauge, &values),
    ];
    for points_max in [0, 1, 3, 4, 17, 18] {
        let all = pushed(&families, points_max);
        assert!(all.iter().all(|(_, points)| (1..=points_max.max(1)).contains(points)));
        assert_eq!(all.iter().map(|(_, points)| points).sum::<usize>(), 17);
        let series = all.iter().flat_map(|(metrics, _)| metrics).map(|metric| {
            let sum = metric.sum.as_ref().map_or(0, |sum| sum.data_points.len());
            sum + metric.gauge.as_ref().map_or(0, |gauge| gauge.data_points.len())
        });
        assert_eq!(series.sum::<usize>(), 17, "{points_max}");
    }
    assert!(pushed(&[], 10).is_empty());
}
