#!/usr/bin/env perl
# SPDX-License-Identifier: MIT
# Read an object, or write at its start, without a mount: peek.pl KEYFILE P [TEXT]
# Nothing is counted: shmread and shmwrite attach for the moment of the copy only.
use strict;
use warnings;
use IPC::SharedMem;
use IPC::SysV qw(ftok);

my ($path, $proj_id, $text) = @ARGV;
die "usage: peek.pl KEYFILE P [TEXT]\n" unless defined $proj_id and $proj_id =~ /^[A-z]$/;

my $key = ftok($path, ord $proj_id) // die "peek.pl: $path: $!\n";
my $data = IPC::SharedMem->new($key, 0, 0) or die "peek.pl: $path:$proj_id: $!\n";
my $size = $data->stat->segsz;

if (defined $text) {
	die "peek.pl: the object has $size bytes only\n" if length $text > $size;
	shmwrite($data->id, $text, 0, length $text) or die "peek.pl: shmwrite: $!\n";
} else {
	shmread($data->id, my $bytes, 0, $size) or die "peek.pl: shmread: $!\n";
	print $bytes =~ s/\0+$//r, "\n";
}
