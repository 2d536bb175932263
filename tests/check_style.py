#!/usr/bin/python3
"""The rules of writing C that a machine can check, one test each.

    tests/check_style.py [--format]

Without an option: banned functions, descriptors that leak into children, layers that
include upwards, notes left for later.  --format compares every C file with .clang-format
(ends with 77, "skipped", where clang-format is missing or not version 14, whose taste
other versions do not share).
"""
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDERS = ("model", "extractors", "pipeline", "tests")
SKIPPED = 77
BANNED = ("sprintf", "vsprintf", "strcpy", "strcat", "strtok", "gets", "atoi", "atol", "atof",
          "system", "popen", "rand", "alloca")
# calls by name with what must stand among their arguments
FLAGGED = {"fopen": r'"[rwa]\+?b?e"', "open": "O_CLOEXEC", "openat": "O_CLOEXEC",
           "pipe2": "O_CLOEXEC", "socket": "SOCK_CLOEXEC", "socketpair": "SOCK_CLOEXEC",
           "memfd_create": "MFD_CLOEXEC", "inotify_init1": "IN_CLOEXEC",
           "accept4": "SOCK_CLOEXEC"}
WITHOUT_FLAG = ("pipe", "accept", "inotify_init", "creat")
LATER = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b")


def sources(*endings):
    return sorted(p for folder in FOLDERS for p in (ROOT / folder).rglob("*")
                  if p.suffix in endings and p.is_file())


def blank(match):
    return re.sub(r"[^\n]", " ", match[0])


def code_only(text, keep_strings=False):
    """Comments (and the contents of strings) become blanks; places stay the same."""
    pattern = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
    return re.sub(pattern, lambda m: m[0] if keep_strings and m[0][0] in "\"'" else blank(m),
                  text, flags=re.DOTALL)


def calls(text, name):
    """(line, arguments) of each call of `name`; a name after . or -> is a member."""
    for match in re.finditer(rf"(?<![\w.>]){name}\s*\(", text):
        depth, end = 1, match.end()
        while depth > 0 and end < len(text):
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        yield text.count("\n", 0, match.start()) + 1, text[match.end():end - 1]


def banned_in(text):
    found, code, with_strings = [], code_only(text), code_only(text, True)
    for name in BANNED:
        found += [(line, f"{name}() is banned") for line, _ in calls(code, name)]
    for name in WITHOUT_FLAG:
        found += [(line, f"{name}() cannot close on exec") for line, _ in calls(code, name)]
    for name, flag in FLAGGED.items():
        found += [(line, f"{name}() without {flag}") for line, args in calls(with_strings, name)
                  if not re.search(flag, args)]
    return found


class Style(unittest.TestCase):
    def test_banned(self):
        for path in sources(".c", ".h", ".inc"):
            with self.subTest(path.relative_to(ROOT)):
                self.assertEqual(banned_in(path.read_text("utf-8")), [])

    def test_banned_is_seen(self):
        """The check itself: what it must tell and what it must leave alone."""
        for text, count in (("sprintf(a, b);", 1), ("g_strdup_printf(x); snprintf(a, 1, b);", 0),
                            ('fopen(p, "rb");', 1), ('fopen(p, "rbe");', 0),
                            ("open(p, O_RDONLY |\n O_CLOEXEC);", 0), ("open(p, O_RDONLY);", 1),
                            ("/* system() */ x->open(p);", 0), ('"rand() atoi()"', 0),
                            ("vtable.accept(v);", 0), ("strcat (a, b)", 1), ("pipe(fd);", 1)):
            with self.subTest(text):
                self.assertEqual(len(banned_in(text)), count)

    def test_layers(self):
        """Dependencies point downwards, and through one header each."""
        for path in sources(".c", ".h", ".inc"):
            folder, text = path.relative_to(ROOT).parts[0], path.read_text("utf-8")
            names = re.findall(r'(?m)^\s*#\s*include\s*[<"]([^>"]+)[>"]', text)
            with self.subTest(path.relative_to(ROOT)):
                for name in names:
                    if folder == "model":
                        self.assertNotRegex(name, r"^(glib|gio|jansson|poppler|yaml|sqlite)|dx\.h")
                    if folder == "extractors":
                        self.assertNotRegex(name, r"^(poppler|sqlite3|curl|tiff)|app\.h|render\.h")
                    if folder in ("extractors", "pipeline"):
                        self.assertFalse((ROOT / "model" / name).is_file() and name != "vl.h" and
                                         not (path.parent / name).is_file(), name)
                    if folder == "pipeline":
                        self.assertFalse((ROOT / "extractors" / name).is_file() and
                                         name != "dx.h" and not (path.parent / name).is_file(),
                                         name)

    def test_nothing_left_for_later(self):
        for path in sources(".c", ".h", ".sh", ".build"):
            with self.subTest(path.relative_to(ROOT)):
                self.assertIsNone(LATER.search(path.read_text("utf-8")))

    def test_size(self):
        """A file of more than 1,500 lines is two files."""
        for path in sources(".c", ".h", ".py"):
            with self.subTest(path.relative_to(ROOT)):
                self.assertLessEqual(path.read_text("utf-8").count("\n"), 1500)


def clang_format():
    for name in ("clang-format-14", "clang-format"):
        path = shutil.which(name)
        if path is None:
            continue
        done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
        if re.search(r"version 14\.", done.stdout):
            return path
    return None


def check_format():
    program = clang_format()
    if program is None:
        print("clang-format 14 is not installed")
        return SKIPPED
    done = subprocess.run([program, "--dry-run", "-Werror", "--ferror-limit=1",
                           *map(str, sources(".c", ".h"))], cwd=ROOT, capture_output=True,
                          text=True, check=False)
    names = sorted(set(re.findall(r"(?m)^(\S+?):\d+:\d+: error:", done.stderr)))
    for name in names:
        print(f"not as clang-format writes it: {pathlib.Path(name).relative_to(ROOT)}")
    return 1 if done.returncode or names else 0


if __name__ == "__main__":
    if sys.argv[1:] == ["--format"]:
        sys.exit(check_format())
    unittest.main()
