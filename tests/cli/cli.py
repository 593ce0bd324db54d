# SPDX-License-Identifier: MIT
"""Runs the test functions of one file, each with the smctl that SMCTL names, where no other segment is.

A test file defines `test_...(c)` functions, c being a Cli, and ends with `cli.main(globals())`. The process
first moves into private IPC, mount and process namespaces; what a test leaves behind there is removed, and
a process that it leaves behind is a failure.
"""

import collections
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [TESTS, TESTS + '/mount']
import private  # noqa: E402
import shm  # noqa: E402
from private import patience  # noqa: E402

NOBODY = 65534
SECONDS = patience(30)      # the longest that one run of smctl may take


class Ran:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    def __repr__(self):
        return 'status %d, out %r, err %r' % (self.status, self.out, self.err)


class Cli:
    def __init__(self):
        self.smctl = os.environ['SMCTL']
        self.scratch = tempfile.mkdtemp(prefix='smctl-test.')
        os.chmod(self.scratch, 0o755)
        self.children = []

    def key(self, name='app.key'):
        """A key file."""
        path = os.path.join(self.scratch, name)
        open(path, 'w').close()
        return path

    def run(self, *args, stdin='', uid=None, env=None, umask=-1):
        """smctl's status and output. Bytes that are not UTF-8 come as surrogates, both ways."""
        drop = {'user': uid, 'group': uid, 'extra_groups': []} if uid else {}
        done = subprocess.run([self.smctl] + list(args), input=stdin.encode(errors='surrogateescape'), umask=umask,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=SECONDS,
                              env=dict(os.environ, **(env or {})), **drop)
        return Ran(done.returncode, done.stdout.decode(errors='surrogateescape'),
                   done.stderr.decode(errors='surrogateescape'))

    def ok(self, *args, **more):
        """Its output, where it must succeed and have nothing to complain of."""
        ran = self.run(*args, **more)
        assert ran.status == 0 and not ran.err, '%s: %r' % (args, ran)
        return ran.out

    def calls(self, *args):
        """The same, and how often it made which system call; None where strace is missing."""
        counts, env = self.scratch + '/calls', dict(os.environ, ASAN_OPTIONS='detect_leaks=0')  # no such look under strace
        tracer = ['strace', '-qq', '-c', '-U', 'name,calls', '-o', counts] if have('strace') else []
        done = subprocess.run(tracer + [self.smctl] + list(args), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=SECONDS, env=env)
        ran = Ran(done.returncode, done.stdout, done.stderr)
        if not tracer:
            return ran, None
        with open(counts) as table:
            rows = [line.split() for line in table]
        return ran, collections.Counter({row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()})

    def bad(self, status, saying, *args, **more):
        """It must end so, say that, and change no segment."""
        before = [s._replace(atime=0, dtime=0, lpid=0) for s in shm.listing()]
        ran = self.run(*args, **more)
        assert ran.status == status, '%s: %r' % (args, ran)
        assert saying in ran.err, '%s: %r lacks %r' % (args, ran, saying)
        assert not ran.out, '%s: %r' % (args, ran)
        assert [s._replace(atime=0, dtime=0, lpid=0) for s in shm.listing()] == before, args
        return ran

    def spawn(self, *args, **more):
        child = subprocess.Popen([self.smctl] + list(args), stdin=subprocess.DEVNULL, **more)
        self.children.append(child)
        return child

    def holder(self, path, proj, size=None):
        """A process that holds the object."""
        child = subprocess.Popen([os.environ['HOLDER'], path, proj] + ([str(size)] if size else []),
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.children.append(child)
        assert child.stdout.readline() == 'ready\n'
        return child

    def finish(self):
        for child in self.children:
            if child.poll() is None:
                child.kill()
            child.wait()
            if child.stdout:
                child.stdout.close()
        wrong = private.left_processes()
        for seg in shm.listing():
            shm.remove(seg.id)
        shutil.rmtree(self.scratch, ignore_errors=True)
        return wrong


def kill(child, sig=signal.SIGKILL):
    child.send_signal(sig)
    child.wait()


def have(tool):
    """Whether the machine has it. Where the suite must run, it has to."""
    found = shutil.which(tool)
    assert found or not os.environ.get('SMFS_TESTS_MUST_RUN'), '%s is not installed' % tool
    if not found:
        print('     not tried: %s is not installed' % tool)
    return found


def wait_for(true, what, seconds=5):
    end = time.monotonic() + patience(seconds)
    while not true():
        assert time.monotonic() < end, 'not within %g s: %s' % (seconds, what)
        time.sleep(0.005)


def data_of(path, proj):
    """The data segment's shmid, or None."""
    return shm.find(shm.ftok(path, proj))


def counter_of(path, proj):
    return shm.find(shm.ftok(path, ord(proj) - 58))


def refcount(path, proj):
    return int.from_bytes(shm.read(counter_of(path, proj), 4), 'little', signed=True)


def set_refcount(path, proj, value):
    shm.write(counter_of(path, proj), value.to_bytes(4, 'little', signed=True))


@contextlib.contextmanager
def tmpfs(base):
    """A file system of its own, whose inode numbers are handed out one after the other."""
    folder = base + '/tmpfs'
    os.mkdir(folder)
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'nr_inodes=0', 'none', folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(['umount', folder], check=True)


def twins(folder):
    """Two files there with the same keys: their inode numbers are 65536 apart."""
    first = folder + '/first'
    open(first, 'w').close()
    for i in range(70000):
        path = '%s/%d' % (folder, i)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
        if shm.ftok(path, 'A') == shm.ftok(first, 'A'):
            return first, path
        os.unlink(path)
    raise AssertionError('no two files with the same keys')


def where(error):
    frames = [f for f in traceback.extract_tb(error.__traceback__) if os.path.basename(f.filename).startswith('test_')]
    line = 'line %d: ' % frames[-1].lineno if frames else ''
    return line + (str(error) or frames[-1].line if isinstance(error, AssertionError) else repr(error))


def run_one(test):
    cli, wrong = Cli(), []
    try:
        test(cli)
    except Exception as e:
        wrong.append(where(e))
    return wrong + cli.finish()


def main(names):
    private.enter_all()
    sys.exit(private.run_all(names, run_one))
