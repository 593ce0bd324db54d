# SPDX-License-Identifier: MIT
"""-o reap: references of dead holders are taken off, and nothing else is."""

import ctypes
import os
import signal
import struct
import time

import harness
import shm
from case import equal
from daemon import wait_until


MAGIC = b'smSMCTR1'
DEAD, LEFT = 1 << 31, 1 << 30     # of the number beside the counter


def word_of(counter, beside=0):
    return struct.pack('iI', counter, beside)


def count_is(m, expected, name='app.key'):
    return m.count(name) == expected


def log(m):
    """The daemon says a line for each repair, and nothing else."""
    m.daemon.may_complain = True
    lines = m.daemon.stderr()
    for line in lines.splitlines():
        if ', holders died' not in line and 'left it; freed' not in line:
            raise AssertionError('the log says %r' % line)
    return lines


@harness.options('-o', 'reap')
def test_a_dead_holder(m):
    m.key()
    m.create('app.key:A', b'hello')
    first, second = m.hold(), m.hold()
    equal(m.count(), 2)
    m.drop(first)
    wait_until(lambda: count_is(m, 1), 'the dead one is off', 6)
    m.drop(second)
    wait_until(lambda: shm.listing() == [], 'the last one frees', 6)
    wait_until(lambda: '1 -> 0, holders died; freed' in log(m), 'the log says so', 3)
    for what in '2 -> 1', '1 -> 0':
        if not [line for line in log(m).splitlines() if what in line and 'app.key:A' in line]:
            raise AssertionError('the log says %r' % log(m))    # also of what is gone, where nothing else tells its path


@harness.options('-o', 'reap')
def test_what_is_left_alone(m):
    """An object that was made through the mount and had no holder, a live holder, and a stopped one."""
    for name in ('made', 'live', 'stopped'):
        m.key(name)
        m.create(name + ':A', b'x')
    live, stopped = m.hold('live'), m.hold('stopped')
    os.kill(stopped.pid, signal.SIGSTOP)
    victim = m.hold('live')
    m.drop(victim)
    wait_until(lambda: count_is(m, 1, 'live'), 'the dead one is off', 6)
    time.sleep(2.2)     # two sweeps; what must not happen has no event to wait for
    equal([m.count(n) for n in ('made', 'live', 'stopped')], [0, 1, 1])
    os.kill(stopped.pid, signal.SIGCONT)
    for holder in (live, stopped):
        m.drop(holder, signal.SIGTERM)
    os.unlink(m.at('made:A'))
    log(m)


@harness.options('-o', 'reap')
def test_an_old_program_that_dies(m):
    """It counts with a plain ++ in a segment of four bytes and knows nothing of us."""
    m.key()
    data, counter = m.make(contents=b'x')

    def hold_and_die():
        ctypes.c_int.from_address(shm.attach(counter)).value += 1
        os.kill(os.getpid(), signal.SIGKILL)
    pid = os.fork()
    if pid == 0:
        hold_and_die()
    os.waitpid(pid, 0)
    wait_until(lambda: shm.listing() == [], 'both segments are freed', 6)
    log(m)


@harness.options('-o', 'reap')
def test_what_somebody_uses_is_freed_when_nobody_does(m):
    """The data is attached by one who does not count, a forked child of the dead for example."""
    m.key()
    m.create('app.key:A', b'x')
    victim = m.hold()
    at = shm.attach(m.find()[0].id)
    m.drop(victim)
    wait_until(lambda: count_is(m, 0), 'the dead one is off', 6)
    time.sleep(1.2)     # two sweeps; what must not happen has no event to wait for
    equal(m.read('app.key:A'), b'x')
    shm.detach(at)
    wait_until(lambda: shm.listing() == [], 'both segments are freed', 6)
    wait_until(lambda: 'its last holder left it; freed' in log(m), 'the log says so', 3)


@harness.options('-o', 'reap')
def test_half_of_an_object(m):
    """Who removed it died between the two segments; one that is being made has no data yet; and an int may be anybody's."""
    halves = {}
    for name, size, word in (('died', 4096, word_of(0, DEAD | 3)), ('left', 4096, word_of(0, LEFT | 3)), ('leaked', 4096, word_of(1)),
                             ('made', 4096, word_of(0)), ('int', 4, word_of(1)[:4])):
        m.key(name)
        halves[name] = m.own(shm.get(m.keys_of(name)[1], size, shm.IPC_CREAT | 0o666))
        shm.write(halves[name], word + (MAGIC + struct.pack('I', 1) if size > 4 else b''))
    stay = sorted([halves['made'], halves['int']])
    wait_until(lambda: sorted(s.id for s in shm.listing()) == stay, 'only the other two are left', 6)
    equal(shm.read(halves['int']), struct.pack('i', 1))
    for shmid in stay:
        shm.remove(shmid)
    log(m)


CONTENTS = {'a number': word_of(5), 'another one': word_of(7, 0x20202020), '0 and text': word_of(0, 0x20202020) + b' nothing',
            'text': b'balance=1000;', 'DEAD': word_of(0, DEAD), 'LEFT': word_of(0, LEFT), 'both': word_of(0, DEAD | LEFT | 9),
            'zeros': word_of(0), 'negative': word_of(-3)}
STAMPS = ('atime', 'dtime', 'lpid')


def strangers(m, keys, size, data_size=0):
    """What each segment of another user's program holds, made under these KEYS; beside data, if that has a size."""
    def make():
        made = {}
        for number, key in enumerate(keys):
            shmid = shm.get(key, size, shm.IPC_CREAT | shm.IPC_EXCL | 0o600)
            made[shmid] = list(CONTENTS.values())[number % len(CONTENTS)][:size]
            if data_size:
                made[shm.get(key + (58 << 24), data_size, shm.IPC_CREAT | shm.IPC_EXCL | 0o600)] = b'its data'
        for shmid, contents in made.items():
            shm.write(shmid, contents)
        return made
    return {m.own(shmid): contents for shmid, contents in m.as_uid(3000, 3000, [], make).items()}


def stays(m, made, but=()):
    """
    The monitor is at work, which holders that die show, and nothing happens to what was MADE for four seconds, attaching included
    (of which the stamps BUT tell). The contents are looked at last, since that is attaching, too.
    """
    def states():
        return {shmid: shm.stat(shmid)._replace(**dict.fromkeys(but, 0)) for shmid in made}
    before, end = states(), time.monotonic() + 4
    m.key('real')
    while time.monotonic() < end:
        m.create('real:A', b'x')
        m.drop(m.hold('real'))
        wait_until(lambda: [shm.find(key) for key in m.keys_of('real')] == [None, None], 'the monitor works', 10)
        equal(states(), before)
    equal([line for line in log(m).splitlines() if 'real:A' not in line], [], 'other lines')
    equal({shmid: shm.read(shmid, len(contents)) for shmid, contents in made.items()}, made, 'the contents')


def some_keys(number):
    """As programmers make them up, with a top byte of 7..64."""
    return range(0x12345678 + 0x1000000 * number, 0x12345678 + 0x1000000 * number + len(CONTENTS))


def keys_of_digits(m):
    path = m.key('theirs')
    keys = [shm.ftok(path, digit) for digit in '0123456789']
    equal([key >> 24 for key in keys], list(range(48, 58)), 'they could be counters')
    return keys


@harness.options('-o', 'reap=1')
@harness.deadline(60)
def test_other_programs_segments_without_data(m):
    """A quarter of all keys could be a counter's: what has no data beside it is not even attached."""
    made = strangers(m, keys_of_digits(m), 4)
    for number, size in enumerate((4, 3, 5, 8, 64, 4095, 4097, 8192)):
        made.update(strangers(m, some_keys(number), size))
    stays(m, made)


@harness.options('-o', 'reap=1')
@harness.deadline(60)
def test_other_programs_segments_of_a_counters_size(m):
    """Of libsm's size, without its mark: looked at, for reading, once; and while somebody has it attached not even that."""
    made = strangers(m, some_keys(0), 4096)
    used = [shm.attach(shmid) for shmid in made]
    stays(m, made)
    for address in used:
        shm.detach(address)
    made.update(strangers(m, keys_of_digits(m), 4096))
    stays(m, made, STAMPS)


@harness.options('-o', 'reap=1')
@harness.deadline(60)
def test_other_programs_segments_with_data(m):
    """Two that happen to be as far apart as an object's are, the first of a size that no counter has."""
    made = {}
    for number, size in enumerate((3, 5, 8, 64, 4095, 4097, 8192)):
        made.update(strangers(m, some_keys(number), size, 100))
    stays(m, made)
    stays(m, strangers(m, keys_of_digits(m), 4096, 100), STAMPS)


@harness.options('-o', 'reap')
def test_many_die_at_once(m):
    holders = []
    for i in range(20):
        m.key('k%d' % i)
        m.create('k%d:A' % i, b'x')
        holders += [m.hold('k%d' % i), m.hold('k%d' % i)]
    for holder in holders:
        m.drop(holder)
    wait_until(lambda: shm.listing() == [], 'all are freed', 8)
    log(m)


def test_bad_intervals(m):
    for value in ('0', '-1', 'x', '1x', '', '99999999999'):
        status = m.sh('%s -f -o reap=%s %s %s' % (os.environ['SMFS'], value, m.keys, m.mnt)).status
        equal(status != 0, True, 'reap=' + value)


harness.main(globals())
