#!/usr/bin/env python3
"""Writes unicode_tables.inc: the ranges of letters (L*), numbers (N*), punctuation (P*),
symbols (S*), marks (M*) and white space.

    python3 unicode_tables.py > unicode_tables.inc
"""
import unicodedata

# White_Space of PropList.txt, which Python's unicodedata does not carry.
SPACES = [(0x09, 0x0D), (0x20, 0x20), (0x85, 0x85), (0xA0, 0xA0), (0x1680, 0x1680),
          (0x2000, 0x200A), (0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x205F),
          (0x3000, 0x3000)]


def ranges(first_letter):
    out = []
    for code in range(0x110000):
        if unicodedata.category(chr(code))[0] != first_letter:
            continue
        if out and out[-1][1] == code - 1:
            out[-1][1] = code
        else:
            out.append([code, code])
    return out


def table(name, rows):
    print(f"static const uint32_t {name}[][2] = {{")
    for i in range(0, len(rows), 4):
        print("    " + " ".join(f"{{ 0x{a:X}, 0x{b:X} }}," for a, b in rows[i:i + 4]))
    print("};\n")


print(f"/* Made by unicode_tables.py from Unicode {unicodedata.unidata_version}. */\n")
table("unicode_letters", ranges("L"))
table("unicode_numbers", ranges("N"))
table("unicode_punctuation", ranges("P"))
table("unicode_symbols", ranges("S"))
table("unicode_marks", ranges("M"))
table("unicode_spaces", SPACES)
