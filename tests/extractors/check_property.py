"""Random schemas x random logits: every answer must be valid by an independent validator.

  check_property.py PROGRAM [COUNT] [SEED]

PROGRAM is test_grammar_property.  Decimals are read as Decimal on both sides, so that
multipleOf is exact.
"""
import datetime
import json
import random
import re
import subprocess
import sys
import uuid
from decimal import Decimal

import jsonschema

PATTERNS = [r"^[A-Z]{2}[0-9]{2,6}$", r"[0-9]+", r"^(a|bc)*d$", r"^.{3,9}$", r"^\d{1,3}(\.\d{3})*,\d\d$",
            r"^[^a-z]+$", r"x$", r"^[äöü€]{1,4}$", r"^(?:foo|ba[rz])?$", r"^\s*\w+\s*$", r"(aa)+", r"^[\u0400-\u04ff😀]+$",
            r"^[\t\n\x01-\x05]{2,5}$", r'^"[/\\]+"$']
FORMATS = ["date", "time", "date-time", "uuid", "email", "uri"]
TEXTS = ["a", "b c", "é", "null", "1", "\"q\"", "line\nbreak", "\x01", "€", "x/y", "a~b"]


class Draw:
    def __init__(self, rnd):
        self.r = rnd

    def maybe(self, p=0.5):
        return self.r.random() < p

    def string(self):
        s = {"type": "string"}
        if self.maybe(.3):
            s["pattern"] = self.r.choice(PATTERNS)
            if self.maybe(.4):
                s["maxLength"] = self.r.randint(4, 30)
        elif self.maybe(.3):
            s["format"] = self.r.choice(FORMATS)
        else:
            lo = self.r.randint(0, 6)
            if self.maybe():
                s["minLength"] = lo
            if self.maybe(.8):
                s["maxLength"] = lo + self.r.randint(0, 20)
        return s

    def number(self):
        kind = self.r.choice(["integer", "number"])
        scale = self.r.choice([1, 10, 1000, 10 ** 6])
        lo = self.r.randint(-scale, scale)
        s = {"type": kind}
        real = kind == "number" and self.maybe()
        if self.maybe():
            s[self.r.choice(["minimum", "exclusiveMinimum"])] = lo / 100 if real else lo
        if self.maybe():
            hi = lo + self.r.randint(2, scale + 2)
            s[self.r.choice(["maximum", "exclusiveMaximum"])] = hi / 100 if real else hi
        if self.maybe(.3):
            s["multipleOf"] = self.r.choice([1, 2, 3, 7] if kind == "integer" else [0.01, 0.25, 0.5, 2, 0.3])
        return s

    def leaf(self):
        k = self.r.randrange(8)
        if k < 3:
            s = self.string()
        elif k < 5:
            s = self.number()
        elif k == 5:
            return {"enum": self.r.sample(TEXTS + [None, True, 3, 2.5, [1, "x"], {"k": None}], self.r.randint(1, 4))}
        elif k == 6:
            return {"const": self.r.choice(TEXTS + [None, False, -7])}
        else:
            return {"type": self.r.choice(["boolean", "null"])}
        if self.maybe(.3):
            s["type"] = [s["type"], "null"]
        return s

    def value(self, depth):
        if depth == 0 or self.maybe(.35):
            return self.leaf()
        k = self.r.randrange(10)
        if k < 4:
            return self.object(depth)
        if k < 7:
            return self.array(depth)
        if k == 7:
            return {"anyOf": [self.value(depth - 1) for _ in range(self.r.randint(1, 3))]}
        if k == 8:
            return {"oneOf": [self.object(depth), self.string(), {"type": "null"}][:self.r.randint(1, 3)]}
        return {"$ref": "#/$defs/d%d" % self.r.randrange(2)}

    def object(self, depth):
        names = self.r.sample(["id", "name", "größe", "a/b", "t~x", "q\"", "total", "x"], self.r.randint(0, 5))
        return {"type": "object", "properties": {n: self.value(depth - 1) for n in names},
                "required": [n for n in names if self.maybe()], "additionalProperties": False}

    def array(self, depth):
        s = {"type": "array"}
        lo = self.r.randint(0, 3)
        prefix = self.r.randint(0, 3) if self.maybe(.3) else 0
        if prefix:
            s["prefixItems"] = [self.value(depth - 1) for _ in range(prefix)]
        if not prefix or self.maybe():
            s["items"] = self.value(depth - 1)
        else:
            s["items"] = False
            lo = min(lo, prefix)
        if self.maybe():
            s["minItems"] = lo
        if self.maybe(.8):
            s["maxItems"] = lo + self.r.randint(0, 4)
        return s

    def schema(self):
        s = self.value(4)
        if "$ref" in s:
            s = self.object(3)
        s["$defs"] = {"d0": self.leaf(), "d1": {"type": "array", "items": self.leaf(), "maxItems": 3}}
        return s


def format_holds(kind, text):
    """Strict readings by Python's own parsers, where it has them."""
    try:
        if kind == "date":
            return bool(datetime.date.fromisoformat(text))
        if kind == "uuid":
            return str(uuid.UUID(text)) == text
        if kind in ("time", "date-time"):
            full = text if kind == "date-time" else "2000-01-01T" + text
            datetime.datetime.fromisoformat(re.sub(r"\.\d+", "", full).replace("Z", "+00:00"))
        if kind == "email":
            return re.fullmatch(r"[^@\s]+@[^@\s]+\.[A-Za-z]+", text) is not None
        if kind == "uri":
            from urllib.parse import urlparse
            u = urlparse(text)
            u.port
            return bool(u.scheme and u.netloc)
    except ValueError:
        return False
    return True


def formats_hold(validator, wanted, value, schema):
    if isinstance(value, str) and not format_holds(wanted, value):
        yield jsonschema.ValidationError("%r is not a %s" % (value, wanted))


def main():
    program, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 20240531
    print("seed", seed, "schemas", count)
    draw = Draw(random.Random(seed))
    lines = [json.dumps(draw.schema(), ensure_ascii=False) for _ in range(count)]
    # The program runs with errors on bad UTF-8 when its answers are decoded.
    run = subprocess.run([program, str(seed)], input="\n".join(lines) + "\n", encoding="utf-8",
                         stdout=subprocess.PIPE, check=True)
    answers = run.stdout.split("\n")[:-1]
    assert len(answers) == count, (len(answers), count)
    Validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"format": formats_hold})
    refused, bad = 0, 0
    for line, text in zip(lines, answers):
        if text.startswith("!"):
            refused += 1
            if not re.search(r"no number fits|no string fits|begins like an earlier|is more than the list|too many \(limit", text):
                bad += 1
                print("unexpected refusal:", text, "of", line)
            continue
        try:
            value = json.loads(text, parse_float=Decimal)
            errors = list(Validator(json.loads(line, parse_float=Decimal)).iter_errors(value))
            if errors:
                raise ValueError(errors[0].message)
            compact = json.loads(text)
            assert len(text) <= 4 * len(json.dumps(compact, ensure_ascii=True)), "not compact"
        except (ValueError, AssertionError) as e:
            bad += 1
            print("BAD", e, "\n  schema", line, "\n  answer", text[:300])
        if bad > 5:
            break
    print("refused", refused, "bad", bad)
    # Refusals are honest only while they are rare.
    return 1 if bad or refused > count // 5 else 0


if __name__ == "__main__":
    sys.exit(main())
