#!/usr/bin/python3
"""Read the same pages with docvl and with Tesseract in one run, document by document.

    tests/bench/compare.py FOLDER OUT [--scorer SCORE.py] [--threads 2]

FOLDER    pictures with a manifest.jsonl: "file", "text_file" (the transcript), "lang", and
          how far it can be trusted ("spaces", "case", "ordered": false)
OUT       gets docvl/ and tesseract/ (text of each), costs.json
--scorer  takes text_score() from that file, so that figures are those of an evaluation;
          without it the plain rule below

Printed: character error rate and word recall of both (mean over documents and over all
characters), seconds a page, peak memory.  Tesseract (packages tesseract-ocr,
tesseract-ocr-deu) runs with the language of the page where it is installed.
"""
import argparse
import collections
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys

from measure import run
from sets import DOCVL, documents, summary

LANGUAGES = {"en": "eng", "de": "deu", "fr": "fra", "es": "spa", "it": "ita", "la": "lat",
             "nl": "nld", "pt": "por", "pl": "pol", "cs": "ces"}


def distance(a, b):
    """Levenshtein distance."""
    before = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (x != y)))
        before = row
    return before[-1]


def plain_score(truth, text, spaces=True, case=True):
    if not case:
        truth, text = truth.upper(), text.upper()
    a, b = (re.sub(r"\s+", " " if spaces else "", t).strip() for t in (truth, text))
    words = [collections.Counter(re.findall(r"\w+", t.casefold())) for t in (truth, text)]
    found = sum((words[0] & words[1]).values())
    errors = distance(a, b)
    return {"chars": len(a), "char_errors": errors, "cer": errors / max(1, len(a)),
            "word_recall": found / max(1, sum(words[0].values()))}


def load_scorer(path):
    if path is None:
        return plain_score
    spec = importlib.util.spec_from_file_location("scorer", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.text_score


def installed_languages():
    done = subprocess.run(["tesseract", "--list-langs"], capture_output=True, text=True,
                          check=True)
    return set(done.stdout.split()[1:])


def table(name, scores):
    ordered = [s for s in scores if s["is_ordered"]]
    chars = sum(s["chars"] for s in ordered) or 1
    return (f"{name}: CER {100 * sum(s['cer'] for s in ordered) / max(1, len(ordered)):.2f} % "
            f"(mean of {len(ordered)}), "
            f"{100 * sum(s['char_errors'] for s in ordered) / chars:.2f} % of all characters; "
            f"word recall {100 * sum(s['word_recall'] for s in scores) / len(scores):.2f} %")


def main():
    parser = argparse.ArgumentParser(description="docvl and Tesseract on the same pages.")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--scorer", type=pathlib.Path)
    parser.add_argument("--threads", default="2")
    args = parser.parse_args()
    score, languages = load_scorer(args.scorer), installed_languages()
    costs, scores = collections.defaultdict(list), collections.defaultdict(list)
    for path, row in documents(args.folder):
        language = LANGUAGES.get(row.get("lang", "en"), "eng")
        commands = {
            "docvl": [DOCVL, "--quiet", "--threads", args.threads, "read", path],
            "tesseract": ["tesseract", path, "-", "-l",
                          language if language in languages else "eng"],
        }
        for name, command in commands.items():
            done = run(command, env={"OMP_THREAD_LIMIT": args.threads})
            text = done.out.decode("utf-8", "replace").replace("\f", "\n")
            (args.out / name).mkdir(parents=True, exist_ok=True)
            (args.out / name / f"{path.stem}.txt").write_text(text, "utf-8")
            costs[name].append({"file": path.name, "code": done.code, "seconds": done.seconds,
                                "cpu": done.cpu, "memory": done.memory, "pages": 1,
                                "stages": {}})
            if not row.get("text_file"):
                continue
            truth = (args.folder / row["text_file"]).read_text("utf-8", "replace")
            found = score(truth, text, row.get("spaces", True), row.get("case", True))
            scores[name].append({**found, "file": path.name,
                                 "is_ordered": row.get("ordered", True)})
    (args.out / "costs.json").write_text(json.dumps({"costs": costs, "scores": scores},
                                                    indent=1) + "\n")
    for name in costs:
        if scores[name]:
            print(table(name, scores[name]))
        print(summary(name, costs[name]))
    return 0


if __name__ == "__main__":
    if not os.access(DOCVL, os.X_OK):
        sys.exit(f"{DOCVL}: not built")
    sys.exit(main())
