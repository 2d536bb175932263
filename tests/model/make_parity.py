#!/usr/bin/env python3
"""Makes tests/data/parity/ and tests/data/image/: a tiny model with random weights, what
PyTorch computes with it, token vectors, and pictures resized by Pillow.

    python3 make_parity.py ../data
"""
import json
import math
import os
import re
import sys

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(HERE, "..", "..", "model", "training"))
import reading  # noqa: E402
from export import write_safetensors  # noqa: E402

TILE, PATCH, OVERLAP, W, HEADS, VL, L, MLP, VOCAB = 64, 16, 16, 32, 2, 2, 2, 48, 300
SIDE, ANCHORS, CHARS = TILE // PATCH, 4, "ab0€é"
CLASSES = len(CHARS) + 1
GRIDS = [(1, 1), (1, 2), (2, 1), (2, 2)]
SPECIAL = ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>", "<image>",
           "<|ref|>", "<|/ref|>", "<|det|>", "<|/det|>", "<|grounding|>", "<|User|>",
           "<|Assistant|>"]
MERGES = ["l l", "h e", "he ll", "hell o", "Ġ hello", "a a", "aa aa", "Ġ w", "Ã ©", "i n",
          "in g", "' s", "Ċ Ċ", "Ġ Ġ", "ĠĠ ĠĠ", "o r", "Ġw or"]


# ---- tokenizer ----
def visible():
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    out, n = {b: chr(b) for b in plain}, 0
    for b in range(256):
        if b not in out:
            out[b] = chr(256 + n)
            n += 1
    return out


def tokenizer():
    vocab = {t: i for i, t in enumerate(SPECIAL)}
    for c in visible().values():
        vocab[c] = len(vocab)
    for m in MERGES:
        vocab.setdefault(m.replace(" ", ""), len(vocab))
    added = [{"id": i, "content": t, "special": True} for i, t in enumerate(SPECIAL)]
    pre = [{"type": "Digits", "individual_digits": True},
           {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}]
    return {"version": "1.0", "added_tokens": added, "normalizer": None,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": pre},
            "model": {"type": "BPE", "vocab": vocab, "merges": MERGES}}


WORD = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")


def encode(tok, text):
    """The plain definition: the pair of least rank first, everywhere, until none is left."""
    vocab, rank = tok["model"]["vocab"], {tuple(m.split()): i for i, m in enumerate(MERGES)}
    out = []
    for piece in re.findall(r"\d|\D+", text):
        for word in WORD.findall(piece):
            p = [visible()[b] for b in word.encode()]
            while len(p) > 1:
                best = min(rank.get(pair, 1 << 30) for pair in zip(p, p[1:]))
                if best == 1 << 30:
                    break
                i = 0
                while i < len(p) - 1:
                    if rank.get((p[i], p[i + 1])) == best:
                        p[i:i + 2] = [p[i] + p[i + 1]]
                    i += 1
            out += [vocab[t] for t in p]
    return out


TEXTS = ["hello", " hello", "hello hello's", "aaaaaaa", "  two  blanks \n\n end ", "a1 23",
         "x  9", "\n\nfoo", "word wording", "it's we'll 'tis I'd", "é Éé über", "€ 12,50-",
         "a_b __c", "<|User|>: hello", "\t\tdeep", "don''s", "", " ", "    ", "hello\n"]


# ---- model ----
def weights(seed):
    g = torch.Generator().manual_seed(seed)
    d, out = W, {}

    def mat(name, rows, cols, gain=1.0, shape=None):
        x = torch.randn(rows, cols, generator=g) * gain / math.sqrt(cols)
        scale = (x.abs().amax(1) / 127).float()
        out[name] = torch.round(x / scale[:, None]).to(torch.int8).view(shape or (rows, cols))
        out[name + "_scale"] = scale

    def vec(name, n, base=0.0):
        out[name] = base + .1 * torch.randn(n, generator=g)

    mat("vision.patch_embed.proj.weight", d, PATCH * PATCH, 2, (d, 1, PATCH, PATCH))
    vec("vision.patch_embed.proj.bias", d)
    out["vision.pos_embed"] = .3 * torch.randn(1, SIDE * SIDE, d, generator=g)
    for i in range(VL):
        b = f"vision.blocks.{i}."
        for n in ("norm1", "norm2"):
            vec(b + n + ".weight", d, 1)
            vec(b + n + ".bias", d)
        for n, r, c in (("attn.qkv", 3 * d, d), ("attn.proj", d, d), ("mlp.fc1", 4 * d, d),
                        ("mlp.fc2", d, 4 * d)):
            mat(b + n + ".weight", r, c)
            vec(b + n + ".bias", r)
    vec("vision.norm.weight", d, 1)
    vec("vision.norm.bias", d)
    mat("vision.text_head.weight", ANCHORS * (CLASSES + 4), d, 1.5)
    vec("vision.text_head.bias", ANCHORS * (CLASSES + 4))
    mat("projector.layers.0.weight", d, 4 * d)
    vec("projector.layers.0.bias", d)
    mat("projector.layers.2.weight", d, d)
    vec("projector.layers.2.bias", d)
    vec("image_newline", d)
    vec("view_seperator", d)
    mat("language.model.embed_tokens.weight", VOCAB, d, 4)
    for i in range(L):
        b = f"language.model.layers.{i}."
        vec(b + "input_layernorm.weight", d, 1)
        vec(b + "post_attention_layernorm.weight", d, 1)
        for n in "qkvo":
            mat(b + f"self_attn.{n}_proj.weight", d, d)
        mat(b + "mlp.gate_proj.weight", MLP, d)
        mat(b + "mlp.up_proj.weight", MLP, d)
        mat(b + "mlp.down_proj.weight", d, MLP)
    vec("language.model.norm.weight", d, 1)
    mat("language.lm_head.weight", VOCAB, d, 3)
    return out


class Net:
    def __init__(self, packed):
        self.w = {}
        for n, t in packed.items():
            if n.endswith("_scale"):
                continue
            s = packed.get(n + "_scale")
            self.w[n] = t if s is None else t.float() * s.view(-1, *[1] * (t.ndim - 1))

    def lin(self, x, stem):
        return F.linear(x, self.w[stem + ".weight"], self.w.get(stem + ".bias"))

    def attend(self, q, k, v, causal):
        q, k, v = (t.view(*t.shape[:-1], HEADS, W // HEADS).transpose(-3, -2)
                   for t in (q, k, v))
        s = q @ k.transpose(-1, -2) / math.sqrt(W // HEADS)
        if causal:
            s = s + torch.full(s.shape[-2:], -math.inf).triu(1)
        return (torch.softmax(s, -1) @ v).transpose(-3, -2).flatten(-2)

    def vision(self, x):
        w = self.w
        x = F.conv2d(x[:, None], w["vision.patch_embed.proj.weight"],
                     w["vision.patch_embed.proj.bias"], stride=PATCH)
        x = x.flatten(2).transpose(1, 2) + w["vision.pos_embed"]
        norm = lambda x, n: F.layer_norm(x, (W,), w[n + ".weight"], w[n + ".bias"], 1e-6)
        for i in range(VL):
            b = f"vision.blocks.{i}."
            q, k, v = self.lin(norm(x, b + "norm1"), b + "attn.qkv").chunk(3, -1)
            x = x + self.lin(self.attend(q, k, v, False), b + "attn.proj")
            h = self.lin(norm(x, b + "norm2"), b + "mlp.fc1")
            h = .5 * h * (1 + torch.tanh(math.sqrt(2 / math.pi) * (h + .044715 * h ** 3)))
            x = x + self.lin(h, b + "mlp.fc2")
        return norm(x, "vision.norm")

    def project(self, x, gw, gh):
        n, w = SIDE // 2, self.w
        x = x.view(-1, n, 2, n, 2, W).permute(0, 1, 3, 5, 2, 4).reshape(-1, n, n, 4 * W)
        x = self.lin(F.gelu(self.lin(x, "projector.layers.0")), "projector.layers.2")
        newline = w["image_newline"].view(1, 1, W)
        glob = torch.cat((x[0], newline.expand(n, 1, W)), 1).flatten(0, 1)
        local = x[1:].view(gh, gw, n, n, W).transpose(1, 2).reshape(gh * n, gw * n, W)
        local = torch.cat((local, newline.expand(gh * n, 1, W)), 1).flatten(0, 1)
        return torch.cat((glob, w["view_seperator"][None], local))

    def rms(self, x, n):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.w[n + ".weight"]

    def rope(self, x):
        dim = W // HEADS
        f = 1e4 ** (-torch.arange(0, dim, 2).float() / dim)
        a = torch.outer(torch.arange(x.shape[0]).float(), f)
        x = x.view(-1, HEADS, 2, dim // 2)
        c, s = a.cos()[:, None], a.sin()[:, None]
        return torch.stack((x[:, :, 0] * c - x[:, :, 1] * s,
                            x[:, :, 1] * c + x[:, :, 0] * s), 2).view(-1, W)

    def decode(self, x):
        for i in range(L):
            b = f"language.model.layers.{i}."
            h = self.rms(x, b + "input_layernorm")
            q, k, v = (self.lin(h, b + f"self_attn.{n}_proj") for n in "qkv")
            x = x + self.lin(self.attend(self.rope(q), self.rope(k), v, True),
                             b + "self_attn.o_proj")
            h = self.rms(x, b + "post_attention_layernorm")
            x = x + self.lin(F.silu(self.lin(h, b + "mlp.gate_proj")) *
                             self.lin(h, b + "mlp.up_proj"), b + "mlp.down_proj")
        return self.lin(self.rms(x[-1:], "language.model.norm"), "language.lm_head")[0]


def side(n):
    return OVERLAP + n * (TILE - OVERLAP)


def picture():
    """Something with edges and shades; 90 x 100 pixels takes the grid 2 x 2."""
    y, x = np.mgrid[0:100, 0:90]
    a = 128 + 60 * np.sin(x / 5) * np.cos(y / 9) + 50 * ((x // 12 + y // 17) % 2)
    return np.clip(a, 0, 255).astype(np.uint8)


def characters(logits, gw, gh):
    """Characters of the text head after the definition, in canvas pixels."""
    v = logits.view(gw * gh, SIDE, SIDE, ANCHORS, CLASSES + 4)
    p, geo = torch.softmax(v[..., :CLASSES], -1).numpy(), v[..., CLASSES:].numpy()
    grid = reading.anchors(p, geo, gw, gh, TILE, PATCH, OVERLAP)
    return reading.characters(grid, CHARS, PATCH, PATCH / ANCHORS)


def run(net, tok):
    im, (gw, gh) = Image.fromarray(picture()), (2, 2)
    pad = lambda w, h: np.asarray(ImageOps.pad(im, (w, h), Image.BICUBIC, color=127), np.float32)
    glob, local = pad(TILE, TILE), pad(side(gw), side(gh))
    views = [glob] + [local[y:y + TILE, x:x + TILE] for y in (0, TILE - OVERLAP)
                      for x in (0, TILE - OVERLAP)]
    features = net.vision(torch.from_numpy(np.stack(views)) / 127.5 - 1)
    tokens, head = net.project(features, gw, gh), net.lin(features[1:], "vision.text_head")
    embed = net.w["language.model.embed_tokens.weight"]
    before = [0, 9] + encode(tok, ": ")
    after = encode(tok, "\nhello\n\n") + [10] + encode(tok, ":")
    x = torch.cat((embed[before], tokens, embed[after]))
    answer, margin, first = [], math.inf, None
    for _ in range(12):
        logits = net.decode(x)
        first = logits if first is None else first
        top = logits.topk(2).values
        margin = min(margin, float((top[0] - top[1]) / logits.std()))
        answer.append(int(logits.argmax()))
        x = torch.cat((x, embed[answer[-1:]]))
    chars = characters(head, gw, gh)
    rows = torch.tensor([[x, y, ord(CHARS[k - 1]), height, 1 / (1 + math.exp(-gap)), p]
                         for x, y, k, p, height, gap in chars])
    return margin, {"features": features[1:], "tokens": tokens, "text_head": head,
                    "logits": first, "answer": torch.tensor(answer).float(),
                    "prompt": torch.tensor(after).float(), "chars": rows}


def images(folder):
    g = np.random.default_rng(5)
    source = g.integers(0, 256, (37, 29), np.uint8)
    source[5:20, 8:11] = 0
    out = {"source": source.astype(np.float32)}
    for w, h in ((29, 80), (64, 37), (10, 12), (100, 9), (28, 36), (3, 90), (1, 1)):
        small = Image.fromarray(source).resize((w, h), Image.BICUBIC)
        out[f"{w}x{h}"] = np.asarray(small, np.float32)
    os.makedirs(folder, exist_ok=True)
    write_safetensors(os.path.join(folder, "model.safetensors"), out)


@torch.no_grad()
def main():
    root = sys.argv[1]
    folder, expect = os.path.join(root, "parity"), os.path.join(root, "parity", "expect")
    os.makedirs(expect, exist_ok=True)
    tok = tokenizer()
    # Near ties flip between instruction sets: take the first seed without any.
    best = None
    for seed in range(400):
        packed = weights(seed)
        margin, result = run(Net(packed), tok)
        if 1 in result["answer"].tolist() or len(set(result["answer"].tolist())) < 5:
            continue
        if best is None or margin > best[0]:
            best = margin, seed, packed, result
    margin, seed, packed, result = best
    print(f"seed {seed}, least margin {margin:.3f} deviations, {len(result['chars'])} characters")
    write_safetensors(os.path.join(folder, "model.safetensors"),
                      {n: t.numpy() for n, t in packed.items()})
    result["picture"] = torch.from_numpy(picture().astype(np.float32))
    write_safetensors(os.path.join(expect, "model.safetensors"),
                      {n: t.numpy() for n, t in result.items()})
    config = {
        "model_type": "deepseek_vl_v2", "model_name": "parity", "tile_tag": "2D",
        "global_view_pos": "head", "tile_overlap": OVERLAP,
        "candidate_resolutions": [[side(w), side(h)] for w, h in GRIDS],
        "vision_config": {"width": W, "layers": VL, "heads": HEADS, "patch_size": PATCH,
                          "image_size": TILE, "mlp_ratio": 4.0, "in_chans": 1,
                          "text_head": {"anchors": ANCHORS, "chars": CHARS}},
        "projector_config": {"projector_type": "downsample_mlp_gelu", "input_dim": W,
                             "n_embed": W, "depth": 2, "mlp_ratio": 1, "downsample_ratio": 2},
        "language_config": {"model_type": "deepseek_v2", "use_mla": False, "hidden_size": W,
                            "intermediate_size": MLP, "num_hidden_layers": L,
                            "num_attention_heads": HEADS, "num_key_value_heads": HEADS,
                            "n_routed_experts": None, "vocab_size": VOCAB,
                            "rms_norm_eps": 1e-6, "rope_theta": 10000,
                            "max_position_embeddings": 600}}
    texts = [{"text": t, "ids": encode(tok, t)} for t in TEXTS]
    for name, value in (("config.json", config), ("tokenizer.json", tok),
                        ("expect/tokens.json", texts)):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            json.dump(value, f, ensure_ascii=False, separators=(",", ":"))
            f.write("\n")
    images(os.path.join(root, "image"))


main()
