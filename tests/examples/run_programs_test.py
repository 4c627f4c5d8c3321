# SPDX-License-Identifier: MIT
"""Commands run at once; what each has written is printed when it ends."""

import pathlib
import subprocess
import tempfile
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
        with tempfile.TemporaryDirectory() as folder:
            # The slow one ends when the fast one is printed, however slow the machine is.
            printed = pathlib.Path(folder, "printed")
            slow = f"until test -e {printed}; do sleep 0.01; done; echo slow"
            with subprocess.Popen([support.program("run_programs"), slow, "echo fast"],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  text=True) as process:
                self.assertEqual([process.stdout.readline() for _ in range(2)],
                                 ["[echo fast] 0\n", "fast\n"])
                printed.touch()
                self.assertEqual(process.communicate(timeout=support.LIMIT),
                                 (f"[{slow}] 0\nslow\n", ""))
            self.assertEqual(process.returncode, 0)

    def test_what_takes_too_long_is_killed(self):
        self.assertEqual(self.output_of("exec sleep 60"), "[exec sleep 60] -9\ntook too long\n")

    def test_without_commands_nothing_is_run(self):
        self.assertEqual(self.output_of(), "")


if __name__ == "__main__":
    support.main()
