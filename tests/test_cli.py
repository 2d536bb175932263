#!/usr/bin/python3
"""The command line from outside: commands, exit statuses, what goes where.

Runs the real programs on real files.  $DOCVL, $DOCVL_RENDER, $DOCVL_MODEL and
$DOCVL_SCHEMAS say where they are; without them build/ is used.
"""
import csv
import io
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "pipeline"
ENV = dict(os.environ)
ENV.setdefault("DOCVL_RENDER", str(BUILD / "docvl-render"))
ENV.setdefault("DOCVL_MODEL", str(ROOT / "model" / "nano"))
ENV.setdefault("DOCVL_SCHEMAS", str(ROOT / "schemas"))
DOCVL = os.environ.get("DOCVL", str(BUILD / "docvl"))
SAMPLES = pathlib.Path(os.environ.get("DOCVL_SAMPLES", ROOT / "samples"))
RECEIPT = SAMPLES / "receipt-it.png"
INVOICE = SAMPLES / "invoice-en.pdf"
DONE = (0, 4)  # ok, or to be looked at by a person: both are results
SECONDS_MAX = 240


def docvl(*args, env=None, **options):
    """Run docvl; fails on anything that looks like a crash."""
    options.setdefault("stdin", subprocess.DEVNULL)
    if "input" in options:
        del options["stdin"]
    if "stdout" not in options:
        options["stdout"] = subprocess.PIPE
    done = subprocess.run([DOCVL, *map(str, args)], env={**ENV, **(env or {})},
                          stderr=subprocess.PIPE, timeout=SECONDS_MAX, check=False, **options)
    done.err = done.stderr.decode("utf-8", "replace")
    done.out = (done.stdout or b"").decode("utf-8")
    if done.returncode < 0 or "Sanitizer" in done.err or "Assertion" in done.err:
        raise AssertionError(f"docvl {args}: {done.returncode}\n{done.err}")
    return done


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.tmp = pathlib.Path(cls.folder.name)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def file(self, name, data):
        path = self.tmp / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    def expect(self, code, *args, says=None, **options):
        """Exit status; a failure writes nothing but valid JSON to stdout, one reason
        to stderr and no machine noise."""
        done = docvl(*args, **options)
        codes = code if isinstance(code, tuple) else (code,)
        self.assertIn(done.returncode, codes, f"docvl {args}\n{done.err}")
        if done.returncode not in DONE:
            self.assertTrue(done.err.strip(), f"docvl {args}: failed without a reason")
        if says is not None:
            self.assertIn(says, done.err)
        return done


class Help(Case):
    COMMANDS = ("extract", "read", "classify", "schema", "config", "model", "doctor")

    def test_version(self):
        done = self.expect(0, "--version")
        self.assertRegex(done.out, r"^docvl [0-9]+\.[0-9]+\.[0-9]+\n")
        self.assertEqual(done.err, "")

    def test_help(self):
        done = self.expect(0, "--help")
        for command in self.COMMANDS:
            self.assertIn(command, done.out)
        self.assertEqual(done.err, "")

    def test_help_of_each_command(self):
        for command in self.COMMANDS:
            with self.subTest(command):
                done = self.expect(0, command, "--help")
                self.assertIn(command, done.out)

    def test_extract_help_has_every_option(self):
        out = self.expect(0, "extract", "--help").out
        for option in ("--schema", "--auto", "-o", "--format", "--plain", "--text",
                       "--password"):
            self.assertIn(option, out)


class Usage(Case):
    def test_wrong_usage_is_1(self):
        for args in ([], ["frobnicate"], ["extract"], ["extract", "--no-such-option", RECEIPT],
                     ["extract", "--schema"], ["extract", RECEIPT, "--format", "xml"],
                     ["extract", RECEIPT, "--text", "perhaps"], ["--threads", "0x", "doctor"],
                     ["--threads", "-1", "doctor"], ["read"], ["classify"], ["schema"],
                     ["schema", "frobnicate"], ["schema", "show"], ["schema", "check"],
                     ["model"], ["model", "frobnicate"], ["config"], ["config", "frobnicate"],
                     ["doctor", "more"], ["--max-pages", "0", "read", RECEIPT],
                     ["--max-pages", "many", "read", RECEIPT], ["read", RECEIPT, "--max-bytes"],
                     ["--max-bytes", "5GiB", "read", RECEIPT],
                     ["--max-seconds", "86401", "read", RECEIPT]):
            with self.subTest(args):
                done = self.expect(1, *args)
                self.assertEqual(done.out, "")


class Unreadable(Case):
    def test_missing_file(self):
        done = self.expect(2, "extract", self.tmp / "no-such.pdf", "--schema", "invoice",
                           says="no-such.pdf")
        self.assertNotIn("{", done.err)

    def test_unreadable_inputs(self):
        png = RECEIPT.read_bytes()
        pdf = INVOICE.read_bytes()
        for name, data in (("garbage.pdf", bytes(range(256)) * 40), ("empty.pdf", b""),
                           ("one.png", b"\x89"), ("cut.png", png[:200]),
                           ("head.pdf", b"%PDF-1.7\n"), ("cut.tif", b"II*\0\xff\xff\xff\xff"),
                           ("cut.jpg", b"\xff\xd8\xff\xe0\0\x10JFIF"),
                           ("text.pdf", b"just words\n"), ("cut.pdf", pdf[:400])):
            with self.subTest(name):
                path = self.file(name, data)
                for command in (["extract", "--schema", "invoice"], ["read"], ["classify"]):
                    self.expect(2, *command, path, says=name)

    def test_folder_and_fifo(self):
        self.expect(2, "extract", self.tmp, "--schema", "invoice")

    def test_name_with_control_characters(self):
        done = self.expect(2, "read", self.tmp / "a\x1b[31m\nb.pdf")
        self.assertNotIn("\x1b", done.err)

    def test_content_decides_not_the_name(self):
        path = self.file("really-a-png.pdf", RECEIPT.read_bytes())
        self.expect(DONE, "extract", path, "--schema", "receipt")


class Damaged(Case):
    """A picture of which a part is missing is read as far as it goes, and says so."""

    def test_cut_jpeg(self):
        whole = (SAMPLES / "receipt-photo.jpg").read_bytes()
        path = self.file("cut-late.jpg", whole[:len(whole) * 2 // 3])
        done = self.expect(4, "read", path, says="cut-late.jpg: page 1")
        self.assertTrue(done.out.strip())
        out = self.tmp / "damaged"
        self.expect(4, "extract", "--schema", "receipt", "-o", out, path, says="damaged")
        result = json.loads((out / "cut-late.jpg.json").read_text("utf-8"))
        self.assertEqual((result["status"], result["damaged_page"]), ("review", 1))


class Encrypted(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if shutil.which("qpdf") is None:
            raise unittest.SkipTest("qpdf is not installed")
        cls.locked, cls.open = cls.tmp / "locked.pdf", cls.tmp / "open.pdf"
        for path, user in ((cls.locked, "s3cret"), (cls.open, "")):
            subprocess.run(["qpdf", "--encrypt", user, "owner", "256", "--", INVOICE, path],
                           check=True)

    def test_without_password(self):
        done = self.expect(8, "extract", self.locked, "--schema", "invoice",
                           says="locked.pdf")
        self.assertNotIn("owner", done.err)
        for command in ("read", "classify"):
            self.expect(8, command, self.locked, says="locked.pdf")

    def test_wrong_password(self):
        done = self.expect(8, "extract", self.locked, "--schema", "invoice",
                           "--password", "wr0ng")
        self.assertNotIn("wr0ng", done.err)

    def test_right_password(self):
        self.expect(DONE, "extract", self.locked, "--schema", "invoice",
                    "--password", "s3cret")

    def test_empty_user_password(self):
        self.expect(DONE, "extract", self.open, "--schema", "invoice")


class Schemas(Case):
    def test_list(self):
        out = self.expect(0, "schema", "list").out
        for name in ("invoice", "receipt", "form"):
            self.assertRegex(out, rf"(?m)^\W*{name}\b")

    def test_show(self):
        for name in ("invoice", "receipt", "form"):
            with self.subTest(name):
                self.assertIn(name, self.expect(0, "schema", "show", name).out)
        self.expect(9, "schema", "show", "no-such-schema", says="no-such-schema")

    def test_check(self):
        good = self.file("good.yaml", "invoice_number: text!\nissue_date: date!\n")
        self.expect(0, "schema", "check", good)
        for name in ("invoice", "receipt", "form"):
            self.expect(0, "schema", "check", ROOT / "schemas" / f"{name}.yaml")
        self.expect((2, 9), "schema", "check", self.tmp / "missing.yaml")

    def test_bad_schemas(self):
        deep = "a: " + "[" * 200 + "]" * 200 + "\n"
        for name, text in (
                ("broken.yaml", "a: [\n"), ("alias.yaml", "a: &x {b: text}\nc: *x\n"),
                ("list.yaml", "- 1\n- 2\n"), ("empty.yaml", ""), ("deep.yaml", deep),
                ("twice.json", '{"type":"object","type":"object"}'),
                ("kind.yaml", "invoice_number: no-such-kind\n"),
                ("type.json", '{"type":"object","properties":{"a":{"type":"widget"}}}'),
                ("not.json", '{"type":"object","properties":{"a":{"not":{"type":"null"}}}}')):
            with self.subTest(name):
                path = self.file(name, text)
                self.expect(9, "schema", "check", path, says=name)
                self.expect(9, "extract", RECEIPT, "--schema", path)

    def test_unenforceable_keyword_is_named(self):
        path = self.file("pointer.json",
                         '{"type":"object","properties":{"a":{"not":{"type":"null"}}}}')
        self.expect(9, "schema", "check", path, says="/properties/a/not")

    def test_unknown_name(self):
        self.expect(9, "extract", RECEIPT, "--schema", "no-such-schema",
                    says="no-such-schema")

    def test_own_schema(self):
        path = self.file("mine.yaml", "total: amount!\ndate: date\n")
        done = self.expect(DONE, "extract", RECEIPT, "--schema", path)
        self.assertEqual(set(json.loads(done.out)["fields"]), {"total", "date"})


class Model(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.source = pathlib.Path(ENV["DOCVL_MODEL"])

    def copy(self, name, changed, data):
        """A model folder of links in which one file is different (None: not there)."""
        folder = self.tmp / name
        folder.mkdir()
        for path in self.source.iterdir():
            if path.name != changed:
                (folder / path.name).symlink_to(path.resolve())
        if data is not None:
            (folder / changed).write_bytes(data)
        return folder

    def weights(self):
        return next(self.source.glob("*.safetensors")).name

    def test_missing(self):
        gone = self.tmp / "no-model"
        self.expect(7, "--model", gone, "extract", RECEIPT, "--schema", "receipt",
                    says="no-model")
        self.expect(7, "model", "info", env={"DOCVL_MODEL": str(gone)})
        for command in ("read", "classify"):
            self.expect(7, command, INVOICE, env={"DOCVL_MODEL": str(gone)}, says="no-model")
        for name in ("config.json", "tokenizer.json", self.weights()):
            with self.subTest(name):
                folder = self.copy(f"without-{name}", name, None)
                self.expect(7, "--model", folder, "model", "info")

    def test_damaged(self):
        weights = self.weights()
        whole = (self.source / weights).read_bytes()
        cases = {
            "cut": (weights, whole[:len(whole) // 2]), "stub": (weights, whole[:7]),
            "empty": (weights, b""), "huge-header": (weights, b"\xff" * 8 + whole[8:4096]),
            "header": (weights, whole[:8] + b"[" + whole[9:]),
            "config": ("config.json", b'{"model_type":'),
            "other-config": ("config.json", b'{"model_type":"no_such_model"}'),
            "tokenizer": ("tokenizer.json", b"{}"),
        }
        for what, (name, data) in cases.items():
            with self.subTest(what):
                folder = self.copy(f"damaged-{what}", name, data)
                done = self.expect(7, "--model", folder, "extract", RECEIPT, "--schema",
                                   "receipt")
                self.assertEqual(done.out, "")

    def test_option_wins_over_environment(self):
        self.expect(0, "--model", self.source, "model", "info",
                    env={"DOCVL_MODEL": "/nonexistent"})

    def test_info(self):
        out = self.expect(0, "model", "info").out
        self.assertRegex(out, r"[0-9a-f]{64}")
        self.assertRegex(out, r"[0-9]")

    def test_doctor(self):
        out = self.expect(0, "doctor").out
        self.assertRegex(out, r"(?i)scalar|avx2|avx512")
        self.assertNotIn("\x1b", out)
        facts = dict(line.split(None, 1) for line in out.splitlines())
        self.assertRegex(facts["hash"], r"^[0-9a-f]{64}$")
        self.assertRegex(facts["sandbox"], r"seccomp.*Landlock")
        self.assertRegex(facts["decoders"], r"Poppler \d+.*libtiff \d+.*libpng \d+")
        self.assertRegex(facts["blas"], r"GFLOPS")
        self.assertRegex(facts["reading"], r"^\d+\.\d s ")
        self.expect(7, "doctor", env={"DOCVL_MODEL": "/nonexistent"})
        done = self.expect(1, "doctor", env={"DOCVL_RENDER": "/nonexistent",
                                             "DOCVL_MODEL": "/nonexistent"})
        self.assertIn("cannot start /nonexistent", done.out)


class Output(Case):
    def test_stdout_is_one_result_and_nothing_else(self):
        done = self.expect(DONE, "extract", RECEIPT, "--schema", "receipt")
        result = json.loads(done.out)
        self.assertEqual(result["schema"], "receipt")
        self.assertEqual({"ok": 0, "review": 4}[result["status"]], done.returncode)

    def test_same_bytes_twice(self):
        def stable():
            result = json.loads(docvl("extract", RECEIPT, "--schema", "receipt").out)
            result.pop("timing")
            return result
        self.assertEqual(stable(), stable())

    def test_threads_change_nothing(self):
        values = [json.loads(docvl("--threads", n, "extract", RECEIPT, "--schema", "receipt",
                                   "--plain").out)["fields"] for n in (1, 2)]
        self.assertEqual(values[0], values[1])

    def test_folder(self):
        out = self.tmp / "out"
        done = self.expect((*DONE, 3), "extract", RECEIPT, INVOICE, "--schema", "receipt",
                           "-o", out)
        self.assertEqual(done.out, "")
        self.assertEqual(sorted(p.name for p in out.iterdir()),
                         ["invoice-en.pdf.json", "receipt-it.png.json"])
        for path in out.iterdir():
            self.assertIn("fields", json.loads(path.read_text("utf-8")))

    def test_folder_cannot_be_made(self):
        wall = self.file("wall", "")
        self.expect((1, 75), "extract", RECEIPT, "--schema", "receipt", "-o", wall / "x")

    def test_stdout_full(self):
        with open("/dev/full", "wb") as full:
            done = docvl("extract", RECEIPT, "--schema", "receipt", stdout=full)
        self.assertIn(done.returncode, (1, 75))

    def test_closed_pipe(self):
        read_end, write_end = os.pipe()
        os.close(read_end)
        with os.fdopen(write_end, "wb") as pipe:
            process = subprocess.run([DOCVL, "extract", str(RECEIPT), "--schema", "receipt"],
                                     env=ENV, stdout=pipe, stderr=subprocess.PIPE,
                                     timeout=SECONDS_MAX, check=False)
        self.assertNotIn(process.returncode, (0, -signal.SIGSEGV, -signal.SIGABRT))

    def test_jsonl(self):
        done = self.expect((*DONE, 3), "extract", RECEIPT, SAMPLES / "receipt-pl.png",
                           "--schema", "receipt", "--format", "jsonl")
        lines = done.out.splitlines()
        self.assertEqual(len(lines), 2)
        for line in lines:
            self.assertEqual(json.loads(line)["schema"], "receipt")

    def test_csv(self):
        done = self.expect((*DONE, 3), "extract", RECEIPT, SAMPLES / "receipt-pl.png",
                           "--schema", "receipt", "--format", "csv")
        rows = list(csv.DictReader(io.StringIO(done.out, newline=""), strict=True))
        self.assertEqual(len(rows), 2)
        for row in rows:
            self.assertNotIn(None, row, "more cells than columns")
            self.assertNotIn(None, row.values(), "fewer cells than columns")

    def test_plain(self):
        done = self.expect(DONE, "extract", RECEIPT, "--schema", "receipt", "--plain")

        def walk(node):
            if isinstance(node, dict):
                self.assertFalse({"value", "source", "confidence"} <= set(node))
                node = list(node.values())
            if isinstance(node, list):
                for child in node:
                    walk(child)
        walk(json.loads(done.out))

    def test_text_modes(self):
        for mode in ("auto", "always", "never"):
            with self.subTest(mode):
                done = self.expect(DONE, "extract", INVOICE, "--schema", "invoice", "--text",
                                   mode)
                sources = set(re.findall(r'"source": ?"(\w+)"', done.out))
                self.assertNotIn({"always": "vlm", "never": "text", "auto": "user"}[mode],
                                 sources)

    def test_auto(self):
        result = json.loads(self.expect(DONE, "extract", INVOICE, "--auto").out)
        self.assertIn("class", result)


class Inputs(Case):
    def test_stdin(self):
        done = self.expect(DONE, "extract", "-", "--schema", "receipt",
                           input=RECEIPT.read_bytes())
        from_file = json.loads(docvl("extract", RECEIPT, "--schema", "receipt").out)
        self.assertEqual(json.loads(done.out)["doc_id"], from_file["doc_id"])

    def test_stdin_empty(self):
        self.expect(2, "extract", "-", "--schema", "receipt", input=b"")

    def test_some_failed(self):
        bad = self.file("bad.pdf", "nothing\n")
        out = self.tmp / "some"
        self.expect(3, "extract", bad, RECEIPT, "--schema", "receipt", "-o", out,
                    says="bad.pdf")
        self.assertTrue((out / "receipt-it.png.json").is_file())
        for command in ("read", "classify"):
            done = self.expect(3, command, bad, INVOICE, says="bad.pdf")
            self.assertTrue(done.out.strip())

    def test_file_named_like_an_option(self):
        path = self.tmp / "--plain"
        path.write_bytes(RECEIPT.read_bytes())
        self.expect(DONE, "extract", "--schema", "receipt", "--", "--plain", cwd=self.tmp)

    def test_review_is_4(self):
        """No total can be on an empty page, so a required one is missing."""
        schema = self.file("needs.yaml", "total: amount!\n")
        page = blank_png(400, 560)
        done = self.expect(4, "extract", self.file("blank.png", page), "--schema", schema)
        result = json.loads(done.out)
        self.assertEqual(result["status"], "review")
        self.assertIsNone(result["fields"]["total"]["value"])


def blank_png(width, height):
    import struct
    import zlib

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))
    rows = (b"\0" + b"\xff" * width) * height
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0,
                                                                0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


class Reading(Case):
    def test_text_layer(self):
        out = self.expect(0, "read", INVOICE).out
        for word in ("Larkmoor", "INV-2026-0418", "909.20"):
            self.assertIn(word, out)

    def test_picture(self):
        out = self.expect(0, "read", RECEIPT).out
        self.assertTrue(out.strip())
        self.assertIn("25", out)

    def test_boxes(self):
        out = self.expect(0, "read", "--boxes", INVOICE).out
        self.assertIn("Larkmoor", out)
        self.assertGreater(len(re.findall(r"0?\.\d+|\d+", out)), 40)

    def test_classify(self):
        out = self.expect((0, 4), "classify", INVOICE, "--labels", "invoice,receipt,form").out
        self.assertRegex(out, r"\b(invoice|receipt|form)\b")

    def test_classify_scores(self):
        """Labels of the user, one of them "other": all have a share, and the shares make one."""
        for labels, best in (("Rechnung,Lieferschein,other", "Rechnung"), ("apples,pears", None)):
            with self.subTest(labels):
                out = self.expect((0, 4), "classify", SAMPLES / "invoice-de.pdf", "--labels", labels).out
                got = json.loads(out)["class"]
                shares = {row["label"]: row["confidence"] for row in [got, *got["alternatives"]]}
                self.assertEqual(set(shares), set(labels.split(",")))
                self.assertAlmostEqual(sum(shares.values()), 1, places=4)
                self.assertEqual(got["confidence"], max(shares.values()))
                self.assertIn(got["label"], [best] if best else labels.split(","))


class Logs(Case):
    def test_json_lines(self):
        done = self.expect(2, "--json", "extract", self.tmp / "no-such.pdf", "--schema",
                           "invoice")
        lines = done.err.splitlines()
        self.assertTrue(lines)
        for line in lines:
            self.assertLessEqual({"level", "time", "message"}, set(json.loads(line)))

    def test_quiet_keeps_errors(self):
        self.expect(2, "--quiet", "read", self.tmp / "no-such.pdf", says="no-such.pdf")
        done = self.expect(DONE, "--quiet", "extract", RECEIPT, "--schema", "receipt")
        self.assertEqual(done.err, "")

    def test_progress(self):
        """Pages and the time left, on a terminal and nowhere else."""
        args = ["classify", str(INVOICE), str(SAMPLES / "invoice-de.pdf")]
        text = self.on_terminal(args, {})
        self.assertRegex(text, r"\r\x1b\[K\[1/2\] .*page 1 of ")
        self.assertRegex(text, r"\[2/2\] .*about \d+ s left")
        for options, env in (([], {"TERM": "dumb"}), (["--quiet"], {}), (["--json"], {})):
            with self.subTest(options or env):
                self.assertNotIn("\x1b", self.on_terminal([*options, *args], env))
        self.assertEqual(self.expect(0, *args).err, "")

    def test_no_colour(self):
        """Neither into a pipe nor, with NO_COLOR, onto a terminal."""
        done = self.expect(2, "read", self.tmp / "no-such.pdf")
        self.assertNotIn("\x1b", done.err)
        text = self.on_terminal(["read", str(self.tmp / "no-such.pdf")], {"NO_COLOR": "1"})
        self.assertNotIn("\x1b[3", text)
        self.assertIn("no-such.pdf", text)
        text = self.on_terminal(["read", str(self.tmp / "no-such.pdf")], {"NO_COLOR": ""})
        self.assertIn("\x1b[31m", text)

    @staticmethod
    def on_terminal(args, env):
        outer, inner = os.openpty()
        process = subprocess.Popen([DOCVL, *args], env={**ENV, "TERM": "xterm", **env},
                                   stdin=subprocess.DEVNULL, stdout=inner, stderr=inner)
        os.close(inner)
        text = b""
        try:
            while data := os.read(outer, 4096):
                text += data
        except OSError:
            pass  # the terminal of a process that ended reads as EIO
        process.wait(SECONDS_MAX)
        os.close(outer)
        return text.decode("utf-8", "replace")

    def test_no_document_text_in_errors(self):
        path = self.file("private.pdf", b"%PDF-1.4\nVerySecretWord 12345\n")
        self.assertNotIn("VerySecretWord", self.expect(2, "read", path).err)


class Signals(Case):
    """Interrupted while it waits for stdin, and in the middle of work."""

    @staticmethod
    def handles(pid, number):
        """Whether the process catches, or blocks and reads, this signal."""
        status = pathlib.Path(f"/proc/{pid}/status").read_text("ascii", "replace")
        return any(int(mask, 16) >> (number - 1) & 1
                   for mask in re.findall(r"(?m)^Sig(?:Cgt|Blk):\s*(\w+)", status))

    def start(self, *args):
        process = subprocess.Popen([DOCVL, *map(str, args)], env=ENV, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(self.reap, process)
        return process

    @staticmethod
    def reap(process):
        if process.poll() is None:
            process.kill()
        for stream in (process.stdin, process.stdout, process.stderr):
            stream.close()
        process.wait()

    def interrupt(self, process, number, pause):
        end = time.monotonic() + 30
        while not self.handles(process.pid, number):
            self.assertIsNone(process.poll(), "ended before it could be interrupted")
            self.assertLess(time.monotonic(), end, "never prepares for the signal")
            time.sleep(0.02)
        time.sleep(pause)
        process.send_signal(number)
        begin = time.monotonic()
        process.wait(60)
        self.assertLess(time.monotonic() - begin, 20, "slow to stop")
        return process.returncode

    def test_while_waiting(self):
        for command in (["extract", "--schema", "invoice"], ["read"], ["classify"]):
            for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
                with self.subTest((command, number)):
                    process = self.start(*command, "-")
                    self.assertEqual(self.interrupt(process, number, 0.3), code)

    def test_while_working(self):
        out = self.tmp / "stopped"
        many = [self.tmp / f"{i}.pdf" for i in range(40)]
        for path in many:
            shutil.copy(SAMPLES / "invoice-scan.pdf", path)
        process = self.start("extract", *many, "--schema", "invoice", "-o", out)
        self.assertEqual(self.interrupt(process, signal.SIGTERM, 1.0), 143)
        for path in out.glob("*") if out.is_dir() else ():
            self.assertEqual(path.suffix, ".json", "a partial file was left")
            json.loads(path.read_text("utf-8"))


class Limits(Case):
    def test_default_of_pages(self):
        """One page too many is an error that names the limit, not a cut.  (500 pages are
        read in the test of the worker, where a page costs no model.)"""
        pages = self.file("pages.pdf", many_pages(501))
        self.expect(2, "read", pages, says="500")

    def test_pages(self):
        """The longest sample has a text layer: no model is needed to read it."""
        path = SAMPLES / "invoice-long.pdf"
        count = self.expect(0, "read", path).out.count("\f") + 1
        self.assertGreater(count, 1)
        self.expect(0, "--max-pages", count, "read", path)
        for command in (["read"], ["classify"], ["extract", "--schema", "invoice"]):
            self.expect(2, *command, "--max-pages", count - 1, path,
                        says=f"limit {count - 1}")

    def test_bytes(self):
        size = INVOICE.stat().st_size
        self.expect(0, "--max-bytes", size, "read", INVOICE)
        self.expect(2, "--max-bytes", size - 1, "read", INVOICE, says=f"{size - 1} bytes")
        self.expect(2, "--max-bytes", size - 1, "read", "-", input=INVOICE.read_bytes(),
                    says=f"{size - 1} bytes")
        self.expect(0, "--max-bytes", "1MiB", "read", INVOICE)
        self.expect(2, "--max-bytes", "1KiB", "read", INVOICE, says="1024 bytes")

    def test_pixels(self):
        page = self.file("small.png", blank_png(40, 30))
        self.expect(0, "--max-pixels", 1200, "read", page)
        self.expect(2, "--max-pixels", 1199, "read", page, says="1199")

    def test_seconds(self):
        """Input that comes in time, and input that does not come."""
        self.expect(0, "--max-seconds", 30, "read", "-", input=INVOICE.read_bytes())
        read_end, write_end = os.pipe()
        try:
            begin = time.monotonic()
            self.expect(2, "--max-seconds", 1, "read", "-", stdin=read_end, says="in 1 s")
            self.assertLess(time.monotonic() - begin, 60)
        finally:
            os.close(read_end)
            os.close(write_end)

    def test_variables(self):
        size = INVOICE.stat().st_size
        env = {"DOCVL_MAX_BYTES": str(size - 1)}
        self.expect(2, "read", INVOICE, env=env, says=f"{size - 1} bytes")
        self.expect(0, "--max-bytes", size, "read", INVOICE, env=env)
        self.expect(1, "read", INVOICE, env={"DOCVL_MAX_PAGES": "-1"}, says="DOCVL_MAX_PAGES")

    def test_few_descriptors(self):
        """Whatever is missing, it says so; and for some counts that is "try again"."""
        def limited(count):
            return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))
        codes = [docvl("read", RECEIPT, preexec_fn=limited(n)).returncode
                 for n in range(5, 25)]
        self.assertLessEqual(set(codes), {0, 1, 75, 127}, codes)
        self.assertIn(75, codes)
        few = max(n for n, code in zip(range(5, 25), codes) if code == 75)
        for command in (["classify"], ["extract", "--schema", "receipt"]):
            self.expect(75, *command, RECEIPT, preexec_fn=limited(few))

    def test_render_missing(self):
        self.expect((1, 75), "read", RECEIPT, env={"DOCVL_RENDER": "/nonexistent"})


def many_pages(count):
    """A PDF of empty pages, written by hand."""
    kids = " ".join(f"{i + 3} 0 R" for i in range(count))
    objects = ["<</Type/Catalog/Pages 2 0 R>>", f"<</Type/Pages/Count {count}/Kids[{kids}]>>"]
    objects += ["<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]>>"] * count
    out, places = b"%PDF-1.4\n", []
    for i, body in enumerate(objects):
        places.append(len(out))
        out += f"{i + 1} 0 obj{body}endobj\n".encode()
    table = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n"
    table += "".join(f"{place:010d} 00000 n \n" for place in places)
    tail = f"trailer<</Size {len(objects) + 1}/Root 1 0 R>>\nstartxref\n{len(out)}\n%%EOF\n"
    return out + (table + tail).encode()


if __name__ == "__main__":
    unittest.main(verbosity=2)
