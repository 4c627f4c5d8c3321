# SPDX-License-Identifier: MIT
"""Commands run at once; what each has written is printed when it ends."""

import subprocess
import unittest

import support


class RunPrograms(unittest.TestCase):
    def output_of(self, *commands):
        done = subprocess.run([support.program("run_programs"), *commands], capture_output=True,
                              text=True, timeout=support.LIMIT, check=True)
        self.assertEqual(done.stderr, "")
        return done.stdout

    def test_output_and_status_are_printed(self):
        self.assertEqual(self.output_of("echo out; echo err >&2; exit 3"),
                         "[echo out; echo err >&2; exit 3] 3\nout\nerr\n")

    def test_the_fast_one_is_first(self):
        self.assertEqual(self.output_of("sleep 0.5; echo slow", "echo fast"),
                         "[echo fast] 0\nfast\n[sleep 0.5; echo slow] 0\nslow\n")

    def test_what_takes_too_long_is_killed(self):
        self.assertEqual(self.output_of("exec sleep 60"), "[exec sleep 60] -9\ntook too long\n")

    def test_without_commands_nothing_is_run(self):
        self.assertEqual(self.output_of(), "")


if __name__ == "__main__":
    support.main()
