# SPDX-License-Identifier: MIT
"""Ownership matrix: who may remove and change a segment through root's mount is who may by shmctl.

Files in the making have no segment yet that the kernel could judge by; the same is to come out.
"""

import errno
import os
import time

import harness
import people
import shm
from case import all_end_well, equal, errno_of, in_child, spawn
from daemon import wait_until
from people import CALLERS, CAP_IPC_OWNER, CAP_SYS_ADMIN, OWNER, foreign

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


# ---- files in the making

MAKER, STRANGER = (3000, 3001), (1003, 2003)


def become_anyone():
    return {'maker': people.user(*MAKER), 'stranger': people.user(*STRANGER), 'group': people.user(1004, MAKER[1]),
            'supplementary': people.user(1006, 2006, [MAKER[1]]), 'root': people.user(0, 0),
            'powerless root': people.root_without(CAP_SYS_ADMIN, CAP_IPC_OWNER),
            'root without CAP_SYS_ADMIN': people.root_without(CAP_SYS_ADMIN),
            'root without CAP_IPC_OWNER': people.root_without(CAP_IPC_OWNER),
            'root in a user namespace': people.in_user_namespace(people.user(0, 0)),
            'maker in a user namespace': people.in_user_namespace(people.user(*MAKER))}


def attempts(m):
    path = m.at('app.key:A')

    def opening(flags):
        return lambda: os.close(os.open(path, flags))

    def access(mask):
        def call():
            if not os.access(path, mask):
                raise PermissionError(errno.EACCES, 'access')
        return call
    return {'open to read': opening(os.O_RDONLY), 'open to write': opening(os.O_WRONLY),
            'O_TRUNC': opening(os.O_RDWR | os.O_TRUNC), 'O_CREAT': opening(os.O_RDWR | os.O_CREAT),
            'F_OK': access(os.F_OK), 'R_OK': access(os.R_OK), 'W_OK': access(os.W_OK), 'X_OK': access(os.X_OK),
            'chmod': lambda: os.chmod(path, 0o640), 'chown': lambda: os.chown(path, 7777, -1),
            'unlink': lambda: os.unlink(path), 'touch': lambda: os.utime(path),
            'truncate to 0': lambda: os.truncate(path, 0), 'truncate': lambda: os.truncate(path, 7)}


def begin(m, mode, contents):
    """The maker's file; its only descriptor, but that a child process that inherits it flushes it once, as it ends."""
    os.umask(0)
    os.setegid(MAKER[1])
    os.seteuid(MAKER[0])
    try:
        fd = os.open(m.at('app.key:A'), os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
    finally:
        os.seteuid(0)
        os.setegid(0)
    os.write(fd, contents)
    return fd


def finish(fd):
    """The second close of a copy makes it if nothing else has."""
    for _ in range(2):
        os.close(os.dup(fd))
    os.close(fd)


def attempt(m, finished, mode, contents, what, become):
    """(errno, what both segments are in the end) of doing it to a file that is made, or has yet to be."""
    fd = begin(m, mode, contents)
    if finished:
        finish(fd)
    seen = in_child(lambda: errno_of(attempts(m)[what]), become)
    if not finished:
        equal([s and s.mode for s in m.find()] in ([None, None], [mode] * 2) or seen == 'OK', True, 'a refusal changes nothing')
        finish(fd)
    after = [s and (s.mode, s.uid, s.gid, s.cuid, s.cgid) for s in m.find()]
    m.remove()
    return seen, after


def compare(m, contents, modes):
    """Everybody does everything to a file in the making and to a finished one; the number of cases."""
    different, cases = [], 0
    for who, become in become_anyone().items():
        for mode in modes:
            for what in attempts(m):
                if 'namespace' in who and what == 'chown':
                    continue        # the id has no name there
                if not contents and what == 'truncate' and who in ('root', 'root without CAP_SYS_ADMIN'):
                    continue        # gives it a size, where a finished one has to be replaced
                made, being_made = (attempt(m, finished, mode, contents, what, become) for finished in (True, False))
                cases += 1
                if made != being_made:
                    different.append('%s, mode %04o, %s: %s when made, before %s' % (who, mode, what, made, being_made))
    equal((len(different), different[:3]), (0, []), 'of %d cases differ' % cases)
    return cases


@harness.allow_other
@harness.deadline(60)
def test_a_file_in_the_making_that_is_empty(m):
    m.key()
    equal(compare(m, b'', (0o600, 0o400)), (8 * 14 + 2 * 13 - 2) * 2)


@harness.allow_other
@harness.deadline(60)
def test_a_file_in_the_making_that_was_written_to(m):
    m.key()
    equal(compare(m, b'bytes', (0o600, 0o640, 0o606)), (8 * 14 + 2 * 13) * 3)


@harness.allow_other
def test_nobody_else_joins_the_making(m):
    """Whatever the mode: who opens an empty file decides when it is made, and what is written to it is the maker's."""
    m.key()
    for what, expected in [(what, 'EACCES') for what in ('open to read', 'open to write', 'O_CREAT', 'O_TRUNC', 'R_OK', 'W_OK',
                                                         'truncate to 0', 'truncate')] + \
            [('chmod', 'EPERM'), ('chown', 'EPERM'), ('unlink', 'EPERM'), ('touch', 'OK')]:
        fd = begin(m, 0o666, b'')
        equal(in_child(lambda: errno_of(attempts(m)[what]), people.user(*STRANGER)), expected, what)
        equal(m.find(), (None, None), what)
        os.write(fd, b'bytes')
        equal(in_child(lambda: m.read('app.key:A'), people.user(*STRANGER)), b'bytes')
        finish(fd)
        m.remove()


def create_at_once(callers):
    """What they are told who create the object of one key at the same instant, {path: become}; each in another directory."""
    pipes = [(os.pipe(), os.pipe()) for _ in callers]

    def create(path, become, said, go):
        become()
        os.write(said, errno_of(os.open, path, os.O_RDWR | os.O_CREAT, 0o666).encode())
        os.read(go, 1)              # until then it is open
    pids = [spawn(lambda: create(path, become, said, go))
            for (path, become), ((_, said), (go, _)) in zip(callers.items(), pipes)]
    seen = [os.read(ready, 100).decode() for (ready, _), _ in pipes]
    for _, (_, go) in pipes:
        os.write(go, b'x')
    all_end_well(pids)
    return sorted(seen)


@harness.allow_other
@harness.deadline(60)
def test_two_users_create_the_same_at_once(m):
    """Both were told that there is nothing: strace keeps every answer long enough. The second is not let in with the first."""
    m.key('sub/other')
    os.link(m.key('one'), m.keys + '/sub/two')
    maker, stranger = people.user(*MAKER), people.user(*STRANGER)
    for second, expected in ((stranger, ['EACCES', 'OK']), (maker, ['OK', 'OK'])):
        with m.daemon.traced('-e', 'trace=shmget', '-e', 'inject=shmget:delay_enter=200000'):
            equal(create_at_once({m.at('one:A'): maker, m.at('sub/two:A'): second}), expected)
            wait_until(lambda: m.find('one')[0], 'the last close made it')
        time.sleep(0.5)     # it looks at both keys once more, slowly if strace has that call
        m.remove('one')


harness.main(globals())
