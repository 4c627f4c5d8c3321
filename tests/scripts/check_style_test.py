# SPDX-License-Identifier: MIT
import unittest

from fake_tree import FakeTree
from load_script import load
import source_tree

check_style = load("check_style")


def awaits(text):
    return [message for _, message in check_style.await_findings(source_tree.strip(text))]


class Awaits(unittest.TestCase):
    def test_conditions_are_found(self):
        for text in ("if (co_await x) {}", "while (!co_await x()) {}", "switch (co_await x) {}",
                     "do { f(); } while (co_await x);", "if (a == 1 && (co_await b)) {}",
                     "else if (\n    co_await x) {}", "if (auto a = 1; co_await f(a)) {}"):
            self.assertEqual(len(awaits(text)), 1, text)

    def test_conditions_that_declare_are_fine(self):
        for text in ("while (auto item = co_await q.next()) {}", "if (int x = co_await f(); x) {}",
                     "if (const std::optional<int> x = co_await f()) {}", "if (bool b{co_await f()}) {}",
                     "for (int i = 0; i < co_await n(); ++i) {}", "bool b = co_await x; if (b) {}",
                     "// if (co_await x)", 'log("if (co_await x)");'):
            self.assertEqual(awaits(text), [], text)

    def test_called_lambdas_with_captures_are_found(self):
        self.assertEqual(len(awaits("co_await [&x]() -> Coroutine<> { co_return; }();")), 1)
        self.assertEqual(awaits("co_await []() -> Coroutine<> { co_return; }();"), [])

    def test_bindings_are_found(self):
        self.assertEqual(len(awaits("auto [a, b] = co_await gather(x, y);")), 1)
        self.assertEqual(awaits("auto both = co_await gather(x, y); auto& [a, b] = both;"), [])


class Files(FakeTree):
    GOOD = "// SPDX-License-Identifier: MIT\n#pragma once\n\nnamespace aster::inline v0 {}\n"

    def errors_of(self, files, lists=""):
        everything = {f"{folder}/CMakeLists.txt": "# SPDX-License-Identifier: MIT\n"
                      for folder in ("src", "tests", "examples", "benchmarks", "fuzz")}
        everything["src/CMakeLists.txt"] += lists
        return self.errors(check_style.Checker, {**everything, **files})

    def header(self, text, lists="base/x.hpp\n"):
        return self.errors_of({"include/aster/base/x.hpp": text}, lists)

    def assert_one(self, errors, message):
        self.assertEqual(len(errors), 1, errors)
        self.assertIn(message, errors[0])

    def test_a_good_header_passes(self):
        self.assertEqual(self.header(self.GOOD), [])

    def test_the_licence_comes_first(self):
        text = "// Text.\n#pragma once\n\nnamespace aster::inline v0 {}\n"
        self.assert_one(self.header(text), "first line says")

    def test_headers_have_the_pragma(self):
        self.assert_one(self.header(self.GOOD.replace("#pragma once\n", "\n")), "#pragma once")

    def test_white_space(self):
        self.assert_one(self.header(self.GOOD + "\tint x;\n"), "tab")
        self.assert_one(self.header(self.GOOD + "int x; \n"), "space at the end")

    def test_names_are_snake_case(self):
        errors = self.errors_of({"src/base/Time.cpp": "// SPDX-License-Identifier: MIT\n"},
                                "base/Time.cpp\n")
        self.assert_one(errors, "snake_case")

    def test_the_steps_of_an_example_may_be_numbered(self):
        licence = "SPDX-License-Identifier: MIT\n"
        files = {"examples/series/01_begin.cpp": "// " + licence,
                 "examples/CMakeLists.txt": "# " + licence + "example(01_begin)\n"}
        self.assertEqual(self.errors_of(files), [])

    def test_todo_has_a_kind(self):
        self.assertEqual(self.header(self.GOOD + "// TODO(perf): measure this.\n"), [])
        self.assert_one(self.header(self.GOOD + "// TODO: measure this.\n"), "write `// TODO")
        self.assert_one(self.header(self.GOOD + "// FIXME\n"), "write `// TODO")

    def test_names_sit_in_the_inline_namespace(self):
        text = self.GOOD.replace("namespace aster::inline v0 {}", "namespace aster {}")
        self.assert_one(self.header(text), "public names sit in")
        text = self.GOOD.replace("aster::inline v0 {}", "aster {\n/// Text.\ninline namespace v0 {}}")
        self.assertEqual(self.header(text), [])

    def test_files_are_listed(self):
        self.assert_one(self.header(self.GOOD, lists=""), "is not listed in src/CMakeLists.txt")
        self.assert_one(self.header(self.GOOD, lists="more/base/x.hpp # base/x.hpp\n"), "not listed")


if __name__ == "__main__":
    unittest.main()
