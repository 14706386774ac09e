//! Access logs of Envoy and Istio.

use sekisho_exchange::Format;

use crate::samples::adds_up;
use crate::support::{Imported, edges, import};

const ALLOWED: &str = "shop/cart[Deployment] -> shop/db[Deployment]:5432 allowed";

/// The log of the sidecar in front of the caller.
pub(crate) const OUTBOUND: &str = r#"[2023-11-14T22:13:20.409Z] "GET /a%20b HTTP/1.1" 200 - via_upstream - "-" 20 135 4 4 "-" "curl/7.73.0" "8496-6d84" "db:5432" "10.0.2.7:5432" outbound|5432||db.shop.svc.cluster.local 10.0.1.5:37652 10.96.0.10:5432 10.0.1.5:46520 - default
"#;
/// The log of the sidecar behind which the called one is.
const INBOUND: &str = r#"[2023-11-14T22:13:20.410Z] "GET /a%20b HTTP/1.1" 200 - via_upstream - "-" 20 135 3 1 "-" "curl/7.73.0" "8496-6d84" "db:5432" "127.0.0.1:5432" inbound|5432|| 127.0.0.1:41854 10.0.2.7:5432 10.0.1.5:37652 outbound_.5432_._.db.shop.svc.cluster.local default
"#;

fn read(text: &str) -> Imported {
    let all = import(Format::Envoy, text);
    adds_up(&all.tally);
    all
}

#[test]
fn both_sidecars_of_a_request_tell_of_one_connection() {
    let all = read(&format!("{OUTBOUND}{INBOUND}{OUTBOUND}"));
    assert_eq!(edges(&all.flows), [ALLOWED]);
    assert_eq!((all.tally.records, all.tally.connections), (3, 1));
    let sums = all.flows.iter().fold((0, 0), |sum, flow| {
        (sum.0 + flow.stats.bytes_sent, sum.1 + flow.stats.bytes_received)
    });
    assert_eq!(sums, (40, 270), "two requests, told by the first of two proxies");
    let service = all.flows[0].key.service.as_ref().unwrap();
    assert_eq!(service.to_string(), "shop/db:5432");
    assert_eq!(edges(&read(INBOUND).flows), [ALLOWED]);
}

#[test]
fn a_gateway_stands_between_two_hops() {
    let gateway = OUTBOUND.replace(
        "10.0.1.5:37652 10.96.0.10:5432 10.0.1.5:46520",
        "10.0.1.5:37652 10.0.1.5:8443 203.0.113.9:50000",
    );
    let all = read(&gateway);
    assert_eq!(
        edges(&all.flows),
        ["203.0.113.9[External] -> shop/cart[Deployment]:8443 allowed", ALLOWED]
    );
    assert_eq!((all.tally.lines, all.tally.records), (1, 2));
}

#[test]
fn json_says_the_same_as_text() {
    let json = r#"{"start_time":"2023-11-14T22:13:20.409Z","method":"GET","protocol":"HTTP/1.1","response_code":200,"response_flags":"-","response_code_details":"via_upstream","bytes_received":20,"bytes_sent":135,"duration":4,"upstream_host":"10.0.2.7:5432","upstream_cluster":"outbound|5432||db.shop.svc.cluster.local","upstream_local_address":"10.0.1.5:37652","downstream_local_address":"10.96.0.10:5432","downstream_remote_address":"10.0.1.5:46520","requested_server_name":null,"route_name":"default"}"#;
    assert_eq!(Format::of_content(json.as_bytes()).unwrap(), Format::Envoy);
    assert_eq!(read(json).flows, read(OUTBOUND).flows);
}

#[test]
fn a_policy_of_istio_denies_by_name_and_a_failed_connection_is_unknown() {
    let denied = INBOUND.replace(
        "200 - via_upstream",
        "403 - rbac_access_denied_matched_policy[ns[shop]-policy[db-only]-rule[0]]",
    );
    let all = read(&denied);
    assert_eq!(edges(&all.flows), [ALLOWED.replace("allowed", "denied")]);
    let by = all.flows[0].key.decided_by.as_ref().unwrap();
    assert_eq!((by.policy.as_str(), by.rule), ("shop/db-only", Some(0)));
    let failed = OUTBOUND.replace("200 - via", "503 UF,URX via");
    assert_eq!(edges(&read(&failed).flows), [ALLOWED.replace("allowed", "unknown")]);
}

#[test]
fn lines_of_the_proxy_itself_are_left_out_and_others_are_rejected() {
    let text = format!(
        "2023-11-14T22:13:19.000Z\tinfo\tEnvoy proxy is ready\n{OUTBOUND}[2023] nonsense\n{}",
        OUTBOUND.replace("10.0.1.5:46520", "nobody")
    );
    assert_eq!(Format::of_content(text.as_bytes()).unwrap(), Format::Envoy);
    let all = read(&text);
    assert_eq!((all.tally.records, all.tally.rejected_sum()), (1, 2));
    assert_eq!(all.tally.skipped.values().sum::<u64>(), 1);
    let nobody = OUTBOUND.replace("\"10.0.2.7:5432\"", "\"-\"").replace(" 10.0.1.5:37652 ", " - ");
    assert_eq!(read(&nobody).tally.skipped.values().sum::<u64>(), 1);
}
