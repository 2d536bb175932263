#!/usr/bin/python3
"""Routing from outside: every action on real files, a real HTTP server, killed at every
step and run again.

    DOCVL_ROUTE_STRIDE=1 tests/test_route.py Killed     every point instead of every eleventh
"""
import email
import email.policy
import csv
import hashlib
import hmac
import http.server
import json
import os
import pathlib
import random
import shutil
import ssl
import subprocess
import tempfile
import threading
import time
import unittest
import xml.etree.ElementTree as ET

import ubl

DOCVL = os.environ["DOCVL"]
SHIM = os.environ["DOCVL_KILL_SHIM"]
STRIDE = int(os.environ.get("DOCVL_ROUTE_STRIDE", "11"))
HERE = pathlib.Path(__file__).resolve().parent
TLS = HERE / "data" / "tls"
SECRET = "c0rrect horse"
CBC = "{urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2}"
CAC = "{urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2}"


class Hook(http.server.BaseHTTPRequestHandler):
    """Answers by path: /ok, /fail/N (the first N times 503), /status/N, /redirect, /big,
    /slow.  What came is in server.seen."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        seen = self.server.seen
        seen.append((self.path, dict(self.headers), body))
        parts = self.path.split("/")
        count = sum(1 for path, _, _ in seen if path == self.path)
        status = 200
        if parts[1] == "fail":
            status = 503 if count <= int(parts[2]) else 204
        elif parts[1] == "status":
            status = int(parts[2])
        elif parts[1] == "slow":
            time.sleep(3)
        self.send_response(302 if parts[1] == "redirect" else status)
        if parts[1] == "redirect":
            self.send_header("Location", "/ok")
        length = 10_000_000 if parts[1] == "big" else 0
        self.send_header("Content-Length", str(length))
        self.end_headers()
        try:
            self.wfile.write(b"x" * length)
        except OSError:
            pass

    def log_message(self, *_):
        pass


def serve(is_tls=False):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    server.seen = []
    if is_tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(TLS / "cert.pem", TLS / "key.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.base = f"http{'s' if is_tls else ''}://127.0.0.1:{server.server_address[1]}"
    return server


def stop(server):
    server.shutdown()
    server.server_close()


def read_lines(path):
    return path.read_text().splitlines()


def leaf(value, confidence=0.9):
    return {"value": value, "source": "text", "confidence": confidence}


def invoice(number="RE-1"):
    """Two lines, one rate; all of its sums are right."""
    return {
        "schema": "invoice", "schema_version": "1", "status": "ok", "checks": [],
        "timing": {"pages": 1}, "fields": {
            "document_type": leaf("invoice"), "invoice_number": leaf(number),
            "issue_date": leaf("2026-02-03"), "due_date": leaf("2026-03-03"),
            "currency": leaf("EUR"), "purchase_order_number": leaf("B<&>1"),
            "seller": {"name": leaf("Müller & Söhne GmbH"), "vat_id": leaf("DE281430975"),
                       "address": {"raw": leaf("Mühlgasse 27, 37073 Göttingen")}},
            "buyer": {"name": leaf("ACME SARL"), "vat_id": leaf("FR40303265045"),
                      "address": {"raw": leaf("1 rue X, Paris")}},
            "payment": {"accounts": [{"iban": leaf("DE42120300000518204417"),
                                      "bic": leaf("EXMPDEFFXXX")}], "terms": leaf(None)},
            "taxes": [{"rate": leaf("19"), "taxable_amount": leaf("350.00"),
                       "tax_amount": leaf("66.50")}],
            "lines": [{"name": leaf("Paper"), "quantity": leaf("2"), "unit": leaf("Stk."),
                       "unit_price": leaf("100.00"), "tax_rate": leaf("19"),
                       "net_amount": leaf("200.00")},
                      {"name": leaf("Ink"), "quantity": leaf("3"), "unit": leaf("kg"),
                       "unit_price": leaf("50.00"), "tax_rate": leaf("19"),
                       "net_amount": leaf("150.00")}],
            "totals": {"net_total": leaf("350.00"), "tax_total": leaf("66.50"),
                       "gross_total": leaf("416.50"), "amount_due": leaf(None)},
        },
    }


class Case(unittest.TestCase):
    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="docvl-route-"))
        self.addCleanup(shutil.rmtree, self.dir)

    def add(self, name="scan.pdf", result=None, content=None):
        """A document with its result beside it."""
        content = content if content is not None else os.urandom(100_000)
        result = dict(result or invoice(), file=name,
                      doc_id=hashlib.sha256(content).hexdigest())
        (self.dir / name).write_bytes(content)
        path = self.dir / (name + ".json")
        path.write_text(json.dumps(result))
        return path, content

    def config(self, actions, **more):
        routes = {"root": "out", "rules": [{"name": "all", "when": {"status": ["ok", "review"]},
                                            "do": actions}], **more}
        path = self.dir / "c.yaml"
        path.write_text(json.dumps({"journal": "j.db", "routes": routes}))
        return path

    def run_route(self, *arguments, **env):
        done = subprocess.run(
            [DOCVL, "route", *map(str, arguments)], capture_output=True, text=True, cwd=self.dir,
            env={**os.environ, "DOCVL_BACKOFF": "0", "DOCVL_STALL_MS": "0",
                 "HOOK_SECRET": SECRET, **env}, timeout=120, check=False)
        self.assertNotIn("Sanitizer", done.stderr)
        return done

    def route(self, *arguments, code=0, **env):
        done = self.run_route(*arguments, **env)
        self.assertEqual(done.returncode, code, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()], done.stderr

    def files(self, folder="out"):
        root = self.dir / folder
        return sorted(str(p.relative_to(root)) for p in root.rglob("*") if not p.is_dir())

    def check_signature(self, seen):
        path, headers, body = seen
        stamp, code = headers["Docvl-Signature"].split(",")
        self.assertTrue(stamp.startswith("t=") and code.startswith("v1="))
        self.assertLess(abs(int(stamp[2:]) - time.time()), 60)
        expect = hmac.new(SECRET.encode(), stamp[2:].encode() + b"." + body, "sha256")
        self.assertEqual(code[3:], expect.hexdigest())
        return headers["Idempotency-Key"], json.loads(body)


class Inputs(Case):
    def test_nothing_there(self):
        config = self.config([{"copy": "x"}])
        for name in ("none.pdf", "none.json"):
            _, err = self.route(config, name, code=2)
            self.assertIn("No such file", err)


class Files(Case):
    def test_each(self):
        result, content = self.add()
        config = self.config([
            {"copy": "copy/{invoice_number}/"}, {"link": "hard.pdf"},
            {"write": {"to": "r.json", "values": "plain"}}, {"write": {"to": "r.csv", "format": "csv"}},
            {"move": "{seller.name|slug}/{issue_date:%Y/%m}/{invoice_number}.pdf"},
            {"link": {"to": "soft.pdf", "as": "symbolic"}}, {"rename": "end.pdf"}])
        lines, _ = self.route(config, result)
        self.assertEqual(lines[0]["outcome"], "done")
        self.assertEqual(lines[0]["rule"], "all")
        self.assertEqual([a["state"] for a in lines[0]["actions"]], ["done"] * 7)
        end = "muller-sohne-gmbh/2026/02/end.pdf"
        self.assertEqual(self.files(), ["copy/RE-1/scan.pdf", "hard.pdf", end, "r.csv", "r.json",
                                        "soft.pdf"])
        for name in ("copy/RE-1/scan.pdf", "hard.pdf", end):
            self.assertEqual((self.dir / "out" / name).read_bytes(), content)
        self.assertEqual((self.dir / "out" / "hard.pdf").stat().st_ino,
                         (self.dir / "out" / end).stat().st_ino)
        self.assertFalse((self.dir / "scan.pdf").exists())
        plain = json.loads((self.dir / "out" / "r.json").read_text())
        self.assertEqual(plain["fields"]["totals"]["gross_total"], "416.50")
        table = list(csv.DictReader(read_lines(self.dir / "out" / "r.csv")))
        self.assertEqual(table[0]["gross_total"], "416.50")
        again, _ = self.route(config, result)
        self.assertEqual(again[0]["outcome"], "done before")

    def test_copy_is_as_private_as_the_document(self):
        for mode in (0o600, 0o640, 0o444):
            result, _ = self.add(f"{mode:o}.pdf")
            (self.dir / f"{mode:o}.pdf").chmod(mode)
            self.route(self.config([{"copy": "x/"}]), result)
            copy = self.dir / "out" / "x" / f"{mode:o}.pdf"
            self.assertEqual(copy.stat().st_mode & 0o777 & ~(mode | 0o600), 0)

    def test_clashes(self):
        config = self.config([{"move": "{seller.name}.pdf"}])
        for name, content in (("a.pdf", b"one"), ("b.pdf", b"two"), ("c.pdf", b"one"),
                              ("d.pdf", b"three")):
            result, _ = self.add(name, content=content)
            self.route(config, result)
            self.assertFalse((self.dir / name).exists())
        self.assertEqual(self.files(), ["Müller & Söhne GmbH-2.pdf", "Müller & Söhne GmbH-3.pdf",
                                        "Müller & Söhne GmbH.pdf"])
        self.assertEqual([(self.dir / "out" / f).read_bytes() for f in self.files()],
                         [b"two", b"three", b"one"])

    def test_changed_document_is_left_alone(self):
        result, _ = self.add()
        (self.dir / "scan.pdf").write_bytes(b"other")
        lines, err = self.route(self.config([{"move": "x/"}]), result, code=3)
        self.assertEqual(lines[0]["outcome"], "given up")
        self.assertIn("changed since it was read", err)
        self.assertEqual((self.dir / "scan.pdf").read_bytes(), b"other")
        self.assertEqual(self.files(), [])

    def test_move_onto_itself(self):
        result, content = self.add()
        self.route(self.config([{"move": str(self.dir / "{@file}")}]), result)
        self.assertEqual((self.dir / "scan.pdf").read_bytes(), content)

    def test_no_document(self):
        result, _ = self.add()
        (self.dir / "scan.pdf").unlink()
        _, err = self.route(self.config([{"copy": "x/"}]), result, code=3)
        self.assertIn("no document beside the result", err)
        self.route(self.config([{"write": "x.json"}]), result, "--force")
        self.assertEqual(self.files(), ["x.json"])

    @unittest.skipUnless(os.path.isdir("/dev/shm") and
                         os.stat("/dev/shm").st_dev != os.stat(tempfile.gettempdir()).st_dev,
                         "no second file system")
    def test_across_file_systems(self):
        other = pathlib.Path(tempfile.mkdtemp(dir="/dev/shm"))
        self.addCleanup(shutil.rmtree, other)
        result, content = self.add()
        self.route(self.config([{"move": str(other / "sub" / "{@file}")}]), result)
        self.assertEqual((other / "sub" / "scan.pdf").read_bytes(), content)
        self.assertEqual(os.listdir(other / "sub"), ["scan.pdf"])
        self.assertFalse((self.dir / "scan.pdf").exists())

    def test_missing(self):
        result, _ = self.add()
        config = self.config([{"copy": "{payment.terms}/{@ext}"}])
        self.route(config, result)
        self.assertEqual(self.files(), ["unknown/pdf"])
        config = self.config([{"copy": "{payment.terms}"}], missing="fail")
        _, err = self.route(config, result, "--force", code=1)
        self.assertIn("the value {payment.terms} is missing", err)

    def test_review_failed_otherwise(self):
        more = {"review": {"do": [{"copy": "review/"}]}, "failed": {"do": [{"copy": "failed/"}]},
                "otherwise": {"do": [{"copy": "other/"}]}}
        config = self.config([], **more)
        config.write_text(config.read_text().replace('["ok", "review"]', '"nothing"'))
        for status in ("review", "failed", "ok"):
            result, _ = self.add(status + ".pdf", dict(invoice(), status=status))
            self.route(config, result)
        self.assertEqual(self.files(), ["failed/failed.pdf", "other/ok.pdf", "review/review.pdf"])

    def test_explain_and_dry_run_touch_nothing(self):
        result, _ = self.add()
        config = self.config([{"move": "x/"}, {"run": ["/bin/false"]}])
        done = self.run_route("--explain", config, result)
        self.assertIn("all: taken", done.stdout)
        self.assertIn('+ status in ["ok","review"]   (found: ok)', done.stdout)
        self.assertIn(f"-> move to {self.dir}/out/x/scan.pdf", done.stdout)
        lines, _ = self.route("--dry-run", config, result)
        self.assertEqual([a["kind"] for a in lines[0]["actions"]], ["move", "run"])
        self.assertEqual(sorted(os.listdir(self.dir)), ["c.yaml", "scan.pdf", "scan.pdf.json"])

    def test_examples(self):
        tests = [{"result": {"schema": "x"}, "expect": {"rule": "all"}},
                 {"name": "no", "result": {}, "expect": {"rule": "none"}}]
        config = self.config([], tests=tests)
        done = self.run_route("--test", config)
        self.assertEqual(done.returncode, 9)
        self.assertEqual(done.stdout, 'ok     test 1\nnot ok no: rule "all" is taken, '
                                      'expected "none"\n')
        config = self.config([], tests=tests[:1])
        self.assertEqual(self.run_route("--test", config).returncode, 0)


class Journal(Case):
    def test_is_named_by_the_environment(self):
        config = self.config([{"copy": "a.pdf"}])
        text = json.loads(config.read_text())
        del text["journal"]
        config.write_text(json.dumps(text))
        result, _ = self.add()
        self.route(config, result, DOCVL_JOURNAL=str(self.dir / "own.db"))
        self.assertTrue((self.dir / "own.db").exists())


class Append(Case):
    def test_csv_and_jsonl(self):
        config = self.config([{"append": "a.csv"},
                              {"append": {"to": "b.csv", "columns": ["invoice_number", "seller.name"]}},
                              {"append": {"to": "c.jsonl", "format": "jsonl"}}])
        for i in range(3):
            result, _ = self.add(f"{i}.pdf", invoice(f'=R"{i}'))
            self.route(config, result)
        table = list(csv.DictReader(read_lines(self.dir / "out" / "a.csv")))
        self.assertEqual([r["file"] for r in table], ["0.pdf", "1.pdf", "2.pdf"])
        table = list(csv.reader(read_lines(self.dir / "out" / "b.csv")))
        self.assertEqual(table[0], ["docvl_key", "invoice_number", "seller.name"])
        self.assertEqual([r[1] for r in table[1:]], ["'=R\"0", "'=R\"1", "'=R\"2"])
        lines = [json.loads(x) for x in (self.dir / "out" / "c.jsonl").read_text().splitlines()]
        self.assertEqual([x["fields"]["invoice_number"] for x in lines],
                         ['=R"0', '=R"1', '=R"2'])

    def test_each_record_is_one_line_without_formulas(self):
        config = self.config([{"append": {"to": "a.csv", "columns": ["invoice_number"]}},
                              {"append": "b.csv"}])
        given = ["1\n2\r\n3", "-2", "-1.234,50", "-2+cmd|' /C calc'!A0", "@x"]
        for i, number in enumerate(given):
            result, _ = self.add(f"{i}.pdf", invoice(number))
            self.route(config, result)
        lines = read_lines(self.dir / "out" / "a.csv")
        self.assertEqual([row[1] for row in csv.reader(lines[1:])],
                         ["1 2  3", "-2", "-1.234,50", "'-2+cmd|' /C calc'!A0", "'@x"])
        self.assertEqual(len(read_lines(self.dir / "out" / "b.csv")), 1 + len(given))

    def test_torn_line_is_repaired(self):
        config = self.config([{"append": "a.csv"}])
        result, _ = self.add()
        self.route(config, result)
        sheet = self.dir / "out" / "a.csv"
        whole = sheet.read_bytes()
        for tail in (b"0123456789ab", b"0123456789abcdef,x.pdf,inv"):
            sheet.write_bytes(whole + tail)
            result, _ = self.add(f"{len(tail)}.pdf")
            self.route(config, result)
            self.assertNotIn(tail, sheet.read_bytes())
            self.assertTrue(sheet.read_bytes().startswith(whole))
            whole = sheet.read_bytes()
        self.assertEqual(len(list(csv.DictReader(read_lines(sheet)))), 3)

    def test_a_persons_last_line_is_kept(self):
        (self.dir / "out").mkdir()
        sheet = self.dir / "out" / "a.csv"
        sheet.write_text("docvl_key,mine\nx,by hand")
        result, _ = self.add()
        self.route(self.config([{"append": "a.csv"}]), result)
        lines = sheet.read_text().splitlines()
        self.assertEqual(lines[:2], ["docvl_key,mine", "x,by hand"])
        self.assertEqual(len(lines), 3)

    def test_writers_that_die(self):
        """Four writers, ten documents each, killed at random points until all are through."""
        config = self.config([{"append": "a.csv"}, {"append": {"to": "b.jsonl", "format": "jsonl"}}])
        results = [self.add(f"{i}.pdf", content=b"%d" % i)[0] for i in range(40)]
        seed = int(os.environ.get("DOCVL_TEST_SEED", "1"))

        def work(index):
            draw = random.Random(seed * 10 + index)
            for attempt in range(60):
                env = {"LD_PRELOAD": SHIM, "DOCVL_KILL_AT": str(draw.randrange(1, 500)),
                       "DOCVL_KILL_TORN": "1"} if attempt < 12 else {}
                done = self.run_route(config, *results[index::4], **env)
                if done.returncode == 0:
                    return
            self.fail(f"seed {seed}, writer {index}: {done.stderr}")

        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        table = list(csv.DictReader(read_lines(self.dir / "out" / "a.csv")))
        self.assertEqual(sorted(r["file"] for r in table), sorted(f"{i}.pdf" for i in range(40)))
        lines = [json.loads(x) for x in (self.dir / "out" / "b.jsonl").read_text().splitlines()]
        self.assertEqual(sorted(x["file"] for x in lines), sorted(f"{i}.pdf" for i in range(40)))


class Command(Case):
    def test_environment_and_stdin(self):
        result, _ = self.add()
        script = 'env > env.txt; cat > in.json; echo "$0 $1"'
        self.route(self.config([{"priority": 4}, {"run": ["/bin/sh", "-c", script, "a b", "{x}"]}]),
                   result, DOCVL_LEAK="1", OTHER="1")
        env = dict(x.split("=", 1) for x in (self.dir / "env.txt").read_text().splitlines()
                   if "=" in x)
        self.assertEqual(env["DOCVL_FIELD_SELLER_NAME"], "Müller & Söhne GmbH")
        self.assertEqual(env["DOCVL_FIELD_LINES_1_NET_AMOUNT"], "150.00")
        self.assertEqual(env["DOCVL_PATH"], str(self.dir / "scan.pdf"))
        self.assertEqual((env["DOCVL_RULE"], env["DOCVL_PRIORITY"]), ("all", "4"))
        self.assertNotIn("OTHER", env)
        self.assertNotIn("HOOK_SECRET", env)
        body = json.loads((self.dir / "in.json").read_text())
        self.assertEqual(body["key"], env["DOCVL_KEY"])
        self.assertEqual(body["result"]["fields"]["currency"]["value"], "EUR")

    def test_ends(self):
        cases = [(["/bin/sh", "-c", "echo no; exit 3"], "exit status 3: no", "later"),
                 (["/bin/sh", "-c", "exit 75"], "exit status 75", "later"),
                 (["/bin/sh", "-c", "kill -9 $$"], "killed by signal 9", "later"),
                 (["/nonexistent"], "No such file", "later")]
        for i, (command, text, outcome) in enumerate(cases):
            with self.subTest(text):
                result, _ = self.add(f"{i}.pdf")
                lines, err = self.route(self.config([{"run": command}]), result, code=75)
                self.assertIn(text, err)
                self.assertEqual(lines[0]["outcome"], outcome)

    def test_time_limit_kills_the_group(self):
        result, _ = self.add()
        config = self.config([{"run": {"command": ["/bin/sh", "-c", "sleep 60 & echo $! > pid; wait"],
                                       "timeout": "1s"}}])
        started = time.time()
        _, err = self.route(config, result, code=75)
        self.assertLess(time.time() - started, 10)
        self.assertIn("over its time limit", err)
        pid = int((self.dir / "pid").read_text())
        for _ in range(50):
            try:
                state = pathlib.Path(f"/proc/{pid}/stat").read_text().split()[2]
            except FileNotFoundError:
                break
            if state == "Z":
                break
            time.sleep(0.1)
        else:
            self.fail("the child of the command lives on")

    def test_does_not_read_and_writes_much(self):
        result, _ = self.add(result=dict(invoice(), padding="x" * 2_000_000))
        self.route(self.config([{"run": ["/bin/sh", "-c", "head -c 5000000 /dev/zero"]}]), result)

    def test_retried_with_the_same_key(self):
        result, _ = self.add()
        config = self.config([{"run": ["/bin/sh", "-c", "echo $DOCVL_KEY >> keys; [ $(wc -l < keys) -ge 3 ]"]}])
        for code in (75, 75, 0):
            self.route(config, result, code=code)
        keys = (self.dir / "keys").read_text().split()
        self.assertEqual((len(keys), len(set(keys))), (3, 1))

    def test_given_up_after_five(self):
        result, _ = self.add()
        config = self.config([{"run": ["/bin/false"]}, {"copy": "x/"}])
        for code in (75, 75, 75, 75, 3, 3):
            self.route(config, result, code=code)
        self.assertEqual(self.files(), [])


class Webhook(Case):
    def test_signed_and_retried(self):
        server = serve()
        self.addCleanup(stop, server)
        result, _ = self.add()
        config = self.config([{"webhook": {"url": server.base + "/fail/3", "secret_env": "HOOK_SECRET",
                                           "headers": {"X-Shop": "7"}, "values": "plain"}}])
        for code in (75, 75, 75, 0):
            self.route(config, result, code=code)
        self.assertEqual(len(server.seen), 4)
        keys = set()
        for seen in server.seen:
            key, body = self.check_signature(seen)
            keys.add(key)
            self.assertEqual(seen[1]["X-Shop"], "7")
            self.assertEqual(body["result"]["fields"]["totals"]["gross_total"], "416.50")
            self.assertEqual(body["key"], key)
        self.assertEqual(len(keys), 1)

    def test_secret_file(self):
        server = serve()
        self.addCleanup(stop, server)
        (self.dir / "secret").write_text(SECRET + "\n")
        result, _ = self.add()
        self.route(self.config([{"webhook": {"url": server.base + "/ok", "secret_file": "secret"}}]),
                   result)
        self.check_signature(server.seen[0])

    def test_answers(self):
        server = serve()
        self.addCleanup(stop, server)
        for path, code, text in (("/redirect", 3, "HTTP status 302"), ("/status/400", 3, "400"),
                                 ("/status/429", 75, "429"), ("/status/500", 75, "500"),
                                 ("/big", 0, "")):
            with self.subTest(path):
                result, _ = self.add(path.replace("/", "_") + ".pdf")
                _, err = self.route(self.config([{"webhook": server.base + path}]), result, code=code)
                self.assertIn(text, err)
        self.assertNotIn("/ok", [path for path, _, _ in server.seen])

    def test_nobody_there_and_slow(self):
        server = serve()
        self.addCleanup(stop, server)
        result, _ = self.add()
        self.route(self.config([{"webhook": {"url": server.base + "/slow", "timeout": "1s"}}]),
                   result, code=75)
        result, _ = self.add("b.pdf")
        self.route(self.config([{"webhook": "http://127.0.0.1:1/"}]), result, code=75)

    def test_tls_is_verified(self):
        server = serve(is_tls=True)
        self.addCleanup(stop, server)
        result, _ = self.add()
        _, err = self.route(self.config([{"webhook": server.base + "/ok"}]), result, code=75)
        self.assertIn("certificate", err)
        self.assertEqual(server.seen, [])
        result, _ = self.add("b.pdf")
        self.route(self.config([{"webhook": {"url": server.base + "/ok",
                                             "ca_file": str(TLS / "cert.pem")}}]), result)
        self.assertEqual(len(server.seen), 1)


class Mail(Case):
    def test_message(self):
        result, content = self.add("Rechnung Ü.pdf", content=b"%PDF-1.4 x" * 1000)
        self.route(self.config([{"mail": {"maildir": "Mail", "from": "scan@x.example",
                                          "to": "books@x.example", "attach": "both",
                                          "subject": "{invoice_number} von {seller.name}: {seller.name}"}}]),
                   result)
        names = self.files("Mail")
        self.assertEqual(len(names), 1)
        self.assertTrue(names[0].startswith("new/"))
        raw = (self.dir / "Mail" / names[0]).read_bytes()
        self.assertTrue(all(len(line) <= 78 for line in raw.split(b"\r\n")))
        message = email.message_from_bytes(raw, policy=email.policy.default)
        self.assertEqual(message.defects, [])
        self.assertEqual(message["subject"],
                         "RE-1 von Müller & Söhne GmbH: Müller & Söhne GmbH")
        parts = list(message.iter_attachments())
        self.assertEqual([p.get_filename() for p in parts], ["Rechnung Ü.pdf", "Rechnung Ü.pdf.json"])
        self.assertEqual(parts[0].get_content(), content)
        self.assertEqual(parts[0].get_content_type(), "application/pdf")
        self.assertIn("totals.gross_total: 416.50", message.get_body().get_content())

    def test_no_header_is_injected(self):
        result, _ = self.add(result=invoice("1\r\nBcc: x@y.example\r\n\r\nbody"))
        self.route(self.config([{"mail": {"maildir": "Mail", "from": "a@b.example", "attach": "none",
                                          "to": "c@d.example", "subject": "{invoice_number}"}}]), result)
        raw = (self.dir / "Mail" / self.files("Mail")[0]).read_bytes()
        message = email.message_from_bytes(raw, policy=email.policy.default)
        self.assertIsNone(message["bcc"])
        self.assertIn("Bcc", message["subject"])


class Ubl(Case):
    def write(self, result):
        path, _ = self.add(result=result)
        self.route(self.config([{"write": {"to": "{invoice_number}.xml", "format": "ubl"}}]), path,
                   "--force")

    def test_invoice(self):
        self.write(invoice())
        self.assertEqual(self.files(), ["RE-1.xml"])
        root = ET.parse(self.dir / "out" / "RE-1.xml").getroot()
        self.assertEqual(root.tag, "{urn:oasis:names:specification:ubl:schema:xsd:Invoice-2}Invoice")
        for element in root.iter():
            if element.tag.endswith("Amount"):
                self.assertEqual(element.get("currencyID"), "EUR")

        def text(path):
            return root.findtext(path.replace("cbc:", CBC).replace("cac:", CAC))

        for path, value in {
                "cbc:ID": "RE-1", "cbc:IssueDate": "2026-02-03", "cbc:InvoiceTypeCode": "380",
                "cbc:DocumentCurrencyCode": "EUR", "cac:OrderReference/cbc:ID": "B<&>1",
                "cac:AccountingSupplierParty/cac:Party/cac:PartyLegalEntity/cbc:RegistrationName":
                    "Müller & Söhne GmbH",
                "cac:AccountingSupplierParty/cac:Party/cac:PostalAddress/cac:Country/cbc:IdentificationCode": "DE",
                "cac:AccountingCustomerParty/cac:Party/cac:PostalAddress/cac:Country/cbc:IdentificationCode": "FR",
                "cac:AccountingSupplierParty/cac:Party/cac:PartyTaxScheme/cbc:CompanyID": "DE281430975",
                "cac:PaymentMeans/cbc:PaymentMeansCode": "58",
                "cac:PaymentMeans/cac:PayeeFinancialAccount/cbc:ID": "DE42120300000518204417",
                "cac:TaxTotal/cbc:TaxAmount": "66.50",
                "cac:TaxTotal/cac:TaxSubtotal/cac:TaxCategory/cbc:ID": "S",
                "cac:TaxTotal/cac:TaxSubtotal/cac:TaxCategory/cbc:Percent": "19",
                "cac:LegalMonetaryTotal/cbc:LineExtensionAmount": "350.00",
                "cac:LegalMonetaryTotal/cbc:TaxInclusiveAmount": "416.50",
                "cac:LegalMonetaryTotal/cbc:PayableAmount": "416.50"}.items():
            self.assertEqual(text(path), value, path)
        lines = root.findall(CAC + "InvoiceLine")
        self.assertEqual([x.findtext(CBC + "ID") for x in lines], ["1", "2"])
        self.assertEqual([x.find(CBC + "InvoicedQuantity").get("unitCode") for x in lines],
                         ["H87", "KGM"])
        self.assertEqual([x.findtext(CAC + "Price/" + CBC + "PriceAmount") for x in lines],
                         ["100.00", "50.00"])

    def test_credit_note(self):
        result = invoice()
        result["fields"]["document_type"] = leaf("credit_note")
        self.write(result)
        root = ET.parse(self.dir / "out" / "RE-1.xml").getroot()
        self.assertTrue(root.tag.endswith("CreditNote-2}CreditNote"))
        self.assertEqual(root.findtext(CBC + "CreditNoteTypeCode"), "381")
        self.assertIsNone(root.find(CBC + "DueDate"))
        self.assertEqual(root.findtext(CAC + "PaymentMeans/" + CBC + "PaymentDueDate"), "2026-03-03")
        self.assertEqual(len(root.findall(CAC + "CreditNoteLine/" + CBC + "CreditedQuantity")), 2)

    def test_breakdown_from_lines(self):
        result = invoice()
        result["fields"]["taxes"] = []
        self.write(result)
        root = ET.parse(self.dir / "out" / "RE-1.xml").getroot()
        self.assertEqual(root.findtext(f"{CAC}TaxTotal/{CAC}TaxSubtotal/{CBC}TaxableAmount"), "350.00")

    def kinds(self):
        """Invoices of every kind that is written."""
        yield "plain", invoice()
        for name in ("credit_note", "corrected", "debit_note", "partial"):
            result = invoice()
            result["fields"]["document_type"] = leaf(name)
            yield name, result
        result = invoice()
        result["fields"]["taxes"] = []
        yield "breakdown from lines", result
        result = invoice()
        fields = result["fields"]
        for name in ("buyer_reference", "delivery_note_number", "contract_number",
                     "customer_number"):
            fields[name] = leaf("X & 1")
        fields["delivery_date"] = leaf("2026-02-01")
        fields["payment"].update(terms=leaf("30 days"), reference=leaf("RF18"))
        fields["lines"][0].update(description=leaf("white"), seller_item_id=leaf("A1"))
        fields["seller"].update(registration_number=leaf("HRB 1"), tax_number=leaf("20/1/2"))
        fields["seller"]["address"].update(line1=leaf("Mühlgasse 27"), line2=leaf("Hof"),
                                           city=leaf("Göttingen"), postcode=leaf("37073"),
                                           country=leaf("DE"))
        fields["totals"].update(paid=leaf("16.50"), rounding=leaf("0.50"),
                                amount_due=leaf("400.50"))
        yield "everything", result
        result = invoice()
        result["fields"]["lines"][1].update(tax_rate=leaf("7"))
        result["fields"]["taxes"] = [
            {"rate": leaf("19"), "taxable_amount": leaf("200.00"), "tax_amount": leaf("38.00")},
            {"rate": leaf("7"), "taxable_amount": leaf("150.00"), "tax_amount": leaf("10.50")}]
        result["fields"]["totals"].update(tax_total=leaf("48.50"), gross_total=leaf("398.50"))
        yield "two rates", result
        for category in ("Z", "E", "AE", "G"):
            yield f"category {category}", self.untaxed(category, "medical care")

    def untaxed(self, category, reason=None):
        result = invoice()
        result["fields"]["taxes"][0].update(rate=leaf("0"), tax_amount=leaf("0.00"),
                                            category=leaf(category),
                                            exemption_reason=leaf(reason))
        if category in ("Z", "AE", "G"):
            del result["fields"]["taxes"][0]["exemption_reason"]
        for line in result["fields"]["lines"]:
            line.update(tax_rate=leaf("0"), tax_category=leaf(category))
        result["fields"]["totals"].update(tax_total=leaf("0.00"), gross_total=leaf("350.00"))
        return result

    def test_every_kind(self):
        """Structure and sums; and CEN's own rules, where DOCVL_EN16931 names their file."""
        rules = os.environ.get("DOCVL_EN16931")
        for name, result in self.kinds():
            with self.subTest(name):
                shutil.rmtree(self.dir / "out", ignore_errors=True)
                self.write(result)
                self.assertEqual(self.files(), ["RE-1.xml"])
                path = self.dir / "out" / "RE-1.xml"
                self.assertEqual(ubl.faults(path), [])
                if rules:
                    self.assertEqual(ubl.official(path, rules), [])

    def test_what_is_checked_here(self):
        """The check itself sees what is wrong."""
        self.write(invoice())
        path = self.dir / "out" / "RE-1.xml"
        text = path.read_text()
        for old, new in (("<cbc:IssueDate>2026-02-03</cbc:IssueDate>\n", ""),
                         ("416.50<", "416.51<"), (">66.50<", ">66.51<"),
                         ("<cbc:Percent>19<", "<cbc:Percent>7<"), (">ACME SARL<", "><"),
                         ("cbc:DueDate", "cbc:PointDate"), ("Invoice-2", "Order-2"),
                         ("<cbc:ID>RE-1</cbc:ID>\n", "<cbc:ID>RE-1</cbc:ID><cbc:ID>2</cbc:ID>")):
            with self.subTest(old):
                self.assertIn(old, text)
                path.write_text(text.replace(old, new))
                self.assertNotEqual(ubl.faults(path), [])

    def test_rules(self):
        """Each breaks one rule; nothing is written but the list of rules."""
        cases = [
            ("invoice_number", None, "BR-02"), ("issue_date", None, "BR-03"),
            ("issue_date", "3.2.2026", "BR-03"), ("document_type", None, "BR-04"),
            ("document_type", "proforma", "BR-04"), ("currency", None, "BR-05"),
            ("seller.name", None, "BR-06"), ("buyer.name", None, "BR-07"),
            ("buyer.vat_id", None, "BR-11"), ("totals.net_total", None, "BR-13"),
            ("totals.gross_total", None, "BR-14"), ("totals.amount_due", "416.49", "BR-CO-16"),
            ("due_date", None, "BR-CO-25"), ("seller.vat_id", None, "BR-CO-26"),
            ("seller.vat_id", "281430975", "BR-CO-09"), ("totals.net_total", "350.01", "BR-CO-13"),
            ("totals.gross_total", "416.51", "BR-CO-15"), ("taxes.0.tax_amount", "66.51", "BR-CO-14"),
            ("taxes.0.tax_amount", "66.51", "BR-CO-17"), ("taxes.0.taxable_amount", None, "BR-45"),
            ("taxes.0.taxable_amount", "349.00", "BR-S-08"),
            ("taxes.0.tax_amount", None, "BR-46"), ("taxes.0.rate", "0", "BR-47"),
            ("taxes.0.rate", None, "BR-48"), ("lines.0.quantity", None, "BR-22"),
            ("lines.0.unit", "Schock", "BR-23"), ("lines.0.net_amount", None, "BR-24"),
            ("lines.0.name", None, "BR-25"), ("lines.0.unit_price", None, "BR-26"),
            ("lines.0.unit_price", "-1.00", "BR-27"), ("lines.0.tax_rate", "0", "BR-CO-04"),
            ("totals.gross_total", "416.501", "BR-DEC-14"),
            ("lines.0.net_amount", "200.001", "BR-DEC-23"), ("totals.paid", "1.005", "BR-DEC-16"),
            ("issue_date", "2026-13-45", "BR-03"), ("type_code", "999", "BR-CL-01"),
            ("currency", "eur", "BR-CL-04"), ("currency", "EUX", "BR-CL-04"),
            ("seller.address.country", "XX", "BR-CL-14"), ("taxes.0.category", "K", "BR-CL-17"),
            ("lines.0.unit_code", "NOPE", "BR-CL-23"), ("seller.vat_id", "XX281430", "BR-CO-09"),
            ("lines.0.tax_rate", "7", "BR-S-01"), ("lines.0.tax_category", "E", "BR-E-05"),
        ]
        for path, value, rule in cases:
            with self.subTest(path, value=value):
                result = invoice("X")
                node = result["fields"]
                names = path.split(".")
                for name in names[:-1]:
                    node = node[int(name) if name.isdigit() else name]
                node[names[-1]] = leaf(value)
                shutil.rmtree(self.dir / "out", ignore_errors=True)
                self.write(result)
                names = self.files()
                self.assertEqual(len(names), 1)
                self.assertTrue(names[0].endswith(".xml.rules.json"), names)
                report = json.loads((self.dir / "out" / names[0]).read_text())
                self.assertIn(rule, [x["id"] for x in report["broken_rules"]])
        for result, rule in ((self.untaxed("E"), "BR-E-10"), (self.untaxed("O"), "BR-CL-17")):
            shutil.rmtree(self.dir / "out")
            self.write(result)
            self.assertIn(rule, (self.dir / "out" / "RE-1.xml.rules.json").read_text())
        result = invoice("X")
        result["fields"]["lines"] = []
        shutil.rmtree(self.dir / "out")
        self.write(result)
        self.assertIn("BR-16", (self.dir / "out" / "X.xml.rules.json").read_text())


class Documents(Case):
    """Not a result but a document, which is extracted first."""

    def test_one_that_cannot_be_read_is_a_failure(self):
        bad = self.dir / "bad.pdf"
        bad.write_bytes(b"no document")
        for more, outcomes in (({}, ["failed", "failed"]),
                               ({"failed": {"do": [{"copy": "bad/"}]}}, ["done", "done before"])):
            config = self.config([], **more)
            for outcome in outcomes:
                lines, err = self.route(config, bad, code=2)
                self.assertEqual(lines[0]["outcome"], outcome)
                self.assertIn("bad.pdf: neither", err)
            self.route("--dry-run", config, bad, code=2)
        self.assertEqual(self.files(), ["bad/bad.pdf"])

    def test_known_one_is_not_extracted_again(self):
        path = self.dir / "scan.pdf"
        shutil.copy(pathlib.Path(os.environ["DOCVL_SAMPLES"]) / "invoice-de.pdf", path)
        config = self.config([{"copy": "x/"}], review={"do": [{"copy": "x/"}]})
        self.route(config, path)
        lines, _ = self.route(config, path, DOCVL_RENDER="/no/such/program")
        self.assertEqual(lines[0]["outcome"], "done before")
        config = self.config([], failed={"do": [{"move": "unread/"}]})
        self.route(config, path, "--force", code=1, DOCVL_RENDER="/no/such/program")
        self.assertTrue(path.exists(), "nothing is wrong with the document")


class Engine(Case):
    """batch and watch take documents through the rules as route does."""

    def settle(self, actions, **more):
        (self.dir / "in").mkdir()
        shutil.copy(pathlib.Path(os.environ["DOCVL_SAMPLES"]) / "invoice-de.pdf",
                    self.dir / "in" / "scan.pdf")
        config = self.config(actions, review={"do": actions})
        tree = json.loads(config.read_text())
        tree.update(more, defaults={"schema": "invoice"})
        config.write_text(json.dumps(tree))
        return config, (self.dir / "in" / "scan.pdf").read_bytes()

    def test_batch_goes_on_after_a_move(self):
        server = serve()
        self.addCleanup(stop, server)
        config, content = self.settle(
            [{"move": "{invoice_number}/"}, {"webhook": server.base + "/fail/1"}],
            batch={"from": ["in"], "out": "res"})
        env = {**os.environ, "DOCVL_BACKOFF": "0"}
        run = [DOCVL, "batch", "--config", str(config)]
        first = subprocess.run(run, capture_output=True, text=True, cwd=self.dir, env=env,
                               timeout=300, check=False)
        self.assertEqual(first.returncode, 3, first.stderr)
        self.assertIn("routing waits", first.stderr)
        self.assertEqual(os.listdir(self.dir / "in"), [])
        moved = self.dir / "out" / "RE-10472" / "scan.pdf"
        self.assertEqual(moved.read_bytes(), content)
        second = subprocess.run(run, capture_output=True, text=True, cwd=self.dir, env=env,
                                timeout=300, check=False)
        self.assertIn(second.returncode, (0, 4), second.stderr)
        self.assertEqual(len(server.seen), 2)
        self.assertEqual(len({h["Idempotency-Key"] for _, h, _ in server.seen}), 1)
        body = json.loads(server.seen[1][2])
        self.assertEqual(body["path"], str(moved))
        result = json.loads((self.dir / "res" / "scan.pdf.json").read_text())
        self.assertEqual(body["result"]["doc_id"], result["doc_id"])

    def test_batch_keeps_the_result_when_an_action_is_given_up(self):
        server = serve()
        self.addCleanup(stop, server)
        config, _ = self.settle([{"webhook": server.base + "/status/400"}],
                                batch={"from": ["in"], "out": "res"})
        done = subprocess.run([DOCVL, "--quiet", "batch", "--config", str(config)],
                              capture_output=True, text=True, cwd=self.dir, timeout=300,
                              check=False)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("HTTP status 400", done.stderr)
        result = json.loads((self.dir / "res" / "scan.pdf.json").read_text())
        self.assertNotEqual(result["status"], "failed")
        self.assertIn("fields", result)

    def test_watch(self):
        config, content = self.settle(
            [{"append": "all.csv"}, {"move": "{seller.name|slug}/{invoice_number}.pdf"}],
            folders=[{"path": "in", "out": "res", "settle": "1s"}])
        watch = subprocess.Popen([DOCVL, "watch", str(config)], cwd=self.dir,
                                 stderr=subprocess.PIPE, text=True)
        moved = self.dir / "out" / "weidenbach-papierwerk-gmbh" / "RE-10472.pdf"
        try:
            for _ in range(1200):
                if moved.exists():
                    break
                time.sleep(0.1)
        finally:
            watch.terminate()
            _, err = watch.communicate(timeout=60)
        self.assertTrue(moved.exists(), err)
        self.assertEqual(moved.read_bytes(), content)
        self.assertEqual(len(list(csv.DictReader(read_lines(self.dir / "out" / "all.csv")))), 1)
        self.assertTrue((self.dir / "res" / "scan.pdf.json").exists())
        self.assertEqual([p.name for p in (self.dir / "in").rglob("*.pdf")], [])
        self.assertEqual(list((self.dir / "res").rglob("*.pdf")), [])


class Killed(Case):
    """Die before every call that changes something, run again: once, or with the same key."""

    def actions(self, server, moved):
        return [{"copy": "copy/{invoice_number}.pdf"}, {"link": "hard.pdf"},
                {"write": "r.json"}, {"append": "a.csv"}, {"append": {"to": "b.jsonl", "format": "jsonl"}},
                {"run": ["/bin/sh", "-c", "echo $DOCVL_KEY >> keys"]},
                {"webhook": {"url": server.base + "/ok", "secret_env": "HOOK_SECRET"}},
                {"mail": {"maildir": "Mail", "from": "a@b.example", "to": "c@d.example",
                          "subject": "{invoice_number}"}},
                {"move": moved}, {"rename": "end-{invoice_number}.pdf"}]

    def check(self, server, content, end):
        self.assertEqual(self.files(), sorted(["copy/RE-1.pdf", "hard.pdf", "r.json", "a.csv",
                                               "b.jsonl"] + ([end[1]] if end[0] == "out" else [])))
        root = self.dir / "out"
        for path in (root / "copy/RE-1.pdf", root / "hard.pdf", self.dir / end[0] / end[1]):
            self.assertEqual(path.read_bytes(), content)
        self.assertFalse((self.dir / "scan.pdf").exists())
        self.assertEqual(len(list(csv.DictReader(read_lines(root / "a.csv")))), 1)
        self.assertEqual(len([json.loads(x) for x in (root / "b.jsonl").read_text().splitlines()]), 1)
        json.loads((root / "r.json").read_text())
        self.assertEqual(len([x for x in self.files("Mail") if not x.startswith("tmp/")]), 1)
        keys = set((self.dir / "keys").read_text().split())
        self.assertEqual(len(keys), 1)
        self.assertEqual(len({self.check_signature(x)[0] for x in server.seen}), 1)

    def step_through(self, moved, end, **env):
        server = serve()
        self.addCleanup(stop, server)
        content = os.urandom(100_000)
        points, at = 0, 1
        while True:
            for name in os.listdir(self.dir):
                path = self.dir / name
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            for name in os.listdir(end[0]) if os.path.isabs(end[0]) else []:
                os.unlink(os.path.join(end[0], name))
            server.seen.clear()
            result, _ = self.add(content=content)
            config = self.config(self.actions(server, moved))
            done = self.run_route(config, result, LD_PRELOAD=SHIM, DOCVL_KILL_AT=str(at), **env)
            if done.returncode == 0:
                self.check(server, content, end)
                return points
            self.assertEqual(done.returncode, -9, done.stderr)
            points += 1
            for path in (self.dir / "Mail" / "new").glob("*"):  # its reader was faster
                path.rename(self.dir / "Mail" / "cur" / (path.name + ":2,S"))
            with self.subTest(at=at):
                lines, _ = self.route(config, result)
                self.assertIn(lines[0]["outcome"], ("done", "done before"))
                self.check(server, content, end)
                lines, _ = self.route(config, result)
                self.assertEqual(lines[0]["outcome"], "done before")
            at += STRIDE

    def test_same_file_system(self):
        points = self.step_through("moved/", ("out", "moved/end-RE-1.pdf"))
        print(f"\nkilled at {points} points, every action once", flush=True)

    def test_torn_writes(self):
        points = self.step_through("moved/", ("out", "moved/end-RE-1.pdf"), DOCVL_KILL_TORN="1")
        print(f"\nkilled in {points} writes and calls, every action once", flush=True)

    @unittest.skipUnless(os.path.isdir("/dev/shm") and
                         os.stat("/dev/shm").st_dev != os.stat(tempfile.gettempdir()).st_dev,
                         "no second file system")
    def test_across_file_systems(self):
        other = tempfile.mkdtemp(dir="/dev/shm")
        self.addCleanup(shutil.rmtree, other)
        points = self.step_through(other + "/", (other, "end-RE-1.pdf"))
        print(f"\nkilled at {points} points across file systems", flush=True)


if __name__ == "__main__":
    unittest.main()
