//! What a failure of a list or a watch means for the next try.

use std::error::Error;
use std::time::Duration;

use kube::runtime::watcher;

/// Between two tries of a kind that we may not list or that is not there.
pub(crate) const REFUSED_PAUSE: Duration = Duration::from_secs(30);

/// A failure, understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// `list` or `watch`.
    pub(crate) verb: &'static str,
    /// The status of HTTP, if the API server answered.
    pub(crate) code: Option<u16>,
    /// What it said.
    pub(crate) text: String,
    /// Whether going on from where the watch stood would miss changes or fail for ever: it has to
    /// begin with a list.
    pub(crate) anew: bool,
}

impl Fault {
    /// Reads a failure.
    pub(crate) fn of(error: &watcher::Error) -> Self {
        match error {
            watcher::Error::InitialListFailed(cause) => {
                Self { verb: "list", code: code(cause), text: text(cause), anew: false }
            }
            watcher::Error::WatchStartFailed(cause) => Self {
                verb: "watch",
                code: code(cause),
                text: text(cause),
                // 410 Gone may come as an answer, too, and not only as an event.
                anew: code(cause).is_some_and(|code| (400..500).contains(&code) && code != 429),
            },
            watcher::Error::WatchError(status) => Self {
                verb: "watch",
                code: Some(status.code),
                text: status.message.clone(),
                // The watcher itself begins anew after 410.
                anew: false,
            },
            watcher::Error::WatchFailed(cause) => Self {
                verb: "watch",
                code: code(cause),
                text: text(cause),
                // An event that could not be decoded is lost.
                anew: matches!(cause, kube::Error::SerdeError(_)),
            },
            watcher::Error::NoResourceVersion => {
                Self { verb: "list", code: None, text: error.to_string(), anew: true }
            }
        }
    }

    /// Whether a right is missing.
    pub(crate) fn is_denied(&self) -> bool {
        matches!(self.code, Some(401 | 403))
    }

    /// Whether the resource is not there.
    pub(crate) fn is_absent(&self) -> bool {
        self.code == Some(404)
    }
}

fn code(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _other => None,
    }
}

/// What the error says, causes included, each thing once.
pub(crate) fn text(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return status.message.clone();
    }
    let mut texts: Vec<String> = Vec::new();
    let mut next: Option<&dyn Error> = error.source().or(Some(error));
    while let Some(error) = next {
        let text = error.to_string();
        // Some errors repeat their cause in their own text.
        let repeats = error.source().is_some_and(|cause| text.contains(&cause.to_string()));
        if !repeats && texts.last() != Some(&text) {
            texts.push(text);
        }
        next = error.source();
    }
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(code: u16) -> kube::Error {
        let status = kube::core::Status { code, message: "no".to_owned(), ..Default::default() };
        kube::Error::Api(Box::new(status))
    }

    #[test]
    fn a_watch_that_is_gone_begins_with_a_list_and_one_that_was_cut_goes_on() {
        let gone = Fault::of(&watcher::Error::WatchStartFailed(api(410)));
        assert!(gone.anew && !gone.is_denied());
        assert!(!Fault::of(&watcher::Error::WatchStartFailed(api(500))).anew);
        assert!(!Fault::of(&watcher::Error::WatchStartFailed(api(429))).anew);
        let cut = kube::Error::ReadEvents(std::io::Error::other("cut"));
        assert!(!Fault::of(&watcher::Error::WatchFailed(cut)).anew);
    }

    #[test]
    fn a_missing_right_tells_its_verb() {
        let list = Fault::of(&watcher::Error::InitialListFailed(api(403)));
        assert_eq!((list.is_denied(), list.verb), (true, "list"));
        let watch = Fault::of(&watcher::Error::WatchStartFailed(api(403)));
        assert_eq!((watch.is_denied(), watch.verb, watch.anew), (true, "watch", true));
    }
}
