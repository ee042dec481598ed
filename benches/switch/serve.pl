#!/usr/bin/perl
# Answers every request with $VALUE. Perl is on every Debian and starts in milliseconds, so that what is measured is
# not drowned by what is served.
use strict;
use IO::Socket::INET;

my $server = IO::Socket::INET->new(
    LocalPort => $ENV{PORT}, Listen => 128, ReuseAddr => 1, Proto => 'tcp',
) or die "port $ENV{PORT}: $!";
while (my $client = $server->accept) {
    while (my $line = <$client>) {
        last if $line =~ /^\r?\n/;
    }
    my $value = $ENV{VALUE};
    print $client "HTTP/1.0 200 OK\r\nContent-Length: ", length $value, "\r\n\r\n", $value;
    close $client;
}
