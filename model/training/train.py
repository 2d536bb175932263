"""Trains docvl-nano on documents drawn on the fly. See README.md beside this file."""
import argparse, json, math, os, random, sys, time
import numpy as np, torch, torch.nn.functional as F
import docgen, nano as M
from anchors import labels
from asks import Sheet
import torch.distributed as dist
from docgen.canvas import Page as _Page
from docgen import canvas, geometry
from docgen.canvas import CHARS, CIDX
NCLS = len(CHARS) + 1
ap = argparse.ArgumentParser()
ap.add_argument("--stage", default="doc", choices=("doc", "read", "both", "text")); ap.add_argument("--limit", type=float, default=520); ap.add_argument("--resume", default="")
ap.add_argument("--out", default="/tmp/out"); ap.add_argument("--scale", type=float, default=1); ap.add_argument("--lr", type=float, default=2e-3)
ap.add_argument("--workers", type=int, default=15); ap.add_argument("--compile", type=int, default=1); ap.add_argument("--dev", default="cuda")
ap.add_argument("--decay_from", type=float, default=1.); ap.add_argument("--warm", type=int, default=200); ap.add_argument("--seed", type=int, default=0); ap.add_argument("--state", default="/tmp/nano_state.pt")
ap.add_argument("--tile_part", type=float, default=.16); ap.add_argument("--mix_part", type=float, default=.34); ap.add_argument("--save_every", type=float, default=150)
ap.add_argument("--old_slots", type=int, default=4); ap.add_argument("--ema", type=float, default=0.)                     # e.g. .998: part*.bin holds the running mean, last*.bin the tower itself
ap.add_argument("--vocab", type=int, default=4096); ap.add_argument("--eval_n", type=int, default=32)
ap.add_argument("--world", type=int, default=0)
ap.add_argument("--own", default=""); ap.add_argument("--own_part", type=float, default=.5); ap.add_argument("--schemas", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../schemas"))
a = ap.parse_args(); os.makedirs(a.out, exist_ok=True)
if "RANK" not in os.environ:                                   # one process a GPU
    n_ = a.world or (torch.cuda.device_count() if a.dev == "cuda" else 1)
    if n_ > 1:
        import subprocess
        os.environ.update(WORLD_SIZE=str(n_), MASTER_ADDR="127.0.0.1", MASTER_PORT="29511", T0=str(time.time()))
        ps_ = [subprocess.Popen([sys.executable] + sys.argv, env={**os.environ, "RANK": str(i)}) for i in range(n_)]
        rc_ = [None] * n_
        while any(c is None for c in rc_):                      # one dead process ends all
            rc_ = [q.poll() for q in ps_]
            if any(c not in (None, 0) for c in rc_): [q.kill() for q in ps_]; break
            time.sleep(1)
        sys.exit(max(abs(q.wait()) for q in ps_))
RANK, WORLD = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1)); T0 = float(os.environ.get("T0", time.time()))
if a.dev == "cuda": torch.cuda.set_device(RANK)
if WORLD > 1: dist.init_process_group("nccl" if a.dev == "cuda" else "gloo", rank=RANK, world_size=WORLD)
def log(*x):
    if RANK == 0: print(f"[{time.time()-T0:6.1f}]", *x, flush=True)

# ---- tokenizer: byte-level BPE with single digits and the VL2 special tokens -----------------------
SPECIAL = ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>", "<image>", "<|ref|>", "<|/ref|>", "<|det|>", "<|/det|>", "<|grounding|>", "<|User|>", "<|Assistant|>"]
BOS, EOS, PAD, IMG, REF, REF_, DET, DET_, GRD, USER, ASST = range(11)
def corpus():
    r = random.Random(0)
    for _ in range(1500):
        p = docgen.make(r)
        yield "\n".join(p.lines())
        if p.fields: yield instruction_extract(schema_of(p, r)) + answer_json(p.fields, schema_of(p, r))
    for _ in range(400): yield "\n".join(docgen.random_text(r, 512, 512, 400).lines())
def load_tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers, decoders, trainers
    f = f"{a.resume}/tokenizer.json"
    if a.resume and os.path.exists(f): t = Tokenizer.from_file(f)
    else:
        t = Tokenizer(models.BPE())
        t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
        t.decoder = decoders.ByteLevel()
        t.train_from_iterator(corpus(), trainers.BpeTrainer(vocab_size=a.vocab, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    if RANK == 0: t.save(f"{a.out}/tokenizer.json")
    return t

# ---- tasks -----------------------------------------------------------------------------------------
def schema_of(p, r):
    """Keys to ask for: a random subset, at times with one that the page does not carry."""
    ks = [k for k in p.fields if k != "document_type"]
    extra = {"invoice": ["due_date", "iban", "purchase_order_number", "customer_number", "buyer_vat_id", "payment_terms", "tax_total"], "receipt": ["receipt_number", "time", "tax_total", "subtotal", "change", "merchant_phone"]}.get(str(p.kind).split(".")[0], [])
    if r.random() < .4: ks += [k for k in extra if k not in ks and r.random() < .5]
    if r.random() < .6 and len(ks) > 2: r.shuffle(ks); ks = ks[: r.randint(1, len(ks))]
    if r.random() < .35: ks = ["document_type"] + ks
    out = []
    for k in ks:
        v = p.fields.get(k)
        if isinstance(v, list) and v and isinstance(v[0], dict):
            sub = list(dict.fromkeys(s for row in v for s in row))
            if r.random() < .4 and len(sub) > 2: sub = sub[: r.randint(2, len(sub))]
            out.append((k, sub))
        else: out.append((k, None))
    return out
def instruction_extract(sc): return "Extract JSON: " + ", ".join(k if s is None else f"{k}[{', '.join(s)}]" for k, s in sc)
def answer_json(f, sc):
    o = {}
    for k, s in sc:
        v = f.get(k); o[k] = [{q: row.get(q) for q in s} for row in v] if s is not None and isinstance(v, list) else v
    return json.dumps(o, ensure_ascii=False, separators=(",", ":"))
def det(b, w, h): return f"[[{', '.join(str(min(999, max(0, int(v * 1000 / s)))) for v, s in zip(b, (w, h, w, h)))}]]"
ALLKINDS = None
def task_of(p, r, force=None):
    """(question ids, answer ids, blank the picture?) of one random task on a page with its picture."""
    w, h = p.img.size; x = r.random(); f = p.fields or {}
    if force == "read" or (force is None and x < .22): return enc("Read the text."), enc("\n".join(p.lines())), False
    if force == "locate" or (force is None and x < .30):
        c = [(v, p.boxes[k]) for k, v in f.items() if isinstance(v, str) and isinstance(p.boxes.get(k), tuple)] + [(q[4], q[:4]) for q in p.pieces]
        if c:
            v, b = r.choice(c); return [REF] + enc(v) + [REF_], [REF] + enc(v) + [REF_, DET] + enc(det(b, w, h)) + [DET_], False
    y = r.random(); given = y < .8; blank = .7 < y < .8; clean = not given
    sh = Sheet(p, r, 0 if clean or force else None)
    q = sh.extract(sh.fixed()[0]) if force == "extract" else (r.choice([lambda: sh.boxes(), lambda: sh.form()])() if f and r.random() < .5 and str(p.kind) == "office.form" and not blank else None) or (sh.questions(ALLKINDS, 1) or [None])[0]
    if not q: return enc("Read the text."), enc("\n".join(p.lines())), False
    return (enc("Page text:\n" + sh.text + "\n\n") if given and force != "extract" or force and given else []) + enc(q[0]), enc(q[1]), blank and force is None
def sequence(q, t): return head_ids, enc("\n") + q + enc("\n\n") + [ASST] + enc(":"), t + [EOS]

KINDS = {"cut": (512, 512, 0, 0), "tile": (512, 512, 0, 0), "one": (512, 512, 1, 1), "rec2": (512, 992, 1, 2), "rec3": (512, 1472, 1, 3), "page": (992, 1472, 2, 3), "land": (1472, 992, 3, 2), "sq": (992, 992, 2, 2), "text": (992, 1403, -1, -1), "t1": (1, 1, -1, -1), "t2": (1, 1, -1, -1), "t3": (1, 1, -1, -1)}   # text: no picture at all; tiles overlap by 32 pixels
LEN = {"cut": 0, "tile": 288, "one": 320, "rec2": 640, "rec3": 896, "page": 1472, "land": 1216, "sq": 960, "text": 1472, "t1": 704, "t2": 1280, "t3": 2176}
BATCH = {"cut": 192, "tile": 128, "one": 64, "rec2": 40, "rec3": 28, "page": 16, "land": 16, "sq": 22, "text": 48, "t1": 112, "t2": 64, "t3": 36}
BATCH = {k: max(1, int(v * a.scale)) for k, v in BATCH.items()}
STAGES = {"doc": {"tile": 56, "t1": 6, "t2": 10, "t3": 5, "rec2": 16, "page": 26},
          "read": {"cut": 1},          # the tower: dense reading of tiles cut from whole documents
          "both": {"cut": 42, "t1": 15, "t2": 28, "t3": 13, "rec2": 1, "page": 1},
          "text": {"t1": 30, "t2": 50, "t3": 20}}                           # page text alone: the decoder, for one's own documents
def mix_now(): return STAGES[a.stage]
DOCS = [k for k in docgen.KINDS if not str(k).startswith("receipt")]; RECS = [k for k in docgen.KINDS if str(k).startswith("receipt")]; TRADE = [k for k in docgen.KINDS if str(k).split(".")[0] in ("invoice", "order")]
def pick(r, ks):
    return r.choices(ks, [docgen.KINDS[k] for k in ks])[0]
def draw(kind, r):
    w, h, gw, gh = KINDS[kind]; x = r.random()
    if kind == "text":
        ks = RECS if x < .33 else TRADE if x < .72 else DOCS
        return docgen.make(r, size=(512, r.randint(700, 1400)) if ks is RECS else r.choice([(992, 1403), (992, 1403), (992, 1284), (744, 1052)]), kind=pick(r, ks), geometry=0), w, h
    if kind in ("tile", "one"): return docgen.random_text(r, w, h, r.choice([30, 80, 160, 300, 450])), w, h
    if kind in ("rec2", "rec3"):
        hh = h - r.choice([0, 0, r.randint(0, 200)])
        return (docgen.make(r, pick(r, RECS), (w, hh)) if x < .85 else docgen.random_text(r, w, h, r.randint(100, 800))), w, h
    if x < .18: return docgen.random_text(r, w, h, r.randint(200, 3200)), w, h
    ww, hh = (w, r.choice([1403, 1403, 1284, h])) if kind == "page" else (r.choice([1403, w]), h) if kind == "land" else (w, h)
    return docgen.make(r, pick(r, DOCS), (ww, hh)), w, h
def cuts(r):
    """Tiles of one document at the geometry of the program's tilings, for dense reading: (image, labels)."""
    x = r.random()
    canvas.PITCH[0] = r.choices([1.0, .97, .94, .9, .86, 1.06, 1.15], [51, 14, 12, 9, 4, 5, 5])[0]
    if x < .22: p = docgen.random_text(r, 512, 512, r.choice([80, 160, 300, 450, 600, 1200]))
    elif x < .36: p = docgen.random_text(r, *r.choice([(992, 1403), (992, 1403), (1240, 1754)]), r.randint(900, 7000))
    elif x < .8:
        w = r.choice([512, 512, r.randint(360, 512), r.randint(512, 1000)]); p = docgen.make(r, pick(r, RECS), (w, min(2200, int(w * r.uniform(1.1, 3.4)))))
    else: p = docgen.make(r, pick(r, DOCS), r.choices([(992, 1403), (992, 1284), (1403, 992), (1240, 1754), (1488, 2105), (744, 1052)], [44, 6, 3, 20, 15, 12])[0])
    if x < .36 and r.random() < .08: geometry.struck(p)
    if x < .36 and r.random() < .3: geometry.turn(p)
    if r.random() < (.16 if x < .36 else .05): geometry.wave(p)
    im = np.asarray(p.img, np.uint8); h, w = im.shape; ch = np.asarray(p.chars, np.float64).reshape(-1, 5); ch = ch[ch[:, 0] < w - 2]; out = []
    sx, sy = (0, 0) if r.random() < .4 else (r.randint(-40, 479), r.randint(-40, 479))
    spots = [(tx, ty) for ty in range(-sy, max(1, h - 32), 480) for tx in range(-sx, max(1, w - 32), 480)]; r.shuffle(spots)
    for tx, ty in spots:
        here = ch[(ch[:, 0] >= tx - 6) & (ch[:, 0] < tx + 518) & (ch[:, 1] >= ty - 16) & (ch[:, 1] < ty + 528)]
        if r.random() > .03 + len(here) / 500: continue
        t = np.full((512, 512), 127, np.uint8); x0, y0, x1, y1 = max(0, tx), max(0, ty), min(w, tx + 512), min(h, ty + 512)
        t[y0 - ty: y1 - ty, x0 - tx: x1 - tx] = im[y0:y1, x0:x1]; out.append((t, labels(here, -tx, -ty, 512, 512)))
        if len(out) == 9: break
    return out
def fill(kind, q, t):
    ids = np.full(LEN[kind] + 1, PAD, np.int64); ids[: len(q) + len(t)] = q + t
    mask = np.zeros(LEN[kind] + 1, np.bool_); mask[len(q): len(q) + len(t)] = True
    return ids, mask
_glyphs = _Page._glyphs
def _unseen(self, pen, y, s, f, fill, track, read):
    """Stands in for the drawing where only the text of a page is wanted."""
    if read: self.chars.extend([(0, 0, 1, 1, 1)] * len(s))
    return pen + f.width(s, track) - track
def blind_samples(r, copies=3):
    """Sequences of several questions about the text of one page, without its picture: (ids, mask)."""
    _Page._glyphs = _unseen
    try: p, _, _ = draw("text", r)
    finally: _Page._glyphs = _glyphs
    out = []
    for _ in range(copies):
        sh = Sheet(p, r); qs = sh.questions(ALLKINDS, r.choice([1, 2, 3, 4])); ids, mask = [], []
        for n, (q, t) in enumerate(qs):
            q = (enc("\nPage text:\n" + sh.text + "\n\n" + q) if n == 0 else [USER] + enc(": " + q)) + enc("\n\n") + [ASST] + enc(":"); t = enc(t) + [EOS]
            if len(ids) + len(q) + len(t) > LEN["t3"]: break
            ids += q + t; mask += [False] * len(q) + [True] * len(t)
        if ids: out.append((ids, mask))
    return out
OWN = []
if a.own:
    import own
    OWN = own.load(a.own, a.schemas); log("own questions", len(OWN))
def own_samples(r):
    """One of the user's own questions, in the form of blind_samples()."""
    text, q, t = r.choice(OWN); q = enc("\nPage text:\n" + text + "\n\n" + q + "\n\n") + [ASST] + enc(":"); t = enc(t) + [EOS]
    return [(q + t, [False] * len(q) + [True] * len(t))] if len(q) + len(t) <= LEN["t3"] else []
def sample(kind, r, force=None):
    while True:
        p, w, h = draw(kind, r)
        if force == "extract" and len(p.fields or {}) < 2: continue
        q, t, blank = task_of(p, r, force); hd, q, t = sequence(q, t)
        if len(q) + len(t) <= LEN[kind]: break
        if force != "extract" and len(q) < LEN[kind] // 2 and len(t) > 40 and r.random() < .3:           # long pages: learn to read their beginning
            t = t[: LEN[kind] - len(q)]
            break
    im = np.full((h, w), 127, np.uint8); pw, ph = p.img.size; ox, oy = (w - pw) // 2, (h - ph) // 2
    if blank: return im, np.zeros((h // 16, w // 4, 5), np.float16), *fill(kind, q, t), (q, t, p)
    im[oy: oy + ph, ox: ox + pw] = np.asarray(p.img, np.uint8)
    return im, labels(p.chars, ox, oy, w, h), *fill(kind, q, t), (q, t, p)
class Stream(torch.utils.data.IterableDataset):
    def __iter__(s):
        wi = torch.utils.data.get_worker_info(); wid = wi.id if wi else 0; torch.set_num_threads(1)
        import signal
        def late(*_): raise TimeoutError("a page took too long to draw")
        if wi: signal.signal(signal.SIGALRM, late)              # one page that never ends would stop every process
        limit = (lambda t: signal.setitimer(signal.ITIMER_REAL, t)) if wi else (lambda t: None)
        r = random.Random(a.seed * 1000003 + 104729 * RANK + 7919 * wid + 17); kr = random.Random(a.seed + 31 * wid)     # the kinds come in the same order on every rank
        pools = {"t1": [], "t2": [], "t3": []}
        while True:
            m = mix_now(); k = kr.choices(list(m), list(m.values()))[0]; xs = []
            if k in pools:
                while len(pools[k]) < BATCH[k]:
                    try:
                        limit(4)
                        for ids, mask in own_samples(r) if OWN and r.random() < a.own_part else blind_samples(r):
                            b = next(b for b in pools if len(ids) <= LEN[b])
                            if len(pools[b]) < 3 * BATCH[b]: pools[b].append((ids, mask))
                    except Exception as e:
                        if r.random() < .01: print("sample failed", k, repr(e), flush=True)
                limit(0); xs = pools[k][: BATCH[k]]; pools[k] = pools[k][BATCH[k]:]
                I = np.full((len(xs), LEN[k] + 1), PAD, np.int64); K = np.zeros((len(xs), LEN[k] + 1), np.bool_)
                for n, (ids, mask) in enumerate(xs): I[n, : len(ids)] = ids; K[n, : len(ids)] = mask
                yield (k, torch.zeros(1), torch.zeros(1), torch.from_numpy(I), torch.from_numpy(K)); continue
            if k == "cut":
                while len(xs) < BATCH[k]:
                    try: limit(4); xs += cuts(r)
                    except Exception as e:
                        if r.random() < .01: print("sample failed", k, repr(e), flush=True)
                limit(0); xs = xs[: BATCH[k]]; yield (k, torch.from_numpy(np.stack([x[0] for x in xs])), torch.from_numpy(np.stack([x[1] for x in xs])), torch.zeros(1), torch.zeros(1)); continue
            while len(xs) < BATCH[k]:
                try: limit(4); xs.append(sample(k, r))
                except Exception as e:
                    if r.random() < .01: print("sample failed", k, repr(e), flush=True)
            limit(0)
            yield (k, *[torch.from_numpy(np.stack(c)) for c in list(zip(*xs[: BATCH[k]]))[:4]])

# ---- scan noise and tiles, on the device -------------------------------------------------------------
_D = torch.tensor([[math.sqrt((1 if i == 0 else 2) / 8) * math.cos((2 * j + 1) * i * math.pi / 16) for j in range(8)] for i in range(8)])
_Q = torch.tensor([[16, 11, 10, 16, 24, 40, 51, 61], [12, 12, 14, 19, 26, 58, 60, 55], [14, 13, 16, 24, 40, 57, 69, 56], [14, 17, 22, 29, 51, 87, 80, 62],
                   [18, 22, 37, 56, 68, 109, 103, 77], [24, 35, 55, 64, 81, 104, 113, 92], [49, 64, 78, 87, 103, 121, 120, 101], [72, 92, 95, 98, 112, 100, 103, 99]]) / 255.
def jpeg(y, scale):
    """What JPEG leaves of pictures, per picture at a scale of the standard table."""
    B, H, W = y.shape; d = _D.to(y); q = _Q.to(y) * scale[..., None, None]; b = y.view(B, H // 8, 8, W // 8, 8).transpose(2, 3) - .5
    c = d @ b @ d.T; b = d.T @ (torch.round(c / q) * q) @ d; return (b + .5).transpose(2, 3).reshape(B, H, W)
def degrade(im):
    B, H, W = im.shape; dev = im.device; u = lambda *s: torch.rand(*s, device=dev); R = lambda lo, hi: u(B, 1, 1) * (hi - lo) + lo; on = lambda p: (u(B, 1, 1) < p).float()
    x0 = x = im.float() / 255; clean = u(B, 1, 1) < .15
    grow = lambda z: -F.max_pool2d(-z[:, None], 3, 1, 1)[:, 0]; light = lambda z: F.max_pool2d(z[:, None], 3, 1, 1)[:, 0]
    x = x + on(.14) * R(.1, .8) * (grow(x) - x); x = x + on(.12) * R(.1, .5) * (light(x) - x)             # heavy and thin print
    x = x + on(.06) * R(.2, .9) * (torch.minimum(x, torch.roll(x, 1, 2)) - x)                                # struck twice
    x = 1 - (1 - x) * (1 - on(.4) * R(0, .6))                                   # faint print
    x = 1 - (1 - x) * (1 - on(.14) * R(.2, 1) * (u(B, H, 1) < R(0, .1)).float())                         # rows and columns that the print head missed
    x = 1 - (1 - x) * (1 - on(.05) * R(.2, 1) * (u(B, 1, W) < .015).float())
    for part, at in ((.07, torch.arange(H, device=dev).view(1, H, 1)), (.04, torch.arange(W, device=dev).view(1, 1, W))):          # rows of dots with gaps between
        x = 1 - (1 - x) * (1 - on(part) * R(.2, .85) * ((at / R(2, 4.6) + R(0, 1)) % 1 < R(.2, .45)).float())
    x = 1 - (1 - x) * (1 - on(.08) * R(.4, .8))                                  # hardly there
    band = F.interpolate(u(B, 1, H // 32, 1), (H, W), mode="bicubic", align_corners=False)[:, 0]
    x = 1 - (1 - x) * (1 - on(.08) * R(.1, .7) * band.clamp(0, 1))                                         # fading in bands
    side = F.interpolate(u(B, 1, 1, 5), (H, W), mode="bicubic", align_corners=False)[:, 0]; x = 1 - (1 - x) * (1 - on(.06) * R(.3, .85) * side.clamp(0, 1))      # a worn head: paler on one side
    lowf = F.interpolate(u(B, 1, 6, 5), (H, W), mode="bicubic", align_corners=False)[:, 0]
    x = x * (1 - on(.35) * R(0, .4) * lowf)                                     # uneven light
    n_ = int(np.random.choice([4, 7, 12])); fold = F.interpolate(torch.rand(B, 2, n_, n_, device=dev), (H, W), mode="bicubic", align_corners=False)
    crease = torch.exp(-(fold[:, 0] - .5).abs() / R(.01, .08)); bad = on(.11)
    x = x * (1 - bad * R(.05, .4) * crease) * (1 - bad * R(0, .3) * fold[:, 1].clamp(0, 1)); x = 1 - (1 - x) * (1 - bad * R(0, .6) * crease * (crease > .6))         # crumpled, its folds worn white
    for step, part in ((8, .08), (3, .13), (2, .08)):                                      # worn and broken ink
        spots = F.interpolate((u(B, 1, H // step, W // step)), (H, W), mode="bilinear")[:, 0]
        x = x + on(part) * R(.1, .7) * (1 - x) * (spots > R(.62, .85)).float()
    press = F.interpolate(torch.randn(B, 1, H // 2, W // 2, device=dev), (H, W), mode="bilinear")[:, 0]           # ragged edges of old print
    q = F.avg_pool2d(x[:, None], 3, 1, 1, count_include_pad=False)[:, 0]; x = torch.where(u(B, 1, 1) < .08, torch.sigmoid((q + press * R(.03, .14) - R(.45, .75)) * R(6, 16)), x)
    s = torch.where(u(B) < .5, u(B) * 1.0 + .25, torch.full((B,), 1e-3, device=dev)); k = torch.arange(-4, 5, device=dev).float()
    skew = torch.where(u(B) < .25, u(B) * 2 - 1, torch.zeros(B, device=dev)); gauss = lambda z: torch.exp(-k[None] ** 2 / (2 * z[:, None] ** 2)); norm = lambda z: z / z.sum(1, keepdim=True)
    w, wy = norm(gauss(s * 2 ** (skew * .8))), norm(gauss(s * 2 ** (-skew * .8)))         # some are moved one way more than the other
    y = F.conv2d(F.pad(x[None], (4, 4, 0, 0), mode="replicate"), w[:, None, None, :], groups=B); y = F.conv2d(F.pad(y, (0, 0, 4, 4), mode="replicate"), wy[:, None, :, None], groups=B)[0]
    f = float(np.random.choice([1, .9, .85, .75, .66, .58, .5]))
    if f < 1:                                                                   # low scan resolution, for a part of the batch
        z = F.interpolate(F.interpolate(y[:, None], scale_factor=f, mode="bilinear", antialias=True), (H, W), mode="bicubic")[:, 0]; y = torch.where(u(B, 1, 1) < .4, z, y)
    y = y + on(.18) * R(.3, 1.5) * (y - F.avg_pool2d(y[:, None], 3, 1, 1)[:, 0])                           # sharpened
    soft = (F.interpolate(u(B, 1, 5, 5), (H, W), mode="bicubic", align_corners=False)[:, 0] - .4).clamp(0, .4) / .4; y = y + on(.08) * soft * (F.avg_pool2d(y[:, None], 5, 1, 2, count_include_pad=False)[:, 0] - y)     # out of focus in places
    y = y + torch.randn_like(y) * on(.4) * R(0, .12)
    y = y + F.interpolate(torch.randn(B, 1, H // 2, W // 2, device=dev), (H, W), mode="bilinear")[:, 0] * on(.1) * R(.02, .13)             # grain of paper
    y = torch.where(u(B, 1, 1) < .2, torch.sigmoid((y - R(.4, .72)) * R(12, 80)), y)                      # fax
    y = y + on(.12) * R(.2, 1) * (F.avg_pool2d(y[:, None], 3, 1, 1, count_include_pad=False)[:, 0] - y)   # softened after it
    a_ = on(.18) * R(.03, .16); y = (y - a_ * R(0, .7)) / (1 - a_)                 # white made whiter, black blacker
    z = y.clamp(0, 1); y = torch.where(u(B, 1, 1) < .3, jpeg(z, 10 ** R(-.5, .7)), z)
    y = torch.where(u(B, 1, 1) < .15, y.clamp(1e-3, 1) ** R(.6, 1.9), y)
    dim = R(.35, .75); y = torch.where(u(B, 1, 1) < .1, dim * (R(0, .45) * (1 - y) + y), y)                     # dark paper, grey print
    lo = on(.35) * R(0, .3); y = lo + y * (1 - lo - on(.3) * R(0, .25)); y = torch.where(clean, x0, y)
    return y.clamp(0, 1) * 2 - 1
def tiles(x, gw, gh):
    B, H, W = x.shape
    if gw == 0: return x
    s = 512 / max(H, W); g = F.interpolate(x[:, None], (round(H * s), round(W * s)), mode="bilinear", antialias=True)[:, 0] if s != 1 else x
    ph, pw = 512 - g.shape[1], 512 - g.shape[2]; g = F.pad(g, (pw // 2, pw - pw // 2, ph // 2, ph - ph // 2), value=0.)
    l = x.unfold(1, 512, 480).unfold(2, 512, 480).reshape(B, gh * gw, 512, 512)
    return torch.cat((g[:, None], l), 1).flatten(0, 1)

ALLKINDS = [str(k) for k in docgen.KINDS]
TOK = load_tokenizer(); enc = lambda s: TOK.encode(s, add_special_tokens=False).ids
head_ids = [BOS, USER] + enc(": "); log("vocab", TOK.get_vocab_size(), "classes", NCLS, "kinds", len(ALLKINDS))
dev = f"cuda:{RANK}" if a.dev == "cuda" else a.dev; torch.manual_seed(a.seed); torch.backends.cuda.matmul.allow_tf32 = True
net = M.Nano(a.vocab, NCLS).to(dev)
def unpack(blob, like):
    o = 0; sd = {}
    for n, p in like.items():
        k = p.numel()
        if p.ndim >= 2:
            r_ = p.shape[0]; sc = np.frombuffer(blob, np.float32, r_, o); o += 4 * r_; q = np.frombuffer(blob, np.int8, k, o); o += k
            sd[n] = torch.from_numpy(q.reshape(r_, -1).astype(np.float32) * sc[:, None]).view(p.shape)
        else: sd[n] = torch.from_numpy(np.frombuffer(blob, np.float32, k, o).copy()).view(p.shape); o += 4 * k
    return sd
def pack(sd):
    out = bytearray()
    for p in sd.values():
        p = p.detach().float().cpu()
        if p.ndim >= 2:
            q = p.reshape(p.shape[0], -1); sc = q.abs().amax(1).clamp(min=1e-8) / 127
            out += sc.numpy().tobytes() + torch.round(q / sc[:, None]).to(torch.int8).numpy().tobytes()
        else: out += p.numpy().tobytes()
    return bytes(out)
mu, ad = M.groups(net)
om = M.Muon(mu, a.lr); oa = torch.optim.AdamW(ad, lr=a.lr * .5, betas=(.9, .95), weight_decay=0., **({"fused": True} if a.dev == "cuda" else {}))
if os.path.exists(a.state) and a.resume:
    st = torch.load(a.state, map_location=dev); net.load_state_dict(st["net"]); om.load_state_dict(st["om"]); oa.load_state_dict(st["oa"]); log("resumed in full")
elif a.resume and os.path.exists(f"{a.resume}/model.safetensors"): pass
elif a.resume and os.path.exists(f"{a.resume}/part0.bin"):
    sd = unpack(b"".join(open(f"{a.resume}/part{i}.bin", "rb").read() for i in range(9) if os.path.exists(f"{a.resume}/part{i}.bin")), M.Nano(a.vocab, NCLS, slots=a.old_slots).state_dict())
    new = {n for n, p in net.state_dict().items() if sd[n].shape != p.shape}; net.load_state_dict({n: p for n, p in sd.items() if n not in new}, strict=False); log("resumed from packed weights; anew:", sorted(new))
def load_folder(folder):
    """Weights of a checkpoint folder as export.py writes it."""
    import export
    f = open(f"{folder}/model.safetensors", "rb"); n = int.from_bytes(f.read(8), "little"); head = json.loads(f.read(n)); base = 8 + n; kinds = {"F32": np.float32, "I8": np.int8}
    def tensor(name):
        e = head[name]; f.seek(base + e["data_offsets"][0]); return np.frombuffer(f.read(e["data_offsets"][1] - e["data_offsets"][0]), kinds[e["dtype"]]).reshape(e["shape"])
    sd = {}
    for (name, shape), (key, p) in zip(export.entries(4, NCLS), net.state_dict().items(), strict=True):
        if name not in head: sd[key] = torch.zeros_like(p) if key.endswith("bias") else p; log("anew:", key) if key.endswith("qkv.weight") else None; continue      # a deeper tower: blocks that begin as nothing
        t = tensor(name).astype(np.float32)
        if name + "_scale" in head: t = t.reshape(t.shape[0], -1) * tensor(name + "_scale").reshape(-1, 1)
        sd[key] = torch.from_numpy(t.reshape(p.shape).copy())
    net.load_state_dict(sd); log("resumed from", folder)
def save():
    if RANK: return
    def write(name, b):
        for i in range((len(b) + (15 << 20) - 1) // (15 << 20)): open(f"{a.out}/{name}{i}.bin", "wb").write(b[i * (15 << 20):(i + 1) * (15 << 20)])
    write("part", pack({**net.state_dict(), **mean}))
    if mean: write("last", pack(net.vision.state_dict()))       # the tower as it is, beside the mean
    if a.state: torch.save({"net": net.state_dict(), "om": om.state_dict(), "oa": oa.state_dict()}, a.state)
if a.resume and os.path.exists(f"{a.resume}/model.safetensors") and not os.path.exists(a.state): load_folder(a.resume)
log("million parameters", round(sum(p.numel() for p in net.parameters()) / 1e6, 2), "vision", round(sum(p.numel() for p in net.vision.parameters()) / 1e6, 2))
if a.compile:
    torch._dynamo.config.suppress_errors = True
    for k in ("cache_size_limit", "accumulated_cache_size_limit", "recompile_limit", "accumulated_recompile_limit"):
        if hasattr(torch._dynamo.config, k): setattr(torch._dynamo.config, k, 512)
    for b in list(net.vision.blocks) + list(net.lm.layers): b.compile(dynamic=False)
mean = {n: p.detach().clone() for n, p in net.named_parameters()} if a.ema else {}
HEAD = torch.tensor(head_ids, device=dev)
def hidden(im, ids, gw, gh):
    if gw < 0:
        e = net.lm.embed(torch.cat((HEAD.expand(ids.shape[0], -1), ids), 1)); e = e.bfloat16() if a.dev == "cuda" else e; return None, net.lm(e)[:, len(HEAD):]
    v = net.vision(tiles(im, gw, gh)); B = im.shape[0]; pre = net.image_tokens(net.projector(v), B, gw, gh)
    e = net.lm.embed(ids).to(pre.dtype); hd = net.lm.embed(HEAD)[None].expand(B, -1, -1).to(pre.dtype)
    h = net.lm(torch.cat((hd, pre, e), 1)); return v, h[:, hd.shape[1] + pre.shape[1]:]
def dense(v, lab):
    """Loss of the text head and its share of characters right, over anchors whose character is near."""
    lab = lab.float().unfold(1, 32, 30).unfold(2, 128, 120).permute(0, 1, 2, 4, 5, 3).reshape(-1, 4, 5); v = v.reshape(-1, v.shape[-1]); hot = (lab[..., 0] != 0).any(1)
    keep = hot | (torch.rand(hot.shape, device=hot.device) < .15); v, lab = v[keep], lab[keep]     # few of the blank patches
    al = net.vision.text_head(v).float().view(-1, 4, NCLS + 4); lt = lab[..., 0].long(); there = lt > 0; near = there & (lab[..., 1].abs() <= .5)
    la = F.cross_entropy(al[..., :NCLS].reshape(-1, NCLS), lt.reshape(-1), ignore_index=-1)
    g, t = al[there][:, NCLS:], lab[there][:, 1:]; e = (g[:, :3] - t[:, :3]).abs().mean(0)
    la = la + .7 * e[0] + .4 * e[1] + .4 * e[2] + .3 * F.binary_cross_entropy_with_logits(g[:, 3], t[:, 3])
    ok = (al[..., :NCLS].argmax(-1) == lt); return la, (ok & near).sum() / near.sum().clamp(min=1), e[0] * 4
def losses(im, lab, ids, mask, gw, gh):
    """(decoder's loss, text head's loss, next tokens right, characters right)"""
    if ids.ndim == 1:                                           # dense reading alone; the third figure is the error in x, in pixels
        la, ca, dx = dense(net.vision(im), lab); return la * 0, la, dx, ca
    if gw == 0:                                                 # dense reading: the decoder sees a quarter of the tiles
        n = max(1, im.shape[0] // 4); v = net.vision(im); ids, mask = ids[:n], mask[:n]; pre = net.image_tokens(net.projector(v[:n]), n, 0, 0)
        e = net.lm.embed(torch.cat((HEAD.expand(n, -1), ids[:, :-1]), 1)).to(pre.dtype); k = HEAD.shape[0]
        h = net.lm(torch.cat((e[:, :k], pre, e[:, k:]), 1))[:, k + pre.shape[1]:]
    else: v, h = hidden(im, ids[:, :-1], gw, gh)
    m = mask[:, 1:]; tg = ids[:, 1:][m]
    lg = net.lm.head(h[m]).float(); ls = F.cross_entropy(lg, tg); acc = (lg.argmax(-1) == tg).float().mean()
    if gw < 0: return ls, ls * 0, acc, acc * 0
    if gw: v = v.view(im.shape[0], -1, 1024, v.shape[-1])[:, 1:]
    la, ca, _ = dense(v, lab); return ls, la, acc, ca

@torch.no_grad()
def decode(im, qs, gw, gh, n):
    B = len(qs); ctx = torch.autocast("cuda", torch.bfloat16) if a.dev == "cuda" else torch.autocast("cpu", enabled=False)
    with ctx:
        hd = net.lm.embed(HEAD)[None].expand(len(qs), -1, -1)
        if gw < 0: B = len(qs); pre = hd.bfloat16() if a.dev == "cuda" else hd
        else: pre = net.image_tokens(net.projector(net.vision(tiles(im, gw, gh))), B, gw, gh); pre = torch.cat((hd.to(pre.dtype), pre), 1)
        ids = torch.full((B, max(map(len, qs)) + n + 1), PAD, device=dev); ln = torch.tensor([len(q) for q in qs], device=dev); ar = torch.arange(B, device=dev)
        for i, q in enumerate(qs): ids[i, : len(q)] = torch.tensor(q, device=dev)
        done = torch.zeros(B, dtype=torch.bool, device=dev)
        for i in range(n):
            e = int(ln.max()); e = min(ids.shape[1], (e + 255) // 256 * 256)
            nx = net.lm.head(net.lm(torch.cat((pre, net.lm.embed(ids[:, :e]).to(pre.dtype)), 1))[ar, pre.shape[1] + ln - 1]).argmax(-1)
            nx = torch.where(done, PAD, nx); ids[ar, ln] = nx; done |= nx == EOS; ln = ln + (~done).long()
            if done.all(): break
    return [TOK.decode(ids[i, len(q): ln[i]].tolist(), skip_special_tokens=False) for i, q in enumerate(qs)]
def lev(x, y):
    if not y: return len(x)
    yb = np.array([ord(c) for c in y]); d = np.arange(len(y) + 1); ar = np.arange(len(y) + 1)
    for i, c in enumerate(x):
        m = np.minimum(d[:-1] + (yb != ord(c)), d[1:] + 1); d = np.minimum.accumulate(np.concatenate(([i + 1], m)) - ar) + ar
    return int(d[-1])
def text_sample(r):
    """One fixed question about clean text: (question ids, answer ids)."""
    while True:
        _Page._glyphs = _unseen
        try: p, _, _ = draw("text", r)
        finally: _Page._glyphs = _glyphs
        sh = Sheet(p, r, 0); q = sh.extract(sh.fixed()[0]) if sh.family() else None
        if q:
            _, q, t = sequence(enc("Page text:\n" + sh.text + "\n\n") + enc(q[0]), enc(q[1]))
            if len(q) + len(t) < 1900: return q, t
def evaluate(kind, force, n):
    r = random.Random(99); xs = []
    while len(xs) < n:
        try: xs.append((None, 0, 0, 0, text_sample(r)) if kind == "text" else sample(kind, r, force))
        except Exception as e: log("sample", repr(e))
    w, h, gw, gh = KINDS[kind]; torch.manual_seed(0); np.random.seed(0); out, tru = [], []
    for i in range(0, n, 16):
        c = xs[i:i + 16]; im = None if kind == "text" else degrade(torch.from_numpy(np.stack([x[0] for x in c])).to(dev)); out += decode(im, [x[4][0] for x in c], gw, gh, min(700, LEN[kind] - 8, max(len(x[4][1]) for x in c) + 8))
        tru += [TOK.decode([t for t in x[4][1] if t != EOS], skip_special_tokens=False) for x in c]
    res = {"cer": round(sum(lev(t, o) for t, o in zip(tru, out)) / max(1, sum(map(len, tru))), 4)}
    if force == "extract":
        ok = tot = 0; per = {}
        for t, o in zip(tru, out):
            t = json.loads(t)
            try: o = json.loads(o); o = o if isinstance(o, dict) else {}
            except Exception: o = {}
            for k, v in t.items():
                g = o.get(k, "<none>") == v; ok += g; tot += 1; q = per.setdefault(k, [0, 0]); q[0] += g; q[1] += 1
        res["fields"] = round(ok / max(1, tot), 4); res["per"] = {k: f"{q[0]}/{q[1]}" for k, q in sorted(per.items(), key=lambda z: -z[1][1])[:24]}
    log("EVAL", kind, force, json.dumps(res, ensure_ascii=False))
    for i in range(min(2, n)): print("   truth:", tru[i][:500].replace("\n", "⏎"), "\n   model:", out[i][:500].replace("\n", "⏎"), flush=True)
if __name__ == "__main__":
    dl = iter(torch.utils.data.DataLoader(Stream(), batch_size=None, num_workers=a.workers, **({"prefetch_factor": 2} if a.workers else {}), pin_memory=a.dev == "cuda"))
    n = seen = 0; agg = []; lastp = lasts = time.time(); ps = list(net.parameters()); wait = 0.
    while True:
        stop = time.time() - T0 >= a.limit
        if n % 20 == 0 and os.path.exists(a.state + ".limit"): a.limit = float(open(a.state + ".limit").read() or a.limit)     # a machine that goes back sooner or later than thought
        if WORLD > 1 and n % 20 == 0:
            z = torch.tensor([float(stop), (time.time() - T0) / a.limit], device=dev); dist.all_reduce(z); stop, fr = z[0].item() > 0, z[1].item() / WORLD
        elif WORLD > 1: stop = False
        if stop: break
        tw = time.time(); k, im, lab, ids, mask = next(dl); wait += time.time() - tw; _, _, gw, gh = KINDS[k]
        im, lab, ids, mask = (t.to(dev, non_blocking=True) for t in (im, lab, ids, mask))
        if WORLD == 1: fr = (time.time() - T0) / a.limit
        m = min(1, (n + 1) / a.warm) * (1 if fr < a.decay_from or a.decay_from >= 1 else max(.02, (1 - fr) / (1 - a.decay_from)))
        for o, b in ((om, a.lr), (oa, a.lr * .5)):
            for g in o.param_groups: g["lr"] = b * m
        if im.ndim > 1:
            with torch.no_grad(): im = degrade(im)
        with (torch.autocast("cuda", torch.bfloat16) if a.dev == "cuda" else torch.autocast("cpu", enabled=False)): ls, la, acc, ca = losses(im, lab, ids, mask, gw, gh)
        (ls + .5 * la).backward()
        if WORLD > 1:
            qs = [q for q in ps if q.grad is not None]              # the same on every rank: the kind of batch is
            g = torch.cat([q.grad.reshape(-1) for q in qs]); g = g.bfloat16() if a.dev == "cuda" else g
            dist.all_reduce(g); g = g.float() / WORLD; o = 0
            for q in qs: q.grad = g[o: o + q.numel()].view_as(q); o += q.numel()
        torch.nn.utils.clip_grad_norm_(ps, 1.0)
        om.step(); oa.step(); om.zero_grad(set_to_none=True); oa.zero_grad(set_to_none=True)
        if mean: torch._foreach_lerp_(list(mean.values()), [p.detach() for p in ps], max(1 - a.ema, 1 / (n + 2)))      # ps: in the order of mean
        n += 1; seen += im.shape[0]; agg.append((k, torch.stack((ls.detach(), la.detach(), acc, ca.float()))))
        if n % 50 == 0 or n in (5, 30):
            by = {}
            for kk, v in agg: by.setdefault(kk, []).append(v)
            log(f"step {n} seen {seen} {seen/(time.time()-lastp):.0f}/s wait {wait/(time.time()-lastp):.0%} lr {m:.2f}", *[f"{kk}: {v[0]:.3f} {v[2]:.3f} text {v[1]:.3f} {v[3]:.3f} |" for kk, v in ((kk, torch.stack(v).mean(0).tolist()) for kk, v in sorted(by.items()))])
            agg = []; seen = 0; lastp = time.time(); wait = 0.
            if time.time() - lasts > a.save_every: save(); lasts = time.time()
            free = 99 if a.dev != "cuda" else int(open("/proc/meminfo").read().split("MemAvailable:")[1].split()[0]) >> 20
            if n % 500 == 0: log("GiB free", free)
            if free < 6: log("memory is running out"); os._exit(3)
    save(); log("saved", n)
    if RANK == 0 and a.stage != "read":
        for k, f in [("text", "extract")]:
            if time.time() - T0 > a.limit + 75: break
            try: evaluate(k, f, a.eval_n)
            except Exception as e: log("eval failed", k, f, repr(e))
        log("done", n)
    os._exit(0)
