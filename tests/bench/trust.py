#!/usr/bin/python3
"""How far docvl's confidence and status can be believed, and the fit of its weights.

    tests/bench/trust.py DRAWN... --work FOLDER [--fit extractors/trust.inc]
    tests/bench/trust.py --eval EVAL --work FOLDER

DRAWN   folders that model/training/trials.py drew; a fifth of the papers is kept out of
        the fit, and the figures are those of that fifth
EVAL    a folder with receipts/ and invoices/ (twins without XML), score.py and envelope.py
FOLDER  keeps docvl's results; what is there is not run again
--fit   writes the weights to this file; build docvl and run again to see what they do

Printed for each set: values, part of them right, ECE (ten bins), part wrong among those of
0.9 and more, AUROC; then documents: how many are wrong (a value that the schema requires or
checks), how many are sent to review, how many of the wrong ones are (recall) and how many of
those sent are wrong (precision), how many of the right ones are sent, and how many of these
with cause: the paper lacks a required value, or fails a check with all values right.  With
--fit the confidences are those of the new weights; the documents went where the old ones sent
them.  docvl is build/pipeline/docvl, or $DOCVL.
"""
import argparse
import importlib.util
import json
import math
import os
import pathlib
import re
import subprocess
import sys
import unicodedata

import numpy as np

from sets import DOCVL, documents

PENALTY = 0.5
# The decoder was trained on papers of this drawing hand, and on them it nearly always knows
# better than labels and places do: a fit on what stands there would believe nothing that it
# is silent about.  On a stranger's paper it is silent, or names something else, more often.
# So that it agrees counts as it is (its worth is in logits already, decide.c), every value is
# shown to the fit also as it would stand without the decoder ("unanswered"), and with this
# part as if the decoder had named another value, with this worth.
FIXED = {"answer": 1.0, "failed": -1.0}
CONTRADICTED, RIVAL = 0.25, 1.5
# More that speaks for a value does not make it less likely, whatever a few papers say.
RISES, FALLS = {"lead", "label", "proved", "checked"}, {"rival"}
POWERS = (1, 1.5, 2, 2.5, 3, 3.5, 4)
SCHEMAS = {"invoice": "invoice", "receipt": "receipt"}
# what the papers are drawn with and the result's fields may not be compared by letters
SKIPPED = {"document_type"}
KEY = {"invoice": ("invoice_number", "issue_date", "due_date", "seller_name", "buyer_name", "net_total", "tax_total",
                   "gross_total", "iban", "seller_vat_id", "buyer_vat_id", "grand_total", "currency"),
       "receipt": ("merchant_name", "date", "total", "subtotal", "tax_total", "company")}


# ---- results ------------------------------------------------------------------------------------
def extract(paths, schema, out):
    out.mkdir(parents=True, exist_ok=True)
    missing = [p for p in paths if not (out / f"{p.name}.json").exists()]
    for i in range(0, len(missing), 40):
        subprocess.run([DOCVL, "--quiet", "--threads", "1", "extract", "--schema", schema, "-o", out,
                        *missing[i:i + 40]], env={**os.environ, "DOCVL_GROUNDS": "1"}, check=False)
    return [json.loads((out / f"{p.name}.json").read_text("utf-8")) if (out / f"{p.name}.json").exists() else {}
            for p in paths]


def leaves(node, path=""):
    if isinstance(node, dict) and "value" in node and "confidence" in node:
        yield path, node
    elif isinstance(node, dict):
        for key, child in node.items():
            yield from leaves(child, f"{path}.{key}" if path else key)
    elif isinstance(node, list) and len(node) == 1 and path.endswith("accounts"):
        yield from leaves(node[0], f"{path}.0")


def asks_of(schema):
    """{path of the result: name that questions and drawn papers use}"""
    out = {}

    def walk(node, path):
        if "properties" in node:
            for key, child in node["properties"].items():
                walk(child, f"{path}.{key}" if path else key)
        elif node.get("maxItems") == 1:
            walk(node["items"], path + ".0")
        elif "x-ask" in node:
            out[path] = node["x-ask"]

    walk(json.loads(subprocess.run([DOCVL, "schema", "show", schema], capture_output=True, check=True).stdout), "")
    return out


# ---- truth --------------------------------------------------------------------------------------
def squash(text):
    text = unicodedata.normalize("NFKC", text).casefold()
    return re.sub(r"[\W_]+", "", text)


def squash_amount(text):
    """Digits and cents alone: what currency and blanks stand beside an amount does not matter."""
    digits = re.findall(r"\d+", text)
    return "".join(digits).lstrip("0")


AMOUNTS = re.compile(r"(total|tendered|change|amount_due|prepaid|rounding|subtotal)$")


CURRENCIES = {"€": "EUR", "£": "GBP", "RM": "MYR", "zł": "PLN", "Kč": "CZK", "CHF": "CHF"}
DATES = re.compile(r"date$")


def is_right(ask, value, truth):
    raw = value.get("raw") or value["value"]
    if truth is None:  # amounts that follow from others are right without being drawn
        return None if AMOUNTS.search(ask) or ask == "currency" else False
    if DATES.search(ask) and len(squash(raw)) > 5:  # drawn with the day of the week
        return squash(raw) in squash(truth)
    if AMOUNTS.search(ask):
        return squash_amount(raw) == squash_amount(truth)
    if ask == "currency":
        code = CURRENCIES.get(truth.strip(), truth.strip().upper())
        return value["value"] == code if len(code) == 3 else None
    return squash(raw) == squash(truth) or squash(str(value["value"])) == squash(truth)


def has_cause(result, found):
    """Whether a document of right values goes to review for a fault of the paper's own."""
    have = dict(leaves(result.get("fields", {})))
    right = {path: ok for path, leaf in have.items() for known, ok in found.values() if known is leaf}
    for check in result.get("checks", []):
        if check["result"] != "fail" or check["severity"] != "error":
            continue
        paths = [p.replace("[", ".").replace("]", "") for p in check["fields"]]
        if all(p in have for p in paths):
            if all(have[p]["value"] is None or right.get(p) for p in paths):
                return True
        elif check["lhs"] is None and check["rhs"] is None:  # a required value that no truth has
            return True
    return False


def judged_drawn(folder, work):
    """[(document, {ask: (leaf, right)}, status, is_wrong, has_cause)]"""
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text("utf-8").splitlines()]
    out = []
    for family, schema in SCHEMAS.items():
        mine = [r for r in rows if r["kind"].startswith(family)]
        if not mine:
            continue
        asks = asks_of(schema)
        results = extract([folder / r["file"] for r in mine], schema, work / folder.name / schema)
        for row, result in zip(mine, results):
            found, missed = {}, 0
            for path, leaf in leaves(result.get("fields", {})):
                ask = asks.get(path)
                if ask is None or ask in SKIPPED:
                    continue
                truth = row["truth"].get(ask)
                if leaf["value"] is None:
                    missed += truth is not None and ask in KEY[schema]
                else:
                    right = is_right(ask, leaf, truth)
                    if right is not None:
                        found[ask] = (leaf, right)
                    if "unanswered" in leaf:
                        leaf["unanswered"]["right"] = is_right(ask, leaf["unanswered"], truth)
            wrong = missed + sum(not right for ask, (_, right) in found.items() if ask in KEY[schema])
            out.append((f"{folder.name}/{row['file']}", found, result.get("status"), wrong > 0,
                        has_cause(result, found)))
    return out


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def judged_eval(folder, name, field, schema, work):
    scorer, envelope = load(folder / "score.py"), load(folder / "envelope.py")
    names = dict(envelope.HEADER if schema == "invoice" else envelope.RECEIPT)
    if schema == "invoice":
        names.update(seller_address=["seller.address.raw"], buyer_address=["buyer.address.raw"])
    docs = list(documents(folder / name, field))
    out = []
    for (path, row), result in zip(docs, extract([p for p, _ in docs], schema, work / name)):
        found, missed = {}, 0
        have = dict(leaves(result.get("fields", {})))
        for key, truth in row["truth"].items():
            if key == "lines" or key not in names:
                continue
            leaf = next((have[p] for p in names[key] if p in have and have[p]["value"] is not None), None)
            if leaf is None:
                missed += key in KEY[schema]
                continue
            accept, raw = (row.get("accept") or {}).get(key), (row.get("raw") or {}).get(key)
            found[key] = (leaf, scorer.same(key, truth, leaf["value"], accept, raw)[1])
        wrong = missed + sum(not right for key, (_, right) in found.items() if key in KEY[schema])
        out.append((f"{name}/{path.name}", found, result.get("status"), wrong > 0, has_cause(result, found)))
    return out


# ---- figures ------------------------------------------------------------------------------------
def auroc(pairs):
    ranked = sorted(pairs)
    good = sum(right for _, right in ranked)
    if not 0 < good < len(ranked):
        return float("nan")
    total, i = 0.0, 0
    while i < len(ranked):
        k = i
        while k < len(ranked) and ranked[k][0] == ranked[i][0]:
            k += 1
        total += sum(right for _, right in ranked[i:k]) * (i + k + 1) / 2
        i = k
    return (total - good * (good + 1) / 2) / (good * (len(ranked) - good))


def ece(pairs):
    bins = [[] for _ in range(10)]
    for p, right in pairs:
        bins[min(9, int(p * 10))].append((p, right))
    return sum(abs(sum(p for p, _ in b) - sum(r for _, r in b)) for b in bins) / max(1, len(pairs))


def report(name, judged):
    pairs = [(leaf["confidence"], right) for _, found, *_ in judged for leaf, right in found.values()]
    high = [right for p, right in pairs if p >= .9]
    wrong = [status for _, _, status, is_wrong, _ in judged if is_wrong]
    sent = [is_wrong for _, _, status, is_wrong, _ in judged if status == "review"]
    cause = sum(cause for _, _, status, is_wrong, cause in judged if status == "review" and not is_wrong)
    part = lambda a, b: f"{100 * a / b:.1f} %" if b else "-"
    print(f"{name}: {len(pairs)} values, {part(sum(r for _, r in pairs), len(pairs))} right, ECE {ece(pairs):.3f}, "
          f"{len(high)} of 0.9 and more, {part(len(high) - sum(high), len(high))} of them wrong, AUROC {auroc(pairs):.3f}")
    print(f"  {len(judged)} documents, {len(wrong)} wrong, {len(sent)} sent to review: "
          f"{part(wrong.count('review'), len(wrong))} of the wrong ones (recall), "
          f"{part(sum(sent), len(sent))} of those sent wrong (precision), "
          f"{part(len(sent) - sum(sent), len(judged) - len(wrong))} of the right ones "
          f"({part(len(sent) - sum(sent) - cause, len(judged) - len(wrong))} without cause)")


def bins(judged):
    rows = [[] for _ in range(10)]
    for _, found, *_ in judged:
        for leaf, right in found.values():
            rows[min(9, int(leaf["confidence"] * 10))].append(right)
    for i, row in enumerate(rows):
        if row:
            print(f"    {i / 10:.1f}: {len(row):5} values, {sum(row) / len(row):.2f} right")


# ---- the fit ------------------------------------------------------------------------------------
def samples(judged):
    """(grounds, right, weight), see FIXED"""
    for _, found, *_ in judged:
        for leaf, right in found.values():
            if "grounds" not in leaf:
                continue
            yield leaf["grounds"], right, 1.0
            other = leaf.get("unanswered", {})
            if other.get("right") is None:
                continue
            yield other["grounds"], other["right"], 1.0
            if other["grounds"]["lead"] >= RIVAL:
                yield {**other["grounds"], "rival": RIVAL}, other["right"], CONTRADICTED


def by_source(rows):
    """Those of a text layer, those read off the picture."""
    rows = list(rows)
    return [[row for row in rows if row[0]["read"] == source] for source in (0, 1)]


def chance(x, w, seen):
    """That the value is the right one, and that its print was read right."""
    return np.clip(seen / (1 + np.exp(-np.clip(x @ w, -30, 30))), 1e-6, 1 - 1e-6)


def likelihood(p, y, weight):
    return float(weight @ np.where(y > 0, np.log(p), np.log(1 - p)))


def newton(x, y, weight, seen, start, free, pull):
    """Maximum of the likelihood by Fisher's scoring; the weights in `free` are found, drawn
    to zero by `pull`."""
    w = start.copy()
    for _ in range(60):
        p = chance(x, w, seen)
        choice = np.clip(p / seen, 1e-6, 1 - 1e-6)
        slope = p * (1 - choice)  # of p by x w
        known = weight / (p * (1 - p))
        gradient = x[:, free].T @ ((y - p) * known * slope) - pull[free] * w[free]
        curve = x[:, free].T @ (x[:, free] * (slope ** 2 * known)[:, None]) + np.diag(pull[free])
        step = np.clip(np.linalg.solve(curve, gradient), -1, 1)
        w[free] += step
        if np.abs(step).max() < 1e-6:
            break
    return w


def fit(rows):
    """{trait: weight}; what comes out with the wrong sign is left out.  "unseen" is the
    power of the reader's own probability."""
    names = [n for n in rows[0][0] if n not in ("unseen", "read")]
    x = np.array([[grounds[n] for n in names] for grounds, _, _ in rows])
    unseen = np.array([grounds["unseen"] for grounds, _, _ in rows])
    y, weight = (np.array([float(row[i]) for row in rows]) for i in (1, 2))
    pull = np.array([1e-6 if n == "one" else PENALTY for n in names])
    start = np.array([FIXED.get(n, 0.0) for n in names])
    best = None
    for power in POWERS:
        seen, out = np.exp(-power * unseen), set()
        while True:
            free = [i for i, n in enumerate(names) if n not in FIXED and n not in out]
            w = newton(x, y, weight, seen, start, free, pull)
            bad = {n for n, v in zip(names, w) if v < 0 and n in RISES or v > 0 and n in FALLS}
            if not bad:
                break
            out |= bad
        value = likelihood(chance(x, w, seen), y, weight) - pull @ w ** 2 / 2
        if best is None or value > best[0]:
            best = (value, {**dict(zip(names, w)), "unseen": power})
    return best[1]


def weigh_anew(judged, tables):
    """The confidences as dx_trust() will give them."""
    for _, found, *_ in judged:
        for leaf, _ in found.values():
            if "grounds" in leaf:
                w, traits = tables[leaf["grounds"]["read"]], leaf["grounds"]
                x = sum(w[n] * v for n, v in traits.items() if n not in ("unseen", "read"))
                p = math.exp(-w["unseen"] * traits["unseen"]) / (1 + math.exp(-x))
                leaf["confidence"] = min(max(p, .01), .99)


def write_table(path, tables, counts):
    lines = ["/* Written by tests/bench/trust.py --fit from values of drawn papers: "
             f"{counts[0]} of a text layer, {counts[1]} read. */"]
    for weights in tables:
        lines += ["{"] + [f"    [TRAIT_{name.upper()}] = {value:.3f}," for name, value in weights.items()] + ["},"]
    path.write_text("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("drawn", type=pathlib.Path, nargs="*")
    parser.add_argument("--eval", type=pathlib.Path)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--fit", type=pathlib.Path)
    parser.add_argument("--bins", action="store_true", help="print the bins of the ECE too")
    args = parser.parse_args()
    judged = [j for folder in args.drawn for j in judged_drawn(folder, args.work)]
    kept = [j for i, j in enumerate(judged) if i % 5 == 0]
    if args.fit:
        rows = by_source(samples([j for i, j in enumerate(judged) if i % 5]))
        tables = [fit(r) for r in rows]
        write_table(args.fit, tables, [len(r) for r in rows])
    sets = [("drawn, as PDF with text", [j for j in kept if j[0].endswith(".pdf")]),
            ("drawn, as scan", [j for j in kept if not j[0].endswith(".pdf")])] if judged else []
    if args.eval:
        sets.append(("receipts", judged_eval(args.eval, "receipts", "file", "receipt", args.work)))
        sets.append(("invoices", judged_eval(args.eval, "invoices", "file_noxml", "invoice", args.work)))
    for name, rows in sets:
        if args.fit:
            weigh_anew(rows, tables)
        if rows:
            report(name, rows)
            if args.bins:
                bins(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
