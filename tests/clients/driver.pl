# Drives clients/Tieline.pm: driver.pl DIALECT said|known. One step per line of standard input, one line per outcome.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../clients";
use Tieline;

$| = 1;
my ($dialect, $said) = @ARGV;
my %clients;

sub client {
    my ($name) = @_;
    return $clients{$name} //= Tieline->open($name, dialect => $said eq 'said' ? $dialect : undef, patience => 0.3);
}

sub request { return $dialect eq 'resp' ? [split / /, $_[0], -1] : $_[0] }

sub told {
    my ($outcome) = @_;
    my $body = $outcome->{kind} eq 'delayed' ? $outcome->{id} : $outcome->{body};
    my %escape = ("\\" => '\\\\', "\r" => '\\r', "\n" => '\\n');
    $body =~ s/([\\\r\n])/$escape{$1}/g;
    print "$outcome->{kind}\t$body\n";
}

while (my $line = <STDIN>) {
    chomp $line;
    my ($verb, $name, @requests) = split /\t/, $line;
    if    ($verb eq 'ask')      { told(client($name)->request(request($requests[0]))) }
    elsif ($verb eq 'deferred') {
        my $outcome = eval { client($name)->request_deferred(request($requests[0])) };
        told($outcome // { kind => 'refused', body => $@ });
    }
    elsif ($verb eq 'pipeline') {
        client($name)->send(request($_)) for @requests;
        told(client($name)->receive) for @requests;
    }
}
