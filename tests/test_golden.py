#!/usr/bin/python3
"""The rules of golden.py themselves: each must refuse what it is there for."""
import copy
import unittest

import golden

LEAF = {"value": "12.00", "raw": "12,00", "source": "text", "confidence": 0.9, "page": 1,
        "bbox": [0.1, 0.1, 0.2, 0.2], "checks": {"A-6": "pass"}}
RESULT = {
    "schema": "invoice", "schema_version": "1", "doc_id": "ab", "status": "ok",
    "fields": {"totals": {"gross_total": LEAF}}, "checks": [], "truncated": False,
    "engine": {"version": "0", "model": "m", "model_sha256": "c", "schema_sha256": "d"},
    "timing": {"pages": 1},
}


class Leaf(unittest.TestCase):
    def faults(self, **change):
        return list(golden.leaf_faults({**LEAF, **change}, "x", 1))

    def test_right_leaf(self):
        self.assertEqual(self.faults(), [])
        self.assertEqual(self.faults(value=None, raw=None, page=None, bbox=None,
                                     confidence=None), [])

    def test_each_rule(self):
        for change in ({"value": ""}, {"value": 1.5}, {"value": {}}, {"source": "guess"},
                       {"raw": 3}, {"confidence": 1.01}, {"page": 0}, {"page": 2},
                       {"bbox": [0.3, 0, 0.2, 1]}, {"bbox": [0, 0, 1.1, 1]},
                       {"page": None}, {"checks": {"A-6": "maybe"}}):
            with self.subTest(change):
                self.assertTrue(self.faults(**change))


class Envelope(unittest.TestCase):
    def faults(self, **change):
        result = {**copy.deepcopy(RESULT), **change}
        return list(golden.envelope_faults(result, "invoice", 1, "ab"))

    def test_right_envelope(self):
        self.assertEqual(self.faults(), [])

    def test_each_rule(self):
        failed = [{"id": "A-6", "result": "fail", "severity": "error"}]
        for change in ({"schema": "receipt"}, {"doc_id": "cd"}, {"status": "good"},
                       {"truncated": True}, {"checks": failed}, {"checks": [{"id": "A-6"}]},
                       {"engine": {}}, {"fields": {"total": 12.5}},
                       {"fields": {"lines": [{"name": {**LEAF, "page": 7}}]}}):
            with self.subTest(change):
                self.assertTrue(self.faults(**change))

    def test_missing_member(self):
        for key in RESULT:
            result = copy.deepcopy(RESULT)
            del result[key]
            with self.subTest(key):
                self.assertTrue(list(golden.envelope_faults(result, "invoice", 1, "ab")))


class Compare(unittest.TestCase):
    def test_same(self):
        for expected, got, is_same in (
                ("12.00", "12", True), ("12.00", "12.01", False), ("12.00", None, False),
                (None, None, True), (None, "x", False), ("A  b", "A b", True),
                ("A b", "a b", False), ("004217", "4217", False), ("S3 8QX", "S38QX", False)):
            with self.subTest((expected, got)):
                self.assertEqual(golden.same(expected, got), is_same)

    def test_look(self):
        fields = {"a": {"b": LEAF}, "lines": [{"n": {**LEAF, "value": "x"}}],
                  "fields": [{"label": {**LEAF, "value": "Full name"},
                              "value": {**LEAF, "value": "I. M."}}],
                  "boxes": [{"key": "adult", "state": "checked"}]}
        for path, value in (("a.b", "12.00"), ("lines.0.n", "x"), ("lines.1.n", None),
                            ("fields.full_name.value", "I. M."), ("a.c.d", None),
                            ("boxes.adult.state", "checked"), ("boxes.child.state", None)):
            with self.subTest(path):
                self.assertEqual(golden.look(fields, path), value)


if __name__ == "__main__":
    unittest.main()
