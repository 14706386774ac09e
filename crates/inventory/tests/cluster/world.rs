//! What every test here needs: a namespace of its own, and a watch that fills an inventory.

use std::path::PathBuf;
use std::time::Duration;

use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, DynamicObject};
use kube::{Client, Config};
use sekisho_flow::Directory;
use sekisho_inventory::Inventory;
use sekisho_inventory::watch::{Cluster, Intake, Watch, WatchStatus};
use sekisho_model::Timestamp;
use sekisho_system::SystemClock;
use serde_json::{Value, json};

/// How long anything may take that is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn kubeconfig() -> PathBuf {
    let state = std::env::var_os("SEKISHO_TEST_CLUSTER").expect(
        "these tests need a cluster: SEKISHO_TEST_CLUSTER names its state folder \
         (`cargo xtask cluster up --control-plane --state DIR`)",
    );
    PathBuf::from(state).join("admin.kubeconfig")
}

pub(crate) fn read_kubeconfig() -> Kubeconfig {
    Kubeconfig::read_from(kubeconfig()).unwrap()
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from_nanos(sekisho_base::Clock::now(&SystemClock))
}

pub(crate) fn resource(api_version: &str, kind: &str, plural: &str) -> ApiResource {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    }
}

/// A client and a namespace of its own, removed at the end.
pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) namespace: String,
}

impl World {
    pub(crate) async fn new(name: &str) -> Self {
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(read_kubeconfig(), &options).await.unwrap();
        let client = Client::try_from(config).unwrap();
        let namespace = format!("sekisho-inventory-{name}-{}", std::process::id());
        let world = Self { client, namespace };
        world
            .create("v1", "Namespace", "namespaces", json!({"name": world.namespace}), json!({}))
            .await;
        world
    }

    pub(crate) async fn end(self) {
        let api = Api::<DynamicObject>::all_with(
            self.client.clone(),
            &resource("v1", "Namespace", "namespaces"),
        );
        api.delete(&self.namespace, &DeleteParams::default()).await.unwrap();
    }

    pub(crate) fn api(&self, api_version: &str, kind: &str, plural: &str) -> Api<DynamicObject> {
        let resource = resource(api_version, kind, plural);
        let cluster_wide =
            ["Namespace", "Node", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"];
        if cluster_wide.contains(&kind) {
            return Api::all_with(self.client.clone(), &resource);
        }
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    /// Creates an object; `rest` holds what is beside its metadata.
    pub(crate) async fn create(
        &self,
        api_version: &str,
        kind: &str,
        plural: &str,
        metadata: Value,
        rest: Value,
    ) {
        let mut object = rest;
        object["apiVersion"] = json!(api_version);
        object["kind"] = json!(kind);
        object["metadata"] = metadata;
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        let api = self.api(api_version, kind, plural);
        // A new namespace gets its service account a moment later, and pods need it.
        let started = std::time::Instant::now();
        loop {
            match api.create(&PostParams::default(), &object).await {
                Ok(_) => return,
                Err(kube::Error::Api(status))
                    if started.elapsed() < PATIENCE
                        && status.message.contains("serviceaccount") => {}
                Err(error) => panic!("create {kind}: {error:?}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// A pod that nobody schedules: a kubelet would say more of it than the test does.
    pub(crate) async fn pod(&self, name: &str, labels: Value, more: Value) {
        let mut spec = json!({"schedulerName": "nobody", "containers": [{"name": "app", "image": "none",
            "ports": [{"name": "web", "containerPort": 8080}]}]});
        for (key, value) in more.as_object().unwrap() {
            spec[key] = value.clone();
        }
        let metadata = json!({"name": name, "labels": labels});
        self.create("v1", "Pod", "pods", metadata, json!({"spec": spec})).await;
    }

    /// Says what a kubelet would say of a pod.
    pub(crate) async fn run_pod(&self, name: &str, phase: &str, addresses: &[&str]) {
        let ips: Vec<Value> = addresses.iter().map(|ip| json!({"ip": ip})).collect();
        let status = json!({"status": {"phase": phase, "podIP": addresses[0], "podIPs": ips}});
        let api = self.api("v1", "Pod", "pods");
        api.patch_status(name, &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    }

    pub(crate) async fn delete_pod(&self, name: &str) {
        let api = self.api("v1", "Pod", "pods");
        let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
        api.delete(name, &at_once).await.unwrap();
    }
}

/// An inventory that follows a cluster.
pub(crate) struct Live {
    pub(crate) watch: Watch,
    pub(crate) inventory: Inventory,
    intake: Intake,
    pub(crate) journal: Vec<u8>,
}

impl Live {
    pub(crate) async fn start(path: PathBuf) -> Self {
        let watch = Watch::start(&Cluster::Kubeconfig(path)).await.unwrap();
        let (inventory, intake, journal) = (Inventory::default(), Intake::default(), Vec::new());
        Self { watch, inventory, intake, journal }
    }

    pub(crate) fn status(&self) -> WatchStatus {
        self.watch.status().read()
    }

    /// Takes the deltas that wait.
    pub(crate) fn take(&mut self) {
        while let Some(delta) = self.watch.try_next() {
            self.intake.take(&mut self.inventory, delta, &mut self.journal);
        }
    }

    /// Takes deltas until `done` says so.
    pub(crate) async fn until(
        &mut self,
        what: &str,
        done: impl Fn(&Inventory, &WatchStatus) -> bool,
    ) {
        let started = std::time::Instant::now();
        loop {
            self.take();
            if done(&self.inventory, &self.status()) {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "{what}: {:#?}", self.status());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn synced(&mut self) {
        self.until("first list", |_, status| status.synced).await;
    }
}

/// Who has the address now.
pub(crate) fn who(inventory: &Inventory, address: &str) -> String {
    let party = inventory.party_of_address(address.parse().unwrap(), None, now());
    if party.pod.is_empty() { party.id() } else { format!("{} of {}", party.pod, party.id()) }
}
