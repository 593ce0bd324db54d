# SPDX-License-Identifier: MIT
"""Start and stop one smfs as our own child. Every wait is for a condition, with a deadline."""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import private  # noqa: E402
from private import patience  # noqa: E402

MNT_FORCE, MNT_DETACH = 1, 2

WAIT = patience(10)     # seconds until something that must happen counts as not happening
_libc = ctypes.CDLL(None, use_errno=True)


def mount(source, target, fstype, flags=0, data=None):
    if _libc.mount(os.fsencode(source), os.fsencode(target), os.fsencode(fstype), ctypes.c_ulong(flags),
                   os.fsencode(data) if data else None):
        raise OSError(ctypes.get_errno(), 'mount ' + fstype + ' on ' + target)


def umount(target, flags=0):
    if _libc.umount2(os.fsencode(target), flags):
        err = ctypes.get_errno()
        raise OSError(err, os.strerror(err), target)


def mounts_at(target):
    """The file system types mounted at TARGET, the lowest first."""
    escaped = os.fsencode(target).replace(b'\\', b'\\134').replace(b' ', b'\\040')
    with open('/proc/self/mountinfo', 'rb') as table:
        rows = [line.split() for line in table]
    return [os.fsdecode(r[r.index(b'-') + 1]) for r in rows if r[4] == escaped]


def is_mounted(target):
    return any(t.startswith('fuse') for t in mounts_at(target))


def wait_until(condition, what, seconds=10):
    """For what no descriptor announces. Returns the condition's value."""
    end = time.monotonic() + patience(seconds)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError('waited %g s in vain until %s' % (patience(seconds), what))
        time.sleep(0.002)


def wait_mount(target, pid, seconds=WAIT):
    """Until a FUSE file system is mounted at TARGET, or process PID is gone. True if mounted."""
    end = time.monotonic() + seconds
    with open('/proc/self/mountinfo') as table:
        pidfd = os.pidfd_open(pid)
        try:
            poll = select.poll()
            poll.register(table, select.POLLPRI | select.POLLERR)
            poll.register(pidfd, select.POLLIN)
            while not is_mounted(target):
                left = end - time.monotonic()
                if left <= 0:
                    raise AssertionError('nothing mounted at %s after %g s' % (target, seconds))
                if any(fd == pidfd for fd, _ in poll.poll(left * 1000)):
                    return is_mounted(target)
            return True
        finally:
            os.close(pidfd)


def credentials(user):
    """A preexec function that makes the child that user, with no supplementary groups."""
    def take_on():
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    return take_on if user else None


class Daemon:
    """`smfs -f`, its output kept. USER: mounts as that uid, the unprivileged way."""

    def __init__(self, arguments, mountpoint, scratch, user=0, foreground=True):
        self.mountpoint, self.user, self.foreground = mountpoint, user, foreground
        self.expected_status, self.may_complain, self.may_say = 0, False, None
        self.out_path, self.err_path = scratch + '/stdout', scratch + '/stderr'
        self.logs = scratch + '/logs'
        os.mkdir(self.logs)
        os.chmod(self.logs, 0o777)
        under = os.environ.get('SMFS_UNDER', '').replace('%LOG', self.logs + '/%p').split()     # for instance valgrind
        command = under + [os.environ['SMFS']] + (['-f'] if foreground else []) + arguments
        with open(self.out_path, 'wb') as out, open(self.err_path, 'wb') as err:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                            cwd='/', umask=0o022, preexec_fn=credentials(user))
        self.pid = self.process.pid

    def start(self):
        if not wait_mount(self.mountpoint, self.pid):
            status = self.process.wait()
            raise AssertionError('smfs ended with %d before it mounted: %s%s'
                                 % (status, self.stdout(), self.stderr()))
        if self.foreground:
            wait_until(lambda: self.stdout() or self.process.poll() is not None, 'smfs says that it serves')
        return self

    def stdout(self):
        with open(self.out_path, errors='surrogateescape') as out:
            return out.read()

    def stderr(self):
        with open(self.err_path, errors='surrogateescape') as err:
            return err.read()

    def wait(self, seconds=10):
        return self.process.wait(patience(seconds))

    def signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        """kill -9, and only here is that how it may end."""
        self.expected_status = -signal.SIGKILL
        os.kill(self.pid, signal.SIGKILL)
        self.process.wait()

    def unmount(self):
        if self.user:
            subprocess.run(['fusermount3', '-u', self.mountpoint], check=True, timeout=WAIT,
                           preexec_fn=credentials(self.user))
        else:
            umount(self.mountpoint)

    def stop(self):
        """Unmount and wait; returns what was wrong (a list of sentences)."""
        wrong = []
        if is_mounted(self.mountpoint):
            try:
                self.unmount()
            except (OSError, subprocess.SubprocessError) as e:
                wrong.append('unmounting failed: %s' % e)
                self.abort()
        try:
            status = self.wait()
        except subprocess.TimeoutExpired:
            wrong.append('smfs still runs %d s after the unmount' % WAIT)
            self.abort()
            status = None
        if status != self.expected_status:
            wrong.append('smfs exited with %s, expected %d' % (status, self.expected_status))
        said = [line for line in self.stderr().splitlines() if not (self.may_say and self.may_say in line)]
        if said and not self.may_complain:
            wrong.append('smfs wrote to stderr, expected nothing: %r' % '\n'.join(said))
        wrong += private.complaints(self.logs)
        return wrong

    def abort(self):
        """End a mount that hangs: the connection first, which frees whoever waits in it, then the process."""
        while mounts_at(self.mountpoint):
            try:
                umount(self.mountpoint, MNT_FORCE | MNT_DETACH)
            except OSError:
                break
        if self.process.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
            self.process.wait()

    @contextlib.contextmanager
    def traced(self, *arguments):
        """strace with these ARGUMENTS has every thread; what it writes is in the file that comes with it."""
        log = self.out_path + '.strace'
        tracer = subprocess.Popen(['strace', '-f', '-q', '-o', log, *arguments, '-p', str(self.pid)],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def has_all():
            for task in os.listdir('/proc/%d/task' % self.pid):
                with open('/proc/%d/task/%s/status' % (self.pid, task)) as status:
                    if '\nTracerPid:\t0\n' in status.read():
                        return False
            return True
        try:
            wait_until(has_all, 'strace has every thread')
            yield log
        finally:
            tracer.terminate()
            tracer.wait(WAIT)

    def descriptors(self):
        return len(os.listdir('/proc/%d/fd' % self.pid))

    def must_not_grow(self, before, allowed):
        """VmRSS may be ALLOWED KiB above BEFORE; a sanitizer's own memory says nothing."""
        now = self.status('VmRSS')
        if now - before > allowed and not os.environ.get('SMFS_SANITIZED'):
            raise AssertionError('the daemon has %d KiB resident, %d more than allowed' % (now, now - before - allowed))

    def status(self, name):
        """A number of /proc/PID/status, for instance VmRSS in KiB."""
        with open('/proc/%d/status' % self.pid) as table:
            for line in table:
                if line.startswith(name + ':'):
                    return int(line.split()[1])
        raise AssertionError('no %s in /proc/%d/status' % (name, self.pid))
