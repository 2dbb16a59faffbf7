//! Rows and changes as text. Pure.
//!
//! ```text
//! --json   row    {"name":…,"address":…,"lease":…,"ttl_ms":…,"left_ms":…,"owner":UID,"pairs":{…}}   null for a host's times
//!          news   {"revision":R,"snapshot":[row…]} | {"revision":R,"put":row}
//!                 | {"revision":R,"gone":{"name":…,"address":…,"lease":…}}
//! people   news   R = NAME ADDRESS … for each row of a snapshot, R + NAME ADDRESS …, R - NAME ADDRESS
//! ```

use serde_json::{Value, json};

use crate::client::{Instance, News};
use crate::config::Address;
use crate::registry::grammar::written;

/// An address as the registry writes it.
pub(super) fn address(address: &Address) -> String {
    written(address)
}

/// Rows as aligned columns.
pub(super) fn table(instances: &[Instance]) -> String {
    let mut rows = vec![["NAME", "ADDRESS", "LEFT", "OWNER", "MORE"].map(str::to_owned)];
    rows.extend(instances.iter().map(|instance| {
        let row = &instance.row;
        let left = instance.left.map_or("-".to_owned(), |left| format!("{} s", left.as_secs()));
        [row.name.clone(), row.address.clone(), left, row.owner.to_string(), more(instance)]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 5] = std::array::from_fn(width);
    let line = |row: &[String; 5]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// Rows as lines of JSON.
pub(super) fn json_rows(instances: &[Instance]) -> String {
    instances.iter().map(|instance| format!("{}\n", row(instance))).collect()
}

/// News for people; a snapshot of nothing is nothing.
pub(super) fn news(news: &News) -> String {
    let of = |sign: &str, revision: &dyn std::fmt::Display, instance: &Instance| {
        let line = format!("{revision} {sign} {} {} {}", instance.row.name, instance.row.address, more(instance));
        line.trim_end().to_owned() + "\n"
    };
    match news {
        News::Snapshot { revision, instances } => {
            instances.iter().map(|instance| of("=", revision, instance)).collect()
        }
        News::Put { revision, instance } => of("+", revision, instance),
        News::Gone { revision, name, address, .. } => format!("{revision} - {name} {address}\n"),
    }
}

/// News as a line of JSON.
pub(super) fn json_news(news: &News) -> String {
    let value = match news {
        News::Snapshot { revision, instances } => {
            json!({"revision": revision, "snapshot": instances.iter().map(row).collect::<Vec<_>>()})
        }
        News::Put { revision, instance } => json!({"revision": revision, "put": row(instance)}),
        News::Gone { revision, name, address, lease } => {
            json!({"revision": revision, "gone": {"name": name, "address": address, "lease": lease}})
        }
    };
    format!("{value}\n")
}

fn row(instance: &Instance) -> Value {
    let row = &instance.row;
    let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    json!({
        "name": row.name, "address": row.address, "lease": row.lease, "owner": row.owner, "pairs": row.pairs,
        "ttl_ms": row.ttl.map(millis), "left_ms": instance.left.map(millis),
    })
}

fn more(instance: &Instance) -> String {
    let pairs = instance.row.pairs.iter().map(|(key, value)| format!("{key}={value}"));
    pairs.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::registry::grammar::rows::read_row;
    use crate::registry::row::{Lease, Revision};

    fn instance(line: &str) -> Instance {
        let (row, left) = read_row(line).unwrap();
        Instance { row, left }
    }

    fn two() -> Vec<Instance> {
        vec![
            instance("cache unix:/run/cache.sock lease=host:cache owner=0 dialect=resp state=up"),
            instance("ledger tcp:h:7 lease=l1 ttl=30s left=29999ms owner=1000"),
        ]
    }

    #[test]
    fn rows_are_aligned_and_have_no_trailing_blanks() {
        insta::assert_snapshot!(table(&two()), @r"
        NAME    ADDRESS               LEFT  OWNER  MORE
        cache   unix:/run/cache.sock  -     0      dialect=resp state=up
        ledger  tcp:h:7               29 s  1000
        ");
    }

    #[test]
    fn news_are_told_to_people_and_to_machines() {
        let revision = Revision(7);
        let put = News::Put { revision, instance: two().remove(1) };
        assert_eq!(news(&put), "7 + ledger tcp:h:7\n");
        let told: Value = serde_json::from_str(&json_news(&put)).unwrap();
        let row = json!({"name": "ledger", "address": "tcp:h:7", "lease": "l1", "owner": 1000, "pairs": {},
            "ttl_ms": 30_000, "left_ms": 29_999});
        assert_eq!(told, json!({"revision": 7, "put": row}));

        let snapshot = News::Snapshot { revision, instances: two() };
        let lines = "7 = cache unix:/run/cache.sock dialect=resp state=up\n7 = ledger tcp:h:7\n";
        assert_eq!(news(&snapshot), lines);
        let told: Value = serde_json::from_str(&json_news(&snapshot)).unwrap();
        assert_eq!((&told["snapshot"][1], &told["snapshot"][0]["ttl_ms"]), (&row, &Value::Null));

        let (name, address, lease) = ("ledger".to_owned(), "tcp:h:7".to_owned(), Lease("l1".to_owned()));
        let gone = News::Gone { revision, name, address, lease };
        assert_eq!(news(&gone), "7 - ledger tcp:h:7\n");
        let told: Value = serde_json::from_str(&json_news(&gone)).unwrap();
        assert_eq!(told["gone"], json!({"name": "ledger", "address": "tcp:h:7", "lease": "l1"}));
    }

    #[test]
    fn a_list_for_machines_has_a_line_per_row() {
        assert_eq!(json_rows(&two()).lines().count(), 2);
        assert_eq!(two()[1].left, Some(Duration::from_millis(29_999)));
    }
}
