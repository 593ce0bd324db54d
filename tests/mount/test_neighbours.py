# SPDX-License-Identifier: MIT
"""Programs that live on shared memory and know nothing of smfs: it is open through the mount and they go on as ever."""

import glob
import os
import shutil
import signal
import struct
import subprocess
import time

import harness
import shm
from case import equal
from daemon import credentials, wait_until

USER = 65534
SETTINGS = '''shared_memory_type = sysv
dynamic_shared_memory_type = posix
listen_addresses = ''
unix_socket_directories = '%s'
fsync = off
shared_buffers = 4MB
max_connections = 10
'''


def program(name):
    """Debian keeps the server's programs apart."""
    found = sorted(glob.glob('/usr/lib/postgresql/*/bin/' + name))
    path = shutil.which(name) or (found[-1] if found else None)
    if not path:
        raise AssertionError('%s is not installed (tools/deps --tests)' % name)
    return path


class Postgres:
    def __init__(self, m):
        self.home = m.scratch + '/pg'
        os.mkdir(self.home)
        os.chown(self.home, USER, USER)
        self.data, self.out = self.home + '/data', open(m.scratch + '/pg.log', 'w+')
        self.run(program('initdb'), '-D', self.data, '-U', 'test', '--auth=trust', '-N', '--no-locale')
        with open(self.data + '/postgresql.conf', 'a') as conf:
            conf.write(SETTINGS % self.home)
        self.process = None

    def run(self, *command):
        done = subprocess.run(command, preexec_fn=credentials(USER), cwd=self.home, capture_output=True, text=True, timeout=60,
                              env=dict(os.environ, LC_ALL='C', HOME=self.home))
        if done.returncode:
            raise AssertionError('%s: %s%s' % (command[0], done.stdout[-300:], done.stderr[-300:]))
        return done.stdout

    def start(self):
        self.process = subprocess.Popen([program('postgres'), '-D', self.data], preexec_fn=credentials(USER), cwd=self.home,
                                        stdout=self.out, stderr=self.out, stdin=subprocess.DEVNULL)
        wait_until(self.answers, 'PostgreSQL answers', 20)

    def answers(self):
        if self.process.poll() is not None:
            self.out.seek(0)
            raise AssertionError('PostgreSQL did not start: ' + self.out.read()[-600:])
        try:
            return self.sql('select 1') == '1\n'
        except AssertionError:
            return False

    def sql(self, text):
        return self.run(program('psql'), '-X', '-q', '-At', '-h', self.home, '-U', 'test', '-d', 'postgres', '-c', text)

    def kill(self):
        """The postmaster by SIGKILL; its children see that and end."""
        self.process.kill()
        self.process.wait()
        wait_until(lambda: not [s for s in shm.listing() if s.nattch], 'its children are gone', 10)


@harness.allow_other
@harness.deadline(120)
def test_postgresql_restarts_while_its_segment_is_open(m):
    """It refuses to start where its old segment is in use, and decides by nattch."""
    pg = Postgres(m)
    pg.start()
    pg.sql("create table t as select generate_series(1, 10000) as n, repeat('x', 50) as x")
    for _ in range(1 if m.copying else 2):
        ours = shm.listing()
        equal(len(ours), 1, 'segments of PostgreSQL')
        path = m.at('.id/%d' % ours[0].id)
        fds = [os.open(path, flags) for flags in (os.O_RDONLY, os.O_RDWR)]
        for fd in fds:
            equal(len(os.pread(fd, 4096, 0)), min(4096, ours[0].size), 'bytes read')
        pg.kill()
        time.sleep(1.2 if m.copying else 0)     # copying lets go within a second
        pg.start()
        equal(pg.sql('select count(*), sum(n), min(length(x)) from t'), '10000|50005000|50\n')
        for fd in fds:
            os.close(fd)
    pg.process.send_signal(signal.SIGINT)
    equal(pg.process.wait(20), 0, 'exit status of PostgreSQL')
    for segment in shm.listing():       # what the killed one left, if its successor did not remove it
        m.own(segment.id)


def image(dump):
    """Width, height and the rows of a window dump (XWD version 7), without padding."""
    head = struct.unpack('>25I', dump[:100])
    size, width, height, row, bits, colours = head[0], head[4], head[5], head[12], head[11], head[19]
    start = size + colours * 12
    return width, height, [dump[start + y * row:start + y * row + width * bits // 8] for y in range(height)]


def draw(display, path, colour, wanted):
    """A window over all of the screen; returns when its background is seen through the mount."""
    client = subprocess.Popen(['xlogo', '-display', display, '-geometry', '320x200+0+0', '-bg', colour], stdin=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)

    def is_drawn():
        with open(path, 'rb') as f:
            return image(f.read())[2][100][40:43] == wanted      # at the left edge, beside the logo
    wait_until(is_drawn, 'a window is drawn', 20)
    time.sleep(0.3)     # the logo itself comes with another request
    return client


@harness.deadline(60)
def test_the_frame_buffer_of_xvfb(m):
    for name in ('Xvfb', 'xwd', 'xlogo'):
        if not shutil.which(name):
            raise AssertionError('%s is not installed (tools/deps --tests)' % name)
    inner, outer = os.pipe()
    server = subprocess.Popen(['Xvfb', '-shmem', '-screen', '0', '320x200x24', '-nolisten', 'tcp', '-displayfd', str(outer)],
                              pass_fds=[outer], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    clients = []
    try:
        os.close(outer)
        display = ':' + os.read(inner, 20).decode().strip()
        segment = [s for s in shm.listing() if s.cpid == server.pid][0]
        m.own(segment.id)       # it leaves that one behind
        path = m.at('.id/%d' % segment.id)
        for colour in ('#204060', '#f08000'):
            wanted = bytes([int(colour[i:i + 2], 16) for i in (5, 3, 1)])
            clients.append(draw(display, path, colour, wanted))
            shot = subprocess.run(['xwd', '-display', display, '-root', '-silent'], check=True, timeout=20, capture_output=True)
            with open(path, 'rb') as f:
                ours = f.read()
            equal(len(ours), segment.size)
            width, height, rows = image(shot.stdout)
            equal((width, height, image(ours)[:2]), (320, 200, (320, 200)))
            equal(rows[100][40:43], wanted, 'the colour of the window')
            equal(len(set(rows)) > 10, True, 'there is something in the picture')
            equal(image(ours)[2] == rows, True, 'the same picture')
    finally:
        for client in clients:
            client.terminate()
            client.wait(20)
        server.terminate()
        server.wait(20)
        server.stderr.close()


harness.main(globals())
