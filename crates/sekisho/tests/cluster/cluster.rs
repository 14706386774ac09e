//! The cluster as the tests use it: through kubectl, each test in a namespace of its own.

use std::path::PathBuf;
use std::time::Duration;

use sekisho_system::{command, wait};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(120);
/// The component that is stopped and started, as xtask names it.
pub(crate) const API_SERVER: &str = "kube-apiserver";

/// The cluster that xtask has brought up.
pub(crate) struct Cluster {
    state: PathBuf,
}

impl Cluster {
    /// Finds it, or fails the test with what to do.
    pub(crate) fn find() -> Self {
        let state = std::env::var_os("SEKISHO_TEST_CLUSTER").map(PathBuf::from).expect(
            "these tests need a cluster, and SEKISHO_TEST_CLUSTER does not name its state folder: \
             run `cargo xtask test`, or `cargo xtask cluster up --state DIR` and set it to DIR",
        );
        assert!(
            state.join("admin.kubeconfig").exists(),
            "SEKISHO_TEST_CLUSTER={}: no cluster is there",
            state.display()
        );
        Self { state }
    }

    /// A file of the cluster's state folder.
    pub(crate) fn file(&self, name: &str) -> String {
        self.state.join(name).to_string_lossy().into_owned()
    }

    /// Runs kubectl, which must succeed, and returns what it prints.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        self.try_kubectl(arguments, "").unwrap_or_else(|error| panic!("{error}"))
    }

    /// Runs kubectl; the error is what it says.
    pub(crate) fn try_kubectl(&self, arguments: &[&str], stdin: &str) -> Result<String, String> {
        let (program, kubeconfig) = (self.file("bin/kubectl"), self.file("admin.kubeconfig"));
        let mut argv = vec![program.as_str(), "--kubeconfig", kubeconfig.as_str()];
        argv.extend(arguments);
        let output = command::run(&argv, stdin, LIMIT).map_err(|error| error.to_string())?;
        Ok(output.stdout)
    }

    /// Applies manifests.
    pub(crate) fn apply(&self, manifests: &str) {
        self.try_kubectl(&["apply", "--filename", "-"], manifests)
            .unwrap_or_else(|error| panic!("{error}\n{manifests}"));
    }

    /// `kubectl get ... --output=json`, parsed.
    pub(crate) fn get(&self, arguments: &[&str]) -> Value {
        let mut words = vec!["get", "--output=json"];
        words.extend(arguments);
        serde_json::from_str(&self.kubectl(&words)).unwrap()
    }

    /// Kills a component of the control plane as a crash would (`kill -9`).
    pub(crate) fn stop(&self, component: &str) {
        self.xtask("stop", component);
    }

    /// Starts a component again with its data, and waits until it is ready.
    pub(crate) fn start(&self, component: &str) {
        self.xtask("start", component);
    }

    fn xtask(&self, verb: &str, component: &str) {
        let program = std::env::var("SEKISHO_TEST_XTASK").expect(
            "this test kills parts of the cluster, and SEKISHO_TEST_XTASK does not name the \
             program `xtask`: run `cargo xtask test`, or set it to target/debug/xtask",
        );
        let state = self.state.to_string_lossy();
        command::run(&[&program, "cluster", verb, "--state", &state, component], "", LIMIT)
            .unwrap_or_else(|error| panic!("{verb} {component}: {error}"));
    }

    /// A new namespace, which ends with the value.
    pub(crate) fn namespace(&self, name: &str) -> Namespace<'_> {
        self.kubectl(&["create", "namespace", name]);
        // Pods are refused until the controllers have made this, a moment later.
        let account = ["get", "serviceaccount", "default", "--namespace", name];
        wait::until(LIMIT, || self.try_kubectl(&account, "").ok())
            .unwrap_or_else(|| panic!("namespace {name} got no service account"));
        Namespace { cluster: self, name: name.to_owned() }
    }
}

/// A namespace of one test.
pub(crate) struct Namespace<'cluster> {
    pub(crate) cluster: &'cluster Cluster,
    pub(crate) name: String,
}

impl Namespace<'_> {
    /// Makes a Deployment `name` of `replicas` web servers on port 8080, which answer with their
    /// pod's name, and a Service before them on port 80; waits until all are ready. The pods are
    /// spread over the nodes.
    pub(crate) fn web(&self, name: &str, replicas: u32) {
        self.cluster.apply(&format!(
            r#"
apiVersion: apps/v1
kind: Deployment
metadata: {{ name: {name}, namespace: {namespace} }}
spec:
  replicas: {replicas}
  selector: {{ matchLabels: {{ app: {name} }} }}
  template:
    metadata: {{ labels: {{ app: {name} }} }}
    spec:
      terminationGracePeriodSeconds: 0
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: DoNotSchedule
          labelSelector: {{ matchLabels: {{ app: {name} }} }}
      containers:
        - name: web
          image: docker.io/library/busybox:local
          imagePullPolicy: Never
          args: ["-c", "hostname > /tmp/index.html; exec httpd -f -p 8080 -h /tmp"]
          readinessProbe: {{ httpGet: {{ port: 8080, path: /index.html }}, periodSeconds: 1 }}
---
apiVersion: v1
kind: Service
metadata: {{ name: {name}, namespace: {namespace} }}
spec:
  selector: {{ app: {name} }}
  ports: [{{ port: 80, targetPort: 8080 }}]
"#,
            namespace = self.name
        ));
        let deployment = format!("deployment/{name}");
        let words = ["rollout", "status", "--timeout=110s", &deployment, "--namespace", &self.name];
        self.cluster.kubectl(&words);
    }

    /// The pods of a Deployment made by [`Namespace::web`], those on the first node first.
    pub(crate) fn pods(&self, app: &str) -> Vec<Pod> {
        let selector = format!("app={app}");
        let list = self.cluster.get(&["pods", "--selector", &selector, "--namespace", &self.name]);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut pods: Vec<Pod> = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pod| Pod {
                node: text(&pod["spec"]["nodeName"]),
                name: text(&pod["metadata"]["name"]),
                uid: text(&pod["metadata"]["uid"]),
                ip: text(&pod["status"]["podIP"]),
            })
            .collect();
        pods.sort_by(|one, other| (&one.node, &one.name).cmp(&(&other.node, &other.name)));
        pods
    }

    /// Runs a program in a pod.
    pub(crate) fn exec(&self, pod: &Pod, argv: &[&str]) -> Result<String, String> {
        let mut words = vec!["exec", "--namespace", &self.name, &pod.name, "--"];
        words.extend(argv);
        self.cluster.try_kubectl(&words, "")
    }

    /// What a web server answers to a pod; an error if it does not within 5 seconds.
    pub(crate) fn fetch(&self, from: &Pod, url: &str) -> Result<String, String> {
        // Not `wget -T`, on which Debian's static busybox 1.35 dies.
        let answer = self.exec(from, &["timeout", "5", "wget", "-qO-", url])?;
        Ok(answer.trim().to_owned())
    }
}

impl Drop for Namespace<'_> {
    fn drop(&mut self) {
        let words = ["delete", "namespace", &self.name, "--wait=false"];
        if let Err(error) = self.cluster.try_kubectl(&words, "") {
            println!("namespace {} stays: {error}", self.name);
        }
    }
}

/// A pod, as far as the tests ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pod {
    pub(crate) node: String,
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) ip: String,
}
