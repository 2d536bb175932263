#!/usr/bin/python3
"""The parts of model/training that need no PyTorch: labels against drawn pages, reading.py
against perfect anchors, export.py against the weights in the repository and the program."""
import json
import os
import pathlib
import random
import runpy
import shutil
import subprocess
import sys
import tempfile
import unittest

import numpy as np
import yaml
from PIL import Image, ImageFilter

ROOT = pathlib.Path(__file__).resolve().parents[2]
TRAINING = ROOT / "model" / "training"
NANO = ROOT / "model" / "nano"
FACES = pathlib.Path("/usr/share/fonts/truetype/dejavu")   # package fonts-dejavu-core
STANDARD = {"sans": ("DejaVuSans", "DejaVuSans-Bold"), "mono": ("DejaVuSansMono", "DejaVuSansMono-Bold"),
            "serif": ("DejaVuSerif", "DejaVuSerif-Bold")}
LEAST_RECALL = .98
PAGES = ("invoice.invoice", "receipt.retail", "office.letter", "office.form")

sys.dont_write_bytecode = True
sys.path.insert(0, str(TRAINING))
import anchors  # noqa: E402
import asks  # noqa: E402
import export  # noqa: E402
import own  # noqa: E402
import reading  # noqa: E402


def load_docgen(folder):
    """The generator with every face of build_fonts.py replaced by one that each machine has."""
    shutil.copytree(TRAINING / "docgen", folder / "docgen",
                    ignore=shutil.ignore_patterns("fonts", "__pycache__"))
    sys.path.insert(0, str(folder / "docgen"))
    import build_fonts
    for cls, family, _, files in build_fonts.families():
        plain, bold = STANDARD.get(cls, STANDARD["sans"])
        for style in files:
            target = folder / "docgen" / "fonts" / cls / f"{family}-{style}.ttf"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(FACES / f"{bold if style in 'bz' else plain}.ttf")
    sys.path.insert(0, str(folder))
    import docgen
    return docgen


class Drawn(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        folder = pathlib.Path(cls.folder.name)
        cls.docgen = load_docgen(folder)
        cls.pages = [cls.docgen.make(random.Random(seed), kind, (992, 1403), geometry=0)
                     for seed, kind in enumerate(PAGES)]

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_ink_stands_at_every_label(self):
        """Around the middle of a character there is print; the same places moved by a line are often blank."""
        for page in self.pages:
            with self.subTest(page.kind):
                paper = page.img.filter(ImageFilter.MaxFilter(3))
                ink = np.abs(np.asarray(page.img, int) - int(np.median(np.asarray(paper)))) > 25
                hit = [ink[max(0, int(y - cap)): int(y + cap) + 1, max(0, int(x - 3)): int(x + 4)].any()
                       for x, y, _, cap, _ in page.chars]
                self.assertGreater(len(hit), 40)
                self.assertGreater(np.mean(hit), .99)

    def test_values_stand_in_the_text(self):
        for page in self.pages:
            with self.subTest(page.kind):
                sheet = asks.Sheet(page, random.Random(1), 0)
                rows = sheet.text.replace("\t", " ")
                found = [sheet.value(v, page.boxes[k]) for k, v in page.fields.items()
                         if isinstance(v, str) and v not in ("checked", "unchecked")]
                self.assertTrue(found)
                for ok, value in found:
                    for part in (value or "").split(", ") if ok else []:
                        self.assertIn(part, rows)

    def test_oracle(self):
        """reading.py finds the characters of drawn pages when the anchors say what their labels say."""
        for page in self.pages[:3]:
            with self.subTest(page.kind):
                chars = max(([(x - dx, y - dy, *c) for x, y, *c in page.chars
                              if 0 <= x - dx < 512 and 0 <= y - dy < 512 and c[1] >= 8]
                             for dx in (0, 480) for dy in (0, 480, 891)), key=len)
                self.assertGreater(len(chars), 60)
                found = read_labels(anchors.labels(chars, 0, 0, 512, 512), len(self.docgen.CHARS), self.docgen.CHARS)
                self.assertGreaterEqual(recall(chars, found), LEAST_RECALL)
                self.assertLessEqual(len(found), 1.02 * len(chars))


def read_labels(label, classes, chars):
    label = label.astype(np.float32)
    kind = np.maximum(label[..., 0].astype(int), 0)
    cls = np.eye(classes + 1, dtype=np.float32)[kind].reshape(1, 32, 32, 4, -1)
    geo = label[..., 1:].reshape(1, 32, 32, 4, 4).copy()
    geo[..., 3] = np.where(geo[..., 3] > .5, 6, -6)          # log-odds of a gap
    return reading.characters(reading.anchors(cls, geo, 1, 1), chars)


def recall(chars, found):
    places = np.array([(c[0], c[1]) for c in found]).reshape(-1, 2)
    kinds = np.array([c[2] for c in found], int)
    hit = 0
    for x, y, kind, *_ in chars:
        near = (np.abs(places[:, 0] - x) < 2.5) & (np.abs(places[:, 1] - y) < 5)
        hit += bool((kinds[near] == kind).any())
    return hit / max(1, len(chars))


class Oracle(unittest.TestCase):
    def test_lines_of_every_pitch(self):
        """Rows of print of 8 to 30 pixels, set with 4 pixels and more from character to character."""
        rng = random.Random(5)
        chars, y = [], 14.
        while y < 500:
            cap = rng.uniform(8, 22)
            x = rng.uniform(4, 20)
            while x < 500:
                chars.append((x, y, rng.randint(1, 62), cap, 0))
                x += cap * rng.uniform(.72, .95)
            y += cap * 2.3
        text = "".join(chr(0x4e00 + i) for i in range(62))   # no face is narrow
        found = read_labels(anchors.labels(chars, 0, 0, 512, 512), 62, text)
        self.assertGreaterEqual(recall(chars, found), LEAST_RECALL)
        self.assertLessEqual(len(found), 1.02 * len(chars))

    def test_small_print_is_not_judged(self):
        label = anchors.labels([(100, 100, 7, anchors.LEAST - .1, 0)], 0, 0, 512, 512)
        self.assertEqual(label[..., 0].min(), -1)
        self.assertEqual(label[..., 0].max(), 0)

    def test_edges(self):
        chars = [(0, 0, 1, 10, 0), (511.9, 511.9, 2, 10, 1), (-3, 20, 3, 10, 0), (300, 530, 4, 10, 0)]
        label = anchors.labels(chars, 0, 0, 512, 512)
        self.assertEqual((label[0, 0, 0], label[31, 127, 0]), (1, 2))
        self.assertFalse((label[..., 0] == 4).any())
        self.assertEqual(anchors.labels([], 0, 0, 512, 512).any(), False)


class Export(unittest.TestCase):
    """What is packed by train.py becomes the checkpoint folder, byte for byte."""

    def packed(self):
        blob = (NANO / "model.safetensors").read_bytes()
        size = int.from_bytes(blob[:8], "little")
        head, data = json.loads(blob[8:8 + size]), blob[8 + size:]

        def raw(name):
            a, b = head[name]["data_offsets"]
            return data[a:b]
        out = bytearray()
        for name, shape in export.entries(4, self.classes):
            if name == "vision.pos_embed":                    # kept as numbers: pack it as train.py does
                q = np.frombuffer(raw(name), "<f4").reshape(shape)
                scale = np.maximum(np.abs(q).max(1), 1e-8) / np.float32(127)
                out += scale.astype("<f4").tobytes() + np.rint(q / scale[:, None]).astype(np.int8).tobytes()
            else:
                out += (raw(name + "_scale") if name + "_scale" in head else b"") + raw(name)
        return bytes(out)

    def setUp(self):
        self.chars = runpy.run_path(str(TRAINING / "docgen" / "alphabet.py"))["CHARS"]
        self.classes = len(self.chars) + 1

    def test_round_trip(self):
        blob = self.packed()
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "in").mkdir()
            half = len(blob) // 2
            (folder / "in" / "part0.bin").write_bytes(blob[:half])
            (folder / "in" / "part1.bin").write_bytes(blob[half:])
            (folder / "in" / "tokenizer.json").write_bytes((NANO / "tokenizer.json").read_bytes())
            subprocess.run([sys.executable, TRAINING / "export.py", folder / "in", folder / "out"], check=True)
            self.assertEqual((folder / "out" / "config.json").read_bytes(), (NANO / "config.json").read_bytes())
            made, kept = ((p / "model.safetensors").read_bytes() for p in (folder / "out", NANO))
            self.assertEqual(len(made), len(kept))
            same = np.frombuffer(made, np.uint8) == np.frombuffer(kept, np.uint8)
            self.assertGreater(same.mean(), .999)             # the places of the patches may round
            program = os.environ.get("DOCVL")
            if program:
                said = subprocess.run([program, "--model", folder / "out", "model", "info"],
                                      capture_output=True, text=True, check=True).stdout
                self.assertIn("docvl-nano", said)

    def test_wrong_size(self):
        with self.assertRaises(SystemExit):
            export.unpack(self.packed()[:-1], 4, self.classes)


class Own(unittest.TestCase):
    """Labelled documents become the questions that the program asks."""

    def leaf(self, raw, page=1):
        return {"value": raw, "raw": raw, "page": page if raw else None}

    def test_receipt(self):
        result = {"schema": "receipt", "fields": {
            "merchant": {"name": self.leaf("Kiosk Blum"), "address": {"raw": self.leaf(None)}},
            "date": self.leaf("3.4.2026"), "total": self.leaf("12,40", 2),
            "lines": [{"description": self.leaf("Brot"), "amount": self.leaf("4,20")}]}}
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "a.json").write_text(json.dumps(result), "utf-8")
            with self.assertRaises(SystemExit):
                own.load(folder, ROOT / "schemas")
            (folder / "a.txt").write_text("Kiosk Blum\n3.4.2026\nBrot\t4,20\f12,40\n", "utf-8")
            asked = own.load(folder, ROOT / "schemas")
        self.assertEqual(len(asked), 4)
        text, question, answer = asked[0]
        self.assertEqual(text, "Kiosk Blum\n3.4.2026\nBrot\t4,20")
        # the same keys in the same order as the drawn questions
        self.assertEqual(question, "Extract JSON: " + ", ".join(asks.RECEIPT))
        answer = json.loads(answer)
        self.assertEqual((answer["merchant_name"], answer["date"], answer["total"]), ("Kiosk Blum", "3.4.2026", None))
        self.assertEqual(asked[1][1], "Extract JSON: lines[" + ", ".join(asks.LINES["receipt"]) + "]")
        self.assertEqual(json.loads(asked[1][2])["lines"][0],
                         {"description": "Brot", "quantity": None, "unit_price": None, "amount": "4,20"})
        self.assertEqual(json.loads(asked[2][2])["total"], "12,40")

    def test_invoice_keys(self):
        asked = own.questions({"fields": {}}, yaml.safe_load((ROOT / "schemas" / "invoice.yaml").read_text("utf-8")), [""])
        self.assertEqual([question for _, question, _ in asked],
                         ["Extract JSON: " + ", ".join(asks.INVOICE), f"Extract JSON: taxes[{', '.join(asks.TAXES)}]",
                          f"Extract JSON: lines[{', '.join(asks.LINES['invoice'])}]"])

    def test_bad_folder(self):
        with tempfile.TemporaryDirectory() as folder:
            with self.assertRaises(SystemExit):
                own.load(folder, ROOT / "schemas")


if __name__ == "__main__":
    unittest.main()
