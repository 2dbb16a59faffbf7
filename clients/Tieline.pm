# tieline for Perl programs: one file, to be copied; Perl 5.14 or newer, its core modules, nothing else.
#
#     use Tieline;
#
#     my $ledger  = Tieline->open('ledger');            # by name: the registry says where, and which dialect
#     my $outcome = $ledger->request('book 12 EUR');
#     if    ($outcome->{kind} eq 'reply') { print $outcome->{body} }     # ok 4711
#     elsif ($outcome->{never_sent})      { ... }       # lost, timeout, busy, refused: the host has seen nothing of it
#     else                                { ... }       # unknown, failed: it may have been executed
#
#     $outcome = $ledger->request_deferred('book 13 EUR');     # reply, or delayed: on disk under $outcome->{id}
#     my $lease = Tieline->register('ledger', 'tcp:10.0.0.7:7000', ttl => 30, dialect => 'line');
#
# What it promises: each request has one outcome, within its deadline. Replies go to their requests. What may have been sent
# is never sent again: it is `unknown`. What was not is sent on the next connection; while the daemon is away it is waited for
# `patience` seconds, then the request is `lost`. A request that overruns its deadline takes its connection along, and makes
# those behind it `unknown`. It dies only where nothing was asked: of a name that leads nowhere, of what is no request.
#
# A registration is kept by a child process, which ends it when the value goes out of scope, or this process ends. Processes
# that are forked meanwhile have no part in it.
#
# Dialects: `line` (a request is a line without its LF), `len32` (a body), `resp` (a list of words in an array; the body of a
# reply is its bytes). A reply that is none of its dialect makes its request `unknown`; so do the streamed forms of RESP3, which
# no Redis sends. Commands of Redis that change their connection (MULTI, SELECT, SUBSCRIBE, ...) are for a library of Redis' own
# at the same socket.
package Tieline;

use strict;
use warnings;

use IO::Select;
use IO::Socket::IP;
use IO::Socket::UNIX;
use List::Util qw(max min);
use POSIX      ();
use Time::HiRes ();

my %NEVER_SENT = map { $_ => 1 } qw(lost timeout busy refused);
my %FAILURE    = (%NEVER_SENT, unknown => 1, failed => 1);
my %BINDING    = map { $_ => 1 } qw(
  MULTI EXEC DISCARD WATCH UNWATCH SELECT AUTH HELLO RESET QUIT SUBSCRIBE PSUBSCRIBE SSUBSCRIBE UNSUBSCRIBE PUNSUBSCRIBE
  SUNSUBSCRIBE MONITOR CLIENT ASKING READONLY READWRITE SYNC PSYNC REPLCONF
);

# Options: dialect, run_dir, deadline (40 s), patience (5 s).
sub open {
    my ($class, $name, %options) = @_;
    my $self = bless {
        name     => _checked($name),
        run_dir  => $options{run_dir}  // _run_dir(),
        deadline => $options{deadline} // 40,
        pending  => [],
    }, $class;
    my $dialect = $self->{dialect} = $options{dialect} // _dialect($self->{run_dir}, $name);
    die "$name speaks $dialect: this file speaks only line, len32, resp\n" if $dialect !~ /\A(?:line|len32|resp)\z/;
    my $patience = $options{patience} // 5;
    $self->{lanes} = [map { Tieline::Lane->new($self, $_, $patience) } 0, 1];
    return $self;
}

# Sends a request and waits for its outcome.
sub request { return _ask($_[0]{lanes}[0], $_[1]) }

# The same for a request that must not be lost: what cannot be delivered now is stored, and `delayed`.
sub request_deferred { return _ask($_[0]{lanes}[1], $_[1]) }

# Sends a request; `receive` gives its outcome.
sub send {
    my ($self, $request) = @_;
    push @{ $self->{pending} }, $self->{lanes}[0]->submit($request);
    return;
}

# The outcome of the first request that was sent and not received; nothing if there is none.
sub receive {
    my ($self) = @_;
    my $asked = shift @{ $self->{pending} } or return;
    return $self->{lanes}[0]->outcome($asked);
}

sub _ask { my ($lane, $request) = @_; return $lane->outcome($lane->submit($request)) }

sub _settle {
    my ($asked, $kind, %more) = @_;
    $asked->{outcome} //= { kind => $kind, body => '', never_sent => $NEVER_SENT{$kind}, %more };
    return;
}

sub _framed {
    my ($dialect, $request) = @_;
    my @words = ref $request ? @$request : $dialect eq 'resp' ? split(' ', $request) : ($request);
    utf8::encode($_) for grep { utf8::is_utf8($_) } @words;
    if ($dialect eq 'resp') {
        die "this is for a library of Redis' own: $words[0]\n" if !@words || $BINDING{ uc $words[0] };
        return join '', '*' . @words . "\r\n", map { '$' . length($_) . "\r\n$_\r\n" } @words;
    }
    my $body = join ' ', @words;
    return pack('N/a*', $body) if $dialect eq 'len32';
    die "a request of the dialect line is one line\n" if $body =~ /\n/;
    return "$body\n";
}

# Settles what was asked by a whole reply.
sub _tell {
    my ($asked, $dialect, $deferred, $frame) = @_;
    my $body = $dialect eq 'line' ? substr($frame, 0, -1) : $dialect eq 'len32' ? substr($frame, 4) : $frame;
    my $resp = $dialect eq 'resp';
    if ($deferred && $body =~ ($resp ? qr/\A\+DELAYED (\d+)\r\n\z/ : qr/\Acon_delayed:(\d+)\z/)) {
        return _settle($asked, 'delayed', id => $1);
    }
    if ($body =~ ($resp ? qr/\A-CON([A-Z]+)(?: ([^\r]*))?\r\n\z/ : qr/\Acon_([a-z]+)()\z/) && $FAILURE{ lc $1 }) {
        return _settle($asked, lc $1, detail => $2);
    }
    return _settle($asked, 'reply', body => $body);
}

# Where a lane is in the reply that comes: the next value of resp; up to where no LF was found; values owed to what is open.
sub _begun { return { at => 0, seen => 0, owed => [1] } }

# How many bytes the reply at the head has; nothing if it is not whole. When more comes it goes on where it was: nothing is read
# twice, however large a reply is and in however many pieces it comes. Dies if it is none.
sub _length {
    my ($dialect, $held, $is) = @_;
    return _resp($held, $is) if $dialect eq 'resp';
    if ($dialect eq 'line') {
        my $end = index $$held, "\n", $is->{seen};
        $is->{seen} = length $$held;
        return $end < 0 ? undef : $end + 1;
    }
    return undef if length $$held < 4;
    my $length = 4 + unpack 'N', $$held;
    return length $$held < $length ? undef : $length;
}

# The line of a value; the group is there if more belongs to it: so many bytes, or values.
my $HEAD = qr/\A(?:
    [-+][^\r\n]* | [:(][-+]?[0-9]+ | ,[-+]?(?:(?i:inf|nan)|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?) | [#][tf] | _ | [\$*]-1
    | [\$!=*~>%|](0|[1-9][0-9]{0,9})
)\r\n\z/x;

sub _resp {
    my ($held, $is) = @_;
    my ($at, $owed, $none) = ($is->{at}, $is->{owed}, 'what came is no reply of resp');
    while (@$owed) {
        my $end = 1 + index $$held, "\n", max($at, $is->{seen});
        if (!$end) {
            ($is->{at}, $is->{seen}) = ($at, length $$held);
            return undef if $at == $is->{seen} || index('+-:(,#_$!=*~>%|', substr $$held, $at, 1) >= 0;
        }
        my $line = substr $$held, $at, $end ? $end - $at : 32;
        $line =~ $HEAD or die $none . ': ' . ($line =~ s/[^ -~].*//sr) . "\n";
        my ($kind, $count) = (substr($line, 0, 1), $1);
        if (defined $count && $kind =~ /[\$!=]/) {
            $end += $count + 2;
            if (length $$held < $end) {
                $is->{at} = $at;
                return undef;
            }
            my $is_whole = substr($$held, $end - 2, 2) eq "\r\n" && ($kind ne '=' || $count >= 4);
            die "$none: a string is not as long as it says\n" if !$is_whole;
        }
        $at = $end;
        if ($kind eq '|') {    # attributes of what comes: so many values more before it
            $owed->[-1] += 2 * $count;
            next;
        }
        $owed->[-1]--;
        if (defined $count && $kind =~ /[*~>%]/) {
            die "$none: a push message, and nothing was subscribed to\n" if $kind eq '>' && @$owed == 1;
            push @$owed, $kind eq '%' ? 2 * $count : $count;
            die "$none: it is nested deeper than 128\n" if @$owed > 1 + 128;
        }
        pop @$owed while @$owed && !$owed->[-1];
    }
    return $at;
}

# The registry: where names lead.

sub _run_dir { return $ENV{TIELINE_RUN_DIR} || '/run/tieline' }

sub _checked {
    my ($name) = @_;
    die "$name is no name\n" if $name !~ /\A[a-z0-9][a-z0-9_.-]{0,62}\z/ || $name =~ /\.deferred\z/;
    return $name;
}

# Says a line to the registry and gives what stands behind `ok`; dies with a hash of kind and text. With $rows there are rows
# behind it, as one array of words each.
sub _say {
    my ($run_dir, $line, $rows) = @_;
    my $away = sub { die { kind => 'away', text => "the registry cannot be asked ($_[0])" } };
    my $socket = IO::Socket::UNIX->new(Peer => "$run_dir/registry.sock", Timeout => 2) or $away->($!);
    local $SIG{PIPE} = 'IGNORE';
    syswrite $socket, "$line\n" or $away->($!);
    my ($held, $until) = ('', _now() + 2);
    my $hear = sub {
        my $end;
        while (($end = index $held, "\n") < 0) {
            IO::Select->new($socket)->can_read(max(0, $until - _now())) or $away->('it is silent');
            sysread $socket, $held, 65536, length $held or $away->('it closed the connection');
        }
        chomp(my $hears = substr $held, 0, $end + 1, '');
        return $hears;
    };
    my ($verdict, $rest) = split / /, $hear->(), 2;
    if ($verdict ne 'ok') {
        my ($kind, $text) = split / /, $rest // '', 2;
        die { kind => $kind, text => "the registry says: $text" };
    }
    return $rest // '' if !$rows;
    my @rows;
    while (length(my $row = $hear->())) { push @rows, [split / /, $row] }
    return @rows;
}

# Where the name is; while the registry is away, where it was, else the socket of that name.
sub _places {
    my ($run_dir, $name, $last) = @_;
    my $found = eval { _say($run_dir, "RESOLVE $name") };
    return split / /, $found if defined $found;
    die "$@->{text}\n" if $@->{kind} eq 'unknown';
    return @$last ? @$last : ("unix:$run_dir/$name.sock");
}

sub _dialect {
    my ($run_dir, $name) = @_;
    my @rows = eval { _say($run_dir, "LIST $name", 1) };
    die "name the dialect of $name: $@->{text}\n" if $@;
    for my $row (grep { $_->[0] eq $name } @rows) {
        for my $word (@$row) { return $1 if $word =~ /\Adialect=(.*)/ }
    }
    die "name the dialect of $name: the registry does not know it\n";
}

sub _now { return Time::HiRes::clock_gettime(Time::HiRes::CLOCK_MONOTONIC()) }

# Registers an instance of a name. Options: ttl (30 s), run_dir; all others are pairs of the row.
sub register {
    my ($class, $name, $address, %pairs) = @_;
    my ($ttl, $run_dir) = (delete $pairs{ttl} // 30, delete $pairs{run_dir} // _run_dir());
    my @words = ('REGISTER', _checked($name), $address, sprintf('ttl=%dms', $ttl * 1000), map { "$_=$pairs{$_}" } sort keys %pairs);
    die "there is a blank in what is to be registered\n" if grep { /\s/ } @words;
    my $lease = eval { _say($run_dir, "@words") } // die "$@->{text}\n";
    pipe my $end, my $held or die "no pipe: $!\n";
    pipe my $gone, my $open or die "no pipe: $!\n";
    my $owner = $$;
    defined(my $child = fork) or die "no child: $!\n";
    if (!$child) {
        eval { _let_go($end); _keep($run_dir, "@words", $ttl, $lease, $end, $owner) };
        POSIX::_exit(0);
    }
    close $end;
    close $open;
    sysread $gone, my $nothing, 1;    # ends when the child has closed what it got from this program
    return bless { held => $held, child => $child, owner => $owner }, 'Tieline::Registration';
}

# Closes what the program has open, but for one handle: its listeners and connections, the pipes to the keepers of other
# registrations. They would be open as long as the keeper lives. Its standard streams lead nowhere.
sub _let_go {
    my ($but) = @_;
    my @open = map { m{(\d+)\z} } glob '/proc/self/fd/*';
    @open = 3 .. 1023 if !@open;
    POSIX::close($_) for grep { $_ > 2 && $_ != fileno $but } @open;
    my $nowhere = POSIX::open('/dev/null', POSIX::O_RDWR()) // return;
    POSIX::dup2($nowhere, $_) for grep { $_ != fileno $but } 0 .. 2;    # a daemon may have closed them before
    POSIX::close($nowhere) if $nowhere > 2;
    return;
}

# Renews until there is a byte in the pipe, or it is closed; or the program is gone: the pipe does not show that while another
# process that it forked lives.
sub _keep {
    my ($run_dir, $command, $ttl, $lease, $end, $owner) = @_;
    delete @SIG{qw(__DIE__ __WARN__)};
    $SIG{$_} = 'IGNORE' for qw(INT TERM HUP);    # the program's affair
    my $pause = $ttl / 3;
    until (IO::Select->new($end)->can_read($pause * (0.8 + rand 0.2)) || getppid != $owner) {
        $pause = $ttl / 3;
        next if eval { _say($run_dir, "RENEW $lease"); 1 };
        my $again = $@->{kind} eq 'unknown' ? eval { _say($run_dir, $command) } : undef;
        if   (defined $again) { $lease = $again }
        else                  { $pause = min(1, $ttl / 10) }    # the registry is away: soon again
    }
    return eval { _say($run_dir, "UNREGISTER $lease") };
}

package Tieline::Registration;

# Ends the lease, and waits until that is done.
sub unregister {
    my ($self) = @_;
    my $held = delete $self->{held} or return;
    return if $$ != $self->{owner};    # a child's copy
    local ($?, $!);
    local $SIG{PIPE} = 'IGNORE';
    syswrite $held, '.';               # its end alone would not show while another child has a copy
    close $held;
    waitpid $self->{child}, 0;
    return;
}

sub DESTROY {
    my ($self) = @_;
    $self->unregister;
    return;
}

# One socket of a host: what is owed on it, in order.
package Tieline::Lane;

use List::Util qw(max min);

my $NOT_DEFERRED = "there is no socket for deferred requests; give the host the option deferred in hosts.tab\n";

sub new {
    my ($class, $client, $deferred, $patience) = @_;
    return bless {
        dialect => $client->{dialect}, name => $client->{name}, run_dir => $client->{run_dir},
        deferred => $deferred, patience => $patience, deadline => $client->{deadline},
        sent => [], waiting => [],    # wholly written; the first of those that wait may be in part
        held => '', is => Tieline::_begun(), places => [], failures => 0, failed_at => 0, not_before => 0, opened => 0,
    }, $class;
}

sub submit {
    my ($self, $request) = @_;
    my $frame = Tieline::_framed($self->{dialect}, $request);
    my $asked = { frame => $frame, written => 0, due => Tieline::_now() + $self->{deadline} };
    push @{ $self->{waiting} }, $asked;
    $self->{not_before} = min($self->{not_before}, $self->{failed_at} + 0.02);    # perhaps it is back
    $self->move(0);
    return $asked;
}

sub outcome {
    my ($self, $asked) = @_;
    until ($asked->{outcome}) {
        $self->move(max(0, $asked->{due} - Tieline::_now()));
        $self->expire($asked) if !$asked->{outcome} && $asked->{due} <= Tieline::_now();
    }
    return $asked->{outcome};
}

# Does what can be done; waits for that, at most so many seconds.
sub move {
    my ($self, $wait) = @_;
    $self->connect($wait) if !$self->{socket} && @{ $self->{waiting} };
    my $socket = $self->{socket} or return;
    my $one = IO::Select->new($socket);
    my ($readable, $writable) = IO::Select->select($one, @{ $self->{waiting} } ? $one : undef, undef, $wait);
    $self->read if @{ $readable // [] };
    $self->write if $self->{socket} && @{ $writable // [] };
    return;
}

sub expire {
    my ($self, $asked) = @_;
    if    ($asked->{written})         { $self->end('the deadline passed before a reply came') }
    elsif ($self->{failing_since})    { Tieline::_settle($asked, 'lost', detail => $self->{reason}) }
    else                              { Tieline::_settle($asked, 'timeout', detail => 'the deadline passed') }
    @{ $self->{waiting} } = grep { $_ != $asked } @{ $self->{waiting} };
    return;
}

sub connect {
    my ($self, $wait) = @_;
    my $now = Tieline::_now();
    if ($now < $self->{not_before}) {
        return $self->lose if $now - $self->{failing_since} >= $self->{patience};
        Time::HiRes::sleep(min($self->{not_before} - $now, $wait));
        return;
    }
    my $done = eval {
        $self->{places} = [Tieline::_places($self->{run_dir}, $self->{name}, $self->{places})];
        $self->{socket} = $self->connected;
        1;
    };
    if (!$done && $@ eq $NOT_DEFERRED) {
        @{ $self->{waiting} } = ();
        die $@;
    }
    return $self->failed($@) if !$done;
    @$self{qw(opened proven)} = ($now, 0);
    return;
}

# A socket to the first place that answers.
sub connected {
    my ($self) = @_;
    my $why = $NOT_DEFERRED;
    for my $place (@{ $self->{places} }) {
        my ($kind, $rest) = split /:/, $place, 2;
        if ($self->{deferred}) {
            my $path = $rest;
            next if $kind ne 'unix' || $rest !~ s/\.sock\z/.deferred.sock/ || -e $path && !-e $rest;
        }
        my $socket
          = $kind eq 'unix'
          ? IO::Socket::UNIX->new(Peer => $rest, Timeout => 2)
          : IO::Socket::IP->new(PeerAddr => $rest, Timeout => 2);
        if ($socket) {
            $socket->blocking(0);
            return $socket;
        }
        $why = "$place: " . ($! || $@) . "\n";
    }
    die $why;
}

sub failed {
    my ($self, $reason) = @_;
    my $now = Tieline::_now();
    chomp($self->{reason} = $reason);
    $self->{failing_since} //= $now;
    $self->{failed_at} = $now;
    $self->{not_before} = $now + min(2, 0.02 * 2**min($self->{failures}++, 16)) * (0.5 + rand 0.5);
    $self->lose if $now - $self->{failing_since} >= $self->{patience};
    return;
}

sub lose {
    my ($self) = @_;
    Tieline::_settle($_, 'lost', detail => "no connection to the daemon could be had ($self->{reason})")
      for splice @{ $self->{waiting} };
    return;
}

sub write {
    my ($self) = @_;
    local $SIG{PIPE} = 'IGNORE';
    while (my $asked = $self->{waiting}[0]) {
        # Without room, or when the daemon has closed: what it said before is still to be read.
        my $count = syswrite $self->{socket}, $asked->{frame}, 65536, $asked->{written};
        return if !$count;
        $asked->{written} += $count;
        push @{ $self->{sent} }, shift @{ $self->{waiting} } if $asked->{written} == length $asked->{frame};
    }
    return;
}

sub read {
    my ($self) = @_;
    my $count = sysread $self->{socket}, $self->{held}, 65536, length $self->{held};
    if (!$count) {
        return if !defined $count && ($!{EAGAIN} || $!{EINTR});
        return $self->end(defined $count ? 'the daemon closed the connection' : "the connection broke ($!)");
    }
    while ($self->{socket} && length $self->{held}) {
        my $length = eval { [Tieline::_length($self->{dialect}, \$self->{held}, $self->{is})] };
        return $self->end($@ =~ s/\n\z//r) if !$length;
        return if !defined $length->[0];
        $self->{is} = Tieline::_begun();
        $self->take(substr $self->{held}, 0, $length->[0], '');
    }
    return;
}

# A whole reply has come.
sub take {
    my ($self, $frame) = @_;
    my $is_early = !@{ $self->{sent} };
    if ($is_early && !(@{ $self->{waiting} } && $self->{waiting}[0]{written})) {
        return $self->end('the daemon sent what nobody had asked for');
    }
    my $asked = shift @{ $self->{ $is_early ? 'waiting' : 'sent' } };
    @$self{qw(proven failures failing_since not_before)} = (1, 0, undef, 0);
    Tieline::_tell($asked, $self->{dialect}, $self->{deferred}, $frame);
    if ($asked->{outcome}{kind} eq 'refused' && !($self->{deferred} && $self->{dialect} eq 'resp')) {
        $self->end('the daemon refused the request before it, and closed', 'lost');
    }
    elsif ($is_early) { $self->end('the daemon replied before it was asked') }
    return;
}

# The connection is over: what was written has no reply; the rest waits for the next one.
sub end {
    my ($self, $reason, $kind) = @_;
    my $socket = delete $self->{socket} or return;
    close $socket;
    ($self->{held}, $self->{is}) = ('', Tieline::_begun());
    my @over = splice @{ $self->{sent} };
    push @over, shift @{ $self->{waiting} } if @{ $self->{waiting} } && $self->{waiting}[0]{written};
    Tieline::_settle($_, $kind // 'unknown', detail => $reason) for @over;
    $self->failed($reason) if !$self->{proven} && Tieline::_now() - $self->{opened} < 1;
    return;
}

1;
