#!/usr/bin/python3
"""Options, variables and exit statuses are the same in the manual, in --help and in the
completions, and the manual's limits are those of the header."""
import os
import pathlib
import re
import shutil
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCVL = os.environ.get("DOCVL", str(ROOT / "build" / "pipeline" / "docvl"))
MANUAL = (ROOT / "pipeline" / "doc" / "docvl.1.scd").read_text("utf-8")
DOC = ROOT / "pipeline" / "doc"
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")


def documented():
    pages = [MANUAL] + [(DOC / f"docvl-{name}.1.scd").read_text("utf-8")
                        for name in ("batch", "route")]
    return {option for page in pages for option in OPTION.findall(page)}


def c_number(text):
    """The value of a C constant expression of integers."""
    text = re.sub(r"/\*.*?\*/", "", text)
    text = re.sub(r"(?<=[0-9a-fA-F])[uUlL]+\b", "", text).strip()
    if not re.fullmatch(r"[0-9a-fxA-F<>+*() -]+", text):
        raise ValueError(text)
    return eval(text, {"__builtins__": {}})  # digits and operators alone


def spelled(text):
    """ "256 MiB", "200 million", "65,500 pixels" as a number."""
    number, _, unit = text.replace(",", "").partition(" ")
    return int(number) * {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30,
                          "million": 10 ** 6}.get(unit, 1)


class Docs(unittest.TestCase):
    def test_help_and_manual_have_the_same_options(self):
        shown = set()
        for command in ([], ["extract"], ["read"], ["classify"], ["schema"], ["model"],
                        ["doctor"], ["batch"], ["status"], ["retry"], ["quarantine"],
                        ["journal"], ["route"]):
            done = subprocess.run([DOCVL, *command, "--help"], capture_output=True, text=True,
                                  timeout=60, check=True)
            shown |= set(OPTION.findall(done.stdout))
        # GOption adds variants that list help of its groups.
        shown = {o for o in shown if not o.startswith("--help-")}
        self.assertEqual(shown, documented())

    def test_completions_have_every_option(self):
        folder = ROOT / "pipeline" / "completion"
        for name in ("docvl.bash", "_docvl", "docvl.fish"):
            text = (folder / name).read_text("utf-8")
            if name.endswith(".fish"):
                found = {"--" + o for o in re.findall(r"(?m)^complete .*? -l ([a-z-]+)", text)}
            else:
                found = set(OPTION.findall(text))
            with self.subTest(name):
                self.assertEqual(found, documented())

    def test_bash_completion_is_well_formed(self):
        subprocess.run(["bash", "-n", ROOT / "pipeline" / "completion" / "docvl.bash"],
                       check=True)

    def test_bash_completion_completes(self):
        script = ('. "$1"; COMP_WORDS=(docvl extract --te); COMP_CWORD=2; _docvl; '
                  'echo "${COMPREPLY[@]}"; COMP_WORDS=(docvl sch); COMP_CWORD=1; _docvl; '
                  'echo "${COMPREPLY[@]}"')
        done = subprocess.run(["bash", "-c", script, "bash",
                               ROOT / "pipeline" / "completion" / "docvl.bash"],
                              capture_output=True, text=True, check=True)
        self.assertEqual(done.stdout.split(), ["--text", "schema"])

    def test_exit_statuses(self):
        section = MANUAL.partition("# EXIT STATUS")[2].partition("# ENVIRONMENT")[0]
        manual = set(re.findall(r"\*(\d+)\*", section))
        readme = (ROOT / "README.md").read_text("utf-8").partition("## Exit status")[2]
        readme = readme.partition("## Where")[0]
        rows = re.findall(r"(?m)^\| ([\d, ]+) \|", readme)
        self.assertEqual(manual, {n for row in rows for n in re.findall(r"\d+", row)})

    def test_limits(self):
        """The manuals' numbers are those of the header."""
        header = (ROOT / "pipeline" / "render.h").read_text("utf-8")
        manuals = [" ".join(text.partition("# LIMITS")[2].split()) for text in
                   (MANUAL, (DOC / "docvl-render.1.scd").read_text("utf-8"))]
        for name, what in (("PAGES_MAX", "500"), ("BYTES_MAX", "256 MiB"),
                           ("PIXELS_MAX", "200 million"), ("SIDE_MAX", "65,500 pixels"),
                           ("SECONDS_MAX", "60 seconds"), ("MEMORY_MAX", "2 GiB"),
                           ("WORDS_MAX", "100,000"), ("ATTACHMENT_MAX", "16 MiB")):
            with self.subTest(name):
                value = c_number(re.search(rf"#define DP_{name}\s+(.+)", header)[1])
                self.assertEqual(value, spelled(what))
                for manual in manuals:
                    self.assertIn(f": {what}", manual)

    def test_manual_pages_are_well_formed(self):
        for tool in ("scdoc", "mandoc"):
            if shutil.which(tool) is None:
                self.skipTest(f"{tool} is not installed")
        for path in sorted((ROOT / "pipeline" / "doc").glob("*.scd")):
            with self.subTest(path.name):
                page = subprocess.run(["scdoc"], input=path.read_bytes(),
                                      capture_output=True, check=True).stdout
                done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning"], input=page,
                                      capture_output=True, check=False)
                # scdoc's own ways: no date format of mdoc, references to pages of ours
                faults = [line for line in done.stdout.decode().splitlines()
                          if not re.search(r"STYLE:|referenced manual not found|"
                                           r"skipping paragraph macro|missing date", line)]
                self.assertEqual(faults, [])
                self.assertIn(b".TH", page)

    def test_scripts(self):
        if shutil.which("shellcheck") is None:
            self.skipTest("shellcheck is not installed")
        scripts = [p for folder in ("samples", "tests", "model") for p in
                   (ROOT / folder).rglob("*.sh")] + [ROOT / ".ci" / "run"]
        self.assertGreater(len(scripts), 3)
        done = subprocess.run(["shellcheck", "-x", *map(str, scripts)], cwd=ROOT,
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.stdout, "")

    def test_tree_names_no_machine(self):
        names = [p for p in ROOT.rglob("*") if p.suffix in (".md", ".scd", ".sh", ".py", ".c", ".h")
                 and not p.relative_to(ROOT).parts[0].startswith(("build", ".git"))]
        self.assertGreater(len(names), 100)
        for name in names:
            text = name.read_text("utf-8", "replace")
            self.assertIsNone(re.search(r"(?<![\w.<])/(?:home|root|work)/\w", text), name)


if __name__ == "__main__":
    unittest.main()
