//! Native enforcement against the real API server: nothing here is answered by us.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use sekisho_enforce::native::{
    Access, ApiServer, Drift, DriftKind, Force, Installation, LiveState, ObjectKey, Plan, Stamp,
    Step, TransactError, desired, drift, plan,
};
use sekisho_manifest::Object;
use sekisho_model::{Completeness, TimeRange};
use sekisho_policy::{Dialect, RuleSet};
use sekisho_system::{command, wait};
use sekisho_verify::{Request, VerifiedPolicy, what_if};

use crate::cluster::Cluster;

/// How long the API server may take to use a new rule of admission.
const ADMISSION_WAIT: Duration = Duration::from_secs(60);

/// A namespace in the cluster under test.
struct Place {
    cluster: Cluster,
    kubeconfig: PathBuf,
    namespace: String,
}

impl Place {
    fn new(name: &str) -> Self {
        let cluster = Cluster::find();
        let kubeconfig = cluster.file("admin.kubeconfig").into();
        let namespace = format!("native-{name}-{}", std::process::id());
        let place = Self { cluster, kubeconfig, namespace };
        place.kubectl(&["create", "namespace", &place.namespace], "");
        place
    }

    fn try_kubectl(&self, args: &[&str], input: &str) -> Result<String, String> {
        self.cluster.try_kubectl(args, input)
    }

    fn kubectl(&self, args: &[&str], input: &str) -> String {
        self.try_kubectl(args, input).unwrap()
    }

    fn api(&self) -> ApiServer {
        self.api_of(Installation::default())
    }

    fn api_of(&self, installation: Installation) -> ApiServer {
        let kubeconfig = Some(self.kubeconfig.clone());
        ApiServer::connect(&Access { kubeconfig, installation, ..Access::default() }).unwrap()
    }

    /// All policies of the namespace, as the API server holds them.
    fn live(&self, api: &ApiServer) -> LiveState {
        let mut live = api.live().unwrap();
        live.objects.retain(|key, _| key.namespace == self.namespace);
        live
    }

    /// Policies named `names`, each letting port `port` in.
    fn verified(&self, names: &[&str], port: u16) -> VerifiedPolicy {
        let one = |name: &&str| {
            format!(
                "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {name}, \
                 namespace: {}, labels: {{team: shop}}}}\nspec: {{podSelector: {{matchLabels: {{app: \
                 {name}}}}}, ingress: [{{ports: [{{port: {port}}}]}}]}}\n",
                self.namespace
            )
        };
        let text = names.iter().map(one).collect::<Vec<_>>().join("---\n");
        verified(&sekisho_manifest::parse("a.yaml", &text).unwrap())
    }

    fn plan(&self, api: &ApiServer, of: &VerifiedPolicy, revision: u64) -> Plan {
        let stamp = Stamp { revision, installation: api.installation().clone() };
        plan(desired(of, &BTreeSet::new(), &stamp), &self.live(api))
    }

    fn names(&self) -> String {
        let path = "jsonpath={.items[*].metadata.name}";
        self.kubectl(&["get", "netpol", "-n", &self.namespace, "-o", path], "")
    }

    fn field(&self, name: &str, path: &str) -> String {
        let path = format!("jsonpath={{{path}}}");
        self.kubectl(&["get", "netpol", name, "-n", &self.namespace, "-o", &path], "")
    }

    fn drift(&self, api: &ApiServer, of: &VerifiedPolicy, foreign: &[Object]) -> Vec<Drift> {
        let wanted = desired(of, &BTreeSet::new(), &Stamp { revision: 1, ..Stamp::default() });
        drift(&wanted, foreign, &self.live(api))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let gone = self.try_kubectl(
            &["delete", "namespace", &self.namespace, "--wait=false", "--ignore-not-found"],
            "",
        );
        if let Err(error) = gone {
            eprintln!("namespace {} stays: {error}", self.namespace);
        }
    }
}

fn verified(objects: &[Object]) -> VerifiedPolicy {
    let proposed = RuleSet::from_objects(objects, Dialect::default());
    let answer = what_if(&Request {
        current: &RuleSet::default(),
        proposed: &proposed,
        cluster: &sekisho_policy::Cluster::default(),
        history: &[],
        window: TimeRange::ALL,
        completeness: &Completeness { ratio: 1.0, produced: 0, dropped: 0, gaps: Vec::new() },
        accepted: &[],
        limits: sekisho_verify::Limits::NONE,
        unchanged_max: sekisho_verify::UNCHANGED_ALL,
    });
    answer.verified.unwrap()
}

fn steps(plan: &Plan) -> Vec<(&str, &str)> {
    plan.steps.iter().map(|one| (one.key.name.as_str(), one.step.as_str())).collect()
}

fn refusals(error: TransactError) -> Vec<String> {
    match error {
        TransactError::Refused(all) => all.iter().map(ToString::to_string).collect(),
        other => panic!("not refused, but: {other}"),
    }
}

#[test]
fn policies_are_made_changed_left_and_pruned_and_only_ours_are() {
    let place = Place::new("life");
    let api = place.api();
    place.kubectl(&["apply", "-f", "-"], &FOREIGN.replace("NAMESPACE", &place.namespace));
    let first = place.verified(&["a", "b"], 80);
    let plan = place.plan(&api, &first, 1);
    assert_eq!(steps(&plan), [("a", "create"), ("b", "create"), ("foreign", "foreign")]);
    assert_eq!(api.transact(&plan, Force::Never).unwrap().len(), 2);
    assert_eq!(place.names(), "a b foreign");
    assert_eq!(place.field("a", ".metadata.annotations.sekisho\\.dev/revision"), "1");
    assert_eq!(
        place.field("a", ".metadata.annotations.sekisho\\.dev/digest"),
        first.record().digest
    );
    assert_eq!(place.field("a", ".metadata.managedFields[*].manager"), "sekisho");
    assert_eq!(place.field("a", ".metadata.labels.team"), "shop");

    assert!(place.plan(&api, &first, 2).is_empty(), "what is as wanted is not written again");
    let second = place.verified(&["b", "c"], 81);
    let plan = place.plan(&api, &second, 2);
    assert_eq!(
        steps(&plan),
        [("b", "update"), ("c", "create"), ("a", "prune"), ("foreign", "foreign")]
    );
    api.transact(&plan, Force::Never).unwrap();
    assert_eq!(place.names(), "b c foreign");
    assert_eq!(place.field("b", ".spec.ingress[0].ports[0].port"), "81");

    let nothing = plan_of_nothing(&place, &api);
    api.transact(&nothing, Force::Never).unwrap();
    assert_eq!(place.names(), "foreign");
}

fn plan_of_nothing(place: &Place, api: &ApiServer) -> Plan {
    plan(Vec::new(), &place.live(api))
}

const FOREIGN: &str = "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: foreign, namespace: NAMESPACE}, spec: {podSelector: {}}}";

#[test]
fn an_object_of_the_same_name_that_others_made_is_a_conflict_and_stays() {
    let place = Place::new("foreign");
    let api = place.api();
    let text = FOREIGN.replace("NAMESPACE", &place.namespace);
    // Even with our label: it is the field manager that counts.
    let text = text.replace(
        "name: foreign,",
        "name: foreign, labels: {app.kubernetes.io/managed-by: sekisho},",
    );
    place.kubectl(&["apply", "-f", "-"], &text);
    let wanted = place.verified(&["a", "foreign"], 80);
    let plan = place.plan(&api, &wanted, 1);
    assert_eq!(steps(&plan), [("a", "create"), ("foreign", "conflict")]);
    for force in [Force::Never, Force::OwnObjects] {
        let said = refusals(api.transact(&plan, force).unwrap_err());
        assert!(said[0].contains("kubectl") && said[0].contains("not ours"), "{said:?}");
    }
    assert_eq!(place.names(), "foreign");
    assert_eq!(
        place.field("foreign", ".metadata.managedFields[*].manager"),
        "kubectl-client-side-apply"
    );
    // The twin: without it the same policies are applied.
    place.kubectl(&["delete", "netpol", "foreign", "-n", &place.namespace], "");
    api.transact(&place.plan(&api, &wanted, 1), Force::Never).unwrap();
    assert_eq!(place.names(), "a foreign");
}

#[test]
fn a_field_that_another_manager_took_refuses_everything_and_names_both() {
    let place = Place::new("conflict");
    let api = place.api();
    let first = place.verified(&["a", "b"], 80);
    api.transact(&place.plan(&api, &first, 1), Force::Never).unwrap();
    let patch = r#"{"spec":{"ingress":[{"ports":[{"port":9999}]}]}}"#;
    let ns = place.namespace.clone();
    place.kubectl(
        &[
            "patch",
            "netpol",
            "b",
            "-n",
            &ns,
            "--type=merge",
            "-p",
            patch,
            "--field-manager=mallory",
        ],
        "",
    );
    let found = place.drift(&api, &first, &[]);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].kind, DriftKind::Edited);
    assert_eq!(found[0].fields, [".spec.ingress[0].ports[0].port"]);
    let by = found[0].by.as_ref().unwrap();
    assert!(by.manager == "mallory" && by.time.is_some(), "{by:?}");

    let second = place.verified(&["a", "b"], 81);
    let said = refusals(api.transact(&place.plan(&api, &second, 2), Force::Never).unwrap_err());
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("mallory") && said[0].contains(".spec.ingress"), "{said:?}");
    assert_eq!(place.field("a", ".spec.ingress[0].ports[0].port"), "80", "nothing was changed");
    assert_eq!(place.field("b", ".spec.ingress[0].ports[0].port"), "9999");

    // A repair that somebody asked for takes our own fields back.
    api.transact(&place.plan(&api, &first, 2), Force::OwnObjects).unwrap();
    assert_eq!(place.field("b", ".spec.ingress[0].ports[0].port"), "80");
    assert!(place.drift(&api, &first, &[]).is_empty());
}

#[test]
fn what_was_deleted_added_or_changed_by_others_is_drift() {
    let place = Place::new("drift");
    let api = place.api();
    let first = place.verified(&["a", "b"], 80);
    api.transact(&place.plan(&api, &first, 1), Force::Never).unwrap();
    assert!(place.drift(&api, &first, &[]).is_empty());
    place.kubectl(&["delete", "netpol", "a", "-n", &place.namespace], "");
    let foreign = FOREIGN.replace("NAMESPACE", &place.namespace);
    place.kubectl(&["apply", "-f", "-"], &foreign);
    let kinds = |found: &[Drift]| {
        found.iter().map(|one| (one.key.name.clone(), one.kind)).collect::<Vec<_>>()
    };
    let found = place.drift(&api, &first, &[]);
    assert_eq!(
        kinds(&found),
        [("a".to_owned(), DriftKind::Deleted), ("foreign".to_owned(), DriftKind::ForeignAdded)]
    );
    // What was there when it was verified is none.
    let known = sekisho_manifest::parse("f.yaml", &foreign).unwrap();
    let found = place.drift(&api, &first, &known);
    assert_eq!(kinds(&found), [("a".to_owned(), DriftKind::Deleted)]);
    place.kubectl(
        &[
            "label",
            "netpol",
            "b",
            "-n",
            &place.namespace,
            "app.kubernetes.io/managed-by=other",
            "--overwrite",
        ],
        "",
    );
    let found = place.drift(&api, &first, &known);
    assert!(kinds(&found).contains(&("b".to_owned(), DriftKind::Taken)), "{found:?}");
    // Ours no more: it is a conflict, and nobody forces it.
    let plan = place.plan(&api, &first, 2);
    assert!(steps(&plan).contains(&("b", "conflict")));
}

#[test]
fn an_object_that_vanishes_between_dry_run_and_apply_undoes_all_of_it() {
    let place = Place::new("vanish");
    let api = place.api();
    let first = place.verified(&["a", "b"], 80);
    api.transact(&place.plan(&api, &first, 1), Force::Never).unwrap();
    let second = place.verified(&["a", "b", "c"], 81);
    let plan = place.plan(&api, &second, 2);
    api.rehearse(&plan, Force::Never).unwrap();
    place.kubectl(&["delete", "netpol", "b", "-n", &place.namespace], "");
    let error = api.carry_out(&plan, Force::Never).unwrap_err();
    let TransactError::Undone { cause, undone } = &error else { panic!("{error}") };
    assert_eq!(*undone, 1, "{error}");
    assert!(cause.what.ends_with("/b") && cause.code == 409, "{error}");
    assert!(cause.advice.contains("run the command again"), "{error}");
    assert_eq!(place.names(), "a", "neither b nor c was made");
    assert_eq!(place.field("a", ".spec.ingress[0].ports[0].port"), "80");
    assert_eq!(place.field("a", ".metadata.annotations.sekisho\\.dev/revision"), "1");
    // The twin: run again, it works.
    api.transact(&place.plan(&api, &second, 2), Force::Never).unwrap();
    assert_eq!(place.names(), "a b c");
}

#[test]
fn an_object_that_others_make_between_dry_run_and_apply_stays_theirs() {
    let place = Place::new("race");
    let api = place.api();
    let wanted = place.verified(&["a", "foreign"], 80);
    let plan = place.plan(&api, &wanted, 1);
    api.rehearse(&plan, Force::Never).unwrap();
    // The same in every field that we set would merge silently.
    let same = format!(
        "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: foreign, namespace: {}}}, spec: {{podSelector: {{matchLabels: {{app: foreign}}}}, policyTypes: [Ingress], ingress: [{{ports: [{{port: 80, protocol: TCP}}]}}]}}}}",
        place.namespace
    );
    place.kubectl(&["apply", "-f", "-"], &same);
    let error = api.carry_out(&plan, Force::Never).unwrap_err();
    assert!(matches!(&error, TransactError::Undone { .. }), "{error}");
    assert!(error.to_string().contains("meanwhile"), "{error}");
    assert_eq!(place.names(), "foreign");
    assert_eq!(
        place.field("foreign", ".metadata.managedFields[*].manager"),
        "kubectl-client-side-apply"
    );
    assert_eq!(place.field("foreign", ".metadata.annotations.sekisho\\.dev/revision"), "");
}

const ADMISSION: &str = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: NAMESPACE}
spec:
  matchConstraints: {resourceRules: [{apiGroups: [networking.k8s.io], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [networkpolicies]}]}
  validations: [{expression: "object.metadata.name != 'b'", message: "no policy may be called b"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: NAMESPACE}
spec: {policyName: NAMESPACE, validationActions: [Deny], matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAMESPACE}}}}
"#;

#[test]
fn admission_that_rejects_one_of_three_leaves_nothing_applied() {
    let place = Place::new("admission");
    let api = place.api();
    let rules = ADMISSION.replace("NAMESPACE", &place.namespace);
    let wanted = place.verified(&["a", "b", "c"], 80);
    let plan = place.plan(&api, &wanted, 1);
    let rehearsed_before = api.rehearse(&plan, Force::Never);
    assert!(rehearsed_before.is_ok(), "the twin: without the rule it would do");
    place.kubectl(&["apply", "-f", "-"], &rules);
    let error = wait::until(ADMISSION_WAIT, || api.rehearse(&plan, Force::Never).err()).unwrap();
    let said = refusals(error);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("no policy may be called b") && said[0].contains("/b"), "{said:?}");
    assert!(said[0].contains("admission rule"), "{said:?}");
    assert_eq!(place.names(), "");
    // The same rule met only for real, as by a webhook that looks at dry runs otherwise.
    let error = api.carry_out(&plan, Force::Never).unwrap_err();
    let TransactError::Undone { undone, .. } = &error else { panic!("{error}") };
    assert_eq!(*undone, 1, "a was made and is taken back: {error}");
    assert_eq!(place.names(), "");
    place.kubectl(&["delete", "-f", "-"], &rules);
}

const READER: &str = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: reader, namespace: NAMESPACE}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: NAMESPACE}
rules: [{apiGroups: [networking.k8s.io], resources: [networkpolicies], verbs: [get, list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: NAMESPACE}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: NAMESPACE}
subjects: [{kind: ServiceAccount, name: reader, namespace: NAMESPACE}]
";

#[test]
fn a_missing_right_is_named_by_verb_and_resource() {
    let place = Place::new("rbac");
    let ns = place.namespace.clone();
    let rights = READER.replace("NAMESPACE", &ns);
    place.kubectl(&["apply", "-f", "-"], &rights);
    let token = place.kubectl(&["create", "token", "reader", "-n", &ns], "");
    let folder = std::env::temp_dir().join(&ns);
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("kubeconfig");
    std::fs::write(&file, place.kubectl(&["config", "view", "--raw", "--flatten", "--minify"], ""))
        .unwrap();
    let name = file.to_str().unwrap();
    let edit = |args: &[&str]| {
        let program = place.cluster.file("bin/kubectl");
        let mut all = vec![program.as_str(), "--kubeconfig", name, "config"];
        all.extend(args);
        command::run(&all, "", Duration::from_secs(20)).unwrap();
    };
    edit(&["set-credentials", "reader", &format!("--token={}", token.trim())]);
    edit(&["set-context", "--current", "--user=reader"]);
    let access = Access { kubeconfig: Some(file), ..Access::default() };
    let api = ApiServer::connect(&access).unwrap();
    let wanted = place.verified(&["a"], 80);
    let said = wait::until(ADMISSION_WAIT, || {
        api.live().ok().map(|_| {
            refusals(api.transact(&place.plan(&api, &wanted, 1), Force::Never).unwrap_err())
        })
    });
    let said = said.unwrap();
    assert!(said[0].contains("(403)"), "{said:?}");
    assert!(
        said[0].contains("grant the verb `patch` on `networkpolicies.networking.k8s.io`"),
        "{said:?}"
    );
    place.kubectl(&["delete", "clusterrole,clusterrolebinding", &ns], "");
    let error = api.live();
    let gone = wait::until(ADMISSION_WAIT, || api.live().err());
    assert!(gone.unwrap().to_string().contains("grant the verb `list`"), "{error:?}");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_namespace_that_is_not_there_is_said_before_anything_is_done() {
    let place = Place::new("absent");
    let api = place.api();
    let text = FOREIGN.replace("NAMESPACE", "no-such-namespace");
    let of = verified(&sekisho_manifest::parse("a.yaml", &text).unwrap());
    let plan = plan(
        desired(&of, &BTreeSet::new(), &Stamp { revision: 1, ..Stamp::default() }),
        &place.live(&api),
    );
    let said = refusals(api.transact(&plan, Force::Never).unwrap_err());
    assert!(said[0].contains("make the namespace first"), "{said:?}");
}

#[test]
fn an_api_server_that_is_not_there_is_said_so() {
    let file = std::env::temp_dir().join(format!("nowhere-{}", std::process::id()));
    let text = "apiVersion: v1\nkind: Config\nclusters: [{name: a, cluster: {server: 'http://127.0.0.1:1'}}]\ncontexts: [{name: a, context: {cluster: a, user: a}}]\nusers: [{name: a, user: {}}]\ncurrent-context: a\n";
    std::fs::write(&file, text).unwrap();
    let api = ApiServer::connect(&Access { kubeconfig: Some(file.clone()), ..Access::default() })
        .unwrap();
    let said = api.live().unwrap_err().to_string();
    assert!(said.contains("no answer") && said.contains("is the API server up"), "{said}");
    std::fs::remove_file(file).unwrap();
}

#[test]
fn what_others_made_and_was_verified_with_ours_is_not_applied() {
    let text = FOREIGN.replace("NAMESPACE", "a");
    let of = verified(&sekisho_manifest::parse("a.yaml", &text).unwrap());
    let key =
        ObjectKey { kind: "NetworkPolicy".into(), namespace: "a".into(), name: "foreign".into() };
    let stamp = Stamp { revision: 1, ..Stamp::default() };
    assert!(desired(&of, &BTreeSet::from([key]), &stamp).is_empty());
    let all = desired(&of, &BTreeSet::new(), &stamp);
    assert_eq!(all.len(), 1);
    let plan = plan(all, &LiveState::default());
    assert_eq!(plan.steps[0].step, Step::Create);
}

#[test]
fn two_installations_prune_their_own_policies_and_not_each_others() {
    let place = Place::new("two");
    let first = place.api();
    let second = place.api_of(Installation::new("team/blue").unwrap());
    for (api, name) in [(&first, "a"), (&second, "b")] {
        let plan = place.plan(api, &place.verified(&[name], 80), 1);
        let made: Vec<&Step> = plan.steps.iter().map(|planned| &planned.step).collect();
        assert!(!made.contains(&&Step::Prune), "{made:?}");
        let _done = api.transact(&plan, Force::Never).unwrap();
    }
    assert_eq!(place.names(), "a b");
    let owner = ".metadata.annotations.sekisho\\.dev/installation";
    assert_eq!(["a", "b"].map(|name| place.field(name, owner)), ["sekisho", "team/blue"]);

    // Not even a policy of the same name, and not even by force.
    let taken = place.plan(&second, &place.verified(&["a"], 81), 2);
    assert_eq!(taken.conflicts().count(), 1);
    let refused = second.transact(&taken, Force::OwnObjects).unwrap_err();
    assert!(matches!(refused, TransactError::Refused(_)), "{refused}");
    assert!(refused.to_string().contains("was made by sekisho and is not ours"), "{refused}");

    // None is wanted any more: each deletes its own.
    for (api, left) in [(&first, "b"), (&second, "")] {
        let _done = api.transact(&place.plan(api, &verified(&[]), 2), Force::Never).unwrap();
        assert_eq!(place.names(), left);
    }
}
