//! What a browser is told, and what another page can't make it do.

use serde_json::json;

use super::http::Web;

#[test]
fn a_session_is_a_cookie_that_scripts_and_other_pages_cannot_use() {
    let web = Web::start();
    let sign_in = json!({ "token": web.token }).to_string();
    let signed = web.raw(("POST", "/api/v1/session"), &[], &sign_in).with_status(200);
    let cookie = signed.header("set-cookie").unwrap();
    assert!(cookie.contains("; HttpOnly") && cookie.contains("; SameSite=Strict"), "{cookie}");
    assert!(!cookie.contains(&web.token), "the token itself is not in it");
    let cookie = format!("Cookie: {}", cookie.split(';').next().unwrap());
    web.raw(("GET", "/api/v1/tokens"), &[&cookie], "").with_status(200);
    let body = json!({ "name": "made-by-a-page" }).to_string();
    let create = |more: &[&str]| {
        let headers = [&[cookie.as_str()], more].concat();
        web.raw(("POST", "/api/v1/tokens"), &headers, &body).status
    };
    assert_eq!(create(&[]), 403, "any page could have sent it");
    assert_eq!(create(&["X-Sekisho-Request: 1"]), 200, "only ours can");
    let out = web.raw(("DELETE", "/api/v1/session"), &[&cookie], "").with_status(204);
    assert!(out.header("set-cookie").unwrap().contains("Max-Age=0"));
    web.raw(("GET", "/api/v1/session"), &[&cookie], "").with_status(401);
}

#[test]
fn every_answer_forbids_what_is_not_ours() {
    let web = Web::start();
    for path in ["/", "/map?by=pod", "/api/v1/openapi.json", "/api/v1/nothing", "/no-such-file.js"]
    {
        let reply = web.raw(("GET", path), &[], "");
        let policy = reply.header("content-security-policy").unwrap_or_default();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{path}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{path}");
    }
    let page = web.raw(("GET", "/some/page"), &[], "").with_status(200);
    assert!(page.header("content-type").unwrap().starts_with("text/html"), "{page:?}");
    web.raw(("GET", "/no-such-file.js"), &[], "").with_status(404);
    web.raw(("POST", "/some/page"), &[], "").with_status(405);
}

#[test]
fn a_server_without_certificate_is_not_served_to_the_network() {
    let mut served = crate::roles::served::Served::prepared("web_listen = \"0.0.0.0:0\"");
    let (code, log) = served.refused();
    assert_eq!(code, 2, "{log}");
    assert!(log.contains("web_cert"), "{log}");
}
