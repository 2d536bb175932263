#!/usr/bin/python3
"""Every option of every command is also a variable, and a wrong value there is told.

The options are those that --help shows: one that is added without its variable fails here.
"""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "pipeline"
ENV = {k: v for k, v in os.environ.items() if not k.startswith("DOCVL_") and k != "STATE_DIRECTORY"}
for kept, usual in (("DOCVL_RENDER", BUILD / "docvl-render"),
                    ("DOCVL_SCHEMAS", ROOT / "schemas")):
    ENV[kept] = os.environ.get(kept, str(usual))
DOCVL = os.environ.get("DOCVL", str(BUILD / "docvl"))
PARITY = str(ROOT / "tests" / "data" / "parity")
INVOICE = ROOT / "samples" / "invoice-en.pdf"
GONE = "/nonexistent/name"
# What each command is given; none gets as far as a model, which is not there.
COMMANDS = {
    "extract": ["extract", INVOICE], "read": ["read", INVOICE],
    "classify": ["classify", INVOICE], "batch": ["batch", INVOICE, "-o", "OUT"],
    "status": ["status", "--journal", GONE], "retry": ["retry", "1", "--journal", GONE],
    "quarantine": ["quarantine", "list", "--journal", GONE],
    "journal": ["journal", "prune", "--older-than", "1d", "--journal", GONE],
    "route": ["route", "CONFIG", "x.json", "y.json"],
}
WITHOUT_OPTIONS = ("schema", "watch", "config", "model", "doctor")
# Values that are refused.  Not UTF-8 is refused where nothing else is.
WRONG = {
    "format": "xml", "labels": "one", "threads": "many", "text": "perhaps", "jobs": "999",
    "since": "soon", "shard": "3/2", "limit": "-1", "memory": "much", "max-time": "long",
    "max-failures": "-1", "summary": "maybe", "wait-lock": "long", "older-than": "old",
    "max-pages": "0", "max-bytes": "-1", "max-pixels": "x", "max-seconds": "1e3",
    "lane": b"\xff", "include": b"\xff", "exclude": b"\xff",
}
# Any text is right: what shows that it was taken is a message about it.
TEXTS = {"schema": GONE + ".yaml", "output": "/dev/null/x", "journal": GONE + "2",
         "config": GONE, "lock": GONE, "model": GONE}
# And those show by what they do: test_effects.
EFFECTS = {"batch report", "batch metrics-file", "batch journal", "journal older-than",
           "route document", "None password"}
LONG = re.compile(r"(?<![\w-])--([a-z][a-z0-9-]+)(?: ([A-Z][A-Z/,]*))?")


def options_of(command):
    """Long name to whether it takes a value, of one command or of all (None)."""
    done = subprocess.run([DOCVL, *([command] if command else []), "--help"], env=ENV,
                          capture_output=True, text=True, timeout=60, check=True)
    head, _, tail = done.stdout.partition("Global options")
    text = head.partition("\n")[2] if command else tail.partition("Every option")[0]
    text = re.sub(r"\((?:default|release|prune)[^)]*\)|--version.*", "", text)
    found = {name: bool(value) for name, value in LONG.findall(text)}
    if re.search(r"(?m)^  -o DIR", text) or "or -o DIR:" in text:
        found["output"] = True
    return found


def variable_of(command, option):
    return "_".join(["DOCVL", *([command] if command else []), option]).upper().replace("-", "_")


class Environment(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="docvl-env-")
        self.tmp = pathlib.Path(self.folder.name)
        self.config = self.tmp / "c.yaml"
        self.config.write_text("routes: {rules: [{name: a, when: {pages: 1}, "
                               "do: [{priority: 1}]}]}\n")

    def tearDown(self):
        self.folder.cleanup()

    def docvl(self, *args, env=None, model=GONE, code=None):
        places = {"OUT": str(self.tmp / "out"), "CONFIG": str(self.config)}
        done = subprocess.run([DOCVL, *(places.get(a, str(a)) for a in args)],
                              env={**ENV, "XDG_STATE_HOME": str(self.tmp), "DOCVL_MODEL": model,
                                   **(env or {})},
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=240,
                              check=False)
        done.err = done.stderr.decode("utf-8", "replace")
        if code is not None:
            self.assertEqual(done.returncode, code, f"{args} {env}\n{done.err}")
        return done

    def arguments(self, command, option):
        """The line of a command without the option itself: the line would win."""
        args, short = list(COMMANDS[command]), {"output": "-o", "journal": "--journal"}
        flag = short.get(option, f"--{option}")
        if command != "batch" and option == "output":
            flag = "--journal"
        if flag in args:
            at = args.index(flag)
            del args[at:at + 2]
        return args

    def check(self, command, option, takes_value, args):
        variable = variable_of(command, option)
        with self.subTest(variable):
            if not takes_value:
                done = self.docvl(*args, env={variable: "perhaps"}, code=1)
                self.assertIn(f"{variable}=perhaps", done.err)
                for word in ("yes", "FALSE", ""):
                    self.assertNotIn(variable, self.docvl(*args, env={variable: word}).err)
            elif f"{command} {option}" in EFFECTS:
                pass
            elif option in WRONG:
                done = self.docvl(*args, env={variable: WRONG[option]}, code=1)
                self.assertIn(variable, done.err)
            else:
                value = TEXTS[option]
                self.assertNotIn(value + ":", self.docvl(*args, env={"DOCVL_MODEL": "/"}).err)
                done = self.docvl(*args, env={variable: value})
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(value, done.err)

    def test_every_option_of_every_command(self):
        for command in COMMANDS:
            options = options_of(command)
            self.assertGreater(len(options), 0, command)
            for option, takes_value in options.items():
                if (command, option) in (("status", "json"), ("quarantine", "json")):
                    continue  # the global one
                self.check(command, option, takes_value, self.arguments(command, option))

    def test_every_global_option(self):
        options = options_of(None)
        self.assertGreater(len(options), 9)
        for option, takes_value in options.items():
            self.check(None, option, takes_value, COMMANDS["read"])

    def test_commands_without_options_take_the_global_ones(self):
        for command in WITHOUT_OPTIONS:
            self.assertEqual(options_of(command), {}, command)
            done = self.docvl(command, env={"DOCVL_THREADS": "many"}, code=1)
            self.assertIn("DOCVL_THREADS", done.err)

    def test_effects(self):
        locked = self.tmp / "locked.pdf"
        if shutil.which("qpdf") is None:
            self.skipTest("qpdf is not installed")
        subprocess.run(["qpdf", "--encrypt", "a:b", "owner", "256", "--", INVOICE, locked],
                       check=True)
        for value, code in (("other", 8), ("other\na:b", 0), ("a:b", 0)):
            self.docvl("read", locked, model=PARITY, env={"DOCVL_PASSWORD": value}, code=code)
        self.docvl("read", locked, "--password", "no", model=PARITY,
                   env={"DOCVL_PASSWORD": "a:b"}, code=8)
        names = [self.tmp / name for name in ("report.json", "docvl.prom", "j.db")]
        self.docvl("batch", self.config, "-o", "OUT", model=PARITY,
                   env={"DOCVL_BATCH_REPORT": str(names[0]),
                        "DOCVL_BATCH_METRICS_FILE": str(names[1]),
                        "DOCVL_BATCH_JOURNAL": str(names[2])}, code=2)
        self.assertEqual([p for p in names if not p.exists()], [])
        for value, code in (("old", 1), ("1d", 0)):
            done = self.docvl("journal", "prune", "--journal", names[2],
                              env={"DOCVL_JOURNAL_OLDER_THAN": value}, code=code)
            self.assertEqual("DOCVL_JOURNAL_OLDER_THAN" in done.err, code == 1)
        done = self.docvl(*COMMANDS["route"], env={"DOCVL_ROUTE_DOCUMENT": "x"}, code=1)
        self.assertIn("--document", done.err)
        done = self.docvl("doctor", "extra", env={"DOCVL_JSON": "1"}, code=1)
        self.assertTrue(done.err.startswith("{"), done.err)

    def test_command_line_wins(self):
        """What it says replaces the variable: the model that is not there is the next."""
        for args, env in ((["extract", INVOICE, "-f", "csv"], {"DOCVL_EXTRACT_FORMAT": "xml"}),
                          (["extract", INVOICE, "--auto"], {"DOCVL_EXTRACT_SCHEMA": GONE}),
                          (["extract", INVOICE, "-s", "invoice"], {"DOCVL_EXTRACT_AUTO": "1"}),
                          (["classify", INVOICE, "-l", "a,b"], {"DOCVL_CLASSIFY_LABELS": "a"}),
                          (["read", INVOICE, "--text", "never"], {"DOCVL_TEXT": "perhaps"}),
                          (["read", INVOICE, "--threads", "1"], {"DOCVL_THREADS": "2000"}),
                          (["batch", INVOICE, "--beside"], {"DOCVL_BATCH_OUTPUT": "/dev/null/x"}),
                          (["batch", INVOICE, "-o", "OUT"], {"DOCVL_BATCH_BESIDE": "yes"}),
                          (["batch", INVOICE, "-o", "OUT", "--auto"],
                           {"DOCVL_BATCH_SCHEMA": GONE})):
            with self.subTest(args):
                self.docvl(*args, env=env, code=7)
        self.docvl("extract", INVOICE, code=1,
                   env={"DOCVL_EXTRACT_SCHEMA": "invoice", "DOCVL_EXTRACT_AUTO": "1"})

    def test_manual_names_the_rule(self):
        text = (ROOT / "pipeline" / "doc" / "docvl.1.scd").read_text("utf-8")
        section = text.partition("# ENVIRONMENT")[2].partition("# FILES")[0]
        names = {variable_of(c, o) for c in [None, *COMMANDS] for o in options_of(c)}
        for shown in re.findall(r"DOCVL_[A-Z_]+[A-Z]", section):
            self.assertIn(shown, names | {"DOCVL_COMPUTE", "DOCVL_COPY", "DOCVL_VISION", "DOCVL_RENDER", "DOCVL_SCHEMAS",
                                          "DOCVL_JOURNAL"})


if __name__ == "__main__":
    unittest.main()
