# SPDX-License-Identifier: MIT
"""The pipeline counts words, however long the input and however its lines come."""

import collections
import subprocess
import unittest

import support


class Pipeline(unittest.TestCase):
    def count(self, text):
        done = subprocess.run([support.program("pipeline")], input=text, capture_output=True,
                              text=True, timeout=support.LIMIT, check=True)
        self.assertEqual(done.stderr, "")
        return {word: int(count) for count, word in map(str.split, done.stdout.splitlines())}

    def test_words_are_counted(self):
        self.assertEqual(self.count("a b\nb c\n\nb"), {"a": 1, "b": 3, "c": 1})

    def test_no_input_is_no_words(self):
        self.assertEqual(self.count(""), {})

    def test_more_lines_than_the_queue_holds_are_all_counted(self):
        words = [f"w{i % 97}" for i in range(100_000)]
        text = "".join(word + ("\n" if i % 3 == 0 else " ") for i, word in enumerate(words))
        self.assertEqual(self.count(text), collections.Counter(words))


if __name__ == "__main__":
    support.main()
