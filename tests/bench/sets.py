#!/usr/bin/python3
"""Extract a set of documents with docvl, one process each, and say what it cost.

    tests/bench/sets.py FOLDER OUT --schema NAME [--field file_noxml] [--threads 2]

FOLDER   with a manifest.jsonl: lines with "file"; --field names a member to prefer
OUT      gets results/ (docvl's JSON), costs.json and, printed, a summary: exit statuses,
         seconds a page, peak memory of docvl and docvl-render, share of time per stage
"""
import argparse
import collections
import json
import os
import pathlib
import statistics
import sys

from measure import run

STAGES = ("picture", "vision", "answer")
DOCVL = os.environ.get("DOCVL", str(pathlib.Path(__file__).resolve().parents[2] /
                                    "build/pipeline/docvl"))


def documents(folder, field="file"):
    for line in (folder / "manifest.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        yield folder / (row.get(field) or row["file"]), row


def share(costs):
    """Percent of the whole wall time that each stage takes."""
    total = sum(c["seconds"] for c in costs) or 1.0
    parts = {s: sum(c["stages"].get(s, 0.0) for c in costs) for s in STAGES}
    parts["rest"] = total - sum(parts.values())
    return {name: round(100 * seconds / total, 1) for name, seconds in parts.items()}


def percentile(values, part):
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


def summary(name, costs):
    pages = sum(c["pages"] for c in costs) or 1
    seconds = [c["seconds"] for c in costs]
    statuses = collections.Counter(c["code"] for c in costs)
    peak = {}
    for c in costs:
        for program, mib in c["memory"].items():
            peak[program] = max(peak.get(program, 0), mib)
    lines = [f"{name}: {len(costs)} documents, {pages} pages, exit statuses "
             + ", ".join(f"{k}: {v}" for k, v in sorted(statuses.items())),
             f"  {sum(seconds) / pages:.2f} s a page; a document: median "
             f"{statistics.median(seconds):.2f} s, 95 % within {percentile(seconds, 0.95):.2f} s",
             "  peak memory " + ", ".join(f"{k} {v:.0f} MiB" for k, v in sorted(peak.items()))]
    if any(c["stages"] for c in costs):
        lines.append("  share of time " +
                     ", ".join(f"{k} {v} %" for k, v in share(costs).items()))
    return "\n".join(lines)


def stages_of(result):
    timing = result.get("timing", {})
    return {s: timing[f"{s}_ms"] / 1000 for s in STAGES if f"{s}_ms" in timing}


def main():
    parser = argparse.ArgumentParser(description="Extract a set and measure.")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--schema", required=True)
    parser.add_argument("--field", default="file")
    parser.add_argument("--threads", default="2")
    parser.add_argument("--seconds", type=float, default=600.0)
    args = parser.parse_args()
    results = args.out / "results"
    results.mkdir(parents=True, exist_ok=True)
    costs = []
    for path, _ in documents(args.folder, args.field):
        target = results / f"{path.name}.json"
        target.unlink(missing_ok=True)
        done = run([DOCVL, "--quiet", "--threads", args.threads, "extract", "--schema",
                    args.schema, "-o", results, path], seconds_max=args.seconds)
        result = json.loads(target.read_text("utf-8")) if target.is_file() else {}
        costs.append({"file": path.name, "code": done.code, "seconds": done.seconds,
                      "cpu": done.cpu, "memory": done.memory, "reason": done.reason,
                      "pages": result.get("timing", {}).get("pages", 1),
                      "stages": stages_of(result)})
    (args.out / "costs.json").write_text(json.dumps(costs, indent=1) + "\n")
    print(summary(args.out.name, costs))
    return 0 if costs else 1


if __name__ == "__main__":
    sys.exit(main())
