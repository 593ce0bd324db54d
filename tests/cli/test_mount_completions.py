# SPDX-License-Identifier: MIT
"""The completions of smfs for bash, zsh and fish: they know the options that --help knows, and directories."""

import os
import re
import subprocess

import cli

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'smfs', 'completions')
MORE = {'fsname', 'noatime', 'rw'}      # of mount(8) and libfuse, without a line of their own in --help


def options():
    """({'-f', ...}, {'size', ...}) of --help."""
    text = subprocess.run([os.environ['SMFS'], '--help'], stdout=subprocess.PIPE, text=True, timeout=20).stdout
    flags = set(re.findall(r'(?<![\w-])--?[a-zA-Z]+', text.split('options:\n')[1])) - {'-o'}
    return flags, set(re.findall(r'-o ([a-z_]+)', text))


def run(c, command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=20, cwd=c.scratch,
                          env=dict(os.environ, HOME=c.scratch))
    assert not done.stderr, done.stderr
    return done.stdout.splitlines()


def bash(c, *words):
    script = ('. "$1"; shift; compopt() { :; }; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _smfs; '
              '[ ${#COMPREPLY[@]} = 0 ] || printf "%s\\n" "${COMPREPLY[@]}"')
    return run(c, ['bash', '--norc', '-c', script, 'bash', FOLDER + '/smfs.bash', 'smfs'] + list(words))


def names(offered):
    return {word.split('=')[0] for word in offered}


def test_bash(c):
    flags, mount_options = options()
    assert set(bash(c, '-')) == flags | {'-o'}
    assert names(bash(c, '-o', '')) == mount_options | MORE
    assert bash(c, '-o', 'ro,allow_o') == ['ro,allow_other']
    os.mkdir(c.scratch + '/keys dir')
    assert bash(c, '-f', 'k') == ['keys dir']
    # bash takes words apart at `=`
    assert bash(c, '-o', 'access', '=') == ['auto', 'native', 'copy']
    assert bash(c, '-o', 'access', '=', 'n') == ['native']
    assert bash(c, '-o', 'ro,access', '=', 'n') == ['native']
    assert bash(c, '-o', 'access', '=', 'copy,size', '=', '64K,clo') == ['64K,clone_fd']
    assert bash(c, '-o', 'access=n') == ['access=native']
    assert str(os.getpid()) in bash(c, '-o', 'ipcns', '=')


def test_fish(c):
    if not cli.have('fish'):
        return

    def fish(line):
        rows = run(c, ['fish', '--no-config', '-c', 'source $argv[1]; complete -C $argv[2]', FOLDER + '/smfs.fish', line])
        return {row.split('\t')[0] for row in rows}

    flags, mount_options = options()
    os.mkdir(c.scratch + '/keys')
    assert fish('smfs -') >= flags | {'-o'}
    assert names(fish('smfs -o ')) == mount_options | MORE
    assert 'ro,access=native' in fish('smfs -o ro,access=n')
    assert 'keys/' in fish('smfs ')


def test_zsh_knows_every_option(c):
    """Read from the source: a shell that can be asked is not everywhere."""
    with open(FOLDER + '/_smfs') as file:
        text = file.read()
    flags, mount_options = options()
    assert set(re.findall(r"^\t\t'([a-z_]+)\[", text, flags=re.M)) == mount_options | MORE
    assert set(re.findall(r'(?<![\w-])--?[a-zA-Z]+', text.split('_arguments')[1])) - {'-S'} == flags | {'-o'}
    if cli.have('zsh'):
        assert run(c, ['zsh', '-n', FOLDER + '/_smfs']) == []


cli.main(globals())
