#!/usr/bin/python3
"""Kills docvl at every call that matters, and makes every call fail once.

    tests/test_faults.py           a spread of points, for every build
    tests/test_faults.py --long    all of them (an hour)
    tests/test_faults.py --long --memory    and each way of each allocation (three hours)

A point is one call of one undisturbed job: open, read, write, sync, rename, map, allocate.
After the fault the same line is run again; then nothing may be lost, done twice or half
written.  The same for a watched folder with routes, also for what failed: its watcher is
started again.  Prints how many points were tried.

Killed: before every call, and in the middle of every write.  Nothing changes between one call
and the next, so that a kill behind a call is the one before the next; a spread of them is
tried all the same.  A power cut: killed, and the journal taken back to what was synced of it.
Failed: every call and every allocation, once for each way (all the
functions that are being called) that it comes by; --every takes each single call instead.
GLib ends the program when it gets no memory, which is again a kill before the next call: of
its allocations a spread is tried, and of a watcher's own, all with --memory.
"""
import argparse
import dataclasses
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "fault"))
import faults  # noqa: E402  (found by the line above)

EVERY_MOST = 500  # allocations of a kind by their numbers: thousands of them, most alike
WATCH_MEMORY = 100  # ways of allocations of each kind in a watcher
GLIB_MEMORY = 150   # of those of GLib: it aborts, which is a kill before the next call
ERRORS = {"ENOSPC": 28, "EIO": 5, "EINTR": 4, "EMFILE": 24}
# What opens something, each in turn with each of these.
OPENS = ("open", "fopen", "memfd_create", "socketpair", "pipe2", "posix_spawn", "flock")
NO_OPENING = {"EMFILE": 24, "ENFILE": 23, "EIO": 5}
# A pipe that can't be read is no signal to stop: the thread that waits for one goes on.
ALWAYS = ("5@read:1", "24@read:1", "4@read:1")
# What the system may have again in a moment, where a model is opened.
RUN_OUT = {"ENOMEM": 12, "EMFILE": 24, "ENFILE": 23}


@dataclasses.dataclass(frozen=True)
class Extent:
    """How much is tried: `most` points of each kind (None: all) drawn by `seed`, every single
    call instead of every way, every way of an allocation instead of a spread."""
    most: int | None
    seed: str
    is_every: bool
    is_all_memory: bool


def draw(path, text, size=(300, 120)):
    from PIL import Image, ImageDraw
    image = Image.new("L", size, 255)
    ImageDraw.Draw(image).text((20, 20), text, fill=0)
    image.save(path)


def make_inputs(folder, has_bad):
    (folder / "sub").mkdir(parents=True)
    draw(folder / "a.png", "Total 12.50")
    draw(folder / "sub" / "b.png", "Total 99.00")
    shutil.copy(folder / "a.png", folder / "twin.png")
    if has_bad:
        (folder / "bad.pdf").write_bytes(b"no document at all")
    return folder


def spread(count, most, seed):
    """All points, or `most` of them: evenly, from a chosen start."""
    if most is None or count <= most:
        return list(range(1, count + 1))
    step = count / most
    start = random.Random(seed).random() * step
    return sorted({min(count, int(start + i * step) + 1) for i in range(most)})


class Tally:
    """Tries points and keeps what was found.  What stands in `log` is not tried again."""

    def __init__(self, log=None, shard=(1, 1)):
        self.points = self.before = 0
        self.wrong = []
        self.shard = shard
        self.log = open(log, "a+", encoding="utf-8") if log is not None else None
        self.done, self.counted = {}, {}
        if self.log is not None:
            self.log.seek(0)
            for line in self.log:
                row = json.loads(line)
                if "counts" in row:
                    self.counted.setdefault(row["what"], row["counts"])
                else:
                    self.done[row["what"], row["order"]] = row["found"]

    def write(self, **row):
        if self.log is not None:
            self.log.write(json.dumps(row) + "\n")
            self.log.flush()

    def counts(self, what, trial):
        """Of an undisturbed job; the same ones when it goes on with a log."""
        if what not in self.counted:
            self.counted[what] = trial.counts()
            self.write(what=what, counts=self.counted[what])
        return self.counted[what]

    def run(self, trial, what, orders):
        orders = orders[self.shard[0] - 1::self.shard[1]]
        for order in orders:
            found = self.done.get((what, order))
            if found is not None:
                self.before += 1
            else:
                found = trial.faults(order)
                self.write(what=what, order=order, found=found)
            self.points += 1
            for text in found:
                self.wrong.append(f"{order}: {text}")
                print(f"  {order}: {text}", flush=True)
        print(f"{what}: {len(orders)} points", flush=True)


def killed(tally, trial, what, names, most, seed):
    """Before each call, inside of each write, and a spread of kills behind a call."""
    count = len(names)
    writes = [n for n, name in enumerate(names, 1) if "write" in name]
    half = [writes[i - 1] for i in spread(len(writes), most, f"{seed}half")]
    after = spread(count, most or count // 8, f"{seed}after")
    for mode, points in (("kill", spread(count, most, f"{seed}kill")), ("half", half),
                         ("after", after)):
        tally.run(trial, f"{what} killed ({mode})", [f"{mode}:{n}" for n in points])


def kills(tally, folder, extent):
    (folder / "tiny.yaml").write_text(faults.SCHEMA)
    trial = faults.Trial(folder, make_inputs(folder / "in", True), folder / "tiny.yaml")
    names = tally.counts("batch", trial)["names"]
    print(f"a job of four files makes {len(names)} calls", flush=True)
    killed(tally, trial, "a batch", names, extent.most, extent.seed)


def watched(folder, *more):
    draw(folder / "a.png", "Total 12.50", (60, 40))
    (folder / "bad.pdf").write_bytes(b"no document at all")
    return faults.Watch(folder, (folder / "a.png", folder / "bad.pdf"), *more)


def cuts(tally, trial, what, names, most, seed):
    tally.run(trial, f"{what}: the journal as a power cut leaves it",
              [f"cut:{n}" for n in spread(len(names), most, f"{seed}cut")])


def watches(tally, folder, extent):
    trial = watched(folder)
    names = tally.counts("watch", trial)["names"]
    print(f"a watch with two files makes {len(names)} calls until they are done", flush=True)
    seed = extent.seed
    # a watcher has to be waited for
    most = extent.most and max(1, extent.most // 4)
    killed(tally, trial, "a watcher", names, most, f"{seed}w")
    cuts(tally, trial, "a watcher", names, most, seed)
    (folder / "files").mkdir()
    trial = watched(folder / "files", faults.FILE_ROUTES, faults.FILE_ENDS, "delete")
    names = tally.counts("watch, files only", trial)["names"]
    print(f"with actions that make files only, {len(names)} calls", flush=True)
    killed(tally, trial, "a watcher, files only", names, most, f"{seed}f")
    cuts(tally, trial, "a watcher, files only", names, most, seed)


def some(points, most, seed):
    """All, or `most` of them, always the same."""
    if most is None or len(points) <= most:
        return points
    return random.Random(seed).sample(points, most)


def failed(tally, trial, what, extent, memory_most=None):
    """Each call and each allocation (`memory_most` of them, unless all are wanted) fails once
    for each way that it comes by."""
    most, seed, every = extent.most, extent.seed, extent.is_every
    found = tally.counts(f"{what}, failing", trial)
    ways = found["ways"]
    print(f"{what}: {found['files']} calls by {len(ways)} ways; "
          f"{found['allocations']} + {found['glib']} allocations by "
          f"{len(found['plain_ways'])} + {len(found['glib_ways'])} ways", flush=True)
    for name, number in ERRORS.items():
        orders = [f"{number}#{way}" for way, _ in ways]
        if every:
            orders = [f"{number}:{n}" for n in range(1, found["files"] + 1)]
        tally.run(trial, f"{what}, a call failed with {name}",
                  some(orders, most, f"{seed}{name}"))
    for name, number in NO_OPENING.items():
        orders = [f"{number}#{way}" for way, call in ways if call.startswith(OPENS)]
        if every:
            orders = [f"{number}@{opens}:{n}" for opens in OPENS for n in
                      range(1, 1 + sum(call.startswith(opens) for call in found["names"]))]
        tally.run(trial, f"{what}, something cannot be opened ({name})",
                  some(orders, most, f"{seed}{name}o"))
    for name, ways, order, count in (
            ("SQLite, jansson, docvl", found["plain_ways"], "nomem", found["allocations"]),
            ("GLib: it aborts", found["glib_ways"], "nomem-glib", found["glib"])):
        count_most = most
        if most is None and not extent.is_all_memory:
            count_most = memory_most or (GLIB_MEMORY if "glib" in order else None)
        orders = some([f"nomem#{way}" for way in ways], count_most, f"{seed}m")
        if every:
            orders = [f"{order}:{n}" for n in spread(count, most or EVERY_MOST, f"{seed}m")]
        tally.run(trial, f"{what}, no memory ({name})", orders)


def failures(tally, folder, extent):
    trial = faults.Trial(folder, make_inputs(folder / "in", False))
    failed(tally, trial, "a batch", extent)
    tally.run(trial, "the pipe of signals cannot be read", ALWAYS)


def watch_failures(tally, folder, extent):
    trial = watched(folder)
    # the memory of the engine is tried in batches: here a spread of the ways is enough
    most = extent.most and max(1, extent.most // 4)
    failed(tally, trial, "a watcher", dataclasses.replace(extent, most=most), WATCH_MEMORY)


class Opening:
    """A model, or a configuration with its schema, that is opened.  Nothing is wrong with it,
    so nothing that the system has run out of may show as a broken one: units do not try that
    again."""

    def __init__(self, folder, *args):
        self.folder = folder
        self.args = args
        self.codes = set()

    def counts(self):
        faults.docvl(self.args, **faults.ask_counts(self.folder))
        return faults.counted(self.folder)

    def faults(self, order):
        code, err, call = faults.disturbed(self.args, order, self.folder / "trace")
        self.codes.add(code)
        if code in (0, 1, faults.TEMPORARY) and (code == 0 or err):
            return []
        return [f"exit status {code}: {err[-500:]} ({call})"]


def openings(tally, folder, extent):
    most, seed = extent.most, extent.seed
    trial = Opening(folder, "model", "info")
    found = tally.counts("model", trial)
    for name, number in RUN_OUT.items():
        orders = [f"{number}@{call}:{n}" for call in ("open", "mmap")
                  for n in range(1, 1 + sum(c.startswith(call) for c in found["names"]))]
        tally.run(trial, f"opening a model, {name}", orders)
    tally.run(trial, "opening a model, no memory",
              some([f"nomem#{way}" for way in found["plain_ways"]], most and 4 * most, seed))
    if trial.codes and faults.TEMPORARY not in trial.codes:
        tally.wrong.append(f"opening a model: never a temporary error: {trial.codes}")
    (folder / "in").mkdir()
    (folder / "tiny.yaml").write_text(faults.SCHEMA)
    (folder / "c.yaml").write_text("defaults: {schema: ./tiny.yaml}\n"
                                   "folders:\n  - {path: in, out: out}\n")
    for what, args in (("configuration", ("config", "check", folder / "c.yaml")),
                       ("schema", ("schema", "check", folder / "tiny.yaml")),
                       ("list of schemas", ("schema", "list"))):
        trial = Opening(folder, *args)
        names = tally.counts(what, trial)["names"]
        for name in ("EMFILE", "ENFILE"):
            orders = [f"{RUN_OUT[name]}@open:{n}"
                      for n in range(1, 1 + sum(c.startswith("open") for c in names))]
            tally.run(trial, f"opening a {what}, {name}", orders)


def small_disk(folder):
    """A tmpfs of 1 MiB, or None where mounting is not allowed."""
    disk = folder / "disk"
    disk.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", disk],
                          capture_output=True, check=False)
    return disk if done.returncode == 0 else None


def full_disk(tally, folder):
    """The results' disk fills up in the middle; when there is room again, all goes on."""
    disk = small_disk(folder)
    if disk is None:
        print("disk full: no tmpfs can be mounted here, left to the ENOSPC points")
        return
    try:
        inputs = folder / "in"
        inputs.mkdir()
        for i in range(6):
            draw(inputs / f"{i}.png", f"Total {i}.50")
        fill = disk / "fill"
        args = ["batch", inputs, "-o", disk / "out", "-s", "receipt", "-j", "1",
                "--summary", "never"]
        for left in (0, 8, 40, 90, 140, 200):
            fill.write_bytes(b"x" * 4096)
            room = os.statvfs(disk).f_bavail * 4096 + 4096 - left * 1024
            fill.write_bytes(b"x" * max(0, room))
            code, err, _ = faults.docvl(args)
            tally.points += 1
            names = sorted(p.name for p in (disk / "out").glob("*.json"))
            if code in (0, 4) and len(names) < 6:
                tally.wrong.append(f"{left} KiB left: exit status {code} with {names}")
            if code not in (0, 4, 75, 1):
                tally.wrong.append(f"{left} KiB left: exit status {code}: {err[-300:]}")
            tally.wrong += [f"{left} KiB left: half: {n}"
                            for n in faults.half_files(disk / "out")]
            fill.unlink()
            code, err, _ = faults.docvl(args)
            names = sorted(p.name for p in (disk / "out").glob("*"))
            if code not in (0, 4) or len([n for n in names if n.endswith(".json")]) != 6 or \
               any(".part" in n for n in names):
                tally.wrong.append(f"{left} KiB left, then room: {code} {names} {err[-300:]}")
            shutil.rmtree(disk / "out")
        print("disk full: 6 levels of room", flush=True)
    finally:
        subprocess.run(["umount", disk], check=False)


PARTS = {"model": openings, "kill": kills, "watch": watches, "fail": failures, "watch-fail": watch_failures}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--long", action="store_true", help="every point")
    parser.add_argument("--every", action="store_true",
                        help="fail each call by its number (hours)")
    parser.add_argument("--memory", action="store_true",
                        help="each way of each allocation, not a spread of them")
    parser.add_argument("--only", choices=[*PARTS, "disk"])
    parser.add_argument("--seed", default="docvl")
    parser.add_argument("--points", type=int, default=12, help="of each kind, without --long")
    parser.add_argument("--log", metavar="FILE", help="note every point there, and skip those "
                        "that it holds: goes on where it was interrupted")
    parser.add_argument("--shard", default="1/1", metavar="I/N", help="every N-th point")
    options = parser.parse_args()
    most = None if options.long or options.every else options.points
    extent = Extent(most, options.seed, options.every, options.memory)
    tally = Tally(options.log, tuple(map(int, options.shard.split("/"))))
    with tempfile.TemporaryDirectory(prefix="docvl-faults-") as name:
        folder = pathlib.Path(name)
        for part, run in PARTS.items():
            if options.only in (None, part):
                (folder / part).mkdir()
                run(tally, folder / part, extent)
        if options.only in (None, "disk"):
            (folder / "full").mkdir()
            full_disk(tally, folder / "full")
    print(f"{tally.points} points tried (seed {options.seed}"
          f"{', %d of them before' % tally.before if tally.before else ''}), {len(tally.wrong)} faults")
    for text in tally.wrong:
        print(text, file=sys.stderr)
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
