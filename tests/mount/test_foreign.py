# SPDX-License-Identifier: MIT
"""Segments of programs that never heard of us: PostgreSQL, an X server and its clients, perl, PHP."""

import ctypes
import glob
import os
import shutil
import signal
import struct
import subprocess

import harness
import shm
from case import equal
from daemon import credentials, wait_until

NOBODY = 65534


def need(*programs):
    """Where they are; a test without them is a failure only where the suite must run."""
    found = [shutil.which(p) or (glob.glob('/usr/lib/postgresql/*/bin/' + p) or [None])[0] for p in programs]
    if None in found:
        missing = [p for p, path in zip(programs, found) if not path]
        if os.environ.get('SMFS_TESTS_MUST_RUN'):
            raise AssertionError('not installed: %s (tools/deps --tests installs them)' % ' '.join(missing))
        print('     left out, not installed: ' + ' '.join(missing))
        return None
    return found


def info(m, shmid):
    with open(m.at('.id/%d.info' % shmid)) as f:
        lines = [line.rstrip('\n').split(': ', 1) for line in f]
    fields = dict(lines)
    fields['attached'] = [value for name, value in lines if name == 'attached']
    return fields


def end(process, number=signal.SIGTERM):
    process.send_signal(number)
    return process.wait(20)


# ---- PostgreSQL

class Cluster:
    def __init__(self, m, postgres, initdb, psql):
        self.postgres, self.psql, self.dir = postgres, psql, m.scratch + '/cluster'
        os.mkdir(self.dir, 0o700)
        os.chown(self.dir, NOBODY, NOBODY)
        done = subprocess.run([initdb, '-D', self.dir, '-U', 'tester', '-A', 'trust', '--no-sync'], capture_output=True,
                              preexec_fn=credentials(NOBODY), cwd='/', env=dict(os.environ, LC_ALL='C'))
        equal((done.returncode, done.stderr), (0, b''))

    def start(self):
        settings = ('shared_memory_type=sysv', 'listen_addresses=', 'fsync=off', 'shared_buffers=8MB',
                    'unix_socket_directories=' + self.dir)
        command = [self.postgres, '-D', self.dir] + [x for s in settings for x in ('-c', s)]
        log = open(self.dir + '/log', 'ab')
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd='/',
                                        preexec_fn=credentials(NOBODY))
        log.close()
        wait_until(self.is_ready, 'PostgreSQL is ready', 60)
        return [s.id for s in shm.listing() if s.uid == NOBODY and not s.removed]

    def is_ready(self):
        equal(self.process.poll(), None, open(self.dir + '/log').read())
        return self.sql('select 1').returncode == 0

    def sql(self, text):
        return subprocess.run([self.psql, '-h', self.dir, '-U', 'tester', '-Atc', text, 'postgres'],
                              capture_output=True, text=True, timeout=30)


@harness.deadline(150)
@harness.allow_other
def test_postgresql(m):
    programs = need('postgres', 'initdb', 'psql')
    if not programs:
        return
    cluster = Cluster(m, *programs)
    ids = cluster.start()
    equal(len(ids), 1)
    shmid = ids[0]
    equal(cluster.sql('create table t as select generate_series(1, 1000) n').returncode, 0)

    def at_rest():
        """A look at it while no backend comes or goes."""
        fields = info(m, shmid)
        return len(fields['attached']) == int(fields['nattch']) and fields
    seen, before = wait_until(at_rest, 'every attachment is a process that is told of'), shm.stat(shmid)
    equal((seen['kind'], seen['owner'], seen['mode'], int(seen['size'])), ('plain', '65534 nobody', '0600', before.size))
    holders = {line.split()[0] for line in seen['attached']}
    equal(str(cluster.process.pid) in holders and len(holders) > 3, True, seen['attached'])
    equal({line.split(' ', 1)[1] for line in seen['attached']}, {'postgres 65534 nobody rw'})
    equal(seen['cpid'], '%d postgres' % cluster.process.pid)
    with open(m.at('.id/%d' % shmid), 'rb', 0) as f:
        equal(len(f.read(1 << 20)), 1 << 20)
        equal(os.readlink(m.at('.key/0x%08x' % before.key)), '../.id/%d' % shmid)
        # killed, and started again while its old segment is open here: it decides by nattch
        end(cluster.process, signal.SIGKILL)
        wait_until(lambda: shm.stat(shmid).nattch == 0, 'its children are gone and nothing else is attached', 30)
        again = cluster.start()
        equal(cluster.sql('select sum(n) from t').stdout, '500500\n')
        equal(cluster.sql('select pg_backend_pid()').returncode, 0)
    equal([os.path.exists(m.at('.id/%d' % i)) for i in again], [True])
    end(cluster.process, signal.SIGINT)
    equal(os.listdir(m.at('.id')), [])


# ---- X

def big_endian(data, field):
    return struct.unpack_from('>I', data, 4 * field)[0]


def pixels(data):
    """(width, height, bytes) of an image in the format of xwd."""
    start = big_endian(data, 0) + 12 * big_endian(data, 19)
    return big_endian(data, 4), big_endian(data, 5), data[start:start + big_endian(data, 5) * big_endian(data, 12)]


class ShmSegmentInfo(ctypes.Structure):
    _fields_ = [('shmseg', ctypes.c_ulong), ('shmid', ctypes.c_int), ('shmaddr', ctypes.c_void_p), ('readOnly', ctypes.c_int)]


def x_client(display, shmid, ready, done):
    """Have the server draw white into a pixmap of 10 x 10 that lies in the segment (MIT-SHM), and stay."""
    x11, xext = ctypes.CDLL('libX11.so.6'), ctypes.CDLL('libXext.so.6')
    x11.XOpenDisplay.restype = xext.XShmCreatePixmap.restype = x11.XDefaultRootWindow.restype = ctypes.c_void_p
    x11.XCreateGC.restype = x11.XWhitePixel.restype = ctypes.c_void_p
    connection = ctypes.c_void_p(x11.XOpenDisplay(display))
    address = shm.attach(shmid)
    shared = ShmSegmentInfo(0, shmid, address, 0)
    xext.XShmAttach(connection, ctypes.byref(shared))
    root = ctypes.c_void_p(x11.XDefaultRootWindow(connection))
    pixmap = ctypes.c_void_p(xext.XShmCreatePixmap(connection, root, ctypes.c_void_p(address), ctypes.byref(shared), 10, 10, 24))
    gc = ctypes.c_void_p(x11.XCreateGC(connection, pixmap, ctypes.c_ulong(0), None))
    x11.XSetForeground(connection, gc, ctypes.c_ulong(0xffffff))
    x11.XFillRectangle(connection, pixmap, gc, 0, 0, 10, 10)
    x11.XSync(connection, 0)
    os.write(ready, b'x')
    os.read(done, 1)


@harness.deadline(90)
def test_x_server_and_its_clients(m):
    programs = need('Xvfb', 'xwd')
    if not programs:
        return
    inner, outer = os.pipe()
    server = subprocess.Popen([programs[0], '-displayfd', str(outer), '-shmem', '-screen', '0', '320x200x24', '-nolisten',
                               'tcp', '-ac', '-noreset'], pass_fds=[outer], stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd='/')
    os.close(outer)
    with os.fdopen(inner, 'rb') as announced:
        display = b':' + announced.readline().strip()
    screen = wait_until(lambda: [s.id for s in shm.listing() if s.nattch], 'the server has a screen', 20)[0]
    m.own(screen)
    equal(os.listdir(m.at('.id')), [str(screen)], 'the frame buffer')
    equal(info(m, screen)['attached'], ['%d Xvfb 0 root rw' % server.pid])

    shmid = m.own(shm.get(shm.IPC_PRIVATE, 400, shm.IPC_CREAT | 0o600))
    (ready, tell), (done, finish) = os.pipe(), os.pipe()
    client = os.fork()
    if client == 0:
        try:
            os.close(finish)
            x_client(display, shmid, tell, done)
        finally:
            os._exit(0)
    os.close(tell)
    equal(os.read(ready, 1), b'x')
    seen = info(m, shmid)
    equal(sorted(int(line.split()[0]) for line in seen['attached']), sorted([server.pid, client]))
    equal((seen['nattch'], seen['kind']), ('2', 'plain'))
    equal(set(m.read('.id/%d' % shmid)[i] for i in range(0, 400, 4)), {255}, 'what the server drew')
    for fd in finish, done, ready:
        os.close(fd)
    os.waitpid(client, 0)

    def the_same():
        taken = subprocess.run([programs[1], '-root', '-silent'], env=dict(os.environ, DISPLAY=display.decode()),
                               capture_output=True, timeout=20).stdout
        return pixels(m.read('.id/%d' % screen)) == pixels(taken)
    wait_until(the_same, 'the frame buffer in the mount is the picture that xwd takes', 10)
    end(server)


# ---- scripting languages

def test_perl(m):
    m.key()
    script = '''
        use IPC::SysV qw(IPC_CREAT IPC_RMID ftok);
        my $id = shmget(ftok("$ENV{K}/app.key", ord "p"), 100, IPC_CREAT | 0640) // die $!;
        shmwrite($id, "from perl", 0, 9) or die $!;
        print "$id\\n"; $| = 1; <STDIN>;
        shmread($id, my $text, 0, 4) or die $!; print "$text\\n";
        shmctl($id, IPC_RMID, 0) or die $!;'''
    talk(m, ['perl', '-e', script], 'p', b'from perl')


def test_php(m):
    m.key()
    script = '''
        $s = shmop_open(ftok(getenv("K") . "/app.key", "p"), "c", 0640, 100);
        shmop_write($s, "from PHP!", 0);
        echo "?\\n"; fgets(STDIN);
        echo shmop_read($s, 0, 4), "\\n";
        shmop_delete($s);'''
    if need('php'):
        talk(m, ['php', '-r', script], 'p', b'from PHP!')


def talk(m, command, proj, says):
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(os.environ, K=m.keys))
    process.stdout.readline()
    name = 'app.key:' + proj
    shmid = os.stat(m.at(name)).st_ino
    equal(m.read(name)[:len(says)], says)
    equal(m.read('.id/%d' % shmid), m.read(name))
    seen = info(m, shmid)
    equal((seen['path'], seen['proj_id'], seen['mode'], seen['kind']), (m.keys + '/app.key', proj, '0640', 'plain'))
    equal(seen['cpid'], '%d %s' % (process.pid, command[0]))
    m.write(name, b'mine')
    out, _ = process.communicate(b'\n', timeout=20)
    equal((process.returncode, out), (0, b'mine\n'))
    equal((os.listdir(m.at('.id')), os.path.exists(m.at(name))), ([], False))


harness.main(globals())
