#!/usr/bin/python3
"""A page that lies turned or askew is read nearly as well as upright, a page of a PDF as
well as its text layer says, and the boxes of words lie where the file shows them.

    tests/test_turned.py        (uses $DOCVL, or build/pipeline/docvl)
"""
import difflib
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCVL = os.environ.get("DOCVL", ROOT / "build" / "pipeline" / "docvl")
ENV = {"DOCVL_MODEL": str(ROOT / "model" / "nano"), "DOCVL_SCHEMAS": str(ROOT / "schemas"),
       "DOCVL_RENDER": str(ROOT / "build" / "pipeline" / "docvl-render"), **os.environ}


def page():
    """A sample on a larger sheet, so that nothing is cut off when it is turned."""
    paper = Image.open(ROOT / "samples" / "receipt-pl.png").convert("L")
    sheet = Image.new("L", (paper.width + 120, paper.height + 120), 255)
    sheet.paste(paper, (60, 60))
    return sheet


def read(picture, folder):
    path = os.path.join(folder, "page.png")
    picture.save(path)
    done = subprocess.run([DOCVL, "read", "--boxes", path], env=ENV, timeout=300,
                          stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)["pages"][0]


def read_pdf(path, *options):
    done = subprocess.run([DOCVL, "read", "--boxes", *options, path], env=ENV, timeout=300,
                          stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)["pages"][0]


def once(words):
    """The boxes of words of some length that occur once."""
    texts = [w["text"] for w in words]
    return {w["text"]: w["bbox"] for w in words
            if texts.count(w["text"]) == 1 and len(w["text"]) > 3}


def middle(box):
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def letters(result):
    return "".join(result["text"].split())


class Turned(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.page = page()
        cls.upright = read(cls.page, cls.folder.name)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def same(self, result, least):
        alike = difflib.SequenceMatcher(None, letters(self.upright), letters(result),
                                        autojunk=False).ratio()
        self.assertGreaterEqual(alike, least)

    def test_quarters(self):
        self.assertGreater(len(letters(self.upright)), 200)
        for quarters, turn in ((1, Image.ROTATE_270), (2, Image.ROTATE_180),
                               (3, Image.ROTATE_90)):
            with self.subTest(quarters=quarters):
                result = read(self.page.transpose(turn), self.folder.name)
                self.same(result, 0.93)
                self.check_boxes(result, quarters)

    def check_boxes(self, result, quarters):
        """Words that occur once, upright and turned: the same place, turned."""
        before, after = once(self.upright["words"]), once(result["words"])
        shared = before.keys() & after.keys()
        self.assertGreater(len(shared), 10)
        near = 0
        for text in shared:
            (x, y), (u, v) = middle(before[text]), middle(after[text])
            want = {1: (1 - y, x), 2: (1 - x, 1 - y), 3: (y, 1 - x)}[quarters]
            near += abs(u - want[0]) < 0.02 and abs(v - want[1]) < 0.02
        self.assertGreaterEqual(near, 0.9 * len(shared))

    def test_askew(self):
        for degrees in (-2.5, 2.5):
            with self.subTest(degrees=degrees):
                askew = self.page.rotate(degrees, Image.BICUBIC, fillcolor=255)
                self.same(read(askew, self.folder.name), 0.9)

    def test_drawn(self):
        """A page of letters, drawn at the size of the tiles, against its text layer."""
        path = ROOT / "samples" / "invoice-de.pdf"
        layer, drawn = read_pdf(path), read_pdf(path, "--text", "never")
        self.assertEqual((layer["source"], drawn["source"]), ("text", "vlm"))
        before, after = once(layer["words"]), once(drawn["words"])
        shared = before.keys() & after.keys()
        self.assertGreaterEqual(len(shared), 0.9 * len(before))
        near = sum(abs(u - v) < 0.005 for text in shared
                   for u, v in zip(middle(before[text]), middle(after[text])))
        self.assertGreaterEqual(near, 0.95 * 2 * len(shared))

    def test_scans(self):
        """A page that is one picture reads as the picture does, coarse or fine."""
        for dpi in (90, 150, 640):
            with self.subTest(dpi=dpi):
                path = os.path.join(self.folder.name, "scan.pdf")
                self.page.save(path, resolution=dpi, quality=95)
                result = read_pdf(path)
                self.same(result, 0.97)
                before, after = once(self.upright["words"]), once(result["words"])
                shared = before.keys() & after.keys()
                self.assertGreater(len(shared), 10)
                for text in shared:
                    for u, v in zip(middle(before[text]), middle(after[text])):
                        self.assertLess(abs(u - v), 0.01)


if __name__ == "__main__":
    unittest.main()
