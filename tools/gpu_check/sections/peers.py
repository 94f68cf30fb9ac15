"""PyTorch at its best on the same card: the same step and objective. `compiled` is apart, for it compiles for minutes."""
import threading
import time

from gpu_check import parse
from gpu_check.session import HOME, python

NO_LIMIT = 3600      # seconds: that of the section counts
TIMING_SECONDS = 30  # kept for the steps that are timed


def small(session):
    return [] if session.cuda else ["--device", "cpu", "--arch", "resnet18", "--batch", 4, "--steps", 2]


def steps(session, name, flags, limit):
    tell_steps(session, name, session.run(f"peer {name}", python("gpu_train_step", *flags, *small(session)), limit, session.python_environment))


def tell_steps(session, name, ended):
    found = parse.json_lines(ended.output)
    for run in found:
        what = ", ".join(str(run[k]) for k in ("dtype", "mode") if k in run)
        what = f"step, {what}, {'two passes' if run.get('forwards') == 'two' else 'one pass'}"
        if run.get("augment", "none") != "none":
            what += f", augmentation by {run['augment']}"
        if "seconds" in run:
            memory = f", {run['peak_mib']:,} MiB" if run.get("peak_mib") else ""
            session.row(what, f"{1e3 * run['seconds']:.2f} ms, {run['views_per_second']:,.0f} views/s{memory}, "
                              f"first step after {run['first_step_seconds']:.0f} s", **run)
        else:
            session.row(what, run["error"], "skipped", **run)
    if not ended.ok:
        session.say(f"steps: {name}", ended)


def objective(session):
    flags = [] if session.cuda else ["--device", "cpu", "--batch", 256, "--repeats", 2]
    ended = session.run("peer objective", python("gpu_objective", HOME / "build", *flags), 120, session.python_environment)
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


def peers(session):
    graph, both, one = ("graph", "bf16,fp16", "bf16") if session.cuda else ("eager", "f32", "f32")
    steps(session, "graphs", ["--dtype", both, "--mode", graph, "--forwards", "two,one"], 150)
    steps(session, "augmentation", ["--dtype", one, "--mode", graph, "--forwards", "one", "--augment", "torchvision,gpu"], 90)
    objective(session)


class Compiled:
    """A step that compiles in the background until its turn to be timed comes."""

    def __init__(self, session, dtype, forwards):
        self.session, self.name = session, f"compiled {dtype} {forwards}"
        self.turn, self.waits = (session.state / f"turn-{dtype}-{forwards}{end}" for end in ("", ".waits"))
        for file in (self.turn, self.waits):
            file.unlink(missing_ok=True)
        words = python("gpu_train_step", "--dtype", dtype, "--mode", "compile", "--forwards", forwards, "--hold", self.turn)
        self.thread = threading.Thread(target=self.run, args=(words,), daemon=True)
        self.thread.start()

    def run(self, words):
        self.ended = self.session.run(f"peer {self.name}", words, NO_LIMIT, self.session.python_environment)

    def compiles(self):
        return self.thread.is_alive() and not self.waits.exists()

    def time(self):
        self.turn.touch()
        self.thread.join()
        tell_steps(self.session, self.name, self.ended)


def compiled(session):
    if not session.cuda:
        return session.row("torch.compile", "for cuda", "skipped")
    runs = [Compiled(session, dtype, forwards) for dtype in ("bf16", "fp16") for forwards in ("one", "two")]
    while any(run.compiles() for run in runs) and session.left() > TIMING_SECONDS:
        time.sleep(0.2)
    # In turn, each with the GPU for itself if the others are done; one that still compiles keeps none of them waiting.
    for run in sorted(runs, key=Compiled.compiles):
        run.time()
