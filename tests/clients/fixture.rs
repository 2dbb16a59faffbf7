// What the examples in the library's documents talk to: a directory with the sockets of a host `ledger` and of a registry, in
// threads of the example itself. It is included there (rustdoc has no other way), and so knows nothing of the library.
//
// ledger.sock            answers each line with `ok LINE`; `busy` with con_busy
// ledger.deferred.sock   answers each line with con_delayed:1
// registry.sock          knows ledger, and gives everybody the lease `l1`

/// Makes the sockets; gives their directory.
fn daemon(name: &str) -> std::path::PathBuf {
    let dir = std::env::temp_dir().join(format!("tieline-doc-{}-{name}", std::process::id()));
    std::fs::remove_dir_all(&dir).ok();
    std::fs::create_dir_all(&dir).expect("a directory");
    let at = dir.join("ledger.sock").display().to_string();
    let row = format!("ledger unix:{at} lease=host:ledger owner=0 dialect=line state=up");
    serve(&dir.join("ledger.sock"), |line| if line == "busy" { "con_busy\n".into() } else { format!("ok {line}\n") });
    serve(&dir.join("ledger.deferred.sock"), |_| "con_delayed:1\n".into());
    serve(&dir.join("registry.sock"), move |line| match line.split(' ').next() {
        Some("RESOLVE") if line.ends_with(" ledger") => format!("ok unix:{at}\n"),
        Some("RESOLVE") => "error unknown nobody has that name\n".into(),
        Some("LIST") => format!("ok 7\n{row}\n\n"),
        Some("WATCH") => format!("ok 7 snapshot\n{row}\n\n"),
        Some("REGISTER") => "ok l1\n".into(),
        _ => "ok\n".into(),
    });
    dir
}

/// Answers every line that comes to a socket.
fn serve(path: &std::path::Path, answer: impl Fn(&str) -> String + Send + Sync + 'static) {
    use std::io::{BufRead, BufReader, Write};
    let listener = std::os::unix::net::UnixListener::bind(path).expect("a socket");
    let answer = std::sync::Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = std::sync::Arc::clone(&answer);
            std::thread::spawn(move || {
                let lines = BufReader::new(stream.try_clone().expect("a second handle")).lines();
                for line in lines.map_while(Result::ok) {
                    if (&stream).write_all(answer(&line).as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
}
