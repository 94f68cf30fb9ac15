"""PyTorch at its best on the same card: the same step and objective."""

import threading
import time

from gpu_check import parse
from gpu_check.session import HOME, python

NO_LIMIT = 3600  # seconds: that of the section counts
TIMING_SECONDS = 40  # kept for the steps that are timed
# Type, mode, passes, augmentation. What compiles, for minutes, begins before all others.
STEPS = (
    ("bf16", "compile", "two", "none"),
    ("bf16", "compile", "one", "none"),
    ("bf16", "graph", "two", "none"),
    ("bf16", "graph", "one", "none"),
    ("fp16", "graph", "two", "none"),
    ("fp16", "graph", "one", "none"),
    ("bf16", "graph", "two", "torchvision"),
    ("bf16", "graph", "two", "gpu"),
    ("tf32", "graph", "two", "none"),
    ("f32", "graph", "two", "none"),
)


def tell_step(session, name, ended):
    for run in parse.json_lines(ended.output):
        if "forwards" not in run:
            continue  # PyTorch's own, of what it tries when it compiles
        what = f"step, {run['dtype']}, {run['mode']}, {'two passes' if run['forwards'] == 'two' else 'one pass'}"
        if run["augment"] != "none":
            what += f", augmentation by {run['augment']}"
        memory = f", {run['peak_mib']:,} MiB" if run.get("peak_mib") else ""
        session.row(
            what,
            f"{1e3 * run['seconds']:.2f} ms, {run['views_per_second']:,.0f} views/s{memory}, "
            f"first step after {run['first_step_seconds']:.0f} s",
            **run,
        )
    if not ended.ok:
        session.say(f"step: {name}", ended)


class Step:
    """One of STEPS in a process of its own: ready after its first steps, it waits for its turn to be timed."""

    def __init__(self, session, dtype, mode, forwards, augment):
        self.session, self.name = session, f"{dtype} {mode} {forwards} {augment}"
        self.turn, self.waits = (session.state / f"turn-{self.name.replace(' ', '-')}{end}" for end in ("", ".waits"))
        for file in (self.turn, self.waits):
            file.unlink(missing_ok=True)
        small = [] if session.cuda else ["--device", "cpu", "--arch", "resnet18", "--batch", 4, "--steps", 2]
        words = python(
            "gpu_train_step",
            "--dtype",
            dtype,
            "--mode",
            mode,
            "--forwards",
            forwards,
            "--augment",
            augment,
            "--hold",
            self.turn,
            *small,
        )
        self.thread = threading.Thread(target=self.run, args=(words,), daemon=True)
        self.thread.start()

    def run(self, words):
        self.ended = self.session.run(f"peer {self.name}", words, NO_LIMIT, self.session.python_environment)

    def prepares(self):
        return self.thread.is_alive() and not self.waits.exists()

    def wait(self):
        while self.prepares() and self.session.left() > TIMING_SECONDS:
            time.sleep(0.2)

    def time(self):
        self.turn.touch()
        self.thread.join()
        tell_step(self.session, self.name, self.ended)


def steps(session, combinations):
    """What compiles does so beside everything; the others choose their convolutions one after the other; each is timed
    when all are ready, with the GPU for itself. One that still compiles when the time ends keeps none of them waiting.
    """
    begun = []
    for combination in combinations:
        begun.append(Step(session, *combination))
        if "compile" not in combination:
            begun[-1].wait()
    for step in begun:
        step.wait()
    for step in sorted(begun, key=Step.prepares):
        step.time()


def peers(session):
    usual = STEPS if session.cuda else [("f32", "eager", "two", "none"), ("f32", "eager", "one", "none")]
    steps(session, [step for step in usual if session.wants(" ".join(step))])


def objectives(session):
    flags = [] if session.cuda else ["--device", "cpu", "--batch", 256, "--repeats", 2]
    ended = session.run(
        "peer objective", python("gpu_objective", HOME / "build", *flags), 120, session.python_environment
    )
    found = parse.json_lines(ended.output)
    by_batch = {}
    for run in found:
        by_batch.setdefault(run["batch"], []).append(run)
    for batch, runs in by_batch.items():
        ours = next((r["milliseconds"] for r in runs if r["objective"] == "dcl" and "milliseconds" in r), None)
        for run in runs:
            name = f"objective, 2N = {2 * batch}, {run['objective']}"
            if "error" in run:
                session.row(name, run["error"], "failed" if run["objective"] == "dcl" else "skipped", **run)
                continue
            result = f"{run['milliseconds']} ms"
            if run.get("beyond_mib") is not None:
                result += f", {run['beyond_mib']:,} MiB"
            if ours and run["objective"] != "dcl":
                result += f", {run['milliseconds'] / ours:.1f} times ours"
            session.row(name, result, **run)
    if not ended.ok:
        session.say("objective", ended)
