# SPDX-License-Identifier: MIT
"""The daemon ends in every way there is, under load, again and again.

Afterwards no process is stuck, no segment has changed that nobody wrote, and a new mount shows all of them. ROUNDS in the
environment (the suite `soak`) says how often.
"""

import errno
import hashlib
import mmap
import os
import random
import select
import signal
import subprocess
import time

import harness
import shm
from case import equal, short, spawn
from daemon import MNT_DETACH, MNT_FORCE, is_mounted, mount, umount, wait_until

ROUNDS = int(os.environ.get('ROUNDS', '2'))
KEPT = 12           # segments that nobody writes
EXPECTED = {errno.ENOTCONN, errno.ECONNABORTED, errno.ENOENT, errno.EINTR, errno.EIO, errno.EIDRM, errno.ESTALE, errno.EEXIST,
            errno.ENODEV, errno.ENOSPC, errno.EBUSY, errno.EPERM, errno.EACCES, errno.ENXIO, errno.EINVAL, errno.ERANGE}


def load(m, seed):
    """Reads what is kept and writes elsewhere, whatever becomes of the mount, until it is killed."""
    random_ = random.Random(seed)
    while True:
        name = 'kept%d:A' % random_.randrange(KEPT)
        try:
            random_.choice([
                lambda: m.read(name), lambda: os.listdir(m.mnt), lambda: os.stat(m.at(name)), lambda: m.read(name + '.info'),
                lambda: m.read(name + '.refcount'), lambda: m.write('busy:A', b'x' * 50000), lambda: m.create('new:N', b'y' * 9000),
                lambda: os.truncate(m.at('new:N'), random_.randrange(1, 9999)), lambda: os.unlink(m.at('new:N')),
                lambda: os.listdir(m.at('.id')), lambda: os.statvfs(m.mnt)])()
        except OSError as e:
            if e.errno not in EXPECTED:
                raise
            time.sleep(0.002)


def hold(m, number):
    """One file open for long, mapped where that can be had, its counter polled: the mapping shows its bytes whatever happens."""
    name, size, byte = 'kept%d:A' % number, 1000 * number + 1, bytes([65 + number])
    fds, view = [], None
    try:
        fds = [os.open(m.at(name), os.O_RDONLY)]
        fds.append(os.open(m.at(name + '.refcount'), os.O_RDONLY))
        poll = select.poll()
        poll.register(fds[1], select.POLLPRI)
        try:
            view = mmap.mmap(fds[0], size, mmap.MAP_SHARED, mmap.PROT_READ)
        except OSError as e:
            if e.errno != errno.ENODEV:
                raise
        for _ in range(100):
            poll.poll(5)
            if view:
                equal(view[:] == byte * size, True, 'what is mapped')
            equal(os.pread(fds[0], size, 0) == byte * size, True, 'what is open')
            os.pread(fds[1], 100, 0)
    finally:
        if view:
            equal(view[:] == byte * size, True, 'what is mapped, whatever the daemon does')
            view.close()
        for fd in fds:
            os.close(fd)


def hold_on(m, seed):
    random_ = random.Random(seed)
    while True:
        try:
            hold(m, random_.randrange(KEPT))
        except OSError as e:
            if e.errno not in EXPECTED:
                raise
            time.sleep(0.002)


def connections(m):
    """/sys/fs/fuse/connections, mounted here only."""
    path = '/sys/fs/fuse/connections'
    if not os.listdir(path):
        mount('fusectl', path, 'fusectl')
    return path


def minor(m):
    with open('/proc/self/mountinfo') as table:
        return [line.split()[2].split(':')[1] for line in table if line.split()[4] == m.mnt][-1]


def by_signal(number):
    def end(m, daemon):
        os.kill(daemon.pid, number)
    return end


def lazily(m, daemon):
    umount(m.mnt, MNT_DETACH)


def by_force(m, daemon):
    umount(m.mnt, MNT_FORCE | MNT_DETACH)


def by_abort(m, daemon):
    with open('%s/%s/abort' % (connections(m), minor(m)), 'w') as abort:
        abort.write('1')


def stopped_and_killed(m, daemon):
    """While it is stopped, callers wait; they must not stay stuck when it dies."""
    os.kill(daemon.pid, signal.SIGSTOP)
    time.sleep(0.05)
    os.kill(daemon.pid, signal.SIGKILL)


def stopped_and_continued(m, daemon):
    os.kill(daemon.pid, signal.SIGSTOP)
    time.sleep(0.1)
    os.kill(daemon.pid, signal.SIGCONT)
    time.sleep(0.02)
    os.kill(daemon.pid, signal.SIGTERM)


WAYS = [by_signal(signal.SIGKILL), by_signal(signal.SIGTERM), by_signal(signal.SIGINT), lazily, by_force, by_abort,
        stopped_and_killed, stopped_and_continued]


def fingerprints(m):
    seen = {}
    for i in range(KEPT):
        data, counter = m.find('kept%d' % i)
        seen[i] = [(s.id, s.key, s.size, s.mode, s.uid, s.gid, s.ctime, hashlib.sha256(shm.read(s.id)).digest())
                   for s in (data, counter)]
    return seen


def state(pid):
    try:
        with open('/proc/%d/stat' % pid) as f:
            return f.read().rsplit(')', 1)[1].split()[0]
    except OSError:
        return 'gone'


def end_load(pids):
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for pid in pids:
        wait_until(lambda: state(pid) in 'Z gone', 'process %d, in state %s, is not stuck' % (pid, state(pid)))
        equal(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), -9, 'how a process under load ended')


def one_round(m, way, seed):
    daemon = m.start()
    daemon.may_complain = True          # whose connection is aborted may say so
    names = ['kept%d:A' % i for i in range(KEPT)]
    equal([n for n in m.listing() if n.startswith('kept') and n.endswith(':A')], sorted(names), 'after mounting again')
    for i, name in enumerate(names):
        equal(m.read(name), bytes([65 + i]) * (1000 * i + 1), name)
    pids = [spawn(lambda: load(m, seed + n)) for n in range(4)] + [spawn(lambda: hold_on(m, seed + n)) for n in range(2)]
    time.sleep(random.Random(seed).uniform(0.05, 0.2))
    way(m, daemon)
    try:
        daemon.wait()
    except subprocess.TimeoutExpired:
        raise AssertionError('smfs, in state %s, did not end' % state(daemon.pid))
    killed = way in (WAYS[0], stopped_and_killed)
    equal(daemon.process.returncode, -9 if killed else 0, 'how smfs ended after %s (it said %s)' % (getattr(way, '__name__', 'a signal'), short(daemon.stderr())))
    daemon.expected_status = daemon.process.returncode
    end_load(pids)      # a mount point that a killed one left dead is the next one's to clear


@harness.unmounted
@harness.deadline(60 * ROUNDS)
def test_ended_in_every_way_under_load(m):
    for i in range(KEPT):
        m.key('kept%d' % i)
        m.make('kept%d' % i, contents=bytes([65 + i]) * (1000 * i + 1), count=i)
    m.key('busy'), m.key('new')
    m.make('busy', size=50000)
    before = fingerprints(m)
    for turn in range(ROUNDS):
        for number, way in enumerate(WAYS):
            one_round(m, way, 100 * turn + 10 * number)
            equal(fingerprints(m), before, 'segments that nobody wrote, after %s' % getattr(way, '__name__', way))
    if is_mounted(m.mnt):
        umount(m.mnt, MNT_DETACH)
    wait_until(lambda: not [s for s in shm.listing() if s.nattch], 'nothing is attached', 5)
    m.remove('new', 'N')
    m.remove('busy')


harness.main(globals())
