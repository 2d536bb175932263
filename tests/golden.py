#!/usr/bin/python3
"""Extract every sample and compare field by field with what was drawn.

    tests/golden.py [--docvl PROGRAM] [--only TEXT] [--verbose] [--json FILE] [--floors]

For each document: the exit status must be the documented one, the result must keep the
rules of the envelope, and the share of right fields must not fall below the document's
floor in tests/golden.floor.json.  A document without a floor there needs a result only.
--floors prints the shares measured in this run in the form of that file.

The program is found in $DOCVL, or build/pipeline/docvl.
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unicodedata

ROOT = pathlib.Path(__file__).resolve().parent.parent
SAMPLES = pathlib.Path(os.environ.get("DOCVL_SAMPLES", ROOT / "samples"))
FLOORS = ROOT / "tests" / "golden.floor.json"
SOURCES = {"xml", "qr", "text", "vlm", "derived", "user"}
SECONDS_MAX = 300
AMOUNT = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,6})?")


# ---- rules of the envelope ---------------------------------------------------

def is_leaf(node):
    return isinstance(node, dict) and "value" in node and "source" in node


def leaf_faults(leaf, path, page_count):
    """What is wrong with one {value, raw, source, confidence, page, bbox, checks}."""
    value, box, page = leaf["value"], leaf.get("bbox"), leaf.get("page")
    confidence = leaf.get("confidence")
    if isinstance(value, (dict, list, float)):
        yield f"{path}: value is a {type(value).__name__}"
    if value == "":
        yield f"{path}: an absent value is null, not an empty string"
    if value is not None and leaf["source"] not in SOURCES:
        yield f"{path}: source {leaf['source']!r}"
    if not isinstance(leaf.get("raw"), (str, type(None))):
        yield f"{path}: raw is not a string"
    if confidence is not None and not 0 <= confidence <= 1:
        yield f"{path}: confidence {confidence}"
    if page is not None and not (isinstance(page, int) and 1 <= page <= page_count):
        yield f"{path}: page {page} of {page_count}"
    if box is not None:
        if len(box) != 4 or not (0 <= box[0] <= box[2] <= 1 and 0 <= box[1] <= box[3] <= 1):
            yield f"{path}: bbox {box}"
        if page is None:
            yield f"{path}: a bbox without a page"
    for check, result in (leaf.get("checks") or {}).items():
        if result not in ("pass", "fail", "skip"):
            yield f"{path}: check {check} is {result!r}"


def tree_faults(node, path, page_count):
    if is_leaf(node):
        yield from leaf_faults(node, path, page_count)
    elif isinstance(node, dict):
        for key, child in node.items():
            yield from tree_faults(child, f"{path}.{key}", page_count)
    elif isinstance(node, list):
        for i, child in enumerate(node):
            yield from tree_faults(child, f"{path}.{i}", page_count)
    elif node is not None:
        yield f"{path}: {node!r} stands where a leaf should"


def envelope_faults(result, schema, page_count, sha256):
    for key in ("schema", "schema_version", "doc_id", "fields", "checks", "status",
                "engine", "timing", "truncated"):
        if key not in result:
            yield f"member {key} is missing"
    if result.get("schema") != schema:
        yield f"schema is {result.get('schema')!r}, not {schema!r}"
    if result.get("doc_id") != sha256:
        yield "doc_id is not the SHA-256 of the file"
    if result.get("status") not in ("ok", "review"):
        yield f"status is {result.get('status')!r}"
    if result.get("truncated") and result.get("status") == "ok":
        yield "truncated, and yet ok"
    failed = [c for c in result.get("checks") or []
              if c.get("result") == "fail" and c.get("severity") == "error"]
    if failed and result.get("status") == "ok":
        yield f"check {failed[0].get('id')} failed, and yet ok"
    for check in result.get("checks") or []:
        if not check.get("id") or check.get("result") not in ("pass", "fail", "skip"):
            yield f"check {check}"
    engine = result.get("engine") or {}
    for key in ("version", "model", "model_sha256", "schema_sha256"):
        if not engine.get(key):
            yield f"engine.{key} is missing"
    yield from tree_faults(result.get("fields"), "fields", page_count)


# ---- comparing ----------------------------------------------------------------

def slug(label):
    return "".join(c if c.isalnum() else "_" for c in str(label).lower()).strip("_")


def plain(node):
    return node["value"] if is_leaf(node) else node


def step_into(node, step):
    """A member of an object, an entry of a list by index or by its key or label."""
    if isinstance(node, dict):
        return node.get(step)
    if isinstance(node, list) and step.isdigit():
        return node[int(step)] if int(step) < len(node) else None
    if isinstance(node, list):
        for entry in node:
            if isinstance(entry, dict) and step in (plain(entry.get("key")),
                                                    slug(plain(entry.get("label")))):
                return entry
    return None


def look(fields, path):
    node = fields
    for step in path.split("."):
        if is_leaf(node):
            node = node["value"]
        node = step_into(node, step)
    return plain(node)


def same(expected, got):
    """Amounts as numbers (12 is 12.00); texts without regard to blanks between words."""
    if got is None:
        return expected is None
    if expected is None:
        return False
    if AMOUNT.fullmatch(str(expected)) and AMOUNT.fullmatch(str(got)) and "." in str(expected):
        return scaled(expected) == scaled(got)
    return squeezed(expected) == squeezed(got)


def scaled(text):
    whole, _, part = str(text).partition(".")
    return int(whole + part.ljust(6, "0"))


def squeezed(text):
    return " ".join(unicodedata.normalize("NFC", str(text)).split())


# ---- running --------------------------------------------------------------------

def page_total(result):
    timing = result.get("timing") or {}
    pages = timing.get("pages", result.get("pages"))
    return pages if isinstance(pages, int) and pages > 0 else 10 ** 6


def sha256_of(path):
    import hashlib
    return hashlib.sha256(path.read_bytes()).hexdigest()


def extract(program, sample, schema, folder):
    """(result or None, faults)"""
    command = [program, "extract", str(sample), "--schema", schema, "-o", str(folder)]
    done = subprocess.run(command, capture_output=True, timeout=SECONDS_MAX, check=False)
    path = folder / f"{sample.name}.json"
    note = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
    if done.returncode not in (0, 4):
        return None, [f"exit status {done.returncode} {''.join(note)}"]
    if done.stdout:
        return None, ["something on stdout although -o was given"]
    try:
        result = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        return None, [f"result: {error}"]
    faults = list(envelope_faults(result, schema, page_total(result), sha256_of(sample)))
    expected = {"ok": 0, "review": 4}.get(result.get("status"))
    if done.returncode != expected:
        faults.append(f"exit status {done.returncode} with status {result.get('status')!r}")
    return result, faults


def compare(expected, result):
    """Rows of (path, expected, got, is right)."""
    fields = result.get("fields") or {}
    rows = []
    for path, value in expected["fields"].items():
        got = look(fields, path)
        rows.append((path, value, got, same(value, got)))
    return rows


def load_floors():
    if not FLOORS.is_file():
        return {}
    floors = json.loads(FLOORS.read_text("utf-8"))
    for name, floor in floors.items():
        if not (SAMPLES / name).is_file():
            sys.exit(f"{FLOORS.name}: there is no sample {name}")
        if not 0 <= floor <= 1:
            sys.exit(f"{FLOORS.name}: {name}: {floor} is not a share")
    return floors


def check_sample(program, truth, floors, folder, verbose):
    name = truth.name[:-len(".expected.json")]
    expected = json.loads(truth.read_text("utf-8"))
    if not expected["fields"]:
        sys.exit(f"{truth.name}: no fields to compare")
    result, faults = extract(program, SAMPLES / name, expected["schema"], folder)
    rows = compare(expected, result) if result else []
    right = sum(row[3] for row in rows)
    share = right / len(expected["fields"])
    floor = floors.get(name)
    if floor is not None and share < floor:
        faults.append(f"share {share:.3f} is below the floor {floor:.3f}")
    status = result.get("status") if result else "failed"
    print(f"{name:<24} {status or '-':<7} {right:4d} {len(expected['fields']):6d} "
          f"{share:6.3f} {'-' if floor is None else format(floor, '.3f'):>6}  "
          f"{'FAIL' if faults else 'pass'}", flush=True)
    for fault in faults[:20]:
        print(f"    {fault}")
    for path, value, got, is_right in rows:
        if verbose and not is_right:
            print(f"    {path}: expected {value!r}, got {got!r}")
    return {"name": name, "status": status, "right": right, "share": share,
            "of": len(expected["fields"]), "faults": faults,
            "wrong": [row[:3] for row in rows if not row[3]]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--docvl", default=os.environ.get(
        "DOCVL", str(ROOT / "build" / "pipeline" / "docvl")))
    parser.add_argument("--only", default="", metavar="TEXT",
                        help="samples whose name has TEXT in it")
    parser.add_argument("--verbose", action="store_true", help="list the wrong fields")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE",
                        help="write what was found")
    parser.add_argument("--floors", action="store_true",
                        help="print the shares in the form of golden.floor.json")
    args = parser.parse_args()
    os.environ.setdefault("DOCVL_MODEL", str(ROOT / "model" / "nano"))
    os.environ.setdefault("DOCVL_SCHEMAS", str(ROOT / "schemas"))
    os.environ.setdefault("DOCVL_RENDER",
                          str(pathlib.Path(args.docvl).parent / "docvl-render"))
    truths = sorted(p for p in SAMPLES.glob("*.expected.json") if args.only in p.name)
    if not truths:
        sys.exit("golden.py: no samples")
    floors = load_floors()
    print(f"{'sample':<24} {'status':<7} {'right':>4} {'fields':>5} {'share':>6} {'floor':>6}")
    with tempfile.TemporaryDirectory() as folder:
        found = [check_sample(args.docvl, t, floors, pathlib.Path(folder), args.verbose)
                 for t in truths]
    right, of = sum(f["right"] for f in found), sum(f["of"] for f in found)
    print(f"{'all':<32} {right:4d} {of:6d} {right / of:6.3f}")
    if args.json:
        args.json.write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", "utf-8")
    if args.floors:
        shares = {f["name"]: int(f["share"] * 1000) / 1000 for f in found}
        print(json.dumps(shares, indent=1))
    return 1 if any(f["faults"] for f in found) else 0


if __name__ == "__main__":
    sys.exit(main())
