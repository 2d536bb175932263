#!/usr/bin/python3
"""How well docvl reads forms: drawn ones, where captions, entries and boxes are known.

    tests/bench/forms.py DRAWN --work FOLDER [--show]

DRAWN   a folder that model/training/trials.py drew (--kinds office.form)
FOLDER  gets docvl's results; they are made anew
--show  names every pair and box that is wrong

Printed for PDF with text, and for scans: F1 of pairs (caption and entry as printed, letters
and digits compared), the same with one letter in five forgiven, recall of entries whatever
their caption, tick boxes found with the right state, and tick boxes that are none.
docvl is build/pipeline/docvl, or $DOCVL.
"""
import argparse
import json
import pathlib
import re
import subprocess
import sys
import unicodedata

from sets import DOCVL, documents

STATES = ("checked", "unchecked")


def squash(text):
    text = unicodedata.normalize("NFKC", text or "").casefold()
    return re.sub(r"[\W_]+", "", text)


def distance(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


def is_near(a, b):
    return a == b or (min(len(a), len(b)) * 2 >= max(len(a), len(b)) > 0 and
                      distance(a, b) <= 0.2 * max(len(a), len(b)))


def matched(truth, found, same):
    """Pairs of indices, each used once."""
    free, out = set(range(len(found))), []
    for i, t in enumerate(truth):
        k = next((k for k in sorted(free) if same(t, found[k])), None)
        if k is not None:
            free.discard(k)
            out.append((i, k))
    return out


def value(leaf):
    return leaf.get("value") if isinstance(leaf, dict) else leaf


def result_of(fields):
    pairs = [(squash(value(row["label"])), squash(value(row["value"])))
             for row in fields.get("fields") or [] if value(row["value"])]
    boxes = [(squash(value(row["label"])), value(row["state"])) for row in fields.get("checkboxes") or []]
    return pairs, boxes


def truth_of(row):
    boxes = [(squash(key), state) for key, state in row["truth"].items() if state in STATES]
    names = {name for name, _ in boxes}
    pairs = [(squash(a), squash(b)) for a, b in row["pairs"] if squash(b) not in names and squash(b)]
    return pairs, boxes


def both(same):
    return lambda a, b: same(a[0], b[0]) and same(a[1], b[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("drawn", type=pathlib.Path)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--show", action="store_true")
    args = parser.parse_args()
    docs = list(documents(args.drawn))
    args.work.mkdir(parents=True, exist_ok=True)
    subprocess.run([DOCVL, "--quiet", "extract", "--schema", "form", "-o", args.work, *[p for p, _ in docs]], check=False)
    for name, ending in (("PDF with text", ".pdf"), ("scan", ".jpg")):
        n = dict.fromkeys(("truth", "found", "exact", "near", "entries", "boxes", "ticked", "named", "extra"), 0)
        for path, row in docs:
            if path.suffix != ending:
                continue
            out = args.work / f"{path.name}.json"
            fields = json.loads(out.read_text("utf-8"))["fields"] if out.exists() else {}
            (pairs, boxes), (want, marks) = result_of(fields), truth_of(row)
            near = matched(want, pairs, both(is_near))
            n["truth"] += len(want)
            n["found"] += len(pairs)
            n["exact"] += len(matched(want, pairs, both(lambda a, b: a == b)))
            n["near"] += len(near)
            n["entries"] += len(matched(want, pairs, lambda a, b: is_near(a[1], b[1])))
            named = matched(marks, boxes, lambda a, b: is_near(a[0], b[0]))
            n["boxes"] += len(marks)
            n["named"] += len(named)
            n["ticked"] += sum(marks[i][1] == boxes[k][1] for i, k in named)
            n["extra"] += len(boxes) - len(named)
            if args.show:
                print(path.name)
                for i in sorted(set(range(len(want))) - {i for i, _ in near}):
                    print("    missed", want[i])
                for k in sorted(set(range(len(pairs))) - {k for _, k in near}):
                    print("    wrong ", pairs[k])
                for i in sorted(set(range(len(marks))) - {i for i, _ in named}):
                    print("    no box", marks[i])
        part = lambda a, b: f"{100 * a / b:.1f} %" if b else "-"
        print(f"{name}: {n['truth']} pairs, {n['found']} found, F1 {part(2 * n['exact'], n['truth'] + n['found'])}, "
              f"near {part(2 * n['near'], n['truth'] + n['found'])}, entries {part(n['entries'], n['truth'])}; "
              f"{n['boxes']} tick boxes, {part(n['named'], n['boxes'])} found, {part(n['ticked'], n['boxes'])} "
              f"with their state, {n['extra']} that are none")
    return 0


if __name__ == "__main__":
    sys.exit(main())
