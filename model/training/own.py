"""A user's own labelled documents as questions: FILE.txt (from `docvl read`) beside FILE.json (from `docvl extract`, corrected).

In FILE.json only "raw" (as printed) and "page" of every leaf count.  The questions are those that docvl asks itself, one page at
a time, so they follow the schema that the result names.
"""
import json
import pathlib

import yaml


def is_type(node, kind):
    types = node.get("type", [])
    return kind == types or kind in types


def walk(node, result, path, single, lists):
    """Single leaves (name asked for, leaf of the result) and lists (name, columns, rows) in the order of the schema."""
    for key, child in node.get("properties", {}).items():
        have = (result or {}).get(key)
        if is_type(child, "object"):
            walk(child, have, path + [key], single, lists)
        elif is_type(child, "array"):
            items = child.get("items", {})
            if not is_type(items, "object"):
                continue
            if child.get("maxItems") == 1:
                walk(items, (have or [None])[0], path + [key], single, lists)
            else:
                columns = [(c.get("x-ask", k), k) for k, c in items.get("properties", {}).items() if not is_type(c, "array")]
                lists.append((key, columns, have or []))
        elif not child.get("x-derived"):                     # what docvl takes from other values is not asked
            single.append((child.get("x-ask", key), have))


def on_page(leaf, page):
    return leaf.get("raw") if isinstance(leaf, dict) and leaf.get("page") == page else None


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def questions(result, schema, pages):
    """[(text of a page, question, answer)]."""
    single, lists, out = [], [], []
    walk(schema, result["fields"], [], single, lists)
    for number, text in enumerate(pages, 1):
        if single:
            out.append((text, "Extract JSON: " + ", ".join(k for k, _ in single), compact({k: on_page(v, number) for k, v in single})))
        for name, columns, rows in lists:
            here = [{ask: on_page(row.get(key), number) for ask, key in columns} for row in rows]
            here = [row for row in here if any(row.values())]
            out.append((text, f"Extract JSON: {name}[{', '.join(ask for ask, _ in columns)}]", compact({name: here})))
    return out


def load(folder, schemas):
    """All questions of a folder."""
    out = []
    for path in sorted(pathlib.Path(folder).glob("*.json")):
        text = path.with_suffix(".txt")
        if not text.is_file():
            raise SystemExit(f"{path}: no {text.name} beside it (docvl read FILE > {text.name})")
        result = json.loads(path.read_text("utf-8"))
        try:
            schema = yaml.safe_load((pathlib.Path(schemas) / f"{result['schema']}.yaml").read_text("utf-8"))
        except (KeyError, OSError) as error:
            raise SystemExit(f"{path}: {error}") from error
        out += questions(result, schema, text.read_text("utf-8").rstrip("\n").split("\f"))
    if not out:
        raise SystemExit(f"{folder}: no labelled documents (FILE.json with FILE.txt)")
    return out
