"""Run a program and say what it cost: seconds, processor seconds, peak memory.

Peak memory is that of the program and its children by name, each the high-water mark of
its resident set (VmHWM), read while they run and once more from wait4(2) at the end.  The
pixels of a page lie in memory that docvl and docvl-render share, so their sum counts them
twice; it is an upper bound.
"""
import contextlib
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time

POLL_S = 0.005


def children(pid):
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            text = pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text("ascii")
            yield from map(int, text.split())


def high_water(pid):
    """(name, MiB) of a process, or None when it is gone."""
    try:
        text = pathlib.Path(f"/proc/{pid}/status").read_text("utf-8", "replace")
    except OSError:
        return None
    name = re.search(r"(?m)^Name:\s*(.*)$", text)
    mark = re.search(r"(?m)^VmHWM:\s*(\d+) kB", text)
    return (name[1], int(mark[1]) / 1024) if name and mark else None


class Outcome:
    """code (minus the signal), out, err, seconds, cpu, memory {name: MiB}, is_killed"""

    def __init__(self):
        self.code, self.out, self.err = 0, b"", ""
        self.seconds = self.cpu = 0.0
        self.memory, self.is_killed = {}, False

    @property
    def peak(self):
        return sum(self.memory.values())

    @property
    def reason(self):
        """The first line of its messages."""
        lines = self.err.strip().splitlines()
        return lines[0] if lines else ""


def run(command, env=None, seconds_max=600.0):
    """Run `command` to its end, or kill it after `seconds_max`."""
    outcome = Outcome()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        begin = time.monotonic()
        process = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL,
                                   stdout=out, stderr=err, env={**os.environ, **(env or {})})
        seen = {}
        while True:
            for pid in (process.pid, *children(process.pid)):
                mark = high_water(pid)
                if mark is not None:
                    seen[pid] = mark
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid != 0:
                break
            if not outcome.is_killed and time.monotonic() - begin > seconds_max:
                outcome.is_killed = True
                process.send_signal(signal.SIGKILL)
            time.sleep(POLL_S)
        outcome.seconds = time.monotonic() - begin
        process.returncode = outcome.code = os.waitstatus_to_exitcode(status)
        outcome.cpu = usage.ru_utime + usage.ru_stime
        for name, mark in seen.values():
            outcome.memory[name] = max(outcome.memory.get(name, 0.0), mark)
        # wait4 knows the largest single process to the byte, also what was not seen
        largest = max(outcome.memory, key=outcome.memory.get, default=str(command[0]))
        outcome.memory[largest] = max(outcome.memory.get(largest, 0.0),
                                      usage.ru_maxrss / 1024)
        out.seek(0)
        err.seek(0)
        outcome.out, outcome.err = out.read(), err.read().decode("utf-8", "replace")
    return outcome
