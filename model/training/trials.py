#!/usr/bin/env python3
"""Draws papers with their truth, as PDF with a text layer or as scans, to measure docvl on.

    trials.py OUT [--kinds KIND,KIND] [--countries CODE,CODE] [--count N] [--seed N] [--as text|scan|both]

OUT      gets manifest.jsonl and the papers.  A line of the manifest is
         {"file", "kind", "as": "text" or "scan", "truth": {field: as printed}, "pairs": [[label, value]]}
--kinds  kinds of docgen, used in turn; without them one of each
--countries  only papers of these countries, e.g. PL,CZ
--count  papers, default 40.  --as both takes turns

A text layer stands over the picture of the page, invisible, every word in its place.  A scan
is a grey JPEG of 100 to 300 dots an inch, spoiled in the ways of train.py's degrade(): blur,
faint and heavy print, noise, uneven light, low resolution, compression.  The seeds of training begin at other numbers.
Needs Pillow, NumPy and docgen/fonts (docgen/build_fonts.py).
"""
import argparse
import io
import json
import pathlib
import random
import sys
import zlib

import numpy as np
from PIL import Image, ImageFilter

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import docgen  # noqa: E402
from docgen import content, kinds_receipt  # noqa: E402
from docgen.blocks import pick_family  # noqa: E402

SEED = 880_000  # far from those of training
DRAWN = 124  # dots an inch that a drawn page stands for
SCANNERS = (100, 124, 150, 150, 200, 200, 300)


# ---- scans --------------------------------------------------------------------------------------
def spoil(picture, r):
    """The picture as a scanner, a fax or a telephone gives it."""
    if r.random() < .22:
        return picture
    if r.random() < .26:
        kind = ImageFilter.MinFilter if r.random() < .55 else ImageFilter.MaxFilter
        picture = Image.blend(picture, picture.filter(kind(3)), r.uniform(.1, .6))
    if r.random() < .35:  # low resolution
        w, h = picture.size
        f = r.choice([.85, .75, .66, .5])
        picture = picture.resize((int(w * f), int(h * f)), Image.BILINEAR).resize((w, h), Image.BICUBIC)
    if r.random() < .5:
        picture = picture.filter(ImageFilter.GaussianBlur(r.uniform(.25, 1.25)))
    x = np.asarray(picture, np.float32) / 255
    h, w = x.shape
    noise = np.random.default_rng(r.getrandbits(32))
    if r.random() < .4:
        x = 1 - (1 - x) * (1 - r.uniform(0, .55))  # faint
    if r.random() < .14:
        x = 1 - (1 - x) * (1 - r.uniform(.2, 1) * (noise.random((h, 1)) < r.uniform(0, .07)))
    if r.random() < .35:  # uneven light
        low = Image.fromarray((noise.random((6, 5)) * 255).astype(np.uint8)).resize((w, h), Image.BICUBIC)
        x = x * (1 - r.uniform(0, .4) * np.asarray(low, np.float32) / 255)
    if r.random() < .4:
        x = x + noise.standard_normal((h, w)) * r.uniform(0, .12)
    if r.random() < .12:  # fax
        x = 1 / (1 + np.exp(-(x - r.uniform(.4, .66)) * r.uniform(15, 80)))
    return Image.fromarray((x.clip(0, 1) * 255).astype(np.uint8))


def write_scan(path, page, r):
    dpi = r.choice(SCANNERS)
    size = (page.w * dpi // DRAWN, page.h * dpi // DRAWN)
    picture = spoil(page.img.resize(size, Image.LANCZOS), r)
    quality = r.choice([95, 90, 80, 70, 55, 40])
    picture.save(path, "JPEG", quality=quality, dpi=(dpi, dpi))


# ---- PDF ----------------------------------------------------------------------------------------
def to_unicode():
    rows = [f"<{b:02x}00> <{b:02x}ff> <{b:02x}00>" for b in range(256)]
    parts = [f"{len(rows[i:i + 100])} beginbfrange\n" + "\n".join(rows[i:i + 100]) + "\nendbfrange"
             for i in range(0, len(rows), 100)]
    return ("/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /U def "
            "/CMapType 2 def 1 begincodespacerange <0000> <ffff> endcodespacerange\n"
            + "\n".join(parts) + "\nendcmap end end").encode()


def words_of(page, face):
    """(x0, y0, x1, y1, word) of every piece of text, split in proportion to the widths."""
    for x0, y0, x1, y1, text in page.pieces:
        whole = face.width(text) or 1
        at = 0
        for word in text.split(" "):
            a, b = face.width(text[:at]), face.width(text[:at + len(word)])
            if word:
                yield (x0 + (x1 - x0) * a / whole, y0, x0 + (x1 - x0) * b / whole, y1, word)
            at += len(word) + 1


def text_layer(page, scale, height):
    face = pick_family(random.Random(1), ("sans",), (1,))(40)
    out = ["BT 3 Tr"]
    for x0, y0, x1, y1, word in words_of(page, face):
        size = (y1 - y0) / 1.16 * scale
        stretch = 100 * (x1 - x0) * scale / (len(word) * size * .5)
        codes = "".join(f"{ord(c) if ord(c) < 0x10000 else 0x3f:04x}" for c in word)
        out.append(f"/F {size:.2f} Tf {stretch:.2f} Tz 1 0 0 1 {x0 * scale:.2f} "
                   f"{height - (y1 - (y1 - y0) * .24) * scale:.2f} Tm <{codes}> Tj")
    return "\n".join(out + ["ET"]).encode()


def write_pdf(path, page, width_pt=595.0):
    scale = width_pt / page.w
    height = page.h * scale
    jpeg = io.BytesIO()
    page.img.save(jpeg, "JPEG", quality=85)
    draw = f"q {width_pt} 0 0 {height:.2f} 0 0 cm /P Do Q\n".encode()
    streams = {4: ("", draw + text_layer(page, scale, height)),
               5: (f"/Type/XObject/Subtype/Image/Width {page.w}/Height {page.h}/ColorSpace/DeviceGray"
                   "/BitsPerComponent 8/Filter/DCTDecode", jpeg.getvalue()),
               9: ("", to_unicode())}
    objects = {1: "<</Type/Catalog/Pages 2 0 R>>", 2: "<</Type/Pages/Kids[3 0 R]/Count 1>>",
               3: f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 {width_pt} {height:.2f}]/Contents 4 0 R"
                  "/Resources<</XObject<</P 5 0 R>>/Font<</F 6 0 R>>>>>>",
               6: "<</Type/Font/Subtype/Type0/BaseFont/U/Encoding/Identity-H/DescendantFonts[7 0 R]"
                  "/ToUnicode 9 0 R>>",
               7: "<</Type/Font/Subtype/CIDFontType2/BaseFont/U/CIDSystemInfo<</Registry(Adobe)"
                  "/Ordering(Identity)/Supplement 0>>/FontDescriptor 8 0 R/DW 500>>",
               8: "<</Type/FontDescriptor/FontName/U/Flags 4/FontBBox[0 -240 1000 760]/ItalicAngle 0"
                  "/Ascent 760/Descent -240/CapHeight 700/StemV 80>>"}
    out, places = bytearray(b"%PDF-1.5\n"), {}
    for number in range(1, 10):
        places[number] = len(out)
        if number in streams:
            head, data = streams[number]
            if "Filter" not in head:
                head, data = head + "/Filter/FlateDecode", zlib.compress(data)
            out += f"{number} 0 obj<<{head}/Length {len(data)}>>stream\n".encode() + data + b"\nendstream endobj\n"
        else:
            out += f"{number} 0 obj{objects[number]}endobj\n".encode()
    xref = len(out)
    out += b"xref\n0 10\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % places[n] for n in range(1, 10))
    out += f"trailer<</Size 10/Root 1 0 R>>\nstartxref\n{xref}\n%%EOF\n".encode()
    path.write_bytes(out)


# ---- the papers ---------------------------------------------------------------------------------
def draw(out, number, kind, form, seed):
    r = random.Random(seed + number)
    page = docgen.make(r, kind, geometry=0 if form == "text" else .45)
    name = f"{number:04d}-{kind.replace('.', '-')}.{'pdf' if form == 'text' else 'jpg'}"
    if form == "text":
        write_pdf(out / name, page)
    else:
        write_scan(out / name, page, r)
    return {"file": name, "kind": kind, "as": form, "truth": page.fields,
            "pairs": [[a, b] for a, b, _ in page.pairs]}


def options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--kinds", default="")
    parser.add_argument("--countries", default="")
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--as", dest="form", choices=("text", "scan", "both"), default="both")
    args = parser.parse_args()
    unknown = [kind for kind in args.kinds.split(",") if kind and kind not in docgen.KINDS]
    if unknown:
        parser.error(f"no such kind: {', '.join(unknown)}")
    unknown = [code for code in args.countries.split(",") if code and code not in content.COUNTRY]
    if unknown:
        parser.error(f"no such country: {', '.join(unknown)}")
    return args


def main():
    args = options()
    args.out.mkdir(parents=True, exist_ok=True)
    countries = [code for code in args.countries.split(",") if code]
    if countries:
        content._POOL = kinds_receipt.POOL = countries
    kinds = [kind for kind in args.kinds.split(",") if kind] or list(docgen.KINDS)
    with open(args.out / "manifest.jsonl", "w", encoding="utf-8") as manifest:
        for i in range(args.count):
            form = args.form if args.form != "both" else ("text", "scan")[i // len(kinds) % 2]
            row = draw(args.out, i, kinds[i % len(kinds)], form, args.seed)
            print(json.dumps(row, ensure_ascii=False), file=manifest)


if __name__ == "__main__":
    main()
