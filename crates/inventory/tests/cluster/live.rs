//! What a live cluster tells, and how it changes.

use serde_json::json;

use crate::world::{Live, World, kubeconfig, who};

#[tokio::test(flavor = "multi_thread")]
async fn pods_belong_to_their_topmost_owner_by_both_addresses_until_these_are_reused() {
    let world = World::new("owners").await;
    let mut live = Live::start(kubeconfig()).await;
    live.synced().await;
    let labels = json!({"app": "cart"});
    let template = json!({"metadata": {"labels": labels},
        "spec": {"schedulerName": "nobody", "containers": [{"name": "app", "image": "none"}]}});
    let spec = json!({"replicas": 1, "selector": {"matchLabels": labels}, "template": template});
    let metadata = json!({"name": "cart"});
    world.create("apps/v1", "Deployment", "deployments", metadata, json!({"spec": spec})).await;
    let namespace = world.namespace.clone();
    let of_cart = |inventory: &sekisho_inventory::Inventory| {
        let pods = inventory.live_names("Pod").into_iter();
        pods.filter(|(ns, _)| *ns == namespace).map(|(_, name)| name).next()
    };
    live.until("the Deployment's pod", |inventory, _| of_cart(inventory).is_some()).await;
    let pod = of_cart(&live.inventory).unwrap();
    world.run_pod(&pod, "Running", &["198.18.7.1", "2001:db8:7::1"]).await;
    let expected = format!("{pod} of {}/cart[Deployment]", world.namespace);
    for address in ["198.18.7.1", "2001:db8:7::1"] {
        live.until(address, |inventory, _| who(inventory, address) == expected).await;
    }
    world.pod("lone", json!({}), json!({})).await;
    world.delete_pod(&pod).await;
    world.run_pod("lone", "Running", &["198.18.7.1"]).await;
    let expected = format!("lone of {}/lone[Pod]", world.namespace);
    live.until("reuse", |inventory, _| who(inventory, "198.18.7.1") == expected).await;
    world.run_pod("lone", "Succeeded", &["198.18.7.1"]).await;
    // Two seconds after it is given up, an address is nobody's.
    live.until("end", |inventory, _| !who(inventory, "198.18.7.1").contains("lone")).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_on_the_network_of_its_node_does_not_own_the_nodes_address() {
    let world = World::new("hostnet").await;
    let mut live = Live::start(kubeconfig()).await;
    live.synced().await;
    world.pod("proxy", json!({}), json!({"hostNetwork": true})).await;
    world.pod("plain", json!({}), json!({})).await;
    world.run_pod("proxy", "Running", &["198.18.8.1"]).await;
    world.run_pod("plain", "Running", &["198.18.8.2"]).await;
    let expected = format!("plain of {}/plain[Pod]", world.namespace);
    live.until("the plain pod", |inventory, _| who(inventory, "198.18.8.2") == expected).await;
    assert_eq!(who(&live.inventory, "198.18.8.1"), "198.18.8.1[External]");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_custom_kind_comes_and_goes_at_run_time_and_an_unreadable_object_is_named() {
    let world = World::new("custom").await;
    let mut live = Live::start(kubeconfig()).await;
    live.synced().await;
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let definition = json!({"spec": {"group": "route.openshift.io", "scope": "Namespaced",
        "names": {"kind": "Route", "plural": "routes", "singular": "route", "listKind": "RouteList"},
        "versions": [{"name": "v1", "served": true, "storage": true,
            "schema": {"openAPIV3Schema": open}}]}});
    let (version, kind, plural) =
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions");
    let name = "routes.route.openshift.io";
    world.create(version, kind, plural, json!({"name": name}), definition).await;
    live.until("the kind", |_, status| {
        status.kinds.iter().any(|kind| kind.kind == "Route" && kind.listed)
    })
    .await;
    let (version_of_route, kind_of_route) = ("route.openshift.io/v1", "Route");
    let good = json!({"spec": {"host": "a.example.com", "to": {"kind": "Service", "name": "a"}}});
    world.create(version_of_route, kind_of_route, "routes", json!({"name": "good"}), good).await;
    let bad = json!({"spec": {"host": ["not", "text"], "to": {"kind": "Service", "name": "a"}}});
    world.create(version_of_route, kind_of_route, "routes", json!({"name": "bad"}), bad).await;
    let names = vec![(world.namespace.clone(), "good".to_owned())];
    live.until("the object", |inventory, status| {
        inventory.live_names("Route") == names
            && status.problems().iter().any(|it| it.contains("/bad: spec.host"))
    })
    .await;
    world.api(version, kind, plural).delete(name, &Default::default()).await.unwrap();
    live.until("the end of the kind", |inventory, status| {
        inventory.live_names("Route").is_empty()
            && status.kinds.iter().all(|kind| kind.kind != "Route")
    })
    .await;
    assert!(live.status().problems().is_empty(), "{:?}", live.status().problems());
    world.end().await;
}
