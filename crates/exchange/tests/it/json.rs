//! Formats that are JSON: Google Cloud, Azure, Calico, NetObserv.

use sekisho_exchange::Format;
use sekisho_model::{Direction, EdgeStats, Flow, PartyKind};

use crate::samples::adds_up;
use crate::support::{Imported, edges, import_in};

const ALLOWED: &str = "shop/cart[Deployment] -> shop/db[Deployment]:5432 allowed";

fn import(format: Format, text: &str) -> Imported {
    let whole = import_in(format, text.as_bytes(), usize::MAX);
    let cut = import_in(format, text.as_bytes(), 13);
    assert_eq!((&cut.flows, &cut.tally), (&whole.flows, &whole.tally));
    adds_up(&whole.tally);
    whole
}

fn sum(flows: &[Flow], of: fn(&EdgeStats) -> u64) -> u64 {
    flows.iter().map(|flow| of(&flow.stats)).sum()
}

/// A flow of Google Cloud: from, to, reporter, bytes.
fn gcp((from, to): ((&str, u16), (&str, u16)), reporter: &str, more: &str) -> String {
    format!(
        r#"{{"insertId":"a","jsonPayload":{{"bytes_sent":"700","packets_sent":"7","connection":{{"src_ip":"{}","src_port":{},"dest_ip":"{}","dest_port":{},"protocol":6}},"reporter":"{reporter}","start_time":"2023-11-14T22:13:20.5Z","end_time":"2023-11-14T22:13:25Z"{more}}},"logName":"projects/p/logs/compute.googleapis.com%2Fvpc_flows"}}"#,
        from.0, from.1, to.0, to.1
    )
}

pub(crate) const GCP_FIREWALL: &str = r#"{"jsonPayload":{"connection":{"src_ip":"10.0.1.5","src_port":40112,"dest_ip":"10.0.2.7","dest_port":5432,"protocol":6},"disposition":"ALLOWED","rule_details":{"reference":"network:prod/firewall:allow-db","direction":"INGRESS"},"instance":{"vm_name":"db-vm"},"remote_instance":{"vm_name":"cart-vm"}},"timestamp":"2023-11-14T22:13:20Z","logName":"projects/p/logs/compute.googleapis.com%2Ffirewall"}
"#;

const CART: (&str, u16) = ("10.0.1.5", 40_112);
const DB: (&str, u16) = ("10.0.2.7", 5_432);

#[test]
fn google_cloud_tells_each_direction_at_each_end_and_bytes_count_once() {
    let all: Vec<String> = ["SRC", "DEST"]
        .into_iter()
        .flat_map(|reporter| [gcp((CART, DB), reporter, ""), gcp((DB, CART), reporter, "")])
        .collect();
    for text in [all.join("\n"), format!("[{}]", all.join(",\n"))] {
        let read = import(Format::Gcp, &text);
        assert_eq!(edges(&read.flows), [format!("{ALLOWED} ?")]);
        assert_eq!((read.tally.lines, read.tally.connections), (4, 1));
        let both = (sum(&read.flows, |s| s.bytes_sent), sum(&read.flows, |s| s.bytes_received));
        assert_eq!(both, (700, 700));
    }
}

#[test]
fn google_cloud_names_pods_machines_and_services() {
    let gke = r#","src_gke_details":{"cluster":{"cluster_name":"c"},"pod":{"pod_name":"web-1","pod_namespace":"front","pod_workload":{"workload_name":"web","workload_type":"STATEFUL_SET"}}},"src_instance":{"vm_name":"node-9"},"dest_google_service":{"service_name":"logging.googleapis.com"}"#;
    let read = import(Format::Gcp, &gcp((("10.9.9.9", 50_000), ("142.251.1.1", 443)), "SRC", gke));
    assert_eq!(
        edges(&read.flows),
        ["front/web[StatefulSet] -> logging.googleapis.com[External]:443 allowed ?"]
    );
    let machine = r#","dest_instance":{"vm_name":"legacy-db"}"#;
    let read = import(Format::Gcp, &gcp((CART, ("10.9.0.1", 3_306)), "SRC", machine));
    assert_eq!(edges(&read.flows), ["shop/cart[Deployment] -> legacy-db[External]:3306 allowed ?"]);
    let known = import(Format::Gcp, &gcp((CART, DB), "SRC", machine));
    assert_eq!(edges(&known.flows), [format!("{ALLOWED} ?")], "the inventory knows it better");
}

#[test]
fn a_firewall_of_google_cloud_denies_by_name_and_allows() {
    let denied = GCP_FIREWALL.replace("ALLOWED", "DENIED");
    let read = import(Format::Gcp, &denied);
    assert_eq!(edges(&read.flows), [ALLOWED.replace("allowed", "denied")]);
    let by = read.flows[0].key.decided_by.as_ref().unwrap();
    assert_eq!(
        (by.policy.as_str(), by.direction),
        ("network:prod/firewall:allow-db", Direction::Ingress)
    );
    assert_eq!(edges(&import(Format::Gcp, GCP_FIREWALL).flows), [ALLOWED]);
    let other = r#"{"jsonPayload":{"connection":{"src_ip":"::1","dest_ip":"::2","protocol":6},"disposition":"MAYBE"}}"#;
    assert_eq!(import(Format::Gcp, other).tally.rejected_sum(), 1);
}

pub(crate) const AZURE: &str = r#"{"records":[{"time":"2023-11-14T22:14:00Z","flowLogVersion":4,"macAddress":"00224871C205","category":"FlowLogFlowEvent","flowRecords":{"flows":[{"aclID":"a","flowGroups":[{"rule":"Allow","flowTuples":["1700000000000,10.0.1.5,10.0.2.7,40112,5432,6,O,B,NX,0,0,0,0","1700000003000,10.0.1.5,10.0.2.7,40112,5432,6,O,E,NX,5,600,4,9000"]}]}]}}]}
"#;

#[test]
fn azure_tells_a_connection_in_several_tuples_at_several_interfaces() {
    let other = AZURE.replace("00224871C205", "0022DEADBEEF").replace(",O,", ",I,");
    let read = import(Format::Azure, &format!("{AZURE}{other}"));
    assert_eq!(edges(&read.flows), [ALLOWED]);
    assert_eq!((read.tally.lines, read.tally.connections), (4, 1));
    assert_eq!(sum(&read.flows, |s| s.bytes_received), 9_000);
    let denied = AZURE.replace(",E,", ",D,").replace("\"Allow\"", "\"DenyAll\"");
    let read = import(Format::Azure, &denied);
    let by = read.flows[1].key.decided_by.as_ref().unwrap();
    assert_eq!((by.policy.as_str(), by.direction), ("DenyAll", Direction::Egress));
}

#[test]
fn security_groups_of_azure_are_read_in_both_versions() {
    let log = |tuple: &str| {
        format!(
            r#"{{"records":[{{"time":"2023-11-14T22:14:00Z","category":"NetworkSecurityGroupFlowEvent","properties":{{"Version":2,"flows":[{{"rule":"r","flows":[{{"mac":"0022","flowTuples":["{tuple}"]}}]}}]}}}}]}}"#
        )
    };
    let old = import(Format::Azure, &log("1700000000,10.0.1.5,10.0.2.7,40112,5432,T,O,A"));
    let new =
        import(Format::Azure, &log("1700000000,10.0.1.5,10.0.2.7,40112,5432,T,O,A,E,1,66,2,120"));
    assert_eq!(
        (edges(&old.flows), edges(&new.flows)),
        (vec![ALLOWED.into()], vec![ALLOWED.into()])
    );
    assert_eq!(new.flows[0].stats.bytes_received, 120);
    let denied = import(Format::Azure, &log("1700000000,10.0.1.5,10.0.2.7,40112,5432,T,O,D,B,,,,"));
    assert_eq!(edges(&denied.flows), [ALLOWED.replace("allowed", "denied")]);
    for bad in
        ["1700000000,ten,10.0.2.7,1,2,T,O,A", "1,2,3", "1700000000,10.0.1.5,10.0.2.7,1,2,T,X,A"]
    {
        assert_eq!(import(Format::Azure, &log(bad)).tally.rejected_sum(), 1, "{bad}");
    }
}

pub(crate) const WHISKER: &str = r#"{"start_time":"2023-11-14T22:13:15Z","end_time":"2023-11-14T22:13:30Z","action":"Allow","source_name":"cart-6f9c-*","source_namespace":"shop","source_labels":"app=cart | pod-template-hash=6f9c","dest_name":"db-77aa-*","dest_namespace":"shop","dest_labels":"app=db | pod-template-hash=77aa","protocol":"tcp","dest_port":5432,"reporter":"Src","policies":{"enforced":[{"kind":"Profile","name":"kns.shop","namespace":"","tier":"","action":"Allow","policy_index":0,"rule_index":0,"trigger":null}],"pending":[]},"packets_in":4,"packets_out":5,"bytes_in":900,"bytes_out":400}
"#;

#[test]
fn two_ends_of_calico_tell_of_the_same_bytes() {
    let dst = WHISKER
        .replace("\"Src\"", "\"Dst\"")
        .replace("\"bytes_in\":900,\"bytes_out\":400", "\"bytes_in\":400,\"bytes_out\":900");
    let read = import(Format::Calico, &format!("{WHISKER}{dst}"));
    assert_eq!(edges(&read.flows), [ALLOWED]);
    let both = (sum(&read.flows, |s| s.bytes_sent), sum(&read.flows, |s| s.bytes_received));
    assert_eq!(both, (400, 900));
    let alone = import(Format::Calico, &dst);
    assert_eq!((alone.flows[0].stats.bytes_sent, alone.tally.connections), (400, 1));
    let labels = &read.flows[0].key.source.labels;
    assert_eq!(labels.get("app").map(String::as_str), Some("cart"));
}

#[test]
fn a_staged_policy_of_calico_would_deny_and_an_enforced_one_denies() {
    let policy = r#"{"kind":"CalicoNetworkPolicy","name":"db-only","namespace":"shop","tier":"default","action":"Deny","policy_index":0,"rule_index":2,"trigger":null}"#;
    let would = WHISKER.replace("\"pending\":[]", &format!("\"pending\":[{policy}]"));
    let read = import(Format::Calico, &would);
    assert_eq!(edges(&read.flows), [ALLOWED.replace("allowed", "would_deny")]);
    let denied = would
        .replace("\"action\":\"Allow\",\"source", "\"action\":\"Deny\",\"source")
        .replace("\"enforced\":[", &format!("\"enforced\":[{policy}],\"was\":["));
    let read = import(Format::Calico, &denied);
    assert_eq!(edges(&read.flows), [ALLOWED.replace("allowed", "denied")]);
    let by = read.flows[0].key.decided_by.as_ref().unwrap();
    assert_eq!((by.policy.as_str(), by.rule), ("shop/db-only", Some(2)));
}

#[test]
fn flow_logs_of_calico_enterprise_are_read_from_files_and_elasticsearch() {
    let line = r#"{"start_time":1700000000,"end_time":1700000300,"source_ip":"10.9.1.5","source_name":"-","source_name_aggr":"cart-6f9c-*","source_namespace":"shop","source_type":"wep","source_port":null,"source_labels":{"labels":["app=cart","pod-template-hash=6f9c"]},"dest_ip":"203.0.113.9","dest_name":"-","dest_name_aggr":"pub","dest_namespace":"-","dest_type":"net","dest_port":443,"dest_domains":["api.example"],"proto":"tcp","action":"deny","reporter":"src","policies":{"all_policies":["0|security|security.staged:x|allow|0","1|default|shop/default.cart-egress|deny|-1"]},"bytes_in":0,"bytes_out":300,"packets_in":0,"packets_out":5,"num_flows":3,"num_flows_started":3,"process_name":"-"}"#;
    let hit = format!(
        r#"{{"took":3,"hits":{{"total":{{"value":1}},"hits":[{{"_index":"i","_source":{line}}}]}}}}"#
    );
    for text in [line, hit.as_str()] {
        assert_eq!(Format::of_content(text.as_bytes()).unwrap(), Format::Calico);
        let read = import(Format::Calico, text);
        assert_eq!(
            edges(&read.flows),
            ["shop/cart[Deployment] -> api.example[External]:443 denied"]
        );
        assert_eq!(read.tally.connections, 3);
        let by = read.flows[0].key.decided_by.as_ref().unwrap();
        assert_eq!((by.policy.as_str(), by.rule), ("shop/default.cart-egress", None));
    }
    let whole = line.replace("203.0.113.9\"", "\"").replace("\"dest_ip\":\"\"", "\"dest_ip\":null");
    let read = import(Format::Calico, &whole.replace("[\"api.example\"]", "null"));
    assert_eq!(read.flows[0].key.destination.kind, PartyKind::External);
    assert_eq!(read.flows[0].key.destination.workload.name, "public network");
}

pub(crate) const NETOBSERV: &str = r#"{"SrcAddr":"10.0.1.5","DstAddr":"10.0.2.7","SrcPort":40112,"DstPort":5432,"Proto":6,"Bytes":500,"Packets":5,"TimeFlowStartMs":1700000000000,"TimeFlowEndMs":1700000005000,"FlowDirection":1,"AgentIP":"10.0.0.1","Flags":["SYN","ACK"],"SrcK8S_Name":"cart-0","SrcK8S_Namespace":"shop","SrcK8S_Type":"Pod","SrcK8S_OwnerName":"cart","SrcK8S_OwnerType":"Deployment","Etype":2048}
"#;

#[test]
fn netobserv_tells_both_nodes_and_bytes_count_once() {
    let ingress = NETOBSERV.replace("\"FlowDirection\":1", "\"FlowDirection\":0");
    let read = import(Format::NetObserv, &format!("{NETOBSERV}{ingress}"));
    assert_eq!(edges(&read.flows), [ALLOWED]);
    assert_eq!((read.tally.connections, sum(&read.flows, |s| s.bytes_sent)), (1, 500));
    let sampled = NETOBSERV.replace("\"Packets\":5", "\"Packets\":5,\"Sampling\":50");
    let read = import(Format::NetObserv, &sampled);
    assert_eq!((read.tally.sampled, read.flows[0].stats.bytes_sent), (50, 25_000));
    let answer = NETOBSERV.replace("\"SYN\"", "\"SYN_ACK\"");
    assert_eq!(
        edges(&import(Format::NetObserv, &answer).flows),
        ["shop/db[Deployment] -> shop/cart[Deployment]:40112 allowed"]
    );
}

#[test]
fn netobserv_finds_who_answers_behind_a_service_and_what_a_filter_dropped() {
    let service = NETOBSERV.replace("\"DstAddr\":\"10.0.2.7\"", "\"DstAddr\":\"10.96.0.10\",\"DstK8S_Name\":\"db\",\"DstK8S_Namespace\":\"shop\",\"DstK8S_Type\":\"Service\",\"XlatDstAddr\":\"10.0.2.7\",\"XlatDstPort\":5432");
    let read = import(Format::NetObserv, &service);
    assert_eq!(edges(&read.flows), [ALLOWED]);
    assert_eq!(read.flows[0].key.service.as_ref().unwrap().to_string(), "shop/db:5432");
    let drop = |cause: &str, packets: u64| {
        let more = format!(
            "\"Etype\":2048,\"PktDropPackets\":{packets},\"PktDropLatestDropCause\":\"{cause}\""
        );
        edges(&import(Format::NetObserv, &NETOBSERV.replace("\"Etype\":2048", &more)).flows)
    };
    assert_eq!(drop("SKB_DROP_REASON_NETFILTER_DROP", 5), [ALLOWED.replace("allowed", "denied")]);
    assert_eq!(drop("SKB_DROP_REASON_TCP_OLD_DATA", 5), [ALLOWED.replace("allowed", "unknown")]);
    assert_eq!(drop("SKB_DROP_REASON_NETFILTER_DROP", 1), [ALLOWED]);
}

#[test]
fn an_answer_of_loki_is_read_with_the_labels_of_its_streams() {
    let line = r#"{\"SrcAddr\":\"10.9.1.5\",\"DstAddr\":\"10.0.2.7\",\"SrcPort\":40112,\"DstPort\":5432,\"Proto\":6,\"TimeFlowStartMs\":1700000000000,\"TimeFlowEndMs\":1700000005000,\"Flags\":[\"SYN\"],\"SrcK8S_Name\":\"cart-0\",\"SrcK8S_OwnerType\":\"Deployment\"}"#;
    let text = format!(
        r#"{{"status":"success","data":{{"resultType":"streams","result":[{{"stream":{{"SrcK8S_Namespace":"shop","SrcK8S_OwnerName":"cart","SrcK8S_Type":"Pod","FlowDirection":"1"}},"values":[["1700000005000000000","{line}"],["1700000005000000000","{line}"]]}}],"stats":{{"summary":{{}}}}}}}}"#
    );
    assert_eq!(Format::of_content(text.as_bytes()).unwrap(), Format::NetObserv);
    let read = import(Format::NetObserv, &text);
    assert_eq!(edges(&read.flows), [ALLOWED]);
    assert_eq!((read.tally.lines, read.tally.records), (2, 2));
    assert!(read.flows[0].stats.reporters.source);
}
