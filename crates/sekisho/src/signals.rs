//! SIGINT and SIGTERM as a future that any number of tasks may wait for.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Resolves once the program is told to stop.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Starts to listen for signals; needs a tokio runtime.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let (sender, receiver) = watch::channel(false);
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        // Ends with the runtime; nothing needs to wait for it.
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            sender.send_replace(true);
            // A second signal means "now".
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            // The lab's janitor cleans up behind us.
            std::process::exit(130);
        });
        Ok(Self(receiver))
    }

    /// Waits for the first signal.
    pub(crate) fn wait(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut receiver = self.0.clone();
        async move {
            receiver.wait_for(|stop| *stop).await.ok();
        }
    }

    /// Whether a signal came.
    pub(crate) fn is_set(&self) -> bool {
        *self.0.borrow()
    }
}
