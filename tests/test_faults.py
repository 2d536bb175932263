#!/usr/bin/python3
"""Kills docvl at every call that matters, and makes every call fail once.

    tests/test_faults.py           a spread of points, for every build
    tests/test_faults.py --long    every call, and 500 of each kind of allocation (an hour)

A point is one call of one undisturbed job: open, read, write, sync, rename, map, allocate.
After the fault the same line is run again; then nothing may be lost, done twice or half
written.  The same for a watched folder with routes, also for what failed: its watcher is
killed and started again.  Prints how many points were tried.
"""
import argparse
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

ALLOCATIONS = 500
ERRORS = {"ENOSPC": 28, "EIO": 5, "EINTR": 4, "EMFILE": 24}
# What opens something, each in turn with each of these.
OPENS = ("open", "fopen", "memfd_create", "socketpair", "pipe2", "posix_spawn", "flock")
NO_OPENING = {"EMFILE": 24, "ENFILE": 23, "EIO": 5}
# A pipe that can't be read is no signal to stop: the thread that waits for one goes on.
ALWAYS = ("5@read:1", "24@read:1", "4@read:1")


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


def kills(tally, folder, most, seed):
    trial = faults.Trial(folder, make_inputs(folder / "in", True))
    count = tally.counts("batch", trial)["files"]
    print(f"a job of four files makes {count} calls", flush=True)
    for mode in ("kill", "half", "after"):
        tally.run(trial, f"killed ({mode})",
                  [f"{mode}:{n}" for n in spread(count, most, f"{seed}{mode}")])


def watches(tally, folder, most, seed):
    draw(folder / "a.png", "Total 12.50")
    (folder / "bad.pdf").write_bytes(b"no document at all")
    trial = faults.Watch(folder, (folder / "a.png", folder / "bad.pdf"))
    count = tally.counts("watch", trial)
    most = most and max(1, most // 4)  # a watcher has to be waited for
    print(f"a watch with two files makes {count} calls until they are done", flush=True)
    for mode in ("kill", "half", "after"):
        tally.run(trial, f"a watcher killed ({mode})",
                  [f"{mode}:{n}" for n in spread(count, most, f"{seed}{mode}w")])


def failures(tally, folder, most, seed):
    trial = faults.Trial(folder, make_inputs(folder / "in", False))
    found = tally.counts("fail", trial)
    for name, number in ERRORS.items():
        tally.run(trial, f"a call failed with {name}",
                  [f"{number}:{n}" for n in spread(found["files"], most, f"{seed}{name}")])
    tally.run(trial, "the pipe of signals cannot be read", ALWAYS)
    for name, number in NO_OPENING.items():
        orders = [f"{number}@{opens}:{n}" for opens in OPENS
                  for n in range(1, 1 + sum(call.startswith(opens) for call in found["names"]))]
        if most is not None:
            orders = random.Random(f"{seed}{name}o").sample(orders, min(most, len(orders)))
        tally.run(trial, f"something cannot be opened ({name})", orders)
    # thousands of them, most alike: a spread also in the long run
    some = ALLOCATIONS if most is None else most
    print(f"it allocates {found['allocations']} + {found['glib']} times", flush=True)
    tally.run(trial, "no memory (SQLite, docvl)",
              [f"nomem:{n}" for n in spread(found["allocations"], some, f"{seed}m")])
    tally.run(trial, "no memory (GLib, jansson: they abort)",
              [f"nomem-glib:{n}" for n in spread(found["glib"], some, f"{seed}g")])


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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--long", action="store_true", help="every point")
    parser.add_argument("--only", choices=("kill", "watch", "fail", "disk"))
    parser.add_argument("--seed", default="docvl")
    parser.add_argument("--points", type=int, default=12, help="of each kind, without --long")
    parser.add_argument("--log", metavar="FILE", help="note every point there, and skip those "
                        "that it holds: goes on where it was interrupted")
    parser.add_argument("--shard", default="1/1", metavar="I/N", help="every N-th point")
    options = parser.parse_args()
    most = None if options.long else options.points
    tally = Tally(options.log, tuple(map(int, options.shard.split("/"))))
    with tempfile.TemporaryDirectory(prefix="docvl-faults-") as name:
        folder = pathlib.Path(name)
        for part, run in (("kill", kills), ("watch", watches), ("fail", failures)):
            if options.only in (None, part):
                (folder / part).mkdir()
                run(tally, folder / part, most, options.seed)
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
