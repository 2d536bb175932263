#!/usr/bin/env python3
"""Packed training weights (part*.bin, tokenizer.json) to a checkpoint folder as docvl opens it.

    python3 export.py CHECKPOINT OUT [--alphabet docgen/alphabet.py] [--slots 3]

The packed parts hold, in the order of the network's state dict, vectors as float32 and
matrices as float32 scales [rows] and int8 values: the same numbers go into
model.safetensors, so nothing is lost.  --slots 3 is for weights of the older text head
(three slots a patch, tiles side by side): they are exported without a text head.
"""
import argparse
import json
import os
import runpy
import shutil

import numpy as np

TILE, PATCH, WIDTH, VIT_LAYERS, HEADS = 512, 16, 384, 12, 6
HIDDEN, LAYERS, MLP, VOCAB = 384, 8, 1152, 4096
GRIDS = [(1, 1), (1, 2), (1, 3), (2, 2), (2, 3), (3, 2)]


def entries(slots, classes):
    """(name in the checkpoint, shape) in the order of the packed parts."""
    w, d = WIDTH, HIDDEN
    yield "image_newline", (d,)
    yield "view_seperator", (d,)
    yield "vision.pos_embed", ((TILE // PATCH) ** 2, w)
    yield "vision.patch_embed.proj.weight", (w, 1, PATCH, PATCH)
    yield "vision.patch_embed.proj.bias", (w,)
    for i in range(VIT_LAYERS):
        b = f"vision.blocks.{i}."
        for norm in ("norm1", "norm2"):
            yield b + norm + ".weight", (w,)
            yield b + norm + ".bias", (w,)
        for name, rows, cols in (("attn.qkv", 3 * w, w), ("attn.proj", w, w),
                                 ("mlp.fc1", 4 * w, w), ("mlp.fc2", w, 4 * w)):
            yield b + name + ".weight", (rows, cols)
            yield b + name + ".bias", (rows,)
    yield "vision.norm.weight", (w,)
    yield "vision.norm.bias", (w,)
    yield "vision.text_head.weight", (slots * (classes + 4), w)
    yield "vision.text_head.bias", (slots * (classes + 4),)
    for i, cols in ((0, 4 * w), (2, d)):
        yield f"projector.layers.{i}.weight", (d, cols)
        yield f"projector.layers.{i}.bias", (d,)
    yield "language.model.embed_tokens.weight", (VOCAB, d)
    for i in range(LAYERS):
        b = f"language.model.layers.{i}."
        yield b + "input_layernorm.weight", (d,)
        yield b + "post_attention_layernorm.weight", (d,)
        for name in "qkvo":
            yield b + f"self_attn.{name}_proj.weight", (d, d)
        yield b + "mlp.gate_proj.weight", (MLP, d)
        yield b + "mlp.up_proj.weight", (MLP, d)
        yield b + "mlp.down_proj.weight", (d, MLP)
    yield "language.model.norm.weight", (d,)
    yield "language.lm_head.weight", (VOCAB, d)


def unpack(blob, slots, classes):
    """Tensors by name; matrices stay int8 with their scales beside them."""
    tensors, at = {}, 0
    need = sum(int(np.prod(shape)) + 4 * shape[0] if len(shape) > 1 else 4 * shape[0]
               for _, shape in entries(slots, classes))
    if need != len(blob):
        raise SystemExit(f"{len(blob)} bytes of weights, {need} expected for {slots} slots")
    for name, shape in entries(slots, classes):
        count = int(np.prod(shape))
        if len(shape) == 1:
            tensors[name] = np.frombuffer(blob, "<f4", count, at).reshape(shape)
            at += 4 * count
            continue
        scale = np.frombuffer(blob, "<f4", shape[0], at)
        values = np.frombuffer(blob, "i1", count, at + 4 * shape[0]).reshape(shape)
        at += 4 * shape[0] + count
        if name == "vision.pos_embed":
            tensors[name] = (values.astype(np.float32) * scale[:, None])[None]
        else:
            tensors[name] = values
            tensors[name + "_scale"] = scale
    return tensors


def write_safetensors(path, tensors):
    """Header padded to 8 bytes, tensors of wide elements first, so that all are aligned."""
    names = sorted(tensors, key=lambda n: (-tensors[n].itemsize, n))
    kinds = {"float32": "F32", "float16": "F16", "int8": "I8"}
    header, at = {}, 0
    for name in names:
        t = tensors[name]
        header[name] = {"dtype": kinds[t.dtype.name], "shape": list(t.shape),
                        "data_offsets": [at, at + t.nbytes]}
        at += t.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            f.write(np.ascontiguousarray(tensors[name]).tobytes())


def config(slots, chars):
    overlap = 32 if slots == 4 else 0
    side = lambda n: overlap + n * (TILE - overlap)
    vision = {"width": WIDTH, "layers": VIT_LAYERS, "heads": HEADS, "patch_size": PATCH,
              "image_size": TILE, "mlp_ratio": 4.0, "in_chans": 1}
    if slots == 4:
        vision["text_head"] = {"anchors": 4, "chars": chars}
    return {
        "model_type": "deepseek_vl_v2", "model_name": "docvl-nano", "tile_tag": "2D",
        "global_view_pos": "head", "tile_overlap": overlap,
        "candidate_resolutions": [[side(w), side(h)] for w, h in GRIDS],
        "vision_config": vision,
        "projector_config": {"projector_type": "downsample_mlp_gelu", "input_dim": WIDTH,
                             "n_embed": HIDDEN, "depth": 2, "mlp_ratio": 1,
                             "downsample_ratio": 2},
        "language_config": {"model_type": "deepseek_v2", "use_mla": False,
                            "hidden_size": HIDDEN, "intermediate_size": MLP,
                            "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
                            "num_key_value_heads": HEADS, "n_routed_experts": None,
                            "vocab_size": VOCAB, "rms_norm_eps": 1e-6, "rope_theta": 10000,
                            "max_position_embeddings": 4096, "bos_token_id": 0,
                            "eos_token_id": 1},
    }


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("checkpoint")
    p.add_argument("out")
    p.add_argument("--alphabet", default=os.path.join(here, "docgen", "alphabet.py"))
    p.add_argument("--slots", type=int, choices=(3, 4), default=4)
    a = p.parse_args()
    chars = runpy.run_path(a.alphabet)["CHARS"]
    parts = sorted((f for f in os.listdir(a.checkpoint)
                    if f.startswith("part") and f.endswith(".bin")),
                   key=lambda f: int(f[4:-4]))
    blob = b"".join(open(os.path.join(a.checkpoint, f), "rb").read() for f in parts)
    tensors = unpack(blob, a.slots, len(chars) + 1)
    if a.slots == 3:
        tensors = {n: t for n, t in tensors.items() if "text_head" not in n}
    os.makedirs(a.out, exist_ok=True)
    write_safetensors(os.path.join(a.out, "model.safetensors"), tensors)
    with open(os.path.join(a.out, "config.json"), "w", encoding="utf-8") as f:
        json.dump(config(a.slots, chars), f, ensure_ascii=False, indent=1)
        f.write("\n")
    shutil.copyfile(os.path.join(a.checkpoint, "tokenizer.json"),
                    os.path.join(a.out, "tokenizer.json"))
    os.chmod(os.path.join(a.out, "tokenizer.json"), 0o644)


if __name__ == "__main__":
    main()
