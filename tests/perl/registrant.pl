# A program that registers names, and renews their leases as long as it lives.
#
# registrant.pl SOCKET FIRST COUNT TTL_MS   registers nFIRST … and says "registered" when all of them are
use strict;
use warnings;
use IO::Socket::UNIX;
use Time::HiRes qw(sleep time);

my ($path, $first, $count, $ttl) = @ARGV;
my @names = map { "n$_" } $first .. $first + $count - 1;
my %lease;
my $said = 0;
my $socket;
$| = 1;
local $SIG{PIPE} = 'IGNORE';

sub turn {
    my %held = %lease;
    my $anew = "tcp:127.0.0.1:" . ($first + 1) . " ttl=${ttl}ms";
    print $socket join('', map { $held{$_} ? "RENEW $held{$_}\n" : "REGISTER $_ $anew\n" } @names) or return 0;
    for my $name (@names) {
        my $answer = <$socket>;
        return 0 unless defined $answer;
        my ($word, $given) = split ' ', $answer;
        if ($word ne 'ok') { delete $lease{$name} }
        elsif (!$held{$name}) { $lease{$name} = $given }
    }
    return 1;
}

while (1) {
    my $begun = time;
    $socket //= IO::Socket::UNIX->new(Peer => $path);
    if ($socket) {
        $socket->autoflush(1);
        undef $socket unless turn();
    }
    if (!$said && keys %lease == $count) {
        print "registered\n";
        $said = 1;
    }
    my $rest = $begun + $ttl / 5000 - time;
    sleep($socket ? ($rest > 0 ? $rest : 0) : 0.02);
}
