#!/usr/bin/env python3
"""Checkpoints of the published DeepSeek-VL2 layout (published.py) through the core, against
NumPy; and what a damaged one is answered with.

    test_published.py VL_DUMP

The weights are random: this shows that the three layouts are read and computed as they
are described, not how well a trained one reads.
"""
import json
import math
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


    def test_counts(self):
        """Tensors and parameters of the releases, from their published shapes."""
        for kind, tensors, parameters in (("tiny", 2582, 3370501440),
                                          ("small", 5639, 16148349504),
                                          ("base", 6973, 27480134248)):
            shapes = published.shapes(published.released(kind))
            self.assertEqual(len(shapes), tensors)
            self.assertEqual(sum(math.prod(s) for s, _, _ in shapes.values()), parameters)


def set_in(cfg, path, value):
    *way, key = (int(x) if x.isdigit() else x for x in path.split("."))
    for step in way:
        cfg = cfg[step]
    cfg[key] = dict(cfg[key], **value) if not way else value


L = "language_config."
CONFIGS = [
    ("tiny", L + "n_routed_experts", 9, "mlp.gate.weight has another shape"),
    ("tiny", L + "n_routed_experts", 0, "limits 1 to 1024"),
    ("tiny", L + "n_routed_experts", 1025, "limits 1 to 1024"),
    ("tiny", L + "n_routed_experts", -1, "no number of use"),
    ("tiny", L + "num_experts_per_tok", None, "num_experts_per_tok is no number of use"),
    ("tiny", L + "num_experts_per_tok", 0, "limits 1 to 64"),
    ("tiny", L + "num_experts_per_tok", 9, "9 of 8 eligible experts"),
    ("tiny", L + "num_experts_per_tok", 65, "limits 1 to 64"),
    ("tiny", L + "n_group", 3, "8 experts in 3 groups"),
    ("tiny", L + "topk_group", 2, "2 of them used"),
    ("base", L + "n_group", 9, "3 of 1 eligible experts"),
    ("base", "language_config", {"n_group": 9, "topk_group": 9}, "no two best"),
    ("tiny", L + "topk_method", "best", 'topk_method "best" is not known'),
    ("tiny", L + "topk_method", "noaux_tc", "lack language.model.layers.1.mlp.gate.e_score"),
    ("tiny", L + "scoring_func", "tanh", 'scoring_func "tanh" is not known'),
    ("tiny", L + "scoring_func", 1, "scoring_func"),
    ("tiny", L + "norm_topk_prob", 1, "norm_topk_prob is neither true nor false"),
    ("tiny", L + "routed_scaling_factor", 0, "routed_scaling_factor is not within"),
    ("tiny", L + "routed_scaling_factor", "2", "routed_scaling_factor is not within"),
    ("tiny", L + "moe_intermediate_size", 7, "limits 8 to 65536"),
    ("tiny", L + "moe_intermediate_size", 25, "gate_proj.weight has another shape"),
    ("tiny", L + "moe_intermediate_size", 40000, "2 shared experts of 40000, limit 65536"),
    ("tiny", L + "n_shared_experts", 3, "shared_experts.gate_proj.weight has another shape"),
    ("tiny", L + "first_k_dense_replace", 0, "lack language.model.layers.0.mlp.gate.weight"),
    ("tiny", L + "first_k_dense_replace", 2,
     "lack language.model.layers.1.mlp.gate_proj.weight"),
    ("tiny", L + "moe_layer_freq", 0, "limits 1 to 256"),
    ("tiny", L + "use_mla", True, "qk_rope_head_dim is 0"),
    ("tiny", L + "use_mla", "no", "use_mla is neither true nor false"),
    ("tiny", L + "rope_scaling", {"type": "yarn"}, "rope_scaling"),
    ("tiny", L + "attention_bias", True, "attention_bias"),
    ("tiny", L + "num_hidden_layers", 4, "lack language.model.layers.3."),
    ("small", L + "use_mla", False, "5 heads do not divide 64"),
    ("small", L + "kv_lora_rank", 7, "limits 8 to 4096"),
    ("small", L + "kv_lora_rank", 33, "kv_a_proj_with_mqa.weight has another shape"),
    ("small", L + "q_lora_rank", 24, "lack language.model.layers.0.self_attn.q_a_proj.weight"),
    ("small", L + "qk_rope_head_dim", 7, "qk_rope_head_dim is odd"),
    ("small", L + "qk_rope_head_dim", 258, "limits 2 to 256"),
    ("small", L + "qk_nope_head_dim", 249, "a head of 257 values, limit 256"),
    ("small", L + "qk_nope_head_dim", 248, "q_proj.weight has another shape"),
    ("small", L + "v_head_dim", 13, "kv_b_proj.weight has another shape"),
    ("small", L + "num_key_value_heads", 1, "grouped key and value heads"),
    ("small", "vision_config.heads", 129, "limits 1 to 128"),
    ("small", "vision_config.heads", 5, "vision_config sizes do not fit"),
    ("small", "vision_config.width", 514, "a head of 257 values, limit 256"),
    ("small", "vision_config.width", 512, "projector_config 144 to 64 joins 512 to 64"),
    ("small", "projector_config.token_pooling", True, "token_pooling"),
    ("small", "projector_config.n_embed", 65, "projector_config"),
    ("small", "candidate_resolutions.0", [384, 383], "is not made of tiles"),
]
EXPERT = "language.model.layers.2.mlp.experts.5.down_proj.weight"


class Damage(unittest.TestCase):
    """One change each; the answer names it, and nothing is allocated after it."""

    @classmethod
    def setUpClass(cls):
        cls.room = tempfile.TemporaryDirectory()
        cls.image = os.path.join(cls.room.name, "picture.ppm")
        picture((40, 40)).save(cls.image)
        cls.made = {}
        for kind in ("tiny", "small", "base"):
            folder = os.path.join(cls.room.name, kind)
            cls.made[kind] = (folder, *published.make(folder, kind, seed=SEEDS[kind]))

    @classmethod
    def tearDownClass(cls):
        cls.room.cleanup()

    def refused(self, folder, message):
        result = dump(folder, self.image)
        self.assertEqual(result.returncode, 1, result.stdout)
        self.assertIn(message, result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1)

    def test_config(self):
        for kind, path, value, message in CONFIGS:
            folder, cfg, _ = self.made[kind]
            with self.subTest(kind=kind, path=path, value=value):
                changed = json.loads(json.dumps(cfg))
                set_in(changed, path, value)
                self.put(folder, "config.json", changed)
                self.refused(folder, message)
            self.put(folder, "config.json", cfg)

    def put(self, folder, name, value):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            json.dump(value, f, ensure_ascii=False)

    def test_tensors(self):
        folder, _, tensors = self.made["tiny"]
        bad = lambda name, number: dict(tensors, **{name: self.spoilt(tensors[name], number)})
        gate = "language.model.layers.1.mlp.gate.weight"
        embed = "language.model.embed_tokens.weight"
        cases = [
            ({k: v for k, v in tensors.items() if k != EXPERT}, f"the weights lack {EXPERT}"),
            (dict(tensors, **{EXPERT: tensors[EXPERT].T}), f"{EXPERT} has another shape"),
            (dict(tensors, **{EXPERT: tensors[EXPERT].ravel()}), f"{EXPERT} has another shape"),
            (bad(EXPERT, 0x7FC0), f"{EXPERT} holds a number that is not finite"),
            (bad(gate, 0xFF80), f"{gate} holds a number that is not finite"),
            (bad(embed, 0x7F80), f"{embed} holds a number that is not finite"),
        ]
        for changed, message in cases:
            with self.subTest(message=message):
                published.write_weights(folder, changed)
                self.refused(folder, message)
        published.write_weights(folder, tensors)

    def spoilt(self, x, number):
        x = x.copy()
        x.flat[x.size // 2] = number
        return x

    def test_files(self):
        folder, _, tensors = self.made["tiny"]
        shard = "model-00002-of-000003.safetensors"
        path = os.path.join(folder, shard)
        with open(path, "rb") as f:
            whole = f.read()
        for length in (0, 7, 8, 100, len(whole) // 2, len(whole) - 1):
            with self.subTest(length=length):
                with open(path, "wb") as f:
                    f.write(whole[:length])
                self.refused(folder, shard)
        os.remove(path)
        self.refused(folder, shard)
        published.write_weights(folder, tensors)
        index = os.path.join(folder, "model.safetensors.index.json")
        with open(index, encoding="utf-8") as f:
            names = json.load(f)
        names["weight_map"]["language.model.layers.9.x"] = shard
        self.put(folder, "model.safetensors.index.json", names)
        self.refused(folder, "language.model.layers.9.x")
        published.write_weights(folder, tensors)
        self.assertEqual(dump(folder, self.image).returncode, 0)


SEEDS = {"tiny": 0, "small": 0, "base": 0, "lora": 0}

if __name__ == "__main__":
    DUMP = sys.argv.pop(1)
    unittest.main(verbosity=2)
