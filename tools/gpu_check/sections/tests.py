"""Conformance and reference tests of the device, several programs at a time."""

import os

from gpu_check import parse
from gpu_check.session import HOME

SUITES = ("conformance", "reference")
LIMIT = 300  # seconds of a program
MOST_FAILURES = 4  # that are printed, of a program
WORKERS = 12  # a GPU takes more, but cuDNN compiles on the CPU
# Tests of every suite that runs on a device: those that name it, and those that go through all backends.
FILTER = "*/*{0}*:*OnEveryBackend*"
# Most of the work, so that it is split over several processes; what takes longest (cuDNN compiles dozens of engines for a
# problem, one at a time in a process) and what the published network needs come first, what only images of 96x96 need last.
CONVOLUTION = "convolution_conformance_test"
CONVOLUTIONS = (
    (", fused", "*.Fused/*{0}*"),
    (" of CIFAR networks, edges", "*/*_cifar_*{0}*:*/*edge*{0}*:-*.Fused/*"),
    (" of other networks", "*/*{0}*:-*_cifar_*:*edge*:*.Fused/*"),
)
# Programs that run for a minute and more, so that none of them is begun when the others are nearly done.
LONG = ("run_conformance", "resnet_reference", "batch_norm_conformance", "pretrain_step")


def programs_of(session, paths):
    """In the order in which they start."""
    rank = lambda path: (next((i for i, name in enumerate(LONG) if path.name.startswith(name)), len(LONG)), path.name)
    programs = [Program(session, path) for path in sorted(paths, key=rank) if path.name != CONVOLUTION]
    long = [p for p in programs if p.path.name.startswith(LONG)]
    *first, last = (
        [Program(session, p, more, pattern) for p in paths if p.name == CONVOLUTION] for more, pattern in CONVOLUTIONS
    )
    return long + sum(first, []) + programs[len(long) :] + last


def shard_environment(environment, shard, shards):
    return (
        environment
        if shards == 1
        else {**environment, "GTEST_TOTAL_SHARDS": str(shards), "GTEST_SHARD_INDEX": str(shard)}
    )


class Program:
    """One test program: the names that should run, and what its shards found."""

    def __init__(self, session, path, which="", pattern=FILTER):
        self.session, self.path = session, path
        suite = path.parent.name
        self.name = f"{suite} {path.name.removesuffix(f'_{suite}_test')}{which}"
        # Engines that were timed beside other tests must not be those that benchmarks take.
        self.environment = {**session.environment, "DCL_PLAN_CACHE": str(session.state / "plans-of-tests")}
        self.shards = min(WORKERS, len(session.cores)) if path.name == CONVOLUTION else 1
        self.filter = "--gtest_filter=" + pattern.format(session.device)
        self.ended, self.left = [], self.shards
        self.expected = []

    def job(self, shard):
        def run():
            name = self.name + (f" {shard + 1} of {self.shards}" if self.shards > 1 else "")
            ended = self.session.run(
                name, [self.path, self.filter], LIMIT, shard_environment(self.environment, shard, self.shards)
            )
            with self.session.lock:
                self.ended.append(ended)
                self.left -= 1
                if self.left == 0:
                    self.report()

        return run

    def list(self):
        listing = self.session.run(self.name + " list", [self.path, self.filter, "--gtest_list_tests"], 60)
        self.expected = parse.listed_tests(listing.output) if listing.ok else None
        if not listing.ok:
            self.session.say(self.name, listing)
        elif not self.expected:
            self.session.row(self.name, f"no test of {self.session.device} in this program: {self.filter}", "failed")

    def report(self):
        runs = [parse.TestRun(e.output) for e in self.ended]
        passed, skipped, failed = (
            [n for r in runs for n in getattr(r, word)] for word in ("passed", "skipped", "failed")
        )
        seen = {*passed, *skipped, *failed}
        missing = [n for n in self.expected if n not in seen]
        cut = any(e.how == "cut" for e in self.ended)
        broken = [
            (e, r) for e, r in zip(self.ended, runs) if not e.ok and e.how != "cut" and (e.code != 1 or not r.failed)
        ]
        state = (
            "failed" if failed or broken else "cut" if cut else "failed" if missing else "ok" if passed else "skipped"
        )
        words = [f"{len(passed)} passed"]
        if skipped:
            words.append(f"{len(skipped)} skipped")
        if failed:
            words.append(f"{len(failed)} failed")
        if missing:
            words.append(f"{len(missing)} not run")
        if cut:
            words.append(
                "the time was over in " + (", ".join(r.unfinished for r in runs if r.unfinished)[:80] or "the queue")
            )
        seconds = max(e.seconds for e in self.ended)
        self.session.row(
            self.name,
            ", ".join(words) + f" ({seconds:.0f} s)",
            state,
            passed=len(passed),
            skipped=skipped,
            failed=failed,
            missing=missing,
            seconds=round(seconds, 1),
        )
        self.print_failures(runs, broken)

    def print_failures(self, runs, broken):
        failures = [item for r in runs for item in r.failures.items()]
        for name, (where, text) in failures[:MOST_FAILURES]:
            self.session.row(name, f"{where}: {text}", "failed")
        if len(failures) > MOST_FAILURES:
            self.session.row(self.name, f"{len(failures) - MOST_FAILURES} more failures are in the logs", "failed")
        for ended, run in broken:
            self.session.row(run.unfinished or self.name, ended.meaning, "failed", log=ended.output[-2000:])


def tests(session):
    paths = [p for suite in SUITES for p in (HOME / "build/tests" / suite).glob("*_test") if os.access(p, os.X_OK)]
    if not paths:
        return session.row("programs", f"none in {HOME / 'build/tests'}", "failed")
    programs = [p for p in programs_of(session, paths) if session.wants(p.name)]
    session.parallel([program.list for program in programs], WORKERS)
    session.parallel(
        [program.job(shard) for program in programs if program.expected for shard in range(program.shards)], WORKERS
    )
