# SPDX-License-Identifier: MIT
"""poll(2) on .refcount and .info: waits for a change without spinning, and costs nothing while nobody waits."""

import os
import select
import struct
import threading
import time

import harness
import shm
from case import as_uid, equal, fails, in_child
from daemon import wait_until

CHANGED = select.POLLPRI | select.POLLERR
SOON = 5000         # ms


def poll(fd, timeout, events=select.POLLPRI):
    poller = select.poll()
    poller.register(fd, events)
    return dict(poller.poll(timeout)).get(fd, 0)


def after(seconds, call):
    timer = threading.Timer(seconds, call)
    timer.start()
    return timer


def opened(m, name):
    fd = os.open(m.at(name), os.O_RDONLY)
    return fd, os.pread(fd, 9999, 0)


def test_nothing_new(m):
    m.key()
    m.make(contents=b'x', count=3)
    for name in 'app.key:A.refcount', 'app.key:A.info':
        fd, _ = opened(m, name)
        equal(poll(fd, 0), 0)
        equal(poll(fd, 1500), 0, 'also not when the daemon asks who still waits')
        equal(poll(fd, 0, select.POLLIN), select.POLLIN, 'text can always be read')
        os.close(fd)
    fd = os.open(m.at('app.key:A'), os.O_RDONLY)
    equal(poll(fd, 300), 0, 'a segment does not tell')
    os.close(fd)


def test_a_counter_that_changes(m):
    m.key()
    m.make(contents=b'x', count=3)
    for name in 'app.key:A.refcount', 'app.key:A.info':
        fd, _ = opened(m, name)
        for value in 4, 2, 0:
            timer = after(0.2, lambda v=value: m.set_count(v))
            start = time.monotonic()
            equal(poll(fd, SOON), CHANGED, name)
            equal(time.monotonic() - start > 0.15, True)
            timer.join()
            equal(poll(fd, 0), CHANGED, 'until it is read')
            os.pread(fd, 100, 2)
            equal(poll(fd, 0), CHANGED, 'from its start')
            equal(b'%d\n' % value in os.pread(fd, 9999, 0), True)
            equal(poll(fd, 300), 0)
        os.close(fd)


def test_a_change_before_the_wait(m):
    m.key()
    m.make(contents=b'x', count=3)
    fd, text = opened(m, 'app.key:A.refcount')
    equal(text, b'3\n')
    m.set_count(4)
    equal(poll(fd, SOON), CHANGED)
    os.close(fd)


def test_a_long_wait(m):
    """Longer than the daemon believes in a waiter without asking."""
    m.key()
    m.make(contents=b'x', count=3)
    fd, _ = opened(m, 'app.key:A.refcount')
    timer = after(3.2, lambda: m.set_count(4))
    equal(poll(fd, 8000), CHANGED)
    timer.join()
    os.close(fd)


def test_what_info_tells(m):
    shmid = m.own(shm.get(shm.IPC_PRIVATE, 5000, shm.IPC_CREAT | 0o600))
    fd, _ = opened(m, '.id/%d.info' % shmid)
    attached = []
    for change in (lambda: shm.set(shmid, mode=0o640), lambda: shm.set(shmid, uid=1000),
                   lambda: attached.append(shm.attach(shmid)), lambda: shm.detach(attached[0])):
        timer = after(0.1, change)
        equal(poll(fd, SOON), CHANGED)
        timer.join()
        os.pread(fd, 9999, 0)
        equal(poll(fd, 250), 0)
    os.close(os.open(m.at('.id/%d' % shmid), os.O_RDWR))
    equal(poll(fd, 300), 0, 'what the mount itself attaches is no news')
    os.close(fd)


@harness.allow_other
def test_a_counter_that_may_not_be_read_is_not_watched(m):
    m.key()
    _, counter = m.make(contents=b'x', count=3)
    at = shm.attach(counter)

    def sees_it_change(timeout):
        fd, _ = opened(m, 'app.key:A.info')
        shm.poke(at, struct.pack('i', 4))
        seen = poll(fd, timeout)
        os.close(fd)
        return seen
    for mode, timeout, expected in (0o600, 500, 0), (0o604, SOON, CHANGED):
        shm.poke(at, struct.pack('i', 3))
        shm.set(counter, mode=mode)
        equal(as_uid(1000, 1000, [], lambda: sees_it_change(timeout)), expected, '%04o' % mode)
    shm.detach(at)


def test_removed(m):
    m.key()
    m.make(contents=b'x', count=3)
    fds = [opened(m, name)[0] for name in ('app.key:A.refcount', 'app.key:A.info')]
    timer = after(0.2, m.remove)
    for fd in fds:
        equal(poll(fd, SOON), CHANGED)
        equal(os.fstat(fd).st_nlink, 0)
    fails('EIDRM', os.pread, fds[0], 10, 0)
    for fd in fds:
        os.close(fd)
    timer.join()


@harness.as_user
@harness.not_under('valgrind', harness.USERS_VALGRIND)
def test_removed_while_its_daemon_has_it_attached(m):
    """An ordinary user's, which cannot keep what it polls in another way."""
    m.key()
    m.make(contents=b'x', count=3)
    fd, _ = opened(m, 'app.key:A.refcount')
    equal(poll(fd, 300), 0)
    m.remove()
    equal(poll(fd, SOON), CHANGED)
    fails('EIDRM', os.pread, fd, 10, 0)
    os.close(fd)


def test_select_and_epoll(m):
    m.key()
    m.make(contents=b'x', count=3)
    fd, _ = opened(m, 'app.key:A.refcount')
    timer = after(0.2, lambda: m.set_count(4))
    equal(select.select([], [], [fd], 5), ([], [], [fd]))
    timer.join()
    os.pread(fd, 10, 0)
    with select.epoll() as ep:
        ep.register(fd, select.EPOLLPRI)
        equal(ep.poll(1.5), [])
        timer = after(0.2, lambda: m.set_count(5))
        equal(ep.poll(5), [(fd, CHANGED)])
        timer.join()
    os.close(fd)


def test_many_wait(m):
    m.key()
    m.make(contents=b'x', count=3)
    fds = [opened(m, name)[0] for name in ('app.key:A.refcount', 'app.key:A.info') for _ in range(30)]
    woken = []

    def wait(fd):
        woken.append(poll(fd, 8000))
    threads = [threading.Thread(target=wait, args=(fd,)) for fd in fds + fds[:5]]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    m.set_count(4)
    for thread in threads:
        thread.join()
    equal(woken, [CHANGED] * len(threads))
    for fd in fds:
        os.close(fd)


def switches(m):
    total = 0
    for task in os.listdir('/proc/%d/task' % m.daemon.pid):
        with open('/proc/%d/task/%s/status' % (m.daemon.pid, task)) as status:
            total += sum(int(line.split()[1]) for line in status if 'ctxt_switches' in line)
    return total


@harness.not_under('tsan', 'a thread of ThreadSanitizer wakes ten times a second')
def test_the_daemon_sleeps_when_nobody_waits(m):
    m.key()
    data, counter = m.make(contents=b'x', count=3)
    fd, _ = opened(m, 'app.key:A.refcount')
    descriptors = m.daemon.descriptors()
    equal(poll(fd, 300), 0)

    def quiet():
        before = switches(m)
        time.sleep(1)
        return switches(m) == before
    wait_until(quiet, 'nothing of the daemon runs, although the file is still open', 8)
    equal((m.daemon.descriptors(), shm.stat(counter).nattch), (descriptors, 0), 'and nothing is held')
    os.close(fd)


@harness.reaps
def test_waiting_does_not_keep_a_counter_from_being_repaired(m):
    m.key()
    _, counter = m.make(contents=b'x', count=3)
    fd, _ = opened(m, 'app.key:A.refcount')
    timer = after(1.2, lambda: m.refcount('reap'))
    equal(poll(fd, 15000), CHANGED)
    timer.join()
    equal(os.pread(fd, 10, 0), b'0\n')
    os.close(fd)


def test_the_waiter_is_killed(m):
    m.key()
    _, counter = m.make(contents=b'x', count=3)

    def wait_and_die():
        fd, _ = opened(m, 'app.key:A.refcount')
        pid = os.fork()
        if pid == 0:
            poll(fd, 20000)
            os._exit(1)
        time.sleep(0.3)
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    in_child(wait_and_die)
    wait_until(lambda: shm.stat(counter).nattch == 0, 'nothing is held', 5)
    equal(m.read('app.key:A.refcount'), b'3\n')


@harness.options('-o', 'access=copy')
def test_copying_too(m):
    m.key()
    _, counter = m.make(contents=b'x', count=3)
    fd, _ = opened(m, 'app.key:A.refcount')
    for value in 5, 6:
        timer = after(1.4, lambda v=value: shm.write(counter, struct.pack('i', v)))
        equal(poll(fd, SOON), CHANGED)
        timer.join()
        equal(os.pread(fd, 10, 0), b'%d\n' % value)
    wait_until(lambda: shm.stat(counter).nattch == 0, 'the attachment is let go', 3)
    os.close(fd)


harness.main(globals())
