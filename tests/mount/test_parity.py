# SPDX-License-Identifier: MIT
"""Permission parity: what shmat gives a caller, opening through root's mount gives the same caller, in every mode."""

import os
import subprocess

import harness
import people
import shm
from case import equal, in_child
from daemon import umount, wait_mount
from people import CALLERS, CAP_IPC_OWNER, CAP_SYS_ADMIN, OWNER, STRANGER, attaches, foreign, opens

FLAGS = {'O_RDONLY': os.O_RDONLY, 'O_WRONLY': os.O_WRONLY, 'O_RDWR': os.O_RDWR}


def all_modes(m):
    """{name: (data, counter)}, an object for each of the 64 read and write modes."""
    ids = {}
    for bits in range(64):
        name = 'k%03o' % people.spread(bits)
        m.key(name)
        ids[name] = foreign(m, name, people.spread(bits))
    return ids


def doors(m, name, data, counter):
    """Each way in, and the segment that it leads to."""
    yield m.at(name + ':A'), data
    yield m.at('.id/%d' % data), data
    yield m.at(name + ':A.refcount'), counter


def shmat_gives(ids):
    """What the kernel says to this process: (reading, writing) for every segment. SysV has no attaching to write only."""
    return {shmid: (attaches(shmid, True), attaches(shmid, False)) for pair in ids.values() for shmid in pair}


def mount_gives(m, ids):
    """(place, flags, shmid, errno), and what access(2) says of it."""
    for name, pair in ids.items():
        for place, shmid in doors(m, name, *pair):
            for flags, number in FLAGS.items():
                yield place, flags, shmid, opens(place, number)
            for flags, mask in (('O_RDONLY', os.R_OK), ('O_RDWR', os.R_OK | os.W_OK)):
                yield place + ' access(2)', flags, shmid, 'OK' if os.access(place, mask) else 'EACCES'


def differences(m, ids, shmat):
    """(more permissive, stricter): descriptions of the cases."""
    more, less, cases = [], [], 0
    for place, flags, shmid, seen in mount_gives(m, ids):
        cases += 1
        expected = shmat[shmid][flags != 'O_RDONLY']
        if seen != expected:
            (more if seen == 'OK' else less).append('%s %s: shmat %s, mount %s' % (place, flags, expected, seen))
    return cases, more, less


def no_difference(m, ids, who, become):
    cases, more, less = in_child(lambda: differences(m, ids, shmat_gives(ids)), become)
    equal((len(more), len(less)), (0, 0), '%s: of %d cases more permissive, stricter; first %s' % (who, cases, (more + less)[:3]))
    equal(cases, 64 * 3 * 5, who)


@harness.allow_other
@harness.deadline(100)
def test_users_and_groups(m):
    ids = all_modes(m)
    for who, credentials in CALLERS.items():
        no_difference(m, ids, who, people.user(*credentials))
    many = list(range(3000, 3300)) + [OWNER[1]]
    no_difference(m, ids, 'member of 301 groups', people.user(1008, 2008, many))


@harness.allow_other
@harness.deadline(100)
def test_root_with_less_power(m):
    """Capabilities that the caller does not have are not lent by the daemon."""
    ids = all_modes(m)
    no_difference(m, ids, 'root without CAP_IPC_OWNER', people.root_without(CAP_IPC_OWNER))
    no_difference(m, ids, 'root without CAP_SYS_ADMIN', people.root_without(CAP_SYS_ADMIN))
    no_difference(m, ids, 'root with nothing', people.root_without(*range(41)))

    def in_group():
        os.setgroups([OWNER[1]])
        people.root_without(*range(41))()
    no_difference(m, ids, "root with nothing, in the owner's group", in_group)


@harness.allow_other
@harness.deadline(100)
def test_callers_of_another_user_namespace(m):
    """Every capability there is none here, for shmat as for the mount."""
    ids = all_modes(m)
    for who in ('owner', "creator's group", 'other', 'root'):
        no_difference(m, ids, who + ' in a user namespace', people.in_user_namespace(people.user(*CALLERS[who])))


@harness.allow_other
@harness.deadline(100)
def test_callers_of_a_pid_namespace_below(m):
    ids = all_modes(m)
    for who in ('owner', 'supplementary', 'other', 'root'):
        cases, more, less = people.in_pid_namespace(people.user(*CALLERS[who]),
                                                    lambda: differences(m, ids, shmat_gives(ids)))
        equal((cases, more, less), (64 * 3 * 5, [], []), who)


@harness.allow_other
@harness.deadline(100)
def test_an_ambient_capability_is_not_lent_on(m):
    """Documented: a caller who is not root gets what shmat gives that user, without the capability."""
    ids = all_modes(m)
    plain = in_child(lambda: shmat_gives(ids), people.user(*STRANGER))
    become = people.ambient(*STRANGER, CAP_IPC_OWNER)
    equal(set(in_child(lambda: shmat_gives(ids), become).values()), {('OK', 'OK')}, 'shmat with the capability')
    equal(in_child(lambda: differences(m, ids, plain), become), (64 * 3 * 5, [], []))


@harness.unmounted
@harness.deadline(100)
def test_a_daemon_of_another_pid_namespace(m):
    """
    It cannot look its callers up: they have no groups but their own, and root no capability. That is never more than shmat
    gives, but where a mode gives a group less than all others (SECURITY.md).
    """
    ids = {name: pair for name, pair in all_modes(m).items() if not int(name[1:], 8) & 7 & ~(int(name[1:], 8) >> 3)}
    log = open(m.scratch + '/log', 'wb')
    daemon = subprocess.Popen(['unshare', '--pid', '--fork', '--kill-child', os.environ['SMFS'], '-f', '-o', 'allow_other',
                               m.keys, m.mnt], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd='/')
    try:
        wait_mount(m.mnt, daemon.pid)
        for who, credentials in CALLERS.items():
            cases, more, less = in_child(lambda: differences(m, ids, shmat_gives(ids)), people.user(*credentials))
            equal((cases, more), (len(ids) * 3 * 5, []), who + ': more permissive')
            if not who.startswith('supplementary') and who != 'root':
                equal(less, [], who + ': stricter')
        umount(m.mnt)
        equal(daemon.wait(10), 0)
    finally:
        log.close()
        daemon.kill()
        daemon.wait()


harness.main(globals())
