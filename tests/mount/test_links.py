# SPDX-License-Identifier: MIT
"""mv goes by way of a copy; links, directories and devices cannot be made."""

import os
import stat

import harness
import shm
from case import equal, fails, shells


def test_rename_is_exdev(m):
    m.key()
    m.key('other')
    m.create('app.key:A', b'x')
    fails('EXDEV', os.rename, m.at('app.key:A'), m.at('other:A'))
    fails('EXDEV', os.rename, m.at('app.key:A'), m.at('app.key:B'))
    fails('EXDEV', os.rename, m.at('app.key:A.refcount'), m.at('app.key:B'))
    m.create('other:A', b'y')
    fails('EXDEV', os.rename, m.at('app.key:A'), m.at('other:A'))
    equal((m.bytes_of(), m.bytes_of('other')), (b'x', b'y'))
    m.run('rm app.key:A other:A')


def test_mv_to_a_new_name(m):
    m.key('f')
    m.key('sub/g')
    for shell in shells():
        m.create('f:A', b'contents', 0o640)
        m.set_count(5, 'f')
        m.run('mv f:A sub/g:B', shell)
        equal(m.find('f'), (None, None), shell)
        equal((m.bytes_of('sub/g', 'B'), m.data('sub/g', 'B').mode, m.count('sub/g', 'B')), (b'contents', 0o640, 0), shell)
        m.run('rm sub/g:B')


def test_mv_onto_an_object(m):
    m.key('f')
    m.key('g')
    for command in ('mv f:A g:A', 'mv -f f:A g:A', 'busybox mv f:A g:A'):
        m.create('f:A', b'longer contents than before')
        m.create('g:A', b'short')
        old = m.data('g').id
        address = shm.attach(old)
        m.run(command)
        equal(m.find('f'), (None, None), command)
        equal(m.bytes_of('g'), b'longer contents than before', command)
        equal(shm.stat(old).removed, True, 'holders keep the removed memory')
        shm.detach(address)
        m.run('rm g:A')


def test_mv_in_and_out(m):
    m.key()
    m.run('echo from outside > $K/plain; mv $K/plain app.key:A; cat app.key:A; mv app.key:A $K/back; cat $K/back',
          expected='from outside\nfrom outside\n')
    equal(shm.listing(), [])


def test_nothing_else_can_be_made(m):
    m.key()
    os.mkdir(m.keys + '/sub')
    m.create('app.key:A', b'x')
    for place in ('new', 'app.key:B', 'sub/new'):
        fails('EPERM', os.mkdir, m.at(place))
        fails('EPERM', os.symlink, 'app.key:A', m.at(place))
        fails('EPERM', os.link, m.at('app.key:A'), m.at(place))
        for kind in (stat.S_IFREG, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR):
            fails('EPERM', os.mknod, m.at(place), kind | 0o600, os.makedev(1, 3))
    fails('EPERM', os.rmdir, m.at('sub'))
    for shell in shells():
        m.refused('ln app.key:A app.key:B', 'EPERM', shell)
        m.refused('mkdir new', 'EPERM', shell)
        m.refused('mkfifo app.key:B', 'EPERM', shell)
        m.refused('rmdir sub', 'EPERM', shell)
    equal((len(shm.listing()), os.listdir(m.keys + '/sub')), (2, []))
    m.run('rm app.key:A')


harness.main(globals())
