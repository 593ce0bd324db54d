# SPDX-License-Identifier: MIT
"""-o ipcns: the shared memory of a container, seen from outside it."""

import ctypes
import os
import signal
import subprocess

import harness
import shm
from case import equal, in_child
from daemon import mount

CLONE_NEWNS, CLONE_NEWIPC = 0x20000, 0x08000000
_libc = ctypes.CDLL(None, use_errno=True)


def checked(result):
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class Container:
    """A process with its own IPC and mount namespaces, its own files in KEYDIR, and nothing else to do."""

    def __init__(self, m):
        ready, done = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            checked(_libc.unshare(CLONE_NEWIPC | CLONE_NEWNS))
            mount('tmpfs', m.keys, 'tmpfs', data='mode=0755')
            os.mkdir(m.keys + '/inside')
            with open(m.keys + '/inside/app.key', 'w'):
                pass
            os.write(done, b'x')
            while True:
                signal.pause()
        os.close(done)
        equal(os.read(ready, 1), b'x')
        os.close(ready)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)

    def do(self, call):
        """CALL in a child that has entered it."""
        def enter():
            for name, flag in ('mnt', CLONE_NEWNS), ('ipc', CLONE_NEWIPC):
                with open('/proc/%d/ns/%s' % (self.pid, name)) as ns:
                    namespaces.append((os.dup(ns.fileno()), flag))
            for fd, flag in namespaces:
                checked(_libc.setns(fd, flag))
        namespaces = []
        return in_child(call, enter)


def start(m, container, where=None, keydir=None):
    m.start(['-o', 'ipcns=%s' % (where or container.pid), keydir or m.keys, m.mnt])


def refused(m, arguments, user=0):
    done = subprocess.run([os.environ['SMFS'], '-f'] + arguments + [m.mnt], capture_output=True, text=True, timeout=10,
                          preexec_fn=(lambda: (os.setgroups([]), os.setresgid(user, user, user),
                                               os.setresuid(user, user, user))) if user else None)
    equal((done.returncode != 0, done.stdout, done.stderr.count('\n')), (True, '', 1), done.stderr)
    return done.stderr


@harness.unmounted
def test_objects_of_a_container(m):
    shmid = m.own(shm.get(0x41414141, 10, shm.IPC_CREAT | 0o600))
    with Container(m) as box:
        key = box.do(lambda: shm.ftok(m.keys + '/inside/app.key', 'A'))
        inner = box.do(lambda: shm.get(key, 5000, shm.IPC_CREAT | 0o640))
        box.do(lambda: shm.write(inner, b'from inside'))
        start(m, box)
        equal(m.read('inside/app.key:A')[:11], b'from inside')
        equal(os.listdir(m.at('.id')), [str(inner)])
        equal(os.readlink(m.at('.key/0x%08x' % (key & 0xffffffff))), '../.id/%d' % inner)
        m.write('inside/app.key:A', b'FROM')
        equal(box.do(lambda: shm.read(inner, 11)), b'FROM inside')
        m.create('inside/app.key:B', b'made outside')
        equal(box.do(lambda: shm.read(shm.find(shm.ftok(m.keys + '/inside/app.key', 'B')))), b'made outside')
        equal(sorted(os.listdir(m.at('inside'))), ['app.key:B', 'app.key:B.refcount'])
        text = m.read('inside/app.key:B.info').decode()
        equal('path: %s/inside/app.key\n' % m.keys in text, True, text)
        equal([s.id for s in shm.listing()], [shmid], 'nothing of it is here')
        for name in 'app.key:A', 'app.key:B':
            os.unlink(m.at('inside/' + name))
        equal(box.do(shm.listing), [])
        equal(os.statvfs(m.mnt).f_files - os.statvfs(m.mnt).f_ffree, 0)


@harness.unmounted
def test_who_has_it_attached_there(m):
    with Container(m) as box:
        inner = box.do(lambda: shm.get(0x42424242, 5000, shm.IPC_CREAT | 0o600))
        outer = m.own(shm.get(0x42424242, 7, shm.IPC_CREAT | 0o600))
        address = shm.attach(outer)     # the same key and, most likely, the same shmid: another segment
        start(m, box)
        text = m.read('.id/%d.info' % inner).decode()
        equal(('\nattached: -\n' in text, '\nsize: 5000\n' in text), (True, True), text)
        ready, hold = os.pipe(), os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(hold[1])
            box.do(lambda: (shm.attach(inner), os.write(ready[1], b'x'), os.read(hold[0], 1)))
            os._exit(0)
        os.read(ready[0], 1)
        text = m.read('.id/%d.info' % inner).decode()
        equal((text.count('\nattached: '), ' rw\n' in text, '\nnattch: 1\n' in text), (1, True, True), text)
        os.close(hold[1])
        os.waitpid(pid, 0)
        shm.detach(address)


@harness.unmounted
def test_a_file_that_stands_for_it(m):
    m.key()
    key = m.keys_of()[0]
    with Container(m) as box:
        inner = box.do(lambda: shm.get(key, 5000, shm.IPC_CREAT | 0o640))
        start(m, box, '/proc/%d/ns/ipc' % box.pid)
        equal(os.stat(m.at('app.key:A')).st_ino, inner, 'key files are ours')
        equal(shm.listing(), [])


@harness.unmounted
def test_it_lives_on_with_the_daemon(m):
    with Container(m) as box:
        start(m, box)
        m.create('inside/app.key:A', b'here')
    equal(m.read('inside/app.key:A'), b'here')
    os.unlink(m.at('inside/app.key:A'))


@harness.unmounted
def test_what_cannot_be_entered(m):
    with Container(m) as box:
        equal('no such process' in refused(m, ['-o', 'ipcns=999999', '/']), True)
        equal('no such process' in refused(m, ['-o', 'ipcns=99999999999999999999999999999999999999999', '/']), True)
        equal('No such file' in refused(m, ['-o', 'ipcns=/nowhere', '/']), True)
        for path in '/proc/%d/ns/mnt' % box.pid, '/etc/passwd', '/':
            equal('is no IPC namespace' in refused(m, ['-o', 'ipcns=' + path, '/']), True, path)
        equal('begin with /' in refused(m, ['-o', 'ipcns=%d' % box.pid, 'keys']), True)
        os.chown(m.mnt, 65534, 65534)
        for where in box.pid, '/proc/%d/ns/ipc' % box.pid:
            text = refused(m, ['-o', 'ipcns=%s' % where, m.keys], user=65534)
            equal('needs root' in text, True, text)
        equal('No such file' in refused(m, ['-o', 'ipcns=%d' % box.pid, m.keys + '/outside']), True)


harness.main(globals())
