# SPDX-License-Identifier: MIT
import pathlib
import tempfile
import unittest

import load_script  # noqa: F401 - makes the next import possible.
import source_tree


class FakeTree(unittest.TestCase):
    """A test with a repository of its own."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)

    def errors(self, checker_class, files):
        """What a checker says of a tree of these files (path: text)."""
        for path in source_tree.files(".", suffixes=(".hpp", ".cpp"), root=self.root):
            path.unlink()
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        report = source_tree.Report(self.root)
        checker_class(self.root, report).check()
        return report.errors
