# SPDX-License-Identifier: MIT
"""The completions for bash, zsh and fish: they know what --help knows, and the objects that exist."""

import os
import re
import subprocess

import cli

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'tools', 'smctl', 'completions')


def text_of(name):
    with open(os.path.join(FOLDER, name)) as f:
        return f.read()


def verbs(c):
    return re.findall(r'^  ([a-z]+) ', c.ok('--help'), flags=re.M)


def options_of(c, verb):
    lines = re.findall(r'^ {2,6}(-.*?)(?:  |$)', c.ok(verb, '--help'), flags=re.M)
    return set(re.findall(r'--?[a-zA-Z][a-z-]*', ' '.join(lines)))


def columns(c):
    return re.findall(r'^  (\w+) ', c.ok('ls', '--help').split('shown anyway:\n')[1], flags=re.M)


def path_env(c):
    return dict(os.environ, PATH=os.path.dirname(c.smctl) + ':' + os.environ['PATH'], HOME=c.scratch)


def bash(c, *words, cwd=None):
    """What bash offers for the last of the words."""
    script = ('. "$1"; shift; compopt() { :; }; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _smctl; '
              'printf "%s\\n" "${COMPREPLY[@]}"')
    done = subprocess.run(['bash', '--norc', '-c', script, 'bash', FOLDER + '/smctl.bash', 'smctl'] + list(words),
                          env=path_env(c), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=20, cwd=cwd)
    assert not done.stderr, done.stderr
    return done.stdout.split('\n')[:-1]


def fish(c, line):
    done = subprocess.run(['fish', '--no-config', '-c', 'source $argv[1]; complete -C $argv[2]', FOLDER + '/smctl.fish',
                           line], env=path_env(c), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=20)
    assert not done.stderr, done.stderr
    return [row.split('\t')[0] for row in done.stdout.splitlines()]


def test_bash_knows_verbs_options_and_columns(c):
    assert set(bash(c, '')) == set(verbs(c)) | {'--help', '--version'}
    for verb in verbs(c):
        assert set(bash(c, verb, '-')) == options_of(c, verb), verb
    assert bash(c, 'ls', '-o', '') == columns(c)
    assert bash(c, 'ls', '-o', '+id,si') == ['+id,size']


def test_bash_offers_objects(c):
    path = c.key('with space.key')
    c.ok('create', path, 'A', '10')
    c.ok('create', path, 'a', '10')
    shmid = str(cli.data_of(path, 'A'))
    for words in (['stat', ''], ['rm', '--yes', c.scratch + '/w'], ['wait', '--refcount', '1', '/tmp/']):
        assert path in bash(c, *words), words
    odd = c.key('back\\\\slash\\x41.key')
    c.ok('create', odd, 'B', '10')
    assert odd in bash(c, 'stat', '') and bash(c, 'stat', odd, '') == ['B']
    assert 'with space.key' in bash(c, 'create', 'w', cwd=c.scratch)
    assert sorted(bash(c, 'stat', path, '')) == ['A', 'a']
    assert bash(c, 'cat', 'with space.key', 'a', cwd=c.scratch) == ['a']
    assert shmid in bash(c, 'stat', '--id', '')
    assert 'root' in bash(c, 'ls', '--owner', 'ro')
    assert 'touch' in bash(c, 'hold', path, 'A', '--', 'touc')


def test_fish_knows_verbs_options_and_columns(c):
    if not cli.have('fish'):
        return
    assert set(fish(c, 'smctl ')) == set(verbs(c))
    for verb in verbs(c):
        assert set(fish(c, 'smctl %s --' % verb)) == {o for o in options_of(c, verb) if o.startswith('--')}, verb
    assert set(columns(c)) <= set(fish(c, 'smctl ls -o '))


def test_fish_offers_objects(c):
    if not cli.have('fish'):
        return
    path = c.key()
    c.ok('create', path, 'A', '10')
    c.ok('create', path, 'a', '10')
    assert path in fish(c, 'smctl stat ' + c.scratch)
    assert sorted(fish(c, 'smctl stat %s ' % path)) == ['A', 'a']
    assert str(cli.data_of(path, 'A')) in fish(c, 'smctl stat --id ')
    odd = c.key('back\\slash.key')
    c.ok('create', odd, 'B', '10')
    assert fish(c, "smctl stat '%s' " % odd.replace('\\', '\\\\')) == ['B']
    assert fish(c, 'smctl ls /') == []


ZSH = """
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z "PS1= PROMPT_EOL_MARK=; fpath=($1 \\$fpath); autoload -Uz compinit; compinit -u -d $3/dump"
zpty -w z "zstyle ':completion:*' list-separator '  --'; LISTMAX=0; bindkey '^I' complete-word; print READ''Y"
zpty -r -m z line '*READY*'
zpty -w -n z "$2"$'\\t'
sleep $4
zpty -w -n z $'\\C-a: \\C-e\\n'
zpty -w z "print EN''D"
zpty -r -m z line '*END*'
print -r -- $line
"""


def zsh(c, line, *patterns):
    """What an interactive zsh shows after LINE and the tabulator has all the patterns; a slow one gets more time."""
    for pause in 0.5, 2, 5:
        done = subprocess.run(['zsh', '-f', '-c', ZSH, 'zsh', FOLDER, line, c.scratch, str(pause)],
                              env=dict(path_env(c), TERM='dumb'), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=20)
        missing = [p for p in patterns if not re.search(p, done.stdout)]
        if not missing:
            return
    raise AssertionError('%r not in %s' % (missing, done.stdout))


def test_zsh(c):
    if not cli.have('zsh'):
        return
    path = c.key()
    c.ok('create', path, 'A', '10')
    zsh(c, 'smctl ', *(r'\b%s\b' % verb for verb in verbs(c)))
    zsh(c, 'smctl rm --', *(o for o in options_of(c, 'rm') if o.startswith('--')))
    zsh(c, 'smctl stat ' + path[:-4], re.escape(path))
    zsh(c, 'smctl stat %s ' % path, re.escape(path) + r' A\b')
    odd = c.key('back\\slash.key')
    c.ok('create', odd, 'B', '10')
    zsh(c, "smctl stat '%s' " % odd, re.escape(odd) + r"' B\b")


def test_zsh_knows_every_option_and_column(c):
    """Read from the source: a shell that can be asked is not everywhere."""
    text = text_of('_smctl')
    lines = dict(re.findall(r'^\t([a-z|]+)\)((?:.*\n)*?.*;;)', text, flags=re.M))
    shared = {'$choose': '--leaked --orphaned --owner --older-than ', '$id': '--id ', '$help': '-h --help '}
    for verb in verbs(c):
        body = next(b for names, b in lines.items() if verb in names.split('|'))
        for name, options in shared.items():
            body = body.replace(name, options)
        body = re.sub(r'\[[^]]*\]', ' ', body)
        found = set(re.findall(r'(?<![\w-])--?[a-zA-Z][a-z-]*', body)) - {'-s'}
        assert found == options_of(c, verb), (verb, found)
    assert all(re.search(r'\b%s\b' % name, text) for name in columns(c))


cli.main(globals())
