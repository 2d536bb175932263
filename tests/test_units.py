#!/usr/bin/python3
"""The service files: what systemd says about them, and that they run what there is."""
import os
import re
import shutil
import subprocess
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
UNITS = os.environ.get("DOCVL_UNITS", os.path.join(ROOT, "build", "configs"))
DOCVL = os.environ.get("DOCVL", os.path.join(ROOT, "build", "pipeline", "docvl"))
SERVICES = ("docvl-watch@.service", "docvl-batch@.service")
# What a service that parses strangers' files has no use for.
HARDENED = ("NoNewPrivileges=yes", "PrivateNetwork=yes", "ProtectSystem=strict",
            "ProtectHome=yes", "MemoryDenyWriteExecute=yes", "RestrictNamespaces=yes",
            "CapabilityBoundingSet=", "PrivateDevices=yes", "ProtectKernelTunables=yes")


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


class Units(unittest.TestCase):
    def test_hardened(self):
        for name in SERVICES:
            lines = read(os.path.join(UNITS, name)).splitlines()
            for setting in HARDENED:
                self.assertIn(setting, lines, name)

    def test_commands_exist(self):
        for name in SERVICES:
            command = re.search(r"(?m)^ExecStart=\S+/docvl (.*)$", read(os.path.join(UNITS, name)))[1]
            verb = [word for word in command.split() if not word.startswith("-")][0]
            done = subprocess.run([DOCVL, verb, "--help"], capture_output=True, text=True,
                                  timeout=60, check=False)
            self.assertEqual(done.returncode, 0, name)
            for option in re.findall(r"--[a-z-]+", command):
                self.assertIn(option, done.stdout, name)

    def test_the_document_reader_may_lock_itself_in(self):
        """What the programs call must be in the filter; seccomp(2) is not in @system-service."""
        analyze = shutil.which("systemd-analyze")
        if analyze is None:
            self.skipTest("no systemd-analyze here")
        done = subprocess.run([analyze, "syscall-filter"], capture_output=True, text=True,
                              timeout=60, check=False)
        sets, members = {}, []
        for line in done.stdout.splitlines():
            if line.startswith("@"):
                members = sets.setdefault(line.strip(), [])
            elif line.strip() and not line.strip().startswith("#"):
                members.append(line.strip())
        if "@system-service" not in sets:
            self.skipTest("systemd-analyze does not list its filters")

        def calls(name):
            return set().union(*(calls(m) if m.startswith("@") else {m} for m in sets[name]))
        sandbox = read(os.path.join(ROOT, "pipeline", "render_sandbox.c"))
        needed = {"seccomp", "memfd_create", "inotify_init1", "flock", "renameat2", "eventfd2"}
        needed |= set(re.findall(r"SYS_(landlock_[a-z_]+)", sandbox))
        self.assertGreaterEqual(len(needed), 8)
        for name in SERVICES:
            words = re.search(r"(?m)^SystemCallFilter=(.*)$", read(os.path.join(UNITS, name)))[1]
            allowed = calls("@default").union(*(calls(w) if w.startswith("@") else {w}
                                                for w in words.split()))
            self.assertEqual(needed - allowed, set(), name)

    def test_systemd_accepts_them(self):
        analyze = shutil.which("systemd-analyze")
        if analyze is None:
            self.skipTest("no systemd-analyze here")
        with tempfile.TemporaryDirectory() as folder:
            for name in SERVICES:
                text = re.sub(r"(?m)^ExecStart=\S+/docvl", "ExecStart=" + os.path.abspath(DOCVL),
                              read(os.path.join(UNITS, name)))
                with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
                    # pages of manuals are looked for where they are not installed yet
                    f.write(re.sub(r"(?m)^Documentation=.*\n", "", text))
            with open(os.path.join(folder, "docvl-batch@.timer"), "w", encoding="utf-8") as f:
                f.write(re.sub(r"(?m)^Documentation=.*\n", "", read(
                    os.path.join(ROOT, "configs", "systemd", "docvl-batch@.timer"))))
            paths = [os.path.join(folder, n.replace("@", "@x"))
                     for n in SERVICES + ("docvl-batch@.timer",)]
            for name in os.listdir(folder):
                os.rename(os.path.join(folder, name), os.path.join(folder, name.replace("@", "@x")))
            done = subprocess.run([analyze, "verify", *paths], capture_output=True, text=True,
                                  timeout=60, check=False)
            ours = [line for line in done.stderr.splitlines() if "docvl" in line]
            self.assertEqual(ours, [])


if __name__ == "__main__":
    unittest.main()
