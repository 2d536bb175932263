#!/usr/bin/python3
"""pipeline/doc/limits.md has every limit of the headers, with its value.

    tests/test_limits.py --missing     rows that the page lacks, to be described

A limit is a constant VL_…_MAX, DX_…_MAX or DP_…_MAX of a header, a macro or an enum.
"""
import pathlib
import re
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "pipeline" / "doc" / "limits.md"
NAME = r"(?:VL|DX|DP)_[A-Z0-9_]*_MAX"
ROW = re.compile(rf"(?m)^\| `({NAME})` \| ([^|]+) \| ([^|]+) \|$")
UNITS = (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))


def number(text):
    """The value of a C constant expression of integers."""
    text = re.sub(r"(?<=[0-9a-fA-F])[uUlL]+\b", "", text).strip()
    if not re.fullmatch(r"[0-9a-fxA-F.<>+*() -]+", text):
        raise ValueError(text)
    return eval(text, {"__builtins__": {}})  # digits and operators alone


def limits():
    """{header: {name: (value, comment)}}"""
    found = {}
    for folder in ("model", "extractors", "pipeline"):
        for path in sorted((ROOT / folder).glob("*.h")):
            text = path.read_text("utf-8")
            rows = {}
            for match in re.finditer(rf"(?m)(?:#define ({NAME})\s+|\b({NAME}) = )([^,}}\n/]+)",
                                     text):
                rest = text[match.end():].partition("\n")[0]
                comment = "" if "_MAX" in rest else re.search(r"(?:/\* *(.*?) *\*/)?$", rest)[1]
                rows[match[1] or match[2]] = (number(match[3]), comment or "")
            if rows:
                found[str(path.relative_to(ROOT))] = rows
    return found


def spell(name, value):
    if "BYTES" in name or name in ("DP_MEMORY_MAX", "DP_ATTACHMENT_MAX"):
        for unit, size in UNITS:
            if value % size == 0:
                return f"{value // size} {unit}"
    return f"{value:,}"


def documented():
    """{header: {name: value as written}}"""
    found = {}
    for part in re.split(r"(?m)^## ", PAGE.read_text("utf-8"))[1:]:
        head = part.partition("\n")[0].strip("` ")
        found[head] = {m[1]: m[2].strip() for m in ROW.finditer(part)}
    return found


class Limits(unittest.TestCase):
    maxDiff = None

    def test_page_has_every_limit(self):
        code = {h: {n: spell(n, v) for n, (v, _) in rows.items()} for h, rows in limits().items()}
        self.assertEqual(documented(), code)
        self.assertGreater(sum(map(len, code.values())), 80)


def print_missing():
    there = documented() if PAGE.is_file() else {}
    for header, rows in limits().items():
        lines = [f"| `{n}` | {spell(n, v)} | {comment} |" for n, (v, comment) in rows.items()
                 if there.get(header, {}).get(n) != spell(n, v)]
        if lines:
            print(f"\n## `{header}`\n\n| limit | value | of what |\n|---|---|---|")
            print("\n".join(lines))


if __name__ == "__main__":
    if sys.argv[1:] == ["--missing"]:
        print_missing()
    else:
        unittest.main()
