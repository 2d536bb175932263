#!/usr/bin/env python3
"""Checks the labels of generated pages against the pages.

    test_docgen.py [PAGES_OF_EACH_KIND] [--speed]

Needs NumPy and Pillow, and fonts/ (see build_fonts.py).
"""
import argparse
import collections
import os
import random
import re
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import numpy as np  # noqa: E402
import docgen  # noqa: E402
from docgen import CHARS, KINDS, build_fonts, content, kinds_finance, kinds_loose, kinds_office, kinds_receipt, labels  # noqa: E402
from docgen.canvas import FONTS  # noqa: E402

# Class labels that users ask for by name; each must be drawn, and most of its pages must carry a title.
COMMON = ["invoice.invoice", "invoice.credit_note", "order.purchase_order", "order.quotation",
          "logistics.delivery_note", "payment.bank_statement", "payment.reminder", "hr.payslip"]
LEAST_TITLED = .8
UNTITLED = ["receipt.retail", "order.contract", "office.letter", "office.form", "hr.resume", "office.email"]
LEAST_CONTRAST = 25         # grey levels between the paper and the darkest print of a value
MOST_COLLISIONS = .1        # pieces over pieces, a page, averaged over all kinds


def squash(text):
    """The text without white space and commas: what joins the lines of a value is not printed."""
    return re.sub(r"[\s,]+", "", text)


def missing_in_box(page, box, text, tolerance=2.5):
    """How many characters of the text have no centre in the box."""
    x0, y0, x1, y1 = box
    got = collections.Counter(
        CHARS[k - 1] for x, y, k, *_ in page.chars
        if x0 - tolerance <= x <= x1 + tolerance and y0 - tolerance <= y <= y1 + tolerance)
    want = collections.Counter(c for c in text if not c.isspace() and c in docgen.CIDX)
    return sum((want - got).values())


def contrast(page, box):
    """Grey levels between the lightest and the darkest pixel of the box."""
    x0, y0 = (max(0, int(v)) for v in box[:2])
    part = np.asarray(page.img)[y0: int(box[3]) + 1, x0: int(box[2]) + 1]
    return int(part.max()) - int(part.min()) if part.size else 0


def printed(value, whole):
    """Whether the value occurs in the squashed page text: in one run, or line by line, or word by word."""
    if squash(value) in whole:
        return True
    return any(all(squash(t) in whole for t in value.split(joint)) for joint in (", ", " "))


def check_list(page, key, rows, say):
    boxes = page.boxes[key]
    if len(boxes) != len(rows):
        return say("boxes and rows differ", key, len(boxes), len(rows))
    for row, box in zip(rows, boxes):
        missing = missing_in_box(page, box, "".join(row.values()))
        if missing:
            say("row box", key, row, missing)


def check_field(page, key, value, whole, say):
    box = page.boxes.get(key)
    if box is None:
        return say("no box", key)
    if not (box[0] >= -3 and box[1] >= -3 and box[2] <= page.w + 3 and box[3] <= page.h + 3):
        say("box outside", key, box)
    if value in ("checked", "unchecked"):
        return
    if not value.strip():
        return say("empty value", key)
    if not printed(value, whole):
        say("not printed", key, value)
    missing = missing_in_box(page, box, value.replace(", ", " ") if key.endswith("address") else value)
    if missing:
        say("box misses", key, value, missing)
    if contrast(page, box) < LEAST_CONTRAST:
        say("nothing drawn in the box", key, value)


def check_page(page, problems):
    """Adds what is wrong with the labels of one page to problems."""
    def say(*what):
        problems.append((page.kind, *what))
    if page.img.mode != "L" or page.img.size != (page.w, page.h):
        say("image", page.img.mode, page.img.size, page.w, page.h)
    outside = [c for c in page.chars if not (0 <= c[0] < page.w and 0 <= c[1] < page.h)]
    if outside:
        say("char outside", outside[0])
    if len(page.chars) < 20 and page.kind != "page.text":
        say("nearly empty", len(page.chars))
    if len(page.pieces) != len(page._meta):
        say("meta differs")
    rows = page.rows()
    if sorted(i for row in rows for i in row) != list(range(len(page.pieces))):
        say("rows lose pieces")
    whole = squash("".join(page.pieces[i][4] for row in rows for i in row))
    if whole != squash("".join(page.lines())):
        say("lines and rows differ")
    for key, value in page.fields.items():
        if isinstance(value, list):
            check_list(page, key, value, say)
        else:
            check_field(page, key, value, whole, say)
    for label, value, box in page.pairs:
        if missing_in_box(page, box, value):
            say("pair box", label, value)
        if not printed(label, whole):
            say("label not printed", label)


def collisions(page):
    """How many pieces cover another one, as they lay before the page was turned."""
    count, pieces = 0, sorted(getattr(page, "_flat", page.pieces), key=lambda q: q[1])
    for i, a in enumerate(pieces):
        for b in pieces[i + 1:]:
            if b[1] > a[3] - 3:
                break
            dx, dy = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
            count += dx > 4 and dy > .45 * min(a[3] - a[1], b[3] - b[1])
    return count


def seed_of(kind, i):
    """A seed that differs between kinds and does not change from run to run."""
    return i * 101 + sum(ord(c) * (j + 7) for j, c in enumerate(kind)) % 100003


def test_fonts():
    """fonts/ holds exactly what build_fonts.py makes; another set draws other pages for the same seed."""
    want = {(cls, family, style) for cls, family, _, files in build_fonts.families() for style in files}
    have = {(cls, family, style) for cls, families in FONTS.items()
            for family, styles in families.items() for style in styles}
    assert want == have, f"missing {sorted(want - have)[:5]}, unknown {sorted(have - want)[:5]}"
    assert build_fonts.files_of("A{-R,~,-I}.otf") == {"r": "A-R.otf", "i": "A-I.otf"}
    assert build_fonts.files_of("A.ttf") == {"r": "A.ttf"}


def test_iban():
    """Check digits are right: the rearranged number is 1 modulo 97."""
    r = random.Random(0)
    for country in content.IBAN:
        number = content.iban(r, country)
        turned = number[4:] + number[:4]
        assert int("".join(str(int(c, 36)) for c in turned)) % 97 == 1, number


def test_check_digits():
    """Numbers of companies of which the last digit follows from the others; the first ones are real, given out by the states."""
    weights = {10: (6, 5, 7, 2, 3, 4, 5, 6, 7), 8: (8, 7, 6, 5, 4, 3, 2)}

    def right(number):
        rest = sum(int(d) * w for d, w in zip(number, weights[len(number)])) % 11
        return int(number[-1]) == (rest if len(number) == 10 else (11 - rest) % 10)
    assert right("5260250995") and right("00006947") and not right("5260250996") and not right("00006946")
    r = random.Random(0)
    for _ in range(200):
        assert right(content.nip(r)) and right(content.ico(r))
        page = content.Local(r, "CZ")
        assert right(re.sub(r"\s", "", page.taxno())) and re.fullmatch(r"CZ\d{8,10}", page.vat())
        assert right(re.sub(r"[-\sPL]", "", content.Local(r, "PL").vat()))


def keyed_by_language(module):
    """The tables of a module that have an entry for English and one for German."""
    return {name: table for name, table in vars(module).items() if isinstance(table, dict) and {"en", "de"} <= set(table)}


def test_every_language():
    """No table of words lacks a language, and no word or label has a letter that has no class."""
    tables = {(m.__name__, name): t for m in (content, kinds_finance, kinds_loose, kinds_office) for name, t in keyed_by_language(m).items()}
    assert len(tables) >= 11, sorted(tables)
    tables.update({key: table for store in (labels.LABELS, kinds_loose.PHRASES) for key, table in store.items()})
    for name, table in tables.items():
        assert set(table) == set(content.LANGS), (name, set(content.LANGS) - set(table))
    for lang in content.LANGS:
        said = [s for table in tables.values() for s in (table[lang].values() if isinstance(table[lang], dict) else table[lang])]
        assert set("".join(said + content.words_of(lang))) <= set(CHARS) | {" "}, lang
        assert len(content.words_of(lang)) > 400, lang
    assert {d["lang"] for d in content.COUNTRY.values()} == set(content.LANGS)
    for table in (content.RATES, content.IBAN):
        assert {"PL", "CZ"} <= set(table)


def test_labelled_in_their_own_language(n=4):
    """Papers of a Polish or Czech company have no English labels, unless they are meant to be in English."""
    english = {t.lower().strip(".: ") for table in labels.LABELS.values() for t in table["en"] if " " in t}    # a name may be any one word
    pools = content._POOL, kinds_receipt.POOL
    kinds = [k for k in KINDS if k.split(".")[0] in ("invoice", "order", "logistics", "receipt", "payment")]
    drawn = content.Local.t
    try:
        for country, lang in (("PL", "pl"), ("CZ", "cs")):
            own = {t.lower().strip(".: ") for table in labels.LABELS.values() for t in table.get(lang, ())}
            content._POOL = kinds_receipt.POOL = [country]
            content.Local.t = lambda self, key: drawn(setattr(self, "english", False) or self, key)
            for kind in kinds:
                hits = 0
                for i in range(n):
                    page = docgen.make(random.Random(seed_of(kind, i)), kind)
                    said = {label.lower().strip(".: ") for label, _, _ in page.pairs} | {q[4].lower().strip(".: ") for q in page.pieces}
                    assert not said & (english - own), (kind, country, i, said & (english - own))
                    hits += len(said & own)
                assert hits, f"{kind}: no label in {lang}"
    finally:
        content._POOL, kinds_receipt.POOL = pools
        content.Local.t = drawn


def test_checks_bite():
    """The checks of this file see a shifted box, a value that is not printed, and an empty box."""
    def problems_after(change):
        page = docgen.make(random.Random(3), "invoice.invoice", geometry=0)
        change(page)
        problems = []
        check_page(page, problems)
        return {p[1] for p in problems}

    def shift(page):
        x0, y0, x1, y1 = page.boxes["gross_total"]
        page.boxes["gross_total"] = (x0, y0 - 40, x1, y1 - 40)

    def forge(page):
        page.fields["gross_total"] = "QXZ 999999.99"

    def wipe(page):
        page.img.paste(page.bg, [int(v) for v in page.boxes["gross_total"]][:2] +
                       [int(v) + 1 for v in page.boxes["gross_total"]][2:])

    assert problems_after(lambda page: None) == set()
    assert "box misses" in problems_after(shift)
    assert "not printed" in problems_after(forge)
    assert "nothing drawn in the box" in problems_after(wipe)


def test_same():
    """The same state of the random generator gives the same page."""
    for i, kind in enumerate(KINDS):
        a, b = (docgen.make(random.Random(i), kind) for _ in range(2))
        assert a.chars == b.chars and a.lines() == b.lines() and a.fields == b.fields, kind
        assert a.boxes == b.boxes and a.pairs == b.pairs and a.img.tobytes() == b.img.tobytes(), kind


def test_sizes():
    """A size that is asked for is kept."""
    for size in ((1024, 1536), (512, 1024), (768, 768), (1536, 1024), (640, 900)):
        for kind in KINDS:
            page = docgen.make(random.Random(5), kind, size)
            assert page.img.size == size, (kind, page.img.size)


def test_text(n=60):
    """Reading practice carries right labels at the sizes that training asks for."""
    problems = []
    for i in range(n):
        size = ((512, 512), (992, 1403), (512, 992))[i % 3]
        check_page(docgen.random_text(random.Random(i), *size, 400 if i % 3 == 0 else 1800), problems)
    assert not problems, problems[:3]


def test_common_classes(n=20):
    """The usual business classes exist, and their pages say what they are."""
    for kind in COMMON + UNTITLED:
        assert kind in KINDS, kind
    for kind in COMMON:
        titled = sum("document_type" in docgen.make(random.Random(seed_of(kind, i)), kind).fields for i in range(n))
        assert titled >= LEAST_TITLED * n, f"{kind}: {titled} of {n} pages carry a title"


def test_pages(n):
    """Labels of n pages of every kind."""
    problems, hits = [], collections.Counter()
    for kind in KINDS:
        for i in range(n):
            page = docgen.make(random.Random(seed_of(kind, i)), kind)
            assert page.kind in (kind, "page.text"), page.kind
            check_page(page, problems)
            hits[kind] += collisions(page)
    total = n * len(KINDS)
    print(total, "pages;", len(problems), "problems; pieces over pieces:", {k: v for k, v in hits.items() if v})
    for problem in problems[:25]:
        print("  ", *problem)
    assert not problems
    assert sum(hits.values()) <= MOST_COLLISIONS * total, hits


def speed(n=300, warm=900):
    """Prints the milliseconds a page, with warm glyph caches."""
    r = random.Random(77)
    for _ in range(warm):
        docgen.make(r)
    for _ in range(n // 2):
        docgen.random_text(r, 512, 512, 400)
    by_group, start = collections.defaultdict(list), time.time()
    for _ in range(n):
        before = time.time()
        page = docgen.make(r)
        by_group[page.kind.split(".")[0]].append((time.time() - before) * 1e3)
    pages = (time.time() - start) / n
    start = time.time()
    for _ in range(n):
        docgen.random_text(r, 512, 512, 400)
    text = (time.time() - start) / n
    print(f"page {pages * 1e3:.1f} ms ({1 / pages:.0f} a second), random_text 512x512 {text * 1e3:.1f} ms;",
          {k: round(sum(v) / len(v), 1) for k, v in by_group.items()})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", type=int, nargs="?", default=6, help="pages of each kind")
    parser.add_argument("--speed", action="store_true", help="also measure the pages a second")
    args = parser.parse_args()
    tests = [test_fonts, test_iban, test_check_digits, test_every_language, test_labelled_in_their_own_language, test_checks_bite, test_text, test_same, test_sizes, test_common_classes,
             lambda: test_pages(args.pages)]
    for test in tests:
        test()
    print(len(tests), "passed, 0 failed")
    if args.speed:
        speed()


if __name__ == "__main__":
    main()
