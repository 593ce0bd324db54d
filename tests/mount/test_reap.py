# SPDX-License-Identifier: MIT
"""-o reap: references of dead holders are taken off, and nothing else is."""

import ctypes
import os
import signal
import time

import harness
import shm
from case import equal
from daemon import wait_until


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
    lines = log(m)
    if 'app.key:A' not in lines or '2 -> 1' not in lines:
        raise AssertionError('the log says %r' % lines)


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
    """Who removed it died between the two segments; and one that is being made has no data yet."""
    m.key()
    m.key('made')
    m.make(size=0, count=1)
    made = shm.get(m.keys_of('made')[1], 4, shm.IPC_CREAT | 0o666)
    wait_until(lambda: [s.id for s in shm.listing()] == [made], 'only the other one is left', 6)
    shm.remove(made)
    log(m)


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
