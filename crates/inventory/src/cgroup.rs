//! Finds the pod's uid in a cgroup path.
//!
//! Known forms: `/<any>/pods/pod<uid>/<container>` (the lab), `/kubepods/burstable/pod<uid>/<id>`
//! (cgroupfs driver) and `/kubepods.slice/kubepods-burstable.slice/
//! kubepods-burstable-pod<uid, dashes as underscores>.slice/cri-containerd-<id>.scope` (systemd
//! driver; Kubernetes v1.34 pkg/kubelet/cm/cgroup_manager_linux.go).

/// The uid of the pod that owns `path`; None if the path is not of that form.
pub(crate) fn pod_uid(path: &str) -> Option<String> {
    path.split('/').find_map(uid_of_component)
}

/// The id of the container that `path` lies in, which is a cgroup of a pod: the folder below the
/// pod's own, without what the systemd driver puts around it (`cri-containerd-<id>.scope`).
pub(crate) fn container_id(path: &str) -> Option<&str> {
    let mut components =
        path.split('/').skip_while(|component| uid_of_component(component).is_none());
    components.next();
    let name = components.next()?;
    let id = match name.strip_suffix(".scope") {
        Some(scope) => scope.rsplit_once('-')?.1,
        None => name,
    };
    (!id.is_empty()).then_some(id)
}

fn uid_of_component(component: &str) -> Option<String> {
    if let Some(slice) = component.strip_suffix(".slice") {
        let (head, uid) = slice.rsplit_once("pod")?;
        let uid = uid.replace('_', "-");
        return (head.starts_with("kubepods-") && is_uid(&uid)).then_some(uid);
    }
    let uid = component.strip_prefix("pod")?;
    is_uid(uid).then(|| uid.to_owned())
}

/// Letters, digits and dashes with at least one digit: `pods`, `podman` and the like are no uids.
fn is_uid(text: &str) -> bool {
    text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
        && text.bytes().any(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "0f6e7a31-5b8c-4f0e-9d2a-1c3b5d7f9a0b";

    #[test]
    fn both_drivers_and_the_lab_are_understood() {
        let systemd = UID.replace('-', "_");
        for path in [
            format!("/sekisho-lab/node-1/pods/pod{UID}/app"),
            format!("/kubepods/burstable/pod{UID}/0123456789abcdef"),
            format!("/kubepods/pod{UID}"),
            format!(
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{systemd}.slice/\
                 cri-containerd-0123.scope"
            ),
            format!("/kubepods.slice/kubepods-pod{systemd}.slice/crio-0123.scope"),
        ] {
            assert_eq!(pod_uid(&path).as_deref(), Some(UID), "{path}");
        }
    }

    #[test]
    fn the_container_is_the_folder_below_the_pod() {
        for (path, id) in [
            (format!("/kubepods/burstable/pod{UID}/0123"), Some("0123")),
            (format!("/kubepods/burstable/pod{UID}/0123/init.scope"), Some("0123")),
            (
                "/kubepods.slice/kubepods-pod1.slice/cri-containerd-0123.scope".to_owned(),
                Some("0123"),
            ),
            ("/kubepods.slice/kubepods-pod1.slice/crio-0123.scope".to_owned(), Some("0123")),
            (format!("/kubepods/pod{UID}"), None),
            (format!("/kubepods/pod{UID}/"), None),
            ("/system.slice/cri-containerd-0123.scope".to_owned(), None),
        ] {
            assert_eq!(container_id(&path), id, "{path}");
        }
    }

    #[test]
    fn other_paths_are_no_pods() {
        for path in ["", "/", "/system.slice/kubelet.service", "/lab/node-1/kubelet", "/a/pods/x"] {
            assert_eq!(pod_uid(path), None, "{path}");
        }
    }
}
