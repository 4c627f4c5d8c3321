# SPDX-License-Identifier: MIT
import unittest

from fake_tree import FakeTree
from load_script import load

check_conformance = load("check_conformance")


class Tables(FakeTree):
    def errors_of(self, rows, quotes):
        table = "| id | what | state | note |\n|-|-|-|-|\n" + "\n".join(rows) + "\n"
        return self.errors(check_conformance.Checker, {
            "docs/conformance.md": table, "tests/a_test.cpp": f"// {quotes}\n"})

    def test_a_row_that_holds_must_be_quoted(self):
        rows = ["| ORD-1 | order | holds | |", "| ORD-2 | more | comes later | soon |"]
        self.assertEqual(self.errors_of(rows, "ORD-1"), [])
        self.assertEqual(len(self.errors_of(rows, "ORD-2")), 1)

    def test_ranges_quote_all_their_rows(self):
        rows = [f"| FD-{n} | fd | holds | |" for n in (1, 2, 3)]
        self.assertEqual(self.errors_of(rows, "FD-1 to FD-3"), [])
        self.assertEqual(self.errors_of(rows, "FD-1 to 3"), [])

    def test_a_quoted_id_must_be_in_the_table(self):
        self.assertEqual(len(self.errors_of(["| K-1 | k | comes later | |"], "K-2")), 1)
        self.assertEqual(self.errors_of(["| K-1 | k | comes later | |"], "BLACK-2, SDK-7"), [])

    def test_rows_must_be_well_formed(self):
        for row in ("| K-1 | k | perhaps | |", "| K-1 | k | holds |", "| K-1 | k | differs | |",
                    "|K-1 | k | holds | |"):
            self.assertTrue(self.errors_of([row], ""), row)

    def test_ids_are_unique(self):
        self.assertEqual(len(self.errors_of(["| K-1 | k | comes later | |"] * 2, "")), 1)


if __name__ == "__main__":
    unittest.main()
