//! Rights: who may be a requester of a host. Pure but for [`Rights::check`], which asks the kernel who somebody is.
//!
//! Enters: `allow=` and accepted sockets. Leaves: who is let in, and what is said about those who are not. Promised: root
//! is always let in, as it could do everything else anyway; who cannot be known is not, unless everybody is; refusals
//! cost at most one line of the log a second, and each is counted in one.

use std::time::{Duration, Instant};

use tracing::warn;

use crate::config::Allowed;
use crate::system::peer::{Peer, peer, program};
use crate::system::stream::Stream;

/// The shortest time between two lines about refusals.
const PAUSE: Duration = Duration::from_secs(1);

/// See the head of this file.
#[derive(Debug)]
pub struct Rights {
    allow: Vec<Allowed>,
    refusals: Refusals,
}

/// What is to be said about refusals.
#[derive(Debug, Default, PartialEq, Eq)]
struct Refusals {
    /// When something was said.
    said: Option<Instant>,
    /// How many nothing was said about.
    unsaid: u64,
}

impl Rights {
    /// For a host with this `allow=`; everybody may come if it is empty.
    #[must_use]
    pub fn new(allow: Vec<Allowed>) -> Self {
        Self { allow, refusals: Refusals::default() }
    }

    /// Looks who somebody is; why he is refused, for him. The log is told as well.
    ///
    /// # Errors
    /// When he is not let in.
    pub fn check(&mut self, stream: &Stream, now: Instant) -> Result<(), String> {
        if self.allow.is_empty() {
            return Ok(());
        }
        let known = known(stream);
        let who = match &known {
            Some(peer) if admits(&self.allow, peer) => return Ok(()),
            Some(Peer { pid, uid, .. }) => format!("pid {pid} ({}), uid {uid}", program(*pid)),
            None => "somebody unknown".to_owned(),
        };
        if let Some(others) = self.refusals.count(now) {
            let others = if others == 0 { String::new() } else { format!(", and {others} others before") };
            warn!("refused a requester: {who}{others}; see `allow`");
        }
        let uid = known.map_or_else(String::new, |peer| format!(" (uid {})", peer.uid));
        Err(format!("you{uid} are not allowed to use it"))
    }

    /// When [`Rights::overdue`] is to be called, if refusals are left about which nothing was said.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.refusals.said.filter(|_| self.refusals.unsaid > 0).map(|said| said + PAUSE)
    }

    /// Says what has not been said for long enough.
    pub fn overdue(&mut self, now: Instant) {
        if self.due().is_some_and(|due| due <= now) {
            let count = std::mem::take(&mut self.refusals.unsaid);
            warn!("refused {count} further requesters; see `allow`");
            self.refusals.said = Some(now);
        }
    }
}

impl Refusals {
    /// One more. If it is time to say so, the number of those before about which nothing was said.
    fn count(&mut self, now: Instant) -> Option<u64> {
        if self.said.is_some_and(|said| now.saturating_duration_since(said) < PAUSE) {
            self.unsaid += 1;
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

/// Whether somebody may be a requester who was let in before, by another child.
#[must_use]
pub fn may_come(allow: &[Allowed], stream: &Stream) -> bool {
    allow.is_empty() || known(stream).is_some_and(|peer| admits(allow, &peer))
}

/// Who somebody is; nobody can tell who comes over TCP.
fn known(stream: &Stream) -> Option<Peer> {
    peer(&stream.as_unix()?).ok()
}

fn admits(allow: &[Allowed], peer: &Peer) -> bool {
    let is = |allowed: &Allowed| match allowed {
        Allowed::User(uid) => peer.uid == *uid,
        Allowed::Group(gid) => peer.groups.contains(gid),
    };
    peer.uid == 0 || allow.iter().any(is)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_groups_and_root_are_let_in_and_nobody_else() {
        let allow = [Allowed::User(33), Allowed::Group(34)];
        let may = |uid, groups: &[u32]| admits(&allow, &Peer { pid: 1, uid, groups: groups.to_vec() });
        assert!(may(33, &[1]) && may(1, &[34]) && may(1, &[1, 2, 34]) && may(0, &[0]));
        assert!(!may(34, &[33]) && !may(1, &[1, 2]), "a user is no group");
    }

    #[test]
    fn who_comes_over_tcp_is_nobody_that_could_be_allowed() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let socket = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (unix, _other) = tokio::net::UnixStream::pair().unwrap();
            let (socket, unix) = (Stream::tcp(socket).unwrap(), Stream::unix(unix).unwrap());
            let me = [Allowed::User(nix::unistd::geteuid().as_raw())];
            assert!(may_come(&me, &unix) && !may_come(&me, &socket));
            assert!(may_come(&[], &socket), "everybody may");
            let mut rights = Rights::new(me.to_vec());
            assert_eq!(rights.check(&unix, Instant::now()), Ok(()));
            assert_eq!(rights.check(&socket, Instant::now()), Err("you are not allowed to use it".to_owned()));
        });
    }

    #[test]
    fn a_second_has_one_line_and_no_refusal_is_left_out() {
        let (mut refusals, now) = (Refusals::default(), Instant::now());
        assert_eq!(refusals.count(now), Some(0));
        assert_eq!([refusals.count(now), refusals.count(now + PAUSE / 2)], [None, None]);
        assert_eq!(refusals.count(now + PAUSE), Some(2));
        assert_eq!(refusals.count(now + PAUSE * 3), Some(0));
    }

    #[test]
    fn what_is_left_is_said_a_second_later() {
        let (mut rights, now) = (Rights::new(vec![Allowed::User(1)]), Instant::now());
        assert_eq!(rights.due(), None);
        rights.refusals.count(now);
        assert_eq!(rights.due(), None, "it has been said");
        rights.refusals.count(now);
        assert_eq!(rights.due(), Some(now + PAUSE));
        rights.overdue(now + PAUSE);
        assert_eq!(rights.due(), None);
    }
}
