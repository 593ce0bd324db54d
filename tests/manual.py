# SPDX-License-Identifier: MIT
"""Holds the manual pages against what they describe: manual.py SOURCE-ROOT BUILD-ROOT.

libsm(3): every function of sm.h with its exact prototype, every field, constant and exported symbol.
smfs(1), smctl(1): every option and verb that --help prints. All of them: mandoc has nothing to say.
"""

import glob
import os
import re
import shutil
import subprocess
import sys
import unittest

BUILD = os.path.abspath(sys.argv.pop())
ROOT = os.path.abspath(sys.argv.pop())
PAGES = {os.path.basename(path): path for folder in ('libsm', 'smfs', 'tools')
         for path in glob.glob(os.path.join(ROOT, folder, '**', '*.[1-8]'), recursive=True)}


def text_of(*path):
    with open(os.path.join(ROOT, *path)) as file:
        return file.read()


def words(prototype):
    """A declaration without the accidents of white space."""
    return re.sub(r'\s*([*(),])\s*', r'\1', ' '.join(prototype.split()))


def header_prototypes():
    """{name: prototype} of every function that sm.h declares or defines inline."""
    text = re.sub(r'/\*.*?\*/', '', text_of('libsm', 'sm.h'), flags=re.S)
    found = re.findall(r'^(?:static inline )?([a-z_][\w \t]*[ *]+(sm_\w+)\([^;{]*\))', text, flags=re.M)
    return {name: words(prototype) for prototype, name in found}


def manual_prototypes():
    """The same from the synopsis of libsm(3)."""
    found = re.findall(r'^\.Ft (.*)\n\.Fn (\w+) (.*)$', text_of('libsm', 'libsm.3'), flags=re.M)
    return {name: words('%s %s(%s)' % (kind.strip('"'), name, ', '.join(re.findall('"([^"]*)"', arguments))))
            for kind, name, arguments in found}


def rendered(page):
    """A page as a reader sees it, one space between words."""
    seen = subprocess.run(['mandoc', '-Tutf8', page], capture_output=True, text=True).stdout
    return ' '.join(re.sub('.\b', '', seen).replace('\u2212', '-').split())


def help_of(*command):
    seen = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=10)
    return seen.stdout + seen.stderr


class Libsm(unittest.TestCase):
    maxDiff = None

    def test_every_function_has_its_prototype_there(self):
        header = header_prototypes()
        self.assertGreater(len(header), 40)
        self.assertEqual(header, manual_prototypes())

    def test_every_function_is_described(self):
        described = text_of('libsm', 'libsm.3').split('.Sh DESCRIPTION')[1]
        for name in header_prototypes():
            self.assertRegex(described, r'Fn %s\b' % name)

    def test_every_field_and_constant_is_there(self):
        header, page = text_of('libsm', 'sm.h'), text_of('libsm', 'libsm.3')
        fields = [name for body in re.findall(r'^struct sm_\w+ \{(.*?)^\};', header, flags=re.M | re.S)
                  for declaration in re.sub(r'/\*.*?\*/', '', body, flags=re.S).split(';')
                  for name in re.findall(r'(\w+)(?:\[\w+\])?\s*(?:,|$)', declaration.strip())]
        constants = re.findall(r'^#define (SM_\w+)', header, flags=re.M)
        self.assertGreater(len(fields), 30)
        for name in fields + constants:
            self.assertRegex(page, r'\b%s\b' % name)

    def test_every_exported_symbol_is_public_and_back(self):
        exported = set(re.findall(r'^\s*(sm_\w+);', text_of('libsm', 'libsm.map'), flags=re.M))
        inline = set(re.findall(r'^static inline .*?(sm_\w+)\(', text_of('libsm', 'sm.h'), flags=re.M))
        self.assertEqual(exported, set(header_prototypes()) - inline)


class Commands(unittest.TestCase):
    def check(self, program, page):
        program = os.path.join(BUILD, program)
        if not os.path.exists(program) or page not in PAGES:
            self.skipTest('%s is not built, or has no manual page' % program)
        shown, manual = help_of(program, '--help'), rendered(PAGES[page])
        self.check_options(shown, manual)
        return program, shown, manual

    def check_options(self, shown, manual):
        options = set(re.findall(r'(?<![\w-])(--?[a-zA-Z][\w-]*)', shown))
        self.assertTrue(options)
        for option in sorted(options):
            self.assertRegex(manual, r'(?<![\w-])%s\b' % re.escape(option))

    def test_smfs(self):
        _, shown, manual = self.check('smfs/smfs', 'smfs.1')
        for option in re.findall(r'-o ([a-z_]+)', shown):
            self.assertRegex(manual, r'\b%s\b' % option)

    def test_smctl(self):
        program, shown, manual = self.check('tools/smctl', 'smctl.1')
        verbs = re.findall(r'^  ([a-z]+)  +[A-Z]', shown, flags=re.M)
        self.assertGreater(len(verbs), 8)
        for verb in verbs:
            with self.subTest(verb):
                self.assertIn('smctl ' + verb, manual)
                self.check_options(help_of(program, verb, '--help'), manual)


class Pages(unittest.TestCase):
    def test_mandoc_has_nothing_to_say(self):
        if not shutil.which('mandoc'):
            self.skipTest('mandoc is not installed')
        self.assertTrue(PAGES)
        for page in PAGES.values():
            seen = subprocess.run(['mandoc', '-Tlint', page], capture_output=True, text=True)
            # Which other pages are installed here says nothing about this one.
            said = [line for line in seen.stdout.splitlines() if 'referenced manual not found' not in line]
            self.assertEqual(said, [])


if __name__ == '__main__':
    unittest.main(verbosity=2)
