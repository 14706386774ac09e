//! From a file that another tool wrote to a map, policies and a what-if: no root, no server.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::run::{run, sekisho};

/// Who calls whom in the flows below.
const CALLS: [(&str, &str, u16); 4] = [
    ("frontend", "cart", 8080),
    ("frontend", "catalogue", 8080),
    ("cart", "db", 5432),
    ("catalogue", "db", 5432),
];

fn endpoint(name: &str) -> Value {
    json!({
        "namespace": "shop",
        "labels": [format!("k8s:app={name}")],
        "pod_name": format!("{name}-6f9c-x1"),
        "workloads": [{ "name": name, "kind": "Deployment" }],
    })
}

fn address(name: &str) -> String {
    let last = name.bytes().fold(10_u32, |sum, byte| sum + u32::from(byte)) % 250;
    format!("10.1.2.{last}")
}

/// Hubble's line of one packet of a connection, `second` seconds after the start.
fn flow((from, to, port): (&str, &str, u16), second: usize, source_port: usize) -> String {
    let time = format!("2025-11-23T12:{:02}:{:02}Z", second / 60 % 60, second % 60);
    json!({
        "flow": {
            "time": time, "verdict": "FORWARDED", "is_reply": false, "Type": "L3_L4",
            "IP": { "source": address(from), "destination": address(to) },
            "l4": { "TCP": { "source_port": source_port, "destination_port": port } },
            "source": endpoint(from), "destination": endpoint(to),
            "node_name": "node-1", "traffic_direction": "EGRESS",
        },
        "node_name": "node-1", "time": time,
    })
    .to_string()
}

/// `connections` connections of each call, one line each.
pub(crate) fn flows(connections: usize) -> String {
    let mut text = String::new();
    for number in 0..connections {
        for call in CALLS {
            let second = number * 3_600 / connections;
            writeln!(text, "{}", flow(call, second, 32_768 + number % 28_000)).unwrap();
        }
    }
    text
}

/// A folder of the test's own.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }
}

/// Edges of the map with their connections.
fn edges(store: &str) -> Vec<(String, u64)> {
    let map = run(&["map", "--store", store, "-o", "json"]).json();
    let edge = |edge: &Value| {
        let text = |name: &str| edge[name].as_str().unwrap().to_owned();
        let line = format!("{} -> {}:{}", text("source"), text("destination"), edge["port"]);
        (line, edge["connections"].as_u64().unwrap())
    };
    let mut all: Vec<_> = map["edges"].as_array().unwrap().iter().map(edge).collect();
    all.sort();
    all
}

fn expected(connections: u64) -> Vec<(String, u64)> {
    let line = |(from, to, port): (&str, &str, u16)| {
        (format!("shop/{from}[Deployment] -> shop/{to}[Deployment]:{port}"), connections)
    };
    let mut all: Vec<_> = CALLS.into_iter().map(line).collect();
    all.sort();
    all
}

#[test]
fn a_dropped_file_becomes_a_map_policies_and_a_what_if() {
    let folder = Folder::new();
    let file = folder.file("flows.json", flows(50).as_bytes());
    let (store, policies) = (folder.path("history"), folder.path("policies"));
    let answer = run(&["import", "--store", &store, &file]).with_code(0);
    assert!(answer.out.contains("hubble") && answer.out.contains(&format!("map --store {store}")));
    assert_eq!(edges(&store), expected(50));
    let map = run(&["map", "--store", &store, "-o", "json"]).with_code(0).json();
    assert_eq!(map["completeness"], 1.0);
    run(&["recommend", "--store", &store, "--write", &policies]).with_code(0);
    let verified = ["verify", "--store", &store, "-f", &policies, "-o", "json"];
    let allowed = run(&verified).with_code(0).json();
    assert_eq!(allowed["summary"]["would_block"], 0);
    assert_eq!(allowed["summary"]["unchanged"], 4);
    let nobody = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n\
                  metadata: {name: db, namespace: shop}\n\
                  spec: {podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress]}\n";
    let breaking = folder.file("breaking.yaml", nobody.as_bytes());
    let blocked = run(&["verify", "--store", &store, "-f", &breaking, "-o", "json"]).with_code(1);
    assert_eq!(blocked.json()["summary"]["would_block"], 2);
}

#[test]
fn a_template_is_listed_asked_and_written_with_what_is_for_the_whole_cluster_beside() {
    let list = run(&["recommend", "--list-templates"]).with_code(0).out;
    assert_eq!(list.lines().count(), 18, "a head and seventeen: {list}");
    let error = run(&["recommend", "--template", "moat"]).with_code(2).err;
    assert!(error.contains("`moat` is no template; there are infrastructure, "), "{error}");
    let error = run(&["recommend", "--set", "label=x"]).with_code(2).err;
    assert!(error.contains("--template"), "{error}");
    let folder = Folder::new();
    let file = folder.file("flows.json", flows(50).as_bytes());
    let (store, policies) = (folder.path("history"), folder.path("policies"));
    run(&["import", "--store", &store, &file]).with_code(0);
    let recommend = |rest: &[&str]| run(&[&["recommend", "--store", &store], rest].concat());
    let asked = recommend(&["--list-templates", "--template", "crown-jewel"]).with_code(0).out;
    assert!(asked.contains("workload   must be given") && asked.contains("shop/db"), "{asked}");
    let error = recommend(&["--template", "crown-jewel"]).with_code(2).err;
    assert!(error.contains("needs `workload`") && error.contains("shop/db"), "{error}");
    let jewel = ["--template", "crown-jewel", "--set", "workload=shop/db", "--write", &policies];
    recommend(&jewel).with_code(0);
    let closed = ["--template", "lateral-movement", "--set", "ports=5432", "--write", &policies];
    recommend(&closed[..2]).with_code(0);
    let verify = ["verify", "--store", &store, "-f", &policies, "-o", "json"];
    assert_eq!(run(&verify).with_code(0).json()["summary"]["would_block"], 0);
    recommend(&closed).with_code(0);
    let files =
        ["_cluster.yaml", "shop.yaml"].map(|name| Path::new(&policies).join(name).is_file());
    assert_eq!(files, [true, true]);
    assert_ne!(run(&verify).with_code(1).json()["summary"]["would_block"], 0);
}

#[test]
fn two_windows_are_compared_and_the_first_edges_are_told() {
    let folder = Folder::new();
    let store = folder.path("store");
    // In the last minutes of the hour the catalogue finds a cache, and ad is not heard any more.
    let mut text = flows(60);
    for second in [60, 120] {
        writeln!(text, "{}", flow(("ad", "db", 5432), second, 40_000)).unwrap();
    }
    for second in [3_300, 3_360, 3_420] {
        writeln!(text, "{}", flow(("catalogue", "cache", 6379), second, 40_000)).unwrap();
    }
    let file = folder.file("flows.json", text.as_bytes());
    run(&["import", "--store", &store, &file]).with_code(0);
    let later = ["map", "--store", &store, "--since", "2025-11-23T12:50:00Z"];

    let told = run(&[&later[..], &["--compare", "all", "-o", "json"]].concat()).with_code(1);
    let diff: Value = serde_json::from_str(&told.out).unwrap();
    let names = |list: &str| -> Vec<String> {
        let edges = diff[list].as_array().unwrap().iter();
        edges.map(|edge| format!("{} {}", edge["source"], edge["destination"])).collect()
    };
    let [ad, cache, catalogue, db] =
        ["ad", "cache", "catalogue", "db"].map(|name| format!("\"shop/{name}[Deployment]\""));
    assert_eq!(names("added"), [format!("{catalogue} {cache}")]);
    assert_eq!(names("removed"), [format!("{ad} {db}")]);
    assert_eq!((&diff["unchanged"], diff["changed"].as_array().unwrap().len()), (&4.into(), 0));
    // A window in which all of them are: nothing differs.
    let quiet = ["--compare", "2025-11-23T12:10:00Z..2025-11-23T12:20:00Z", "--until"];
    let quiet = [&later[..], &quiet, &["2025-11-23T12:54:00Z"]].concat();
    run(&quiet).with_code(0);
    let wrong = run(&[&later[..], &["--compare", "2025-11-23T13:30:00Z"]].concat()).with_code(2);
    assert!(wrong.err.contains("--compare: the window from"), "{}", wrong.err);

    // The list of flows goes by minute, also over hours.
    let told = run(&["observe", "--store", &store, "--to-workload", "shop/cache", "-o", "json"]);
    let lines: Vec<Value> =
        told.with_code(0).out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let minutes: Vec<&str> = lines.iter().map(|line| line["minute"].as_str().unwrap()).collect();
    let expected = ["55", "56", "57"].map(|minute| format!("2025-11-23T12:{minute}:00.000Z"));
    assert_eq!(minutes, expected);

    let top = ["--top", "1", "--order", "newest", "-o", "json"];
    let told = run(&[&["map", "--store", &store], &top[..]].concat()).with_code(0);
    let map: Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!(map["edges"].as_array().unwrap().len(), 1);
    assert_eq!(map["edges"][0]["destination"], "shop/cache[Deployment]");
    assert_eq!(map["hidden"]["edges"], 5);
}

#[test]
fn a_file_counts_once_and_a_compressed_one_is_read() {
    let folder = Folder::new();
    let file = folder.file("flows.json", flows(10).as_bytes());
    let store = folder.path("history");
    run(&["import", "--store", &store, &file]).with_code(0);
    let again = run(&["import", "--store", &store, &file]).with_code(0);
    assert!(again.out.contains("was imported before"), "{}", again.out);
    assert_eq!(edges(&store), expected(10));
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(flows(10).replace("12:", "13:").as_bytes()).unwrap();
    let packed = folder.file("flows.json.gz", &packed.finish().unwrap());
    run(&["import", "--store", &store, &packed]).with_code(0);
    assert_eq!(edges(&store), expected(20));
}

#[test]
fn the_inventory_names_addresses_and_is_kept() {
    let folder = Folder::new();
    let lines = "2 1 eni-1 10.0.0.1 10.0.0.2 40112 5432 6 9 900 1763900000 1763900060 ACCEPT OK\n\
                 2 1 eni-1 10.0.0.1 198.51.100.7 40113 443 6 9 900 1763900000 1763900060 REJECT OK\n";
    let pod = |name: &str, address: &str| {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name, "namespace": "shop", "labels": { "app": name } },
            "spec": { "containers": [{ "name": "c", "image": "i" }] },
            "status": { "phase": "Running", "podIP": address },
        })
    };
    let list = json!({
        "apiVersion": "v1", "kind": "List",
        "items": [pod("web", "10.0.0.1"), pod("db", "10.0.0.2")],
    });
    let file = folder.file("vpc.log", lines.as_bytes());
    let objects = folder.file("objects.json", list.to_string().as_bytes());
    let store = folder.path("history");
    run(&["import", "--store", &store, "--inventory", &objects, &file]).with_code(0);
    let told: Vec<String> = edges(&store).into_iter().map(|(edge, _)| edge).collect();
    let expected =
        ["shop/web[Pod] -> 198.51.100.7[External]:443", "shop/web[Pod] -> shop/db[Pod]:5432"];
    assert_eq!(told, expected);
    let map = run(&["map", "--store", &store, "-o", "json"]).json();
    let labels =
        &map["nodes"].as_array().unwrap().iter().find(|n| n["name"] == "db").unwrap()["labels"];
    assert_eq!(labels["app"], "db");
    assert!(map["edges"].as_array().unwrap().iter().any(|edge| edge["verdict"] == "denied"));
}

#[test]
fn lists_of_networks_and_machines_name_addresses_at_their_time_and_are_kept() {
    let folder = Folder::new();
    let line = |from: &str, to: &str, start: u64| {
        format!("2 1 eni-1 {from} {to} 40112 5432 6 9 900 {start} {} ACCEPT OK\n", start + 60)
    };
    let lines = [
        line("10.8.0.9", "192.0.2.10", 1_763_900_000),
        line("10.8.0.9", "192.0.2.10", 1_763_990_000),
    ];
    let file = folder.file("vpc.log", lines.concat().as_bytes());
    let networks = folder.file("networks.txt", b"10.0.0.0/8 corp\n10.8.0.0/16 vpn\n");
    let machines = folder.file(
        "machines.csv",
        b"ip,name,app,from,to\n192.0.2.10,old-db,db,,2025-11-24T00:00:00Z\n\
          192.0.2.10,new-db,db,2025-11-24T00:00:00Z,\n192.0.2.11,new-db,db,2025-11-24T00:00:00Z,\n",
    );
    let store = folder.path("history");
    let lists = ["--inventory", &networks, "--inventory", &machines];
    run(&[&["import", "--store", &store], &lists[..], &[&file]].concat()).with_code(0);
    let told: Vec<String> = edges(&store).into_iter().map(|(edge, _)| edge).collect();
    let expected =
        ["vpn[External] -> hosts/new-db[Host]:5432", "vpn[External] -> hosts/old-db[Host]:5432"];
    assert_eq!(told, expected);
    let later = line("10.8.0.9", "192.0.2.11", 1_763_990_100);
    let later = folder.file("later.log", later.as_bytes());
    run(&["import", "--store", &store, &later]).with_code(0);
    assert_eq!(edges(&store)[0], ("vpn[External] -> hosts/new-db[Host]:5432".to_owned(), 2));
    let bad = folder.file("bad.csv", b"ip,name\n10.0.0.1,ok\nten,x\n");
    let refused = run(&["import", "--store", &store, "--inventory", &bad, &later]).with_code(2);
    assert!(
        refused.err.contains("line 3: ip") && refused.err.contains("bad.csv"),
        "{}",
        refused.err
    );
}

#[test]
fn what_is_not_understood_is_told_and_is_a_part_of_completeness() {
    let folder = Folder::new();
    let text = format!("{}nonsense\n{{\"flow\":{{}}}}\n", flows(5));
    let file = folder.file("flows.json", text.as_bytes());
    let store = folder.path("history");
    let answer = run(&["import", "--store", &store, &file, "-o", "json"]).with_code(3).json();
    let source = &answer["sources"][0];
    assert_eq!(source["records"], 20);
    assert_eq!(source["rejected"][0]["count"].as_u64().unwrap(), 1);
    assert_eq!(source["rejected"][0]["sample"], "nonsense");
    assert_eq!(source["skipped"].as_object().unwrap().len(), 1);
    let map = run(&["map", "--store", &store, "-o", "json"]).with_code(3).json();
    let ratio = map["completeness"].as_f64().unwrap();
    assert!(ratio < 1.0 && ratio > 0.9, "{ratio}");
}

#[test]
fn what_is_wrong_changes_nothing_and_says_what_to_do() {
    let folder = Folder::new();
    let store = folder.path("history");
    let unknown = folder.file("x.bin", &[0, 159, 146, 150, 7]);
    let good = folder.file("flows.json", flows(5).as_bytes());
    let answer = run(&["import", "--store", &store, &good, &unknown]).with_code(2);
    assert!(answer.err.contains("x.bin") && answer.err.contains("--format"), "{}", answer.err);
    assert!(!Path::new(&store).exists(), "one bad file, and nothing is written");
    let absent = run(&["import", "--store", &store, "/nowhere/flows.json"]).with_code(2);
    assert!(absent.err.contains("/nowhere/flows.json"), "{}", absent.err);
    run(&["import", "--store", &store, "--format", "hubbel", &good]).with_code(2);
    run(&["import", "--store", &store, &good]).with_code(0);
}

#[test]
fn an_import_that_is_killed_goes_on_and_counts_everything_once() {
    let folder = Folder::new();
    let lines = flows(4_000);
    let file = folder.file("flows.json", lines.as_bytes());
    let store = folder.path("history");
    let arguments = ["import", "--store", &store, "--commit-lines", "1000", &file];
    let mut killed = 0_u32;
    for round in 0..12_u64 {
        let mut child =
            sekisho(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let patience = Duration::from_millis(40 + round * 37 % 400);
        let ended = sekisho_system::wait::until(patience, || child.try_wait().unwrap());
        if ended.is_none() {
            child.kill().unwrap();
            child.wait().unwrap();
            killed += 1;
        }
    }
    let answer = run(&arguments);
    let answer = answer.with_code(0);
    assert!(answer.out.contains("hubble"));
    assert!(killed > 0, "a machine that is this fast needs a longer file");
    assert_eq!(edges(&store), expected(4_000));
    let again = run(&arguments).with_code(0);
    assert!(again.out.contains("was imported before"), "{}", again.out);
    assert_eq!(edges(&store), expected(4_000));
}

#[test]
fn the_folder_of_a_writer_is_left_alone() {
    let folder = Folder::new();
    let store = folder.path("history");
    let good = folder.file("flows.json", flows(5).as_bytes());
    run(&["import", "--store", &store, &good]).with_code(0);
    let lock = std::fs::File::open(Path::new(&store).join("LOCK")).unwrap();
    lock.lock().unwrap();
    let answer = run(&["import", "--store", &store, &good]).with_code(2);
    assert!(answer.err.contains(&store), "{}", answer.err);
}

/// A capture of `connections` connections to port 5432: asked for, answered, and left open, so that
/// they are told at its end.
fn capture(connections: u32) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 101] {
        file.extend(word.to_le_bytes());
    }
    for number in 0..connections {
        let client =
            [10, 2, u8::try_from(number / 250).unwrap(), u8::try_from(number % 250).unwrap()];
        let server = [10, 1, 2, 7];
        for (answer, flags) in [(false, 0x02), (true, 0x12), (false, 0x10)] {
            let (from, to) = if answer { (server, client) } else { (client, server) };
            let ports = if answer { [5_432_u16, 40_000] } else { [40_000, 5_432] };
            let mut packet = vec![0x45, 0, 0, 44, 0, 1, 0, 0, 64, 6, 0, 0];
            packet.extend([from, to].concat());
            packet.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
            packet.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0, 0, 0, 0, 0, 0]);
            packet.extend(b"data");
            let length = u32::try_from(packet.len()).unwrap();
            for word in [1_763_900_000 + number / 100, number % 100, length, length] {
                file.extend(word.to_le_bytes());
            }
            file.extend(packet);
        }
    }
    file
}

#[test]
fn a_capture_becomes_a_map_and_connections_told_at_its_end_survive_a_kill() {
    let folder = Folder::new();
    let file = folder.file("open.pcap", &capture(20_000));
    let store = folder.path("history");
    let arguments = ["import", "--store", &store, "--commit-lines", "5000", &file];
    let mut killed = 0_u32;
    for round in 0..8_u64 {
        let mut child =
            sekisho(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let patience = Duration::from_millis(30 + round * 41 % 300);
        let ended = sekisho_system::wait::until(patience, || child.try_wait().unwrap());
        if ended.is_none() {
            child.kill().unwrap();
            child.wait().unwrap();
            killed += 1;
        }
    }
    run(&arguments).with_code(0);
    assert!(killed > 0, "a machine that is this fast needs a longer file");
    let map = run(&["map", "--store", &store, "-o", "json"]).json();
    let edges = map["edges"].as_array().unwrap();
    let sum = |field: &str| edges.iter().map(|edge| edge[field].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("connections"), sum("bytes_sent")), (20_000, 160_000));
    assert!(edges.iter().all(|edge| edge["port"] == 5432 && edge["verdict"] == "allowed"));
}

#[test]
fn flows_of_two_clusters_with_the_same_names_and_addresses_stay_apart() {
    let folder = Folder::new();
    let (east, west) = (flows(50), flows(20));
    let east = folder.file("east.json", east.as_bytes());
    let west = folder.file("west.json", west.as_bytes());
    let store = folder.path("history");
    let import = |cluster: &str, file: &str| {
        run(&["import", "--store", &store, "--cluster", cluster, file]).with_code(0)
    };
    let answer = import("east", &east);
    assert!(answer.out.contains(&format!("map --store {store} --cluster east")), "{}", answer.out);
    // One cluster need not be named.
    assert_eq!(edges(&store), expected(50));
    import("west", &west);
    // A file counts once in a cluster.
    let again = import("west", &west);
    assert!(again.out.contains("was imported before"), "{}", again.out);
    let of = |cluster: &str| {
        let map = run(&["map", "--store", &store, "--cluster", cluster, "-o", "json"]).json();
        let edges = map["edges"].as_array().unwrap();
        assert_eq!(map["completeness"], 1.0, "{cluster}");
        (edges.len(), edges.iter().map(|edge| edge["connections"].as_u64().unwrap()).sum::<u64>())
    };
    assert_eq!((of("east"), of("west")), ((4, 200), (4, 80)));
    assert_eq!(edges(&store).len(), 8, "of all clusters");
    let policies = folder.path("policies");
    let mixed = run(&["recommend", "--store", &store, "--write", &policies]).with_code(2);
    assert!(mixed.err.contains("--cluster"), "{}", mixed.err);
    run(&["recommend", "--store", &store, "--cluster", "west", "--write", &policies]).with_code(0);
    let words = ["export", "--store", &store, "--cluster", "west", "--format", "jsonl"];
    let records = run(&words).with_code(0).out;
    assert!(records.lines().all(|line| line.contains("\"cluster\":\"west\"")), "{records}");
    let refused = run(&["import", "--store", &store, "--cluster", "No_Name", &east]).with_code(2);
    assert!(refused.err.contains("No_Name"), "{}", refused.err);
}

/// 25 rows of AWS's columns and types (Amazon Athena User Guide, "Create tables for flow logs in Apache
/// Parquet format"), written by another program (pyarrow), packed by gzip, in two row groups.
const PARQUET: &[u8] = include_bytes!("import/aws-vpc.parquet");

#[test]
fn flow_logs_of_aws_in_parquet_say_what_they_say_as_text() {
    let folder = Folder::new();
    let file = folder.file("part-0", PARQUET);
    let store = folder.path("history");
    // Reading says that AWS skipped something: the map is not complete.
    let answer = run(&["import", "--store", &store, &file, "-o", "json"]).with_code(3).json();
    let source = &answer["sources"][0];
    assert_eq!(source["format"], "aws-vpc");
    let figures = ["lines", "records", "connections", "lost"].map(|name| source[name].as_u64());
    assert_eq!(figures, [26, 23, 13, 1].map(Some), "{answer}");
    assert_eq!(source["rejected"].as_array().unwrap().len(), 0, "{answer}");
    let map = run(&["map", "--store", &store, "-o", "json"]).json();
    let edge = |edge: &Value| {
        let text = |name: &str| edge[name].as_str().unwrap().to_owned();
        (text("source"), text("destination"), edge["port"].as_u64(), text("verdict"))
    };
    let mut found: Vec<_> = map["edges"].as_array().unwrap().iter().map(edge).collect();
    found.sort();
    let name = |address: &str| format!("{address}[External]");
    let expected = [("10.0.1.5", "allowed"), ("10.0.3.9", "denied")]
        .map(|(from, verdict)| (name(from), name("10.0.2.7"), Some(5432), verdict.to_owned()));
    assert_eq!(found, expected);
    let again = run(&["import", "--store", &store, &file, "-o", "json"]).json();
    assert_eq!(again["sources"][0]["imported_before"], true, "a file counts once");
}

#[test]
fn parquet_that_cannot_be_read_is_named_with_why() {
    let folder = Folder::new();
    let store = folder.path("history");
    let refused = |name: &str, bytes: &[u8], why: &str| {
        let file = folder.file(name, bytes);
        let answer = run(&["import", "--store", &store, &file]).with_code(2);
        assert!(answer.err.contains(&file) && answer.err.contains(why), "{}", answer.err);
    };
    refused("cut", &PARQUET[..PARQUET.len() / 2], "Parquet");
    let mut page = PARQUET.to_vec();
    page[200..2_000].fill(0xff);
    refused("page", &page, "row group 1 of 2");
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(PARQUET).unwrap();
    refused("packed.gz", &packed.finish().unwrap(), "gunzip");
}
