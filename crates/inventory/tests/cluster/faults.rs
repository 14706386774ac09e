//! Bad days: the network is cut or silent, a right is missing.

use std::time::Duration;

use kube::api::{Api, PostParams};
use kube::config::AuthInfo;
use sekisho_inventory::Inventory;
use sekisho_inventory::watch::KindState;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_may_not_be_listed_is_named_and_the_rest_goes_on_until_the_right_is_granted() {
    let world = World::new("rights").await;
    let name = world.namespace.clone();
    world
        .create("v1", "ServiceAccount", "serviceaccounts", json!({"name": "reader"}), json!({}))
        .await;
    let may = |groups: &[&str], resources: &[&str]| json!({"apiGroups": groups, "resources": resources, "verbs": ["list", "watch"]});
    let rest = may(&["apps", "batch", "networking.k8s.io", "apiextensions.k8s.io"], &["*"]);
    let core =
        may(&[""], &["namespaces", "nodes", "pods", "serviceaccounts", "replicationcontrollers"]);
    let role = json!({"rules": [rest, core]});
    let (rbac, role_kind) = ("rbac.authorization.k8s.io/v1", "ClusterRole");
    world.create(rbac, role_kind, "clusterroles", json!({"name": name}), role).await;
    let binding = json!({
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": name}]});
    let metadata = json!({"name": name});
    world.create(rbac, "ClusterRoleBinding", "clusterrolebindings", metadata, binding).await;
    let folder = tempfile::tempdir().unwrap();
    let token_path = folder.path().join("token");
    std::fs::write(&token_path, token(&world).await).unwrap();
    let token_file = token_path.display().to_string();
    let mut kubeconfig = read_kubeconfig();
    let user = kubeconfig.auth_infos[0].auth_info.as_mut().unwrap();
    *user = AuthInfo { token_file: Some(token_file), ..AuthInfo::default() };
    let proxy = Proxy::start(kubeconfig).await;
    let mut live = Live::start(proxy.kubeconfig()).await;
    live.until("the rest", |inventory, status| {
        status.synced && inventory.live_names("Namespace").iter().any(|(_, it)| *it == name)
    })
    .await;
    let denied: Vec<_> = live
        .status()
        .kinds
        .into_iter()
        .filter(|kind| matches!(kind.state, KindState::Denied { .. }))
        .map(|kind| kind.resource)
        .collect();
    assert_eq!(denied, ["services"]);
    let problems = live.status().problems();
    let wanted = "grant verb `list` on resource `services` of apiGroup \"\"";
    assert!(problems.iter().any(|it| it.contains(wanted)), "{problems:?}");
    let more = json!({"rules": [may(&["*"], &["*"])]});
    let api = world.api(rbac, role_kind, "clusterroles");
    api.patch(&name, &Default::default(), &kube::api::Patch::Merge(&more)).await.unwrap();
    live.until("the granted kind", |inventory, status| {
        status.problems().is_empty() && !inventory.live_names("Service").is_empty()
    })
    .await;
    api.delete(&name, &Default::default()).await.unwrap();
    let api = world.api(rbac, "ClusterRoleBinding", "clusterrolebindings");
    api.delete(&name, &Default::default()).await.unwrap();
    world.end().await;
}

async fn token(world: &World) -> String {
    use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
    use k8s_openapi::api::core::v1::ServiceAccount;
    let api: Api<ServiceAccount> = Api::namespaced(world.client.clone(), &world.namespace);
    let spec = TokenRequestSpec { expiration_seconds: Some(3_600), ..Default::default() };
    let request = TokenRequest { metadata: Default::default(), spec: Some(spec), status: None };
    let (params, limit) = (PostParams::default(), Duration::from_secs(10));
    let answer = tokio::time::timeout(limit, api.create_token_request("reader", &params, &request));
    answer.await.unwrap().unwrap().status.unwrap().token.unwrap()
}
