# SPDX-License-Identifier: MIT
import unittest

from fake_tree import FakeTree
from load_script import load

check_pages = load("check_pages")


class Blocks(unittest.TestCase):
    def test_marks_belong_to_the_block_that_follows_at_once(self):
        _, blocks, _ = check_pages.parse(
            "<!-- statements -->\n```cpp\na;\n```\n"
            "<!-- statements -->\ntext\n```cpp\nb;\n```\n```sh\nc\n```\n")

        self.assertEqual([(b.line, b.text, b.mark) for b in blocks],
                         [(3, "a;\n", "statements"), (8, "b;\n", "")])

    def test_links_inside_blocks_are_none(self):
        _, _, links = check_pages.parse("[a](b.md)\n```cpp\nx[i](y);\n```\n")

        self.assertEqual(links, [(1, "b.md")])


class Pages(FakeTree):
    def pages(self, **pages):
        files = {"README.md": "", "mkdocs.yml": "nav:\n  - Home: index.md\n"}
        files.update({name.replace("__", "/") + ".md": text for name, text in pages.items()})
        return self.errors(check_pages.Checker, files)

    def test_a_right_tree_has_no_errors(self):
        self.assertEqual(self.pages(README="[docs](docs/index.md#top), [web](https://a.b/)",
                                    docs__index="```cpp\nint x;\n```\n"), [])

    def test_every_page_is_in_the_navigation(self):
        errors = self.pages(docs__index="", docs__other="")

        self.assertEqual(errors, ["docs/other.md:1: is not listed in mkdocs.yml"])

    def test_links_must_lead_somewhere_and_stay_inside(self):
        errors = self.pages(README="", docs__index="[a](none.md)\n[b](../README.md)\n")

        self.assertEqual([error.split(":")[1:3] for error in errors],
                         [["1", " leads nowhere"],
                          ["2", " leads out of docs/, where the site cannot follow"]])

    def test_a_program_shown_is_the_file(self):
        page = "<!-- file: examples/a.cpp -->\n```cpp\nint a;\n```\n"
        files = {"README.md": page, "mkdocs.yml": "", "examples/a.cpp": "// SPDX\nint a;\n"}
        self.assertEqual(self.errors(check_pages.Checker, files), [])

        files["examples/a.cpp"] += "int b;\n"
        self.assertEqual(self.errors(check_pages.Checker, files),
                         ["README.md:3: differs from examples/a.cpp"])

    def test_a_part_of_a_program_is_in_the_file(self):
        page = "<!-- part: examples/a.cpp -->\n```cpp\nint %s;\n```\n"
        files = {"README.md": page % "b", "mkdocs.yml": "",
                 "examples/a.cpp": "// SPDX\nint a;\nint b;\n"}
        self.assertEqual(self.errors(check_pages.Checker, files), [])

        files["README.md"] = page % "c"
        self.assertEqual(self.errors(check_pages.Checker, files),
                         ["README.md:3: differs from examples/a.cpp"])

    def test_includes_go_to_the_top_and_lines_keep_their_numbers(self):
        (self.root / "README.md").write_text(
            "<!-- statements -->\n```cpp\n#include <x>\nf();\n```\n")
        (self.root / "mkdocs.yml").write_text("")
        (self.root / "docs").mkdir()
        checker = check_pages.Checker(self.root, None)
        checker.check()

        source = checker.source()
        self.assertTrue(source.startswith("#include <aster/aster.hpp>\n#include <x>\n"))
        self.assertIn('statements() {\n#line 3 "README.md"\n\nf();\n\nco_return; } }', source)


if __name__ == "__main__":
    unittest.main()
