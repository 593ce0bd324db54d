# SPDX-License-Identifier: MIT
"""Ownership matrix: who may remove and change a segment through root's mount is who may by shmctl."""

import os

import harness
import people
import shm
from case import equal, errno_of, in_child
from people import CALLERS, CAP_SYS_ADMIN, OWNER, foreign

# The mode plays no part, and that is worth a try: nothing, everything, and what only others have.
MODES = (0, 0o666, 0o006)


def become_all():
    people_here = {who: people.user(*credentials) for who, credentials in CALLERS.items()}
    people_here['root without CAP_SYS_ADMIN'] = people.root_without(CAP_SYS_ADMIN)
    people_here['root in a user namespace'] = people.in_user_namespace(people.user(0, 0))
    people_here['owner in a user namespace'] = people.in_user_namespace(people.user(*OWNER))
    return people_here


def by_shmctl(data, counter):
    return {'chmod': lambda: [shm.set(i, mode=0o640) for i in (data, counter)],
            'chown': lambda: [shm.set(i, uid=7777) for i in (data, counter)],
            'chgrp': lambda: [shm.set(i, gid=8888) for i in (data, counter)],
            'unlink': lambda: [shm.remove(i) for i in (data, counter)],
            'unlink by id': lambda: shm.remove(data)}


def by_mount(m, data):
    path = m.at('app.key:A')
    return {'chmod': lambda: os.chmod(path, 0o640), 'chown': lambda: os.chown(path, 7777, -1),
            'chgrp': lambda: os.chown(path, -1, 8888), 'unlink': lambda: os.unlink(path),
            'unlink by id': lambda: os.unlink(m.at('.id/%d' % data))}


def state(ids):
    """What is left of both segments."""
    return [(s.mode, s.uid, s.gid, s.cuid, s.cgid) for s in shm.listing() if s.id in ids]


@harness.allow_other
@harness.deadline(60)
def test_unlink_chmod_and_chown(m):
    """The same errno, and the same state of both segments afterwards."""
    m.key()
    different, cases = [], 0
    for who, become in become_all().items():
        for mode in MODES:
            for what in by_mount(m, 0):
                if 'namespace' in who and what in ('chown', 'chgrp'):
                    continue        # the ids have no name there, and the kernel says so before it asks us
                seen = []
                for mounted in (False, True):
                    ids = foreign(m, 'app.key', mode)
                    calls = by_mount(m, ids[0]) if mounted else by_shmctl(*ids)
                    seen.append((in_child(lambda: errno_of(calls[what]), become), state(ids)))
                    m.remove()
                cases += 1
                if seen[0] != seen[1]:
                    different.append('%s, mode %04o, %s: shmctl %s, mount %s' % (who, mode, what, *seen))
    equal((len(different), different[:3]), (0, []), 'of %d cases differ' % cases)
    equal(cases, (9 * 5 + 2 * 3) * 3)


@harness.allow_other
def test_halves_of_different_owners(m):
    """A counter that its creator gave away: neither half is removed or changed without the other."""
    m.key()
    data, counter = foreign(m, 'app.key', 0o666)
    shm.set(counter, 4444, 4444)
    before = state((data, counter))
    for what in ('chmod', 'chown', 'chgrp', 'unlink'):
        for who in ((OWNER[0], OWNER[1]), (4444, 4444)):
            equal(in_child(lambda: errno_of(by_mount(m, data)[what]), people.user(*who)), 'EPERM', '%d: %s' % (who[0], what))
            equal(state((data, counter)), before, what)


@harness.allow_other
def test_a_strangers_counter_keeps_nobody_from_his_own(m):
    """Anybody can make the counter beside data that has none. The owner still does what shmctl lets him do, to the data."""
    m.key()
    data, counter = foreign(m, 'app.key', 0o666)
    shm.remove(counter)
    counter = m.own(m.as_uid(4445, 4445, [], lambda: shm.get(m.keys_of()[1], 4, shm.IPC_CREAT | 0o666)))
    for what in ('chmod', 'chown', 'chgrp', 'unlink'):
        equal(in_child(lambda: errno_of(by_mount(m, data)[what]), people.user(4445, 4445)), 'EPERM', 'the stranger: ' + what)
    equal(in_child(lambda: errno_of(by_mount(m, data)['chmod']), people.user(*OWNER)), 'OK')
    equal([s and s.mode for s in m.find()], [0o640, 0o666])
    equal(in_child(lambda: errno_of(by_mount(m, data)['unlink']), people.user(*OWNER)), 'OK')
    equal([s and s.id for s in m.find()], [None, counter])


harness.main(globals())
