#!/usr/bin/python3
"""Throughput of `docvl batch` on small documents against single `docvl extract` calls.

    tests/bench/batch.py [--documents 12]

Draws one-page receipts as PDF and extracts them with the model that ships: one call after
the other, through xargs with two processes, and by batch with 1, 2 and 4 jobs.  Wall clock
and processor time of each; run it on a machine that does nothing else.
"""
import argparse
import os
import pathlib
import resource
import subprocess
import tempfile
import time

from reportlab.pdfgen import canvas

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DOCVL = os.environ.get("DOCVL", str(ROOT / "build" / "pipeline" / "docvl"))


def draw(path, number):
    page = canvas.Canvas(str(path), pagesize=(220, 300))
    lines = ("Corner Shop Ltd", "12 High Street, Oldtown", f"Receipt No 00{number}17",
             "Date 2026-03-12", "Tea 2 x 1.50 3.00", f"Bread {number}.20",
             f"TOTAL EUR {number + 3}.20")
    for i, line in enumerate(lines):
        page.drawString(15, 270 - 18 * i, line)
    page.save()


def timed(what, commands):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.monotonic()
    for command in commands:
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              shell=isinstance(command, str), check=False)
        if done.returncode not in (0, 4):
            raise SystemExit(f"{what}: {done.stderr.decode()}")
    wall = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{what:28} wall {wall:6.2f} s  processor {used:6.2f} s", flush=True)
    return wall


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=12)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="docvl-bench-") as name:
        folder = pathlib.Path(name)
        inputs = folder / "in"
        inputs.mkdir()
        for i in range(options.documents):
            draw(inputs / f"{i:03}.pdf", i)
        one = [DOCVL, "extract", "-s", "receipt", "-o", str(folder / "one")]
        single = timed("extract, one after the other",
                       [[*one, str(path)] for path in sorted(inputs.iterdir())])
        two = timed("xargs -P2 extract",
                    [f"ls {inputs}/* | xargs -P2 -n1 {' '.join(one)} || [ $? = 123 ]"])
        for jobs in (1, 2, 4):
            wall = timed(f"batch -j {jobs}", [[DOCVL, "batch", str(inputs), "-o",
                                              str(folder / f"b{jobs}"), "-s", "receipt",
                                              "-j", str(jobs)]])
            print(f"{'':28} {single / wall:.2f} times the calls, {two / wall:.2f} times xargs")


if __name__ == "__main__":
    main()
