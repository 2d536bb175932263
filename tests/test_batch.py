#!/usr/bin/python3
"""docvl batch and the journal's commands from outside, with the small model of
tests/data/parity: its answers are nonsense, the way that they go is the real one."""
import contextlib
import csv
import fcntl
import hashlib
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import sqlite3
import struct
import subprocess
import tempfile
import time
import unittest
import zlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "pipeline"
DOCVL = os.environ.get("DOCVL", str(BUILD / "docvl"))
ENV = {k: v for k, v in os.environ.items() if not k.startswith("DOCVL_BATCH_")}
ENV.setdefault("DOCVL_RENDER", str(BUILD / "docvl-render"))
ENV.setdefault("DOCVL_SCHEMAS", str(ROOT / "schemas"))
ENV["DOCVL_MODEL"] = str(ROOT / "tests" / "data" / "parity")
SECONDS_MAX = 240
# Nothing is required and a random model names no date: every result is ok.
EASY = """$schema: https://json-schema.org/draft/2020-12/schema
title: Note
type: object
additionalProperties: false
required: []
properties:
  day: {type: [string, "null"], x-kind: date, x-ask: date}
"""


def png(number, width=60, height=30):
    """A grey picture, different for every number."""
    rows = b"".join(b"\0" + bytes((number * 7 + y * x) % 256 for x in range(width))
                    for y in range(height))

    def chunk(kind, data):
        return (struct.pack(">I", len(data)) + kind + data +
                struct.pack(">I", zlib.crc32(kind + data)))
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def without_sanitizer(test):
    """A sanitizer wants descriptors, files and threads of its own."""
    program = pathlib.Path(DOCVL)
    code = program.read_bytes() if program.exists() else b""
    return unittest.skipIf(b"__asan_init" in code or b"__tsan_init" in code,
                           "built with a sanitizer")(test)


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="docvl-batch-")
        self.tmp = pathlib.Path(self.folder.name)
        self.inputs = self.tmp / "in"
        self.inputs.mkdir()
        self.out = self.tmp / "out"
        self.easy = self.tmp / "easy.yaml"
        self.easy.write_text(EASY)

    def tearDown(self):
        self.folder.cleanup()

    def draw(self, name, number):
        path = self.inputs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(number))
        return path

    def docvl(self, *args, env=None, code=None, **options):
        options.setdefault("stdin", subprocess.DEVNULL)
        if "input" in options:
            del options["stdin"]
        done = subprocess.run([DOCVL, *map(str, args)], env={**ENV, **(env or {})},
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=SECONDS_MAX, check=False, **options)
        done.err = done.stderr.decode("utf-8", "replace")
        done.out = done.stdout.decode("utf-8", "replace")
        self.assertGreaterEqual(done.returncode, 0, done.err)
        if code is not None:
            self.assertEqual(done.returncode, code, f"{args}\n{done.err}")
        return done

    def batch(self, *args, code=0, **options):
        return self.docvl("batch", *args, "-o", self.out, "-s", self.easy, code=code,
                          **options)

    def results(self, folder=None):
        base = folder or self.out
        return sorted(str(p.relative_to(base)) for p in base.rglob("*.json"))

    def result(self, name):
        return json.loads((self.out / name).read_bytes())

    def report(self):
        return json.loads((self.tmp / "report.json").read_bytes())


class Usage(Case):
    OPTIONS = ("-o", "--beside", "--schema", "--auto", "--labels", "--format", "--plain",
               "--recursive", "--include", "--exclude", "--from0", "--since", "--shard",
               "--limit", "--jobs", "--memory", "--max-time", "--fail-fast",
               "--max-failures", "--force", "--dry-run", "--report", "--summary",
               "--metrics-file", "--journal", "--lock", "--wait-lock", "--config")

    def test_help_names_every_option(self):
        text = self.docvl("batch", "--help", code=0).out
        for option in self.OPTIONS:
            self.assertIn(option, text)

    def test_wrong_usage_is_1(self):
        self.draw("a.png", 1)
        for args in ([self.inputs], [self.inputs, "-o", self.out, "--beside"],
                     [self.inputs, "-o", ""],
                     ["-o", self.out], [self.inputs, "-o", self.out, "--shard", "0/3"],
                     [self.inputs, "-o", self.out, "--shard", "4/3"],
                     [self.inputs, "-o", self.out, "--shard", "1/10001"],
                     [self.inputs, "-o", self.out, "-j", "65"],
                     [self.inputs, "-o", self.out, "--format", "xml"],
                     [self.inputs, "-o", self.out, "--summary", "maybe"],
                     [self.inputs, "-o", self.out, "--since", "yesterday"],
                     [self.inputs, "-o", self.out, "--memory", "much"],
                     [self.inputs, "-o", self.out, "--max-time", "long"],
                     [self.inputs, "-o", self.out, "--labels", "one"],
                     [self.inputs, "-o", self.out, "--limit", "-1"],
                     [self.inputs, "-o", self.out, "--auto", "-s", "invoice"],
                     [self.inputs, "--beside", "--format", "csv"]):
            with self.subTest(args):
                self.assertTrue(self.docvl("batch", *args, code=1).err)
        self.assertEqual(self.results(self.tmp), [])

    def test_schema_and_model(self):
        self.draw("a.png", 1)
        self.docvl("batch", self.inputs, "-o", self.out, "-s", "no-such", code=9)
        self.docvl("batch", self.inputs, "-o", self.out, "--model", self.tmp / "none", code=7)

    def test_environment(self):
        self.draw("a.png", 1)
        self.draw("b.txt", 2)
        env = {"DOCVL_BATCH_OUTPUT": str(self.out), "DOCVL_BATCH_SCHEMA": str(self.easy),
               "DOCVL_BATCH_INCLUDE": "*.txt:*.png", "DOCVL_BATCH_FORCE": "yes",
               "DOCVL_BATCH_JOBS": "2"}
        self.docvl("batch", self.inputs, env=env, code=0)
        self.assertEqual(self.results(), ["a.png.json", "b.txt.json"])
        shutil.rmtree(self.out)
        self.docvl("batch", self.inputs, "--include", "*.txt", env=env, code=0)
        self.assertEqual(self.results(), ["b.txt.json"], "the command line wins")
        for wrong in ({"DOCVL_BATCH_FORCE": "perhaps"}, {"DOCVL_BATCH_JOBS": "two"}):
            done = self.docvl("batch", self.inputs, env={**env, **wrong}, code=1)
            self.assertIn("FORCE" if "FORCE" in str(wrong) else "environment", done.err)


class Tree(Case):
    def test_mirrors_and_is_silent(self):
        self.draw("a.png", 1)
        self.draw("sub/deep/b.png", 2)
        self.draw(".hidden/c.png", 3)
        done = self.batch(self.inputs)
        self.assertEqual((done.out, done.err), ("", ""), "all is well: cron sends no mail")
        self.assertEqual(self.results(), ["a.png.json"])
        self.batch("-r", self.inputs)
        self.assertEqual(self.results(), ["a.png.json", "sub/deep/b.png.json"])
        self.assertEqual(self.result("sub/deep/b.png.json")["file"], "b.png")
        self.assertEqual([p for p in self.out.rglob("*.part")], [])

    def test_same_as_extract_whatever_the_number_of_jobs(self):
        for i in range(8):
            self.draw(f"{i}.png", i)
        self.docvl("batch", self.inputs, "-o", self.out, "-s", "receipt", "-j4", code=4)
        self.docvl("extract", *sorted(self.inputs.iterdir()), "-o", self.tmp / "one", "-s",
                   "receipt", "--threads", "2", code=4)
        for name in self.results():
            one = json.loads((self.tmp / "one" / name).read_bytes())
            many = self.result(name)
            for each in (one, many):
                each.pop("timing")
            self.assertEqual(one, many)

    def test_beside(self):
        self.draw("a.png", 1)
        self.docvl("batch", self.inputs, "--beside", "-s", self.easy, code=0,
                   env={"XDG_STATE_HOME": str(self.tmp / "state")})
        self.assertTrue((self.inputs / "a.png.json").exists())
        self.assertTrue((self.tmp / "state" / "docvl" / "journal.db").exists())

    def test_files_of_all_results(self):
        for i in range(3):
            self.draw(f"{i}.png", i)
        self.batch(self.inputs, "--format", "jsonl")
        lines = (self.out / "results.jsonl").read_text().splitlines()
        self.assertEqual([json.loads(x)["file"] for x in lines], ["0.png", "1.png", "2.png"])
        self.batch(self.inputs, "-f", "csv")
        with (self.out / "results.csv").open() as table:
            rows = list(csv.DictReader(table))
        self.assertEqual([r["file"] for r in rows], ["0.png", "1.png", "2.png"])
        shutil.rmtree(self.out)
        self.batch(self.inputs, "--plain")
        self.assertEqual(self.result("0.png.json")["fields"], {"day": None})

    def test_shards_do_not_replace_each_others_file(self):
        for i in range(8):
            self.draw(f"{i}.png", i)
        names = []
        for i in (1, 2):
            self.batch(self.inputs, "--shard", f"{i}/2", "-f", "jsonl")
        for i in (1, 2):
            path = self.out / f"results-{i}-of-2.jsonl"
            names += [json.loads(x)["file"] for x in path.read_text().splitlines()]
        self.assertEqual(sorted(names), [f"{i}.png" for i in range(8)])

    def test_file_of_all_results_has_none_of_an_earlier_content(self):
        for i in range(40):
            self.draw(f"{i:02}.png", i)
        self.batch(self.inputs)
        for i in range(40):
            self.draw(f"{i:02}.png", 100 + i)
        run = subprocess.Popen([DOCVL, "batch", self.inputs, "-o", self.out, "-s", self.easy,
                                "-j", "1", "-f", "jsonl"], env=ENV, stderr=subprocess.DEVNULL)
        first = self.result("00.png.json")["doc_id"]
        until = time.time() + 60
        while time.time() < until and self.result("00.png.json")["doc_id"] == first:
            time.sleep(0.01)
        run.send_signal(signal.SIGTERM)
        self.assertEqual(run.wait(60), 143)
        lines = (self.out / "results.jsonl").read_text().splitlines()
        self.assertTrue(0 < len(lines) < 40, "too fast to be interrupted")
        fresh = {hashlib.sha256(png(100 + i)).hexdigest() for i in range(40)}
        self.assertLessEqual({json.loads(x)["doc_id"] for x in lines}, fresh)

    def test_names_that_leave_no_room(self):
        for length in (246, 250):
            self.draw("n" * (length - 4) + ".png", length)
        self.batch(self.inputs)
        self.assertEqual([len(name) for name in self.results()], [251, 255])
        self.assertEqual([p for p in self.out.rglob(".*") if p.is_file()], [])

    def test_clash_is_told(self):
        self.draw("a/x.png", 1)
        self.draw("b/x.png", 2)
        done = self.batch(self.inputs / "a", self.inputs / "b", code=3)
        self.assertIn("its result would be", done.err)
        self.assertEqual(self.results(), ["x.png.json"])

    def test_clash_with_an_earlier_run_is_told(self):
        for folder, number in (("one", 1), ("two", 2)):
            self.draw(f"{folder}/a.png", number)
        self.batch(self.inputs / "one")
        done = self.batch(self.inputs / "two", code=3)
        self.assertIn("one/a.png", done.err)
        first = hashlib.sha256(png(1)).hexdigest()
        self.assertEqual(self.result("a.png.json")["doc_id"], first)
        self.draw("one/a.png", 3)  # the same file with other content is no clash
        self.batch(self.inputs / "one")
        (self.inputs / "one" / "a.png").unlink()
        self.batch(self.inputs / "two")
        self.assertNotEqual(self.result("a.png.json")["doc_id"], first)

    def test_output_inside_the_input_is_not_read(self):
        self.draw("a.png", 1)
        self.out = self.inputs / "out"
        self.batch("-r", self.inputs, "--include", "*")
        self.batch("-r", self.inputs, "--include", "*")
        self.assertEqual(self.results(), ["a.png.json"])

    def test_results_beside_documents_are_never_read(self):
        self.draw("a.png", 1)
        for args in (["-o", self.inputs], ["--beside", "--journal", self.tmp / "j.db"]):
            for _ in range(2):
                self.docvl("batch", self.inputs, *args, "-s", self.easy, "--include", "*", code=0)
            self.assertEqual(self.results(self.inputs), ["a.png.json"])


class Choice(Case):
    def test_include_exclude_and_names(self):
        for name in ("a.png", "B.PNG", "c.txt", "draft-d.png", "sub/e.png", "old/f.png"):
            self.draw(name, len(name) + ord(name[0]))
        self.batch("-r", self.inputs, "--exclude", "draft*", "--exclude", "old", "--report",
                   self.tmp / "report.json")
        self.assertEqual(self.results(), ["B.PNG.json", "a.png.json", "sub/e.png.json"])
        self.assertEqual(self.report()["skipped"]["name"], 2)
        self.batch("-r", self.inputs, "--include", "sub/*.png", "--include", "*.txt")
        self.assertEqual(self.results(),
                         ["B.PNG.json", "a.png.json", "c.txt.json", "sub/e.png.json"])

    def test_folders_that_are_not_entered_are_counted(self):
        self.draw("sub/a.png", 1)
        for args in ([], ["-r", "--exclude", "sub"]):
            done = self.batch(self.inputs, "--summary", "always", "--report",
                              self.tmp / "report.json", *args)
            self.assertIn("1 folders not entered", done.err)
            self.assertEqual(self.report()["skipped"]["folder"], 1)

    def test_folders_in_folders_have_a_limit(self):
        self.draw("d/" * 100 + "a.png", 1)
        self.batch("-r", self.inputs)
        self.draw("d/" * 101 + "b.png", 2)
        done = self.batch("-r", self.inputs, code=3)
        self.assertIn("more than 100 folders deep", done.err)

    def test_lists_on_stdin(self):
        a = self.draw("a\n1.png", 1)
        b = self.draw("b.png", 2)
        self.batch("--from0", "-", input=f"{a}\0{b}\0".encode())
        self.assertEqual(self.results(), ["a\n1.png.json", "b.png.json"])
        shutil.rmtree(self.out)
        self.batch("-", input=f"{b}\n\n".encode())
        self.assertEqual(self.results(), ["b.png.json"])
        self.batch("--from0", input=f"{a}".encode())
        self.assertEqual(len(self.results()), 2)

    def test_links_and_fifos_in_folders_are_skipped_and_counted(self):
        a = self.draw("a.png", 1)
        os.mkfifo(self.inputs / "pipe.png")
        (self.inputs / "link.png").symlink_to(a)
        self.batch(self.inputs, "--report", self.tmp / "report.json")
        self.assertEqual(self.results(), ["a.png.json"])
        self.assertEqual(self.report()["skipped"]["special"], 2)
        self.docvl("batch", self.inputs / "pipe.png", "-o", self.out, "-s", self.easy, code=2)
        self.docvl("batch", self.inputs / "link.png", "-o", self.tmp / "two", "-s",
                   self.easy, code=0)

    def test_since(self):
        old = self.draw("old.png", 1)
        self.draw("new.png", 2)
        os.utime(old, (time.time() - 3 * 86400,) * 2)
        self.batch(self.inputs, "--since", "2d")
        self.assertEqual(self.results(), ["new.png.json"])
        day = time.strftime("%Y-%m-%d", time.localtime(time.time() - 4 * 86400))
        self.batch(self.inputs, "--since", day)
        self.assertEqual(len(self.results()), 2)

    def test_shards_make_the_whole_and_share_nothing(self):
        for i in range(12):
            self.draw(f"{i}.png", i)
        seen = []
        for i in (1, 2, 3):
            self.out = self.tmp / f"out{i}"
            self.batch(self.inputs, "--shard", f"{i}/3")
            seen += self.results()
        self.assertEqual(sorted(seen), sorted(f"{i}.png.json" for i in range(12)))

    def test_status_of_shards(self):
        for i in range(6):
            self.draw(f"{i}.png", i)
        for i in (1, 2):
            self.batch(self.inputs, "--shard", f"{i}/2")
        status = json.loads(self.docvl("status", "--json", "-o", self.out, code=0).out)
        self.assertEqual(status["documents"]["routed"], 6)
        done = self.docvl("retry", "--all", "-o", self.out, code=1)
        self.assertIn("has 2 journals, one for each shard", done.err)
        self.docvl("retry", "--all", "--journal",
                   self.out / ".docvl" / "journal-1-of-2.db", code=0)

    def test_limit_goes_on_next_time(self):
        for i in range(5):
            self.draw(f"{i}.png", i)
        for count in (2, 4, 5):
            self.batch(self.inputs, "--limit", "2")
            self.assertEqual(len(self.results()), count)

    def test_dry_run_writes_nothing(self):
        self.draw("a.png", 1)
        done = self.batch(self.inputs, "--dry-run")
        self.assertEqual(done.out, f"new\t{self.inputs}/a.png\n")
        self.assertFalse(self.out.exists())
        self.batch(self.inputs)
        self.assertEqual(self.batch(self.inputs, "-n").out, f"done\t{self.inputs}/a.png\n")


class Once(Case):
    def inode(self, name="a.png.json"):
        return (self.out / name).stat().st_ino

    def test_nothing_is_done_twice_but_with_force(self):
        self.draw("a.png", 1)
        self.batch(self.inputs)
        first = self.inode()
        self.batch(self.inputs, "--report", self.tmp / "report.json")
        self.assertEqual((self.inode(), self.report()["counts"]["done"]), (first, 1))
        self.batch(self.inputs, "--force")
        self.assertNotEqual(self.inode(), first)

    def test_another_recipe_is_another_job(self):
        self.draw("a.png", 1)
        self.batch(self.inputs)
        self.easy.write_text(EASY.replace("title: Note", "title: Other"))
        self.batch(self.inputs, "--report", self.tmp / "report.json")
        self.assertEqual(self.report()["counts"]["ok"], 1)

    def test_changed_content_is_worked_on(self):
        self.draw("a.png", 1)
        self.batch(self.inputs)
        first = self.result("a.png.json")["doc_id"]
        self.draw("a.png", 2)
        self.batch(self.inputs)
        self.assertNotEqual(self.result("a.png.json")["doc_id"], first)

    def test_lost_result_is_made_again(self):
        self.draw("a.png", 1)
        self.batch(self.inputs)
        (self.out / "a.png.json").unlink()
        self.batch(self.inputs)
        self.assertEqual(self.results(), ["a.png.json"])

    def test_twins_are_paid_for_once(self):
        self.draw("a.png", 1)
        shutil.copy(self.inputs / "a.png", self.inputs / "b.png")
        self.batch(self.inputs, "--report", self.tmp / "report.json")
        self.assertEqual(self.report()["counts"]["ok"], 1)
        self.assertEqual(self.report()["counts"]["twin"], 1)
        twin = self.result("b.png.json")
        self.assertEqual((twin["file"], twin["twin_of"]),
                         ("b.png", str(self.inputs / "a.png")))
        (self.inputs / "a.png").unlink()
        shutil.rmtree(self.out / "b.png.json", ignore_errors=True)
        self.batch(self.inputs)
        self.assertIn("b.png.json", self.results())

    def test_result_that_another_has_replaced_is_made_again(self):
        self.draw("a.png", 1)
        other = self.tmp / "other.yaml"
        other.write_text(EASY.replace("title: Note", "title: Other"))
        self.batch(self.inputs)
        for args in (("-s", other), ("-s", self.easy, "--plain"), ("-s", other)):
            self.docvl("batch", self.inputs, "-o", self.out, *args, code=0)
        self.batch(self.inputs, "--report", self.tmp / "report.json")
        self.assertEqual(self.report()["counts"]["ok"], 1)
        self.assertEqual(self.result("a.png.json")["schema"], "easy")
        self.assertIsInstance(self.result("a.png.json")["fields"]["day"], dict)
        (self.out / "a.png.json").write_text('{"fields": {"day": "by hand"}}')
        self.batch(self.inputs)
        self.assertEqual(self.result("a.png.json"), {"fields": {"day": "by hand"}})

    def test_content_that_comes_back_under_another_name(self):
        for name, number in (("a.png", 1), ("a.png", 2), ("b.png", 1)):
            self.draw(name, number)
            self.batch(self.inputs)
        for name, number in (("a.png", 2), ("b.png", 1)):
            sha256 = hashlib.sha256(png(number)).hexdigest()
            result = self.result(f"{name}.json")
            self.assertEqual((result["file"], result["doc_id"]), (name, sha256))

    def test_renamed_file_goes_on_under_its_names(self):
        path = self.draw("a.png", 1)
        path.write_bytes(b"no picture")
        env = {"DOCVL_BACKOFF": "0,0,0,0"}
        self.batch(self.inputs, code=2, env=env)
        for old, new in (("a.png", "b.png"), ("b.png", "a.png")):
            (self.inputs / old).rename(self.inputs / new)
            done = self.batch(self.inputs, code=2, env=env)
            self.assertIn(f"{new}: neither", done.err)
            self.assertNotIn(old, done.err)

    def test_one_file_in_two_folders_of_a_line(self):
        for i in range(4):
            self.draw(f"sub/{i}.png", i)
        self.batch("-r", self.inputs, self.inputs / "sub", "--report",
                   self.tmp / "report.json")
        names = [f"{i}.png.json" for i in range(4)]
        self.assertEqual(self.results(), names + [f"sub/{name}" for name in names])
        self.assertEqual(self.report()["counts"]["ok"], 4)
        self.assertNotIn("twin_of", self.result("0.png.json"))

    def test_force_does_twins_once(self):
        first = self.draw("a.png", 1)
        second = self.draw("b.png", 1)
        self.batch(self.inputs)
        run = subprocess.Popen([DOCVL, "batch", "-", "-o", self.out, "-s", self.easy, "--force",
                                "--report", self.tmp / "report.json"], env=ENV,
                               stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        before = self.inode()
        run.stdin.write(f"{first}\n")
        run.stdin.flush()
        until = time.time() + 60
        while time.time() < until and self.inode() == before:
            time.sleep(0.01)
        time.sleep(0.2)  # the journal hears of it behind the rename
        run.stdin.write(f"{second}\n")
        run.stdin.close()
        text = run.stderr.read()
        run.stderr.close()
        self.assertEqual(run.wait(60), 0, text)
        self.assertEqual([d["fate"] for d in self.report()["documents"]], ["ok", "twin"])

    def test_lost_result_of_a_twin_elsewhere(self):
        first = self.draw("a.png", 1)
        second = self.draw("b.png", 1)
        self.batch(first)
        (self.out / "a.png.json").unlink()
        self.batch(second)
        self.assertEqual(self.results(), ["a.png.json", "b.png.json"])

    def interrupted_and_resumed(self, number):
        for i in range(40):
            self.draw(f"{i:02}.png", i)
        run = subprocess.Popen([DOCVL, "batch", self.inputs, "-o", self.out, "-s", self.easy,
                                "-j", "1"], env=ENV, stderr=subprocess.PIPE)
        until = time.time() + 60
        while time.time() < until and len(self.results()) < 3:
            time.sleep(0.01)
        run.send_signal(number)
        self.assertEqual(run.wait(60), 143, run.stderr.read())
        run.stderr.close()
        kept = {n: self.inode(n) for n in self.results()}
        self.assertLess(len(kept), 40, "too fast to be interrupted")
        status = json.loads(self.docvl("status", "--json", "-o", self.out, code=0).out)
        self.assertEqual(status["documents"]["claimed"], 0, "what was begun is given back")
        self.batch(self.inputs)
        self.assertEqual(len(self.results()), 40)
        self.assertEqual(kept, {n: self.inode(n) for n in kept})

    def test_interrupted_and_resumed(self):
        self.interrupted_and_resumed(signal.SIGTERM)

    def test_interrupted_by_the_end_of_a_terminal(self):
        self.interrupted_and_resumed(signal.SIGHUP)

    def test_begun_before_comes_last(self):
        """Else one that takes longer than --max-time keeps all others waiting for ever."""
        for i in range(9):
            self.draw(f"{i}.png", i)
        self.batch(self.inputs)
        for path in self.out.glob("*.json"):
            path.unlink()
        with contextlib.closing(sqlite3.connect(self.out / ".docvl" / "journal.db")) as db:
            db.execute("UPDATE documents SET state='settled', changed_at=added_at + (id=1)")
            db.commit()
            self.batch(self.inputs, "-j", "1")
            ended = dict(db.execute("SELECT id, changed_at FROM documents"))
        self.assertLess(max(ended[i] for i in range(2, 7)), ended[1])

    def test_two_at_once_share_the_work(self):
        for i in range(20):
            self.draw(f"{i:02}.png", i)
        line = [DOCVL, "batch", self.inputs, "-o", self.out, "-s", self.easy, "--report"]
        both = [subprocess.Popen([*line, self.tmp / f"r{k}"], env=ENV,
                                 stderr=subprocess.DEVNULL) for k in (1, 2)]
        for each in both:
            self.assertIn(each.wait(SECONDS_MAX), (0, 75))
        done = [json.loads((self.tmp / f"r{k}").read_bytes())["counts"]["ok"] for k in (1, 2)]
        self.assertEqual(sum(done), 20)
        self.assertEqual(len(self.results()), 20)


class Trouble(Case):
    def bad(self, name="bad.pdf"):
        path = self.inputs / name
        path.write_bytes(f"no document, {name}".encode())
        return path

    def test_failure_is_told_and_kept(self):
        self.draw("a.png", 1)
        self.bad()
        done = self.batch(self.inputs, "--report", self.tmp / "report.json", code=3)
        self.assertIn("bad.pdf", done.err)
        self.assertEqual(self.result("bad.pdf.json")["status"], "failed")
        report = self.report()
        self.assertEqual((report["counts"]["ok"], report["counts"]["failed"]), (1, 1))
        self.assertEqual(report["reasons"], {"unreadable": 1})
        done = self.batch(self.inputs, code=3)
        self.assertIn("failed before", done.err, "still trouble, though not tried again yet")

    def test_single_reasons(self):
        self.bad()
        self.batch(self.inputs, code=2)
        self.batch(self.tmp / "missing.pdf", code=2)

    def test_back_off_quarantine_and_release(self):
        self.bad()
        env = {"DOCVL_BACKOFF": "1,1,1,1"}
        for attempt in range(1, 6):
            self.batch(self.inputs, code=2, env=env)
            status = json.loads(self.docvl("status", "--json", "-o", self.out, code=0).out)
            self.assertEqual(status["failed"][0]["attempts"], attempt)
            time.sleep(0.01)
        self.assertEqual(status["documents"]["quarantined"], 1)
        told = self.batch(self.inputs, code=2, env=env).err
        self.assertRegex(told, r"failed before: .*bad.pdf: .* \(quarantined\)")
        listed = self.docvl("quarantine", "list", "-o", self.out, code=0).out
        self.assertIn("bad.pdf", listed)
        shown = json.loads(self.docvl("quarantine", "show", self.inputs / "bad.pdf", "-o",
                                      self.out, code=0).out)
        self.assertEqual((shown["code"], shown["attempts"]), ("unreadable", 5))
        refused = self.docvl("retry", shown["id"], "-o", self.out, code=2).err
        self.assertIn("quarantined, unreadable: ", refused)
        self.assertIn("docvl quarantine release", refused)
        self.docvl("quarantine", "release", shown["id"], "-o", self.out, code=0)
        status = json.loads(self.docvl("status", "--json", "-o", self.out, code=0).out)
        self.assertEqual(status["documents"]["settled"], 1)

    def test_forgetting_what_will_not_come_back(self):
        """Else its failure would be counted for ever."""
        self.bad()
        self.draw("good.png", 1)
        env = {"DOCVL_BACKOFF": "1,1,1,1"}
        self.batch(self.inputs, code=3, env=env)
        (self.inputs / "bad.pdf").unlink()
        forget = ("quarantine", "forget", "-o", self.out)
        self.docvl(*forget, code=1)
        told = self.docvl(*forget, self.inputs / "good.png", code=2).err
        self.assertIn("good.png: routed", told)
        self.docvl(*forget, "--all", code=0)  # it failed, but it is not given up
        status = json.loads(self.docvl("status", "--json", "-o", self.out, code=0).out)
        self.assertEqual((status["documents"]["failed"], status["reasons"]), (1, {"unreadable": 1}))
        self.docvl(*forget, self.inputs / "bad.pdf", code=0)
        status = json.loads(self.docvl("status", "--json", "-o", self.out, code=0).out)
        self.assertEqual((status["failed"], status["reasons"], status["documents"]["routed"]), ([], {}, 1))
        self.bad()
        for _ in range(5):
            self.batch(self.inputs, code=3, env=env)  # as one that is new
            time.sleep(0.01)
        self.docvl(*forget, "--all", code=0)
        rows = self.docvl("journal", "export", "-o", self.out, code=0).out.splitlines()
        self.assertEqual([json.loads(row)["state"] for row in rows], ["routed"])

    def test_waits_as_long_as_the_table_says(self):
        self.bad()
        self.batch(self.inputs, code=2)
        row = json.loads(self.docvl("journal", "export", "-o", self.out, code=0).out)
        wait = (time.mktime(time.strptime(row["next"], "%Y-%m-%dT%H:%M:%SZ")) -
                time.mktime(time.strptime(row["changed"], "%Y-%m-%dT%H:%M:%SZ")))
        self.assertLessEqual(abs(wait - 60), 1)
        self.docvl("retry", self.inputs / "bad.pdf", "-o", self.out, code=0)
        self.docvl("retry", "--all", "-o", self.out, code=0)
        self.docvl("retry", "-o", self.out, code=1)

    def test_those_that_wait_are_named_each_time(self):
        self.bad("one\nline.pdf")
        self.batch(self.inputs, code=2)
        done = self.batch(self.inputs, code=2)
        self.assertRegex(done.err, "failed before: .*one.line.pdf: neither")

    @without_sanitizer
    def test_folder_that_cannot_be_looked_at_now(self):
        self.draw("a.png", 1)
        done = self.docvl("batch", self.inputs, "-o", self.out, "-s", self.easy, code=75,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE,
                                                                (8, 8)))
        self.assertIn("Too many open files", done.err)

    @without_sanitizer
    def test_too_few_processes_are_temporary(self):
        """Root is above this limit, so that it is tried as another user."""
        self.draw("a.png", 1)
        self.out.mkdir()
        for folder in (self.tmp, self.out):
            folder.chmod(0o777)
        codes = []
        for limit in range(1, 12):
            def become(limit=limit):
                if os.getuid() == 0:
                    os.setgroups([])
                    os.setgid(65534)
                    os.setuid(65534)
                resource.setrlimit(resource.RLIMIT_NPROC, (limit, limit))
            try:
                done = self.docvl("batch", self.inputs, "-o", self.out, "-s", self.easy,
                                  "-j", "4", env={"DOCVL_STALL_MS": "1"}, preexec_fn=become)
            except (PermissionError, subprocess.SubprocessError):
                self.skipTest("that user may not run what was built here")
            self.assertNotIn("GLib-ERROR", done.err)
            codes.append(done.returncode)
        self.assertEqual(codes[0], 75)
        self.assertLessEqual(set(codes), {0, 75})

    @without_sanitizer
    def test_limit_of_a_files_size_is_an_error(self):
        self.draw("a.png", 1)
        done = self.docvl("batch", self.inputs, "-o", self.out, "-s", self.easy, code=75,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE,
                                                                (8192, 8192)))
        self.assertIn("journal", done.err)

    def test_failures_of_several_kinds(self):
        """Status 2 says of all of them that they cannot be read, whichever was the last."""
        gone = self.tmp / "gone.pdf"
        (self.tmp / "x").mkdir()
        other = self.tmp / "x" / "b.pdf"
        other.write_bytes(self.bad("b.pdf").read_bytes())
        self.batch(self.inputs, gone, code=2)
        self.batch(self.inputs, other, gone, code=3)  # its result would be the first one's

    def test_stops_at_failures(self):
        for i in range(30):
            self.bad(f"{i:02}.pdf")
        for args in (["--fail-fast"], ["--max-failures", "3"]):
            shutil.rmtree(self.out, ignore_errors=True)
            done = self.batch(self.inputs, *args, "-j", "1", "--report",
                              self.tmp / "report.json", code=3)
            self.assertIn("too many", done.err)
            self.assertLess(self.report()["counts"]["failed"], 10)
            self.assertEqual(self.report()["ended"], "failures")

    def test_decoder_that_does_not_start_is_no_documents_fault(self):
        for i in range(9):
            self.draw(f"{i}.png", i)
        broken = self.tmp / "broken"
        broken.write_text("#!/bin/sh\nexit 127\n")
        broken.chmod(0o755)
        for program in (broken, self.tmp / "no-such"):
            done = self.batch(self.inputs, code=75,
                              env={"DOCVL_RENDER": str(program), "DOCVL_STALL_MS": "1"})
            self.assertIn("start", done.err)
            status = json.loads(self.docvl("status", "--json", "-o", self.out, code=0).out)
            self.assertEqual((status["documents"]["settled"], status["failed"]), (9, []))
        self.assertEqual(self.results(), [])
        time.sleep(0.1)
        self.batch(self.inputs)

    def test_inputs_that_are_not_there_count_as_failures(self):
        self.draw("a.png", 1)
        for args, failed in ((["--fail-fast"], 1), (["--max-failures", "3"], 3)):
            names = "".join(f"no-{i}\n" for i in range(9)) + f"{self.inputs}\n"
            self.batch("-", *args, "--report", self.tmp / "report.json", code=3,
                       input=names.encode())
            counts = self.report()["counts"]
            self.assertEqual((counts["failed"], counts["ok"]), (failed, 0))
            self.assertEqual(self.report()["ended"], "failures")

    def test_max_time(self):
        for i in range(200):
            self.draw(f"{i:03}.png", i)
        done = self.batch(self.inputs, "--max-time", "1", "-j", "1", code=75)
        self.assertIn("--max-time", done.err)
        self.assertLess(len(self.results()), 200)

    def test_file_that_goes_away(self):
        for i in range(3):
            self.draw(f"{i}.png", i)
        self.batch(self.inputs, "--limit", "1")
        (self.inputs / "1.png").unlink()
        self.batch(self.inputs)
        self.assertEqual(self.results(), ["0.png.json", "2.png.json"])

    def test_memory_cap_lets_one_go_on(self):
        for i in range(3):
            self.draw(f"{i}.png", i)
        self.batch(self.inputs, "--memory", "1MiB", "-j", "3")
        self.assertEqual(len(self.results()), 3)

    def test_journal_that_is_none(self):
        self.draw("a.png", 1)
        (self.tmp / "j").write_text("this is not a database, but long enough to be read" * 20)
        self.batch(self.inputs, "--journal", self.tmp / "j", code=1)
        self.docvl("status", "--journal", self.tmp / "none", code=2)
        subprocess.run(["/usr/bin/python3", "-c", "import sqlite3, sys; c = sqlite3.connect("
                        "sys.argv[1]); c.execute('create table t(x)'); c.commit()",
                        self.tmp / "other"], check=True)
        done = self.batch(self.inputs, "--journal", self.tmp / "other", code=1)
        self.assertIn("not docvl's", done.err)


class Unattended(Case):
    def test_lock(self):
        self.draw("a.png", 1)
        lock = self.tmp / "lock"
        with lock.open("w") as held:
            held.write("4711\n")
            held.flush()
            fcntl.flock(held, fcntl.LOCK_EX)
            done = self.batch(self.inputs, "--lock", lock, code=75)
            self.assertIn("process 4711 holds the lock", done.err)
            started = time.time()
            self.batch(self.inputs, "--lock", lock, "--wait-lock", "1", code=75)
            self.assertGreater(time.time() - started, 0.9)
        self.batch(self.inputs, "--lock", lock)  # what a dead process left holds nobody up

    def test_closed_standard_descriptors(self):
        """What is said must not end up in a file that has got the number of stderr."""
        for i in range(4):
            (self.inputs / f"{i}.pdf").write_text(f"no document {i}")
        lock = self.tmp / "lock"

        def close():
            for fd in range(3):
                os.close(fd)
        self.batch(self.inputs, "--lock", lock, "--summary", "always", code=2, preexec_fn=close)
        self.assertRegex(lock.read_text(), r"^\d+\n$")
        for name in self.results():
            self.assertEqual(self.result(name)["status"], "failed")

    def test_summary(self):
        self.draw("a.png", 1)
        done = self.batch(self.inputs, "--summary", "always")
        self.assertRegex(done.err, r"1 document: 1 ok\ndocvl: 1 page in [0-9.]+ s, "
                                   r"[0-9.]+ pages/s")
        self.batch(self.inputs, "--force")
        done = self.docvl("batch", self.tmp / "none", "-o", self.out, "-s", self.easy,
                          "--summary", "never", code=2)
        self.assertNotIn("documents:", done.err)

    def test_metrics(self):
        self.draw("a.png", 1)
        (self.inputs / "bad.pdf").write_text("no document")
        path = self.tmp / "docvl.prom"
        self.batch(self.inputs, "--metrics-file", path, code=3)
        text = path.read_text()
        values = dict(re.findall(r"^(docvl_[a-z_]+(?:\{[^}]*\})?) ([0-9.e+]+)$", text, re.M))
        self.assertEqual(values['docvl_documents{state="routed"}'], "1")
        self.assertEqual(values['docvl_failures{reason="unreadable"}'], "1")
        self.assertEqual(values["docvl_pages_total"], "1")
        for name in ("docvl_pages_per_second", "docvl_queue_age_seconds",
                     "docvl_resident_bytes"):
            self.assertIn(name, values)
        for name in re.findall(r"^(docvl_[a-z_]+)", text, re.M):
            self.assertIn(f"# HELP {name} ", text)
            self.assertIn(f"# TYPE {name} ", text)

    def test_config(self):
        self.draw("a.png", 1)
        self.draw("sub/b.png", 2)
        config = self.tmp / "batch.yaml"
        config.write_text(f"journal: journal.db\ndefaults: {{schema: {self.easy}}}\n"
                          "batch: {from: [in], out: out, recursive: yes, lock: lock,\n"
                          "  report: report.json, exclude: [sub]}\n")
        done = self.docvl("batch", "--config", config, code=0)
        self.assertEqual(done.err, "")
        self.assertEqual(self.results(), ["a.png.json"])
        self.assertEqual(self.report()["counts"]["ok"], 1)
        self.assertTrue((self.tmp / "journal.db").exists())
        config.write_text("batch: {fron: [in]}\n")
        done = self.docvl("batch", "--config", config, code=9)
        self.assertGreater(len(done.err.splitlines()), 1)  # each mistake on a line of its own
        for line in done.err.splitlines():
            self.assertRegex(line, r"^docvl: \S*batch\.yaml:\d+:\d+: ")

    def test_routes(self):
        """Each action once, also when the line is run again and again."""
        for i in range(3):
            self.draw(f"{i}.png", i)
        config = self.tmp / "batch.yaml"
        config.write_text(
            f"journal: journal.db\ndefaults: {{schema: {self.easy}}}\n"
            "batch: {from: [in], out: out}\n"
            "routes:\n  root: archive\n  rules:\n"
            "    - name: all\n      when: {status: ok}\n      do:\n"
            "        - append: {to: list.jsonl, format: jsonl}\n"
            "        - move: 'kept/{@file}'\n")
        for _ in range(3):
            self.docvl("batch", "--config", config, code=0)
        kept = self.tmp / "archive"
        self.assertEqual(sorted(p.name for p in (kept / "kept").iterdir()),
                         ["0.png", "1.png", "2.png"])
        self.assertEqual(len((kept / "list.jsonl").read_text().splitlines()), 3)
        self.assertEqual(list(self.inputs.iterdir()), [])

    def test_source_by_any_name_of_its_folder(self):
        self.draw("a.png", 1)
        (self.tmp / "link").symlink_to("in")
        config = self.tmp / "config.yaml"
        for n, source in enumerate(("in", "link", str(self.inputs), str(self.tmp / "link"))):
            config.write_text(json.dumps({
                "journal": f"{n}.db", "defaults": {"schema": "easy.yaml"},
                "batch": {"from": ["link" if n % 2 else "in"], "out": f"out{n}"},
                "routes": {"rules": [{"name": "here", "when": {"source": source},
                                      "do": [{"copy": f"{n}.png"}]}]},
            }))
            self.docvl("batch", "--config", config, code=0)
            self.assertTrue((self.tmp / f"{n}.png").exists(), source)
            done = self.docvl("route", "--explain", config, self.tmp / "link" / "a.png", code=0)
            self.assertIn("here: taken", done.out)

    def test_duplicate_that_stays_is_told(self):
        self.draw("a.png", 1)
        config = self.tmp / "config.yaml"
        config.write_text(json.dumps({
            "journal": "j.db", "defaults": {"schema": "easy.yaml"},
            "batch": {"from": ["in"], "out": "out"},
            "routes": {"root": "kept", "rules": [], "otherwise": {"do": [{"move": "{@file}"}]}},
        }))
        self.assertEqual(self.docvl("batch", "--config", config, code=0).err, "")
        for name in ("a.png", "b.png"):
            shutil.copy(self.tmp / "kept" / "a.png", self.inputs / name)
            done = self.docvl("batch", "--config", config, code=0)
            self.assertRegex(done.err, f"{name}: done before, .*kept/a.png now; left here")
        self.assertEqual(len(list(self.inputs.iterdir())), 2)

    def test_route_of_those_given_up(self):
        """`failed` when the tries are used up, not before, and once; the rest is not touched."""
        bad = self.inputs / "bad.pdf"
        bad.write_bytes(b"%PDF-1.4 nothing more")
        self.draw("good.png", 1)
        config = self.tmp / "batch.yaml"
        config.write_text(
            f"journal: journal.db\ndefaults: {{schema: {self.easy}}}\n"
            "batch: {from: [in], out: out}\n"
            "routes:\n  root: archive\n  rules:\n"
            "    - name: all\n      when: {status: ok}\n      do: [{copy: 'kept/{@file}'}]\n"
            "  failed:\n    do:\n"
            "      - write: {to: 'lost/{@file}.json', format: json}\n"
            "      - append: {to: lost.jsonl, format: jsonl, columns: ['@file', '@status', '@doc_id']}\n"
            "      - move: 'lost/{@file}'\n")
        env, lost = {"DOCVL_BACKOFF": "1,1,1,1"}, self.tmp / "archive" / "lost"
        for _ in range(4):
            self.docvl("batch", "--config", config, env=env, code=3)
            self.assertFalse(lost.exists())
            time.sleep(0.01)
        content = bad.read_bytes()
        done = self.docvl("batch", "--config", config, env=env, code=3)
        self.assertNotIn("routes, failed", done.err)
        self.assertEqual((lost / "bad.pdf").read_bytes(), content)
        self.assertFalse(bad.exists())
        self.assertEqual(json.loads((lost / "bad.pdf.json").read_bytes())["error"]["code"],
                         "unreadable")
        self.docvl("batch", "--config", config, env=env, code=0)
        lines = (self.tmp / "archive" / "lost.jsonl").read_text().splitlines()
        self.assertEqual([json.loads(line)["@status"] for line in lines], ["failed"])
        shown = json.loads(self.docvl("quarantine", "show", lost / "bad.pdf", "--journal",
                                      self.tmp / "journal.db", code=0).out)
        self.assertEqual(shown["state"], "quarantined")
        # Released it is found where the action put it, though that is no input; given up
        # again, the same action recognises what it has left.
        self.docvl("quarantine", "release", "--all", "--journal", self.tmp / "journal.db", code=0)
        for _ in range(5):
            self.docvl("batch", "--config", config, env=env, code=3)
            time.sleep(0.01)
        self.docvl("batch", "--config", config, env=env, code=0)
        lines = (self.tmp / "archive" / "lost.jsonl").read_text().splitlines()
        self.assertEqual(len(lines), 1)
        self.assertEqual(sorted(p.name for p in lost.iterdir()), ["bad.pdf", "bad.pdf.json"])

    def test_route_of_those_given_up_that_cannot_be_done(self):
        (self.inputs / "bad.pdf").write_bytes(b"%PDF-1.4 nothing more")
        config = self.tmp / "batch.yaml"
        (self.tmp / "archive").write_text("a file where a folder is wanted")
        config.write_text(
            f"journal: journal.db\ndefaults: {{schema: {self.easy}}}\n"
            "batch: {from: [in], out: out}\n"
            "routes: {root: archive, failed: {do: [{move: 'lost/{@file}'}]}}\n")
        for _ in range(5):
            done = self.docvl("batch", "--config", config, env={"DOCVL_BACKOFF": "1,1,1,1"}, code=2)
            time.sleep(0.01)
        self.assertIn("bad.pdf: routes, failed: ", done.err)
        self.assertTrue((self.inputs / "bad.pdf").exists())

    def lost_config(self, actions):
        config = self.tmp / "batch.yaml"
        config.write_text(
            f"journal: journal.db\ndefaults: {{schema: {self.easy}}}\n"
            "batch: {from: [in], out: out}\n"
            f"routes:\n  root: archive\n  failed:\n    do:\n{actions}")
        return config

    def test_route_of_those_given_up_waits_and_goes_on(self):
        """Its actions are journaled: what is done is not done again, what is not is."""
        bad, flag = self.inputs / "bad.pdf", self.tmp / "flag"
        bad.write_bytes(b"%PDF-1.4 nothing more")
        config = self.lost_config(
            "      - append: {to: lost.jsonl, format: jsonl, columns: ['@file']}\n"
            f"      - run: {{command: [/usr/bin/test, -e, {flag}]}}\n"
            "      - move: 'lost/{@file}'\n")
        env = {"DOCVL_BACKOFF": "1,1,1,1"}
        for _ in range(5):
            done = self.docvl("--quiet", "batch", "--config", config, env=env, code=2)
            time.sleep(0.01)
        self.assertIn("bad.pdf: routes, failed: ", done.err)
        self.assertIn("tried again later", done.err)
        self.assertTrue(bad.exists())
        flag.touch()
        done = self.docvl("batch", "--config", config, env=env)
        self.assertNotIn("routes, failed", done.err)
        self.assertEqual(sorted(p.name for p in (self.tmp / "archive" / "lost").iterdir()),
                         ["bad.pdf"])
        self.docvl("batch", "--config", config, env=env, code=0)
        self.assertEqual(len((self.tmp / "archive" / "lost.jsonl").read_text().splitlines()), 1)
        shown = self.docvl("quarantine", "show", self.tmp / "archive" / "lost" / "bad.pdf",
                           "--journal", self.tmp / "journal.db", code=0).out
        self.assertEqual(json.loads(shown)["code"], "unreadable")

    def test_route_of_those_whose_worker_was_lost(self):
        bad = self.inputs / "bad.pdf"
        bad.write_bytes(b"%PDF-1.4 nothing more")
        config = self.lost_config("      - move: 'lost/{@file}'\n")
        self.docvl("batch", "--config", config, code=2)
        with contextlib.closing(sqlite3.connect(self.tmp / "journal.db")) as db, db:
            db.execute("UPDATE documents SET state='claimed', attempts=4, next_at=0,"
                       " worker='another-boot/pid/1/1'")
        done = self.docvl("batch", "--config", config)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("died or hung (quarantined)", done.err)
        self.assertEqual(sorted(p.name for p in (self.tmp / "archive" / "lost").iterdir()),
                         ["bad.pdf"])
        result = json.loads((self.out / "bad.pdf.json").read_bytes())
        self.assertEqual(result["error"]["code"], "worker_lost")
        self.docvl("batch", "--config", config, code=0)

    def test_route_that_waits_is_gone_on_with(self):
        """The file has been moved by then: no folder shows it any more."""
        self.draw("a.png", 1)
        flag = self.tmp / "flag"
        config = self.tmp / "batch.yaml"
        config.write_text(
            f"journal: journal.db\ndefaults: {{schema: {self.easy}}}\n"
            "batch: {from: [in], out: out}\n"
            "routes:\n  root: archive\n  rules:\n"
            "    - name: all\n      when: {status: ok}\n      do:\n"
            "        - move: 'kept/{@file}'\n"
            f"        - run: {{command: [/usr/bin/test, -e, {flag}]}}\n")
        done = self.docvl("--quiet", "batch", "--config", config, code=3)
        self.assertIn("routing waits", done.err)
        flag.touch()
        self.docvl("batch", "--config", config, env={"DOCVL_BACKOFF": "1"})
        self.docvl("retry", "--all", "--journal", self.tmp / "journal.db", code=0)
        self.docvl("batch", "--config", config, code=0)
        row = json.loads(self.docvl("journal", "export", "--journal",
                                    self.tmp / "journal.db", code=0).out)
        self.assertEqual(row["state"], "routed")


class Journal(Case):
    def test_export_and_prune(self):
        for i in range(3):
            self.draw(f"{i}.png", i)
        self.batch(self.inputs)
        rows = self.docvl("journal", "export", "-o", self.out, code=0).out.splitlines()
        self.assertEqual({json.loads(r)["state"] for r in rows}, {"routed"})
        self.docvl("journal", "prune", "-o", self.out, code=1)
        self.docvl("journal", "prune", "--older-than", "1d", "-o", self.out, code=0)
        self.assertEqual(len(self.docvl("journal", "export", "-o", self.out).out), sum(
            len(r) + 1 for r in rows))
        time.sleep(0.01)
        self.docvl("journal", "prune", "--older-than", "0", "-o", self.out, code=0)
        self.assertEqual(self.docvl("journal", "export", "-o", self.out, code=0).out, "")

    def test_status_for_people(self):
        self.draw("a.png", 1)
        (self.inputs / "bad.pdf").write_text("no document")
        self.batch(self.inputs, code=3)
        text = self.docvl("status", "-o", self.out, code=0).out
        self.assertRegex(text, r"routed +1")
        self.assertRegex(text, r"failed \(1 tries, next .*unreadable")
        self.docvl("status", "--journal", self.out / ".docvl" / "journal.db", "--lane",
                   "elsewhere", code=0)
        done = self.docvl("status", self.out / ".docvl" / "journal.db", code=1)
        self.assertIn("--journal", done.err)
        for args in (["quarantine"], ["quarantine", "show"], ["journal"],
                     ["journal", "burn"], ["retry"]):
            self.docvl(*args, "-o", self.out, code=1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
