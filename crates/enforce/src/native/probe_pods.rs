//! What `sekisho cluster probe` makes in the cluster: a namespace, two pods, two policies.

use serde_json::{Value, json};

/// Label on the namespaces of probes: what an earlier one left is found by it.
pub(crate) const PROBE_LABEL: &str = "sekisho.dev/probe";
/// Name of the pod that answers.
pub(crate) const SERVER: &str = "server";
/// Name of the pod that asks.
pub(crate) const CLIENT: &str = "client";
/// Name of the policy.
pub(crate) const POLICY: &str = "deny";
/// Port that the server answers on.
const PORT: u16 = 8080;
/// Pods end by themselves after so long, should nobody delete them, seconds.
const POD_LIFE_S: u32 = 600;

/// Answers every connection with a few bytes. Not every busybox has `httpd`.
const SERVE: &str = "httpd -f -p 8080 -h /tmp 2>/dev/null || \
                     while :; do echo ok | nc -l -p 8080 >/dev/null 2>&1; done";
/// Tries again and again, and writes the number of the try and how it went.
const ASK: &str = "n=0; while :; do n=$((n+1)); \
                   if printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 \"$0\" 8080 2>/dev/null | grep -q .; \
                   then echo \"$n allowed\"; else echo \"$n denied\"; fi; \
                   sleep 0.3 2>/dev/null || sleep 1; done";

/// The namespace; pods in it keep the strictest profile of Pod Security.
pub(crate) fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {
        "app.kubernetes.io/managed-by": "sekisho",
        PROBE_LABEL: "true",
        "pod-security.kubernetes.io/enforce": "restricted",
    }}})
}

/// The pod that answers.
pub(crate) fn server(image: &str) -> Value {
    pod(SERVER, image, json!(["sh", "-c", SERVE]))
}

/// The pod that asks `address`.
pub(crate) fn client(image: &str, address: &str) -> Value {
    pod(CLIENT, image, json!(["sh", "-c", ASK, address]))
}

fn pod(name: &str, image: &str, command: Value) -> Value {
    // Two nodes if there are: most plugins treat traffic within a node differently.
    let apart = json!({"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{
        "weight": 100,
        "podAffinityTerm": {
            "topologyKey": "kubernetes.io/hostname",
            "labelSelector": {"matchLabels": {PROBE_LABEL: "true"}},
        },
    }]}});
    json!({"apiVersion": "v1", "kind": "Pod",
    "metadata": {"name": name, "labels": {PROBE_LABEL: "true", "role": name}},
    "spec": {
        "affinity": apart,
        "restartPolicy": "Never",
        "activeDeadlineSeconds": POD_LIFE_S,
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": 65_534, "runAsGroup": 65_534,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [{
            "name": name,
            "image": image,
            "imagePullPolicy": "IfNotPresent",
            "command": command,
            "ports": [{"containerPort": PORT}],
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"},
                          "limits": {"memory": "32Mi"}},
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "capabilities": {"drop": ["ALL"]},
            },
        }],
    }})
}

/// A policy that allows the pod `role` nothing in one direction (`Ingress` or `Egress`).
pub(crate) fn deny(role: &str, direction: &str) -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
    "metadata": {"name": POLICY},
    "spec": {"podSelector": {"matchLabels": {"role": role}}, "policyTypes": [direction]}})
}
