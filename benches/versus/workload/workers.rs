//! Two event loops beside one.

use super::{load, saturated};
use crate::aim::Bound::AtLeast;
use crate::contender::{Redis, tieline};
use crate::load::resp;
use crate::measure::Measure;
use crate::plan::Plan;
use crate::table::Table;

const ONE: &str = "tieline, workers=1 connections=2";
const TWO: &str = "tieline, workers=2 connections=2";

pub(crate) fn run(plan: &Plan) -> Vec<Table> {
    let redis = Redis::start();
    redis.set("key", 3);
    let contenders = [(ONE, "resp workers=1 connections=2"), (TWO, "resp workers=2 connections=2")]
        .map(|(name, options)| tieline(name, &[redis.address()], options, redis.pids()));
    let exchange = resp::get("key", 3);
    let one = |depth: usize| {
        let (load, title) = (load(plan, 50, depth), format!("Workers: GET, 50 requesters, {depth} at once by each"));
        let table = Table::compare(title, plan, &contenders, |contender| saturated(contender, &exchange, &load));
        let told = "The host and the load run on the same cores: what was free for a second worker is the column of idle cores in the row with one.";
        table.aim(Measure::Rate, TWO, ONE, AtLeast(1.6)).note(told)
    };
    vec![one(1), one(16)]
}
