#!/usr/bin/env python3
"""Checkpoints of the published DeepSeek-VL2 layout (published.py) through the core, against
NumPy; and what a damaged one is answered with.

    test_published.py VL_DUMP

The weights are random: this shows that the three layouts are read and computed as they
are described, not how well a trained one reads.
"""
import json
import os
import subprocess
import sys
import tempfile
import unittest

import numpy as np
from PIL import Image

sys.dont_write_bytecode = True
import published  # noqa: E402

DUMP = None
PROMPT = "What is shown? 12,50"
TOKENS = 5
# Grids of 1 x 1, 2 x 1 and 1 x 2 tiles: 421 to 631 positions, so the prompt runs in
# several batches, and the answer's tokens one by one.
SIZES = {"tiny": (500, 250), "small": (300, 420), "base": (384, 384), "lora": (385, 384)}


def picture(size):
    y, x = np.mgrid[0:size[1], 0:size[0]]
    a = [128 + 60 * np.sin(x / 5) * np.cos(y / 9) + 50 * ((x // 12 + y // 17) % 2),
         255 * x / size[0], 255 * y / size[1]]
    return Image.fromarray(np.clip(np.stack(a, -1), 0, 255).astype(np.uint8))


def dump(folder, image, out=None, *options):
    command = [DUMP, "-t", "2", "-n", str(TOKENS), "-p", PROMPT, *options]
    command += ["-o", out] if out else []
    return subprocess.run([*command, folder, image], capture_output=True, text=True,
                          errors="replace", check=False)


def stage(folder, name):
    return np.fromfile(os.path.join(folder, name + ".f32"), np.float32).astype(float)


def ids_of(tok, text):
    """Bytes: no merge applies to these texts."""
    return [tok["model"]["vocab"][published.alphabet()[b]] for b in text.encode()]


def special(tok, name):
    return next(t["id"] for t in tok["added_tokens"] if t["content"] == name)


def expect(kind, net, image, answer):
    """Vectors of the picture, and the logits before each token of the answer and behind."""
    tok = published.tokenizer(kind)
    rows = net.picture(image)
    embed = net.w["language.model.embed_tokens.weight"]
    before = [special(tok, "<｜begin▁of▁sentence｜>"), special(tok, "<|User|>"),
              *ids_of(tok, ": ")]
    after = [*ids_of(tok, "\n" + PROMPT + "\n\n"), special(tok, "<|Assistant|>"),
             *ids_of(tok, ":")]
    logits = net.decode(np.vstack([embed[before], rows, embed[after], embed[answer]]))
    return rows, logits[-1 - len(answer):]


class Parity(unittest.TestCase):
    def close(self, what, found, want, most):
        self.assertEqual(found.size, want.size, what)
        error = np.abs(found - want.ravel()).max() / np.abs(want).max()
        print(f"{what}: {want.size} values, largest error {error:.1e} of the largest value")
        self.assertLess(error, most, what)

    def check(self, kind):
        with tempfile.TemporaryDirectory() as room:
            folder, out = os.path.join(room, kind), os.path.join(room, "out")
            image = picture(SIZES[kind])
            path = os.path.join(room, "picture.ppm")
            image.save(path)
            cfg, tensors = published.make(folder, kind, seed=SEEDS[kind])
            net = published.Net(cfg, tensors)
            os.mkdir(out)
            result = dump(folder, path, out, "-c", "fp32")
            self.assertEqual(result.returncode, 0, result.stderr)
            answer = stage(out, "answer").astype(int).tolist()
            self.assertEqual(len(answer), TOKENS)
            rows, logits = expect(kind, net, image, answer)
            # An expert that is chosen by a hair may be another one in floats.
            self.assertGreater(net.margin, 1e-6)
            self.close(f"{kind}: vectors of the picture", stage(out, "tokens"), rows, 2e-5)
            self.close(f"{kind}: first logits", stage(out, "logits"), logits[0], 5e-5)
            self.assertEqual(answer, logits[:-1].argmax(1).tolist())
            self.close(f"{kind}: last logits", stage(out, "last"), logits[-1], 5e-5)
            result = dump(folder, path, out)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertIn(", int8, ", result.stdout)
            self.alike(f"{kind}, int8: picture", stage(out, "tokens"), rows.ravel(), .999)
            self.alike(f"{kind}, int8: logits", stage(out, "logits"), logits[0], .98)

    def alike(self, what, found, want, least):
        likeness = np.corrcoef(found, want)[0, 1]
        print(f"{what}: correlation {likeness:.5f}")
        self.assertGreater(likeness, least)

    def test_tiny(self):
        self.check("tiny")

    def test_small(self):
        self.check("small")

    def test_base(self):
        self.check("base")

    def test_lora(self):
        self.check("lora")


SEEDS = {"tiny": 0, "small": 0, "base": 0, "lora": 0}

if __name__ == "__main__":
    DUMP = sys.argv.pop(1)
    unittest.main(verbosity=2)
