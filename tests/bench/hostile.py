#!/usr/bin/python3
"""Feed files made to break readers to docvl, and say what each one did.

    tests/bench/hostile.py FOLDER OUT [--commands read,extract] [--seconds 600]

FOLDER   documents, with or without a manifest.jsonl (lines with "file" and "truth")
OUT      gets hostile.md (a table), hostile.json and the results; and pred/, what the
         manifest's scorer reads: {"status": "ok"|"error", "pages": n}

Ends with 1 when docvl itself crashed, ran over the time, wrote a result that is not JSON,
or ended with a failure without one line that names the file.
"""
import argparse
import json
import os
import pathlib
import sys

from measure import run

CODES = {0, 2, 3, 4, 8, 75}
DONE = (0, 4)


def documents(folder):
    manifest = folder / "manifest.jsonl"
    if manifest.is_file():
        rows = [json.loads(line) for line in manifest.read_text("utf-8").splitlines() if line]
        return [(folder / row["file"], row) for row in rows]
    return [(p, {}) for p in sorted(folder.iterdir()) if p.is_file()]


def judge(path, done, command):
    """What is wrong with this outcome, or None."""
    if done.is_killed:
        return "hangs"
    if done.code < 0:
        return f"killed by signal {-done.code}"
    if done.code not in CODES:
        return f"exit status {done.code}"
    if done.code not in DONE and path.name not in done.err:
        return "no reason that names the file"
    if done.code in DONE and command == "extract":
        try:
            json.loads(done.out)
        except ValueError:
            return "not JSON"
    return None


def pages_of(command, done):
    if command == "read" and done.code in DONE:
        return done.out.count(b"\f") + 1
    return None


def main():
    parser = argparse.ArgumentParser(description="What hostile files do to docvl.")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--commands", default="read,extract")
    parser.add_argument("--seconds", type=float, default=600.0)
    args = parser.parse_args()
    docvl = os.environ.get("DOCVL", str(pathlib.Path(__file__).resolve().parents[2] /
                                        "build/pipeline/docvl"))
    (args.out / "pred").mkdir(parents=True, exist_ok=True)
    rows, faults = [], 0
    for path, row in documents(args.folder):
        for command in args.commands.split(","):
            line = [docvl, "--quiet", command, path]
            if command == "extract":
                line += ["--schema", "invoice"]
            done = run(line, seconds_max=args.seconds)
            fault = judge(path, done, command)
            faults += fault is not None
            rows.append({"file": path.name, "command": command, "code": done.code,
                         "reason": done.reason, "seconds": round(done.seconds, 2),
                         "memory": {k: round(v) for k, v in done.memory.items()},
                         "fault": fault, "readable": row.get("truth", {}).get("readable")})
            print(f"{path.name} {command} {done.code} {done.seconds:.1f} s "
                  f"{done.peak:.0f} MiB {fault or ''} {done.reason}", flush=True)
            if command == "read":
                pred = {"status": "ok" if done.code in DONE else "error",
                        "pages": pages_of(command, done)}
                (args.out / "pred" / f"{path.stem}.json").write_text(json.dumps(pred))
    (args.out / "hostile.json").write_text(json.dumps(rows, indent=1) + "\n")
    table = ["| file | command | exit | seconds | docvl MiB | docvl-render MiB | reason |",
             "|---|---|---|---|---|---|---|"]
    for r in rows:
        reason = r["fault"] or r["reason"].replace(str(args.folder) + "/", "")
        table.append("| {} | {} | {} | {:.1f} | {} | {} | {} |".format(
            r["file"], r["command"], r["code"], r["seconds"], r["memory"].get("docvl", "-"),
            r["memory"].get("docvl-render", "-"), reason.replace("|", "\\|")))
    (args.out / "hostile.md").write_text("\n".join(table) + "\n")
    print(f"{len(rows)} runs, {faults} faults, "
          f"most memory {max(sum(r['memory'].values()) for r in rows)} MiB, "
          f"longest {max(r['seconds'] for r in rows):.1f} s; table: {args.out}/hostile.md")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
