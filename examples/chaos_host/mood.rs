//! The mood: how replies go wrong.
//!
//! Enters: `NAME=P…` from a command, or words of one request. Leaves: the fate of one reply.
//!
//! ```text
//! mood     delay=P:MIN:MAX  MIN..MAX ms late      cut=P   the connection is cut before the reply
//!          hang=P           no reply, and none    cut_mid=P  … in the midst of the reply
//!                           to what follows       split=P    the reply comes in random pieces
//!          transient=P      refused for now (resp alone has words for that)
//! request  after=MS  size=BYTES  cut  cut_mid  hang  split  endless  garbage  twice  transient  reject
//! ```

use std::sync::RwLock;
use std::time::Duration;

/// How the next replies go wrong; the calm mood answers all at once and whole.
#[derive(Default)]
pub(crate) struct Mood(RwLock<Odds>);

#[derive(Default, Clone, Copy)]
struct Odds {
    delay: f64,
    delay_ms: (u64, u64),
    cut: f64,
    cut_mid: f64,
    hang: f64,
    split: f64,
    transient: f64,
}

/// What becomes of one reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Whole,
    Split,
    Cut,
    CutMid,
    Hang,
    Endless,
    Garbage,
    Twice,
    /// Refused for now.
    Transient,
    /// Refused for good.
    Reject,
}

/// One reply as it is going to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) after: Duration,
    pub(crate) size: usize,
    pub(crate) fate: Fate,
}

impl Mood {
    /// Replaces the mood; what `text` does not name goes right.
    pub(crate) fn set(&self, text: &str) -> Result<(), String> {
        let mut odds = Odds::default();
        for word in text.split_whitespace() {
            odds.set(word).ok_or_else(|| format!("no such mood: {word}"))?;
        }
        *self.0.write().map_err(|e| e.to_string())? = odds;
        Ok(())
    }

    /// The plan for a request's reply: its own words first, then the mood.
    pub(crate) fn plan(&self, words: &str) -> Plan {
        let odds = self.0.read().map(|odds| *odds).unwrap_or_default();
        let mut plan = Plan { after: odds.lateness(), size: 0, fate: odds.fate() };
        for word in words.split_ascii_whitespace() {
            plan.apply(word);
        }
        plan
    }
}

impl Odds {
    fn set(&mut self, word: &str) -> Option<()> {
        let (name, value) = word.split_once('=')?;
        if name == "delay" {
            let mut parts = value.split(':');
            self.delay = parts.next()?.parse().ok()?;
            self.delay_ms = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            return Some(());
        }
        *match name {
            "cut" => &mut self.cut,
            "cut_mid" => &mut self.cut_mid,
            "hang" => &mut self.hang,
            "split" => &mut self.split,
            "transient" => &mut self.transient,
            _ => return None,
        } = value.parse().ok()?;
        Some(())
    }

    fn lateness(&self) -> Duration {
        if fastrand::f64() >= self.delay {
            return Duration::ZERO;
        }
        Duration::from_millis(fastrand::u64(self.delay_ms.0..=self.delay_ms.1))
    }

    fn fate(&self) -> Fate {
        let mut dice = fastrand::f64();
        for (odds, fate) in [
            (self.cut, Fate::Cut),
            (self.cut_mid, Fate::CutMid),
            (self.hang, Fate::Hang),
            (self.split, Fate::Split),
            (self.transient, Fate::Transient),
        ] {
            if dice < odds {
                return fate;
            }
            dice -= odds;
        }
        Fate::Whole
    }
}

impl Plan {
    fn apply(&mut self, word: &str) {
        match word.split_once('=') {
            Some(("after", ms)) => self.after = Duration::from_millis(ms.parse().unwrap_or(0)),
            Some(("size", bytes)) => self.size = bytes.parse().unwrap_or(0),
            _ => self.fate = Fate::named(word).unwrap_or(self.fate),
        }
    }
}

impl Fate {
    fn named(word: &str) -> Option<Self> {
        Some(match word {
            "cut" => Self::Cut,
            "cut_mid" => Self::CutMid,
            "hang" => Self::Hang,
            "split" => Self::Split,
            "endless" => Self::Endless,
            "garbage" => Self::Garbage,
            "twice" => Self::Twice,
            "transient" => Self::Transient,
            "reject" => Self::Reject,
            _ => return None,
        })
    }
}
