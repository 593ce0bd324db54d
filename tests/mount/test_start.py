# SPDX-License-Identifier: MIT
"""Refused starts: one line on standard error that names the thing, a non-zero status, nothing mounted."""

import os
import subprocess

import harness
import private
from case import equal
from daemon import credentials, is_mounted

SMFS = os.environ.get('SMFS', '')


def run(*arguments, **more):
    return subprocess.run([SMFS] + list(arguments), capture_output=True, text=True, timeout=15,
                          stdin=subprocess.DEVNULL, **more)


def refused(m, named, *arguments, **more):
    """One line that contains NAMED."""
    status = more.pop('status', None)
    done = run(*arguments, **more)
    what = 'smfs %s' % ' '.join(arguments)
    equal(done.returncode if status else status, status, what)
    if done.returncode == 0 or is_mounted(m.mnt):
        raise AssertionError(what + ': expected a failure, it mounted')
    equal(done.returncode < 0, False, what + ': killed by signal %d' % -done.returncode)
    equal(done.stdout, '', what + ': stdout')
    if done.stderr.count('\n') != 1 or not done.stderr.startswith('smfs: ') or named not in done.stderr:
        raise AssertionError('%s: expected one line "smfs: ..." that names %r, saw %r' % (what, named, done.stderr))


@harness.unmounted
def test_a_bad_keydir(m):
    plain = m.key()
    for flags in ([], ['-f']):
        refused(m, '/nonexistent', *flags, '/nonexistent', m.mnt)
        refused(m, plain, *flags, plain, m.mnt)
        refused(m, m.keys + '/missing', *flags, m.keys + '/missing', m.mnt)


@harness.unmounted
def test_a_bad_mountpoint(m):
    plain = m.key()
    for flags in ([], ['-f']):
        refused(m, '/nonexistent', *flags, m.keys, '/nonexistent')
        refused(m, plain, *flags, m.keys, plain)
        refused(m, '/nonexistent', *flags, '/nonexistent')


@harness.unmounted
def test_operands(m):
    for arguments in ([], [m.keys, m.mnt, 'third'], ['']):
        done = run(*arguments)
        equal(done.returncode not in (0, -11, -6), True, 'smfs %s: status %d' % (arguments, done.returncode))
        equal((done.stdout, done.stderr.count('\n'), done.stderr.startswith('smfs: ')), ('', 1, True),
              'smfs %s: stderr %r' % (arguments, done.stderr))
    refused(m, 'third', m.keys, m.mnt, 'third')


@harness.unmounted
def test_unknown_options(m):
    refused(m, '--nonsense', '--nonsense', m.keys, m.mnt, status=2)
    refused(m, '-Q', '-Q', m.keys, m.mnt, status=2)
    refused(m, 'nonsense', '-o', 'nonsense', m.keys, m.mnt, status=2)
    refused(m, 'nonsense', '-o', 'nonsense=3', m.keys, m.mnt, status=2)
    refused(m, 'sizes', '-o', 'sizes=3', m.keys, m.mnt, status=2)
    equal(run(m.keys, m.mnt, '-o').returncode, 2, '-o without its argument')


@harness.unmounted
def test_options_without_their_value(m):
    for option in ('size', 'staged', 'files', 'listings', 'access', 'ipcns', 'max_threads', 'max_idle_threads'):
        refused(m, 'smfs: -o %s: a value is missing' % option, '-o', option, m.keys, m.mnt, status=2)


@harness.unmounted
def test_numbers_of_threads_that_are_none(m):
    for option in ('max_threads', 'max_idle_threads'):
        for value in ('', '0', '-1', 'x', '4x', ' 4', '4294967297', '99999999999999999999'):
            refused(m, 'smfs: -o %s=%s: not a number of threads' % (option, value), '-o', '%s=%s' % (option, value),
                    m.keys, m.mnt, status=2)


@harness.unmounted
def test_sizes_that_are_none(m):
    for option in ('size', 'staged', 'listings'):
        for value in ('', 'x', '-1', '-5K', '1.5', '4X', '4KK', ' 4', '4 ', '0x10', '99999999999999999999', '9999999999G', 'K', '4K4',
                      '+', '18446744073709551616'):
            refused(m, option, '-o', '%s=%s' % (option, value), m.keys, m.mnt)
        refused(m, option, '-o', option, m.keys, m.mnt)
    refused(m, 'size', '-o', 'size=0', m.keys, m.mnt)


@harness.unmounted
def test_options_after_the_operands(m):
    m.start(arguments=[m.keys, m.mnt, '-o', 'size=100'])
    m.key()
    m.run('touch app.key:A; stat -c %s app.key:A; rm app.key:A', expected='100\n')


@harness.unmounted
def test_a_shorter_read(m):
    m.start(arguments=['-o', 'max_read=4096', m.keys, m.mnt])
    m.key()
    m.make(contents=bytes(range(250)) * 80)
    equal(m.read('app.key:A'), bytes(range(250)) * 80)
    m.remove()


@harness.unmounted
def test_several_options_in_one(m):
    m.start(arguments=['-osize=100,staged=1M,noatime', m.keys, m.mnt])
    m.key()
    m.run('touch app.key:A; stat -c %s app.key:A; rm app.key:A', expected='100\n')


@harness.unmounted
def test_no_dev_fuse(m):
    script = 'mount -t tmpfs none /dev && exec "$SMFS" "$K" "$M"'
    done = subprocess.run(['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=15, env=dict(os.environ, K=m.keys, M=m.mnt))
    equal(done.returncode != 0, True, 'status without /dev/fuse')
    equal((done.stdout, done.stderr.count('\n'), '/dev/fuse' in done.stderr), ('', 1, True), 'stderr %r' % done.stderr)


@harness.unmounted
def test_a_closed_dev_fuse(m):
    """A user who may not open it; fusermount3 is set-uid and complains with a line of its own."""
    os.chown(m.mnt, harness.USER, harness.USER)
    os.chmod('/dev/fuse', 0o600)
    try:
        done = run(m.keys, m.mnt, preexec_fn=credentials(harness.USER))
    finally:
        os.chmod('/dev/fuse', 0o666)
    equal(done.returncode != 0, True, 'status with a closed /dev/fuse')
    equal((done.stdout, '/dev/fuse' in done.stderr, done.stderr.count('\n')), ('', True, 1), 'stderr %r' % done.stderr)
    equal(is_mounted(m.mnt), False)


@harness.unmounted
def test_a_mountpoint_of_somebody_else(m):
    """fusermount3 refuses it; the user learns which directory and why."""
    done = run(m.keys, m.mnt, preexec_fn=credentials(harness.USER))
    equal(done.returncode != 0, True, 'status')
    equal(m.mnt in done.stderr, True, 'stderr %r names the mount point' % done.stderr)


@harness.unmounted
def test_help(m):
    for option in ('--help', '-h'):
        done = run(option)
        equal((done.returncode, done.stderr), (0, ''), option)
        for word in ('usage', 'KEYDIR', 'MOUNTPOINT', '-f', '-d', '-s', 'size=', 'staged=', 'allow_other'):
            equal(word.lower() in done.stdout.lower(), True, '%s tells of %s' % (option, word))


@harness.unmounted
def test_version(m):
    for option in ('--version', '-V'):
        done = run(option)
        equal((done.returncode, done.stderr), (0, ''), option)
        equal(private.version() in done.stdout and 'smfs' in done.stdout, True, '%s: %r' % (option, done.stdout))
        equal('3.1' in done.stdout, True, 'the version of libfuse in %r' % done.stdout)


@harness.unmounted
def test_help_that_cannot_be_written(m):
    with open('/dev/full', 'w') as full:
        done = subprocess.run([SMFS, '--help'], stdout=full, stderr=subprocess.PIPE, timeout=15)
    equal(done.returncode >= 0, True, 'no signal')


harness.main(globals())
