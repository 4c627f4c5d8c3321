# SPDX-License-Identifier: MIT
import unittest

from fake_tree import FakeTree
from load_script import load

check_names = load("check_names")

HEADER = """
namespace aster::inline v0 {
namespace detail {
class Base { public: void put(int item); };
}
/// A queue.
class Queue : public detail::Base {
 public:
  /// One.
  int get();
  int limit = 3;
 private:
  int hidden();
};
/// The same.
using Line = Queue;
/// Now.
void sleep();
}
"""


class Names(FakeTree):
    def errors_of(self, rows, recorded, heading="## Queues"):
        return self.errors(check_names.Checker, {
            "docs/asyncio_names.md": "\n".join([heading, *rows]) + "\n",
            "tests/conformance/names.txt": "# CPython\n" + "".join(f"{n}\n" for n in recorded),
            "include/aster/queue.hpp": HEADER})

    def test_every_recorded_name_has_one_place(self):
        rows = ["| `Queue`, `.get` | the same | |"]
        self.assertEqual(self.errors_of(rows, ["asyncio.Queue", "asyncio.Queue.get"]), [])
        self.assertEqual(len(self.errors_of(rows, ["asyncio.Queue"])), 1)
        self.assertEqual(len(self.errors_of(rows, ["asyncio.Queue", "asyncio.Queue.get",
                                                   "asyncio.sleep"])), 1)
        self.assertEqual(len(self.errors_of([*rows, "| `Queue` | the same | |"],
                                            ["asyncio.Queue", "asyncio.Queue.get"])), 1)

    def test_what_is_there_must_be_public(self):
        for member, errors in (("get", 0), ("put", 0), ("limit", 0), ("hidden", 1), ("none", 1)):
            found = self.errors_of([f"| `Queue.{member}` | the same | |"], [f"asyncio.Queue.{member}"])
            self.assertEqual(len(found), errors, member)
        self.assertEqual(len(self.errors_of(["| `Base` | the same | |"], ["asyncio.Base"])), 1)

    def test_other_spellings_are_looked_up(self):
        self.assertEqual(self.errors_of(["| `get` | `Queue::get`, `sleep()` | |"], ["asyncio.get"]), [])
        self.assertEqual(self.errors_of(["| `Other.get` | the same in `Queue` | |"],
                                        ["asyncio.Other.get"]), [])
        self.assertEqual(self.errors_of(["| `Line`, `.get` | the same | |"],
                                        ["asyncio.Line", "asyncio.Line.get"]), [])
        self.assertEqual(len(self.errors_of(["| `get` | `Queue::fetch` | |"], ["asyncio.get"])), 1)
        self.assertEqual(len(self.errors_of(["| `get` | perhaps | |"], ["asyncio.get"])), 1)

    def test_none_needs_a_why(self):
        self.assertEqual(self.errors_of(["| `get` | none | types say so |"], ["asyncio.get"]), [])
        self.assertEqual(len(self.errors_of(["| `get` | none | |"], ["asyncio.get"])), 1)
        self.assertEqual(self.errors_of(["| `get` | comes with pipes | |"], ["asyncio.get"]), [])

    def test_a_heading_names_the_module(self):
        self.assertEqual(self.errors_of(["| `sleep` | the same | |"], ["time.sleep"],
                                        "## Time (`time`)"), [])


if __name__ == "__main__":
    unittest.main()
