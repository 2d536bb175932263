#!/usr/bin/python3
"""One readable line about one result: summary.py NAME EXIT-STATUS RESULT.json"""
import json
import sys

SHOWN = {
    "invoice": ("invoice_number", "issue_date", "seller.name", "totals.gross_total",
                "currency"),
    "receipt": ("merchant.name", "date", "total", "currency"),
    "form": ("title", "fields"),
}
WORDS = {0: "ok", 4: "review"}


def plain(node):
    """The value of a leaf in full form; anything else as it is."""
    if isinstance(node, dict) and "value" in node and "source" in node:
        return node["value"]
    return node


def look(fields, path):
    node = fields
    for step in path.split("."):
        node = plain(node)
        if not isinstance(node, dict):
            return None
        node = node.get(step)
    node = plain(node)
    if isinstance(node, (list, dict)):
        return f"{len(node)} {path}"
    return node


def printable(value):
    """The value came from a document: nothing in it may steer the terminal."""
    text = "-" if value is None else str(value)
    return "".join(c if c.isprintable() else "?" for c in text)


def main():
    name, code, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    try:
        with open(path, encoding="utf-8") as file:
            result = json.load(file)
    except (OSError, ValueError) as error:
        print(f"{name:<22} failed   exit {code}, no result: {error}")
        return
    schema = str(result.get("schema"))
    status = str(result.get("status", WORDS.get(code, "failed")))
    values = [look(result.get("fields", {}), p) for p in SHOWN.get(schema, ())]
    text = "  ".join(printable(v) for v in values)
    print(f"{name:<22} {schema:<8} {status:<7} {text}")


if __name__ == "__main__":
    main()
