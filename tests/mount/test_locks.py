# SPDX-License-Identifier: MIT
"""flock and fcntl locks between processes of this machine."""

import fcntl
import os
import signal
import subprocess

import harness
from case import equal, errno_of, fails, in_child


def locked_elsewhere(m, name, call):
    """What CALL(fd) does in another process."""
    def attempt():
        fd = os.open(m.at(name), os.O_RDWR)
        return errno_of(call, fd)
    return in_child(attempt)


def flock(fd):
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def lockf(fd):
    fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 0)


def test_flock(m):
    m.key()
    m.make(contents=b'x' * 100)
    fd = os.open(m.at('app.key:A'), os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    equal(locked_elsewhere(m, 'app.key:A', flock), 'EAGAIN')
    fcntl.flock(fd, fcntl.LOCK_SH)
    equal(locked_elsewhere(m, 'app.key:A', flock), 'EAGAIN')
    equal(locked_elsewhere(m, 'app.key:A', lambda f: fcntl.flock(f, fcntl.LOCK_SH | fcntl.LOCK_NB)), 'OK')
    fcntl.flock(fd, fcntl.LOCK_UN)
    equal(locked_elsewhere(m, 'app.key:A', flock), 'OK')
    os.close(fd)


def test_flock_of_a_command(m):
    m.key()
    m.create('app.key:A', b'x')
    m.run('flock app.key:A echo in; flock app.key:A sh -c "flock -n app.key:A echo twice || echo locked"; flock -n app.key:A echo free',
          expected='in\nlocked\nfree\n')
    m.run('exec 9<> app.key:A; flock 9; flock -n app.key:A true || echo locked', expected='locked\n')
    m.run('rm app.key:A')


def test_a_waiting_flock_gets_it_when_the_holder_dies(m):
    m.key()
    m.make(contents=b'x')
    holder = subprocess.Popen(['flock', m.at('app.key:A'), 'sh', '-c', 'echo locked; exec cat'], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE)
    equal(holder.stdout.readline(), b'locked\n')
    waiting = subprocess.Popen(['flock', m.at('app.key:A'), 'echo', 'mine'], stdout=subprocess.PIPE)
    equal(waiting.poll(), None)
    holder.stdin.close()
    equal(holder.wait(10), 0)
    equal(waiting.communicate(timeout=10)[0], b'mine\n')
    holder.stdout.close()


def test_fcntl_locks(m):
    m.key()
    m.make(contents=b'x' * 100)
    fd = os.open(m.at('app.key:A'), os.O_RDWR)
    fcntl.lockf(fd, fcntl.LOCK_EX, 10, 5)
    if locked_elsewhere(m, 'app.key:A', lockf) not in ('EAGAIN', 'EACCES'):
        raise AssertionError('two processes hold overlapping locks')
    equal(locked_elsewhere(m, 'app.key:A', lambda f: fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 50)), 'OK', 'another range')
    os.close(os.open(m.at('app.key:A'), os.O_RDONLY))
    equal(locked_elsewhere(m, 'app.key:A', lockf), 'OK', 'closing any descriptor drops a process\' locks')
    os.close(fd)


def test_one_lock_under_two_names(m):
    m.key('one')
    os.link(m.keys + '/one', m.keys + '/two')
    m.make('one', contents=b'x' * 100)
    fd = os.open(m.at('one:A'), os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    equal(locked_elsewhere(m, 'two:A', flock), 'EAGAIN')
    fcntl.lockf(fd, fcntl.LOCK_EX, 10, 0)
    equal(locked_elsewhere(m, 'two:A', lockf), 'EAGAIN')
    os.close(fd)


@harness.reaps
def test_the_key_file_is_not_locked(m):
    """A user's own `flock app.key job` blocks nothing in the mount."""
    m.key()
    fd = os.open(m.keys + '/app.key', os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    m.create('app.key:A', b'x')
    holder = m.hold()
    m.drop(holder)
    m.refcount('reap')
    os.unlink(m.at('app.key:A'))
    os.close(fd)


def test_a_lock_on_the_counter(m):
    m.key()
    m.make(contents=b'x')
    fd = os.open(m.at('app.key:A.refcount'), os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    equal(locked_elsewhere(m, 'app.key:A.refcount', flock), 'EAGAIN')
    equal(locked_elsewhere(m, 'app.key:A', flock), 'OK')
    os.close(fd)


def test_a_waiting_lock_can_be_interrupted(m):
    m.key()
    m.make(contents=b'x' * 100)
    fd = os.open(m.at('app.key:A'), os.O_RDWR)
    fcntl.lockf(fd, fcntl.LOCK_EX)

    class Interrupted(Exception):
        pass

    def wait_for_it():
        def on_alarm(*_):
            raise Interrupted()
        signal.signal(signal.SIGALRM, on_alarm)
        other = os.open(m.at('app.key:A'), os.O_RDWR)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            fcntl.lockf(other, fcntl.LOCK_EX)
        except Interrupted:
            return 'interrupted'
    equal(in_child(wait_for_it), 'interrupted')
    os.close(fd)


harness.main(globals())
