# SPDX-License-Identifier: MIT
"""Runs the test functions of one file, each on a mount of its own, where nothing else is.

A test file defines `test_...(m)` functions, m being a Case, and ends with `harness.main(globals())`.
The process first moves into private IPC, mount and process namespaces, so every segment, mount and
process that a test leaves over is seen, is a failure, and can harm nobody. See tests/README.md.
"""

import ctypes
import os
import shutil
import stat
import sys
import tempfile
import threading
import traceback

from case import Case, in_child, own_segments
from daemon import mount, umount, MNT_DETACH
import private
import shm


USER = 65534        # who mounts in an @as_user test, and the stranger elsewhere
DEADLINE = 25       # seconds for one test


def options(*arguments):
    """Further arguments of smfs for this test."""
    def mark(test):
        test.options = getattr(test, 'options', []) + list(arguments)
        return test
    return mark


def allow_other(test):
    return options('-o', 'allow_other')(test)


def as_user(test):
    """An ordinary user mounts, works and unmounts; KEYDIR and the mount point are that user's."""
    test.user = USER
    return not_under('valgrind', USERS_VALGRIND)(test)


def says(words):
    """Lines with these WORDS on standard error are what the test brings about."""
    def mark(test):
        test.may_say = words
        return test
    return mark


reaps = says(', holders died')


def killed(test):
    """The first daemon ends by SIGKILL, as the test means it to."""
    test.killed = True
    return test


def unmounted(test):
    """The test starts smfs itself (Case.start)."""
    test.unmounted = True
    return test


def not_under(tool, why):
    """The test is left out where smfs runs under that tool (SMFS_TOOL: tsan, valgrind)."""
    def mark(test):
        if os.environ.get('SMFS_TOOL') == tool:
            test.left_out = why
        return test
    return mark


VALGRIND_SHMAT = 'the shmat and mremap of valgrind have their own errors, and no room for large or huge pages'
USERS_VALGRIND = 'what an ordinary user starts under valgrind does not come to mount'

small = not_under('tsan', 'ThreadSanitizer leaves no room for it in the address space')
jumps = not_under('tsan', 'smfs jumps out of memcpy, which that of ThreadSanitizer does not survive')


def deadline(seconds):
    def mark(test):
        test.deadline = seconds
        return test
    return mark


def enter_namespaces():
    if not os.path.exists(os.environ.get('SMFS', '')):
        private.not_runnable('SMFS does not name the daemon to test (meson test sets it)')
    if not os.path.exists('/dev/fuse'):
        private.not_runnable('there is no /dev/fuse')
    private.enter_all()


def prepare_machine():
    """A scratch tmpfs; a /dev/fuse and a fuse.conf that let an ordinary user mount, here only."""
    base = tempfile.mkdtemp(prefix='smfs-test.')
    try:
        mount('tmpfs', base, 'tmpfs', data='mode=0755')
        os.mknod(base + '/fuse', stat.S_IFCHR, os.makedev(10, 229))
        os.chmod(base + '/fuse', 0o666)
        with open(base + '/fuse.conf', 'w') as conf:
            conf.write('user_allow_other\n')
        mount(base + '/fuse', '/dev/fuse', 'none', 4096)        # MS_BIND
        if os.path.exists('/etc/fuse.conf'):
            mount(base + '/fuse.conf', '/etc/fuse.conf', 'none', 4096)
        os.close(os.open('/dev/fuse', os.O_RDWR))
    except OSError as e:
        umount(base, MNT_DETACH)
        os.rmdir(base)
        private.not_runnable(str(e))
    return base


def left_over(scratch):
    """Segments, mounts and processes that the test did not put away; removes them, returns sentences."""
    wrong = private.left_processes()
    mine = own_segments(scratch)
    for seg in shm.listing():
        if seg.id not in mine:
            wrong.append('segment left over: key 0x%08x, %d bytes, mode %04o, uid %d, nattch %d%s'
                         % (seg.key, seg.size, seg.mode, seg.uid, seg.nattch,
                            ', marked for removal' if seg.removed else ''))
        elif seg.nattch:
            wrong.append('segment %d (key 0x%08x) still attached %d times' % (seg.id, seg.key, seg.nattch))
        shm.remove(seg.id)
    with open('/proc/self/mountinfo') as table:
        points = [line.split()[4] for line in table]
    for point in reversed(points):
        if point.startswith(scratch + '/'):
            if point != scratch + '/keys':
                wrong.append('mount left over: ' + point)
            umount(point, MNT_DETACH)
    return wrong


def reset_limits():
    for name, value in LIMITS.items():
        with open('/proc/sys/kernel/' + name) as now:
            if now.read() == value:
                continue
        with open('/proc/sys/kernel/' + name, 'w') as limit:
            limit.write(value)


def read_limits():
    return {name: open('/proc/sys/kernel/' + name).read() for name in ('shmmax', 'shmall', 'shmmni')}


def where(error):
    """The line of the test file, and what it said."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if os.path.basename(f.filename).startswith('test_')]
    line = 'line %d: ' % frames[-1].lineno if frames else ''
    text = str(error) if isinstance(error, AssertionError) and str(error) else '%s: %s' % (type(error).__name__, error)
    if not frames or text == 'AssertionError: ':
        text += ''.join('\n    ' + x.rstrip() for x in traceback.format_tb(error.__traceback__)[-4:])
    return line + text


def run_body(test, case):
    """As root in this process; an @as_user test in a child with that user's credentials."""
    if not case.user:
        test(case)
        return
    failed = case.as_uid(case.user, case.user, [], lambda: caught(test, case))
    if failed:
        raise AssertionError(failed)


def caught(test, case):
    try:
        test(case)
    except Exception as e:
        return where(e)


def run_one(test, base):
    """In a process of its own, so that descriptors and attachments of a test end with it."""
    scratch = base + '/' + test.__name__
    try:
        wrong, why = in_child(lambda: run_case(test, base), become_reaper)
    except Exception as e:
        wrong, why = [str(e)], None
    leftovers = left_over(scratch)
    reset_limits()
    shutil.rmtree(scratch, ignore_errors=True)
    if why and not wrong and not leftovers:
        raise private.NotRunnable(why)
    return wrong or leftovers       # after a failure, what is left over is a consequence


def become_reaper():
    """What a test's processes leave running becomes ours, and smfs in the background our child."""
    ctypes.CDLL(None).prctl(36, 1)      # PR_SET_CHILD_SUBREAPER


def run_case(test, base):
    """What was wrong, and why it could not run."""
    case = Case(test, base)
    wrong, why = [], None
    limit = private.patience(getattr(test, 'deadline', DEADLINE))
    for seconds, act in ((limit, case.time_out), (limit + 15, lambda: give_up(test.__name__))):
        timer = threading.Timer(seconds, act)
        timer.daemon = True
        timer.start()
    try:
        if not getattr(test, 'unmounted', False):
            case.start()
        run_body(test, case)
    except private.NotRunnable as e:
        why = str(e)
    except Exception as e:
        wrong.append(where(e))
    if wrong:
        case.abort()                # as it is, it may not even unmount
    else:
        wrong = case.finish()
    if case.late:
        wrong.append('did not end within %d s; the mount was aborted' % limit)
    return wrong, why


def give_up(name):
    print('FAIL %s: hangs even after its mount was aborted' % name, flush=True)
    os._exit(1)


def main(names):
    enter_namespaces()
    base = prepare_machine()
    status = private.run_all(names, lambda test: run_one(test, base))
    umount(base, MNT_DETACH)
    os.rmdir(base)
    sys.exit(status)


LIMITS = read_limits()
