//! A new image that opens a new connection is noticed, verified again, and amended.

use std::time::Duration;

use sekisho_system::wait;
use serde_json::Value;

use crate::cluster::{Cluster, Namespace};
use crate::product::Product;

const WAIT: Duration = Duration::from_secs(120);
const CART: &str = "images/cart[Deployment]";

/// A client with this image and this command.
fn cart(image: &str, command: &[&str]) -> String {
    format!(
        "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: cart, namespace: images}}, spec: \
         {{selector: {{matchLabels: {{app: cart}}}}, template: {{metadata: {{labels: {{app: cart}}}}, \
         spec: {{terminationGracePeriodSeconds: 0, containers: [{{name: cart, image: {image}, \
         imagePullPolicy: Never, command: {command:?}}}]}}}}}}}}\n"
    )
}

fn roll_out(space: &Namespace<'_>, manifest: &str) {
    space.cluster.apply(manifest);
    space.cluster.kubectl(&[
        "-n",
        "images",
        "rollout",
        "status",
        "deployment/cart",
        "--timeout=60s",
    ]);
}

/// What the server last found about images, once it is as wanted.
fn review(product: &Product, is_wanted: impl Fn(&Value) -> bool) -> Value {
    let look = || -> Value {
        serde_json::from_str(&product.run(&["status", "-o", "json"]).1).unwrap_or_default()
    };
    let found = wait::until(WAIT, || Some(look()["images"].clone()).filter(&is_wanted));
    found.unwrap_or_else(|| panic!("{}", product.run(&["status", "-o", "json"]).1))
}

/// Waits until a flow of this verdict from the client was seen on its way to `to`.
fn seen(product: &Product, to: &str, verdict: &str) {
    let to = format!("images/{to}");
    let from = ["observe", "--from-workload", "images/cart", "--to-workload", &to];
    let words = [&from[..], &["--verdict", verdict, "--last", "1", "-o", "json"]].concat();
    let flow = || product.run(&words).1.starts_with('{').then_some(());
    wait::until(WAIT, flow).unwrap_or_else(|| panic!("{words:?}: {}", product.run(&words).1));
}

#[test]
fn a_new_image_that_opens_a_connection_is_noticed_and_amended_and_a_restart_is_not() {
    let cluster = Cluster::find();
    let space = cluster.namespace("images");
    space.web("db", 1);
    space.web("other", 1);
    let [db, other] = ["db", "other"].map(|name| space.pods(name)[0].ip.clone());
    let product = Product::start(&cluster);
    let ask = format!("while :; do wget -qO- http://{db}:8080/; sleep 0.5; done");
    let first = cart("docker.io/library/busybox:local", &["sh", "-c", &ask]);
    roll_out(&space, &first);
    seen(&product, "db", "allowed");

    let (policies, amended) = (product.path("policies"), product.path("amended"));
    let (code, text) = product.run(&["recommend", "-n", "images", "--write", &policies]);
    assert_eq!(code, 0, "{text}");
    let before = product.generation();
    let (code, text) = product.run(&["apply", "-f", &policies]);
    assert_eq!(code, 0, "{text}");
    product.carried_out_after(before);

    // The same image in another pod is no change.
    cluster.kubectl(&["-n", "images", "rollout", "restart", "deployment/cart"]);
    roll_out(&space, &first);
    let since = review(&product, |review| review["checked"].is_string())["checked"].clone();
    let checked = |review: &Value| review["checked"].as_str() > since.as_str();
    assert_eq!(review(&product, checked)["changes"], Value::Array(Vec::new()));

    let ask = ["/usr/bin/redis-cli", "-h", &other, "-p", "8080", "-r", "-1", "ping"];
    roll_out(&space, &cart("docker.io/library/redis:local", &ask));
    seen(&product, "other", "denied");
    let found = review(&product, |review| review["would_block"].as_u64() > Some(0));
    assert_eq!(found["changes"][0]["workload"], CART, "{found:#}");
    assert_eq!(found["blocked"][0], format!("{CART} -> images/other[Deployment]:8080/TCP"));
    assert_eq!((&found["would_block"], &found["new_edges"]), (&1.into(), &1.into()), "{found:#}");
    let (code, text) = product.run(&["status"]);
    println!("{text}");
    assert_eq!(code, 3, "{text}");
    let line = format!("image of {CART} changed since revision 1: docker.io/library/busybox:local");
    assert!(text.contains(&line) && text.contains("1 would block, 1 new edge\n"), "{text}");

    // What was stopped is told, and allowed only on somebody's word.
    let amend = ["recommend", "--amend", &policies, "--write", &amended];
    let (code, text) = product.run(&amend);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("## Stopped, and not amended"), "{text}");
    assert!(!std::path::Path::new(&amended).exists());
    let (code, text) = product.run(&[&amend[..], &["--include-denied"]].concat());
    assert_eq!(code, 1, "{text}");
    let explained = std::fs::read_to_string(product.path("amended/AMENDMENT.md")).unwrap();
    println!("{explained}");
    assert!(explained.contains(&line) && explained.contains("redis:local@sha256:"), "{explained}");

    let before = product.generation();
    let (code, text) = product.run(&["apply", "-f", &amended]);
    assert_eq!(code, 0, "{text}");
    product.carried_out_after(before);
    // A client that waits for its answer for ever would not ask again.
    cluster.kubectl(&["-n", "images", "rollout", "restart", "deployment/cart"]);
    seen(&product, "other", "allowed");
    let quiet =
        |review: &Value| review["revision"] == 2 && review["changes"] == Value::Array(Vec::new());
    review(&product, quiet);
    product.release();
}
