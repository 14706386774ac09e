//! Who may ask what: for each right one who has it and one who has not.

use serde_json::{Value, json};

use super::http::Web;

const CHANGES: [(&str, &str); 3] = [("POST", "/apply"), ("POST", "/rollback"), ("POST", "/tokens")];

#[test]
fn each_role_may_what_it_may_and_no_more() {
    let web = Web::start();
    let [viewer, author] = ["viewer", "author"].map(|role| web.make_token(&[role, "--role", role]));
    let status = |token: &str, asked| web.by(token, asked, "{}").status;
    for token in [&viewer, &author, &web.token] {
        assert_eq!(status(token, ("GET", "/map")), 200);
        assert_eq!(status("skt_wrong", ("GET", "/map")), 401);
    }
    assert_eq!(status(&viewer, ("GET", "/recommendations")), 403);
    assert_eq!(status(&author, ("GET", "/recommendations")), 200);
    assert_eq!(status(&viewer, ("GET", "/templates")), 403);
    assert_eq!(status(&author, ("GET", "/templates")), 200);
    assert_eq!(status(&viewer, ("POST", "/what-if")), 403);
    assert_eq!(status(&author, ("POST", "/what-if")), 400, "it may, but there are no files");
    for asked in CHANGES {
        assert_eq!(status(&viewer, asked), 403, "{asked:?}");
        assert_eq!(status(&author, asked), 403, "{asked:?}");
        assert_ne!(status(&web.token, asked), 403, "{asked:?}");
    }
    assert_eq!(status(&author, ("GET", "/audit")), 403);
    assert_eq!(status(&web.token, ("GET", "/audit")), 200);
    web.raw(("GET", "/api/v1/map"), &[], "").with_status(401);
    web.raw(("GET", "/api/v1/openapi.json"), &[], "").with_status(200);
}

#[test]
fn an_account_of_other_namespaces_sees_nothing_of_these_and_changes_nothing() {
    let web = Web::start();
    let own = web.make_token(&["own", "--role", "operator", "-n", "shop"]);
    let other = web.make_token(&["other", "--role", "operator", "-n", "bank"]);
    let edges = |token: &str| {
        let map = web.by(token, ("GET", "/map"), "").with_status(200).json();
        map["edges"].as_array().unwrap().len()
    };
    assert_eq!((edges(&own), edges(&other)), (8, 0));
    let flows = |token: &str| {
        let page = web.by(token, ("GET", "/flows"), "").with_status(200).json();
        page["flows"].as_array().unwrap().len()
    };
    assert_eq!((flows(&own), flows(&other)), (80, 0));
    let past = |token: &str| {
        web.by(token, ("GET", "/history"), "").with_status(200).json()["total"].as_u64().unwrap()
    };
    assert_eq!((past(&own), past(&other)), (8, 0));
    let db = ("GET", "/workload?id=shop%2Fdb%5BPod%5D");
    assert_eq!((web.by(&own, db, "").status, web.by(&other, db, "").status), (200, 404));
    let rules = |token: &str| {
        let proposal = web.by(token, ("GET", "/recommendations?since=1h"), "").with_status(200);
        proposal.json()["policies"].as_array().unwrap().len()
    };
    assert!(rules(&own) > 0 && rules(&other) == 0);
    let jewel = "/recommendations?since=1h&template=crown-jewel&set=workload%3Dshop%2Fdb";
    assert_eq!(web.by(&own, ("GET", jewel), "").status, 200);
    let refused = web.by(&other, ("GET", jewel), "").with_status(400);
    let problem = refused.json().to_string();
    assert!(problem.contains("no workload that was seen"), "{problem}");
    assert!(!problem.contains("db[Pod]"), "what is not theirs is not told: {problem}");
    let templates = |token: &str| web.by(token, ("GET", "/templates?since=1h"), "").json();
    assert!(templates(&own).to_string().contains("shop/db[Pod]"));
    assert!(!templates(&other).to_string().contains("shop/"));
    let file = |namespace: &str| {
        let text = format!(
            "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: a, \
             namespace: {namespace}}}, spec: {{podSelector: {{}}}}}}"
        );
        json!({ "files": [{ "name": "a.yaml", "text": text }] }).to_string()
    };
    for path in ["/what-if", "/stage", "/apply"] {
        let by = |token: &str| web.by(token, ("POST", path), &file("shop"));
        assert_eq!(by(&other).status, 403, "{path}");
        assert_ne!(by(&own).status, 403, "{path}");
        let pruned = file("shop").replace("}]}", "}],\"prune\":true}");
        assert_eq!(web.by(&own, ("POST", path), &pruned).status, 403, "{path}: it ends all others");
    }
    for path in ["/status", "/revisions", "/tokens", "/audit"] {
        assert_eq!(web.by(&own, ("GET", path), "").status, 403, "{path}");
        assert_eq!(web.get(path).status, 200, "{path}");
    }
    assert_eq!(web.by(&own, ("POST", "/rollback"), "{}").status, 403);
}

#[test]
fn each_keeps_their_own_views_and_rules_and_authors_share_them() {
    let web = Web::start();
    let viewer = web.make_token(&["viewer"]);
    let author = web.make_token(&["author", "--role", "author"]);
    let other = web.make_token(&["other", "--role", "author", "-n", "shop"]);
    let view = json!({ "name": "v", "query": "by=pod" });
    let rule = json!({ "name": "db", "filter": { "to_port": "5432" } });
    for (path, body) in [("/views", view), ("/noise", rule)] {
        let keep = |token: &str, shared: bool| {
            let mut body = body.clone();
            body["shared"] = shared.into();
            web.by(token, ("POST", path), &body.to_string())
        };
        let listed = |token: &str| {
            let all = web.by(token, ("GET", path), "").with_status(200).json();
            all.as_array().unwrap().len()
        };
        assert_eq!((keep(&viewer, true).status, keep(&other, true).status), (403, 403), "{path}");
        let own = keep(&viewer, false).with_status(200).json()["id"].clone();
        let shared = keep(&author, true).with_status(200).json()["id"].clone();
        keep(&other, false).with_status(200);
        assert_eq!((listed(&viewer), listed(&author), listed(&other)), (2, 1, 1), "{path}");
        let drop =
            |token: &str, id: &Value| web.by(token, ("DELETE", &format!("{path}/{id}")), "").status;
        assert_eq!((drop(&author, &own), drop(&viewer, &shared)), (404, 403), "{path}");
        assert_eq!((drop(&other, &shared), drop(&viewer, &json!(0.5))), (404, 404), "{path}");
        web.raw(("GET", &format!("/api/v1{path}")), &[], "").with_status(401);
        assert_eq!((drop(&viewer, &own), drop(&author, &shared)), (204, 204), "{path}");
        assert_eq!((listed(&viewer), listed(&author), listed(&other)), (0, 0, 1), "{path}");
    }
    let told = web.served.ask(&["audit", "-o", "json"]).with_code(0).out;
    for action in ["keep_view", "drop_view", "keep_noise_rule", "drop_noise_rule"] {
        assert!(told.contains(action), "{action}");
    }
}

#[test]
fn a_rule_hides_from_who_has_it_and_says_how_much() {
    let web = Web::start();
    let [ann, bob] = ["ann", "bob"].map(|name| web.make_token(&[name]));
    let rule = json!({ "name": "db", "filter": { "to_port": "5432" } }).to_string();
    let asked = |token: &str, hide: bool| {
        let scene = web.by(token, ("GET", &format!("/scene?hide_noise={hide}")), "").json();
        let edges = scene["edges"].as_array().unwrap().len();
        (edges, scene["hidden"].clone())
    };
    assert_eq!((asked(&ann, true).0, asked(&bob, true).0), (8, 8));
    web.by(&ann, ("POST", "/noise"), &rule).with_status(200);
    let (edges, hidden) = asked(&ann, true);
    assert_eq!(edges, 0);
    assert_eq!(hidden["noise"], json!([{ "name": "db", "own": true, "connections": 80 }]));
    assert_eq!((asked(&ann, false).0, asked(&bob, true).0), (8, 8), "only hers, and only if asked");
    let all = json!({ "name": "all", "filter": {} }).to_string();
    web.by(&ann, ("POST", "/noise"), &all).with_status(400);
    web.served.ask(&["token", "revoke", "ann"]).with_code(0);
    let ann = web.make_token(&["ann"]);
    assert_eq!(asked(&ann, true).0, 8, "another of that name is somebody else");
}

#[test]
fn a_token_ends_when_it_is_revoked_and_so_do_its_session_and_its_stream() {
    let web = Web::start();
    let token = web.make_token(&["guest"]);
    let sign_in = json!({ "token": token }).to_string();
    let signed = web.raw(("POST", "/api/v1/session"), &[], &sign_in).with_status(200);
    let cookie = signed.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let cookie = format!("Cookie: {cookie}");
    let by_cookie = || web.raw(("GET", "/api/v1/map"), &[&cookie], "").status;
    assert_eq!((by_cookie(), web.by(&token, ("GET", "/map"), "").status), (200, 200));
    web.served.ask(&["token", "revoke", "guest"]).with_code(0);
    assert_eq!((by_cookie(), web.by(&token, ("GET", "/map"), "").status), (401, 401));
    let text = web.served.ask(&["token", "list"]).with_code(0).out;
    assert!(text.contains("root") && !text.contains("guest"), "{text}");
    assert!(!text.contains(&web.token), "secrets are not told again");
    assert!(!web.served.log().contains(&web.token), "nor logged");
}

#[test]
fn who_guesses_waits() {
    let web = Web::start();
    for _ in 0..10 {
        web.by("skt_guess", ("GET", "/map"), "").with_status(401);
    }
    web.get("/map").with_status(200);
    let reply = web.by("skt_guess", ("GET", "/map"), "").with_status(429);
    assert!(reply.header("retry-after").unwrap().parse::<u64>().unwrap() <= 60);
}
