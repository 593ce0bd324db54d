# SPDX-License-Identifier: MIT
"""Starting, ending and being killed: what the daemon leaves, and where it runs."""

import os
import signal
import subprocess

import harness
import shm
from case import equal, errno_of, fails, sh
from daemon import is_mounted, mounts_at, patience, umount, wait_until

SMFS = os.environ.get('SMFS', '')
NOT_TRACED = 'it makes threads and processes of its own, and strace does not get along with it'


def ended_by(m, number):
    m.key()
    m.make(contents=b'x')
    equal(m.read('app.key:A'), b'x')
    m.daemon.signal(number)
    equal((m.daemon.wait(), m.daemon.stderr()), (0, ''), 'exit status and stderr')
    equal(is_mounted(m.mnt), False, 'still mounted')
    equal(m.bytes_of(), b'x')


def test_sigterm(m):
    ended_by(m, signal.SIGTERM)


def test_sigint(m):
    ended_by(m, signal.SIGINT)


def test_sighup(m):
    ended_by(m, signal.SIGHUP)


def test_sigterm_while_a_file_is_open(m):
    m.key()
    m.make(contents=b'x')
    fd = os.open(m.at('app.key:A'), os.O_RDWR)
    where = os.open(m.mnt, os.O_RDONLY)
    m.daemon.signal(signal.SIGTERM)
    equal((m.daemon.wait(), m.daemon.stderr()), (0, ''), 'exit status and stderr')
    equal(is_mounted(m.mnt), False)
    if errno_of(os.listdir, where) not in ('ENOTCONN', 'ECONNABORTED'):
        raise AssertionError('a directory of the ended mount: ' + errno_of(os.listdir, where))
    errno_of(os.close, fd)
    os.close(where)


def test_unmounting_while_it_works(m):
    """A lazy unmount under an open file: it goes on until the file is closed, and then ends with 0."""
    m.key()
    m.make(contents=b'x')
    fd = os.open(m.at('app.key:A'), os.O_RDWR)
    umount(m.mnt, harness.MNT_DETACH)
    equal(os.pread(fd, 1, 0), b'x')
    os.close(fd)
    equal(m.daemon.wait(), 0)


def test_killed_and_started_again(m):
    m.key()
    m.create('app.key:A', b'survives')
    m.daemon.kill()
    fails('ENOTCONN', os.listdir, m.mnt)
    m.start()
    equal(mounts_at(m.mnt), ['fuse.smfs'], 'the dead mount is cleared, not covered')
    equal(m.listing(), ['app.key:A', 'app.key:A.refcount'])
    equal(m.read('app.key:A'), b'survives')
    m.run('rm app.key:A')


@harness.as_user
@harness.killed
def test_killed_and_started_again_by_a_user(m):
    m.key()
    m.create('app.key:A', b'survives')
    os.kill(m.daemon.pid, 9)
    wait_until(lambda: errno_of(os.listdir, m.mnt) == 'ENOTCONN', 'the mount is dead')
    done = subprocess.run([SMFS, m.keys, m.mnt], capture_output=True, timeout=10)
    equal((done.returncode, done.stdout, done.stderr), (0, b'', b''))
    equal(m.read('app.key:A'), b'survives')
    os.unlink(m.at('app.key:A'))
    subprocess.run(['fusermount3', '-u', m.mnt], check=True)


def test_a_writer_when_the_daemon_dies(m):
    m.key()
    m.make(contents=b'x' * 10)
    fd = os.open(m.at('app.key:A'), os.O_RDWR)
    os.pwrite(fd, b'y', 0)
    m.daemon.kill()
    if m.copying:
        fails('ENOTCONN', os.pwrite, fd, b'z', 0)
    errno_of(os.close, fd)
    equal(m.bytes_of(), b'y' + b'x' * 9)
    m.start()


@harness.unmounted
def test_in_the_background(m):
    m.key()
    done = subprocess.run([SMFS, m.keys, m.mnt], capture_output=True, timeout=10, cwd=m.scratch)
    equal((done.returncode, done.stdout, done.stderr), (0, b'', b''))
    m.run('echo hi > app.key:A; cat app.key:A; rm app.key:A', expected='hi\n')
    pids = [int(p) for p in os.listdir('/proc') if p.isdigit() and comm(p) == 'smfs']
    equal(len(pids), 1, 'daemons')
    equal(os.readlink('/proc/%d/cwd' % pids[0]), '/')
    for fd in (0, 1, 2):
        equal(os.readlink('/proc/%d/fd/%d' % (pids[0], fd)), '/dev/null')
    equal(os.getsid(pids[0]) != os.getsid(0), True, 'a session of its own')
    umount(m.mnt)
    equal(os.waitpid(pids[0], 0), (pids[0], 0), 'ends with 0')     # we are its init


def comm(pid):
    try:
        with open('/proc/%s/comm' % pid) as f:
            return f.read().strip()
    except OSError:
        return ''


def refused_start(m, fault, *options):
    """smfs with this system call failing: said in one line, exit status 1, and nothing stays mounted or running."""
    command = ['strace', '-f', '-qq', '-o', m.scratch + '/strace', '-e', 'trace=' + fault.split(':')[0], '-e', 'inject=' + fault,
               SMFS, *options, m.keys, m.mnt]
    env = dict(os.environ, ASAN_OPTIONS='detect_leaks=0')       # which strace and that look for do not go together
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=patience(10), env=env)
    with open(m.scratch + '/strace') as log:
        text = log.read()
    equal('(INJECTED)' in text or 'killed by SIGKILL' in text, True, fault + ': it fails')
    equal((done.returncode, done.stdout, done.stderr.count('\n'), done.stderr[:20]), (1, '', 1, 'smfs: cannot start: '),
          '%s %s: %r' % (fault, options, done.stderr))
    equal(is_mounted(m.mnt), False, 'mounted')
    equal([p for p in os.listdir('/proc') if comm(p) == 'smfs'], [], 'daemons')


@harness.not_under('valgrind', NOT_TRACED)
@harness.not_under('tsan', NOT_TRACED)
@harness.unmounted
def test_whatever_fails_is_said_before_it_is_in_the_background(m):
    """Giving up capabilities, the threads of the pool, of the monitor and of the loop."""
    for fault in ['prctl:error=EPERM'] + ['clone3:error=EAGAIN:when=%d' % n for n in (1, 2, 3, 4)]:
        refused_start(m, fault, '-o', 'reap')
        refused_start(m, fault, '-o', 'reap', '-f')
    refused_start(m, 'pipe2:error=EMFILE')
    m.start()


@harness.not_under('valgrind', NOT_TRACED)
@harness.not_under('tsan', NOT_TRACED)
@harness.unmounted
def test_killed_before_it_is_in_the_background(m):
    refused_start(m, 'setsid:signal=KILL')
    m.start()


@harness.unmounted
def test_paths_relative_to_where_it_was_started(m):
    m.key()
    done = subprocess.run([SMFS, 'keys', 'mnt'], capture_output=True, timeout=10, cwd=m.scratch)
    equal((done.returncode, done.stdout, done.stderr), (0, b'', b''))
    m.run('echo hi > app.key:A; cat app.key:A; ls; rm app.key:A', expected='hi\napp.key:A\napp.key:A.refcount\n')
    umount(m.mnt)


@harness.unmounted
def test_keydir_defaults_to_the_root(m):
    path = m.key()
    m.start(arguments=[m.mnt])
    name = path.lstrip('/') + ':A'
    m.create(name, b'by its whole path')
    equal(m.bytes_of(), b'by its whole path')
    equal(sorted(os.listdir(os.path.dirname(m.at(name)))), ['app.key:A', 'app.key:A.refcount'])
    os.unlink(m.at(name))


@harness.options('-s')
def test_single_threaded(m):
    m.key()
    m.run('echo hi > app.key:A; cat app.key:A app.key:A.refcount; ls; rm app.key:A',
          expected='hi\n0\napp.key:A\napp.key:A.refcount\n')


@harness.options('-d')
def test_debug_output(m):
    m.key()
    m.run('echo hi > app.key:A; cat app.key:A; rm app.key:A', expected='hi\n')
    equal('LOOKUP' in m.daemon.stderr(), True, 'libfuse\'s trace on stderr')
    m.daemon.may_complain = True


@harness.options('-o', 'ro')
def test_read_only(m):
    m.key()
    m.make(contents=b'x', count=3)
    equal((m.read('app.key:A'), m.read('app.key:A.refcount')), (b'x', b'3\n'))
    fails('EROFS', os.open, m.at('app.key:A'), os.O_RDWR)
    fails('EROFS', os.unlink, m.at('app.key:A'))
    fails('EROFS', os.chmod, m.at('app.key:A'), 0o600)
    fails('EROFS', os.open, m.at('app.key:B'), os.O_CREAT | os.O_WRONLY)
    fails('EROFS', os.open, m.at('app.key:A.refcount'), os.O_WRONLY)


def test_the_start_line(m):
    """With -f, one line on standard output tells the way to the bytes."""
    text = wait_until(m.daemon.stdout, 'a line on standard output')
    equal(text.count('\n'), 1, 'lines of %r' % text)
    equal('cop' in text.lower() or 'native' in text.lower(), True, 'the access in %r' % text)
    equal(mounts_at(m.mnt), ['fuse.smfs'])


def test_mounted_twice(m):
    """Two mounts of one KEYDIR show the same; a second on the same point is refused or hides the first."""
    m.key()
    other = m.scratch + '/second'
    os.mkdir(other)
    m.start(mountpoint=other)
    m.create('app.key:A', b'x')
    with open(other + '/app.key:A', 'rb') as f:
        equal(f.read(), b'x')
    os.unlink(other + '/app.key:A')
    fails('ENOENT', os.stat, m.at('app.key:A'))


def test_idle_memory(m):
    m.key()
    m.run('echo hi > app.key:A; cat app.key:A; rm app.key:A', expected='hi\n')
    m.daemon.must_not_grow(0, 8191)


def last_pid():
    with open('/proc/sys/kernel/ns_last_pid') as f:
        return int(f.read())


def write_blocks(m, count):
    fd = os.open(m.at('app.key:A'), os.O_WRONLY)
    block = b'x' * (1 << 20)
    for _ in range(count):
        equal(os.pwrite(fd, block, 0), len(block))
    os.close(fd)


@harness.options('-o', 'max_idle_threads=1')
def test_a_writer_starts_no_thread_for_each_block(m):
    """On one processor a thread is preempted by the writer that it answered, and looks busy: libfuse's loop starts one."""
    m.key()
    m.make(size=1 << 20)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    for tid in os.listdir('/proc/%d/task' % m.daemon.pid):
        os.sched_setaffinity(int(tid), os.sched_getaffinity(0))
    before = last_pid()
    write_blocks(m, 200)
    equal(last_pid() - before <= 10, True, '%d processes or threads were started' % (last_pid() - before))


@harness.options('-o', 'max_idle_threads=1')
@harness.deadline(120)
def test_threads_end_when_they_are_not_needed(m):
    m.key()
    m.make(size=1 << 20)
    write_blocks(m, 20)

    def few():
        write_blocks(m, 20)
        return len(os.listdir('/proc/%d/task' % m.daemon.pid)) <= quiet + 1
    quiet = len(os.listdir('/proc/%d/task' % m.daemon.pid))
    m.sh('for i in 1 2 3 4 5 6 7 8; do for j in 1 2 3 4 5 6 7 8; do cat * > /dev/null; done & done; wait')
    wait_until(few, 'the threads that a crowd needed are ended', 60)


@harness.options('-o', 'clone_fd')
def test_a_device_descriptor_for_each_thread(m):
    m.key()
    m.make(size=1 << 20)
    write_blocks(m, 20)
    equal(m.daemon.stop(), [])


@harness.not_under('tsan', 'a thread of ThreadSanitizer wakes ten times a second')
def test_an_idle_daemon_does_not_wake(m):
    """Nothing runs by itself: no context switch of any thread while somebody else works."""
    m.key()
    m.make(contents=b'x')
    m.read('app.key:A')

    def switches():
        total = 0
        for task in os.listdir('/proc/%d/task' % m.daemon.pid):
            with open('/proc/%d/task/%s/status' % (m.daemon.pid, task)) as f:
                total += sum(int(line.split()[1]) for line in f if 'ctxt_switches' in line)
        return total

    def still():
        before = switches()
        sh('i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done')
        return switches() == before
    wait_until(still, 'the idle daemon stays asleep through a whole loop', 20)


def attached():
    return [s for s in shm.listing() if s.nattch]


def test_everything_is_given_back(m):
    """Descriptors, attachments and memory are where they were after a lot of everything."""
    def work(n):
        for i in range(n):
            m.create('app.key:A', b'x' * 5000)
            fd = os.open(m.at('app.key:A'), os.O_RDWR)
            os.pread(fd, 10, 0)
            os.pwrite(fd, b'y', i)
            m.read('app.key:A.refcount')
            os.listdir(m.mnt)
            if i % 2:
                os.unlink(m.at('app.key:A'))
                os.close(fd)
            else:
                os.close(fd)
                os.truncate(m.at('app.key:A'), 100)
                os.unlink(m.at('app.key:A'))
    m.key()
    m.key('held')
    data, counter = m.make('held', contents=b'x')
    work(50)
    m.read('held:A')
    settled = wait_until(lambda: not attached() and m.daemon.descriptors(), 'nothing is attached', 4)
    rss = m.daemon.status('VmRSS')
    work(500)
    m.read('held:A')
    wait_until(lambda: not attached(), 'nothing is attached', 4)
    wait_until(lambda: m.daemon.descriptors() <= settled, 'the daemon has %d descriptors again (it has %d)'
               % (settled, m.daemon.descriptors()), 4)
    m.daemon.must_not_grow(rss, 1024)


harness.main(globals())
