#!/usr/bin/python3
"""The samples' truths hold together: sums, check digits, size, and what is drawn."""
import importlib.util
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from decimal import Decimal as D

SAMPLES = pathlib.Path(os.environ.get(
    "DOCVL_SAMPLES", pathlib.Path(__file__).resolve().parent.parent / "samples"))
BYTES_MAX = 1_500_000


def truths():
    for path in sorted(SAMPLES.glob("*.expected.json")):
        yield path.name, json.loads(path.read_text("utf-8"))


def column(fields, stem, name):
    """Values of stem.0.name, stem.1.name, …"""
    values = []
    while f"{stem}.{len(values)}.{name}" in fields:
        values.append(D(fields[f"{stem}.{len(values)}.{name}"]))
    return values


def mod97(text):
    return int("".join(str(int(c, 36)) for c in text)) % 97


class Samples(unittest.TestCase):
    def test_each_has_its_document(self):
        names = [name for name, _ in truths()]
        self.assertGreaterEqual(len(names), 8)
        for name, truth in truths():
            document = SAMPLES / name[:-len(".expected.json")]
            self.assertTrue(document.is_file(), document)
            self.assertEqual(truth["schema"], name.partition("-")[0])

    def test_size(self):
        self.assertLess(sum(p.stat().st_size for p in SAMPLES.iterdir()), BYTES_MAX)

    def test_invoice_sums(self):
        for name, truth in truths():
            if truth["schema"] != "invoice":
                continue
            f = truth["fields"]
            with self.subTest(name):
                net, tax, gross = (D(f[f"totals.{k}"]) for k in
                                   ("net_total", "tax_total", "gross_total"))
                self.assertEqual(sum(column(f, "lines", "net_amount")), net)
                self.assertEqual(sum(column(f, "taxes", "taxable_amount")), net)
                self.assertEqual(sum(column(f, "taxes", "tax_amount")), tax)
                self.assertEqual(net + tax, gross)
                self.assertLess(f["issue_date"], f["due_date"])

    def test_receipt_sums(self):
        for name, truth in truths():
            if truth["schema"] != "receipt":
                continue
            f = truth["fields"]
            with self.subTest(name):
                lines = sum(column(f, "lines", "amount"))
                is_net = "subtotal" in f
                self.assertEqual(lines + (D(f["tax_total"]) if is_net else 0), D(f["total"]))
                if "tendered" in f:
                    self.assertEqual(D(f["tendered"]) - D(f["change"]), D(f["total"]))

    def test_ibans(self):
        lengths = {"GB": 22, "DE": 22, "FR": 27, "IE": 22, "NL": 18}
        for name, truth in truths():
            code = truth["fields"].get("payment.accounts.0.iban")
            if code is None:
                continue
            with self.subTest(name):
                self.assertEqual(mod97(code[4:] + code[:4]), 1)
                self.assertEqual(len(code), lengths[code[:2]])

    def check(self, *args):
        for module in ("PIL", "numpy", "reportlab"):
            if importlib.util.find_spec(module) is None:
                self.skipTest(f"python3-{module.lower()} is not installed")
        return subprocess.run([sys.executable, SAMPLES / "draw.py", "--check", *args],
                              capture_output=True, text=True, check=False)

    def test_drawn(self):
        """What the script draws is what lies here: text byte for byte, pictures but for
        the rounding of floats."""
        done = self.check()
        if done.returncode and not is_debian_12():
            self.skipTest("other versions of the drawing libraries than Debian 12 has")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_other_pictures_are_seen(self):
        """One digit painted over, one grey level more, one amount changed: each is told."""
        def painted(path):
            with Image.open(path) as picture:
                picture.load()
                ImageDraw.Draw(picture).rectangle((200, 300, 212, 312), fill=0)
                picture.save(path, quality=95)

        def lighter(path):
            with Image.open(path) as picture:
                picture.point(lambda v: min(255, v + 2)).save(path, quality=95)

        def other_amount(path):
            path.write_text(path.read_text("utf-8").replace("2026", "2025"), "utf-8")
        from PIL import Image, ImageDraw
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            for path in SAMPLES.iterdir():
                if path.suffix in (".pdf", ".tif", ".jpg", ".png", ".json"):
                    shutil.copy(path, folder)
            painted(folder / "receipt-photo.jpg")
            painted(folder / "receipt-pl.png")
            lighter(folder / "receipt-it.png")
            other_amount(folder / "invoice-en.pdf.expected.json")
            (folder / "invoice-de.pdf").write_bytes(b"%PDF-1.4 something else")
            done = self.check("-o", folder)
        told = re.findall(r"(?m)^differs: (.*)$", done.stdout)
        self.assertLessEqual({"receipt-photo.jpg", "receipt-pl.png", "receipt-it.png",
                              "invoice-en.pdf.expected.json", "invoice-de.pdf"}, set(told),
                             done.stderr)
        self.assertNotIn("invoice-fr.pdf", told)


def is_debian_12():
    try:
        return pathlib.Path("/etc/debian_version").read_text("utf-8").startswith("12")
    except OSError:
        return False


if __name__ == "__main__":
    unittest.main()
