# SPDX-License-Identifier: MIT
"""Private namespaces for tests, and what tests/mount/harness.py and tests/cli/cli.py, which need more, have in common."""

import os
import re
import subprocess
import sys
import time

SKIP = 77

# A tool that smfs runs under makes it slow: SMFS_SLOW is how many times longer the deadlines of the tests are.
SLOW = float(os.environ.get('SMFS_SLOW') or 1)


def patience(seconds):
    return seconds * SLOW


def version():
    """SM_VERSION."""
    with open(os.path.dirname(os.path.abspath(__file__)) + '/../libsm/sm.h') as header:
        return re.search('^#define SM_VERSION "(.*)"', header.read(), flags=re.M)[1]


class NotRunnable(AssertionError):
    """Raised by a test that finds nothing here to run on: it is skipped, or failed where the suite must run."""


def not_runnable(why):
    """A skip, or a failure where the suite must run."""
    print('cannot run: ' + why)
    sys.exit(1 if os.environ.get('SMFS_TESTS_MUST_RUN') else SKIP)


def enter():
    """Start this program again in an IPC namespace without any segment, unless it is there already."""
    if os.environ.get('SMFS_TEST_INSIDE') == str(os.getpid()):
        return
    flags = ['--ipc'] if os.geteuid() == 0 else ['--ipc', '--user', '--map-root-user']
    if subprocess.run(['unshare'] + flags + ['true']).returncode != 0:
        not_runnable('no private IPC namespace is to be had (unshare %s)' % ' '.join(flags))
    os.environ['SMFS_TEST_INSIDE'] = str(os.getpid())       # unshare without --fork keeps the pid
    os.execvp('unshare', ['unshare'] + flags + [sys.executable] + sys.argv)


def enter_all():
    """The same with mounts and processes of our own, too, for root."""
    if os.environ.get('SMFS_TEST_INSIDE') == str(os.getpid()):
        return
    flags = ['--ipc', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc', '--propagation', 'private']
    if os.geteuid() != 0 or os.spawnvp(os.P_WAIT, 'unshare', ['unshare'] + flags + ['true']):
        not_runnable('private IPC, mount and process namespaces need root, and unshare(1)')
    os.environ['SMFS_TEST_INSIDE'] = '1'        # the pid that --fork gives us in the new namespace
    sys.stdout.flush()
    os.execvp('unshare', ['unshare'] + flags + [sys.executable] + sys.argv)


def left_processes():
    """Those that still run beside us in our process namespace, as sentences; they are killed."""
    def others():
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass
        return [int(p) for p in os.listdir('/proc') if p.isdigit() and int(p) != os.getpid()]
    end = time.monotonic() + patience(1)
    while others() and time.monotonic() < end:
        time.sleep(0.005)
    wrong = []
    for pid in others():
        try:
            with open('/proc/%d/comm' % pid) as comm:
                wrong.append('process left over: %d %s' % (pid, comm.read().strip()))
            os.kill(pid, 9)
        except OSError:
            pass
    return wrong


def complaints(logs):
    """What valgrind says in its logs there; lines that begin with `--` are remarks on itself."""
    wrong = []
    for name in os.listdir(logs):
        with open(logs + '/' + name, errors='surrogateescape') as log:
            wrong += [''.join(line for line in log if line.startswith('=='))]
    return ['errors found:\n' + text for text in wrong if text]


def run_all(names, run_one):
    """
    The test functions among NAMES, or those that the command line names; RUN_ONE says what was wrong, or raises NotRunnable.
    What to exit with.
    """
    wanted = sys.argv[1:]
    tests = [t for n, t in names.items() if n.startswith('test_') and (not wanted or n in wanted)]
    left_out = [t for t in tests if hasattr(t, 'left_out')]
    for test in left_out:
        print('left out %s: %s' % (test.__name__, test.left_out))
    count = {'ok': 0, 'FAIL': 0, 'skip': 0}
    for test in tests:
        if test in left_out:
            continue
        start = time.monotonic()
        result, lines = run_and_judge(test, run_one)
        count[result] += 1
        print('%-4s %s (%.2f s)' % (result, test.__name__, time.monotonic() - start))
        for line in lines:
            print('     ' + line.replace('\n', '\n     '))
        sys.stdout.flush()
    print('%d passed, %d failed, %d skipped, %d left out' % (count['ok'], count['FAIL'], count['skip'], len(left_out)))
    return 1 if count['FAIL'] else SKIP if count['skip'] else 0


def run_and_judge(test, run_one):
    try:
        wrong = run_one(test)
    except NotRunnable as e:
        return 'FAIL' if os.environ.get('SMFS_TESTS_MUST_RUN') else 'skip', ['cannot run: %s' % e]
    return 'FAIL' if wrong else 'ok', wrong


def segments():
    """The lines of the kernel's table."""
    with open('/proc/sysvipc/shm') as table:
        return table.read().splitlines()[1:]


class Program:
    """A program that answers lines on its standard input; ended if a test forgets it."""

    def __init__(self, test, command, farewell='\n'):
        self.farewell = farewell
        self.process = subprocess.Popen(command, text=True, bufsize=1, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        test.addCleanup(self.end)

    def answer(self):
        return self.process.stdout.readline().rstrip('\n')

    def ask(self, line):
        self.process.stdin.write(line + '\n')
        return self.answer()

    def end(self):
        if self.process.poll() is None:
            self.process.communicate(self.farewell, timeout=10)
        return self.process.returncode

    def kill(self):
        self.process.kill()
        self.process.communicate()


def run(*command):
    return subprocess.run(command, text=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=30)
