//! Checks a scenario as a whole before anything is started: what each manifest alone can't show.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use sekisho_manifest::{
    Container, Host, LabelSelector, Meta, Object, PodSpec, PortRef, RestartPolicy, Service,
    WorkloadKind,
};
use sekisho_model::Labels;

use super::cron::Schedule;
use crate::plan::{HOSTS_MAX, service_index};

/// Annotation of a Host: `internet` puts it into the internet namespace, outside all maps.
const LAB_NETWORK: &str = "sekisho.dev/lab-network";
/// Annotation of a Host: names, separated by commas, that the cluster's DNS answers for it.
pub(crate) const LAB_DNS: &str = "sekisho.dev/lab-dns";

/// A mistake in a scenario.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ScenarioError {
    /// File as the user named it; empty if unknown.
    pub file: String,
    /// Line from 1; 0 = unknown.
    pub line: u32,
    /// Path of the field.
    pub field: String,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.file, self.line, self.field, self.message)
    }
}

/// Whether a Host stands for something on the internet.
pub(crate) fn is_internet(host: &Host) -> bool {
    host.meta.annotations.get(LAB_NETWORK).is_some_and(|value| value == "internet")
}

/// Checks all objects together.
///
/// # Errors
/// All mistakes, in the order of the objects; never an empty list.
pub(crate) fn validate(objects: &[Object]) -> Result<(), Vec<ScenarioError>> {
    let mut check = Check::new(objects);
    for object in objects {
        check.object(object);
    }
    let hosts = objects.iter().filter(|object| matches!(object, Object::Host(_))).count();
    if let (true, Some(last)) = (hosts > HOSTS_MAX, objects.last()) {
        check.wrong(last.meta(), "kind", format!("{hosts} hosts; at most {HOSTS_MAX} fit"));
    }
    if check.errors.is_empty() { Ok(()) } else { Err(check.errors) }
}

struct Check<'a> {
    namespaces: BTreeSet<&'a str>,
    /// Namespace -> labels and spec of everything that is or makes pods.
    templates: BTreeMap<&'a str, Vec<(&'a Labels, &'a PodSpec)>>,
    seen: BTreeMap<(&'a str, &'a str, &'a str), &'a Meta>,
    errors: Vec<ScenarioError>,
}

impl<'a> Check<'a> {
    fn new(objects: &'a [Object]) -> Self {
        let mut check = Self {
            namespaces: ["default", "kube-system"].into(),
            templates: BTreeMap::new(),
            seen: BTreeMap::new(),
            errors: Vec::new(),
        };
        for object in objects {
            let template = match object {
                Object::Namespace(namespace) => {
                    check.namespaces.insert(&namespace.meta.name);
                    continue;
                }
                Object::Pod(pod) => (&pod.meta.labels, &pod.spec),
                Object::Workload(workload) => (&workload.template.labels, &workload.template.spec),
                _ => continue,
            };
            check.templates.entry(&object.meta().namespace).or_default().push(template);
        }
        check
    }

    fn wrong(&mut self, meta: &Meta, field: &str, message: String) {
        self.errors.push(ScenarioError {
            file: meta.position.file.clone(),
            line: meta.position.line,
            field: field.to_owned(),
            message,
        });
    }

    fn object(&mut self, object: &'a Object) {
        let meta = object.meta();
        let key = (object.kind(), meta.namespace.as_str(), meta.name.as_str());
        if let Some(first) = self.seen.insert(key, meta) {
            let message = format!(
                "{} `{}` is there already ({}:{})",
                object.kind(),
                meta.name,
                first.position.file,
                first.position.line
            );
            self.wrong(meta, "metadata.name", message);
        }
        if !meta.namespace.is_empty()
            && !matches!(object, Object::Host(_) | Object::Other(_))
            && !self.namespaces.contains(meta.namespace.as_str())
        {
            let message = format!("no Namespace `{}` in the scenario", meta.namespace);
            self.wrong(meta, "metadata.namespace", message);
        }
        match object {
            Object::Service(service) => self.service(service),
            Object::Pod(pod) => self.spec(meta, "spec", &pod.spec),
            Object::Workload(workload) => {
                self.spec(meta, "spec.template.spec", &workload.template.spec);
                let is_job = matches!(workload.kind, WorkloadKind::Job | WorkloadKind::CronJob);
                if is_job && workload.template.spec.restart_policy == RestartPolicy::Always {
                    let message = "must be OnFailure or Never in a Job".to_owned();
                    self.wrong(meta, "spec.template.spec.restartPolicy", message);
                }
                if workload.kind == WorkloadKind::CronJob
                    && let Err(error) = Schedule::parse(workload.schedule.as_deref().unwrap_or(""))
                {
                    self.wrong(meta, "spec.schedule", error.to_string());
                }
            }
            Object::Host(host) => {
                self.containers(meta, "spec.containers", &host.containers);
                if is_internet(host) && host.addresses.is_empty() {
                    let message = "a host on the internet needs an address".to_owned();
                    self.wrong(meta, "spec.addresses", message);
                }
            }
            Object::Namespace(_)
            | Object::EndpointSlice(_)
            | Object::Node(_)
            | Object::NetworkPolicy(_)
            | Object::TierPolicy(_)
            | Object::Exposure(_)
            | Object::ServiceAccount(_)
            | Object::Cilium(_)
            | Object::Calico(_)
            | Object::Other(_) => {}
        }
    }

    fn service(&mut self, service: &Service) {
        let meta = &service.meta;
        if service.cluster_ips.iter().any(|ip| service_index(*ip).is_none()) {
            let message = "the lab's Services are in 10.96.0.0/16 and fd00:10:96::/112".to_owned();
            self.wrong(meta, "spec.clusterIP", message);
        }
        if service.selector.is_empty() {
            return;
        }
        let selector = LabelSelector::of(service.selector.clone());
        let here = self.templates.get(meta.namespace.as_str());
        let specs: Vec<&PodSpec> = here
            .into_iter()
            .flatten()
            .filter(|(labels, _)| selector.matches(labels))
            .map(|(_, spec)| *spec)
            .collect();
        if specs.is_empty() {
            let wanted: Vec<String> =
                service.selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let message = format!(
                "Service `{}/{}` selects nothing: no pod of namespace `{}` has {}",
                meta.namespace,
                meta.name,
                meta.namespace,
                wanted.join(", ")
            );
            self.wrong(meta, "spec.selector", message);
            return;
        }
        for port in &service.ports {
            if let PortRef::Name(name) = &port.target_port
                && !specs.iter().any(|spec| super::services::target(port, spec).is_some())
            {
                let message = format!("no selected pod names a {} port `{name}`", port.protocol);
                self.wrong(meta, "spec.ports.targetPort", message);
            }
        }
    }

    fn spec(&mut self, meta: &Meta, field: &str, spec: &PodSpec) {
        self.containers(meta, &format!("{field}.containers"), &spec.containers);
        self.containers(meta, &format!("{field}.initContainers"), &spec.init_containers);
    }

    fn containers(&mut self, meta: &Meta, field: &str, containers: &[Container]) {
        for container in containers {
            if container.command.is_empty() {
                let message = format!(
                    "container `{}` has no command; the lab runs host binaries, not images",
                    container.name
                );
                self.wrong(meta, field, message);
            }
            // These name cgroups beside the containers' own.
            if ["pause", "init"].contains(&container.name.as_str()) {
                let message = format!("container name `{}` is the lab's own", container.name);
                self.wrong(meta, field, message);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  containers:
  - {name: web, image: x, command: [sekisho], ports: [{name: http, containerPort: 80}]}
";

    fn errors(text: &str) -> Vec<String> {
        let objects = sekisho_manifest::parse("s.yaml", &format!("{POD}---\n{text}")).unwrap();
        match validate(&objects) {
            Ok(()) => Vec::new(),
            Err(errors) => errors.iter().map(ToString::to_string).collect(),
        }
    }

    fn service(selector: &str, port: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: web}}\nspec:\n  selector: {selector}\n  \
             ports: [{{port: 80, targetPort: {port}}}]\n"
        )
    }

    #[test]
    fn a_service_that_selects_nothing_is_refused_with_file_and_line() {
        assert_eq!(errors(&service("{app: web}", "http")), Vec::<String>::new());
        let found = errors(&service("{app: wbe}", "http"));
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("s.yaml:") && found[0].contains("app=wbe"), "{found:?}");
        assert!(!found[0].starts_with("s.yaml:0"), "{found:?}");
    }

    #[test]
    fn a_service_port_that_no_pod_names_is_refused() {
        assert!(errors(&service("{app: web}", "htpt"))[0].contains("htpt"));
    }

    #[test]
    fn a_second_object_of_that_name_an_unknown_namespace_and_no_command_are_refused() {
        assert!(errors(POD)[0].contains("is there already"));
        let elsewhere =
            POD.replace("{name: web, labels", "{name: web2, namespace: nowhere, labels");
        assert!(errors(&elsewhere)[0].contains("nowhere"));
        let idle = POD
            .replace("{name: web, labels", "{name: web3, labels")
            .replace(", command: [sekisho]", "");
        assert!(errors(&idle)[0].contains("no command"), "{:?}", errors(&idle));
    }
}
