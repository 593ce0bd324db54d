# SPDX-License-Identifier: MIT
"""Those of tools/examples that need no mount. EXAMPLES is their folder, BUILT that of the compiled ones."""

import glob
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import private

EXAMPLES = os.environ['EXAMPLES']
BUILT = os.environ['BUILT']
PEEK = os.path.join(EXAMPLES, 'peek.pl')


class Examples(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(lambda: self.assertEqual(private.segments(), []))
        self.addCleanup(folder.cleanup)
        self.key = os.path.join(folder.name, 'app.key')
        open(self.key, 'w').close()

    def hello(self, name, text):
        return private.Program(self, [os.path.join(BUILT, name), self.key, 'A', text])

    def test_each_is_short(self):
        for path in glob.glob(os.path.join(EXAMPLES, '*.*')):
            with open(path) as file:
                self.assertLess(len(file.readlines()), 30, path)

    def test_c_cxx_and_perl_share_an_object(self):
        c = self.hello('hello', 'from C')
        self.assertEqual(c.answer(), '1 here; last said: ')
        cxx = self.hello('hello-cpp', 'from C++')
        self.assertEqual(cxx.answer(), 'last said: from C')
        self.assertEqual(private.run(PEEK, self.key, 'A').stdout, 'from C++\n')
        self.assertEqual(private.run(PEEK, self.key, 'A', 'from perl').returncode, 0)
        other = self.hello('hello', 'from C again')
        self.assertEqual(other.answer(), '3 here; last said: from perl')
        self.assertEqual((c.end(), cxx.end(), other.end()), (0, 0, 0))

    def test_refusals_name_the_thing_and_the_reason(self):
        missing = self.key + '.not'
        for command, text in (
                ([os.path.join(BUILT, 'hello'), missing, 'A', 'x'], 'hello: No such file or directory: key file %s'
                 '; any file will do, make it first\n' % missing),
                ([os.path.join(BUILT, 'hello-cpp'), missing, 'A', 'x'], 'hello-cpp: No such file or directory\n'),
                ([PEEK, missing, 'A'], 'peek.pl: %s: No such file or directory\n' % missing),
                ([PEEK, self.key, 'A'], 'peek.pl: %s:A: No such file or directory\n' % self.key)):
            seen = private.run(*command)
            self.assertEqual(seen.stderr, text)
            self.assertNotEqual(seen.returncode, 0)

    def test_proj_id_out_of_range(self):
        seen = private.run(os.path.join(BUILT, 'hello'), self.key, '1', 'x')
        self.assertEqual((seen.returncode, seen.stderr), (1, 'hello: key_id out of range.\n'))
        seen = private.run(os.path.join(BUILT, 'hello-cpp'), self.key, '1', 'x')
        self.assertEqual((seen.returncode, seen.stdout), (1, 'hello-cpp: key_id out of range.\n'))


if __name__ == '__main__':
    private.enter()
    unittest.main(verbosity=2)
