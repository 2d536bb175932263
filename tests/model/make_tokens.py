#!/usr/bin/env python3
"""Makes tests/data/tokenizer/: pieces and ids that the published tokenizers give.

    make_tokens.py VOCAB.gguf ../data/tokenizer [FULL]

VOCAB.gguf is ggml-vocab-deepseek-llm.gguf of llama.cpp (MIT licence), the vocabulary of
DeepSeek-LLM; what is written holds only the entries that the test's texts can reach.
With FULL the whole vocabulary goes there, with every vector of the .inp and .out files
beside it, for `VL_TOKENS=FULL test_tokenizer`.

The splits are done here with Python's `re` and classes written out from unicodedata, the
merging by its definition: an implementation of its own, which must first reproduce the
vectors that came with the vocabulary.
"""
import json
import os
import re
import struct
import sys
import unicodedata

import numpy as np

sys.dont_write_bytecode = True
import published  # noqa: E402

SPACES = "\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"


def category(letter):
    """The characters of a general category as the inside of a class."""
    out, codes = "", [c for c in range(0x110000) if unicodedata.category(chr(c))[0] == letter]
    runs = []
    for c in codes:
        if runs and runs[-1][1] == c - 1:
            runs[-1][1] = c
        else:
            runs.append([c, c])
    for a, b in runs:
        out += f"\\U{a:08x}-\\U{b:08x}"
    return out


def classes():
    letters = "".join("-".join(f"\\U{int(x, 16):08x}" for x in part.split("-"))
                      for part in published.CASED.split())
    c = {k: category(k) for k in "LNPSM"}
    ascii_punct = "!-/:-@\\[-`{-~"
    a = ["[\r\n]", f"[{SPACES}]?[{letters}]+",
         f"[{SPACES}]?[!-/:-~！-／：-～\u2018-\u201f\u3000-\u3002]+", f"[{SPACES}]+\\Z",
         "[\u0800-\u9fa5\uac00-\ud7ff]+", f"[{c['N']}]"]
    b = [f"[{c['N']}]{{1,3}}", "[\u4e00-\u9fa5\u3040-\u30ff]+",
         f"[{ascii_punct}][A-Za-z]+|[^\r\n{c['L']}{c['P']}{c['S']}]?[{c['L']}{c['M']}]+"
         f"| ?[{c['P']}{c['S']}]+[\r\n]*|[{SPACES}]*[\r\n]+|[{SPACES}]+(?![^{SPACES}])"
         f"|[{SPACES}]+"]
    return {"A": [re.compile(p) for p in a], "B": [re.compile(p) for p in b]}


def pieces(patterns, text):
    parts = [text]
    for p in patterns:
        out = []
        for part in parts:
            at = 0
            for m in p.finditer(part):
                out += [part[at:m.start()], m.group()]
                at = m.end()
            out.append(part[at:])
        parts = [x for x in out if x]
    return parts


ALPHABET = published.alphabet()


def merge(vocab, rank, piece):
    p = [ALPHABET[b] for b in piece.encode()]
    while len(p) > 1:
        best = min(range(len(p) - 1), key=lambda i: (rank.get((p[i], p[i + 1]), 1 << 30), i))
        if (p[best], p[best + 1]) not in rank:
            break
        p[best:best + 2] = [p[best] + p[best + 1]]
    return [vocab[x] for x in p]


# ---- the vocabulary ----

def read_gguf(path):
    f = open(path, "rb")
    sizes = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q",
             12: "d"}

    def take(form):
        return struct.unpack("<" + form, f.read(struct.calcsize("<" + form)))[0]

    def value(kind):
        if kind == 8:
            return f.read(take("Q")).decode("utf-8")
        if kind == 9:
            inner, n = take("I"), take("Q")
            return [value(inner) for _ in range(n)]
        return take(sizes[kind])

    assert f.read(4) == b"GGUF"
    take("I"), take("Q")
    return {value(8): value(take("I")) for _ in range(take("Q"))}


def vectors(path):
    with open(path + ".inp", "rb") as f:
        texts = f.read().split(b"\n__ggml_vocab_test__\n")
    with open(path + ".out", encoding="utf-8") as f:
        ids = [[int(x) for x in line.split()] for line in f.read().split("\n")]
    return [(t.decode(), i) for t, i in zip(texts, ids)]


def document(vocab, merges, specials):
    stages = [published.split(p) for p in published.PATTERNS["A"]]
    stages += [{"type": "Digits", "individual_digits": True},
               {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                "use_regex": False}]
    added = [{"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False,
              "normalized": False, "special": True} for i, t in specials]
    return {"version": "1.0", "added_tokens": added,
            "normalizer": {"type": "Sequence", "normalizers": []},
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": stages},
            "model": {"type": "BPE", "vocab": vocab, "merges": merges}}


TEXTS = ["\n\n", "User: ", "\n\nAssistant:", "Describe each stage of this image.",
         " Total: 12,345.67 EUR", "Rechnungs-Nr. 2024/0815", "價格：￥1,280", "Über", "ü",
         "straße", "a\tb", "x  y", "  \n", "MwSt. 19%", " 19 %", "a\xa0b", "\u3000中文", "日本語",
         "한국어", "🙂", "don't", "I'm", "\nDescribe this image.\n\n", "Führer", "",
         "Zahlbar bis 14.03.2025 ohne Abzug.\r\nIBAN DE02 1203 0000 0000 2020 51",
         "Łączna kwota: 1 234,50 zł", "Total à payer : 99,90 €", "العربية שלום ไทย", "   ",
         "a   \n\n\t b", "½ ² ٣ x2"]
MAKE = ["", "a", "Z", "ß", "ü", "Ω", "ж", "中", "の", "カ", "한", "ก", "ع", "א", "0", "7", "42",
        "½", "٣", " ", " ", "  ", "\t", "\n", "\r\n", "\xa0", "\u3000", "\u2028", ".", ",", "!",
        "'", "-", "—", "“", "。", "！", "$", "€", "+", "<", "|", "`", "^", "\u0301", "\u200d", "🙂",
        "\x00", "\x7f", "\u00ad", "\ue000", "s'ab", "ab cd", ": x", ".com"]


def main():
    path, folder = sys.argv[1:3]
    patterns, meta = classes(), read_gguf(path)
    tokens, merges = meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.merges"]
    kinds = meta["tokenizer.ggml.token_type"]
    vocab = {t: i for i, t in enumerate(tokens) if kinds[i] == 1 and i < 100000}
    rank = {tuple(m.split(" ")): i for i, m in enumerate(merges)}
    encode = lambda text: [i for p in pieces(patterns["A"], text) for i in merge(vocab, rank, p)]
    # The first generation's added letters are ordinary text in the second.
    known = [(t, i) for t, i in vectors(path) if not any(x > 99999 for x in i)]
    for text, ids in known:
        assert encode(text) == ids, text
    print(f"{len(known)} vectors reproduced")

    specials = [(100000 + i, t) for i, t in enumerate(
        ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>", *published.SPECIAL])]
    rows = [{"text": t, "ids": encode(t)} for t in TEXTS]
    rows.append({"text": "Führer", "ids": [37, 2874, 71, 6245]})
    reached = "\n".join("".join(ALPHABET[b] for b in p.encode())
                        for t in TEXTS for p in pieces(patterns["A"], t))
    few = [m for m in merges if m.replace(" ", "") in reached]
    keep = {x for m in few for x in (*m.split(" "), m.replace(" ", ""))}
    keep |= {t for t in vocab if len(t) == 1}
    out = [("tokenizer.json", document({t: i for t, i in vocab.items() if t in keep}, few,
                                       specials)), ("tokens.json", rows)]

    g = np.random.default_rng(3)
    splits = []
    for name in "AB":
        texts = TEXTS + ["".join(MAKE[i] for i in g.integers(0, len(MAKE), g.integers(1, 24)))
                         for _ in range(150)]
        splits.append({"stages": document({}, [], [])["pre_tokenizer"]["pretokenizers"]
                       if name == "A" else
                       published.tokenizer("base")["pre_tokenizer"]["pretokenizers"],
                       "rows": [pieces(patterns[name], t) for t in texts]})
    out.append(("splits.json", splits))
    os.makedirs(folder, exist_ok=True)
    for file, value in out:
        write(os.path.join(folder, file), value)
    if len(sys.argv) > 3:
        os.makedirs(sys.argv[3], exist_ok=True)
        write(os.path.join(sys.argv[3], "tokenizer.json"), document(vocab, merges, specials))
        write(os.path.join(sys.argv[3], "tokens.json"),
              [{"text": t, "ids": i} for t, i in known] + rows)
    print(f"{len(few)} merges, {len(rows)} texts, {sum(len(s['rows']) for s in splits)} splits")


def write(path, value):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f, ensure_ascii=False, separators=(",", ":"))
        f.write("\n")


main()
