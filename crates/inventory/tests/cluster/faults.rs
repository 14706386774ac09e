//! Bad days: the network is cut or silent. A missing right, and an API server that is killed, are
//! met by a running server (crates/sekisho/tests/cluster/bad_days.rs).

use sekisho_inventory::Inventory;
use serde_json::json;

use crate::proxy::{Net, Proxy};
use crate::world::{Live, World, read_kubeconfig, who};

/// Whatever happens on the way, what changed meanwhile is known in the end.
async fn comes_back(name: &str, block: u8, net: Net) {
    let world = World::new(name).await;
    let proxy = Proxy::start(read_kubeconfig()).await;
    let mut live = Live::start(proxy.kubeconfig()).await;
    live.synced().await;
    let address = |host: u8| format!("198.18.{block}.{host}");
    let is = |inventory: &Inventory, host: u8, pod: &str| {
        who(inventory, &address(host)) == format!("{pod} of {}/{pod}[Pod]", world.namespace)
    };
    for (pod, host) in [("stays", 1), ("goes", 2)] {
        world.pod(pod, json!({}), json!({})).await;
        world.run_pod(pod, "Running", &[&address(host)]).await;
    }
    live.until("both pods", |it, _| is(it, 1, "stays") && is(it, 2, "goes")).await;
    proxy.set(net);
    world.delete_pod("goes").await;
    world.pod("comes", json!({}), json!({})).await;
    world.run_pod("comes", "Running", &[&address(2)]).await;
    live.until("away", |_, status| status.away_since.is_some()).await;
    assert!(is(&live.inventory, 1, "stays") && is(&live.inventory, 2, "goes"), "the last state");
    let problems = live.status().problems();
    assert!(problems.iter().any(|it| it.contains("does not answer since")), "{problems:?}");
    proxy.set(Net::Up);
    live.until("the news", |it, _| is(it, 1, "stays") && is(it, 2, "comes")).await;
    live.until("health", |_, status| status.problems().is_empty()).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_was_away_is_caught_up_with() {
    comes_back("cut", 11, Net::Cut).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_goes_silent_is_noticed_and_caught_up_with() {
    comes_back("silent", 12, Net::Silent).await;
}
