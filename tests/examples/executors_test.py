# SPDX-License-Identifier: MIT
"""Six blocking calls on three workers, in threads and in processes."""

import re
import subprocess
import time
import unittest

import support

SQUARES = [n * n for n in range(6)]


class Executors(unittest.TestCase):
    def lines(self, name):
        """What the program logs, as (who, what, message)."""
        began = time.monotonic()
        done = subprocess.run([support.program(name)], capture_output=True, text=True,
                              timeout=support.LIMIT, check=True)
        self.assertEqual(done.stderr, "")
        self.assertGreaterEqual(time.monotonic() - began, 0.2)  # Two rounds of three.
        found = [re.fullmatch(r"\s*(\S+|PID +\d+) +(\S+): (.*)", line)
                 for line in done.stdout.splitlines()]
        self.assertTrue(all(found), done.stdout)
        return [match.groups() for match in found]

    def check(self, lines):
        main = [(who, message) for who, what, message in lines if what == "run_blocking_tasks"]
        self.assertEqual([message.split(":")[0] for _, message in main],
                         ["starting", "creating executor tasks", "waiting for executor tasks",
                          "results", "exiting"])
        results = [int(n) for n in main[3][1].split(":")[1].split()]
        self.assertEqual(sorted(results), SQUARES)  # In any order.
        calls = [(who, what, message) for who, what, message in lines if what.startswith("blocks")]
        self.assertEqual(sorted((what, message) for _, what, message in calls),
                         sorted((f"blocks({n})", message) for n in range(6)
                                for message in ("running", "done")))
        self.assertIn(len({who for who, _, _ in calls}), [2, 3])  # A third may come up late.
        self.assertNotIn(main[0][0], {who for who, _, _ in calls})

    def test_threads(self):
        lines = self.lines("executor_thread")
        self.check(lines)
        names = {who for who, what, _ in lines if what.startswith("blocks")}
        self.assertLessEqual(names, {f"ThreadPoolExecutor-0_{n}" for n in range(3)})
        self.assertEqual(lines[0][0], "MainThread")

    def test_processes(self):
        self.check(self.lines("executor_process"))


if __name__ == "__main__":
    support.main()
