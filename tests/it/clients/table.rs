//! `tests/clients/expectations.txt`, read.

/// One line of the table.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) verb: String,
    pub(super) name: String,
    pub(super) requests: Vec<String>,
    pub(super) expected: Vec<Expected>,
}

/// What one request must come to.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    pub(super) kind: String,
    pub(super) body: String,
}

/// All steps, in their order.
pub(super) fn steps() -> Vec<Row> {
    let text = include_str!("../../clients/expectations.txt");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let rows: Vec<Row> = lines.map(row).collect();
    assert!(rows.len() > 20, "the table has its steps");
    rows
}

fn row(line: &str) -> Row {
    let mut columns = line.split('|').map(str::trim);
    let mut next = || columns.next().unwrap_or_default();
    let (verb, name, requests, kinds, bodies) = (next(), next(), next(), next(), next());
    let mut bodies = parts(bodies).into_iter();
    let kinds = parts(kinds).into_iter().filter(|kind| !kind.is_empty());
    let expected = kinds.map(|kind| Expected { kind, body: bodies.next().unwrap_or_default() }).collect();
    let requests = parts(requests).iter().map(|request| filled(request)).collect();
    Row { verb: verb.to_owned(), name: name.to_owned(), requests, expected }
}

fn parts(column: &str) -> Vec<String> {
    column.split(';').map(|part| part.trim().to_owned()).collect()
}

/// `@N` becomes N letters.
fn filled(request: &str) -> String {
    let word = |word: &str| match word.strip_prefix('@').and_then(|number| number.parse().ok()) {
        Some(length) => "x".repeat(length),
        None => word.to_owned(),
    };
    request.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

impl Expected {
    /// Whether a body is the expected one. Those of `resp` have many shapes.
    pub(super) fn is_met_by(&self, body: &str, has_shapes: bool) -> bool {
        match self.body.strip_prefix('~') {
            Some(part) => body.contains(part),
            None if self.kind != "reply" && self.body.is_empty() => true,
            None if has_shapes => body.contains(&self.body),
            None => body == self.body,
        }
    }
}
