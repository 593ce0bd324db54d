# SPDX-License-Identifier: MIT
"""rm: both segments, at once out of the name space; and what cannot be removed."""

import ctypes
import os
import signal
import subprocess

import harness
import shm
from case import equal, errno_of, fails, shells
from daemon import WAIT, wait_until


def test_both_segments_go(m):
    m.key()
    for shell in shells():
        m.make(contents=b'x')
        m.run('rm app.key:A', shell)
        equal(shm.listing(), [])
        m.refused('rm app.key:A', 'ENOENT', shell)
        m.run('rm -f app.key:A', shell)
    m.create('app.key:A', b'x')
    os.unlink(m.at('app.key:A'))
    equal(shm.listing(), [])


def test_a_name_is_gone_while_its_memory_has_users(m):
    m.key()
    data, counter = m.make(contents=b'still here')
    address = shm.attach(data)
    os.unlink(m.at('app.key:A'))
    fails('ENOENT', os.stat, m.at('app.key:A'))
    equal(m.listing(), [])
    equal(ctypes.string_at(address, 10), b'still here')
    equal([(s.id, s.key, s.removed) for s in shm.listing()], [(data, 0, True)])
    m.create('app.key:A', b'another')
    equal(m.bytes_of(), b'another')
    equal(m.read('app.key:A'), b'another')
    equal(ctypes.string_at(address, 10), b'still here')
    os.unlink(m.at('app.key:A'))
    shm.detach(address)
    wait_until(lambda: shm.listing() == [], 'the memory is given back', 3)      # smfs hears of a close after close(2) returned


def test_who_comes_while_it_goes_has_both_halves(m):
    """strace makes each step slow. A program that finds no data makes it, and must not do so beside the old counter."""
    m.key()
    for held in (False, True):
        old = m.hold_new() if held else m.create('app.key:A', b'x')
        with m.daemon.traced('-e', 'trace=shmctl', '-e', 'inject=shmctl:delay_exit=200000'):
            rm = subprocess.Popen(['rm', m.at('app.key:A')])
            wait_until(lambda: m.find()[0] is None, 'its data is gone')
            new = m.hold_new()
            equal(rm.wait(WAIT), 0)
        data, counter = m.find()
        equal([half and half.nattch for half in (data, counter)], [1, 1])
        equal(m.count(), 1)
        if held:
            m.drop(old, signal.SIGTERM)
        equal([half and half.id for half in m.find()], [data.id, counter.id])
        m.drop(new, signal.SIGTERM)
        equal(shm.listing(), [])


def test_memory_goes_with_the_last_open_file(m):
    m.key()
    m.create('app.key:A', b'x' * 8192)
    fd = os.open(m.at('app.key:A'), os.O_RDWR)
    os.pread(fd, 1, 0)
    os.unlink(m.at('app.key:A'))
    equal(m.find(), (None, None))
    if m.copying:
        fails('EIDRM', os.pread, fd, 10, 0)
        fails('EIDRM', os.pwrite, fd, b'x', 0)
    else:
        equal(os.pread(fd, 3, 0), b'xxx')
    os.close(fd)
    wait_until(lambda: shm.listing() == [], 'the memory is given back', 3)


def test_the_counter_cannot_be_removed(m):
    m.key()
    m.make(contents=b'x', count=4)
    for shell in shells():
        m.refused('rm app.key:A.refcount', 'EPERM', shell)
    fails('EPERM', os.unlink, m.at('app.key:A.refcount'))
    equal((m.count(), m.bytes_of()), (4, b'x'))


def test_a_lone_counter_can(m):
    m.key()
    m.make(size=0, count=4)
    os.unlink(m.at('app.key:A.refcount'))
    equal(shm.listing(), [])
    fails('ENOENT', os.unlink, m.at('app.key:A.refcount'))


def test_lone_data(m):
    m.key()
    m.make(contents=b'x', count=None)
    os.unlink(m.at('app.key:A'))
    equal(shm.listing(), [])


def test_rm_star_frees_everything(m):
    for shell in shells():
        for name in ('a', 'b', 'c', 'sub/d'):
            m.key(name)
            m.create(name + ':A', b'x')
            m.make(name, 'B', contents=b'y')
        m.run('rm -f * 2>/dev/null; rm -f sub/*', shell)
        equal(shm.listing(), [], shell)
        equal(m.listing(), [])


def test_find_delete(m):
    for name in ('a', 'b', 'sub/d'):
        m.key(name)
        m.create(name + ':A', b'x')
    m.run('find . -name "*:A" -delete; ls -R', expected='.:\n')
    equal(shm.listing(), [])


def test_removing_what_a_holder_has(m):
    m.key()
    m.create('app.key:A', b'x')
    holder = m.hold()
    os.unlink(m.at('app.key:A'))
    equal(m.find(), (None, None))
    m.create('app.key:A', b'new')
    equal(m.count(), 0, 'a new counter')
    m.drop(holder)
    equal(m.bytes_of(), b'new')
    os.unlink(m.at('app.key:A'))
    wait_until(lambda: shm.listing() == [], 'the holder\'s memory is gone', 3)


def test_directories_stay(m):
    os.mkdir(m.keys + '/sub')
    fails('EPERM', os.rmdir, m.at('sub'))
    equal(os.path.isdir(m.keys + '/sub'), True)
    if errno_of(os.unlink, m.at('sub')) not in ('EISDIR', 'EPERM'):
        raise AssertionError('unlink of a directory: ' + errno_of(os.unlink, m.at('sub')))


def test_key_files_stay(m):
    m.key()
    m.create('app.key:A', b'x')
    fails('ENOENT', os.unlink, m.at('app.key'))
    os.unlink(m.at('app.key:A'))
    equal(os.listdir(m.keys), ['app.key'])


harness.main(globals())
