//! Sound and unsound RESP for the tests.

use proptest::prelude::*;

use super::encode_command;

fn text(text: &'static str) -> BoxedStrategy<Vec<u8>> {
    Just(text.as_bytes().to_vec()).boxed()
}

fn body(kind: char, body: &[u8]) -> Vec<u8> {
    [format!("{kind}{}\r\n", body.len()).as_bytes(), body, b"\r\n"].concat()
}

/// The words of a command; any bytes.
pub(crate) fn words() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let word = prop_oneof![prop::collection::vec(any::<u8>(), 0..20), text("\r\n"), text("*1\r\n"), text("CLIENT")];
    let many = prop::collection::vec(word.clone(), 10..25);
    prop_oneof![8 => prop::collection::vec(word, 1..6), 1 => many]
}

/// A request that is an array.
pub(crate) fn array() -> impl Strategy<Value = Vec<u8>> {
    words().prop_map(|words| {
        let mut array = Vec::new();
        encode_command(&words, &mut array);
        array
    })
}

/// A sound request.
pub(crate) fn request() -> impl Strategy<Value = Vec<u8>> {
    let inline = "[^*\n][^\n]{0,30}\r?\n".prop_map(String::into_bytes);
    prop_oneof![8 => array(), 3 => inline, 1 => text("*0\r\n"), 1 => text("*-1\r\n"), 1 => text("\n")]
}

/// A sound reply: RESP2, RESP3, nested, streamed, with attributes.
pub(crate) fn reply() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        "[+-][^\r\n]{0,30}\r\n".prop_map(String::into_bytes),
        "[:(][+-]?[0-9]{1,20}\r\n".prop_map(String::into_bytes),
        ",(-?inf|nan|[0-9]{1,5}([.][0-9]{1,5})?(e-?[0-9]{1,3})?)\r\n".prop_map(String::into_bytes),
        prop_oneof![text("_\r\n"), text("#t\r\n"), text("#f\r\n"), text("$-1\r\n"), text("*-1\r\n")],
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|content| body('$', &content)),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|content| body('!', &content)),
        prop::collection::vec(any::<u8>(), 4..40).prop_map(|content| body('=', &content)),
        prop::collection::vec(prop::collection::vec(any::<u8>(), 1..10), 0..4).prop_map(|parts| {
            let parts: Vec<_> = parts.iter().map(|part| body(';', part)).collect();
            [b"$?\r\n", parts.concat().as_slice(), b";0\r\n"].concat()
        }),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        let many = prop::collection::vec(inner.clone(), 0..6);
        let pairs = prop::collection::vec((inner.clone(), inner.clone()), 0..4)
            .prop_map(|pairs| pairs.into_iter().map(|(key, value)| [key, value].concat()).collect::<Vec<_>>());
        prop_oneof![
            (prop_oneof![Just('*'), Just('~')], many.clone()).prop_map(|(kind, values)| counted(kind, &values)),
            many.clone().prop_map(|values| counted('*', &[counted('>', &values)])),
            pairs.clone().prop_map(|pairs| counted('%', &pairs)),
            (prop_oneof![Just('*'), Just('~')], many).prop_map(|(kind, values)| streamed(kind, &values)),
            pairs.clone().prop_map(|pairs| streamed('%', &pairs)),
            (pairs, inner).prop_map(|(about, value)| [counted('|', &about), value].concat()),
        ]
    })
}

fn counted(kind: char, values: &[Vec<u8>]) -> Vec<u8> {
    [format!("{kind}{}\r\n", values.len()).into_bytes(), values.concat()].concat()
}

fn streamed(kind: char, values: &[Vec<u8>]) -> Vec<u8> {
    [format!("{kind}?\r\n").into_bytes(), values.concat(), b".\r\n".to_vec()].concat()
}

/// Anything, with much in it that looks like RESP.
pub(crate) fn soup() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: &[&str] = &[
        "*",
        "$",
        "%",
        "|",
        "~",
        ">",
        "=",
        "!",
        ";",
        ".",
        "_",
        "#",
        ",",
        "(",
        ":",
        "+",
        "-",
        "?",
        "0",
        "1",
        "2",
        "9",
        "\r",
        "\n",
        "\r\n",
        "-1\r\n",
        "?\r\n",
        "\"",
        "'",
        "\\x",
        "a",
        " ",
        "*1\r\n",
        "*2\r\n",
        "*?\r\n",
        "%?\r\n",
        "%1\r\n",
        "|1\r\n",
        "|0\r\n",
        "*0\r\n",
        "$0\r\n\r\n",
        "$1\r\na\r\n",
        "$?\r\n",
        ";1\r\na\r\n",
        ";0\r\n",
        ".\r\n",
        "+OK\r\n",
        ":1\r\n",
        "_\r\n",
        "#t\r\n",
        "=5\r\ntxt:a\r\n",
        ">1\r\n",
        "~2\r\n",
        "*99999\r\n",
        "$99999\r\n",
        "*9999999999\r\n",
        "$9999999999\r\n",
        "\0\0\0\x02",
    ];
    let piece = prop_oneof![
        9 => prop::sample::select(PIECES).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}
