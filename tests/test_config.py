#!/usr/bin/python3
"""Configuration files: what the program accepts, what the written schema says, and that
the two agree; every mistake with its place."""
import json
import os
import re
import subprocess
import tempfile
import unittest

import jsonschema
import yaml

DOCVL = os.environ["DOCVL"]
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
with open(os.path.join(ROOT, "schemas", "config.schema.json"), encoding="utf-8") as f:
    SCHEMA = json.load(f)
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


class CoreLoader(yaml.SafeLoader):
    """YAML 1.2: yes and no are texts."""


CoreLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules
            if tag not in ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()}
CoreLoader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile("^(true|false)$"), list("tf"))


def docvl(*arguments):
    return subprocess.run([DOCVL, *arguments], capture_output=True, text=True, check=False)


def check(text):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "c.yaml")
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        done = docvl("config", "check", path)
        return done.returncode, [line.replace("docvl: " + path + ":", "")
                                 for line in done.stderr.splitlines()]


FOLDER = "folders:\n  - path: in\n    out: out\n"

# What is wrong, and every line that must be said about it.
WRONG = [
    ("folder: 1\n", ['1:1: /folder: unknown key "folder" (did you mean "folders"?)']),
    ("workers: 65\n", ["1:10: /workers: 65 is outside 0 to 64"]),
    ("workers: 1.5\n", ['1:10: /workers: "1.5" where a whole number is expected']),
    ("threads: -1\nworkers: x\n", ["1:10: /threads: -1 is outside 0 to 1024",
                                   '2:10: /workers: "x" where a whole number is expected']),
    ("memory: 255MiB\n", ["1:9: /memory: 267386880 bytes is outside 268435456 to 17592186044416"]),
    ("memory: 4GB\n", ['1:9: /memory: "4GB" is no size (512MiB, 4GiB, or bytes)']),
    ("folders: []\n", ["1:10: /folders: 0 entries, limits 1 to 64"]),
    ("folders:\n  - {path: in}\n", ['2:5: /folders/0: "out" is missing']),
    ("folders:\n  - {path: '', out: out}\n", ["2:12: /folders/0/path: an empty text"]),
    ("folders:\n  - {path: 7, out: out}\n",
     ["2:12: /folders/0/path: a number where a text is expected (put it in quotes)"]),
    (FOLDER + "    settle: 2x\n    poll: maybe\n", [
        '4:13: /folders/0/settle: "2x" is no duration (500ms, 30s, 5m, 2h, 1d)',
        '5:11: /folders/0/poll: "maybe" is none of: auto, yes, no']),
    (FOLDER + "    settle: 25h\n", ["4:13: /folders/0/settle: 90000 seconds is outside 0s to 1d"]),
    (FOLDER + "    rescan: 0.5\n", ["4:13: /folders/0/rescan: 0.5 seconds is outside 1s to 1d"]),
    (FOLDER + "    on-done: move\n",
     ['4:5: /folders/0/on-done: unknown key "on-done" (did you mean "on_done"?)']),
    (FOLDER + "    recursive: maybe\n",
     ['4:16: /folders/0/recursive: "maybe" where yes or no is expected']),
    (FOLDER + "    marker: a/b\n",
     ['4:13: /folders/0/marker: "a/b": a marker is an ending of a name, without "/"']),
    (FOLDER + "    profile: scna\nprofiles: {scan: {}}\n",
     ['4:14: /folders/0/profile: no profile "scna" (did you mean "scan"?)']),
    (FOLDER + "    subfolders: {.x: {}}\n",
     ['4:18: /folders/0/subfolders/.x: ".x" is no name of a subfolder: one level, no dot in front']),
    ("defaults: {labels: [one]}\n", ["1:20: /defaults/labels: 1 entries, limits 2 to 256"]),
    ("a: 1\na: 2\n", ['2:1: the key "a" is there twice']),
    ("- 1\n", ["1:1: /: a list where a mapping is expected"]),
    ("routes: []\n", ["1:9: /routes: a list where a mapping is expected"]),
    ("routes:\n  rules:\n    - name: a\n      when: {scema: x}\n      do:\n        - moev: x\n"
     "        - move: ../x\n",
     ['4:14: /routes/rules/0/when/scema: unknown key "scema" (did you mean "schema"?)',
      '6:11: /routes/rules/0/do/0/moev: unknown action "moev" (did you mean "move"?)',
      '7:17: /routes/rules/0/do/1/move/to: the path "../x" has an empty part, "." or ".."']),
    ("routes:\n  rules:\n    - name: a\n      when: {fields: {t: {gte: '1,5'}}}\n      do: []\n",
     ["4:32: /routes/rules/0/when/fields/t/gte: a number is expected, of at most 18 digits "
      "before and 12 after the point; one of more than 15 digits in quotes"]),
    ("defaults: {schema: invoice}\nroutes:\n  rules:\n    - name: a\n"
     "      when: {any: [{fields: {totls.gross_total: {gt: 1}}}, {not: {fields: {buyer.nam: x}}}]}\n"
     "      do:\n        - move: '{@folder}/{seler.name|slug}/{lines.0.name}.pdf'\n"
     "        - append: {to: a.csv, columns: ['@file', seller.name, 'lines[].nme']}\n"
     "        - webhook: 'http://localhost/{hook}'\n"
     "  otherwise: {do: [{mail: {maildir: m, from: a@b, to: a@b, subject: 'of {merchant.name}'}}]}\n",
     ['5:30: /routes/rules/0/when/any/0/fields/totls.gross_total: no schema has the field '
      '"totls.gross_total" (did you mean "totals.gross_total"?)',
      '5:76: /routes/rules/0/when/any/1/not/fields/buyer.nam: no schema has the field '
      '"buyer.nam" (did you mean "buyer.name"?)',
      '7:17: /routes/rules/0/do/0/move: no schema has the field "seler.name" '
      '(did you mean "seller.name"?)',
      '8:63: /routes/rules/0/do/1/append/columns/2: no schema has the field "lines[].nme" '
      '(did you mean "lines[].name"?)',
      '10:69: /routes/otherwise/do/0/mail/subject: no schema has the field "merchant.name"']),
]

# The written schema does not know which schemas there are.
NO_SCHEMA = [
    ("folders:\n  - {path: in, out: out, schema: invoic}\n",
     ['2:34: /folders/0/schema: no schema is called invoic (did you mean "invoice"?)']),
    ("folders:\n  - {path: in, out: out, profile: p}\nprofiles:\n  p: {schema: recipt}\n",
     ['4:15: /profiles/p/schema: no schema is called recipt (did you mean "receipt"?)']),
    ("defaults: {schema: nothing-like-it}\n" + FOLDER,
     ["1:20: /defaults/schema: no schema is called nothing-like-it"]),
    ("folders:\n  - path: in\n    out: out\n    subfolders:\n      a: {schema: receit}\n",
     ['5:19: /folders/0/subfolders/a/schema: no schema is called receit (did you mean "receipt"?)']),
]


class Mistakes(unittest.TestCase):
    def test_every_mistake_has_its_place(self):
        for text, expect in WRONG:
            with self.subTest(text=text):
                code, lines = check(text)
                self.assertEqual(code, 9)
                self.assertEqual([line.strip() for line in lines], expect)

    def test_limits_just_inside(self):
        for text in ("workers: 64\n", "memory: 256MiB\n", FOLDER + "    settle: 24h\n",
                     FOLDER + "    rescan: 1\n", "defaults: {labels: [a, b]}\n",
                     "defaults: {priority: 1000}\n"):
            self.assertEqual(check(text), (0, []), text)

    def test_folders_in_each_other(self):
        for text, pointer in (
                ("folders:\n - {path: /a, out: /a/out}\n", "/folders/0/out"),
                ("folders:\n - {path: /a, out: /b, failed: /a/f}\n", "/folders/0/failed"),
                ("folders:\n - {path: /a, out: /b, done: /a/x/../d}\n", "/folders/0/done"),
                ("folders:\n - {path: /a, out: /b}\n - {path: /b/c, out: /d}\n", "/folders/1/path"),
                ("folders:\n - {path: /a, out: /o}\n - {path: /a, out: /p}\n", "/folders/1/path"),
                ("folders:\n - {path: /a, out: /o}\n - {path: /a/b, out: /p}\n", "/folders/1/path"),
                ("folders:\n - {path: /a, out: /c/o}\n - {path: /c, out: /p}\n", "/folders/0/out"),
                ("batch: {from: [/a], out: /a/out}\n", "/batch/out")):
            with self.subTest(text=text):
                code, lines = check(text)
                if pointer == "/folders/1/path" and "/b/c" in text:
                    self.assertEqual(code, 0)  # an input below another's output is no circle
                    continue
                self.assertEqual(code, 9)
                self.assertIn(pointer, " ".join(lines))
        self.assertEqual(check("folders:\n - {path: /a, out: /ab}\n")[0], 0)

    def test_files_of_ours_in_a_watched_folder(self):
        """They would be taken for documents, the journal among them."""
        for key in "journal", "status_file", "metrics_file", "passwords_file":
            for place, extra, is_taken in (("in/x", "", True), ("in/.x", "", False),
                                           ("in/s/x", "", False), ("inn/x", "", False),
                                           ("in/s/x", ", recursive: yes", True),
                                           ("in/s/x", ", subfolders: {s: {}}", True),
                                           ("in/x.tmp", "", False),
                                           ("in/x", ", ignore: [x]", False)):
                with self.subTest(key=key, place=place, extra=extra):
                    code, lines = check(f"{key}: {place}\nfolders:\n  - {{path: in, out: out{extra}}}\n")
                    self.assertEqual(code, 9 if is_taken else 0, lines)
                    if is_taken:
                        self.assertIn(f"/{key}: ", lines[0])
                        self.assertIn("lies inside the watched folder", lines[0])
        code, lines = check("folders:\n  - {path: ., out: ../out}\n")
        self.assertEqual(code, 9)
        self.assertIn("c.yaml lies inside the watched folder", lines[0])

    def test_a_schema_that_is_not_there(self):
        for text, expect in NO_SCHEMA:
            with self.subTest(text=text):
                code, lines = check(text)
                self.assertEqual(code, 9)
                self.assertEqual([line.strip() for line in lines], expect)

    def test_fields_of_any_schema_that_may_be_used(self):
        """One that is chosen by the document's look may have the fields of each."""
        rule = ("routes:\n  rules:\n    - {name: a, when: {fields: {merchant.name: x, "
                "'lines.3.net_amount': {gt: 1}}}, do: []}\n")
        self.assertEqual(check("defaults: {schema: auto}\n" + rule), (0, []))
        self.assertEqual(check("defaults: {schema: invoice}\nfolders:\n"
                               "  - {path: in, out: out, schema: receipt}\n" + rule), (0, []))
        code, lines = check("defaults: {schema: receipt}\n" + rule)
        self.assertEqual((code, len(lines)), (9, 1))
        self.assertIn('"lines.3.net_amount"', lines[0])

    def test_no_file(self):
        done = docvl("config", "check", "/nonexistent/c.yaml")
        self.assertEqual(done.returncode, 9)
        self.assertIn("/nonexistent/c.yaml", done.stderr)


def resolve(node):
    merged = dict(node)
    while "$ref" in merged:
        name = merged.pop("$ref").rsplit("/", 1)[1]
        merged = {"ref": name, **SCHEMA["$defs"][name], **merged}
    return merged


def kind_of(node):
    name = node.get("ref")
    if name in ("text", "path", "duration", "size"):
        return name
    if name == "yes_no":
        return "yes/no"
    if name == "routes":
        return "other"
    if "enum" in node:
        return "word"
    if node["type"] == "array":
        item = resolve(node["items"])
        return item["ref"] + "s" if item.get("ref") in ("text", "path") else "list"
    if node["type"] == "object":
        return "mapping" if "properties" in node else "names"
    return "text" if node["type"] == "string" else node["type"]


def range_of(node, kind):
    if kind == "word":
        return "|".join(node["enum"])
    for low, high in (("x-min", "x-max"), ("minimum", "maximum"), ("minItems", "maxItems")):
        if high in node and kind not in ("yes/no", "text", "path"):
            return f"{node[low]}..{node[high]}"
    return f"0..{node['maxProperties']}" if "maxProperties" in node else ""


def keys_of(node, prefix=""):
    """The lines that `docvl config keys` must print for the written schema."""
    for key, value in node["properties"].items():
        value = resolve(value)
        kind = kind_of(value)
        default = str(value.get("default", ""))
        if key in node.get("required", []):
            default = "required"
        yield "\t".join((prefix + key, kind, range_of(value, kind), default, value["description"]))
        if kind == "mapping":
            yield from keys_of(value, prefix + key + ".")
        elif kind == "names":
            yield from keys_of(resolve(value["additionalProperties"]), prefix + key + ".*.")
        elif kind == "list":
            yield from keys_of(resolve(value["items"]), prefix + key + "[].")


class Contract(unittest.TestCase):
    maxDiff = None

    def test_the_schema_is_one(self):
        jsonschema.Draft202012Validator.check_schema(SCHEMA)

    def test_schema_and_program_know_the_same(self):
        self.assertEqual(docvl("config", "keys").stdout.splitlines(), list(keys_of(SCHEMA)))

    def test_wrong_for_one_is_wrong_for_the_other(self):
        only_program = ("memory: 255", "25h", "0.5", "profile: scna", "twice", "routes")
        for text, expect in WRONG:
            if any(part in text or part in expect[0] for part in only_program):
                continue  # ranges of texts, names that must exist: beyond JSON Schema
            with self.subTest(text=text):
                self.assertFalse(VALIDATOR.is_valid(yaml.load(text, CoreLoader)))

    def test_the_manual_has_every_key(self):
        with open(os.path.join(ROOT, "pipeline", "doc", "docvl.yaml.5.scd"), encoding="utf-8") as f:
            manual = f.read().replace("\\_", "_").partition("# TOP LEVEL")[2]
        parts = {}
        for part in manual.split("\n# "):
            title, _, text = part.partition("\n")
            terms = [line for line in text.splitlines() if line.startswith("*")]
            parts[title] = {word for line in terms for word in re.findall(r"\*([a-z_]+)\*", line)}
        settings = set(SCHEMA["$defs"]["settings"]["properties"])
        self.assertEqual(parts[""], set(SCHEMA["properties"]))
        self.assertEqual(parts["SETTINGS"], settings)
        self.assertEqual(parts["FOLDERS"], set(SCHEMA["$defs"]["folder"]["properties"]) - settings)
        self.assertEqual(parts["BATCH"], set(SCHEMA["$defs"]["batch"]["properties"]))

    # What has no default.
    UNSET = {"journal", "model", "memory", "metrics_file", "status_file", "passwords_file", "profile",
             "labels", "marker", "report", "lock"}

    def test_show_has_every_key(self):
        text = FOLDER + ("    subfolders: {a: {}}\nbatch: {from: [x], out: y}\n"
                         "profiles: {}\nroutes: {}\n")
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "c.yaml")
            with open(path, "w", encoding="utf-8") as out:
                out.write(text)
            done = docvl("config", "show", path)
        self.assertEqual(done.returncode, 0, done.stderr)
        shown = json.loads(done.stdout)
        for where, node in ((shown, SCHEMA), (shown["folders"][0], SCHEMA["$defs"]["folder"]),
                            (shown["batch"], SCHEMA["$defs"]["batch"]),
                            (shown["defaults"], SCHEMA["$defs"]["settings"]),
                            (shown["folders"][0]["subfolders"]["a"], SCHEMA["$defs"]["settings"])):
            self.assertEqual(set(where) - self.UNSET, set(node["properties"]) - self.UNSET)
        self.assertEqual(shown["folders"][0]["path"], os.path.join(folder, "in"))

    def test_what_is_shown_can_be_read_again(self):
        for text in ("", "workers: 1\n", FOLDER, "batch: {from: [x], out: y}\n", "memory: 1GiB\n" + FOLDER +
                     "    marker: .ok\n    labels: [a, b]\n    subfolders: {a: {schema: receipt}}\n"
                     "profiles: {p: {text: never}}\nroutes: {missing: fail}\n"):
            with self.subTest(text=text), tempfile.TemporaryDirectory() as folder:
                first, again = os.path.join(folder, "a.yaml"), os.path.join(folder, "b.yaml")
                with open(first, "w", encoding="utf-8") as out:
                    out.write(text or "threads: 0\n")
                shown = docvl("config", "show", first).stdout
                with open(again, "w", encoding="utf-8") as out:
                    out.write(shown)
                self.assertEqual(docvl("config", "check", again).returncode, 0)
                self.assertEqual(docvl("config", "show", again).stdout, shown)

    def test_settings_lie_over_each_other(self):
        text = ("defaults: {schema: form, priority: 1, profile: a}\n"
                "profiles: {a: {text: never, pages_max: 3}, b: {priority: 7, schema: receipt}}\n"
                "folders:\n  - path: in\n    out: out\n    pages_max: 4\n"
                "    subfolders: {x: {profile: b, schema: invoice}, y: {}}\n")
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "c.yaml")
            with open(path, "w", encoding="utf-8") as out:
                out.write(text)
            shown = json.loads(docvl("config", "show", path).stdout)
        folder = shown["folders"][0]
        x, y = folder["subfolders"]["x"], folder["subfolders"]["y"]
        self.assertEqual((x["schema"], x["priority"], x["pages_max"], x["text"], x["profile"]),
                         ("invoice", 7, 4, "never", "b"))
        self.assertEqual((y["schema"], y["priority"], y["pages_max"], y["profile"]),
                         ("form", 1, 4, "a"))


class Examples(unittest.TestCase):
    def test_every_example_is_valid(self):
        folder = os.path.join(ROOT, "configs")
        names = [name for name in os.listdir(folder) if name.endswith((".yaml", ".yml"))]
        self.assertGreaterEqual(len(names), 3)
        for name in names:
            path = os.path.join(folder, name)
            with self.subTest(name=name):
                with open(path, encoding="utf-8") as text:
                    VALIDATOR.validate(yaml.load(text, CoreLoader))
                done = docvl("config", "check", path)
                self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
