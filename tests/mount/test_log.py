# SPDX-License-Identifier: MIT
"""What an operator would act on is one line in the log: standard error, or syslog in the background."""

import os
import socket
import subprocess

import harness
import shm
from case import equal, errno_of
from daemon import WAIT, credentials, is_mounted, mount, umount

SMFS = os.environ.get('SMFS', '')


class Syslog:
    """A /dev/log of our own, here only."""

    def __init__(self, m):
        self.mnt, self.path = m.mnt, m.scratch + '/log'
        # /dev is everybody's: a name there that is bound to ours, in this mount namespace only
        self.made = not os.path.lexists('/dev/log')
        if self.made:
            open('/dev/log', 'w').close()
        self.target = os.path.realpath('/dev/log')
        self.listen()

    def listen(self):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        os.chmod(self.path, 0o666)
        self.socket.settimeout(WAIT)
        mount(self.path, self.target, 'none', 4096)

    def restart(self):
        umount(self.target)
        self.socket.close()
        os.unlink(self.path)
        self.listen()

    def fill(self):
        """As many datagrams as it takes; returns how many."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.connect('/dev/log')
            for number in range(100000):
                if errno_of(sender.send, b'junk') == 'EAGAIN':
                    return number
        raise AssertionError('it is never full')

    def line(self):
        return self.socket.recv(4096).decode()

    def close(self):
        umount(self.target)
        if self.made:
            os.unlink('/dev/log')
        self.socket.close()
        if is_mounted(self.mnt):        # the test failed before it ended the daemon, which nobody else knows
            umount(self.mnt, harness.MNT_DETACH)


def in_background(m, *options):
    """smfs as a daemon; its pid."""
    done = subprocess.run([SMFS, *options, m.keys, m.mnt], capture_output=True, timeout=WAIT)
    equal((done.returncode, done.stdout, done.stderr), (0, b'', b''))
    return next(int(p) for p in os.listdir('/proc') if p.isdigit() and os.path.exists('/proc/%s/exe' % p)
                and os.path.realpath('/proc/%s/exe' % p) == os.path.realpath(SMFS))


def end(m, pid):
    umount(m.mnt)
    equal(os.waitpid(pid, 0), (pid, 0), 'ends with 0')


def fails_to_come(log):
    try:
        raise AssertionError('another line: %r' % log.line())
    except TimeoutError:
        pass


def has(line, *words):
    for word in words:
        if word not in line:
            raise AssertionError('no %r in the line %r' % (word, line))


@harness.unmounted
def test_the_start_line(m):
    """Version, mount, access and capabilities."""
    version = subprocess.run([SMFS, '--version'], capture_output=True, text=True).stdout.split()[1]
    log = Syslog(m)
    try:
        pid = in_background(m)
        line = log.line()
        has(line, '<30>', 'smfs[%d]: ' % pid, 'version ' + version, m.keys, m.mnt, 'access', 'capabilities: ', 'sys_admin', 'ipc_owner')
        end(m, pid)
        pid = in_background(m, '-o', 'access=copy')
        has(log.line(), 'copying access')
        end(m, pid)
    finally:
        log.close()


def test_the_start_line_in_the_foreground(m):
    has(m.daemon.stdout(), 'smfs: version ', m.keys, m.mnt, 'copying' if m.copying else 'native', 'capabilities: ', 'sys_admin')
    equal(m.daemon.stdout().count('\n'), 1)


@harness.as_user
def test_why_there_is_no_native_access(m):
    has(m.daemon.stdout(), 'copying access (no passthrough: ', 'capabilities: none')


@harness.unmounted
def test_a_limit_that_is_met_is_said_once(m):
    """Bytes in the making; the second time within ten seconds is not worth a line."""
    m.key()
    log = Syslog(m)
    try:
        pid = in_background(m, '-o', 'staged=64K')
        log.line()
        for _ in range(3):
            fd = os.open(m.at('app.key:A'), os.O_CREAT | os.O_WRONLY)
            for _ in range(32):
                seen = errno_of(os.write, fd, b'x' * 4096)
            equal(seen, 'ENOSPC')
            os.close(fd)
            m.sh('rm -f app.key:A')
        has(log.line(), 'user 0', '65536', 'staged')
        log.socket.settimeout(0.2)
        fails_to_come(log)
        end(m, pid)
    finally:
        log.close()


def exceed_the_share(m):
    """One line is logged: a user met -o staged=64K."""
    fd = os.open(m.at('app.key:A'), os.O_CREAT | os.O_WRONLY)
    equal(errno_of(os.pwrite, fd, b'x' * 70000, 0), 'ENOSPC')
    os.close(fd)
    m.sh('rm -f app.key:A')


@harness.unmounted
def test_a_log_that_nobody_reads(m):
    """Whoever asks something of the mount is answered all the same, and the next line says that one was lost."""
    m.key()
    log = Syslog(m)
    try:
        junk = log.fill()
        pid = in_background(m, '-o', 'staged=64K')      # whose first line is lost
        equal('.id' in os.listdir(m.mnt), True, 'it serves')
        for _ in range(junk):
            equal(log.line(), 'junk')
        exceed_the_share(m)
        has(log.line(), '<28>', 'smfs[%d]: ' % pid, 'lines lost before this one, since nobody read: 1')
        has(log.line(), 'user 0', '65536', 'staged')
        end(m, pid)
    finally:
        log.close()


@harness.unmounted
def test_a_log_that_is_started_anew(m):
    """syslogd was restarted: the next line goes to the new socket."""
    m.key()
    log = Syslog(m)
    try:
        pid = in_background(m, '-o', 'staged=64K')
        log.line()
        log.restart()
        exceed_the_share(m)
        has(log.line(), 'user 0', '65536', 'staged')
        end(m, pid)
    finally:
        log.close()


@harness.unmounted
def test_a_repair(m):
    m.key()
    log = Syslog(m)
    try:
        m.make(contents=b'x', count=0, counter_size=4096)
        holder = m.hold()
        pid = in_background(m, '-o', 'reap=1')
        log.line()
        m.drop(holder)
        has(log.line(), 'segment ', ' 1 -> 0', 'died')
        end(m, pid)
    finally:
        log.close()
    m.remove()


@harness.unmounted
def test_a_start_that_is_refused(m):
    """Said where the one who starts it looks, before it goes into the background."""
    os.chown(m.mnt, harness.USER, harness.USER)
    done = subprocess.run([SMFS, '-o', 'access=native', m.keys, m.mnt], capture_output=True, text=True, timeout=WAIT,
                          preexec_fn=credentials(harness.USER))
    equal((done.returncode != 0, done.stdout, done.stderr.count('\n')), (True, '', 1), done.stderr)
    has(done.stderr, 'native access', 'access=native')
    equal(is_mounted(m.mnt), False)


@harness.unmounted
def test_a_path_cannot_forge_a_line(m):
    """What a stranger recorded in a counter segment is logged without control characters."""
    name = 'evil\n<0>kernel: panic\x1b[2J'
    m.key(name)
    log = Syslog(m)
    try:
        pid = in_background(m, '-o', 'reap=1')
        log.line()
        m.create(name + ':A', b'x')
        data = m.data(name).id
        holder, address = m.hold(name), shm.attach(data)
        m.drop(holder)
        line = log.line()
        has(line, 'evil?<0>kernel: panic?[2J')
        equal([c for c in line if ord(c) < 32], [])
        shm.detach(address)
        end(m, pid)
    finally:
        log.close()
    m.remove(name)


harness.main(globals())
