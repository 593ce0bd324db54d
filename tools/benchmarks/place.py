# SPDX-License-Identifier: MIT
"""A place to measure in: namespaces of its own, a tmpfs, segments and the mounts that show them."""

import ctypes
import os
import subprocess
import sys
import tempfile
import time

IPC_CREAT, IPC_RMID = 0o1000, 0
_libc = ctypes.CDLL(None, use_errno=True)
_libc.shmget.argtypes = [ctypes.c_int, ctypes.c_size_t, ctypes.c_int]


class Wrong(Exception):
    """Said to the user in one line."""


def enter():
    """Run this program again where nobody's segments and mounts are, and where all processes end with it."""
    if os.environ.get('SMFS_BENCH_INSIDE') == str(os.getpid()):
        return
    if os.geteuid() != 0:
        raise Wrong('native access needs root: run it as root')
    os.environ['SMFS_BENCH_INSIDE'] = '1'       # our pid in the new namespace
    os.execvp('unshare', ['unshare', '--ipc', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc',
                          '--propagation', 'private', sys.executable] + sys.argv)


def command(*words):
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise Wrong('%s: %s' % (' '.join(words), done.stderr.strip() or 'status %d' % done.returncode))
    return done.stdout


def segment(path, proj, size):
    """The shmid of ftok(PATH, PROJ), made with SIZE bytes."""
    key = _libc.ftok(os.fsencode(path), proj)
    shmid = _libc.shmget(key, size, IPC_CREAT | 0o600)
    if key == -1 or shmid < 0:
        raise Wrong('%s: no segment of %d bytes: %s' % (path, size, os.strerror(ctypes.get_errno())))
    return shmid


def free_memory():
    with open('/proc/meminfo') as info:
        return next(int(line.split()[1]) for line in info if line.startswith('MemAvailable:')) * 1024


class Place:
    """Use it with `with`: objects are files under .keys, .native, .copy and .tmpfs, and .null is nullfs."""

    def __init__(self, build):
        self.build, self.ids, self.children = build, {}, []
        self.probe_path = build + '/tools/benchmarks/probe'

    def __enter__(self):
        with open('/proc/sys/kernel/shmmni', 'w') as limit:
            limit.write('32768')
        self.base = tempfile.mkdtemp(prefix='smfs-bench.')
        command('mount', '-t', 'tmpfs', '-o', 'size=100%', 'tmpfs', self.base)
        for name in ('keys', 'native', 'copy', 'tmpfs', 'null'):
            setattr(self, name, self.base + '/' + name)
            os.mkdir(getattr(self, name))
        smfs = self.build + '/smfs/smfs'
        self.serve(self.native, smfs, '-f', '-o', 'access=native', self.keys, self.native)
        self.serve(self.copy, smfs, '-f', '-o', 'access=copy', self.keys, self.copy)
        self.serve(self.null, self.build + '/tools/benchmarks/nullfs', self.null)
        return self

    def serve(self, mountpoint, *words):
        child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.children.append((mountpoint, child))
        while not os.path.ismount(mountpoint):
            if child.poll() is not None:
                raise Wrong('%s does not serve (status %d)' % (words[0], child.returncode))
            time.sleep(0.01)

    def __exit__(self, *unused):
        for mountpoint, child in self.children:
            subprocess.run(['umount', mountpoint], stderr=subprocess.DEVNULL)
            child.wait()
        for shmid in self.ids.values():
            _libc.shmctl(shmid, IPC_RMID, None)
        subprocess.run(['umount', '-l', self.base])
        os.rmdir(self.base)

    def object(self, name, size, contents=True):
        """An object NAME:A of SIZE bytes and a tmpfs file NAME:A with the same; its shmid."""
        path = self.keys + '/' + name
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w'):
            pass
        self.ids[name] = segment(path, 65, size)
        self.ids[name + '.refcount'] = segment(path, 65 - 58, 4)
        if contents:
            block = bytes(range(256)) * 4096
            for directory in (self.tmpfs, self.native):
                with open('%s/%s:A' % (directory, name), 'wb' if directory == self.tmpfs else 'r+b', 0) as out:
                    left = size
                    while left:
                        left -= out.write(block[:left])
        return self.ids[name]

    def drop(self, name):
        for each in (name, name + '.refcount'):
            _libc.shmctl(self.ids.pop(each), IPC_RMID, None)
        os.unlink('%s/%s:A' % (self.tmpfs, name))

    def probe(self, kind, target, block, count):
        """Nanoseconds that one takes."""
        return float(command(self.probe_path, kind, str(target), str(block), str(count)))

    @staticmethod
    def run(*words, cwd='/'):
        """Nanoseconds from starting a program, which prints to /dev/null, to its end."""
        start = time.monotonic_ns()
        subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=cwd, check=True)
        return time.monotonic_ns() - start
