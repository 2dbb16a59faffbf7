//! The words of both ends: right ones, wrong ones, and any bytes.

use proptest::prelude::*;

use super::*;

const WORD: &str = "0123456789abcdef";

fn word() -> Word {
    Word::read(WORD.as_bytes()).unwrap()
}

fn line(text: &str) -> Line {
    word().line(text.replace("WORD", WORD).into_bytes())
}

fn tagged(tag: &str, request: &str) -> Line {
    Line::Tagged(Tagged { tag: tag.to_owned(), request: request.as_bytes().to_vec() })
}

#[test]
fn a_greeting_has_a_word_and_a_number_of_seconds() {
    let greet = |text: &str| greeting(text.as_bytes());
    let long = "f".repeat(64);
    let right = greet(&format!("tieline dedupe 1 {long} 432000\n")).unwrap().unwrap();
    assert_eq!(right, Greeting { word: Word(long.clone()), expire: 432_000 });
    for other in
        ["\n", "tieline\n", "tieline  dedupe 1 x 5\n", "tieline dedupes 1\n", "Tieline dedupe 1\n", " tieline dedupe"]
    {
        assert!(greet(other).is_none(), "{other:?} is a request");
    }
    let refused = |text: &str| greet(text).unwrap().unwrap_err().to_string();
    assert!(refused("tieline dedupe\n").contains("version"));
    assert!(refused(&format!("tieline dedupe 2 {WORD} 5\n")).contains("version"));
    for wrong in ["", "0123456789abcde", "0123456789abcdeF", "0123456789abcdeg", &format!("{long}f")] {
        let told = refused(&format!("tieline dedupe 1 {wrong} 5\n"));
        assert!(told.starts_with("refused: ") && told.contains("no word of 16 to 64"), "{wrong}: {told}");
    }
    for wrong in ["", "+5", "-5", "5s", "5\r", "18446744073709551616", "٥"] {
        let told = refused(&format!("tieline dedupe 1 {WORD} {wrong}\n"));
        assert!(told.contains("seconds"), "{wrong:?}: {told}");
    }
    assert!(refused(&format!("tieline dedupe 1 {WORD} 5 \n")).contains("too many"));
}

#[test]
fn a_greeting_is_welcome_where_it_is_remembered_longer_than_it_is_repeated() {
    let greeting = |expire| Greeting { word: word(), expire };
    let day = Duration::from_secs(86_400);
    assert_eq!(greeting(86_399).welcome(day, "far").unwrap(), b"ok tieline dedupe 1 86400\n");
    for expire in [86_400, u64::MAX] {
        let told = greeting(expire).welcome(day, "far").unwrap_err().to_string();
        assert!(told.contains("86400 s") && told.contains(&format!("{expire} s")), "{told}");
        assert!(told.contains("`keep` in [serve.far] must be longer than `expire`"), "{told}");
    }
}

#[test]
fn a_line_with_the_word_has_a_tag_and_any_request() {
    assert_eq!(line("WORD a.1 add 5\n"), tagged("a.1", "add 5\n"));
    assert_eq!(line("WORD 0 \n"), tagged("0", "\n"));
    assert_eq!(line("WORD x  two  blanks \r\n"), tagged("x", " two  blanks \r\n"));
    let longest = "z".repeat(64);
    assert_eq!(line(&format!("WORD {longest} \n")), tagged(&longest, "\n"));
    let bytes = [WORD.as_bytes(), b" t \xff\0\n"].concat();
    assert_eq!(word().line(bytes), Line::Tagged(Tagged { tag: "t".to_owned(), request: b"\xff\0\n".to_vec() }));
}

#[test]
fn any_other_line_is_taken_as_it_is_and_one_without_a_tag_is_malformed() {
    for other in ["\n", "WORD\n", "WORDa x\n", " WORD a x\n", "0123 a x\n", "add 5\n"] {
        let frame = other.replace("WORD", WORD).into_bytes();
        assert_eq!(line(other), Line::Untagged(frame));
    }
    let long = format!("WORD {} x\n", "z".repeat(65));
    for wrong in ["WORD \n", "WORD  x\n", "WORD a\n", "WORD A x\n", "WORD a-b x\n", "WORD ä x\n", long.as_str()] {
        assert_eq!(line(wrong), Line::Malformed, "{wrong:?}");
    }
}

#[test]
fn an_answer_is_one_line_of_bounded_length() {
    let encode = |told: Told| String::from_utf8(told.encode(&word())).unwrap();
    assert_eq!(encode(Told::Reply(b"done\n".to_vec())), "done\n");
    assert_eq!(encode(Told::Again("busy".to_owned())), "0123456789abcdef again busy\n");
    assert_eq!(encode(Told::Doubt("a\nb\r\u{7}c".to_owned())), "0123456789abcdef doubt a b  c\n");
    assert_eq!(encode(Told::Again("ä".repeat(9999))).chars().count(), WORD.len() + " again \n".len() + 400);
}

#[test]
fn a_worker_that_wants_tags_is_always_given_a_word_before_the_request() {
    assert_eq!(with_tag(Some("a.1"), b"add 5\n"), b"a.1 add 5\n");
    assert_eq!(with_tag(None, b"\n"), b"- \n");
}

#[test]
fn requests_are_told_apart_without_their_end() {
    assert_eq!(print(b"add 5\n"), crc32fast::hash(b"add 5"));
    assert_ne!(print(b"add 5\n"), print(b"add 6\n"));
}

/// Bytes that look like lines of a greeted session more often than chance would have them.
fn lines() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(WORD.as_bytes().to_vec()),
        Just(b" ".to_vec()),
        Just(b"tieline dedupe 1 ".to_vec()),
        "[0-9a-z.]{0,70}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>().prop_filter("no LF", |byte| *byte != b'\n'), 0..8),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| [pieces.concat(), b"\n".to_vec()].concat())
}

proptest! {
    #[test]
    fn any_bytes_are_something(bytes in prop::collection::vec(any::<u8>(), 0..200), frame in lines()) {
        for frame in [bytes, frame] {
            drop(greeting(&frame));
            prop_assert!(word().uncounted(&frame) <= frame.len());
            if let Line::Tagged(Tagged { tag, request }) = word().line(frame.clone()) {
                prop_assert_eq!([WORD, " ", &tag, " "].concat().into_bytes(), &frame[..frame.len() - request.len()]);
                prop_assert_eq!(word().uncounted(&frame), frame.len() - request.len());
            }
        }
    }

    #[test]
    fn what_counts_of_a_line_never_grows_less_when_more_of_it_comes(frame in lines()) {
        let counted: Vec<usize> = (0..=frame.len()).map(|end| end - word().uncounted(&frame[..end])).collect();
        prop_assert!(counted.is_sorted(), "{counted:?}");
        prop_assert!(frame.len() - counted[frame.len()] <= PREFIX);
    }
}
