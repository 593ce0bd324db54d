# SPDX-License-Identifier: MIT
"""Hostile contents: what strangers write into counter segments costs nobody anything that they could not have taken."""

import os
import random
import struct
import threading
import time

import harness
import people
import shm
from case import equal, errno_of, in_child, spawn
from daemon import patience, wait_until
from people import CALLERS, OWNER, STRANGER

MAGIC = b'smSMCTR1'
DEAD = 1 << 63          # of the word at the counter: the upper half's top bit


def plant(m, name, word, mode=0o666, magic=b''):
    """A stranger's counter beside the object's data: whoever gets there first makes it."""
    return m.own(in_child(lambda: made_with(m.keys_of(name)[1], word, mode, magic), people.user(*STRANGER)))


def made_with(key, word, mode, magic):
    shmid = shm.get(key, 4096, shm.IPC_CREAT | shm.IPC_EXCL | mode)
    shm.write(shmid, struct.pack('=Q', word & (1 << 64) - 1) + magic)
    return shmid


def victims_data(m, name='app.key', contents=b'not yours'):
    """Data without a counter, as every program makes it that knows nothing of us."""
    m.key(name)
    data = in_child(lambda: shm.get(m.keys_of(name)[0], len(contents), shm.IPC_CREAT | 0o600), people.user(*OWNER))
    shm.write(data, contents)
    return m.own(data)


@harness.allow_other
@harness.options('-o', 'reap=1')
@harness.deadline(60)
def test_a_planted_counter_frees_nobodys_data(m):
    """With the monitor at work: a leaked reference, and a last leaver's mark, that a stranger wrote."""
    names = {}
    for name, word in (('leaked', 1), ('many', 7), ('dead', DEAD), ('most', 0x7fffffff)):
        names[name] = victims_data(m, name)
        plant(m, name, word, magic=MAGIC)      # without it, the monitor would not even look
    wait_until(lambda: m.daemon.stderr().count('\n') >= 3, 'the monitor has been at them', 15)     # looking would disturb it
    time.sleep(2.5)     # there is no sign of what must not happen
    for name, data in names.items():
        equal(m.find(name)[0] and m.find(name)[0].id, data, name + ': the data segment')
        equal(shm.read(data), b'not yours', name)
    m.daemon.may_complain = True        # it says what it may not free


@harness.allow_other
@harness.reaps
def test_reap_by_root_frees_nothing(m):
    data = victims_data(m)
    counter = plant(m, 'app.key', 5)
    m.refcount('reap')
    equal(m.count(), 0)
    equal([s.id for s in m.find()], [data, counter])


@harness.allow_other
@harness.options('-o', 'reap=1')
@harness.deadline(60)
def test_data_in_use_by_a_program_that_does_not_count(m):
    """The counter is the owner's own, and says that all holders died; one has the data attached."""
    m.key()
    data, counter = m.make(contents=b'in use', count=3)
    address = shm.attach(data)
    m.daemon.may_complain = True
    wait_until(lambda: 'references 3 -> 0' in m.daemon.stderr(), 'the monitor repairs', 15)     # looking would disturb it
    time.sleep(1.5)
    equal(([s.id for s in m.find()], m.count()), ([data, counter], 0))
    shm.detach(address)


def scribble(ids, paths, seconds, seed):
    """Random words, magics, versions and paths over those segments, as fast as it goes."""
    dice = random.Random(seed)
    at = [shm.attach(shmid) for shmid in ids]
    end = time.monotonic() + seconds
    interesting = [0, 1, 2, -1, 0x7fffffff, -0x80000000, DEAD, DEAD + 1, 1 << 62]
    while time.monotonic() < end:
        for _ in range(200):
            address = dice.choice(at)
            kind = dice.randrange(4)
            if kind == 0:
                word = dice.choice(interesting) if dice.random() < 0.5 else dice.getrandbits(64)
                shm.poke(address, struct.pack('=Q', word & (1 << 64) - 1))
            elif kind == 1:
                shm.poke(address + 8, MAGIC + struct.pack('=Q', 1))
            elif kind == 2:
                offset = 24 + (0 if dice.random() < 0.8 else dice.randrange(9))
                shm.poke(address + offset, (dice.choice(paths) + b'\0')[:4096 - offset])
            else:
                shm.poke(address + dice.randrange(4000), dice.randbytes(dice.randrange(1, 90)))
    for address in at:
        shm.detach(address)


@harness.allow_other
@harness.options('-o', 'reap=1')
@harness.deadline(90)
def test_random_contents_while_it_works(m):
    """It lists, reads, repairs; no loop, no stranger's paths shown, and everybody else's segments stay as they were."""
    m.daemon.may_complain = True        # the monitor tells of what it repaired
    kept = {}
    for i in range(4):
        kept[victims_data(m, 'victim%d' % i)] = None
    m.key('mine')
    untouched, own_counter = m.make('mine', contents=b'whole', count=0)
    kept.update({untouched: None, own_counter: None})
    for shmid in kept:
        kept[shmid] = shm.stat(shmid)[:9], shm.read(shmid)
    hostile = [plant(m, 'victim%d' % i, 1) for i in range(4)]
    for i in range(8):
        m.key('theirs%d' % i)
        hostile.append(plant(m, 'theirs%d' % i, i))
    os.mkdir(m.keys + '/closed', 0o700)
    m.key('closed/secret')
    paths = [os.fsencode(p) for p in (m.keys + '/victim0', m.keys + '/../../etc/passwd', '/' + 'a/' * 2000, m.keys + '/closed/secret',
                                      m.keys + '/closed/missing', m.mnt + '/victim0:A', '//', '/.', '/' + 'x' * 4080)]
    time.sleep(2.5)     # the monitor has seen what stands there before anybody writes to it
    seconds = 12
    writers = [spawn(lambda n=n: (people.user(*STRANGER)(), scribble(hostile, paths, seconds, n))) for n in range(2)]
    end = time.monotonic() + seconds - 1
    slowest, turns = 0, 0
    known = ['mine'] + ['victim%d' % i for i in range(4)] + ['theirs%d' % i for i in range(8)]
    may_be_seen = {name + end_ for name in known for end_ in (':A', ':A.refcount')}
    while time.monotonic() < end:
        begun = time.monotonic()
        for who in ('other', 'root'):
            as_caller = people.user(*CALLERS[who])
            names = in_child(lambda: m.listing(), as_caller)
            equal(set(names) - may_be_seen, set(), 'shown to ' + who)
        for name in ('victim0', 'theirs3'):
            for what in ('.refcount', '.info'):
                if errno_of(m.read, name + ':A' + what) not in ('OK', 'ENOENT'):
                    raise AssertionError('%s%s: %s' % (name, what, errno_of(m.read, name + ':A' + what)))
            errno_of(m.refcount, 'decr', name + ':A')
        slowest, turns = max(slowest, time.monotonic() - begun), turns + 1
    for pid in writers:
        equal(os.waitpid(pid, 0)[1], 0, 'a writer')
    for shmid, (state, contents) in kept.items():
        equal((shm.stat(shmid)[:9], shm.read(shmid)), (state, contents), 'segment %d' % shmid)
    equal(m.daemon.process.poll(), None, 'the daemon lives')
    print('     (%d turns, the slowest %.2f s)' % (turns, slowest))
    if slowest > patience(5):
        raise AssertionError('one turn took %.1f s' % slowest)


@harness.allow_other
def test_each_value_is_read_once(m):
    """A counter that flips between 1 and 2,000,000,000 is never shown as a mixture, nor with another's length."""
    m.key()
    _, counter = m.make(contents=b'x', count=1)
    stop = threading.Event()

    def flip():
        address = shm.attach(counter)
        while not stop.is_set():
            shm.poke(address, struct.pack('i', 1))
            shm.poke(address, struct.pack('i', 2000000000))
        shm.detach(address)
    thread = threading.Thread(target=flip)
    thread.start()
    try:
        seen = {m.read('app.key:A.refcount') for _ in range(2000)}
    finally:
        stop.set()
        thread.join()
    equal(seen, {b'1\n', b'2000000000\n'})


harness.main(globals())
