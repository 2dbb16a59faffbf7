//! Drives the library as `tests/clients/driver.*` drive the clients of other languages.
//!
//! Enters: steps, one per line of standard input. Leaves: one line per outcome. Promised: nothing is done between two steps.
//!
//! ```text
//! client_driver FACE DIALECT said|known        face: blocking, tokio · said: the dialect is named, known: it is found out
//!
//! stdin    ask NAME REQUEST · deferred NAME REQUEST · pipeline NAME REQUEST…      parted by tabs
//! stdout   KIND BODY                                                             parted by a tab; `\`, CR and LF escaped
//! ```

use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead, Write};
use std::time::Duration;

use tieline::client::{AsyncClient, Client, Dialect, Options, Outcome, Request};
use tokio::runtime::{Builder, Runtime};

type Fallible<T> = Result<T, Box<dyn Error>>;

/// One client of either face.
enum Either {
    Blocking(Client),
    Tokio(AsyncClient, Runtime),
}

fn main() -> Fallible<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [face, dialect, said] = words.as_slice() else {
        return Err("usage: client_driver FACE DIALECT said|known".into());
    };
    let dialect = Dialect::from_name(dialect).ok_or("no such dialect")?;
    let mut options = Options::default().patience(Duration::from_millis(300));
    if said == "said" {
        options = options.dialect(dialect);
    }
    let mut clients = HashMap::new();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let step: Vec<&str> = line.split('\t').collect();
        let [verb, name, requests @ ..] = step.as_slice() else { return Err(line.into()) };
        if !clients.contains_key(*name) {
            clients.insert((*name).to_owned(), Either::open(face, name, options.clone())?);
        }
        let Some(client) = clients.get_mut(*name) else { continue };
        match client.step(verb, dialect, requests) {
            Ok(outcomes) => outcomes.iter().try_for_each(tell)?,
            // Nothing was asked.
            Err(error) => say("refused", &error.to_string())?,
        }
    }
    Ok(())
}

impl Either {
    fn open(face: &str, name: &str, options: Options) -> Fallible<Self> {
        if face == "blocking" {
            return Ok(Self::Blocking(options.open(name)?));
        }
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let client = runtime.block_on(options.open_async(name))?;
        Ok(Self::Tokio(client, runtime))
    }

    fn step(&mut self, verb: &str, dialect: Dialect, texts: &[&str]) -> Fallible<Vec<Outcome>> {
        let requests: Vec<Request<'_>> = texts.iter().map(|text| request(dialect, text)).collect();
        match (verb, requests.first().cloned()) {
            ("ask", Some(request)) => self.ask(request).map(|outcome| vec![outcome]),
            ("deferred", Some(request)) => self.deferred(request).map(|outcome| vec![outcome]),
            ("pipeline", _) => self.pipeline(requests),
            _ => Err(format!("no such step: {verb}").into()),
        }
    }

    fn ask(&mut self, request: Request<'_>) -> Fallible<Outcome> {
        Ok(match self {
            Self::Blocking(client) => client.request(request)?,
            Self::Tokio(client, runtime) => runtime.block_on(client.request(request))?,
        })
    }

    fn deferred(&mut self, request: Request<'_>) -> Fallible<Outcome> {
        Ok(match self {
            Self::Blocking(client) => client.request_deferred(request)?,
            Self::Tokio(client, runtime) => runtime.block_on(client.request_deferred(request))?,
        })
    }

    fn pipeline(&mut self, requests: Vec<Request<'_>>) -> Fallible<Vec<Outcome>> {
        for request in requests {
            match self {
                Self::Blocking(client) => client.send(request)?,
                Self::Tokio(client, runtime) => runtime.block_on(client.send(request))?,
            };
        }
        let next = || match self {
            Self::Blocking(client) => client.receive(),
            Self::Tokio(client, runtime) => runtime.block_on(client.receive()),
        };
        Ok(std::iter::from_fn(next).map(|(_, outcome)| outcome).collect())
    }
}

fn request(dialect: Dialect, text: &str) -> Request<'_> {
    if dialect == Dialect::Resp {
        let words: Vec<&str> = text.split(' ').collect();
        return Request::from(words.as_slice());
    }
    text.into()
}

fn tell(outcome: &Outcome) -> Fallible<()> {
    let body = match outcome {
        Outcome::Reply(reply) => reply.text(),
        Outcome::Delayed(id) => id.to_string(),
        Outcome::Failure(_) => String::new(),
    };
    say(outcome.word(), &body)
}

fn say(word: &str, body: &str) -> Fallible<()> {
    let body = body.replace('\\', "\\\\").replace('\r', "\\r").replace('\n', "\\n");
    let mut out = std::io::stdout().lock();
    writeln!(out, "{word}\t{body}")?;
    Ok(out.flush()?)
}
