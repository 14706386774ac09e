//! Finds the connection that a new half or denial belongs to.

use std::net::SocketAddr;

use sekisho_model::{Protocol, SocketRole, Timestamp};

use super::connection::{Connection, Denial, End};
use super::resolve::Who;
use super::table::{Number, Table};

/// What looks for its connection: an end or a denial, in one orientation.
#[derive(Clone, Copy)]
struct Seeker {
    protocol: Protocol,
    /// None for a denial.
    role: Option<SocketRole>,
    source: SocketAddr,
    destination: SocketAddr,
    opened: Timestamp,
    seen: Timestamp,
    over: bool,
}

impl Seeker {
    fn of_end(end: &End, source: SocketAddr, destination: SocketAddr) -> Self {
        Self {
            protocol: end.protocol,
            role: Some(end.role),
            source,
            destination,
            opened: end.opened,
            seen: end.seen,
            over: end.last,
        }
    }
}

/// A connection that a seeker belongs to.
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub(super) number: Number,
    /// It guessed its roles wrongly and must be flipped.
    pub(super) flips: bool,
    /// The role that the seeker has in it; None for a denial.
    pub(super) role: Option<SocketRole>,
    distance: u64,
}

impl Table {
    /// The connection whose other end `end` is.
    pub(super) fn other_end(&self, end: &End, who: Who<'_>) -> Option<Found> {
        let (source, destination) = end.tuple();
        let seeker = Seeker::of_end(end, source, destination);
        self.best(seeker, who).or_else(|| {
            // A guess that finds nobody may be the wrong way round.
            let flipped = match end.role {
                SocketRole::Source => SocketRole::Destination,
                SocketRole::Destination => SocketRole::Source,
            };
            let (source, destination) = (destination, source);
            let seeker = Seeker { role: Some(flipped), source, destination, ..seeker };
            end.inferred.then(|| self.best(seeker, who)).flatten()
        })
    }

    /// The connection of a pod to itself whose destination `end` is, if `source` was masqueraded.
    pub(super) fn hairpin_end(&self, end: &End, source: SocketAddr, who: Who<'_>) -> Option<Found> {
        self.best(Seeker::of_end(end, source, end.local), who)
    }

    /// The connection that `denial` is about.
    pub(super) fn denied(
        &self,
        protocol: Protocol,
        denial: &Denial,
        who: Who<'_>,
    ) -> Option<Found> {
        let Denial { source, destination, opened, seen, .. } = *denial;
        let seeker = Seeker { protocol, role: None, source, destination, opened, seen, over: true };
        self.best(seeker, who)
    }

    /// The destination of an earlier exchange, for a UDP source that uses its port again.
    ///
    /// A server's one socket tells a new client on an old port from the old client by nothing, so
    /// its agent goes on with the same half until the port was idle for a while, and reports no
    /// new one. The Service's NAT goes on with the same backend for as long (linux v6.18
    /// nf_conntrack_proto_udp.c). What the half counted beyond the old source belongs to the new
    /// exchange, and was given already.
    pub(super) fn inherited(&mut self, end: &End) -> Option<End> {
        if end.protocol != Protocol::Udp || end.role != SocketRole::Source || end.inferred {
            return None;
        }
        let (source, destination) = end.tuple();
        let (number, _) = self.exact(end.protocol, source, destination).find(|(_, known)| {
            known.source.as_ref().is_some_and(|old| old.last && old.seen <= end.opened)
                && known.destination.as_ref().is_some_and(|theirs| !theirs.last)
        })?;
        let mut former = self.take(number)?;
        let asked = former.source.as_ref().map(|old| old.totals.mirrored()).unwrap_or_default();
        let theirs = former.destination.clone();
        if let Some(theirs) = &mut former.destination {
            theirs.last = true;
        }
        self.put(number, former);
        theirs.map(|theirs| theirs.again(end, asked))
    }

    fn best(&self, seeker: Seeker, who: Who<'_>) -> Option<Found> {
        let Seeker { protocol, source, destination, opened, .. } = seeker;
        let exact = nearest(seeker, self.exact(protocol, source, destination), |_, _| true);
        if exact.is_some() {
            return exact;
        }
        // Not the same destination at both ends: only a Service's NAT explains that. A fitting
        // source alone must not, since the kernel gives one local port to connections to several
        // destinations at once (linux v6.18 net/ipv4/inet_hashtables.c __inet_hash_connect).
        let leads = |asked, reached| who.leads_to(asked, reached, protocol, opened);
        nearest(seeker, self.all_from(protocol, source), |known, flipped| {
            let theirs = match (known.asked(), known.reached()) {
                _ if flipped => known.source_address(),
                (Some(asked), None) => Some(asked),
                (_, reached) => reached,
            };
            theirs.is_some_and(|theirs| match seeker.role {
                Some(SocketRole::Source) => leads(destination, theirs),
                Some(SocketRole::Destination) | None => leads(theirs, destination),
            })
        })
    }
}

/// The candidate that has the place free, fits `also`, and began nearest in time.
fn nearest<'a>(
    seeker: Seeker,
    candidates: impl Iterator<Item = (Number, &'a Connection)>,
    also: impl Fn(&Connection, bool) -> bool,
) -> Option<Found> {
    let mut best: Option<Found> = None;
    for (number, known) in candidates {
        let distance = known.distance(seeker.opened);
        if best.is_some_and(|best| best.distance <= distance)
            || !known.overlaps(seeker.opened, seeker.seen, seeker.over)
        {
            continue;
        }
        let orientations = [false, true].into_iter().take(1 + usize::from(known.is_flippable()));
        let fit = orientations
            .into_iter()
            .find(|&flipped| has_place(seeker, known, flipped) && also(known, flipped));
        if let Some(flips) = fit {
            best = Some(Found { number, flips, role: seeker.role, distance });
        }
    }
    best
}

/// Whether `known`, turned round if `flipped`, has the seeker's source and lacks the seeker.
fn has_place(seeker: Seeker, known: &Connection, flipped: bool) -> bool {
    let (has_source, has_destination) = if flipped {
        (known.destination.is_some(), known.source.is_some())
    } else {
        (known.source.is_some(), known.destination.is_some())
    };
    let free = match seeker.role {
        Some(SocketRole::Source) => !has_source,
        Some(SocketRole::Destination) => !has_destination,
        None => true,
    };
    let same_source = if flipped {
        known.reached().or(known.asked()) == Some(seeker.source)
    } else {
        known.source_address() == Some(seeker.source)
            || (known.hairpin == Some(seeker.source) && seeker.role == Some(SocketRole::Source))
    };
    free && same_source
}
