# SPDX-License-Identifier: MIT
"""Who is attached: what the daemon maps for those who write through the mount hides nobody, and is nobody's attachment."""

import os
import time

import harness
import shm
from case import equal
from daemon import wait_until


def writer(path, offset):
    """A descriptor through which enough was written that the daemon has the segment mapped: the first write needs no mapping."""
    fd = os.open(path, os.O_RDWR)
    for _ in range(3):
        equal(os.pwrite(fd, b'z', offset), 1)
    return fd


def field(m, name, what):
    return [line.split()[1] for line in m.read(name + '.info').decode().splitlines() if line.startswith(what + ': ')][0]


def test_a_living_holder_of_a_counter_that_is_written(m):
    m.daemon.may_complain = True        # it tells of what it repaired
    m.key()
    m.create('app.key:A', b'x' * 8192)
    holder = m.hold()
    fd = writer(m.at('.id/%d' % m.find()[1].id), 3000)
    m.refcount('reap')
    equal(m.count(), 1, 'with its holder alive')
    equal(field(m, 'app.key:A', 'leaked'), '0')
    m.drop(holder)
    m.refcount('reap')
    equal(m.count(), 0, 'with its holder dead')
    os.close(fd)
    m.run('rm app.key:A')


@harness.options('-o', 'reap')
def test_data_that_is_attached_and_written(m):
    """The last holder is dead. Who has only the data attached counts nowhere, and keeps it."""
    m.daemon.may_complain = True        # the monitor tells of what it repaired
    m.key()
    m.create('app.key:A', b'x' * 8192)
    ids = [segment.id for segment in m.find()]
    address = shm.attach(ids[0])
    fd = writer(m.at('app.key:A'), 100)
    m.drop(m.hold())
    wait_until(lambda: 'references 1 -> 0' in m.daemon.stderr(), 'the monitor repairs', 15)
    time.sleep(1.5)     # there is no sign of what must not happen
    equal([segment and segment.id for segment in m.find()], ids)
    shm.detach(address)
    wait_until(lambda: shm.listing() == [], 'nobody has it any more', 15)
    os.close(fd)


def test_info_of_what_is_written(m):
    m.key()
    m.create('app.key:A', b'x' * 8192)
    fd = writer(m.at('app.key:A'), 100)
    equal(field(m, 'app.key:A', 'nattch'), '0')
    address = shm.attach(m.data().id)
    os.pwrite(fd, b'z', 100)
    equal(field(m, 'app.key:A', 'nattch'), '1', 'with somebody attached')
    equal(field(m, 'app.key:A', 'attached'), str(os.getpid()))
    shm.detach(address)
    os.close(fd)
    m.run('rm app.key:A')


harness.main(globals())
