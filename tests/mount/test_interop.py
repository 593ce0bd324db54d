# SPDX-License-Identifier: MIT
"""Programs that know nothing of us share objects with the mount: the old class's layout, perl, the C library."""

import os
import subprocess

import harness
import shm
from case import equal, fails
from daemon import wait_until


class Old:
    """tests/interop/oldclass.cpp, one command at a time."""

    def __init__(self, m, size, name='app.key', proj='A'):
        self.process = subprocess.Popen([os.environ['OLDCLASS'], m.keys + '/' + name, proj, str(size)], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=1)

    def say(self, command):
        self.process.stdin.write(command + '\n')
        return self.process.stdout.readline().rstrip('\n')

    def do(self, *commands):
        for command in commands:
            equal(self.say(command), 'ok', command)

    def end(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def test_an_old_program_makes_it_the_mount_shows_it(m):
    m.key()
    old = Old(m, 16)
    old.do('create', 'access', 'write hello from C++')
    m.run('ls; cat app.key:A.refcount', expected='app.key:A\napp.key:A.refcount\n1\n')
    equal(m.read('app.key:A'), b'hello from C++\0\0')
    equal((m.find()[1].size, m.data().mode), (4, 0o666))
    m.write('app.key:A', b'HELLO')
    equal(old.say('read'), 'HELLO from C++')
    m.refused('truncate -s 20 app.key:A', 'EBUSY')
    old.do('leave')
    fails('ENOENT', os.stat, m.at('app.key:A'))
    # a copying daemon lets go of a removed segment within a second
    wait_until(lambda: shm.listing() == [], 'freed at 1 or less', 3)
    old.end()


def test_the_mount_makes_it_an_old_program_joins(m):
    m.key()
    m.create('app.key:A', b'made by echo!')
    first, second = Old(m, 13), Old(m, 13)
    first.do('create', 'access')
    second.do('create', 'access')
    equal(first.say('read'), 'made by echo!')
    m.run('cat app.key:A.refcount', expected='2\n')
    second.do('write written by C++')
    equal(m.read('app.key:A'), b'written by C+')
    m.refcount('decr')
    equal((first.say('count'), second.say('count')), ('1', '1'))
    first.do('leave')
    equal(m.find(), (None, None), 'the class frees at 1 or less')
    equal(m.listing(), [])
    for old in (first, second):
        old.end()


def test_an_old_program_that_asks_for_less(m):
    """shmget with a smaller size finds the larger segment, and the counter of a page."""
    m.key()
    m.create('app.key:A', b'x' * 5000)
    old = Old(m, 10)
    old.do('create', 'access')
    equal(old.say('count'), '1')
    old.do('leave')
    equal(shm.listing(), [])
    old.end()


def test_an_old_program_that_asks_for_more(m):
    m.key()
    m.create('app.key:A', b'x' * 10)
    old = Old(m, 5000)
    equal(old.say('create'), 'Invalid argument')
    old.end()
    m.run('truncate -s 5000 app.key:A')
    old = Old(m, 5000)
    old.do('create', 'access', 'leave')
    old.end()


@harness.reaps
def test_an_old_program_that_dies(m):
    m.key()
    old = Old(m, 16)
    old.do('create', 'access')
    second = Old(m, 16)
    second.do('create', 'access')
    equal(m.read('app.key:A.refcount'), b'2\n')
    m.drop(old.process)
    equal(m.read('app.key:A.refcount'), b'2\n', 'nobody took it off')
    m.refcount('reap')
    equal(m.read('app.key:A.refcount'), b'1\n')
    second.do('leave')
    equal(shm.listing(), [])
    old.end()
    second.end()


@harness.reaps
def test_old_and_new_programs_together(m):
    m.key()
    old = Old(m, 16)
    old.do('create', 'access')
    holder = m.hold()
    equal(old.say('count'), '2')
    old.do('leave')
    equal(m.read('app.key:A.refcount'), b'1\n')
    m.drop(holder)
    m.refcount('reap')
    equal(m.read('app.key:A.refcount'), b'0\n')
    m.run('rm app.key:A')
    old.end()


PERL = r'''perl -we 'use strict; use IPC::SysV qw(ftok IPC_CREAT IPC_RMID);
my $key = ftok("$ENV{K}/app.key", ord "A"); %s' '''


def test_perl_reads_what_the_mount_wrote(m):
    m.key()
    m.run('printf "hello, perl" > app.key:A')
    m.run(PERL % 'my $id = shmget($key, 0, 0) // die $!; shmread($id, my $x, 7, 4) or die $!; print "$x\\n"', expected='perl\n')
    m.run('rm app.key:A')


def test_perl_writes_and_the_mount_reads(m):
    m.key()
    m.run(PERL % 'my $id = shmget($key, 20, IPC_CREAT | 0640) // die $!; shmwrite($id, "from perl", 0, 20) or die $!;')
    equal(m.read('app.key:A'), b'from perl' + b'\0' * 11)
    equal(os.stat(m.at('app.key:A')).st_mode & 0o777, 0o640)
    fails('ENOENT', os.stat, m.at('app.key:A.refcount'))
    m.run('printf over 1<> app.key:A')
    m.run(PERL % 'my $id = shmget($key, 0, 0) // die $!; shmread($id, my $x, 0, 9) or die $!; print $x', expected='over perl')
    m.run(PERL % 'my $id = shmget($key, 0, 0) // die $!; shmctl($id, IPC_RMID, 0) or die $!;')
    fails('ENOENT', os.stat, m.at('app.key:A'))


def test_perl_counts(m):
    """The counter as perl sees it: a native int at offset 0."""
    m.key()
    m.run('echo x > app.key:A')
    m.run(r'''perl -we 'use IPC::SysV qw(ftok); my $id = shmget(ftok("$ENV{K}/app.key", ord("A") - 58), 4, 0) // die $!;
shmread($id, my $x, 0, 4) or die $!; print unpack("i", $x), "\n"; shmwrite($id, pack("i", 42), 0, 4) or die $!' ''', expected='0\n')
    m.run('cat app.key:A.refcount; echo decr > app.key:A.refcount; cat app.key:A.refcount', expected='42\n41\n')
    m.run('rm app.key:A')


def test_ipcs_shows_both_segments(m):
    m.key()
    m.run('echo x > app.key:A')
    data, counter = m.keys_of()
    seen = m.sh('ipcs -m').out
    for key in (data, counter):
        equal('0x%08x' % key in seen, True, 'key 0x%08x in %s' % (key, seen))
    m.run('rm app.key:A; ipcs -m | grep -c 0x || true', expected='0\n')


def test_a_large_counter_records_where_it_belongs(m):
    """After the int of a new object stand its path and more; an old program's size still fits."""
    path = m.key()
    m.create('app.key:A', b'x')
    counter = m.find()[1]
    contents = shm.read(counter.id)
    equal(contents[:4], b'\0\0\0\0')
    equal(path.encode() + b'\0' in contents, True, 'the path stands in it')
    equal(shm.get(m.keys_of()[1], 4, 0o666), counter.id, 'shmget of 4 bytes')
    m.run('rm app.key:A')


harness.main(globals())
