#!/usr/bin/env python3
"""Writes a checkpoint with random numbers in the full size of a release, to measure time
and memory with: 6.7 GB for tiny, 32 GB for small, 55 GB for base.

    make_released.py FOLDER [tiny|small|base]
"""
import itertools
import json
import os
import string
import sys

import numpy as np

sys.dont_write_bytecode = True
import published  # noqa: E402

SHARD_BYTES = 4 << 30
BLOCK = 1 << 22


def tokenizer(kind, rows):
    """As large as a real one: pairs and triples of letters behind the bytes."""
    doc, taken = published.tokenizer(kind), set()
    letter = published.LETTERS[kind]
    last = 128815 if letter == "B" else 100003
    for t in doc["added_tokens"]:
        if t["content"] in published.SPECIAL:
            t["id"] = last + published.SPECIAL.index(t["content"])
        elif letter == "A":
            t["id"] += 100000 - 300
        taken.add(t["id"])
    vocab, merges = {}, []
    letters = [c for b, c in published.alphabet().items() if b not in (0xC0, 0xC1) and b < 0xF5]
    words = [(c, None) for c in letters]
    pairs = [a + b for a, b in itertools.product(string.ascii_letters, repeat=2)]
    words += [(p, f"{p[0]} {p[1]}") for p in pairs]
    words += [(p + c, f"{p} {c}") for p in pairs for c in string.ascii_lowercase + "ABCDEFG"]
    free = (i for i in range(min(last, rows)) if i not in taken)
    for (word, merge), i in zip(words, free):
        vocab[word] = i
        if merge:
            merges.append(merge)
    doc["model"].update(vocab=vocab, merges=merges)
    return doc


def write_shard(path, part, noise):
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, (shape, _, _) in part:
        size = 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text)
        for i, (_, (shape, base, spread)) in enumerate(part):
            left, first = int(np.prod(shape)), 7919 * i % BLOCK
            part_noise = noise[first:first + min(left, BLOCK)]
            numbers = published.to_bfloat(np.float32(base) + np.float32(spread) * part_noise)
            while left > 0:
                f.write(numbers[:left].tobytes())
                left -= len(numbers)


def main():
    folder, kind = sys.argv[1], (sys.argv + ["tiny"])[2]
    os.makedirs(folder, exist_ok=True)
    cfg = published.released(kind)
    shapes = list(published.shapes(cfg).items())
    noise = np.random.default_rng(1).standard_normal(2 * BLOCK, np.float32)
    shards, size = [[]], 0
    for entry in shapes:
        shards[-1].append(entry)
        size += 2 * int(np.prod(entry[1][0]))
        if size > SHARD_BYTES:
            shards.append([])
            size = 0
    index = {}
    for i, part in enumerate(shards):
        file = f"model-{i + 1:05}-of-{len(shards):06}.safetensors"
        write_shard(os.path.join(folder, file), part, noise)
        index.update({name: file for name, _ in part})
    rows = cfg["language_config"]["vocab_size"]
    for name, value in (("config.json", cfg), ("tokenizer.json", tokenizer(kind, rows)),
                        ("model.safetensors.index.json", {"weight_map": index})):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            json.dump(value, f, ensure_ascii=False)


main()
