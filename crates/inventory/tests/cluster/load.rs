//! Many objects, and many changes: 10,000 pods and 5,000 Services listed at once, then 100 changes
//! of pods a second. Prints what it saw. `SEKISHO_TEST_PODS` makes it smaller (half as many
//! Services).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::core::DynamicObject;
use sekisho_inventory::watch::{Delta, Intake, Watch};
use sekisho_inventory::{Change, Inventory};
use serde_json::{Value, json};

use crate::world::{World, kubeconfig, now, resource};

const PODS_PER_NAMESPACE: usize = 200;
const REQUESTS_AT_ONCE: usize = 24;
const CHANGES_PER_SECOND: u32 = 100;
const CHURN_S: u32 = 30;
/// The server takes deltas so often.
const TICK: Duration = Duration::from_millis(200);
/// Patience with a list, and with a change.
const LIST_S: u64 = 300;

struct Load {
    world: World,
    namespaces: Vec<String>,
}

impl Load {
    fn api(&self, namespace: &str, kind: &str, plural: &str) -> Api<DynamicObject> {
        let resource = resource("v1", kind, plural);
        Api::namespaced_with(self.world.client.clone(), namespace, &resource)
    }

    async fn fill(&mut self, pods: usize) {
        for index in 0..pods.div_ceil(PODS_PER_NAMESPACE) {
            let name = format!("{}-{index}", self.world.namespace);
            let metadata = json!({"name": name});
            self.world.create("v1", "Namespace", "namespaces", metadata, json!({})).await;
            self.namespaces.push(name);
        }
        let last = self.namespaces.last().unwrap().clone();
        let accounts = self.api(&last, "ServiceAccount", "serviceaccounts");
        while accounts.get_opt("default").await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let this = &*self;
        let work = futures_util::stream::iter(0..pods).map(|index| async move {
            this.pod(index).await;
            if index % 2 == 0 {
                this.service(index).await;
            }
        });
        work.buffer_unordered(REQUESTS_AT_ONCE).collect::<Vec<()>>().await;
    }

    async fn pod(&self, index: usize) {
        let namespace = &self.namespaces[index % self.namespaces.len()];
        let pods = self.api(namespace, "Pod", "pods");
        let name = format!("app-{index}-7d4b9c8f6d-x{index}");
        let object = pod(&name, index % 100);
        pods.create(&PostParams::default(), &object).await.unwrap();
        let status = running(index);
        pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    }

    async fn service(&self, index: usize) {
        let namespace = &self.namespaces[index % self.namespaces.len()];
        let services = self.api(namespace, "Service", "services");
        let object = serde_json::from_value(json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": format!("svc-{index}"), "labels": {"app": "x"}},
            "spec": {"clusterIP": "None", "selector": {"app": format!("app-{}", index % 100)},
                "ports": [{"name": "web", "port": 80, "targetPort": 8080}]}}));
        services.create(&PostParams::default(), &object.unwrap()).await.unwrap();
    }

    async fn end(self) {
        for name in &self.namespaces {
            let api = self.world.api("v1", "Namespace", "namespaces");
            api.delete(name, &DeleteParams::default()).await.unwrap();
        }
        self.world.end().await;
    }
}

/// A pod as a Deployment makes it, with what such pods carry around.
fn pod(name: &str, app: usize) -> DynamicObject {
    let env: Vec<Value> =
        (0..12).map(|n| json!({"name": format!("SETTING_{n}"), "value": "some value"})).collect();
    let probe = json!({"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10});
    let object = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": format!("app-{app}"),
                "app.kubernetes.io/name": "app", "app.kubernetes.io/part-of": "shop",
                "pod-template-hash": "7d4b9c8f6d", "version": "v1"},
            "annotations": {"checksum/config": "0123456789abcdef0123456789abcdef"}},
        "spec": {"schedulerName": "nobody", "containers": [{"name": "app", "image": "registry.example.com/shop/app:1.2.3",
            "env": env, "readinessProbe": probe, "livenessProbe": probe,
            "ports": [{"name": "web", "containerPort": 8080}],
            "resources": {"requests": {"cpu": "1m"}}}]}});
    serde_json::from_value(object).unwrap()
}

fn address(index: usize) -> String {
    format!("10.{}.{}.{}", 128 + index / 65_536, (index / 256) % 256, index % 256)
}

fn running(index: usize) -> Value {
    let ip = address(index);
    json!({"status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
        "startTime": "2026-01-01T00:00:00Z",
        "conditions": [{"type": "Ready", "status": "True"}]}})
}

/// Takes deltas as the server does, and tells when each pod became known to be as it is.
async fn follow(mut watch: Watch, known: tokio::sync::mpsc::Sender<(String, Instant)>) {
    let (mut inventory, mut intake) = (Inventory::default(), Intake::default());
    let mut ticks = tokio::time::interval(TICK);
    loop {
        ticks.tick().await;
        let (mut journal, mut names) = (Vec::new(), Vec::new());
        while let Some(delta) = watch.try_next() {
            if let Delta::Change { change, object, .. } = &delta
                && object.kind() == "Pod"
            {
                let sort = if *change == Change::Deleted { "gone" } else { "there" };
                let step = object.meta().labels.get("step").cloned().unwrap_or_default();
                names.push(format!("{sort} {} {step}", object.meta().name));
            }
            intake.take(&mut inventory, delta, &mut journal);
        }
        for name in names {
            if known.send((name, Instant::now())).await.is_err() {
                return;
            }
        }
    }
}

/// One change: creates, relabels or deletes a pod. Returns what the watch will call it.
async fn change(pods: &Api<DynamicObject>, index: usize) -> String {
    let name = format!("churn-{}", index / 3);
    match index % 3 {
        0 => {
            let object = pod(&name, index % 100);
            pods.create(&PostParams::default(), &object).await.unwrap();
            format!("there {name} ")
        }
        1 => {
            let step = json!({"metadata": {"labels": {"step": "two"}}});
            pods.patch(&name, &PatchParams::default(), &Patch::Merge(&step)).await.unwrap();
            format!("there {name} two")
        }
        _ => {
            let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
            pods.delete(&name, &at_once).await.unwrap();
            format!("gone {name} ")
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_pods_are_listed_and_a_hundred_changes_a_second_are_followed_within_a_second()
{
    let pods: usize =
        std::env::var("SEKISHO_TEST_PODS").map_or(10_000, |count| count.parse().unwrap());
    let mut load = Load { world: World::new("load").await, namespaces: Vec::new() };
    let started = Instant::now();
    load.fill(pods).await;
    println!("{pods} pods, {} services made in {:?}", pods / 2, started.elapsed());
    let started = Instant::now();
    let mut live = crate::world::Live::start(kubeconfig()).await;
    while !(live.status().synced && live.watch.waiting() == 0) {
        assert!(started.elapsed().as_secs() < LIST_S, "{:#?}", live.status());
        live.take();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("listed in {:?}: {:?}", started.elapsed(), live.inventory.stats());
    assert!(live.inventory.stats().objects >= pods + pods / 2);
    println!("journal of {} KiB", live.journal.len() / 1024);
    let lags = churn(&load, live.watch).await;
    let at = |share: usize| lags[(lags.len() - 1) * share / 100];
    println!(
        "{} changes at {CHANGES_PER_SECOND}/s: known after {:?} (half), {:?} (99 %), {:?} (all)",
        lags.len(),
        at(50),
        at(99),
        at(100)
    );
    assert!(at(99) < Duration::from_secs(1), "99 % of changes were known after {:?}", at(99));
    println!("{}", now());
    load.end().await;
}

/// The sorted times from before a write was sent until the inventory knew it.
async fn churn(load: &Load, watch: Watch) -> Vec<Duration> {
    let (sender, mut known) = tokio::sync::mpsc::channel(100_000);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(follow(watch, sender));
    let pods = load.api(&load.namespaces[0], "Pod", "pods");
    let total = (CHANGES_PER_SECOND * CHURN_S) as usize;
    let late = Arc::new(AtomicU64::new(0));
    let mut writes = tokio::task::JoinSet::new();
    // Three lanes in turn, so that the three changes of one pod come one after another.
    for lane in 0..10 {
        let (pods, late) = (pods.clone(), Arc::clone(&late));
        writes.spawn(async move {
            let mut sent = Vec::new();
            let mut ticks = tokio::time::interval(Duration::from_secs(1) * 10 / CHANGES_PER_SECOND);
            for step in 0..total / 10 {
                ticks.tick().await;
                let (round, part) = (step / 3, step % 3);
                let before = Instant::now();
                let name = change(&pods, (round * 10 + lane) * 3 + part).await;
                if before.elapsed().as_millis() > 100 {
                    late.fetch_add(1, Ordering::Relaxed);
                }
                sent.push((name, before));
            }
            sent
        });
    }
    let sent: BTreeMap<String, Instant> = writes.join_all().await.into_iter().flatten().collect();
    println!(
        "{} of {} writes took the API server over 100 ms",
        late.load(Ordering::Relaxed),
        total
    );
    let mut lags = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(20);
    while lags.len() < sent.len() {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(Some((name, at))) = tokio::time::timeout(left, known.recv()).await else {
            panic!("{} of {} changes are known", lags.len(), sent.len())
        };
        lags.extend(sent.get(&name).map(|before| at.saturating_duration_since(*before)));
    }
    lags.sort_unstable();
    lags
}
