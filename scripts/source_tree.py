# SPDX-License-Identifier: MIT
"""What the check_* scripts share: the files of the tree, their text without
comments, their includes, and a memory of what has been checked before."""

import hashlib
import json
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)


def files(*folders, suffixes=(".hpp", ".cpp"), root=ROOT):
    """All files below the folders with one of the suffixes, sorted."""
    return sorted(
        path
        for folder in folders
        for path in (root / folder).rglob("*")
        if path.suffix in suffixes and path.is_file()
    )


def strip(text, keep_strings=False):
    """The text with comments, and by default the insides of literals, blanked.

    Line breaks and columns stay where they were.
    """
    result = []
    position = 0
    pattern = re.compile(
        r'(?P<comment>//(?:\\\n|[^\n])*|/\*.*?\*/)'
        r'|(?P<raw>(?:u8|[uUL])?R"(?P<mark>[^()\s\\]{0,16})\(.*?\)(?P=mark)")'
        r'|(?P<string>"(?:\\.|[^"\\\n])*")'
        r"|(?P<number>\b\d(?:'?[\w.])*)"  # 1'000 is no character literal.
        r"|(?P<char>'(?:\\.|[^'\\\n])+')",
        re.DOTALL,
    )
    for match in pattern.finditer(text):
        result.append(text[position:match.start()])
        piece = match.group()
        if match.group("comment"):
            piece = re.sub(r"[^\n]", " ", piece)
        elif not match.group("number") and not keep_strings:
            piece = piece[0] + re.sub(r"[^\n]", " ", piece[1:-1]) + piece[-1]
        result.append(piece)
        position = match.end()
    result.append(text[position:])
    return "".join(result)


def includes(path):
    """(line number, '<' or '"', name) of each include directive."""
    text = strip(path.read_text(encoding="utf-8"), keep_strings=True)
    return [
        (text.count("\n", 0, match.start()) + 1, match.group(1), match.group(2))
        for match in _INCLUDE.finditer(text)
    ]


def resolve(name, root=ROOT):
    """The file of the tree that an include names, or None: `<aster/...>` lives
    in include/, everything else of ours in src/."""
    for folder in ("include", "src"):
        path = root / folder / name
        if path.is_file():
            return path
    return None


class Memory:
    """Remembers which files passed a check, by the content of the file and of
    everything of ours that it includes."""

    def __init__(self, path, *settings):
        self._path = path
        self._settings = "\n".join(settings)
        self._closures = {}
        self._passed = {}
        try:
            self._passed = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            pass

    def _closure(self, path):
        if path not in self._closures:
            found = set()
            todo = [path]
            while todo:
                current = todo.pop()
                if current in found:
                    continue
                found.add(current)
                todo += [f for f in (resolve(name) for _, _, name in includes(current)) if f]
            self._closures[path] = sorted(found)
        return self._closures[path]

    def _key(self, path):
        digest = hashlib.sha256(self._settings.encode())
        for file in self._closure(path):
            digest.update(str(file).encode() + b"\0" + file.read_bytes() + b"\0")
        return digest.hexdigest()

    def has_passed(self, path):
        return self._passed.get(str(path)) == self._key(path)

    def set_passed(self, path):
        self._passed[str(path)] = self._key(path)

    def save(self):
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(json.dumps(self._passed, indent=1), encoding="utf-8")


class Report:
    """Collects findings and gives the exit status."""

    def __init__(self, root=ROOT):
        self._root = root
        self.errors = []

    def _place(self, path, line):
        return f"{path.relative_to(self._root)}:{line}"

    def error(self, path, line, message):
        self.errors.append(f"{self._place(path, line)}: {message}")

    def warning(self, path, line, message):
        print(f"{self._place(path, line)}: warning: {message}")

    def finish(self, summary):
        for message in self.errors:
            print(message)
        print(f"{summary}: {len(self.errors)} errors")
        return 1 if self.errors else 0
