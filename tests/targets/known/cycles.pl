# Trees whose children know their parents: `perl cycles.pl leaks|sound`. Only the sound ones let go.
use strict;
use warnings;
use Scalar::Util 'weaken';
use Time::HiRes 'sleep';

my $leaks = $ARGV[0] eq 'leaks';
$| = 1;

sub make_tree {
    my $parent = { name => 'p' x 300, children => [] };
    for my $number (1 .. 3) {
        my $child = { name => "child $number " . 'c' x 200, parent => $parent };
        weaken($child->{parent}) unless $leaks;
        push @{ $parent->{children} }, $child;
    }
    return $parent;
}

for (my $number = 0;; $number++) {
    my $tree = make_tree();
    print "ready\n" if $number == 200;
    sleep 0.01;
}
