//! A registration in Perl is kept by a process of its own. It ends when it must, whatever else the program has forked, and
//! keeps nothing open that is the program's.

use std::time::{Duration, Instant};

use tieline::client::Options;

use super::program::{Program, command, said};
use super::registering::{addresses, registry};
use crate::common::wait_until;

#[test]
fn a_program_with_several_names_ends_and_so_do_they() {
    let (daemon, options) = registry();
    let text = "our %all; $all{$_} = Tieline->register(\"name$_\", \"tcp:127.0.0.1:$_\") for 1 .. 3; print 'end'";
    assert_eq!(said("perl", text, daemon.place()), "end");
    for number in 1..=3 {
        assert_eq!(addresses(&options, &format!("name{number}")), Vec::<String>::new());
    }
    let text = "my @all = map { Tieline->register(\"name$_\", \"tcp:127.0.0.1:$_\") } 1 .. 2; $_->unregister for @all";
    assert_eq!(said("perl", text, daemon.place()), "", "in the order in which they began");
    daemon.stop();
}

/// A registration with a worker that ends with the program's input.
const WORKER: &str = "$| = 1; my $lease = Tieline->register('ledger', 'tcp:127.0.0.1:7', ttl => 3);\n\
                      my $worker = fork; if (!$worker) { <STDIN>; POSIX::_exit(0) }\n";

#[test]
fn a_name_is_gone_at_once_though_a_worker_lives_on() {
    let (daemon, options) = registry();
    let text = format!("{WORKER} $lease->unregister; print \"gone\\n\"; waitpid $worker, 0; print 'over'");
    let mut program = Program::start(command("perl", &text, daemon.place()));
    assert_eq!(program.line(), "gone");
    assert_eq!(addresses(&options, "ledger"), Vec::<String>::new());
    assert_eq!(program.end(), "over");
    daemon.stop();
}

/// Whether the name is there, and not only for a moment.
fn stays(options: &Options) {
    let start = Instant::now();
    wait_until("time passes", || {
        assert_eq!(addresses(options, "ledger"), ["127.0.0.1:7"]);
        (start.elapsed() > Duration::from_millis(500)).then_some(())
    });
}

#[test]
fn a_program_without_standard_streams_keeps_its_name() {
    let (daemon, options) = registry();
    let text = "CORE::open my $input, '<&', \\*STDIN or die; CORE::open my $output, '>&', \\*STDOUT or die;\n\
                close STDIN; close STDOUT; close STDERR; $output->autoflush(1);\n\
                my $lease = Tieline->register('ledger', 'tcp:127.0.0.1:7'); print $output \"registered\\n\"; <$input>;";
    let mut program = Program::start(command("perl", text, daemon.place()));
    assert_eq!(program.line(), "registered");
    stays(&options);
    assert_eq!(program.end(), "");
    daemon.stop();
}

#[test]
fn a_worker_cannot_end_its_programs_registration() {
    let (daemon, options) = registry();
    let text = "$| = 1; my $lease = Tieline->register('ledger', 'tcp:127.0.0.1:7');\n\
                my $worker = fork; if (!$worker) { $lease->unregister; exit } waitpid $worker, 0;\n\
                print \"tried\\n\"; <STDIN>;";
    let mut program = Program::start(command("perl", text, daemon.place()));
    assert_eq!(program.line(), "tried");
    stays(&options);
    assert_eq!(program.end(), "");
    assert_eq!(addresses(&options, "ledger"), Vec::<String>::new());
    daemon.stop();
}

#[test]
fn the_name_of_a_program_that_was_killed_ends_though_its_worker_lives_on() {
    let (daemon, options) = registry();
    let text = format!("{WORKER} print \"registered\\n\"; waitpid $worker, 0;");
    let mut program = Program::start(command("perl", &text, daemon.place()));
    assert_eq!(program.line(), "registered");
    program.kill();
    wait_until("the name is gone", || addresses(&options, "ledger").is_empty().then_some(()));
    daemon.stop();
}

#[test]
fn what_the_program_closes_is_closed() {
    let (daemon, _) = registry();
    let text = "use IO::Socket::INET;\n\
                my $listener = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1:0') or die;\n\
                my $at = '127.0.0.1:' . $listener->sockport;\n\
                my $lease = Tieline->register('ledger', \"tcp:$at\"); close $listener;\n\
                print IO::Socket::INET->new(PeerAddr => $at) ? 'somebody listens' : 'nobody listens';";
    assert_eq!(said("perl", text, daemon.place()), "nobody listens");
    daemon.stop();
}
