//! Metrics of the live cluster: one series for each kind that is followed.

use sekisho_api::{KindFigures, Status};

use super::metrics::Text;

/// Writes the metrics of the cluster, if one is watched.
pub(crate) fn cluster(text: &mut Text, status: &Status) {
    let Some(cluster) = &status.cluster else { return };
    let up = u8::from(cluster.away_since.is_none());
    text.single("sekisho_kubernetes_up", "gauge", "1 if the API server answers.", up);
    let help = "1 if all kinds that we may list were listed.";
    text.single("sekisho_kubernetes_synced", "gauge", help, u8::from(cluster.synced));
    let help = "Milliseconds that a change waited here before it was known.";
    text.single("sekisho_kubernetes_lag_milliseconds", "gauge", help, cluster.lag_ms);
    let help = "Changes that wait to be taken.";
    text.single("sekisho_kubernetes_waiting", "gauge", help, cluster.waiting);
    let help = "How much the API server's clock is ahead of ours, milliseconds.";
    text.single("sekisho_kubernetes_clock_ahead_milliseconds", "gauge", help, cluster.ahead_ms);
    let help = "Bytes of the copied journal.";
    text.single("sekisho_inventory_copy_bytes", "gauge", help, cluster.copy_bytes);
    type Figure = fn(&KindFigures) -> u64;
    let figures: [(&str, &str, &str, Figure); 7] = [
        ("sekisho_kubernetes_objects", "gauge", "Objects that are there.", |kind| kind.objects),
        ("sekisho_kubernetes_unreadable", "gauge", "Objects that can't be read.", |kind| {
            kind.unreadable
        }),
        ("sekisho_kubernetes_events_total", "counter", "Changes told by the watch.", |kind| {
            kind.events
        }),
        ("sekisho_kubernetes_lists_total", "counter", "Times the kind was listed.", |kind| {
            kind.lists
        }),
        ("sekisho_kubernetes_errors_total", "counter", "Failures of lists and watches.", |kind| {
            kind.errors
        }),
        ("sekisho_kubernetes_kind_synced", "gauge", "1 if the kind was listed once.", |kind| {
            u64::from(kind.synced)
        }),
        ("sekisho_kubernetes_denied", "gauge", "1 if a right on the kind is missing.", |kind| {
            u64::from(kind.state == "denied")
        }),
    ];
    for (name, form, help, figure) in figures {
        text.family(name, form, help);
        for kind in &cluster.kinds {
            let labels = [("group", kind.group.as_str()), ("resource", &kind.resource)];
            text.value(name, &labels, figure(kind));
        }
    }
}
