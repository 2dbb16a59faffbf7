//! The story: eight acts, each of which shows something and sees to it that it is true.
//!
//! Enters: a directory. Leaves: what happened, told to the [`Stage`]; or the [`Trouble`] that ended it.

use std::time::{Duration, Instant};

use super::crowd::Crowd;
use super::daemon::Daemon;
use super::figures::{Counts, Figures};
use super::home::Home;
use super::host::Host;
use super::orders::{self, ORDERS};
use super::stage::{Stage, count, time};
use super::trouble::Trouble;

/// How many local programs there are.
const REQUESTERS: u64 = 100;
/// How many connections they share.
const CONNECTIONS: u64 = 4;
/// After so many failed attempts to connect, the host counts as dead.
const RETRIES: u64 = 3;

/// How long all is well.
const GOOD_TIMES: Duration = Duration::from_secs(3);
/// How long the host is away, after the daemon has found out.
const BAD_TIMES: Duration = Duration::from_millis(1500);
/// How long all is well again.
const NEW_TIMES: Duration = Duration::from_secs(2);
/// What was decided before a moment may be heard a little after it.
const A_LITTLE: Duration = Duration::from_millis(50);
/// As long as something may take that takes milliseconds, on a machine that is busy with something else.
const PATIENCE: Duration = Duration::from_secs(5);
/// Slower than this is not "at once".
const AT_ONCE: Duration = Duration::from_millis(50);

/// The options of the host; fewer transactions in flight than requesters, so that some wait in the queue.
const OPTIONS: &str = "deferred connections=4 pipeline=16 retries=3 connect_timeout=1s timeout=5s";

/// Who plays.
struct Cast {
    daemon: Daemon,
    host: Host,
}

/// Tells it all.
pub(super) async fn tell(stage: &mut Stage, home: &Home) -> Result<(), Trouble> {
    stage.heading("tieline demo: many local programs, few connections, and a host that dies. It takes ten seconds.")?;
    let host = a_host(stage).await?;
    let daemon = a_daemon(stage, home, &host).await?;
    let mut cast = Cast { daemon, host };
    let crowd = Crowd::gather(&home.socket("demo"), REQUESTERS as usize).await?;
    good_times(stage, &cast, &crowd).await?;
    the_host_dies(stage, &mut cast, &crowd).await?;
    writes_that_must_not_be_lost(stage, home, &cast).await?;
    the_host_is_back(stage, &mut cast, &crowd).await?;
    the_status(stage, &cast, crowd).await?;
    the_end(stage, home, cast)
}

async fn a_host(stage: &mut Stage) -> Result<Host, Trouble> {
    stage.act("A host")?;
    let host = Host::start(0).await?;
    stage.say(&format!(
        "Process {} listens at 127.0.0.1:{}: a far end of tieline's own. It answers a question with the question. It",
        host.id(),
        host.port()
    ))?;
    stage.say("stands for your remote service.")?;
    Ok(host)
}

async fn a_daemon(stage: &mut Stage, home: &Home, host: &Host) -> Result<Daemon, Trouble> {
    stage.act("A daemon before it")?;
    let line = format!("demo  127.0.0.1:{}  line  {OPTIONS}", host.port());
    home.furnish(&format!("{line}\n"))?;
    stage.command("cat hosts.tab")?;
    stage.say(&line)?;
    stage.command("tieline run")?;
    let mut daemon = Daemon::start(home)?;
    let child = daemon.is_ready().await?.pid.unwrap_or_default();
    stage.say(&format!(
        "Process {} supervises; its child {child} serves this one host. Programs write to its socket:",
        daemon.id()
    ))?;
    stage.say(&home.socket("demo").display().to_string())?;
    stage.command("tieline send demo question one")?;
    let reply = daemon.command(&["send", "demo", "question", "one"]).await?;
    stage.say(&reply)?;
    Trouble::unless(reply == "question one\n", || format!("the answer to `question one` was `{}`", reply.trim_end()))?;
    stage.say(&format!("(Every command here has --config {} behind it.)", home.config().display()))?;
    Ok(daemon)
}

async fn good_times(stage: &mut Stage, cast: &Cast, crowd: &Crowd) -> Result<(), Trouble> {
    stage.act("A hundred requesters")?;
    stage.say(&format!(
        "{REQUESTERS} programs ask at once, each one question after the other, for {} s.",
        GOOD_TIMES.as_secs()
    ))?;
    crowd.ask_for(GOOD_TIMES).await?;
    let figures = crowd.take()?;
    tell_answers(stage, &figures)?;
    let most = cast.host.most_connections();
    stage.figure(&count(most), "connections at most, as the host counted them")?;
    all_is_well(&figures.counts)?;
    few_connections(most)
}

async fn the_host_dies(stage: &mut Stage, cast: &mut Cast, crowd: &Crowd) -> Result<(), Trouble> {
    stage.act("The host dies")?;
    stage.command(&format!("kill -9 {}", cast.host.id()))?;
    crowd.take()?;
    cast.host.kill()?;
    let dead = Instant::now();
    let lost = crowd.wait_until("a con_lost after the host's death", PATIENCE, |figures| figures.first_lost).await?;
    stage.say(&format!(
        "The daemon tries to connect {RETRIES} times, then gives the host up: {} after its death. Until then:",
        time(lost.saturating_duration_since(dead))
    ))?;
    crowd.ask_for(A_LITTLE).await?;
    let first = crowd.take()?.counts;
    stage.figure(&count(first.unknown), "con_unknown: sent, and no reply; it may have been executed")?;
    stage.figure(&count(first.lost), "con_lost: nothing was sent; repeat at will")?;
    stage.say("From now on nobody waits for a dead host:")?;
    crowd.ask_for(BAD_TIMES).await?;
    let later = crowd.take()?;
    let (half, most) = later.failure_times();
    stage.figure(
        &count(later.counts.lost),
        &format!("times con_lost in {:.1} s", later.since.elapsed().as_secs_f64()),
    )?;
    stage.figure(&time(half), &format!("until it is told (99 of 100 within {})", time(most)))?;
    only_what_must_fail(&first, &later, half)
}

async fn writes_that_must_not_be_lost(stage: &mut Stage, home: &Home, cast: &Cast) -> Result<(), Trouble> {
    stage.act("Writes that must not be lost")?;
    stage.say(
        "`deferred` in hosts.tab gives the host a second socket. What is written there while the host is away is",
    )?;
    stage.say("stored on disk first, then answered con_delayed and its number:")?;
    stage.say(&home.deferred_socket("demo").display().to_string())?;
    let answers = orders::write(&home.deferred_socket("demo")).await?;
    for (order, answer) in ORDERS.iter().zip(&answers) {
        stage.figure(answer, &format!("order {order}"))?;
    }
    orders::all_are_stored(&answers)?;
    let depth = orders::waiting(&cast.daemon).await?;
    Trouble::unless(depth == ORDERS.len() as u64, || format!("{depth} orders wait in the spool"))?;
    stage.command("tieline spool list demo")?;
    stage.print(&cast.daemon.command(&["spool", "list", "demo"]).await?)
}

/// The host is a new process: what it knows of the orders, it was told in the replay.
async fn the_orders_arrive(stage: &Stage, cast: &Cast) -> Result<(), Trouble> {
    orders::replayed(&cast.daemon).await?;
    stage.say(&format!(
        "The {} orders were replayed as soon as it was back. The host is asked what it has:",
        ORDERS.len()
    ))?;
    stage.command("tieline send demo orders")?;
    let told = cast.daemon.command(&["send", "demo", "orders"]).await?;
    stage.say(&told)?;
    let expected = format!("orders: {}\n", ORDERS.join(", "));
    Trouble::unless(told == expected, || format!("the host must have each order once and in order, but has {told}"))
}

async fn the_host_is_back(stage: &mut Stage, cast: &mut Cast, crowd: &Crowd) -> Result<(), Trouble> {
    stage.act("The host is back")?;
    cast.host = Host::start(cast.host.port()).await?;
    crowd.take()?;
    stage.say(&format!(
        "Process {} listens where the other did. The daemon would find out by itself, for it tries again and again,",
        cast.host.id()
    ))?;
    stage.say("at most a minute apart. Who cannot wait says so:")?;
    stage.command("tieline probe demo")?;
    let asked = Instant::now();
    stage.say(&cast.daemon.command(&["probe", "demo"]).await?)?;
    let first =
        crowd.wait_until("an answer of the host that is back", PATIENCE, |figures| figures.first_answer).await?;
    let after = first.saturating_duration_since(asked);
    let when = if after.is_zero() { "even before that".to_owned() } else { format!("after {}", time(after)) };
    stage.say(&format!("The first answer came {when}. The same {REQUESTERS} programs, on the same sockets:"))?;
    crowd.ask_for(A_LITTLE).await?;
    crowd.take()?;
    crowd.ask_for(NEW_TIMES).await?;
    let figures = crowd.take()?;
    tell_answers(stage, &figures)?;
    all_is_well(&figures.counts)?;
    few_connections(cast.host.most_connections())?;
    the_orders_arrive(stage, cast).await
}

async fn the_status(stage: &mut Stage, cast: &Cast, crowd: Crowd) -> Result<(), Trouble> {
    stage.act("What the daemon says")?;
    stage.command("tieline status")?;
    stage.print(&cast.daemon.command(&["status"]).await?)?;
    let heard = crowd.leave().await?;
    let host = cast.daemon.host().await?.ok_or_else(|| Trouble::Untrue("the status has no host".to_owned()))?;
    let told = host.outcomes;
    // More answers: the two to `tieline send`, and those that the replay has heard.
    let stored = ORDERS.len() as u64;
    let ours = [heard.answers + 2 + stored, heard.lost, heard.unknown, stored];
    let theirs = [told.replies, told.lost, told.unknown, told.delayed];
    Trouble::unless(ours == theirs, || {
        format!("replies, lost, unknown and delayed: heard {ours:?}, in the status {theirs:?}")
    })?;
    stage.say(&format!(
        "All have left. They heard {} answers, {} con_lost and {} con_unknown: one for each question, and just what",
        count(heard.answers),
        count(heard.lost),
        count(heard.unknown)
    ))?;
    stage.say("the daemon has counted.")
}

fn the_end(stage: &mut Stage, home: &Home, cast: Cast) -> Result<(), Trouble> {
    stage.act("The end")?;
    stage.command(&format!("kill {}", cast.daemon.id()))?;
    let took = cast.daemon.stop()?;
    let left = home.left_in_run_dir();
    Trouble::unless(left.is_empty(), || format!("the daemon has left behind: {}", left.join(", ")))?;
    drop(cast.host);
    home.remove()?;
    stage.say(&format!("The daemon ended in {} and took its sockets with it. Nothing is left behind.", time(took)))?;
    stage.print(
        "\nNext: put a service of yours into hosts.tab, then try `tieline check` and `tieline run`, and in another",
    )?;
    stage.print("terminal `tieline send NAME REQUEST`. README.md has more; `tieline --help` has all commands.")
}

fn tell_answers(stage: &Stage, figures: &Figures) -> Result<(), Trouble> {
    let (answers, seconds) = (figures.counts.answers, figures.since.elapsed().as_secs_f64());
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate")]
    let rate = (answers as f64 / seconds) as u64;
    let (half, most) = figures.answer_times();
    stage.figure(&count(answers), &format!("questions answered, {} per second", count(rate)))?;
    stage.figure(&count(figures.counts.wrong), "wrong answers")?;
    stage.figure(&count(figures.counts.failures()), "failures")?;
    stage.figure(&time(half), &format!("until the answer (99 of 100 within {})", time(most)))
}

fn all_is_well(counts: &Counts) -> Result<(), Trouble> {
    let is_well = counts.answers > 0 && counts.wrong == 0 && counts.failures() == 0;
    Trouble::unless(is_well, || format!("while the host is well, all must be answered and rightly: {counts:?}"))
}

fn few_connections(most: u64) -> Result<(), Trouble> {
    Trouble::unless((1..=CONNECTIONS).contains(&most), || format!("the host saw {most} connections at once"))
}

/// Each requester had one question under way when the host died; from then on all must be lost, and fast.
fn only_what_must_fail(first: &Counts, later: &Figures, half: Duration) -> Result<(), Trouble> {
    let (counts, wrong) = (&later.counts, first.wrong + later.counts.wrong);
    Trouble::unless(wrong == 0, || format!("{wrong} answers were wrong when the host died"))?;
    Trouble::unless(first.unknown <= REQUESTERS, || {
        format!("{} con_unknown for {REQUESTERS} questions", first.unknown)
    })?;
    let is_plain = first.other + counts.other + counts.unknown + counts.answers == 0 && counts.lost > 0;
    Trouble::unless(is_plain, || {
        format!("a dead host must mean con_lost and nothing else: {first:?}, then {counts:?}")
    })?;
    Trouble::unless(half < AT_ONCE, || format!("a con_lost took {}, which is not at once", time(half)))
}
