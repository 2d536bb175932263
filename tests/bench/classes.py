#!/usr/bin/python3
"""How many papers `docvl classify` names rightly.

    tests/bench/classes.py [DRAWN...] [--eval EVAL] --work FOLDER [--labels A,B,C] [--threads N]

DRAWN    folders that model/training/trials.py drew; kinds without a class are left out
EVAL     a folder with invoices/, receipts/, forms/ and pages/.  Invoices are taken without
         their XML; the pages are of books, magazines and instructions, so any label but those
         of business papers is right for them
FOLDER   keeps the answers; what is there is not asked again
--labels the labels to choose from; by default those that docvl has

Printed for each set: accuracy with its 95 % interval, ECE (ten bins), the share of wrong
ones at 0.9 and more, then what each class was taken for.  docvl is build/pipeline/docvl, or
$DOCVL.  A set for ten classes, half of it scans, is drawn with
    model/training/trials.py DIR --seed N --count 300 --as both --kinds TEN
where TEN is what --kinds of this program prints.
"""
import argparse
import collections
import json
import math
import pathlib
import subprocess
import sys

from sets import DOCVL, documents

CLASSES = {"invoice.invoice": "invoice", "invoice.credit_note": "credit note", "receipt.retail": "receipt",
           "order.purchase_order": "purchase order", "logistics.delivery_note": "delivery note",
           "order.quotation": "quotation", "payment.reminder": "reminder",
           "payment.bank_statement": "bank statement", "hr.payslip": "payslip", "order.contract": "contract"}
MORE = {"receipt.meal": "receipt", "receipt.fuel": "receipt", "hr.resume": "resume", "office.letter": "letter",
        "office.form": "form", "office.memo": "memo", "office.report": "report",
        "technical.data_sheet": "specification", "media.news": "news article",
        "media.advertisement": "advertisement", "office.email": "email"}
EVAL = {"invoices": ("file_noxml", "invoice"), "receipts": ("file", "receipt"), "forms": ("file", "form"),
        "pages": ("file", None)}
BUSINESS = set(CLASSES.values()) | {"form", "resume", "memo", "email"}


def classify(paths, labels, threads, store):
    """{path: {label, confidence}}, from `store` where it was asked before"""
    known = json.loads(store.read_text("utf-8")) if store.exists() else {}
    option = ["--labels", labels] if labels else []
    missing = collections.defaultdict(list)
    for path in paths:
        if str(path) not in known:
            missing[path.parent].append(path)
    for parts in missing.values():  # answers hold the name of the file alone
        for i in range(0, len(parts), 20):
            done = subprocess.run([DOCVL, "--quiet", "--threads", str(threads), "classify", *option, *parts[i:i + 20]],
                                  capture_output=True, text=True, check=False)
            for line in done.stdout.splitlines():
                row = json.loads(line)
                known[str(parts[0].parent / row["file"])] = row["class"]
            store.write_text(json.dumps(known))
    return {p: known.get(str(p)) for p in paths}


def drawn(folder):
    for line in (folder / "manifest.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        if row["kind"] in {**CLASSES, **MORE}:
            yield row["as"], folder / row["file"], {**CLASSES, **MORE}[row["kind"]]


def report(name, rows):
    """rows: [(truth or None, answer)]"""
    took, pairs = collections.defaultdict(collections.Counter), []
    for truth, answer in rows:
        label = answer["label"] if answer else "(none)"
        right = label == truth if truth else label not in BUSINESS and answer is not None
        took[truth or "no business paper"][label] += 1
        pairs.append((answer["confidence"] if answer else 0.0, right))
    n, good = len(pairs), sum(right for _, right in pairs)
    half = 1.96 * math.sqrt(max(good * (n - good), n - 1) / n ** 3)
    bins = [[] for _ in range(10)]
    for p, right in pairs:
        bins[min(9, int(p * 10))].append(p - right)
    high = [right for p, right in pairs if p >= .9]
    print(f"{name}: {n} papers, {100 * good / n:.1f} % right (+-{100 * half:.1f}), "
          f"ECE {sum(abs(sum(b)) for b in bins) / n:.3f}, "
          f"{len(high)} of 0.9 and more, {len(high) - sum(high)} of them wrong")
    for truth, labels in sorted(took.items()):
        print(f"    {truth}: " + ", ".join(f"{k} {v}" for k, v in labels.most_common()))


def main():
    if "--kinds" in sys.argv:
        print(",".join(CLASSES))
        return 0
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("drawn", type=pathlib.Path, nargs="*")
    parser.add_argument("--eval", type=pathlib.Path)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--labels", default="")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    sets = collections.defaultdict(list)
    for folder in args.drawn:
        for form, path, truth in drawn(folder):
            sets[f"drawn, as {'PDF with text' if form == 'text' else 'scan'}"].append((path, truth))
    for name, (field, truth) in EVAL.items() if args.eval else ():
        sets[name] = [(path, truth) for path, _ in documents(args.eval / name, field)]
    store = args.work / f"classes-{args.labels.replace(' ', '_').replace(',', '+')[:100] or 'default'}.json"
    answers = classify([p for rows in sets.values() for p, _ in rows], args.labels, args.threads, store)
    for name, rows in sets.items():
        report(name, [(truth, answers[p]) for p, truth in rows])
    return 0 if sets else 1


if __name__ == "__main__":
    sys.exit(main())
