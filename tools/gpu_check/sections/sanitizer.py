"""compute-sanitizer over small tests of every kernel and two training steps: memory, races in shared memory, barriers.

Initialisation is not checked: all memory is cleared when it is allocated, so that nothing would ever be found.
"""

import re
import shutil

from gpu_check import parse
from gpu_check.sections.repeat import training
from gpu_check.session import HOME

TOOLS = ("memcheck", "racecheck", "synccheck")
LIMIT = 150
WORKERS = 16
# Programs, which part of them, and its tests; those left out do the same work on more data, and fused convolutions launch
# nothing of ours that others do not, but have cuDNN compile for minutes.
TESTS = (
    ("conformance/objective", "*/{0}:-*ManyAnchors*"),
    ("conformance/batch_norm", "*/{0}:-*Large*"),
    ("conformance/batch_norm_pair", "*/{0}"),
    ("conformance/batch_network", "*/{0}"),
    ("conformance/gemm", "*/{0}:-*Large*"),
    ("conformance/rows", "*/{0}"),
    ("conformance/pooling", "*/{0}"),
    ("conformance/optimizers", "*/{0}"),
    ("conformance/augment", "*/{0}"),
    ("conformance/batches", "*/{0}"),
    ("conformance/queue", "*/{0}"),
    ("conformance/pretrain_step", "*/{0}"),
    ("conformance/run", "*/{0}"),
    ("conformance/convolution forward", "*.Forward*/edge_*{0}"),
    ("conformance/convolution backward", "*.Backward*/edge_*{0}:*.Rounded*/edge_*{0}"),
    ("reference/augment", "*/{0}"),
)
# racecheck takes far longer than the others: what did not end in 150 s has fewer tests there, or none; the steps launch the
# same kernels.
FEWER_FOR_RACECHECK = {
    "conformance/objective": "*Clamped*/{0}:*APrior*/{0}",
    "conformance/batch_norm": "*/{0}:-*Large*:*.Apply/*:*.Backward/*",
    "conformance/gemm": "*Rounding*/{0}:*Nan*/{0}",
    "conformance/batch_network": None,
    "conformance/pretrain_step": None,
    "conformance/run": None,
}
# Two of ResNet-18: how, in which type, and its flags.
STEPS = (
    ("as one graph", "bf16", []),
    ("op by op", "bf16", ["--no-graph"]),
    ("hard, LARS", "f32", ["--objective", "hard", "--optimizer", "lars"]),
    ("supcon, SGD", "f32", ["--objective", "supcon", "--optimizer", "sgd"]),
)
NOT_HERE = re.compile(
    r"Device not supported|Unable to find|not supported on this|LibraryNotLoaded|Internal Sanitizer Error|initialization failed",
    re.IGNORECASE,
)


def flags_of(tool, known):
    """known: what --help says; older versions have fewer flags."""
    wanted = [
        ("--error-exitcode", "86"),
        ("--print-limit", "20"),
        ("--report-api-errors", "no"),
        ("--show-backtrace", "device"),
    ]
    if tool != "memcheck":  # other people's kernels are not our business, and slow; what they are given is
        wanted.append(("--kernel-name", "kns=dcl"))
    return ["--tool", tool] + [word for flag in wanted if flag[0] in known for word in flag]


class Tool:
    """One tool's rows, once all of its programs have ended."""

    def __init__(self, session, name, count):
        self.session, self.name, self.ended, self.left = session, name, [], count

    def end(self, job):
        with self.session.lock:
            self.ended.append(job)
            self.left -= 1
            if self.left == 0:
                self.tell()

    def tell(self):
        by_state = {}
        for job in sorted(self.ended, key=lambda job: job.number):
            by_state.setdefault(job.state, []).append(job)
        clean, cut = by_state.get("ok", []), by_state.get("cut", [])
        words = [f"{len(clean)} of {len(self.ended)} programs without a finding"]
        if cut:
            words.append("not to the end: " + ", ".join(job.name for job in cut))
        state = "failed" if by_state.get("failed") else "cut" if cut else "ok" if clean else "skipped"
        self.session.row(
            self.name, "; ".join(words), state, clean=[job.name for job in clean], cut=[job.name for job in cut]
        )
        for job in by_state.get("failed", []) + by_state.get("skipped", [])[:1]:
            finding = parse.first_finding(job.ended.output)
            self.session.row(
                f"{self.name}: {job.name}",
                "; ".join(filter(None, (job.summary, finding))) or job.ended.meaning,
                job.state,
                log=job.ended.output[-3000:],
            )


class Job:
    """One program under one tool."""

    def __init__(self, session, tool, number, name, words):
        self.session, self.tool, self.number, self.name, self.words = session, tool, number, name, words

    def __call__(self):
        # Timing engines would run dozens of other people's kernels under the tool; racecheck fails in some of cuDNN's, also
        # where it is told to leave them alone ("failed to handle a hardware exception").
        environment = {
            **self.session.environment,
            **({"DCL_CUDNN": "off"} if self.tool.name == "racecheck" else {"DCL_CUDNN_TIMING": "off"}),
        }
        self.ended = self.session.run(f"{self.tool.name} {self.name}", self.words, LIMIT, environment)
        self.errors, self.summary = parse.sanitizer_verdict(self.ended.output)
        self.tool.end(self)

    @property
    def state(self):
        if self.ended.how in ("cut", "hung"):
            return "cut"
        if self.errors is None:
            return "skipped" if NOT_HERE.search(self.ended.output) else "failed"
        return "ok" if self.errors == 0 and self.ended.code == 0 else "failed"


def programs_of(session, tool):
    """[(name, words)]"""
    found = []
    for name, dtype, flags in STEPS:
        step = session.state / f"sanitizer-{tool}-{name.replace(' ', '-')}"
        shutil.rmtree(step, ignore_errors=True)
        found.append(
            (
                f"two training steps, {dtype}, {name}",
                training(
                    session, step, 2, dtype, "--arch", "resnet18", "--batch_size", 4, "--shapes_count", 32, *flags
                ),
            )
        )
    for name, pattern in TESTS:
        if tool == "racecheck":
            pattern = FEWER_FOR_RACECHECK.get(name, pattern)
        suite, program = name.split()[0].split("/")
        path = HOME / f"build/tests/{suite}/{program}_{suite}_test"
        if pattern and path.is_file():
            found.append((name, [path, f"--gtest_filter={pattern.format(session.device)}"]))
    return found


def sanitizer(session):
    program = session.cuda_tool("compute-sanitizer", "compute-sanitizer")
    if program is None:
        return
    known = session.run("compute-sanitizer help", [program, "--help"], 30).output
    jobs = []
    for name in TOOLS:
        chosen = [(what, words) for what, words in programs_of(session, name) if session.wants(f"{name} {what}")]
        tool = Tool(session, name, len(chosen))
        jobs += [
            Job(session, tool, i, what, [program, *flags_of(name, known), *words])
            for i, (what, words) in enumerate(chosen)
        ]
    session.parallel(jobs, WORKERS)
