#!/usr/bin/python3
"""docvl watch with folders on shares that go away, come back, or never answer.

    tests/test_shares.py

A tmpfs stands for a share where it can be mounted.
"""
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from test_watch import Case, PATIENCE, STALE, files_below, png


class Shares(Case):
    """Folders on a file system that goes away and comes back."""

    def share(self, at):
        """A tmpfs at `at` that lives on while it is not mounted there."""
        store, point = self.path("store"), self.path(at)
        os.makedirs(store, exist_ok=True)
        os.makedirs(point, exist_ok=True)
        if subprocess.run(["mount", "-t", "tmpfs", "none", store], capture_output=True,
                          check=False).returncode != 0:
            self.skipTest("nothing can be mounted here")
        self.addCleanup(subprocess.run, ["umount", "-l", store], check=False)
        self.addCleanup(subprocess.run, ["umount", "-lq", point], check=False)
        self.mount(at)

    def mount(self, at):
        subprocess.run(["mount", "--bind", self.path("store"), self.path(at)], check=True)

    def umount(self, at):
        subprocess.run(["umount", "-l", self.path(at)], check=True)

    def go_and_come(self, at, is_killed=False):
        """Killed: the share is not there when the next watcher starts."""
        count, env = 40, {"DOCVL_BACKOFF": "4000,4000,4000,4000"}
        sent = {f"{n}.png": png(n) for n in range(count)}
        w = self.start(env=env)
        for name, data in sent.items():
            self.drop(name, data)
        self.until("some done", lambda: len(self.results()) > 3)
        if is_killed:
            w.kill()
        self.umount(at)
        if is_killed:
            w = self.start(1, env=env)
        else:
            w.wait_for("not mounted; what belongs there waits")
        time.sleep(3)
        self.assertEqual([n for n in files_below(self.path(at)) if not is_killed or not n.endswith(".lock")],
                         [], "written under the mount point")
        self.mount(at)
        self.all_done(sent)
        told = sum(w.text().count(" page in ") for w in self.watchers)
        self.assertLessEqual(told, count, "done twice")
        self.assertNotIn("quarantined", w.text())
        if not is_killed:   # that one may have had no time to tell
            self.assertEqual(told, count)
            self.assertNotIn("gone;", w.text())

    def test_everything_on_a_share(self):
        self.share("share")
        path = self.config(extra="    rescan: 1s\n")
        with open(path, encoding="utf-8") as f:
            text = f.read()
        self.write("c.yaml", text.replace("path: in", "path: share/in").replace("out: out", "out: share/out"))
        os.rmdir(self.path("in"))
        os.makedirs(self.path("share", "in"))
        for name in "in", "out":   # the rest of a case knows them here
            os.symlink(os.path.join("share", name), self.path(name))
        self.go_and_come("share")

    def test_a_share_is_the_folder_itself(self):
        self.share("in")
        self.config(extra="    rescan: 1s\n")
        self.go_and_come("in")

    def test_a_share_that_never_answers(self):
        """Its folder waits; the start, the others, a reload and the end do not."""
        os.mkdir(self.path("dead"))
        self.config(more="  - path: dead/in\n    out: dead/out\n    settle: 300ms\n")
        # its thread is left behind at the end, on purpose
        w = self.start(env={"LD_PRELOAD": STALE, "HANG_PATH": self.path("dead"),
                            "TSAN_OPTIONS": "report_thread_leaks=0"})
        self.assertIn("does not answer", w.text())
        self.drop("a.png", png(1))
        self.until("done", lambda: "a.png" in self.results())
        w.signal(signal.SIGHUP)
        w.wait_for("reloaded")
        self.drop("b.png", png(2))
        self.all_done({"a.png": png(1), "b.png": png(2)})
        before = time.monotonic()
        self.assertEqual(w.stop(), 143)
        self.assertLess(time.monotonic() - before, 30)

    def test_output_that_links_lead_into_the_input(self):
        """The folder for results is not there yet, but the link that leads to it is."""
        os.symlink("in", self.path("link"))
        self.write("c.yaml", "journal: j.db\nfolders:\n  - {path: in, out: link/out, recursive: yes}\n")
        w = self.start(wait=False)
        self.assertEqual(w.process.wait(PATIENCE), 9)
        self.assertIn("leads into the watched folder", w.text())

    def test_a_move_between_file_systems_cut_off(self):
        """The copy has its name in done/, and the document is still in the work folder."""
        done = tempfile.mkdtemp(prefix="docvl-watch-", dir="/dev/shm")
        self.addCleanup(shutil.rmtree, done)
        if os.stat(done).st_dev == os.stat(self.dir).st_dev:
            self.skipTest("one file system only")
        self.config(extra=f"    done: {done}\n")
        w = self.start()
        self.drop("a.png", png(1))
        self.until("done", lambda: list(files_below(done)) == ["a.png"])
        self.until("put away", lambda: len(files_below(self.path("in"))) == 1)
        w.kill()
        lock, = files_below(self.path("in")).values()
        os.makedirs(lock[:-5] + "/7")
        shutil.copy2(os.path.join(done, "a.png"), lock[:-5] + "/7/a.png")
        w = self.start(1)
        self.until("put away", lambda: not [n for n in files_below(self.path("in")) if n.endswith("a.png")])
        self.drop("b.png", png(2))
        self.until("done", lambda: "b.png" in files_below(done))
        self.assertEqual(sorted(files_below(done)), ["a.png", "b.png"])
        self.assertEqual(sorted(os.listdir(self.path("out"))), [".docvl.lock", "a.png.json", "b.png.json"])

    def test_archive_on_a_share(self):
        """What routes write goes to the share as well, not below the place where it was."""
        self.share("archive")
        self.config(extra="    rescan: 1s\n", top=(
            "routes:\n  root: archive\n  rules:\n    - name: all\n      when: {file: '*'}\n"
            "      do: [{move: '{@file}'}]\n"))
        w = self.start()
        self.drop("a.png", png(1))
        self.until("moved", lambda: os.path.exists(self.path("archive", "a.png")))
        self.umount("archive")
        self.drop("b.png", png(2))
        w.wait_for("not mounted; what belongs there waits")
        time.sleep(1)
        self.assertEqual(files_below(self.path("archive")), {}, "written under the mount point")
        self.mount("archive")
        self.until("moved", lambda: os.path.exists(self.path("archive", "b.png")))
        self.until("told", lambda: w.text().count(" page in ") == 2)

    def test_a_share_that_is_not_there_at_the_start(self):
        self.share("in")
        self.config(extra="    rescan: 1s\n")
        self.go_and_come("in", is_killed=True)

    def test_results_on_a_share(self):
        self.share("out")
        self.config(extra="    rescan: 1s\n")
        self.go_and_come("out")


if __name__ == "__main__":
    unittest.main()
