"""Training is repeatable and resumable bit for bit, as one graph or op by op, in the network that is published."""

import hashlib
import shutil

from gpu_check import parse
from gpu_check.session import app, words_of

STEPS = 6
LIMIT = 90


def training(session, run, steps, dtype, *flags):
    """Words for a short training on drawn images."""
    small = not session.cuda
    options = {
        "device": session.device,
        "dtype": dtype,
        "dataset": "shapes",
        "shapes_size": 32,
        "shapes_count": 32 if small else 1024,
        "arch": "resnet18" if small else "resnet50",
        "batch_size": 4 if small else 256,
        "epochs": 2,
        "max_steps": steps,
        "run_dir": run,
    }
    return [app("dcl-pretrain"), *words_of(options), "--no-knn", *flags]


def values_hash(path):
    """Of a safetensors file's values; the header may name times and versions."""
    data = path.read_bytes()
    return hashlib.sha256(data[8 + int.from_bytes(data[:8], "little") :]).hexdigest()


def outcome(run, steps):
    """Losses as they are written, and hashes of weights and optimizer state."""
    rows = [(r["step"], r["loss"]) for r in parse.metrics((run / "metrics.csv").read_text()) if r["split"] == "train"]
    files = [run / f"checkpoints/step-{steps:08d}{end}.safetensors" for end in ("", ".state")]
    return rows, *(values_hash(file) for file in files)


def difference(expected, got):
    """Words for what differs; "" for nothing."""
    if got[0] != expected[0]:
        step = next((a[0] for a, b in zip(expected[0], got[0]) if a != b), min(len(expected[0]), len(got[0])) + 1)
        return f"losses differ from step {step:.0f} on"
    parts = [name for name, a, b in zip(("weights", "optimizer state"), expected[1:], got[1:]) if a != b]
    return " and ".join(parts) + " differ" if parts else ""


class Variant:
    def __init__(self, session, dtype, name, parts):
        self.session, self.dtype, self.name = session, dtype, name
        self.parts = parts  # [(steps, flags)] of programs that run after one another
        self.run = session.state / f"repeat-{dtype}-{name.replace(' ', '-')}"
        self.ended = None

    def __call__(self):
        shutil.rmtree(self.run, ignore_errors=True)
        for i, (steps, flags) in enumerate(self.parts):
            words = training(self.session, self.run, steps, self.dtype, *flags)
            self.ended = self.session.run(f"repeat {self.dtype} {self.name} {i}", words, LIMIT)
            if not self.ended.ok:
                return

    def compare(self, expected):
        name = f"{STEPS} steps, {self.dtype}, {self.name}"
        if not self.ended.ok:
            return self.session.say(name, self.ended)
        what = difference(expected, outcome(self.run, STEPS))
        self.session.row(name, what or "the same bits: losses, weights, optimizer state", "failed" if what else "ok")


def repeat(session):
    for dtype in ("bf16", "f32"):
        first = Variant(session, dtype, "first", [(STEPS, ())])
        first()  # by itself: it also chooses the engines that the others take
        if not first.ended.ok:
            session.say(f"{STEPS} steps, {dtype}", first.ended)
            continue
        variants = [
            Variant(session, dtype, "again", [(STEPS, ())]),
            Variant(session, dtype, "op by op", [(STEPS, ("--no-graph",))]),
            Variant(session, dtype, "resumed", [(STEPS // 2, ()), (STEPS, ())]),
        ]
        for variant in variants:  # not side by side: each takes as much of the GPU's memory as it likes
            variant()
        expected = outcome(first.run, STEPS)
        for variant in variants:
            variant.compare(expected)
        for variant in [first, *variants]:
            shutil.rmtree(variant.run, ignore_errors=True)
