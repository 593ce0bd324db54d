# SPDX-License-Identifier: MIT
"""Creation window: from its first instant a new segment is its creator's, with the mode asked for or less, never more."""

import os
import re
import threading
import time

import harness
import people
import shm
from case import equal, in_child
from daemon import wait_until
from people import STRANGER

DELAY = 500000      # microseconds that each of the creating calls is held up on its way out
UMASK = 0o027


class Watcher(threading.Thread):
    """Every (uid, gid, cuid, cgid, mode) that any segment with a key was seen to have, and how often it was looked."""

    def __init__(self):
        super().__init__(daemon=True)
        self.seen, self.looks, self.done = set(), 0, threading.Event()

    def run(self):
        while not self.done.is_set():
            for s in shm.listing():
                self.seen.add((s.key != 0, s.uid, s.gid, s.cuid, s.cgid, s.mode))
            self.looks += 1
            time.sleep(0.002)

    def stop(self):
        self.done.set()
        self.join()
        return self.seen


def slowed(m, call):
    """CALL as the stranger while the daemon's creating system calls are delayed; what was seen of segments meanwhile."""
    with m.daemon.traced('-e', 'trace=shmget,shmctl,shmat',
                         '-e', 'inject=shmget,shmat,shmctl:delay_exit=%d' % DELAY) as log:
        watcher = Watcher()
        watcher.start()
        in_child(call, lambda: (people.user(*STRANGER)(), os.umask(UMASK)))
        seen = watcher.stop()
    if watcher.looks < 100:
        raise AssertionError('looked only %d times' % watcher.looks)
    with open(log) as lines:
        delayed = set(re.findall(r'(shm\w+)(?:\(| resumed).*\(DELAYED\)', lines.read()))
    equal(delayed, {'shmget', 'shmat', 'shmctl'}, 'strace delayed')
    return seen


def never_anothers(seen, mode):
    """Probes without a key, of mode 0, may come and go."""
    for keyed, uid, gid, cuid, cgid, has in seen:
        equal((uid, gid, cuid, cgid), STRANGER * 2, 'a segment of another was seen, mode %04o' % has)
        if has & ~mode:
            raise AssertionError('mode %04o was seen, asked was %04o' % (has, mode))
    equal((True,) + STRANGER * 2 + (mode,) in seen, True, 'the segment was seen while it was being made: %s' % seen)


@harness.allow_other
@harness.deadline(60)
def test_written(m):
    m.key()
    never_anothers(slowed(m, lambda: m.create('app.key:A', b'secret')), 0o640)
    equal([s.mode for s in m.find()], [0o640] * 2)
    equal(m.bytes_of(), b'secret')
    m.run('rm app.key:A')


@harness.allow_other
@harness.deadline(60)
def test_empty_and_private(m):
    m.key()

    def touch():
        os.close(os.open(m.at('app.key:A'), os.O_CREAT | os.O_WRONLY, 0o600))
        wait_until(lambda: shm.find(m.keys_of()[0]) is not None, 'the last close makes it')
    never_anothers(slowed(m, touch), 0o600)
    m.run('rm app.key:A')


@harness.allow_other
@harness.deadline(60)
def test_replaced_by_a_larger_one(m):
    """A second flush exchanges the segment."""
    m.key()

    def grow():
        fd = os.open(m.at('app.key:A'), os.O_CREAT | os.O_WRONLY, 0o600)
        for _ in range(2):
            os.write(fd, b'x' * 5000)
            os.fsync(fd)
        os.close(fd)
    never_anothers(slowed(m, grow), 0o600)
    equal(m.data().size, 10000)
    m.run('rm app.key:A')


@harness.allow_other
@harness.deadline(60)
def test_resized(m):
    """While its contents are copied, the new one may have less than the old one's mode, never more, nor another owner."""
    m.key()
    for segment in in_child(lambda: [shm.get(k, s, shm.IPC_CREAT | 0o640) for k, s in zip(m.keys_of(), (100, 4))],
                            people.user(*STRANGER)):
        m.own(segment)
    never_anothers(slowed(m, lambda: os.truncate(m.at('app.key:A'), 200)), 0o640)
    equal(m.data().size, 200)
    m.remove()


harness.main(globals())
