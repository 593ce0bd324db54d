# SPDX-License-Identifier: MIT
"""What a test has in hand: one KEYDIR, one mount point, the daemon between them, and ways to look."""

import collections
import errno
import os
import pickle
import shutil
import struct
import subprocess
import sys

from daemon import Daemon, WAIT, credentials, mount, patience, wait_until
import shm

SHELLS = {'bash': ['bash'], 'dash': ['dash'], 'busybox': ['busybox', 'sh']}
Result = collections.namedtuple('Result', 'status out err')


def equal(seen, expected, what=''):
    if seen != expected:
        raise AssertionError('%sexpected %s, saw %s' % (what + ': ' if what else '', short(expected), short(seen)))


def short(value):
    text = repr(value)
    return text if len(text) < 1600 else text[:1400] + ' ... ' + text[-100:]


def errno_of(call, *arguments):
    """The name of the errno that CALL raises, or 'OK'."""
    try:
        call(*arguments)
    except OSError as e:
        return errno.errorcode.get(e.errno, str(e.errno))
    return 'OK'


def fails(expected, call, *arguments):
    equal(errno_of(call, *arguments), expected, '%s%r' % (getattr(call, '__name__', 'call'), arguments))


def shells():
    """The shells that are here; all of them have to be where the suite must run."""
    found = [name for name, command in SHELLS.items() if shutil.which(command[0])]
    if os.environ.get('SMFS_TESTS_MUST_RUN'):
        equal(found, list(SHELLS), 'shells installed')
    return found


def sh(command, shell='bash', cwd=None, timeout=20, user=0, env=None):
    """(status, stdout, stderr) of COMMAND in that shell, in the C locale."""
    done = subprocess.run(SHELLS[shell] + ['-c', command], cwd=cwd, timeout=patience(timeout), stdin=subprocess.DEVNULL,
                          capture_output=True, preexec_fn=credentials(user),
                          env=dict(os.environ, LC_ALL='C', **(env or {})))
    return Result(done.returncode, done.stdout.decode('utf-8', 'surrogateescape'),
                  done.stderr.decode('utf-8', 'surrogateescape'))


def as_uid(uid, gid, groups, call):
    """CALL in a child process with those credentials; its result, or what it raised."""
    def take_on():
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    return in_child(call, take_on)


def in_child(call, first=lambda: None):
    inner, outer = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            first()
            answer = (True, call())
        except BaseException as e:
            answer = (False, e if isinstance(e, (OSError, AssertionError)) else AssertionError(repr(e)))
        with os.fdopen(outer, 'wb') as pipe:
            pickle.dump(answer, pipe)
        os._exit(0)
    os.close(outer)
    with os.fdopen(inner, 'rb') as pipe:
        data = pipe.read()
    os.waitpid(pid, 0)
    if not data:
        raise AssertionError('the child process died')
    good, value = pickle.loads(data)
    if not good:
        raise value
    return value


def spawn(call):
    """CALL in a child process, which ends with 0, or 1 and what went wrong; returns its pid."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            call()
        except BaseException as e:
            print('     in a child process: %r' % e, flush=True)
            os._exit(1)
        os._exit(0)
    return pid


def all_end_well(pids):
    equal([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids], [0] * len(pids), 'exit statuses')


def own_segments(scratch):
    """The shmids that Case.own() noted."""
    if not os.path.exists(scratch + '/segments'):
        return set()
    with open(scratch + '/segments') as notes:
        return {int(line) for line in notes}


class Case:
    def __init__(self, test, base):
        self.user = getattr(test, 'user', 0)
        self.options, self.may_say = getattr(test, 'options', []), getattr(test, 'may_say', None)
        self.scratch = base + '/' + test.__name__
        self.keys, self.mnt = self.scratch + '/keys', self.scratch + '/mnt'
        self.started, self.daemons, self.late, self.killed = 0, [], False, getattr(test, 'killed', False)
        for directory in (self.scratch, self.keys, self.mnt):
            os.mkdir(directory, 0o755)
        mount('tmpfs', self.keys, 'tmpfs', data='mode=0755,uid=%d,gid=%d' % (self.user, self.user))
        for path in (self.mnt, self.scratch):
            os.chown(path, self.user, self.user)

    # ---- the daemon

    def start(self, arguments=None, mountpoint=None, options=None, user=None, foreground=True):
        """smfs on this case's KEYDIR and mount point, or with other ARGUMENTS; returns when it is mounted."""
        mountpoint = mountpoint or self.mnt
        access = os.environ.get('SMFS_ACCESS')
        given = list(self.options if options is None else options)
        given += ['-o', 'access=' + access] if access else []
        given += arguments if arguments is not None else [self.keys, mountpoint]
        place = '%s/log%d' % (self.scratch, self.started)
        os.mkdir(place)
        daemon = Daemon(given, mountpoint, place, self.user if user is None else user, foreground)
        if self.killed and not self.started:
            daemon.expected_status = -9
        daemon.may_say = self.may_say
        self.started += 1
        self.daemons.append(daemon)
        return daemon.start()

    @property
    def daemon(self):
        return self.daemons[-1]

    @property
    def copying(self):
        """Which way to the bytes this mount has: what the start line says."""
        return 'native' not in wait_until(self.daemon.stdout, 'smfs says which access is in use').lower()

    def finish(self):
        return [line for daemon in self.daemons for line in daemon.stop()]

    def time_out(self):
        self.late = True
        self.abort()

    def abort(self):
        for daemon in self.daemons:
            daemon.abort()

    # ---- names

    def key(self, name='app.key'):
        """A key file in KEYDIR, its directories too."""
        path = self.keys + '/' + name
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w'):
            pass
        return path

    def at(self, name):
        return self.mnt + '/' + name

    # ---- segments, as programs that know nothing of us see and make them

    def keys_of(self, name='app.key', proj='A'):
        """(data key, counter key) by the C library's ftok."""
        path = self.keys + '/' + name
        return shm.ftok(path, proj), shm.ftok(path, ord(proj) - 58)

    def find(self, name='app.key', proj='A'):
        """(data, counter), each a shm.Segment or None."""
        def look(shmid):
            try:
                return shm.stat(shmid)
            except OSError:
                return None     # removed since
        ids = [shm.find(key) for key in self.keys_of(name, proj)]
        return tuple(None if i is None else look(i) for i in ids)

    def data(self, name='app.key', proj='A'):
        segment = self.find(name, proj)[0]
        if segment is None:
            raise AssertionError('no data segment of %s:%s' % (name, proj))
        return segment

    def bytes_of(self, name='app.key', proj='A'):
        return shm.read(self.data(name, proj).id)

    def count(self, name='app.key', proj='A'):
        segment = self.find(name, proj)[1]
        if segment is None:
            raise AssertionError('no counter segment of %s:%s' % (name, proj))
        return struct.unpack('i', shm.read(segment.id, 4))[0]

    def set_count(self, value, name='app.key', proj='A'):
        shm.write(self.find(name, proj)[1].id, struct.pack('i', value))

    def make(self, name='app.key', proj='A', contents=b'', size=None, count=0, mode=0o666, counter_size=4):
        """An object as an old program makes it; COUNT None: no counter, SIZE 0: no data. Put away at the end."""
        data_key, counter_key = self.keys_of(name, proj)
        size = len(contents) if size is None else size
        ids = [None, None]
        if size:
            ids[0] = self.own(shm.get(data_key, size, shm.IPC_CREAT | shm.IPC_EXCL | mode))
            shm.write(ids[0], contents)
        if count is not None:
            ids[1] = self.own(shm.get(counter_key, counter_size, shm.IPC_CREAT | shm.IPC_EXCL | mode))
            if count:
                shm.write(ids[1], struct.pack('i', count))
        return tuple(ids)

    def own(self, shmid):
        """Note a segment as the test's: the harness removes it, and does not call it left over."""
        with open(self.scratch + '/segments', 'a') as notes:
            notes.write('%d\n' % shmid)
        return shmid

    def remove(self, name='app.key', proj='A'):
        """Both segments, the way ipcrm does it."""
        for segment in self.find(name, proj):
            if segment:
                shm.remove(segment.id)

    # ---- doing things in the mount

    def sh(self, command, shell='bash', cwd=None, **more):
        """In the mount point; $K is KEYDIR, $M the mount point."""
        return sh(command, shell, cwd or self.mnt, env={'K': self.keys, 'M': self.mnt}, **more)

    def run(self, command, shell='bash', expected='', **more):
        """The same, and it must succeed, print EXPECTED and complain of nothing."""
        equal(self.sh(command, shell, **more), Result(0, expected, ''), '%s: %s' % (shell, command))

    def refused(self, command, code, shell='bash', **more):
        """It must fail, and bash (dash has words of its own) must say why with the text of that errno."""
        result = self.sh(command, shell, **more)
        text = os.strerror(getattr(errno, code))
        if result.status == 0 or shell == 'bash' and text not in result.err:
            raise AssertionError('%s: %s: expected failure with %r, saw %s' % (shell, command, text, result))

    def listing(self, directory='.'):
        """Sorted; without .id and .key, which have tests of their own."""
        return sorted(n for n in os.listdir(self.at(directory)) if n not in ('.id', '.key'))

    def read(self, name):
        with open(self.at(name), 'rb') as f:
            return f.read()

    def write(self, name, data, flags=os.O_WRONLY):
        fd = os.open(self.at(name), flags)
        try:
            return os.write(fd, data)
        finally:
            os.close(fd)

    def create(self, name, data, mode=0o666):
        fd = os.open(self.at(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            return os.write(fd, data) if data else 0
        finally:
            os.close(fd)

    def refcount(self, word, name='app.key:A'):
        """Write WORD to the control file as `echo WORD >` does."""
        return self.write(name + '.refcount', word.encode() + b'\n', os.O_WRONLY | os.O_TRUNC)

    def hold(self, name='app.key', proj='A'):
        """build/tests/holder on that object: a process that holds one reference. Killed and waited for by drop()."""
        before = self.count(name, proj) if self.find(name, proj)[1] else 0
        process = subprocess.Popen([os.environ['HOLDER'], self.keys + '/' + name, proj],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        wait_until(lambda: self.find(name, proj)[1] and self.count(name, proj) == before + 1,
                   'the holder counts')
        return process

    def hold_new(self, name='app.key', proj='A', size=4096):
        """The same, of an object that it makes where there is none."""
        process = subprocess.Popen([os.environ['HOLDER'], self.keys + '/' + name, proj, str(size)],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        equal(process.stdout.readline(), b'ready\n')
        return process

    @staticmethod
    def drop(process, number=9):
        process.send_signal(number)
        return process.wait(WAIT)

    as_uid = staticmethod(as_uid)
