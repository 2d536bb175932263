#!/usr/bin/python3
"""What unattended work costs, apart from the model.

    tests/bench/unattended.py disk|journal|routing|memory FOLDER [--quick]

FOLDER lies on the file system to be measured.  Documents are pictures of 24 by 24 pixels, the
model is tests/data/parity (random weights, some milliseconds a document), so that little is
measured beside the engine.
"""
import argparse
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import zlib

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DOCVL = os.environ.get("DOCVL", str(ROOT / "build" / "pipeline" / "docvl"))
SCHEMA = "type: object\ntitle: Tiny\nproperties:\n  n: {type: string, maxLength: 4}\n"
SYNCS = 200
FEW, MANY = 500, 5000
COUNT = 300  # documents of journal and routing
QUICK = 10  # --quick: so much less


def png(number, size=24):
    rows = b"".join(b"\0" + bytes(255 if (number >> ((x + y * size) % 40)) & 1 else 0
                                  for x in range(size)) for y in range(size))

    def chunk(kind, data):
        return (struct.pack(">I", len(data)) + kind + data +
                struct.pack(">I", zlib.crc32(kind + data)))
    head = struct.pack(">IIBBBBB", size, size, 8, 0, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) +
            chunk(b"IEND", b""))


def make_inputs(folder, count):
    inputs = folder / "in"
    inputs.mkdir()
    for n in range(count):
        (inputs / f"{n:05}.png").write_bytes(png(n + 1))
    (folder / "tiny.yaml").write_text(SCHEMA)


def command(folder, *more):
    return [DOCVL, "--model", str(ROOT / "tests" / "data" / "parity"), "--threads", "1", "batch",
            str(folder / "in"), "-o", str(folder / "out"), "-s", str(folder / "tiny.yaml"),
            "--summary", "never", *map(str, more)]


def environment():
    env = dict(os.environ)
    env.setdefault("DOCVL_RENDER", str(pathlib.Path(DOCVL).parent / "docvl-render"))
    return env


def run(args):
    """Seconds by the clock, seconds of processor."""
    started = time.monotonic()
    process = subprocess.Popen(args, env=environment(), stderr=subprocess.PIPE)
    err = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 4):
        raise SystemExit(f"{args}: {process.returncode} {err.decode()}")
    return time.monotonic() - started, used.ru_utime + used.ru_stime


def disk(folder):
    """What one sync costs here, without docvl."""
    for what, bytes_each, sync in (("fdatasync, 4 KiB appended", 4096, os.fdatasync),
                                   ("fsync of a new file, 1 KiB", 1024, None)):
        times = []
        with open(folder / "syncs", "wb", buffering=0) as f:
            for n in range(SYNCS):
                started = time.monotonic()
                if sync is not None:
                    f.write(b"x" * bytes_each)
                    sync(f.fileno())
                else:
                    with open(folder / f"s{n}", "wb", buffering=0) as g:
                        g.write(b"x" * bytes_each)
                        os.fsync(g.fileno())
                times.append(1000 * (time.monotonic() - started))
        times.sort()
        print(f"{what}: median {times[SYNCS // 2]:.2f} ms, mean {sum(times) / SYNCS:.2f} ms, "
              f"worst {times[-1]:.1f} ms")


def syncs_of(args, count):
    """Calls of docvl itself that wait for the disk, for each document."""
    strace = shutil.which("strace")
    if strace is None:
        return "not counted (no strace)"
    with tempfile.NamedTemporaryFile("r") as out:
        subprocess.run([strace, "-f", "-qq", "-e", "trace=fsync,fdatasync,sync_file_range",
                        "-e", "signal=none", "-o", out.name, *args], env=environment(), check=False,
                       stderr=subprocess.DEVNULL)
        text = out.read()
    kinds = {name: len(re.findall(rf"\b{name}\(", text)) / count
             for name in ("fsync", "fdatasync")}
    return ", ".join(f"{n:.2f} {name}" for name, n in kinds.items())


ROUTES = """
routes:
  root: archive
  rules:
    - name: all
      when: {file: '*.png'}
      do:
        - append: {to: list.jsonl, format: jsonl, columns: ['@file', '@status']}
        - write: {to: 'kept/{@file}.csv', format: csv}
        - copy: 'kept/{@file}'
"""


def routed(folder):
    """The line with three actions for each document."""
    (folder / "c.yaml").write_text(
        "journal: journal.db\ndefaults: {schema: ./tiny.yaml}\n"
        "batch: {from: [in], out: out}" + ROUTES)
    return [DOCVL, "--model", str(ROOT / "tests" / "data" / "parity"), "--threads", "1", "batch",
            "--config", str(folder / "c.yaml"), "--summary", "never", "-j", "1"]


def clear(folder):
    for name in ("out", "archive"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for path in folder.glob("journal.db*"):
        path.unlink()


def metric(path, name):
    return float(re.search(rf"(?m)^{name} (\S+)$", path.read_text())[1])


def journal(folder):
    count = COUNT
    make_inputs(folder, count)
    metrics = folder / "metrics.prom"
    wall, used = run(command(folder, "-j", "1", "--metrics-file", metrics))
    inside = metric(metrics, "docvl_journal_seconds_total")
    print(f"{count} documents, -j 1: {1000 * wall / count:.2f} ms by the clock and "
          f"{1000 * used / count:.2f} ms of processor each, start included")
    print(f"result and journal, timed inside: {1000 * inside / count:.2f} ms a document")
    again, _ = run(command(folder, "-j", "1"))
    print(f"the same line when all is done: {1000 * again / count:.2f} ms a document")
    clear(folder)
    print(f"syncs a document: {syncs_of(command(folder, '-j', '1'), count)}")


def routing(folder):
    count = COUNT
    make_inputs(folder, count)
    plain, routes = [], []
    for _ in range(3):  # in turn, so that both meet the same load
        plain.append(run(command(folder, "-j", "1")))
        clear(folder)
        routes.append(run(routed(folder)))
        clear(folder)
    wall = min(r[0] for r in routes) - min(p[0] for p in plain)
    used = min(r[1] for r in routes) - min(p[1] for p in plain)
    print(f"three actions a document cost {1000 * wall / count:.2f} ms by the clock and "
          f"{1000 * used / count:.2f} ms of processor (best of 3 runs, with less without)")
    print(f"syncs a document with them: {syncs_of(routed(folder), count)}")


def memory(folder):
    make_inputs(folder, MANY)
    process = subprocess.Popen(command(folder, "-j", "2"), env=environment())
    seen = {}
    out = folder / "out"

    def resident():
        with open(f"/proc/{process.pid}/status", encoding="ascii") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1])
    while process.poll() is None:
        done = len(os.listdir(out)) if out.exists() else 0
        try:
            if done >= FEW and FEW not in seen:
                seen[FEW] = resident()
            if done >= MANY * 0.98:
                seen[MANY] = resident()
        except (OSError, TypeError):
            pass
        time.sleep(0.2)
    grown = 100 * (seen[MANY] / seen[FEW] - 1)
    print(f"resident after {FEW}: {seen[FEW] / 1024:.1f} MiB, at the end of {MANY}: "
          f"{seen[MANY] / 1024:.1f} MiB ({grown:+.1f} %)")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("disk", "journal", "routing", "memory"))
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--quick", action="store_true",
                        help="a tenth of the documents: to see that it works")
    options = parser.parse_args()
    if options.quick:
        for name in ("SYNCS", "FEW", "MANY", "COUNT"):
            globals()[name] //= QUICK
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="docvl-bench-", dir=options.folder) as name:
        globals()[options.what](pathlib.Path(name))


if __name__ == "__main__":
    sys.exit(main())
