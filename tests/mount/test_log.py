# SPDX-License-Identifier: MIT
"""What an operator would act on is one line in the log: standard error, or syslog in the background."""

import os
import socket
import subprocess
import time

import harness
import people
import shm
from case import equal, errno_of, spawn
from daemon import WAIT, credentials, is_mounted, mount, umount, wait_until

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


def in_background(m, *options, relative=False):
    """smfs as a daemon; its pid."""
    operands = [os.path.basename(path) if relative else path for path in (m.keys, m.mnt)]
    done = subprocess.run([SMFS, *options, *operands], capture_output=True, timeout=WAIT, cwd=m.scratch)
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
        pid = in_background(m, relative=True)
        has(log.line(), 'version %s, %s on %s, ' % (version, m.keys, m.mnt))
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
        m.make(contents=b'x', count=0)
        holder = m.hold()
        pid = in_background(m, '-o', 'reap=1')
        log.line()
        m.drop(holder)
        has(log.line(), 'segment ', ' 1 -> 0', 'died')
        end(m, pid)
    finally:
        log.close()
    m.remove()


@harness.allow_other
@harness.options('-o', 'files=5')
@harness.says('the most allowed')
def test_each_user_that_meets_a_limit(m):
    m.key()
    m.create('app.key:A', b'x')

    def meet():
        files = [os.open(m.at('app.key:A'), os.O_RDONLY) for _ in range(5)]
        equal([errno_of(os.open, m.at('app.key:A'), os.O_RDONLY) for _ in range(3)], ['EMFILE'] * 3)
        for fd in files:
            os.close(fd)
    for uid in (3000, 3001, 3002):
        m.as_uid(uid, uid, [], meet)
    lines = m.daemon.stderr().splitlines()
    equal([line for line in lines if 'left out' not in line],
          ['smfs: user %d: 5 files are open, the most allowed (-o files=)' % uid for uid in (3000, 3001, 3002)])
    m.sh('rm -f app.key:A')


@harness.options('-o', 'reap=1')
@harness.deadline(90)
def test_a_user_who_needs_repairs_all_the_time(m):
    """A few lines of it, and how many more there were; another user's is told meanwhile."""
    names = ['theirs%d' % i for i in range(40)]
    for name in names + ['ours']:
        m.key(name)
    m.create('ours:A', b'x')
    ours, line = m.hold('ours'), 'ours:A'

    def need_repairs():
        people.user(3000, 3000)()
        counters = []
        for name in names:
            data, counter = [m.own(shm.get(key, 4, shm.IPC_CREAT | 0o600)) for key in m.keys_of(name)]
            shm.attach(data)        # so that nothing is freed
            counters.append(counter)
        for _ in range(3):
            for counter in counters:
                shm.write(counter, b'\7\0\0\0')
            time.sleep(1.2)
    os.chmod(m.scratch, 0o777)      # m.own() notes the segments there
    begun, pid = time.monotonic(), spawn(need_repairs)
    m.daemon.may_complain = True
    wait_until(lambda: 'references 7 -> 0' in m.daemon.stderr(), 'the first repair', 20)
    m.drop(ours)
    wait_until(lambda: line in m.daemon.stderr(), "another user's line", 20)
    equal(os.waitpid(pid, 0)[1], 0, 'the other one')
    wait_until(lambda: 'about repairs of user 3000 left out' in m.daemon.stderr(), 'what was left out is told', 40)
    lines = m.daemon.stderr().splitlines()
    limit = 16 * ((time.monotonic() - begun) // 10 + 1)
    theirs = [x for x in lines if 'left out' not in x and line not in x]
    left_out = sum(int(x.split()[1]) for x in lines if 'left out' in x)
    if len(theirs) > limit or left_out < 20:
        raise AssertionError('%d lines of at most %d, %d left out' % (len(theirs), limit, left_out))


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
