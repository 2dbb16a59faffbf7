//! Replies of `resp` that are none, and one that is large, in Python and Perl.

use tieline::client::{Offer, Registry};

use super::instance::Instance;
use super::program::said;
use super::registering::registry;

/// What is no reply.
const NONE: [&str; 20] = [
    "hello\r\n",
    "no line",
    "\r\n",
    "\n",
    ":abc\r\n",
    ":\r\n",
    ",abc\r\n",
    "#x\r\n",
    "_x\r\n",
    "$x\r\n",
    "$01\r\na\r\n",
    "$-7\r\n",
    "*-7\r\n",
    "$3\r\nabcXX",
    "=3\r\ntxt\r\n",
    "+a\rb\r\n",
    "+a\n",
    "$?\r\n;1\r\na\r\n;0\r\n",
    "*2\r\n:1\r\n.\r\n",
    ">1\r\n+x\r\n",
];

const SOUND: [&str; 18] = [
    "+OK\r\n",
    "-ERR no\r\n",
    ":-7\r\n",
    ",-1.5e+3\r\n",
    ",inf\r\n",
    "(123456789012345678901234567890\r\n",
    "#t\r\n",
    "_\r\n",
    "$-1\r\n",
    "*-1\r\n",
    "$0\r\n\r\n",
    "$4\r\n\r\n\r\n\r\n",
    "!3\r\nODD\r\n",
    "=5\r\ntxt:a\r\n",
    "*3\r\n*1\r\n:1\r\n*0\r\n$1\r\na\r\n",
    "%1\r\n+k\r\n~1\r\n+v\r\n",
    "|1\r\n|1\r\n+a\r\n+b\r\n+c\r\n+d\r\n:5\r\n",
    "*1\r\n>1\r\n+x\r\n",
];

/// What comes back, and whether it is a reply.
fn cases() -> Vec<(Vec<u8>, bool)> {
    let told = |text: &&str, is_sound| (text.as_bytes().to_vec(), is_sound);
    let mut cases: Vec<_> = NONE.iter().map(|text| told(text, false)).collect();
    cases.extend(SOUND.iter().map(|text| told(text, true)));
    let nested = |depth| [b"*1\r\n".repeat(depth), b":1\r\n".to_vec()].concat();
    cases.push((nested(3000), false));
    cases.push((nested(128), true));
    cases.push(([b"|1\r\n".repeat(3000), b":1\r\n".repeat(6001)].concat(), true));
    cases
}

/// Answers `ECHO N` with the case of that number.
fn odd(request: &[u8]) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(request);
    let number: usize = text.trim_end().rsplit("\r\n").next()?.parse().expect("a number");
    Some(cases().swap_remove(number).0)
}

/// A program that asks for all cases prints the kind of each outcome, and its detail or the size of its body.
fn tells_replies_from_what_is_none(language: &str, text: &str) {
    let (daemon, options) = registry();
    let instance = Instance::tcp(odd);
    let offer = Offer::new("odd", &instance.address).pair("dialect", "resp");
    let _registration = Registry::open(&options).expect("a run directory").register(&offer).expect("it is registered");
    let cases = cases();
    let said = said(language, &text.replace("COUNT", &cases.len().to_string()), daemon.place());
    assert_eq!(said.lines().count(), cases.len(), "{said}");
    for ((reply, is_sound), said) in cases.iter().zip(said.lines()) {
        let length = reply.len();
        let reply = String::from_utf8_lossy(&reply[..reply.len().min(40)]).into_owned();
        if *is_sound {
            assert_eq!(said, format!("reply {length}"), "{reply:?}");
        } else {
            assert!(said.starts_with("unknown what came is no reply of resp"), "{reply:?}: {said}");
        }
    }
    daemon.stop();
}

#[test]
fn python_tells_replies_from_what_is_none() {
    tells_replies_from_what_is_none(
        "python3",
        "for number in range(COUNT):\n    \
             outcome = tieline.Client('odd', deadline=20).request(['ECHO', number])\n    \
             outcome.kind == 'reply' and outcome.value\n    \
             print(outcome.kind, outcome.detail or len(outcome.body))\n",
    );
}

#[test]
fn perl_tells_replies_from_what_is_none() {
    tells_replies_from_what_is_none(
        "perl",
        "for my $number (0 .. COUNT - 1) {\n\
             my $outcome = Tieline->open('odd', deadline => 20)->request(['ECHO', $number]);\n\
             print \"$outcome->{kind} \", $outcome->{detail} // length $outcome->{body}, \"\\n\";\n\
         }",
    );
}

#[test]
fn python_has_the_values_of_replies() {
    let (daemon, _) = registry();
    let text = "value = lambda body: tieline.Outcome('reply', body, None, '').value\n\
                print(value(b'*3\\r\\n*1\\r\\n:-1\\r\\n$-1\\r\\n$4\\r\\n\\r\\n\\r\\n\\r\\n'))\n\
                print(value(b'%1\\r\\n+k\\r\\n~2\\r\\n#t\\r\\n,-1.5e+1\\r\\n'))\n\
                print(value(b'*2\\r\\n|1\\r\\n|1\\r\\n+a\\r\\n+b\\r\\n+c\\r\\n+d\\r\\n:5\\r\\n=5\\r\\ntxt:e\\r\\n'))\n\
                print(repr(value(b'!3\\r\\nODD\\r\\n')))\n";
    let expected = "[[-1], None, b'\\r\\n\\r\\n']\n\
                    [(b'k', [True, -15.0])]\n\
                    [5, b'e']\n\
                    ReplyError('ODD')\n";
    assert_eq!(said("python3", text, daemon.place()), expected);
    daemon.stop();
}

const STRINGS: usize = 400_000;

fn large() -> Vec<u8> {
    [format!("*{STRINGS}\r\n").into_bytes(), b"$4\r\nabcd\r\n".repeat(STRINGS)].concat()
}

/// A program that asks for a large reply prints its kind, its size, and the seconds of a processor that it took.
fn reads_a_large_reply_once(language: &str, text: &str) {
    let (daemon, options) = registry();
    let instance = Instance::tcp(|_| Some(large()));
    let offer = Offer::new("large", &instance.address).pair("dialect", "resp");
    let _registration = Registry::open(&options).expect("a run directory").register(&offer).expect("it is registered");
    let said = said(language, text, daemon.place());
    let words: Vec<&str> = said.split_whitespace().collect();
    assert_eq!(words[..2], ["reply", &large().len().to_string()]);
    let seconds: f64 = words[2].parse().expect("seconds");
    // It takes less than one; it took twenty when each piece was read from the first byte on.
    assert!(seconds < 8.0, "it took {seconds} s of a processor");
    daemon.stop();
}

#[test]
fn python_reads_a_large_reply_once() {
    reads_a_large_reply_once(
        "python3",
        "import time\n\
         outcome = tieline.Client('large').request('LRANGE l 0 -1')\n\
         print(outcome.kind, len(outcome.body), time.process_time())\n",
    );
}

#[test]
fn perl_reads_a_large_reply_once() {
    reads_a_large_reply_once(
        "perl",
        "my $outcome = Tieline->open('large')->request('LRANGE l 0 -1');\n\
         print join ' ', $outcome->{kind}, length $outcome->{body}, (times)[0];",
    );
}
