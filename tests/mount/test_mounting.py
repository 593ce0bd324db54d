# SPDX-License-Identifier: MIT
"""Mounting as people mount: mount(8), fstab, fusermount3, umount, a service manager that waits for the daemon.

mount(8) gives its helpers a PATH of its own, so smfs has to be in a directory of that: /usr/local/bin, here only.
"""

import os
import shutil
import signal
import socket
import subprocess

import harness
from case import equal, own_segments
from daemon import is_mounted, mount, mounts_at, wait_until

SMFS = os.path.abspath(os.environ.get('SMFS', ''))


def install():
    """/usr/local/bin with smfs in it, and mount(8)'s own notes, for this namespace only."""
    mount('tmpfs', '/usr/local/bin', 'tmpfs', data='mode=0755')
    shutil.copy(SMFS, '/usr/local/bin/smfs')
    if os.path.isdir('/run/mount'):
        mount('tmpfs', '/run/mount', 'tmpfs', data='mode=0755')


def run(*command, **more):
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=15, **more)


def succeeds(*command, **more):
    done = run(*command, **more)
    equal((done.returncode, done.stdout), (0, ''), ' '.join(command))


def mount_line(mountpoint):
    """(source, type, options) of the topmost mount there."""
    with open('/proc/mounts') as table:
        fields = [line.split() for line in table]
    return [(f[0], f[2], f[3].split(',')) for f in fields if f[1] == mountpoint][-1]


def unmounted_by(m, *command):
    succeeds(*command)
    equal(is_mounted(m.mnt), False, 'mounted after ' + ' '.join(command))


def through(m, size=6):
    """An object is made and read there."""
    m.key()
    m.run('echo hello > app.key:A; cat app.key:A; stat -c %s app.key:A; rm app.key:A', expected='hello\n%d\n' % size)


@harness.unmounted
def test_mount_t_fuse_smfs(m):
    install()
    succeeds('mount', '-t', 'fuse.smfs', m.keys, m.mnt, '-o', 'allow_other,reap')
    source, kind, options = mount_line(m.mnt)
    equal((source, kind), (m.keys, 'fuse.smfs'))
    for option in ('rw', 'nosuid', 'nodev', 'noexec', 'allow_other'):
        equal(option in options, True, '%s in %s' % (option, options))
    through(m)
    unmounted_by(m, 'umount', m.mnt)


@harness.unmounted
def test_the_other_ways_to_call_it(m):
    """mount.fuse3 as old fstabs have it, and a relative KEYDIR."""
    install()
    succeeds('mount.fuse3', 'smfs#' + m.keys, m.mnt, '-o', 'rw,size=100')
    through(m)
    unmounted_by(m, 'umount', m.mnt)
    succeeds('mount', '-t', 'fuse.smfs', 'keys', 'mnt', cwd=m.scratch)
    equal(mount_line(m.mnt)[0], m.keys)
    through(m)
    unmounted_by(m, 'umount', m.mnt)


@harness.unmounted
def test_options_that_are_not_for_the_file_system(m):
    """What mount(8), mount.fuse3, systemd and desktops tell each other in fstab."""
    install()
    for options in ('rw,noauto,nofail,_netdev,user', 'auto,users,defaults', 'owner,group,nouser,relatime',
                    'x-systemd.automount,x-systemd.requires=network.target,x-gvfs-hide,comment=mine',
                    'exec,suid,dev,noatime,sync,nodiratime'):
        succeeds('mount', '-t', 'fuse.smfs', m.keys, m.mnt, '-o', options)
        equal({'nosuid', 'nodev', 'noexec'} - set(mount_line(m.mnt)[2]), set(), options)
        unmounted_by(m, 'umount', m.mnt)
        # and without mount.fuse3, which takes some of them away
        succeeds(SMFS, m.keys, m.mnt, '-o', options)
        unmounted_by(m, 'umount', m.mnt)


@harness.unmounted
def test_read_only(m):
    install()
    m.key()
    m.make(contents=b'there')
    succeeds('mount', '-t', 'fuse.smfs', m.keys, m.mnt, '-o', 'ro')
    equal('ro' in mount_line(m.mnt)[2], True)
    m.run('cat app.key:A', expected='there')
    m.refused('echo x > app.key:A', 'EROFS')
    m.refused('rm -f app.key:A', 'EROFS')
    unmounted_by(m, 'umount', m.mnt)


@harness.unmounted
def test_what_is_wrong_is_said_through_mount(m):
    install()
    for options, named in (('nonsense', 'nonsense'), ('size=x', 'size'), ('reap=0', 'reap'), ('remount,ro', 'remount')):
        done = run('mount', '-t', 'fuse.smfs', m.keys, m.mnt, '-o', options)
        equal((done.returncode != 0, named in done.stdout, is_mounted(m.mnt)), (True, True, False), done.stdout)
    done = run('mount', '-t', 'fuse.smfs', m.keys + '/none', m.mnt)
    equal((done.returncode != 0, m.keys + '/none' in done.stdout), (True, True), done.stdout)


@harness.unmounted
def test_setuid(m):
    """mount.fuse3 becomes that user first."""
    install()
    for path in (m.scratch, m.mnt):
        os.chown(path, harness.USER, harness.USER)
    user = subprocess.run(['id', '-nu', str(harness.USER)], capture_output=True, text=True).stdout.strip()
    succeeds('mount', '-t', 'fuse.smfs', m.keys, m.mnt, '-o', 'setuid=' + user)
    equal('user_id=%d' % harness.USER in mount_line(m.mnt)[2], True)
    unmounted_by(m, 'umount', m.mnt)


@harness.unmounted
def test_fstab(m):
    """A line as smfs(1) has it; `mount -a` again finds it mounted."""
    install()
    lines = '%s %s fuse.smfs allow_other,reap 0 0\n%s /nowhere fuse.smfs noauto 0 0\n' % (m.keys, m.mnt, m.keys)
    with open(m.scratch + '/fstab', 'w') as fstab:
        fstab.write(lines)
    os.environ['LIBMOUNT_FSTAB'] = m.scratch + '/fstab'     # mount(8) and umount(8) read it in place of /etc/fstab
    for _ in range(2):
        succeeds('mount', '-a')
        equal(mounts_at(m.mnt), ['fuse.smfs'])
    through(m)
    unmounted_by(m, 'umount', m.mnt)
    succeeds('mount', m.mnt)
    unmounted_by(m, 'umount', '-a', '-t', 'fuse.smfs')


@harness.unmounted
def test_fusermount3(m):
    succeeds(SMFS, m.keys, m.mnt)
    unmounted_by(m, 'fusermount3', '-u', m.mnt)


@harness.unmounted
def test_a_comma_in_the_name_of_keydir(m):
    keys = m.keys + '/a,ro\\b'
    os.mkdir(keys)
    succeeds(SMFS, keys, m.mnt)
    with open('/proc/self/mountinfo') as table:
        source = [line.split()[-2] for line in table if line.split()[4] == m.mnt]
    equal(source, [keys.replace('\\', '\\134')])
    equal('rw' in mount_line(m.mnt)[2], True)
    unmounted_by(m, 'umount', m.mnt)
    succeeds(SMFS, '-o', 'fsname=mine', keys, m.mnt)
    equal(mount_line(m.mnt)[0], 'mine')
    unmounted_by(m, 'umount', m.mnt)


@harness.unmounted
def test_operands_behind_two_dashes(m):
    os.mkdir(m.keys + '/-f')
    succeeds(SMFS, '-o', 'size=100', '--', '-f', m.mnt, cwd=m.keys)
    unmounted_by(m, 'umount', m.mnt)


def told(listener):
    listener.settimeout(10)
    return listener.recv(4096).decode()


def notified(m, name, address, end):
    """What a daemon tells: ready when it serves, stopping when it does not."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        os.environ['NOTIFY_SOCKET'] = name
        try:
            daemon = m.start()
        finally:
            del os.environ['NOTIFY_SOCKET']
        equal(told(listener), 'READY=1')
        equal(os.listdir(m.mnt) != [], True, 'served when it said so')
        end(daemon)
        equal(told(listener), 'STOPPING=1')
        equal(daemon.wait(), 0)


@harness.unmounted
def test_it_notifies_its_manager(m):
    notified(m, m.scratch + '/notify', m.scratch + '/notify', lambda daemon: daemon.signal(signal.SIGTERM))


@harness.unmounted
def test_it_notifies_an_abstract_socket(m):
    name = 'smfs-test-%d' % os.getpid()
    notified(m, '@' + name, '\0' + name, lambda daemon: succeeds('umount', m.mnt))


@harness.unmounted
def test_a_manager_that_is_gone(m):
    """It serves all the same, and says why nobody was told."""
    for path in (m.scratch + '/gone', 'nonsense', '/' + 'x' * 200):
        os.environ['NOTIFY_SOCKET'] = path
        daemon = m.start()
        daemon.may_complain = True
        wait_until(lambda: path + ' could not be told READY=1: ' in daemon.stderr(), 'smfs complains of ' + path)
        unmounted_by(m, 'umount', m.mnt)
        equal(daemon.wait(), 0)


@harness.unmounted
def test_the_service_template(m):
    """It has no fault that systemd knows of, and nothing that would hide the mount or the segments."""
    if not shutil.which('systemd-analyze'):
        equal('SMFS_TESTS_MUST_RUN' in os.environ, False, 'systemd is not installed, and must be')
        return
    unit = os.path.join(os.path.dirname(SMFS), 'smfs@.service')
    install()
    shutil.copy(unit, m.scratch + '/smfs@.service')
    done = run('systemd-analyze', 'verify', '--man=no', m.scratch + '/smfs@mnt-sm.service')
    equal((done.returncode, done.stdout), (0, ''))
    with open(unit) as text:
        settings = [line.split('=')[0] for line in text if '=' in line and not line.startswith('#')]
    hide = {'PrivateTmp', 'PrivateDevices', 'ProtectHome', 'ProtectSystem', 'ProtectProc', 'ProtectKernelTunables',
            'ProtectKernelModules', 'ProtectKernelLogs', 'ProtectControlGroups', 'ProtectClock', 'ReadOnlyPaths',
            'ReadWritePaths', 'InaccessiblePaths', 'TemporaryFileSystem', 'BindPaths', 'RootDirectory', 'DynamicUser'}
    equal(hide & set(settings), set())


harness.main(globals())
