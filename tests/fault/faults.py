"""Runs docvl with one call going wrong, runs it again undisturbed, and compares.

What is real: the program, its readers, the journal, the file system.  Only the model is
small (tests/data/parity, random weights): its answers are nonsense, but they go the whole
way that real answers go, in a few hundredths of a second.
"""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("DOCVL", ROOT / "build" / "pipeline" / "docvl")).parent
DOCVL = str(BUILD / "docvl")
SHIM = os.environ.get("DOCVL_FAULT_SHIM", str(BUILD.parent / "tests" / "fault" / "libfault.so"))
PARITY = ROOT / "tests" / "data" / "parity"
SECONDS_MAX = 120
ABORTS = (-signal.SIGABRT, -signal.SIGTRAP)
TEMPORARY = 75
BROKEN = 7  # the model: units take that as final


def environment(**more):
    env = dict(os.environ)
    for name in list(env):
        if name.startswith("DOCVL_BATCH_") or name.startswith("DOCVL_FAULT"):
            del env[name]
    env.setdefault("DOCVL_RENDER", str(BUILD / "docvl-render"))
    env.setdefault("DOCVL_SCHEMAS", str(ROOT / "schemas"))
    env.update(DOCVL_MODEL=str(PARITY), DOCVL_BACKOFF="1,1,1,1", DOCVL_STALL_MS="20")
    env.update(more)
    return env


def docvl(args, **more):
    """Exit status and messages."""
    done = subprocess.run([DOCVL, *map(str, args)], env=environment(**more), check=False,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS_MAX)
    return done.returncode, done.stderr.decode("utf-8", "replace"), done.stdout.decode()


def disturbed(args, order, trace):
    """As docvl(), and which call it was that went wrong."""
    trace.unlink(missing_ok=True)
    code, err, _ = docvl(args, LD_PRELOAD=SHIM, DOCVL_FAULT=order,
                         DOCVL_FAULT_TRACE=str(trace))
    return code, err, struck(order, trace)


def struck(order, trace):
    """The call that went wrong, as the trace shows it."""
    if order.startswith("nomem") or not trace.exists():
        return ""
    lines = trace.read_text().splitlines()
    if "#" in order:
        lines = [line for line in lines if line.endswith(order.partition("#")[2])]
        return lines[0] if lines else ""
    kind, _, number = order.partition(":")
    lines = [line for line in lines if line.split(" ")[1].startswith(kind.partition("@")[2])]
    return lines[int(number) - 1] if int(number) <= len(lines) else ""


def is_run_out(order):
    """No memory or no descriptor: there may be some in a moment."""
    return order.startswith(("nomem", "12#", "12@", "24#", "24@", "23#", "23@"))


def ask_counts(folder):
    """What docvl is told so that counted() can tell how it went."""
    for name in ("count", "trace", "stacks"):
        (folder / name).unlink(missing_ok=True)
    return {"LD_PRELOAD": SHIM, "DOCVL_FAULT_COUNT": str(folder / "count"),
            "DOCVL_FAULT_TRACE": str(folder / "trace"),
            "DOCVL_FAULT_STACKS": str(folder / "stacks")}


def counted(folder):
    """How many calls of each kind were made, their names, and the ways that they came by."""
    files, allocations, glib = map(int, (folder / "count").read_text().split())
    calls = [line.split(" ") for line in (folder / "trace").read_text().splitlines()]
    stacks = [line.split(" ") for line in (folder / "stacks").read_text().splitlines()]
    return {"files": files, "allocations": allocations, "glib": glib,
            "names": [call[1] for call in calls],
            "ways": list({call[-1]: call[1] for call in reversed(calls)}.items())[::-1],
            "plain_ways": [way for kind, way in stacks if kind == "plain"],
            "glib_ways": [way for kind, way in stacks if kind == "glib"]}


def without_times(node):
    if isinstance(node, dict):
        # which of two equal files stands for both depends on which could be read first
        return {k: without_times(v) for k, v in node.items()
                if k not in ("timing", "twin_of")}
    return node


def tree(folder):
    """Everything a reader of the folder sees, journal apart; JSON without its times."""
    seen = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if name.startswith(".docvl") or path.is_dir():
            continue
        data = path.read_bytes()
        seen[name] = without_times(json.loads(data)) if name.endswith(".json") else data
    return seen


def journal(path):
    """States by file name.  Of a copy: a look is not to repair what a crash has left."""
    if not path.exists():
        return {}
    copy = path.parent.parent / "look"
    copy.mkdir()
    try:
        for part in path.parent.glob(path.name + "*"):
            shutil.copy(part, copy)
        return states(copy / path.name, "rw")
    except sqlite3.Error as error:
        return {"error": str(error)}
    finally:
        shutil.rmtree(copy)


def states(path, mode="ro"):
    """Of a journal that may be in use."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode={mode}", uri=True)) as db:
        if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            return {}  # killed before its tables were made
        rows = db.execute("SELECT origin, state FROM documents").fetchall()
    return {os.path.basename(os.fsdecode(name)): state for name, state in rows}


def in_work(path):
    """How many documents of a journal somebody has, or is still giving up."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return db.execute("SELECT count(*) FROM documents WHERE worker<>'' OR "
                          "giving_up=1").fetchone()[0]


def identities(folder):
    return {str(p.relative_to(folder)): p.stat().st_ino for p in folder.rglob("*.json")}


def half_files(folder):
    """Results under their own name that are not whole."""
    broken = []
    for path in folder.rglob("*.json"):
        try:
            json.loads(path.read_bytes())
        except ValueError:
            broken.append(str(path))
    return broken


class Trial:
    """One job in a folder of its own, compared with an undisturbed one."""

    def __init__(self, folder, inputs, schema="receipt"):
        self.folder = folder
        self.inputs = inputs
        self.out = folder / "out"
        self.args = ["batch", "-r", inputs, "-o", self.out, "-s", schema, "-j", "1",
                     "--summary", "never"]
        code, _, _ = docvl(self.args)
        # what was done before is not counted as to be reviewed once more
        self.codes = (code, 0) if code == 4 else (code,)
        self.expected = tree(self.out)
        self.states = self.states_now()
        self.clear()

    def clear(self):
        shutil.rmtree(self.out, ignore_errors=True)

    def states_now(self):
        """The states of all documents; how often a bad one was tried does not matter."""
        rows = journal(self.out / ".docvl" / "journal.db")
        return sorted(state.replace("quarantined", "failed") for state in rows.values())

    def counts(self):
        docvl(self.args, **ask_counts(self.folder))
        self.clear()
        return counted(self.folder)

    def faults(self, order):
        """Everything that is wrong after a disturbed run and undisturbed ones behind it."""
        wrong = []
        code, err, call = disturbed(self.args, order, self.folder / "trace")
        wrong += [f"half written: {name}" for name in half_files(self.out)]
        is_killed = code == -signal.SIGKILL or code in ABORTS
        if code < 0 and not is_killed:
            wrong.append(f"died of signal {-code}: {err[-500:]}")
        if not is_killed and code in (0, 4) and tree(self.out) != self.expected:
            wrong.append(f"exit status {code}, but not all is done: {err[-500:]}")
        if code == BROKEN and is_run_out(order):
            wrong.append(f"a model is broken that is not: {err[-500:]}")
        before = journal(self.out / ".docvl" / "journal.db")
        done = {name for name, state in before.items() if state == "routed"}
        inodes = identities(self.out) if self.out.exists() else {}
        for _ in range(4):
            code, err, _ = docvl(self.args)
            if code in self.codes:
                break
        if code not in self.codes:
            wrong.append(f"does not recover: exit status {code}: {err[-500:]}")
        wrong += self.differences(done, inodes)
        self.clear()
        return [f"{text} ({call})" if call else text for text in wrong]

    def differences(self, done, inodes):
        wrong = []
        seen = tree(self.out)
        for name in sorted(set(self.expected) - set(seen)):
            wrong.append(f"lost: {name}")
        for name in sorted(set(seen) - set(self.expected)):
            wrong.append(f"left over: {name}")
        for name in sorted(set(seen) & set(self.expected)):
            if seen[name] != self.expected[name]:
                wrong.append(f"differs: {name}")
        states = self.states_now()
        if states != self.states:
            wrong.append(f"journal: {states}, not {self.states}")
        after = identities(self.out)
        for name in done:
            if inodes.get(name + ".json") not in (None, after.get(name + ".json")):
                wrong.append(f"twice: {name} was done and was done again")
        return wrong


# Answers in a few milliseconds: for what is to be tried a thousand times.
SCHEMA = "type: object\ntitle: Tiny\nproperties:\n  n: {type: string, maxLength: 4}\n"

ROUTES = """
routes:
  root: archive
  rules:
    - name: pictures
      when: {file: '*.png'}
      do:
        - copy: 'copies/{@file}'
        - append: {to: all.csv, columns: ['@file', '@status']}
        - run: {command: [/bin/sh, -c, 'echo $DOCVL_KEY >> keys']}
        - move: 'pictures/{@file}'
  failed:
    do:
      - copy: 'bad/{@file}'
      - append: {to: bad.csv, columns: ['@file']}
      - move: 'lost/{@file}'
"""


# Nothing but files is made: that a document is through is only noted, and then its input goes.
FILE_ROUTES = """
routes:
  root: archive
  rules:
    - name: pictures
      when: {file: '*.png'}
      do:
        - copy: 'copies/{@file}'
        - append: {to: all.csv, columns: ['@file', '@status']}
        - write: {to: 'kept/{@file}.csv', format: csv}
        - link: 'links/{@file}'
"""
ENDS = ("archive/lost/bad.pdf", "archive/pictures/a.png")
FILE_ENDS = ("out/failed/bad.pdf",)


class Watch:
    """A watched folder with routes for what succeeded and for what failed: killed once.
    `ends`: what there is when all is done."""

    def __init__(self, folder, inputs, routes=ROUTES, ends=ENDS, on_done="move"):
        self.folder = folder
        self.on_done = on_done
        self.routes = routes
        self.ends = ends
        self.inputs = {path.name: path.read_bytes() for path in inputs}
        self.site = folder / "site"
        self.args = ["watch", self.site / "c.yaml"]
        self.make()
        self.until_done({})
        self.expected = self.seen()

    def make(self):
        shutil.rmtree(self.site, ignore_errors=True)
        (self.site / "in").mkdir(parents=True)
        (self.site / "c.yaml").write_text(
            "journal: j.db\nworkers: 1\ndefaults: {schema: ./tiny.yaml}\n"
            "folders:\n  - {path: in, out: out, settle: 0s, rescan: 1s,\n"
            f"     on_done: {self.on_done}}}\n" + self.routes)
        (self.site / "tiny.yaml").write_text(SCHEMA)
        for name, data in self.inputs.items():
            (self.site / "in" / name).write_bytes(data)

    def seen(self):
        """All that there is in the end; of tables the records, without their keys."""
        names = {str(p.relative_to(self.site)): p for p in self.site.rglob("*")
                 if p.is_file() and not p.name.startswith("j.db") and p.name != "keys"}
        found = {}
        for name, path in names.items():
            if name.endswith(".csv"):
                found[name] = sorted(line.partition(",")[2] or line
                                     for line in path.read_text().splitlines())
            elif name.endswith(".json"):
                found[name] = json.loads(path.read_bytes()).get("status")
            elif not name.endswith(".lock"):
                found[name] = path.read_bytes()
        keys = self.site / "keys"
        # a command may run again after a crash, with the same key
        found["keys"] = len(set(keys.read_text().split())) if keys.exists() else 0
        return found

    def is_done(self):
        """Both are where the routes put them, and nobody is at work on them any more."""
        if not all((self.site / end).exists() for end in self.ends):
            return False
        try:
            path = self.site / "j.db"
            return (sorted(states(path).values()) == ["quarantined", "routed"] and
                    not in_work(path))
        except sqlite3.Error:
            return False

    def until_done(self, more):
        """Runs it until all is done (or it dies); its exit status and messages."""
        env = environment(**more)
        with open(self.folder / "err", "w+b") as err:
            process = subprocess.Popen([DOCVL, *map(str, self.args)], env=env, stderr=err,
                                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            end = time.monotonic() + SECONDS_MAX
            is_done = False
            while process.poll() is None and not is_done and time.monotonic() < end:
                time.sleep(0.02)
                is_done = self.is_done()
            if process.poll() is None:
                process.terminate()
            try:
                code = process.wait(SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()  # shows as died of this signal
                code = process.wait()
            err.seek(0)
            return code, is_done, err.read().decode("utf-8", "replace")

    def counts(self):
        self.make()
        self.until_done(ask_counts(self.folder))
        return counted(self.folder)

    def cut_power(self, synced):
        """The journal as it was when its files were synced last; all else as it is, since what
        the actions have done may have reached the disk by itself."""
        for path in self.site.glob("j.db*"):
            path.unlink()
            if (synced / path.name).exists():
                shutil.copy(synced / path.name, path)

    def faults(self, order):
        self.make()
        trace, synced = self.folder / "trace", self.folder / "synced"
        trace.unlink(missing_ok=True)
        shutil.rmtree(synced, ignore_errors=True)
        synced.mkdir()
        is_cut = order.startswith("cut")
        more = {"LD_PRELOAD": SHIM, "DOCVL_FAULT": order.replace("cut", "kill"),
                "DOCVL_FAULT_TRACE": str(trace)}
        if is_cut:
            more["DOCVL_FAULT_SYNCED"] = str(synced)
        code, is_done, err = self.until_done(more)
        if is_cut and code == -signal.SIGKILL:
            self.cut_power(synced)
        wrong = []
        is_killed = order.startswith(("kill", "cut", "half", "after", "nomem"))
        is_given_up = order.startswith("nomem") and code == TEMPORARY and err
        if code not in (-signal.SIGKILL, *ABORTS, 143) and is_killed and not is_given_up:
            wrong.append(f"exit status {code}: {err[-500:]}")
        elif code < 0 and code not in ABORTS and not is_killed:
            wrong.append(f"died of signal {-code}: {err[-500:]}")
        elif code == 143 and not is_done:
            wrong.append(f"nothing happens any more: {err[-500:]}")
        elif code >= 0 and not err:
            wrong.append(f"exit status {code} without a word")
        if code == BROKEN and is_run_out(order):
            wrong.append(f"a model is broken that is not: {err[-500:]}")
        code, is_done, err = self.until_done({})
        # when all was done before, it is stopped while it starts: -SIGTERM
        if not is_done or code not in (143, -signal.SIGTERM):
            wrong.append(f"does not recover: exit status {code}: {err[-500:]}")
        seen = self.seen()
        for name in sorted(set(self.expected) | set(seen)):
            if seen.get(name) != self.expected.get(name):
                wrong.append(f"{name}: {str(seen.get(name))[:200]}, "
                             f"not {str(self.expected.get(name))[:200]}")
        call = struck(order, trace)
        return [f"{text} ({call})" if call else text for text in wrong]
