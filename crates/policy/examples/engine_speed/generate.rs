//! A cluster as text, of any size, the same for the same numbers.

/// What to make.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Pods in all; each workload has an equal share.
    pub(crate) pods: usize,
    /// Distinct identities: workloads with labels of their own.
    pub(crate) workloads: usize,
    /// NetworkPolicies in all.
    pub(crate) policies: usize,
}

const WORKLOADS_PER_NAMESPACE: usize = 20;
const TEAMS: usize = 12;

/// A linear congruential generator (Knuth, MMIX): the same numbers on every machine.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % bound.max(1)
    }
}

impl Size {
    fn namespaces(self) -> usize {
        self.workloads.div_ceil(WORKLOADS_PER_NAMESPACE)
    }

    /// Namespaces, pods and policies as one text of YAML documents.
    pub(crate) fn yaml(self) -> String {
        let mut text = String::new();
        for namespace in 0..self.namespaces() {
            let team = namespace % TEAMS;
            text += &format!(
                "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: ns{namespace}\n  labels:\n    \
                 team: t{team}\n    env: {}\n---\n",
                if namespace % 3 == 0 { "prod" } else { "dev" },
            );
        }
        for pod in 0..self.pods {
            self.pod(&mut text, pod);
        }
        let mut numbers = Numbers(1);
        for policy in 0..self.policies {
            text.push_str(&self.policy(policy, 0, &mut numbers));
        }
        text
    }

    fn pod(self, text: &mut String, pod: usize) {
        let workload = pod % self.workloads;
        let namespace = workload / WORKLOADS_PER_NAMESPACE;
        let tier = workload % 4;
        let [_, high, middle, low] = u32::try_from(pod).unwrap_or(0).to_be_bytes();
        *text += &format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: app{workload}-{pod}\n  namespace: \
             ns{namespace}\n  labels:\n    app: app{workload}\n    tier: tier{tier}\n    version: v{}\n  \
             ownerReferences:\n  - apiVersion: apps/v1\n    kind: StatefulSet\n    name: \
             app{workload}\n    uid: u{workload}\n    controller: true\nspec:\n  nodeName: node{}\n  \
             containers:\n  - name: main\n    image: registry.example/app{workload}:1\n    ports:\n    \
             - name: http\n      containerPort: {}\n    - name: metrics\n      containerPort: \
             9090\nstatus:\n  phase: Running\n  podIPs:\n  - ip: 10.{high}.{middle}.{low}\n---\n",
            workload % 3,
            pod % 50,
            8000 + workload % 7,
        );
    }

    /// One policy; another `edit` gives it another rule.
    fn policy(self, policy: usize, edit: usize, numbers: &mut Numbers) -> String {
        let mut text = String::new();
        let namespaces = self.namespaces();
        let namespace = policy % namespaces;
        let first = namespace * WORKLOADS_PER_NAMESPACE;
        let count = WORKLOADS_PER_NAMESPACE.min(self.workloads - first);
        let one = |numbers: &mut Numbers| first + numbers.below(count);
        text += &format!(
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: p{policy}\n  \
             namespace: ns{namespace}\nspec:\n"
        );
        let subject = one(numbers);
        let peers = [one(numbers), one(numbers)];
        let team = numbers.below(TEAMS);
        let port = 8000 + numbers.below(7) + edit;
        text += &match policy % 5 {
            0 => "  podSelector: {}\n  policyTypes: [Ingress, Egress]\n".to_owned(),
            1 => format!(
                "  podSelector:\n    matchLabels: {{app: app{subject}}}\n  policyTypes: [Ingress]\n  \
                 ingress:\n  - from:\n    - podSelector: {{matchLabels: {{app: app{}}}}}\n    - \
                 podSelector: {{matchLabels: {{app: app{}}}}}\n    ports:\n    - port: {port}\n",
                peers[0], peers[1],
            ),
            2 => format!(
                "  podSelector:\n    matchExpressions:\n    - {{key: tier, operator: In, values: \
                 [tier1, tier2]}}\n  policyTypes: [Ingress]\n  ingress:\n  - from:\n    - \
                 namespaceSelector: {{matchLabels: {{team: t{team}}}}}\n      podSelector: \
                 {{matchExpressions: [{{key: version, operator: NotIn, values: [v{}]}}]}}\n    ports:\n    \
                 - port: http\n    - port: {port}\n      endPort: {}\n",
                policy % 3,
                port + 20,
            ),
            3 => format!(
                "  podSelector:\n    matchLabels: {{app: app{subject}}}\n  policyTypes: [Egress]\n  \
                 egress:\n  - to:\n    - namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: \
                 ns0}}}}\n    ports:\n    - {{port: 53, protocol: UDP}}\n    - {{port: 53}}\n  - to:\n    \
                 - podSelector: {{matchLabels: {{app: app{}}}}}\n    ports:\n    - port: http\n",
                peers[0],
            ),
            _ => format!(
                "  podSelector:\n    matchLabels: {{app: app{subject}}}\n  policyTypes: [Ingress, \
                 Egress]\n  ingress:\n  - from:\n    - namespaceSelector: {{matchLabels: {{env: \
                 prod}}}}\n    ports:\n    - port: metrics\n  egress:\n  - to:\n    - ipBlock: {{cidr: \
                 10.{}.0.0/16, except: [10.{}.{}.0/24]}}\n    - ipBlock: {{cidr: 198.51.{}.0/24}}\n    \
                 ports:\n    - port: 443\n",
                policy % 4,
                policy % 4,
                policy % 256,
                policy % 256,
            ),
        };
        text.push_str("---\n");
        text
    }

    /// Policy number `policy`, edited.
    pub(crate) fn edited(self, policy: usize) -> String {
        self.policy(policy, 1, &mut Numbers(7))
    }
}
