//! A small shop for the story: who asks whom, and how often each got its answer.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::TcpListener;
use std::time::Duration;

use sekisho_system::{netns, wait};

use crate::cluster::Cluster;

const READY: &str = "--timeout=110s";
const IMAGE: &str = "docker.io/library/busybox:local";
/// Port of what is outside of the cluster.
const OUTSIDE_PORT: u16 = 2525;

/// Asks TARGET for ever, a new connection each time; counts good and bad answers in /tmp/count.
const ASK: &str = r#"
good=0 bad=0
while :; do
  case "$TARGET" in
    http*) timeout 5 wget -qO- "$TARGET" > /dev/null ;;
    redis*) printf 'PING\r\nQUIT\r\n' | timeout 5 nc $TARGET | grep -q PONG ;;
    *) timeout 5 nc $TARGET < /dev/null > /dev/null ;;
  esac
  if [ $? = 0 ]; then good=$((good + 1)); else bad=$((bad + 1)); fi
  echo "$good $bad" > /tmp/new && mv /tmp/new /tmp/count
  sleep 0.5
done"#;

/// Clients: namespace, name, what each asks.
const CLIENTS: &[(&str, &str, &str)] = &[
    ("story-shop", "load", "http://web/"),
    ("story-shop", "web", "http://api/"),
    ("story-shop", "api", "redis.story-data 6379"),
    ("story-shop", "watcher", "kubernetes.default 443"),
    ("story-shop", "mailer", "OUTSIDE"),
];

/// The call graph: `source -> destination:port/protocol`. OUTSIDE stands for an address, API_SERVER
/// for the one behind Service `kubernetes`, which is no pod.
const CALLS: &[&str] = &[
    "story-shop/load[Deployment] -> story-shop/web[Deployment]:8080/TCP",
    "story-shop/web[Deployment] -> story-shop/api[Deployment]:8080/TCP",
    "story-shop/api[Deployment] -> story-data/redis[Deployment]:6379/TCP",
    "story-data/report[CronJob] -> story-shop/api[Deployment]:8080/TCP",
    "story-shop/watcher[Deployment] -> API_SERVER/TCP",
    "story-shop/mailer[Deployment] -> OUTSIDE[External]:2525/TCP",
    "story-shop/load[Deployment] -> kube-system/coredns[Deployment]:53/UDP",
    "story-shop/web[Deployment] -> kube-system/coredns[Deployment]:53/UDP",
    "story-shop/api[Deployment] -> kube-system/coredns[Deployment]:53/UDP",
    "story-data/report[CronJob] -> kube-system/coredns[Deployment]:53/UDP",
    "story-shop/watcher[Deployment] -> kube-system/coredns[Deployment]:53/UDP",
];

/// The shop as it runs; its namespaces end with it.
pub(crate) struct Shop<'cluster> {
    cluster: &'cluster Cluster,
    outside: String,
}

impl<'cluster> Shop<'cluster> {
    /// Opens it; returns when each part is ready and has got an answer.
    pub(crate) fn open(cluster: &'cluster Cluster) -> Self {
        let text = std::fs::read_to_string(cluster.file("outside")).unwrap();
        let outside = text.lines().next().unwrap().to_owned();
        serve_outside(&outside);
        let shop = Self { cluster, outside };
        cluster.apply(&shop.manifests());
        for (namespace, name) in [("story-data", "redis"), ("story-shop", "intruder")] {
            shop.await_rollout(namespace, name);
        }
        for (namespace, name, _) in CLIENTS {
            shop.await_rollout(namespace, name);
        }
        let served = || shop.counts().values().all(|(good, _)| *good > 2).then_some(());
        wait::until(Duration::from_secs(90), served)
            .unwrap_or_else(|| panic!("not all get answers: {:?}", shop.counts()));
        shop
    }

    fn await_rollout(&self, namespace: &str, name: &str) {
        let name = format!("deployment/{name}");
        self.cluster.kubectl(&["-n", namespace, "rollout", "status", &name, READY]);
    }

    fn manifests(&self) -> String {
        let target = |text: &str| match text {
            "OUTSIDE" => format!("{} {OUTSIDE_PORT}", self.outside),
            other => other.to_owned(),
        };
        let mut all = String::from(
            "{apiVersion: v1, kind: Namespace, metadata: {name: story-shop}}\n---\n\
             {apiVersion: v1, kind: Namespace, metadata: {name: story-data}}\n",
        );
        for (namespace, name, asks) in CLIENTS {
            let serves = matches!(*name, "web" | "api");
            all.push_str(&deployment(namespace, name, &target(asks), serves));
        }
        // Somebody who has no business here.
        all.push_str(&deployment("story-shop", "intruder", "", false));
        all.push_str(REDIS);
        all.push_str(&REPORT.replace("IMAGE", IMAGE));
        all
    }

    /// The call graph, with the addresses that no name stands for.
    pub(crate) fn calls(&self) -> Vec<String> {
        let words = ["get", "endpointslice", "kubernetes", "-n", "default", "-o"];
        let path = "jsonpath={.endpoints[0].addresses[0]}[External]:{.ports[0].port}";
        let server = self.cluster.kubectl(&[&words[..], &[path]].concat());
        let fill = |call: &&str| {
            call.replace("OUTSIDE", &self.outside).replace("API_SERVER", server.trim())
        };
        CALLS.iter().map(fill).collect()
    }

    /// Good and bad answers that each client counted, by pod.
    pub(crate) fn counts(&self) -> BTreeMap<String, (u64, u64)> {
        let mut counts = BTreeMap::new();
        for (namespace, name, _) in CLIENTS {
            let selector = format!("app={name}");
            let words = ["-n", namespace, "get", "pods", "-l", &selector, "-o", "name"];
            for pod in self.cluster.kubectl(&words).lines() {
                let read = ["-n", namespace, "exec", pod, "-c", "ask", "--", "cat", "/tmp/count"];
                let text = self.cluster.try_kubectl(&read, "").unwrap_or_default();
                let mut numbers = text.split_whitespace().map(|word| word.parse().unwrap_or(0));
                let pair = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
                counts.insert(pod.to_owned(), pair);
            }
        }
        counts
    }

    /// Whether the intruder gets an answer of redis.
    pub(crate) fn intrude(&self) -> bool {
        let ask =
            "printf 'PING\\r\\nQUIT\\r\\n' | timeout 3 nc redis.story-data 6379 | grep -q PONG";
        let words = ["-n", "story-shop", "exec", "deploy/intruder", "--", "sh", "-c", ask];
        self.cluster.try_kubectl(&words, "").is_ok()
    }
}

impl Drop for Shop<'_> {
    fn drop(&mut self) {
        let words = ["delete", "namespace", "story-shop", "story-data", "--wait=false"];
        if let Err(error) = self.cluster.try_kubectl(&words, "") {
            println!("the shop stays: {error}");
        }
    }
}

/// A server on the address outside of the cluster, in the namespace that joins the nodes, until the
/// test ends.
fn serve_outside(address: &str) {
    // The address is 198.51.100.(1 + the cluster's index) (testing/cluster/README.md).
    let end: u32 = address.rsplit('.').next().unwrap().parse().unwrap();
    let hub = netns::path(&format!("skc{}-hub", end - 1));
    let place = format!("{address}:{OUTSIDE_PORT}");
    let listener = netns::within(&hub, move || TcpListener::bind(place)).unwrap().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            // Until the client has closed its side.
            std::thread::spawn(move || stream.read_to_end(&mut Vec::new()));
        }
    });
}

/// A Deployment that asks `target`, or only waits if that is empty; two pods on two nodes with a
/// Service if it serves.
fn deployment(namespace: &str, name: &str, target: &str, serves: bool) -> String {
    let script = if target.is_empty() { "exec sleep 100000" } else { ASK };
    let script = serde_json::to_string(script).unwrap();
    let server = if serves {
        format!(
            r#"
        - name: httpd
          image: {IMAGE}
          imagePullPolicy: Never
          command: [sh, -c, "echo hello > /tmp/index.html; exec httpd -f -p 8080 -h /tmp"]
          ports: [{{name: http, containerPort: 8080}}]
          readinessProbe: {{httpGet: {{path: /index.html, port: http}}, periodSeconds: 2}}
          livenessProbe: {{httpGet: {{path: /index.html, port: http}}, periodSeconds: 5}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{selector: {{app: {name}}}, ports: [{{port: 80, targetPort: http}}]}}"#
        )
    } else {
        String::new()
    };
    let replicas = if serves { 2 } else { 1 };
    format!(
        r#"
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 0
      topologySpreadConstraints:
        - {{maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: DoNotSchedule,
           labelSelector: {{matchLabels: {{app: {name}}}}}}}
      containers:
        - name: ask
          image: {IMAGE}
          imagePullPolicy: Never
          command: [sh, -c, {script}]
          env: [{{name: TARGET, value: "{target}"}}]{server}
"#
    )
}

const REDIS: &str = "
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: redis, namespace: story-data}
spec:
  selector: {matchLabels: {app: redis}}
  template:
    metadata: {labels: {app: redis}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: redis
          image: docker.io/library/redis:local
          imagePullPolicy: Never
          args: [--save, '', --protected-mode, 'no']
          ports: [{name: redis, containerPort: 6379}]
          readinessProbe: {tcpSocket: {port: redis}, periodSeconds: 2}
---
apiVersion: v1
kind: Service
metadata: {name: redis, namespace: story-data}
spec: {selector: {app: redis}, ports: [{port: 6379, targetPort: redis}]}
";

const REPORT: &str = "
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: report, namespace: story-data}
spec:
  schedule: '* * * * *'
  jobTemplate:
    spec:
      template:
        metadata: {labels: {app: report}}
        spec:
          restartPolicy: Never
          terminationGracePeriodSeconds: 0
          containers:
            - name: report
              image: IMAGE
              imagePullPolicy: Never
              command: [sh, -c, timeout 20 wget -qO- http://api.story-shop/index.html]
";
