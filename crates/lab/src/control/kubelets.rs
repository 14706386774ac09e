//! The kubelet processes, seen from the supervisor.

use std::collections::BTreeMap;
use std::io::{self, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::SyncSender;
use std::sync::{Mutex, PoisonError};
use std::thread;

use sekisho_system::process;

use super::supervisor::Event;
use crate::protocol::{FromKubelet, NodeConfig, ToKubelet, receive, send};

/// All kubelets, by name of their node.
#[derive(Debug, Default)]
pub(super) struct Kubelets(BTreeMap<String, Kubelet>);

#[derive(Debug)]
struct Kubelet {
    child: Child,
    orders: Mutex<Option<ChildStdin>>,
}

impl Kubelets {
    /// Starts a kubelet; its reports become events.
    ///
    /// # Errors
    /// If the process can't be started or told its node.
    pub(super) fn start(
        &mut self,
        program: &Path,
        config: &NodeConfig,
        events: SyncSender<Event>,
    ) -> io::Result<()> {
        let mut child = process::prepare(program)
            .args(["__lab", "kubelet"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Ctrl-C is for the supervisor, which ends the kubelets in order.
            .process_group(0)
            .spawn()?;
        let mut orders = child.stdin.take();
        if let Some(orders) = &mut orders {
            send(orders, config)?;
        }
        if let Some(output) = child.stdout.take() {
            let node = config.name.clone();
            thread::spawn(move || {
                let mut output = BufReader::new(output);
                while let Ok(Some(message)) = receive::<FromKubelet>(&mut output) {
                    let event = Event::Kubelet { node: node.clone(), message };
                    if events.send(event).is_err() {
                        return;
                    }
                }
                events.send(Event::KubeletGone { node }).ok();
            });
        }
        if let Some(mut former) =
            self.0.insert(config.name.clone(), Kubelet { child, orders: Mutex::new(orders) })
        {
            // Its output has ended, so it has ended or is about to.
            former.child.kill().ok();
            former.child.wait().ok();
        }
        Ok(())
    }

    /// Gives an order; one for a kubelet that is gone is lost, and its restart tells.
    pub(super) fn send(&self, node: &str, order: ToKubelet) {
        if let Some(kubelet) = self.0.get(node)
            && let Some(orders) =
                kubelet.orders.lock().unwrap_or_else(PoisonError::into_inner).as_mut()
        {
            send(orders, &order).ok();
        }
    }

    /// Names, sorted.
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }

    /// Kills all kubelets and waits for them, so that none stays a zombie.
    pub(super) fn end(&mut self) {
        for kubelet in self.0.values_mut() {
            kubelet.child.kill().ok();
            kubelet.child.wait().ok();
        }
        self.0.clear();
    }
}
