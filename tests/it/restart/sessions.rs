//! Restarts under requesters that have something bound, speak RESP3, or have sent what wants no reply.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tieline::dialect::Dialect;

use crate::common::{Build, Daemon, Memcached, Place, Process, Redis, Requester, encode_command, host, wait_until};

/// One host, `cache`, whose child is replaced by another build each time.
struct Cache {
    place: Arc<Place>,
    daemon: Daemon,
    build: Build,
}

impl Cache {
    fn new(line: &str, drain: &str) -> Self {
        let place = Place::with_settings(&[line], &format!("[defaults]\ndrain = \"{drain}\""));
        place.install(Build::This);
        let daemon = place.start();
        Self { place, daemon, build: Build::This }
    }

    /// Who serves now.
    fn child(&self) -> Process {
        wait_until("the host has a child", || {
            let status = self.place.try_status()?;
            host(&status, "cache")["pid"].as_i64().map(|pid| Process(pid as i32))
        })
    }

    /// Another build serves when this returns; the child of before, which may have something left to do.
    fn replace(&mut self) -> Process {
        let before = self.child();
        self.build = self.build.other();
        self.place.install(self.build);
        self.daemon.restart();
        wait_until("the new child serves", || (self.child() != before).then_some(()));
        before
    }

    fn requester(&self) -> Requester {
        self.daemon.requester("cache", Dialect::Resp)
    }
}

fn redis(options: &str, drain: &str) -> (Redis, Cache) {
    let redis = Redis::start();
    let cache = Cache::new(&format!("cache {} resp {options}", redis.address()), drain);
    (redis, cache)
}

fn send(requester: &mut Requester, line: &str) {
    requester.send_bytes(&encode_command(&line.split(' ').collect::<Vec<_>>()));
}

fn ask(requester: &mut Requester, line: &str) -> String {
    send(requester, line);
    requester.reply()
}

/// What Redis says past the daemon.
fn direct(redis: &Redis, line: &str) -> String {
    ask(&mut redis.requester(), line)
}

/// Whether Redis has heard `CLIENT SETINFO`: one that knows it tells the name, others have complained once more.
fn has_heard_of_library(redis: &Redis, complaints: u64) -> bool {
    direct(redis, "CLIENT LIST").contains(" lib-name=test ") || errors(redis) > complaints
}

fn errors(redis: &Redis) -> u64 {
    let stats = direct(redis, "INFO errorstats");
    let count = stats.lines().find_map(|line| line.strip_prefix("errorstat_ERR:count="));
    count.map_or(0, |count| count.trim().parse().expect("a number"))
}

#[test]
fn who_has_said_hello_and_who_it_is_is_known_to_every_successor() {
    let (redis, mut cache) = redis("connections=2", "10s");
    let mut three = cache.requester();
    assert!(ask(&mut three, "HELLO 3").starts_with("%7\r\n"));
    assert_eq!(ask(&mut three, "CLIENT SETINFO LIB-NAME test"), "+OK\r\n");
    assert_eq!(ask(&mut three, "HSET h f v"), ":1\r\n");
    let mut two = cache.requester();
    for _ in 0..4 {
        let old = cache.replace();
        wait_until("the old child is gone", || (!old.is_alive()).then_some(()));
        assert_eq!(ask(&mut three, "HGETALL h"), "%1\r\n$1\r\nf\r\n$1\r\nv\r\n");
        assert_eq!(ask(&mut two, "HGETALL h"), "*2\r\n$1\r\nf\r\n$1\r\nv\r\n");
    }
    let complaints = errors(&redis);
    assert_eq!(ask(&mut three, "SUBSCRIBE news"), ">3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");
    assert!(has_heard_of_library(&redis, complaints), "its own connection is told as well");
    cache.daemon.stop();
}

#[test]
fn a_session_is_served_on_in_the_old_child_and_its_requester_handed_over_behind_it() {
    let (redis, mut cache) = redis("connections=1", "30s");
    let (mut transaction, mut blocked, mut other) = (cache.requester(), cache.requester(), cache.requester());
    assert_eq!(ask(&mut other, "SET k v"), "+OK\r\n");
    assert_eq!(ask(&mut transaction, "MULTI"), "+OK\r\n");
    assert_eq!(ask(&mut transaction, "INCR n"), "+QUEUED\r\n");
    send(&mut blocked, "BLPOP l 0");
    wait_until("it is blocked", || direct(&redis, "CLIENT LIST").contains(" cmd=blpop ").then_some(()));
    let old = cache.replace();
    assert_eq!(ask(&mut other, "GET k"), "$1\r\nv\r\n", "the new child serves who has nothing bound");
    assert_eq!(ask(&mut other, "LPUSH l x"), ":1\r\n");
    assert_eq!(blocked.reply(), "*2\r\n$1\r\nl\r\n$1\r\nx\r\n", "answered within the drain time");
    assert_eq!(ask(&mut blocked, "GET k"), "$1\r\nv\r\n");
    assert!(old.is_alive(), "a transaction is open there");
    assert_eq!(ask(&mut transaction, "INCR n"), "+QUEUED\r\n");
    assert_eq!(ask(&mut transaction, "EXEC"), "*2\r\n:1\r\n:2\r\n");
    wait_until("the old child has handed over all and gone", || (!old.is_alive()).then_some(()));
    assert_eq!(ask(&mut transaction, "GET n"), "$1\r\n2\r\n");
    assert_eq!(ask(&mut transaction, "MULTI"), "+OK\r\n");
    cache.daemon.stop();
}

#[test]
fn a_session_that_outlasts_the_drain_time_is_closed_and_leaves_nothing_at_the_host() {
    let (redis, mut cache) = redis("connections=1", "1s");
    let mut requesters: Vec<Requester> = (0..4).map(|_| cache.requester()).collect();
    for (requester, line) in requesters.iter_mut().zip(["MULTI", "WATCH k", "SUBSCRIBE news", "BLPOP l 0"]) {
        send(requester, line);
    }
    (0..3).for_each(|at| assert!(!requesters[at].reply().starts_with('-')));
    wait_until("it is blocked", || direct(&redis, "CLIENT LIST").contains(" cmd=blpop ").then_some(()));
    let mut other = cache.requester();
    assert_eq!(ask(&mut other, "PING"), "+PONG\r\n");
    let old = cache.replace();
    for requester in &mut requesters {
        let last = String::from_utf8_lossy(&requester.rest()).into_owned();
        assert!(last.is_empty() || last.starts_with("-CONUNKNOWN "), "{last}");
    }
    wait_until("the old child is gone", || (!old.is_alive()).then_some(()));
    wait_until("so are its connections", || {
        let list = direct(&redis, "CLIENT LIST");
        let left = [" cmd=blpop ", " multi=0 ", " cmd=watch ", " sub=1 "].iter().any(|mark| list.contains(mark));
        (!left).then_some(())
    });
    assert_eq!(ask(&mut other, "LPUSH l x"), ":1\r\n");
    assert_eq!(ask(&mut other, "LLEN l"), ":1\r\n", "nobody waits for it any more");
    cache.daemon.stop();
}

#[test]
fn what_wants_no_reply_is_executed_across_replacements_and_its_requester_reads_its_own_writes() {
    const REPLACEMENTS: u64 = 8;
    let memcached = Memcached::start();
    let mut cache = Cache::new(&format!("cache {} memcache connections=4", memcached.address()), "10s");
    let over = AtomicBool::new(false);
    let socket = cache.daemon.socket("cache");
    let write = |own: u64| {
        let mut requester = Requester::connect(&socket, Dialect::Memcache);
        let mut rounds = 0;
        while !over.load(Ordering::Relaxed) {
            let sets: String = (0..20).map(|n| format!("set k{own}:{n} 0 0 8 noreply\r\n{rounds:08}\r\n")).collect();
            requester.send_bytes(sets.as_bytes());
            let number = rounds % 20;
            let read = requester.ask(&format!("get k{own}:{number}"));
            assert_eq!(read, format!("VALUE k{own}:{number} 0 8\r\n{rounds:08}\r\nEND\r\n"));
            rounds += 1;
        }
        // The last ones it does not ask for.
        requester.send_bytes(format!("set last{own} 0 0 1 noreply\r\nx\r\n").as_bytes());
        rounds
    };
    let rounds: u64 = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..6)
            .map(|own| {
                let write = &write;
                scope.spawn(move || write(own))
            })
            .collect();
        for _ in 0..REPLACEMENTS {
            cache.replace();
        }
        over.store(true, Ordering::Relaxed);
        writers.into_iter().map(|writer| writer.join().expect("it reads its own writes")).sum()
    });
    println!("{rounds} rounds over {REPLACEMENTS} replacements");
    wait_until("every set is executed", || (memcached.stat("cmd_set") == 20 * rounds + 6).then_some(()));
    cache.daemon.stop();
}
