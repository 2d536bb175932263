"""Random checkpoints of exactly the published DeepSeek-VL2 layout with small numbers, and
the same network written down again in NumPy.

Names, shapes, configuration keys and order of operations follow the public description
of the three releases; nothing here is shared with model/.  make() writes a folder,
Net computes what the core has to compute, in double precision.
"""
import json
import math
import os

import numpy as np

LETTERS = {"tiny": "B", "small": "A", "base": "B", "lora": "B"}
GRIDS = [(384, 384), (384, 768), (768, 384), (384, 1152), (1152, 384), (384, 1536), (1536, 384),
         (768, 768), (384, 1920), (1920, 384), (384, 2304), (2304, 384), (768, 1152),
         (1152, 768), (384, 2688), (2688, 384), (384, 3072), (3072, 384), (768, 1536),
         (1536, 768), (384, 3456), (3456, 384), (1152, 1152)]
SPECIAL = ["<image>", "<|ref|>", "<|/ref|>", "<|det|>", "<|/det|>", "<|grounding|>", "<|User|>",
           "<|Assistant|>"]

# ---- configuration ----

VISION = {"layers": 2, "mlp_ratio": 3.7362, "model_name": "siglip_so400m_patch14_384",
          "model_type": "vision", "patch_size": 14, "width": 144, "heads": 2}
TINY = {"architectures": ["DeepseekV2ForCausalLM"], "bos_token_id": 0, "eos_token_id": 1,
        "first_k_dense_replace": 1, "hidden_size": 80, "intermediate_size": 104,
        "kv_lora_rank": None, "lm_head": True, "max_position_embeddings": 4096,
        "model_type": "deepseek_v2", "moe_intermediate_size": 24, "n_group": 1,
        "n_routed_experts": 8, "n_shared_experts": 2, "num_attention_heads": 2,
        "num_experts_per_tok": 3, "num_hidden_layers": 3, "num_key_value_heads": 2,
        "q_lora_rank": None, "qk_nope_head_dim": 0, "qk_rope_head_dim": 0, "rm_head": False,
        "topk_group": 1, "topk_method": "greedy", "torch_dtype": "bfloat16", "use_mla": False,
        "v_head_dim": 0, "vocab_size": 400}
SMALL = {"architectures": ["DeepseekV2ForCausalLM"], "bos_token_id": 300, "eos_token_id": 301,
         "first_k_dense_replace": 1, "hidden_size": 64, "intermediate_size": 96,
         "kv_lora_rank": 32, "lm_head": True, "max_position_embeddings": 4096,
         "model_type": "deepseek_v2", "moe_intermediate_size": 24, "n_group": 1,
         "n_routed_experts": 8, "n_shared_experts": 2, "num_attention_heads": 5,
         "num_experts_per_tok": 3, "num_hidden_layers": 3, "num_key_value_heads": 5,
         "q_lora_rank": None, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "rm_head": False,
         "topk_group": 1, "topk_method": "greedy", "torch_dtype": "bfloat16", "v_head_dim": 12,
         "vocab_size": 400}
BASE = {"bos_token_id": 0, "eos_token_id": 1, "first_k_dense_replace": 1, "hidden_size": 64,
        "intermediate_size": 96, "kv_lora_rank": 32, "lm_head": True,
        "max_position_embeddings": 4096, "model_type": "deepseek_v2",
        "moe_intermediate_size": 24, "n_group": 1, "n_routed_experts": 9,
        "n_shared_experts": 2, "norm_topk_prob": True, "num_attention_heads": 4,
        "num_experts_per_tok": 3, "num_hidden_layers": 3, "q_lora_rank": None,
        "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "rm_head": False,
        "routed_scaling_factor": 2.0, "scoring_func": "sigmoid", "topk_group": 1,
        "topk_method": "noaux_tc", "torch_dtype": "bfloat16", "v_head_dim": 16,
        "vocab_size": 400}
# Not published: queries of low rank and groups, as the family's larger text models have.
LORA = dict(BASE, q_lora_rank=24, n_group=4, topk_group=2, n_routed_experts=12,
            first_k_dense_replace=0, moe_layer_freq=2)
LANGUAGE = {"tiny": TINY, "small": SMALL, "base": BASE, "lora": LORA}
# What the releases have in their places.
RELEASED = {
    "tiny": {"hidden_size": 1280, "intermediate_size": 6848, "moe_intermediate_size": 896,
             "n_routed_experts": 64, "num_attention_heads": 10, "num_experts_per_tok": 6,
             "num_hidden_layers": 12, "num_key_value_heads": 10, "vocab_size": 129280},
    "small": {"bos_token_id": 100000, "eos_token_id": 100001, "hidden_size": 2048,
              "intermediate_size": 10944, "kv_lora_rank": 512,
              "moe_intermediate_size": 1408, "n_routed_experts": 64, "num_attention_heads": 16,
              "num_experts_per_tok": 6, "num_hidden_layers": 27, "num_key_value_heads": 16,
              "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
              "vocab_size": 102400},
    "base": {"hidden_size": 2560, "intermediate_size": 12288, "kv_lora_rank": 512,
             "moe_intermediate_size": 1536, "n_routed_experts": 72, "num_attention_heads": 32,
             "num_experts_per_tok": 6, "num_hidden_layers": 30, "qk_nope_head_dim": 128,
             "qk_rope_head_dim": 64, "v_head_dim": 128, "vocab_size": 129280}}


def released(kind):
    cfg = config(kind, language=RELEASED[kind])
    del cfg["vision_config"]["heads"]
    cfg["vision_config"].update(layers=27, width=1152)
    cfg["projector_config"]["input_dim"] = 1152
    return cfg


def config(kind, **changes):
    language = dict(LANGUAGE[kind], **changes.pop("language", {}))
    return {"model_type": "deepseek_vl_v2", "tile_tag": "2D", "global_view_pos": "head",
            "candidate_resolutions": [list(g) for g in GRIDS], "torch_dtype": "bfloat16",
            "vision_config": dict(VISION), "language_config": language,
            "projector_config": {"model_type": "mlp_projector", "input_dim": VISION["width"],
                                 "n_embed": language["hidden_size"]}, **changes}


# ---- tokenizer: the published pre-tokenizers over an alphabet of bytes ----

def alphabet():
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    out, n = {b: chr(b) for b in plain}, 0
    for b in range(256):
        if b not in out:
            out[b] = chr(256 + n)
            n += 1
    return out


def split(pattern):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated",
            "invert": False}


# Cased letters of the tokenizer of the small model, as code points: written as characters,
# an editor that normalises would change three of them.
CASED = """0041-005A 0061-007A 00B5 00C0-00D6 00D8-00F6 00F8-01BA 01BC-01BF 01C4-0293
0295-02AF 0370-0373 0376 0377 037B-037D 037F 0386 0388-038A 038C 038E-03A1 03A3-03F5
03F7-0481 048A-052F 0531-0556 10A0-10C5 13A0-13F5 13F8-13FD 1C90-1CBA 1CBD-1CBF 1D00-1D2B
1D6B-1D77 1D79-1D9A 1E00-1F15 1F18-1F1D 1F20-1F45 1F48-1F4D 1F50-1F57 1F59 1F5B 1F5D
1F5F-1F7D 1F80-1FB4 1FB6-1FBC 1FBE 1FC2-1FC4 1FC6-1FCC 1FD0-1FD3 1FD6-1FDB 1FE0-1FEC
1FF2-1FF4 1FF6-1FFC 2102 2107 210A-2113 2115 2119-211D 2124 2126 2128 212A-212D 212F-2134
2139 213C-213F 2145-2149 214E 2183 2184 2C00-2C7B 2C7E-2CE4 2CEB-2CEE 2CF2 2CF3 A640-A66D
A680-A69B A722-A76F A771-A787 A78B-A78E AB70-ABBF FB00-FB06 FB13-FB17 FF21-FF3A FF41-FF5A
10400-1044F 104B0-104D3 104D8-104FB 10C80-10CB2 10CC0-10CF2 118A0-118DF 1E900-1E943"""


def cased():
    return "".join("-".join(chr(int(x, 16)) for x in part.split("-"))
                   for part in CASED.split())


PATTERNS = {
    "A": ["[\r\n]", f"\\s?[{cased()}]+", "\\s?[!-/:-~！-／：-～‘-‟\u3000-。]+", "\\s+$",
          "[一-龥ࠀ-一가-\ud7ff]+"],
    "B": ["\\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+",
          "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?"
          "[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"]}


def tokenizer(kind):
    letter, rows = LETTERS[kind], LANGUAGE[kind]["vocab_size"]
    bos = LANGUAGE[kind]["bos_token_id"]
    names = ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>"]
    specials = {bos + i: n for i, n in enumerate(names)}
    first = bos + 3 if letter == "A" else rows - 30
    specials.update({first + i: n for i, n in enumerate(SPECIAL)})
    # The published vocabularies lack the bytes that never occur in UTF-8.
    letters = [c for b, c in alphabet().items() if b not in (0xC0, 0xC1) and b < 0xF5]
    vocab, at = {}, 0
    for i, n in specials.items():
        if letter == "B" and i < 3:
            vocab[n] = i
    for c in letters + ["zq", "qz", "zqqz"]:
        while at in specials:
            at += 1
        vocab[c] = at
        at += 1
    stages = [split(p) for p in PATTERNS[letter]]
    if letter == "A":
        stages.append({"type": "Digits", "individual_digits": True})
    stages.append({"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                   "use_regex": False})
    added = [{"id": i, "content": n, "single_word": False, "lstrip": False, "rstrip": False,
              "normalized": i < bos + 3, "special": True} for i, n in specials.items()]
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
            "normalizer": {"type": "Sequence", "normalizers": []},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": stages},
            "post_processor": {"type": "ByteLevel", "add_prefix_space": True,
                               "trim_offsets": False, "use_regex": True},
            "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True,
                        "use_regex": True},
            "model": {"type": "BPE", "dropout": None, "unk_token": None,
                      "continuing_subword_prefix": None, "end_of_word_suffix": None,
                      "fuse_unk": False, "byte_fallback": False, "vocab": vocab,
                      "merges": ["z q", "q z", "zq qz"]}}


# ---- weights ----

def to_bfloat(x):
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def from_bfloat(x):
    return (x.astype(np.uint32) << 16).view(np.float32)


def shapes(cfg):
    """Every tensor of the published files, also those that no one uses: its shape, and the
    middle and spread of its random numbers."""
    out = {}
    v, c = cfg["vision_config"], cfg["language_config"]
    w, n = v["width"], c["hidden_size"]
    mlp = math.trunc(w * v["mlp_ratio"])

    def mat(name, *shape, gain=1.0):
        out[name] = shape, 0.0, gain / math.sqrt(math.prod(shape[1:]))

    def vec(name, *shape, base=0.0, spread=.1):
        out[name] = shape, base, spread

    def lin(stem, rows, columns, gain=1.0):
        mat(stem + ".weight", rows, columns, gain=gain)
        vec(stem + ".bias", rows)

    def norm(stem, size):
        vec(stem + ".weight", size, base=1)
        vec(stem + ".bias", size)

    p = "vision."
    vec(p + "pos_embed", 1, (384 // v["patch_size"]) ** 2, w, spread=.3)
    mat(p + "patch_embed.proj.weight", w, 3, v["patch_size"], v["patch_size"], gain=2)
    vec(p + "patch_embed.proj.bias", w)
    for i in range(v["layers"]):
        b = f"{p}blocks.{i}."
        norm(b + "norm1", w)
        norm(b + "norm2", w)
        lin(b + "attn.qkv", 3 * w, w, 1.5)
        lin(b + "attn.proj", w, w)
        lin(b + "mlp.fc1", mlp, w)
        lin(b + "mlp.fc2", w, mlp)
    norm(p + "norm", w)
    vec(p + "attn_pool.latent", 1, 1, w)
    lin(p + "attn_pool.q", w, w)
    lin(p + "attn_pool.kv", 2 * w, w)
    lin(p + "attn_pool.proj", w, w)
    norm(p + "attn_pool.norm", w)
    lin(p + "attn_pool.mlp.fc1", mlp, w)
    lin(p + "attn_pool.mlp.fc2", w, mlp)
    lin("projector.layers.0", n, 4 * w)
    lin("projector.layers.2", n, n)
    vec("image_newline", n)
    vec("view_seperator", n)

    mat("language.model.embed_tokens.weight", c["vocab_size"], n, gain=4)
    for i in range(c["num_hidden_layers"]):
        b = f"language.model.layers.{i}."
        vec(b + "input_layernorm.weight", n, base=1)
        vec(b + "post_attention_layernorm.weight", n, base=1)
        attention_weights(mat, vec, c, b + "self_attn.")
        if is_sparse(c, i):
            mat(b + "mlp.gate.weight", c["n_routed_experts"], n, gain=2)
            if c["topk_method"] == "noaux_tc":
                vec(b + "mlp.gate.e_score_correction_bias", c["n_routed_experts"], spread=.2)
            parts = [(f"experts.{e}.", c["moe_intermediate_size"])
                     for e in range(c["n_routed_experts"])]
            parts.append(("shared_experts.", c["n_shared_experts"] * c["moe_intermediate_size"]))
        else:
            parts = [("", c["intermediate_size"])]
        for part, wide in parts:
            mat(b + f"mlp.{part}gate_proj.weight", wide, n, gain=1.5)
            mat(b + f"mlp.{part}up_proj.weight", wide, n, gain=1.5)
            mat(b + f"mlp.{part}down_proj.weight", n, wide, gain=1.5)
    vec("language.model.norm.weight", n, base=1)
    mat("language.lm_head.weight", c["vocab_size"], n, gain=3)
    return out


def weights(cfg, seed):
    g = np.random.default_rng(seed)
    return {name: to_bfloat(base + spread * g.standard_normal(shape))
            for name, (shape, base, spread) in shapes(cfg).items()}


def is_sparse(c, layer):
    return (bool(c.get("n_routed_experts")) and layer >= c.get("first_k_dense_replace", 0) and
            layer % c.get("moe_layer_freq", 1) == 0)


def attention_weights(mat, vec, c, a):
    n, h = c["hidden_size"], c["num_attention_heads"]
    if c.get("use_mla", True) is False:
        for x in "qkvo":
            mat(f"{a}{x}_proj.weight", n, n, gain=1.5)
        return
    nope, rope, value, rank = (c[k] for k in ("qk_nope_head_dim", "qk_rope_head_dim",
                                              "v_head_dim", "kv_lora_rank"))
    if c["q_lora_rank"] is None:
        mat(a + "q_proj.weight", h * (nope + rope), n, gain=2)
    else:
        mat(a + "q_a_proj.weight", c["q_lora_rank"], n)
        vec(a + "q_a_layernorm.weight", c["q_lora_rank"], base=1)
        mat(a + "q_b_proj.weight", h * (nope + rope), c["q_lora_rank"], gain=2)
    mat(a + "kv_a_proj_with_mqa.weight", rank + rope, n, gain=1.5)
    vec(a + "kv_a_layernorm.weight", rank, base=1)
    mat(a + "kv_b_proj.weight", h * (nope + value), rank, gain=1.5)
    mat(a + "o_proj.weight", n, h * value, gain=1.5)


def write_shard(path, tensors):
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, x in tensors.items():
        kind = {"uint16": "BF16", "float32": "F32"}[x.dtype.name]
        header[name] = {"dtype": kind, "shape": list(x.shape), "data_offsets": [at, at + x.nbytes]}
        at += x.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text)
        for x in tensors.values():
            f.write(np.ascontiguousarray(x).tobytes())


def write_weights(folder, tensors, shards=3):
    names, index = list(tensors), {}
    for i in range(shards):
        file = f"model-{i + 1:05}-of-{shards:06}.safetensors"
        part = names[i * len(names) // shards:(i + 1) * len(names) // shards]
        write_shard(os.path.join(folder, file), {n: tensors[n] for n in part})
        index.update({n: file for n in part})
    total = sum(x.nbytes for x in tensors.values())
    with open(os.path.join(folder, "model.safetensors.index.json"), "w", encoding="utf-8") as f:
        json.dump({"metadata": {"total_size": total}, "weight_map": index}, f)


def make(folder, kind, seed=0):
    os.makedirs(folder, exist_ok=True)
    cfg = config(kind)
    tensors = weights(cfg, seed)
    for name in tensors:  # its type was not published: take the other one here
        if name.endswith("e_score_correction_bias"):
            tensors[name] = from_bfloat(tensors[name])
    write_weights(folder, tensors)
    for name, value in (("config.json", cfg), ("tokenizer.json", tokenizer(kind))):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            json.dump(value, f, ensure_ascii=False)
    return cfg, tensors


# ---- the network ----

ERF = np.vectorize(math.erf, otypes=[float])


def softmax(x):
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


def silu(x):
    return x / (1 + np.exp(-x))


class Net:
    def __init__(self, cfg, tensors):
        self.v, self.c = cfg["vision_config"], cfg["language_config"]
        self.w = {k: (from_bfloat(x) if x.dtype == np.uint16 else x).astype(float)
                  for k, x in tensors.items()}
        self.margin = math.inf  # least distance of a chosen expert from one left out

    def lin(self, x, stem):
        y = x @ self.w[stem + ".weight"].T
        return y + self.w[stem + ".bias"] if stem + ".bias" in self.w else y

    # -- pictures --
    def grid(self, width, height):
        best, best_waste, grid = 0, math.inf, None
        for w, h in GRIDS:
            s = min(w / width, h / height)
            fits = min(math.trunc(width * s) * math.trunc(height * s), width * height)
            waste = w * h - fits
            if fits > best or (fits == best and waste < best_waste):
                best, best_waste, grid = fits, waste, (w, h)
        return grid

    def views(self, image):
        from PIL import Image, ImageOps
        w, h = self.grid(*image.size)
        pad = lambda size: np.asarray(ImageOps.pad(image, size, Image.BICUBIC,
                                                   color=(127, 127, 127)), float)
        whole = pad((w, h))
        tiles = [whole[y:y + 384, x:x + 384] for y in range(0, h, 384) for x in range(0, w, 384)]
        return np.stack([pad((384, 384)), *tiles]) / 255, w // 384, h // 384

    def vision(self, views):
        p, w, heads = self.v["patch_size"], self.v["width"], self.v.get("heads", 16)
        side = 384 // p
        x = (views - .5) / .5
        x = x[:, :side * p, :side * p].reshape(-1, side, p, side, p, 3)
        x = x.transpose(0, 1, 3, 5, 2, 4).reshape(-1, side * side, 3 * p * p)
        x = x @ self.w["vision.patch_embed.proj.weight"].reshape(w, -1).T
        x = x + self.w["vision.patch_embed.proj.bias"] + self.w["vision.pos_embed"]
        for i in range(self.v["layers"]):
            b = f"vision.blocks.{i}."
            q, k, v = (t.reshape(len(x), -1, heads, w // heads).transpose(0, 2, 1, 3)
                       for t in np.split(self.lin(self.layernorm(x, b + "norm1"),
                                                  b + "attn.qkv"), 3, -1))
            a = softmax(q @ k.transpose(0, 1, 3, 2) * (w // heads) ** -.5) @ v
            x = x + self.lin(a.transpose(0, 2, 1, 3).reshape(x.shape), b + "attn.proj")
            h = self.lin(self.layernorm(x, b + "norm2"), b + "mlp.fc1")
            h = .5 * h * (1 + np.tanh(math.sqrt(2 / math.pi) * (h + .044715 * h ** 3)))
            x = x + self.lin(h, b + "mlp.fc2")
        return self.layernorm(x, "vision.norm")

    def layernorm(self, x, stem):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6)
        return x * self.w[stem + ".weight"] + self.w[stem + ".bias"]

    def project(self, x, nw, nh):
        side, n = 384 // self.v["patch_size"], self.c["hidden_size"]
        m = (side + 1) // 2
        x = x.reshape(len(x), side, side, -1)
        x = np.pad(x, ((0, 0), (0, 2 * m - side), (0, 2 * m - side), (0, 0)))
        x = x.reshape(len(x), m, 2, m, 2, -1).transpose(0, 1, 3, 5, 2, 4)
        x = self.lin(x.reshape(len(x), m, m, -1), "projector.layers.0")
        x = self.lin(.5 * x * (1 + ERF(x / math.sqrt(2))), "projector.layers.2")
        line = self.w["image_newline"]
        rows = [np.vstack([row, line]) for row in x[0]] + [self.w["view_seperator"][None]]
        for th in range(nh):
            for r in range(m):
                tiles = [x[1 + th * nw + tw][r] for tw in range(nw)]
                rows.append(np.vstack([*tiles, line]))
        rows = np.vstack(rows)
        assert rows.shape == (211 + 196 * nw * nh + 14 * nh, n)
        return rows

    def picture(self, image):
        views, nw, nh = self.views(image)
        return self.project(self.vision(views), nw, nh)

    # -- decoder --
    def rms(self, x, stem, eps=1e-6):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * self.w[stem + ".weight"]

    def angles(self, rows, dim):
        rate = 10000.0 ** (-np.arange(0, dim, 2) / dim)
        a = np.arange(rows)[:, None] * rate
        return np.cos(a)[:, None], np.sin(a)[:, None]

    def rope_halves(self, x):
        c, s = self.angles(len(x), x.shape[-1])
        a, b = np.split(x, 2, -1)
        return np.concatenate([a * c - b * s, b * c + a * s], -1)

    def rope_pairs(self, x):
        c, s = self.angles(len(x), x.shape[-1])
        out = np.empty_like(x)
        out[..., ::2] = x[..., ::2] * c - x[..., 1::2] * s
        out[..., 1::2] = x[..., 1::2] * c + x[..., ::2] * s
        return out

    def attend(self, q, k, v):
        """[rows][heads][dim] each."""
        s = np.einsum("qhd,khd->hqk", q, k) / math.sqrt(q.shape[-1])
        s = s + np.triu(np.full(s.shape[1:], -np.inf), 1)
        return np.einsum("hqk,khd->qhd", softmax(s), v).reshape(len(q), -1)

    def plain(self, x, a):
        h = self.c["num_attention_heads"]
        q, k, v = (self.lin(x, f"{a}{t}_proj").reshape(len(x), h, -1) for t in "qkv")
        return self.attend(self.rope_halves(q), self.rope_halves(k), v)

    def latent(self, x, a):
        c, h = self.c, self.c["num_attention_heads"]
        nope, rank = c["qk_nope_head_dim"], c["kv_lora_rank"]
        if c["q_lora_rank"] is None:
            q = self.lin(x, a + "q_proj")
        else:
            q = self.lin(self.rms(self.lin(x, a + "q_a_proj"), a + "q_a_layernorm"),
                         a + "q_b_proj")
        q = q.reshape(len(x), h, -1)
        kv = self.lin(x, a + "kv_a_proj_with_mqa")
        k_pe = self.rope_pairs(kv[:, None, rank:])
        kv = self.lin(self.rms(kv[:, :rank], a + "kv_a_layernorm"), a + "kv_b_proj")
        kv = kv.reshape(len(x), h, -1)
        k = np.concatenate([kv[..., :nope], np.repeat(k_pe, h, 1)], -1)
        q = np.concatenate([q[..., :nope], self.rope_pairs(q[..., nope:])], -1)
        return self.attend(q, k, kv[..., nope:])

    def swiglu(self, x, stem):
        return self.lin(silu(self.lin(x, stem + "gate_proj")) * self.lin(x, stem + "up_proj"),
                        stem + "down_proj")

    def route(self, x, stem):
        """Chosen experts and their weights, one row."""
        c = self.c
        score = self.w[stem + "weight"] @ x
        if c.get("scoring_func", "softmax") == "softmax":
            score = softmax(score)
        else:
            score = 1 / (1 + np.exp(-score))
        choice = score
        if c["topk_method"] == "noaux_tc":
            choice = score + self.w[stem + "e_score_correction_bias"]
        if c["n_group"] > 1 and c["topk_method"] != "greedy":
            groups = choice.reshape(c["n_group"], -1)
            worth = np.sort(groups, 1)[:, -2:].sum(1) if c["topk_method"] == "noaux_tc" \
                else groups.max(1)
            order = np.argsort(-worth)
            self.margin = min(self.margin, worth[order[c["topk_group"] - 1]] -
                              worth[order[c["topk_group"]]])
            out = np.full_like(groups, -np.inf)
            out[order[:c["topk_group"]]] = groups[order[:c["topk_group"]]]
            choice = out.ravel()
        order = np.argsort(-choice)
        used = c["num_experts_per_tok"]
        self.margin = min(self.margin, choice[order[used - 1]] - choice[order[used]])
        weight = score[order[:used]]
        if c.get("norm_topk_prob", False):
            weight = weight / (weight.sum() + 1e-20)
        return order[:used], weight * c.get("routed_scaling_factor", 1.0)

    def sparse(self, x, stem):
        out = self.swiglu(x, stem + "shared_experts.")
        for r, row in enumerate(x):
            for e, weight in zip(*self.route(row, stem + "gate.")):
                out[r] += weight * self.swiglu(row, f"{stem}experts.{e}.")
        return out

    def decode(self, x):
        """Logits behind every row."""
        for i in range(self.c["num_hidden_layers"]):
            b = f"language.model.layers.{i}."
            attend = self.plain if self.c.get("use_mla", True) is False else self.latent
            h = attend(self.rms(x, b + "input_layernorm"), b + "self_attn.")
            x = x + self.lin(h, b + "self_attn.o_proj")
            h = self.rms(x, b + "post_attention_layernorm")
            x = x + (self.sparse(h, b + "mlp.") if is_sparse(self.c, i)
                     else self.swiglu(h, b + "mlp."))
        return self.lin(self.rms(x, "language.model.norm"), "language.lm_head")
