//! What assets are called: rules, tables and people, over HTTP and on the command line.

use serde_json::{Value, json};

use super::http::Web;

const RULES: &str = "rules:\n- name: databases\n  match: {port: 5432}\n  set: {role: database}\n- name: \
                     callers\n  match: {name: '^(?<location>client)-'}\n";

fn asset<'a>(page: &'a Value, id: &str) -> &'a Value {
    let found = page["assets"].as_array().unwrap().iter().find(|asset| asset["id"] == id);
    found.unwrap_or_else(|| panic!("no `{id}` in {page:#}"))
}

fn put(web: &Web, path: &str, body: &Value) -> super::http::Reply {
    web.by(&web.token, ("PUT", path), &body.to_string())
}

#[test]
fn rules_tables_and_people_say_what_assets_are_called_and_the_map_goes_by_it() {
    let mut web = Web::start();
    let tried = web.post("/labels/preview", &json!({ "rules": RULES })).with_status(200).json();
    assert_eq!((&tried["changed"], &tried["errors"]), (&json!(9), &json!([])), "{tried:#}");
    let rules = web.get("/labels/rules").json();
    assert_eq!((&rules["rules"], &rules["revision"]), (&json!(""), &json!(0)), "nothing changed");
    let kept = json!({ "rules": RULES, "revision": 0 });
    assert_eq!(put(&web, "/labels/rules", &kept).with_status(200).json()["changed"], 9);
    // Who wrote from what was there before does not undo what came between.
    assert!(put(&web, "/labels/rules", &kept).with_status(400).body.contains("meanwhile"));

    let table = "asset,dimension,value\nshop/db,application,store\nshop/db,role,cache\nclient-1,role,web\n\
                 bank/ledger,role,ledger\n";
    let import = json!({ "name": "cmdb", "text": table });
    let report = web.post("/labels/import", &import).with_status(200).json();
    assert_eq!((&report["kept"], &report["unknown"]), (&json!(true), &json!(1)), "{report:#}");
    let page = web.get("/inventory?conflicting=true").with_status(200).json();
    assert_eq!((&page["total"], &page["matching"]), (&json!(11), &json!(1)), "{page:#}");
    let role = &asset(&page, "shop/db[Pod]")["values"]["role"];
    assert_eq!((&role["value"], &role["conflict"]), (&json!("cache"), &json!(true)));
    let said = role["said"].as_array().unwrap();
    let words: Vec<_> =
        said.iter().map(|one| (one["layer"].clone(), one["source"].clone())).collect();
    assert_eq!(
        words,
        [(json!("import"), json!("cmdb, line 3")), (json!("rule"), json!("databases")),]
    );
    // A person decides.
    let hand = json!({ "id": "shop/db[Pod]", "dimension": "role", "value": "database" });
    put(&web, "/labels/asset", &hand).with_status(200);
    let page = web.get("/inventory?id=shop%2Fdb%5BPod%5D").json();
    let role = &asset(&page, "shop/db[Pod]")["values"]["role"];
    assert_eq!((&role["value"], &role["conflict"]), (&json!("database"), &json!(false)));
    assert_eq!(role["said"].as_array().unwrap().len(), 3);

    let nodes = |map: &Value| -> Vec<String> {
        let nodes = map["nodes"].as_array().unwrap().iter();
        nodes.map(|node| node["id"].as_str().unwrap().to_owned()).collect()
    };
    let by_role = ["!role[Dimension]", "role=database[Dimension]", "role=web[Dimension]"];
    assert_eq!(nodes(&web.get("/map?by=dimension:role").json()), by_role);
    let within = web.get("/map?by=workload&within=role%3Dweb%5BDimension%5D").json();
    assert_eq!(nodes(&within), ["shop/client-1[Pod]", "shop/db[Pod]"]);
    let applications = nodes(&web.get("/map?by=application").json());
    assert_eq!((applications.len(), applications[8].as_str()), (9, "shop/store[Application]"));
    assert_eq!(applications[0], "shop/client-0[Application]", "a label of Kubernetes");
    let asked = ["map", "--by", "dimension:role", "-o", "json"];
    let told: Value = serde_json::from_str(&web.served.ask(&asked).with_code(0).out).unwrap();
    assert_eq!(nodes(&told), by_role, "the command line groups as the server does");

    // Policies select by labels of Kubernetes, which none of this is.
    let proposal = web.get("/recommendations?since=1h&namespace=shop").with_status(200).json();
    for word in ["database", "store", "cache", "cmdb"] {
        assert!(!proposal.to_string().contains(word), "{word} in {proposal:#}");
    }
    assert!(web.served.stop().success());
    web.served.up();
    let rules: Value =
        serde_json::from_str(&web.served.ask(&["labels", "rules", "-o", "json"]).with_code(0).out)
            .unwrap();
    assert_eq!((&rules["rules"], &rules["imports"][0]["rows"]), (&json!(RULES), &json!(4)));
    assert_eq!(rules["by_hand"], 1);
}

#[test]
fn a_table_with_a_broken_line_changes_nothing_unless_that_is_said() {
    let web = Web::start();
    let table = |more: Value| {
        let text = "Host;Tier;Owner\nclient-1;web;ann\nclient-2;\u{7};bob\n;db;x\nclient-3\n";
        let mut body = json!({ "name": "t", "text": text, "columns": { "role": "Tier" } });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        web.post("/labels/import", &body).with_status(200).json()
    };
    let refused = table(json!({}));
    assert_eq!((&refused["kept"], &refused["rejected_total"]), (&json!(false), &json!(3)));
    let lines: Vec<&Value> =
        refused["rejected"].as_array().unwrap().iter().map(|one| &one["line"]).collect();
    assert_eq!(lines, [3, 4, 5]);
    assert_eq!(refused["ignored_columns"], json!(["Owner"]));
    assert_eq!(web.get("/labels/rules").json()["imports"], json!([]));
    let dry = table(json!({ "partial": true, "dry_run": true }));
    assert_eq!((&dry["kept"], &dry["changes"]["changed"]), (&json!(false), &json!(1)));
    let kept = table(json!({ "partial": true }));
    assert_eq!((&kept["kept"], &kept["rows"]), (&json!(true), &json!(1)));
    let drop = || web.by(&web.token, ("DELETE", "/labels/imports/t"), "");
    assert_eq!(drop().with_status(200).json()["changed"], 1);
    drop().with_status(404);
    for (body, words) in [
        (json!({ "name": "t", "text": "" }), "the table is empty"),
        (json!({ "name": "t", "text": "a,b\n" }), "names the asset"),
        (
            json!({ "name": "t", "text": "a", "columns": { "colour": "a" } }),
            "no dimension `colour`",
        ),
        (json!({ "name": "a/b", "text": "" }), "field `name`"),
        (json!({ "name": "t", "text": "", "cluster": "west" }), "no cluster `west`"),
    ] {
        let reply = web.post("/labels/import", &body);
        assert!(reply.status >= 400 && reply.body.contains(words), "{reply:?}");
    }
    let broken = json!({ "rules": "rules:\n- match: {nam: x}\n" });
    let tried = web.post("/labels/preview", &broken).with_status(200).json();
    assert_eq!(
        (&tried["errors"][0]["line"], &tried["errors"][0]["field"]),
        (&json!(2), &json!("rules[0].match.nam"))
    );
    let reply = put(&web, "/labels/rules", &broken).with_status(400);
    assert!(reply.body.contains("2:11: rules[0].match.nam"), "{reply:?}");
}

#[test]
fn who_has_some_namespaces_labels_and_sees_these_only() {
    let web = Web::start();
    let shop = web.make_token(&["shop", "--role", "author", "--namespace", "shop"]);
    let bank = web.make_token(&["bank", "--role", "author", "--namespace", "bank"]);
    let viewer = web.make_token(&["viewer"]);
    let total = |token: &str| web.by(token, ("GET", "/inventory"), "").json()["total"].clone();
    assert_eq!((total(&shop), total(&bank), total(&viewer)), (json!(9), json!(0), json!(11)));
    let hand = json!({ "id": "shop/db[Pod]", "dimension": "role", "value": "db" }).to_string();
    web.by(&viewer, ("PUT", "/labels/asset"), &hand).with_status(403);
    web.by(&bank, ("PUT", "/labels/asset"), &hand).with_status(404);
    web.by(&shop, ("PUT", "/labels/asset"), &hand).with_status(200);
    let node = hand.replace("shop/db[Pod]", "node-a[Node]");
    web.by(&shop, ("PUT", "/labels/asset"), &node).with_status(404);
    put(&web, "/labels/asset", &serde_json::from_str(&node).unwrap()).with_status(200);
    let rules = json!({ "rules": "" }).to_string();
    let table = json!({ "name": "t", "text": "asset,role\nshop/db,x\n" }).to_string();
    for (method, path, body) in [
        ("GET", "/labels/rules", ""),
        ("PUT", "/labels/rules", &rules),
        ("POST", "/labels/preview", &rules),
        ("POST", "/labels/import", &table),
        ("DELETE", "/labels/imports/t", ""),
    ] {
        web.by(&shop, (method, path), body).with_status(403);
        let by_viewer = web.by(&viewer, (method, path), body);
        assert_eq!(by_viewer.status, if method == "GET" { 200 } else { 403 }, "{path}");
    }
    let audit = web.get("/audit").json().to_string();
    assert!(audit.contains("label_asset") && audit.contains("role=db"), "{audit}");
}

#[test]
fn the_command_line_lists_explains_and_changes() {
    let web = Web::start();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let ask = |words: &[&str]| web.served.ask(&[&["labels"], words].concat());
    let rules = file("rules.yaml", RULES);
    assert!(ask(&["rules", &rules, "--dry-run"]).with_code(1).out.contains("9 of 11 assets"));
    ask(&["rules", &rules]).with_code(0);
    assert_eq!(ask(&["rules"]).with_code(0).out, RULES);
    let wrong = file("wrong.yaml", "rule: []\n");
    let told = ask(&["rules", &wrong]).with_code(2);
    assert!(told.err.contains("wrong.yaml:1:1: rule: there is no such field"), "{told:?}");
    let table = file("cmdb.csv", "name,role\ndb,cache\n");
    let told = ask(&["import", &table]).with_code(0);
    assert!(told.out.contains("`cmdb` is kept"), "{told:?}");
    let told = ask(&["list", "--conflicting"]).with_code(1);
    assert!(told.out.contains("cache (import, conflict)"), "{told:?}");
    let told = ask(&["explain", "shop/db"]).with_code(0);
    assert!(told.out.contains("databases") && told.out.contains("conflicts"), "{told:?}");
    ask(&["set", "shop/db[Pod]", "role=database"]).with_code(0);
    ask(&["list", "--conflicting"]).with_code(0);
    ask(&["set", "shop/db[Pod]", "role="]).with_code(0);
    ask(&["drop", "cmdb"]).with_code(0);
    ask(&["drop", "cmdb"]).with_code(2);
    let lines = ask(&["list", "-o", "json", "--unlabelled", "role"]).with_code(1).out;
    assert_eq!(lines.lines().count(), 10, "{lines}");
    let told = ask(&["list", "--unlabelled", "colour"]).with_code(2);
    assert!(told.err.contains("no dimension `colour`"), "{told:?}");
    let broken = file("broken.csv", "name,role\ndb\n");
    let told = ask(&["import", &broken]).with_code(2);
    assert!(told.out.contains("broken.csv:2: 1 fields"), "{told:?}");
}
