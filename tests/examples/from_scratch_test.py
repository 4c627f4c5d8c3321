# SPDX-License-Identifier: MIT
"""The steps of examples/from_scratch print what docs/how-it-works says."""

import pathlib
import re
import time
import unittest

import support


class FromScratch(unittest.TestCase):
    maxDiff = None

    def output(self, name):
        """What it prints; it must end well, and soon even on a busy machine."""
        start = time.monotonic()
        result = support.run("from_scratch/" + name)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertLess(time.monotonic() - start, 20)
        return result.stdout

    def assert_prints(self, name, *lines):
        self.assertEqual(self.output(name).splitlines(), list(lines))

    def test_every_step_is_short(self):
        folder = pathlib.Path(__file__).parents[2] / "examples" / "from_scratch"
        for path in folder.glob("*.cpp"):
            self.assertLess(len(path.read_text(encoding="utf-8").splitlines()), 80, path.name)

    def test_a_generator_driven_by_hand(self):
        self.assert_prints(
            "01_generator",
            "made, nothing has run",
            "  talk begins", "next gives 1",
            "  talk was sent hello", "send gives 2",
            "  talk caught oops", "throw gives 3",
            "StopIteration with abc",
            "next gives 1",
            "  inner abc", "send gives 2",
            "  outer 3", "next gives 4",
            "more: false")

    def test_an_event_and_a_coroutine_driven_by_hand(self):
        self.assert_prints(
            "02_event",
            "  nap begins", "it wants to sleep 100 ms",
            "  nap hears good morning", "  day goes on rested", "it returned done")

    def test_five_coroutines_sleep_at_the_same_time(self):
        order, seconds = self.output("03_naive_run").splitlines()
        self.assertEqual(order.split(), [f"{name}{step}" for step in range(1, 6)
                                         for name in "ABCDE"])
        took = float(re.fullmatch(r"25 sleeps of 0.1 s took ([\d.]+) s", seconds).group(1))
        self.assertGreaterEqual(took, 0.5)
        self.assertLess(took, 5)

    def test_a_heap_a_dispatch_table_and_return_values(self):
        self.assert_prints("04_heap", "1: early wakes up", "2: late wakes up",
                           "returned 20", "returned 10")

    def test_timers_go_on_beside_a_file_that_is_always_ready(self):
        self.assert_prints(
            "05_select_read", "background 1", "background 2", "read 8 KiB", "background 3",
            "read 16 KiB", "background 4", "read 24 KiB", "background 5", "read 32 KiB")

    def test_a_socket_is_connected_and_read_without_blocking(self):
        first, *rest = self.output("06_socket").splitlines()
        self.assertEqual(first, "connected")
        # Words may come together on a busy machine.
        self.assertEqual("".join(line.removeprefix("received ") for line in rest),
                         "one two three ")

    def test_one_event_does_all_io(self):
        self.assert_prints("07_one_event", "wrote 3 bytes", "read 'one'", "wrote 3 bytes",
                           "read 'two'", "wrote 5 bytes", "read 'three'", "read ''")

    def test_sleep_and_recv_are_made_of_futures(self):
        self.assert_prints("08_future", "received hello", "cancelled: true",
                           "reader left behind: false")

    def test_the_way_of_one_byte(self):
        self.assert_prints(
            "09_trace",
            "turn 1: wait: the future is pending, the task suspends",
            "turn 1: somebody else writes a byte",
            "turn 2: readiness: the descriptor is readable, the loop runs our reader",
            "turn 2: future: it has its result; whoever waits for it is queued, nobody runs yet",
            "turn 3: callback: a later turn runs what was queued, in order",
            "turn 3: step: the task's step resumes the innermost coroutine",
            "turn 3: user: got x")

    def test_the_hand_written_state_machine_does_the_same(self):
        lines = self.output("10_state_machine").splitlines()
        half = len(lines) // 2
        self.assertEqual(lines[1:half], lines[half + 1:])
        self.assertEqual(lines[:half], [
            "the compiler's, a pointer to its frame",
            "  begin", "3", "  after 3", "2", "  after 2", "1", "  after 1", "  end"])

    def test_gather_of_two(self):
        self.assert_prints("11_gather", "first begins", "second begins", "first ends",
                           "second ends", "9 and 16")

    def test_two_tasks_created_and_awaited(self):
        first, *rest = self.output("12_tasks").splitlines()
        self.assertEqual(first, "made hello, nothing has run")
        # On a busy machine the world may come before the first await has ended.
        self.assertIn(rest, (["hello", "said hello", "world", "said world"],
                             ["hello", "world", "said hello", "said world"]))

    def test_a_done_callback(self):
        self.assert_prints("13_done_callback", "added", "callback: 42", "awaited: 42")

    def test_run_until_complete_run_forever_and_stop(self):
        self.assert_prints("14_run_and_stop", "run_until_complete gives 1", "tick 1", "tick 2",
                           "tick 3", "stopped, closed: false")

    def test_an_exception_that_surfaces_late_and_one_in_a_callback(self):
        self.assert_prints(
            "15_late_exception",
            "  failing now", "20 ms later nobody has noticed", "the await throws: no",
            "  failing now", "the callback sees: std::runtime_error: no", "20 ms later")

    def test_an_asynchronous_generator(self):
        self.assert_prints("16_async_generator", "0 1 2 3 4 5 6 7 8 9 ",
                           "0 1 4 9 16 25 36 49 64 81 ", "collected 10")

    def test_a_context_manager_exits_in_any_case(self):
        self.assert_prints("17_context_manager", "enter", "work with 7", "exit", "enter",
                           "work fails", "exit after std::runtime_error: no", "goes on")

    def test_a_callback_turned_into_a_future(self):
        self.assert_prints("18_callback_to_future", "value of colour")


if __name__ == "__main__":
    support.main()
