"""One `gpu-check run`: its environment, its clock, the programs it starts, and the rows it collects."""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import platform
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

from gpu_check import report

HOME = pathlib.Path(__file__).resolve().parent.parent  # the folder that `pack` made
LEAST_SECONDS = 3  # with less left nothing is started
STATES = ("ok", "failed", "skipped", "cut")  # cut: the time was over


class Interrupted(BaseException):
    """By a signal: what was found so far is kept, and nothing more is started."""


class Ended:
    """How a program ended. how: exit, hung (its own limit was over), cut (the section's time was over), missing."""

    def __init__(self, how, code, output, seconds):
        self.how, self.code, self.output, self.seconds = how, code, output, seconds

    @property
    def ok(self):
        return self.how == "exit" and self.code == 0

    @property
    def state(self):
        return "ok" if self.ok else "cut" if self.how == "cut" else "failed"

    @property
    def meaning(self):
        if self.how == "exit":
            last = (self.output.strip().splitlines() or [""])[-1][:140]
            return f"exit code {self.code}: {last}" if self.code >= 0 else f"{signal.Signals(-self.code).name}: {last}"
        if self.how == "cut":
            return (
                f"cut off after {self.seconds:.0f} s: the time was over"
                if self.seconds
                else "not run: the time was over"
            )
        return f"hung: no end after {self.seconds:.0f} s" if self.how == "hung" else self.output


def cuda_library_folders():
    """Where pip's packages of NVIDIA, if there are any, keep cuDNN and the run-time compiler."""
    try:
        import nvidia
    except ImportError:
        return []
    return [str(f) for base in nvidia.__path__ for f in sorted(pathlib.Path(base).glob("*/lib"))]


class Session:
    def __init__(self, device, out, state, minutes):
        self.device, self.cuda = device, device == "cuda"
        self.out, self.state = pathlib.Path(out).resolve(), pathlib.Path(state).resolve()
        self.logs = self.state / "logs"
        for folder in (self.out, self.state):
            folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self.logs, ignore_errors=True)
        self.logs.mkdir()
        self.begin = time.monotonic()
        self.end = self.section_end = self.begin + 60 * minutes
        self.section = "info"
        self.rows, self.tables = [], []
        self.lock, self.live = threading.RLock(), set()
        self.interrupted = False
        self.cores = sorted(os.sched_getaffinity(0))
        self.environment = self.make_environment()
        # Python keeps to the libraries it has; what it starts of ours is told where they are.
        self.python_environment = {
            **os.environ,
            "DCL_LIBRARY_PATH": self.environment["LD_LIBRARY_PATH"],
            "DCL_CUDNN": self.environment.get("DCL_CUDNN", ""),
            "PYTHONUNBUFFERED": "1",
            "DCL_PLAN_CACHE": self.environment["DCL_PLAN_CACHE"],
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        commit = HOME / "commit"
        self.head = {
            "commit": commit.read_text().strip() if commit.exists() else "unknown",
            "machine": platform.platform(),
            "device": device,
            "cores": len(self.cores),
            "python": platform.python_version(),
            "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        }

    def make_environment(self):
        folders = cuda_library_folders()
        environment = {
            **os.environ,
            "DCL_BENCH_DEVICE": self.device,
            "DCL_PLAN_CACHE": str(self.state / "plans"),
            "LD_LIBRARY_PATH": ":".join(
                filter(None, [os.environ.get("LD_LIBRARY_PATH", ""), *folders, str(HOME / "lib")])
            ),
            "DCL_CONV_PROBLEMS": str(HOME / "problems.txt"),
            "DCL_REFERENCE_DIR": str(HOME / "reference"),
        }
        cudnn = next((f"{f}/libcudnn.so.9" for f in folders if os.path.exists(f"{f}/libcudnn.so.9")), None)
        if cudnn:
            environment.setdefault("DCL_CUDNN", cudnn)
        return environment

    # ---- what is found

    def row(self, name, result, state="ok", **figures):
        assert state in STATES
        with self.lock:
            self.rows.append({"section": self.section, "name": name, "result": result, "state": state, **figures})
            word = {"ok": "", "failed": "FAILED: ", "skipped": "skipped: ", "cut": ""}[state]
            print(f"{self.section:<9} {name:<48} {word}{result}"[:230], flush=True)
            report.write(self)

    def table(self, title, head, rows):
        """A table of its own below the section's, in place of an earlier one of that title."""
        with self.lock:
            self.tables = [t for t in self.tables if t["title"] != title]
            self.tables.append({"section": self.section, "title": title, "head": head, "rows": rows})
            report.write(self)

    def wants(self, name):
        """Whether --programs asks for it."""
        return any(word in name for word in self.options.programs.split(","))

    def cuda_tool(self, name, program):
        """The path of a tool for programs on a GPU; a row of that name says why there is none."""
        path = find_tool(program) if self.cuda else None
        if path is None:
            self.row(name, f"this machine has no {program}" if self.cuda else "for cuda", "skipped")
        return path

    def say(self, name, ended):
        """A row for a program that did not give figures."""
        self.row(name, ended.meaning, ended.state, exit_code=ended.code, log=ended.output[-2000:])

    def states(self):
        return {row["state"] for row in self.rows}

    # ---- programs

    def left(self):
        return self.section_end - time.monotonic()

    def run(self, name, words, limit, environment=None, gentle=0):
        """Runs a program to its end, its own limit or the end of the section's time, whichever comes first; its output
        goes to a log. gentle: seconds between SIGTERM and SIGKILL, part of the limit."""
        late = "hung" if limit <= self.left() else "cut"
        allowed = min(limit, self.left()) - gentle
        if allowed < LEAST_SECONDS or self.interrupted:
            return Ended("cut", None, "", 0)
        log = self.logs / (re.sub(r"[^\w.-]+", "_", name) + ".log")
        begin = time.monotonic()
        with open(log, "w") as file:
            try:
                program = subprocess.Popen(
                    [str(w) for w in words],
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    stdin=subprocess.DEVNULL,
                    env=environment or self.environment,
                    cwd=self.state,
                    start_new_session=True,
                )
            except (OSError, subprocess.SubprocessError) as error:
                return Ended("missing", None, f"cannot start {words[0]}: {error}", 0)
            with self.lock:
                self.live.add(program.pid)
            how, code = self.wait(program, allowed, gentle, late)
            with self.lock:
                self.live.discard(program.pid)
            if self.interrupted:
                how = "cut"
        return Ended(how, code, log.read_text(errors="replace"), time.monotonic() - begin)

    @staticmethod
    def wait(program, allowed, gentle, late):
        how = "exit"
        try:
            program.wait(timeout=allowed)
        except subprocess.TimeoutExpired:
            how = late
            if gentle:
                program.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    program.wait(timeout=gentle)
        # Whatever it started ends with it: a process left on the GPU would spoil what is measured next.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
        code = program.wait()
        return how, code

    def parallel(self, jobs, workers=None):
        """Calls each job(), several at a time, each on cores of its own; results in the order of the jobs."""
        workers = max(1, min(workers or len(self.cores), len(self.cores), len(jobs)))
        shares = queue.Queue()
        for i in range(workers):
            shares.put(self.cores[i::workers])

        def call(job):
            cores = shares.get()
            try:
                os.sched_setaffinity(0, cores)  # of this thread, and so of what it starts
                return job()
            finally:
                shares.put(cores)

        pool = concurrent.futures.ThreadPoolExecutor(workers)
        try:
            return list(pool.map(call, jobs))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    # ---- interruption

    def interrupt(self, number, _frame):
        self.interrupted = True
        for pid in list(self.live):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        raise Interrupted(signal.Signals(number).name)

    def run_sections(self, sections, reserves):
        """sections: [(name, function)]. Each gets the time that is left, less what those after it need at least."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self.interrupt)
        try:
            for i, (name, function) in enumerate(sections):
                self.section = name
                later = sum(reserves.get(n, 0) for n, _ in sections[i + 1 :])
                self.section_end = max(self.end - later, min(self.end, time.monotonic() + reserves.get(name, 0)))
                begin = time.monotonic()
                try:
                    function(self)
                except Exception as error:  # a fault of this script costs one section, not the machine's time
                    self.row("gpu-check", f"{type(error).__name__}: {error}"[:300], "failed")
                print(
                    f"{name:<9} took {time.monotonic() - begin:.0f} s, {self.end - time.monotonic():.0f} s are left",
                    flush=True,
                )
                report.write_logs(self)
        except Interrupted as signal_name:
            self.row("gpu-check", f"interrupted by {signal_name}", "cut")
            report.write_logs(self)


def find_tool(name):
    """The path of one of CUDA's tools, also where a toolkit keeps it; nothing when this machine has none."""
    beside = sorted(pathlib.Path("/").glob(f"opt/nvidia/nsight-compute/*/{name}"), reverse=True)
    return shutil.which(name) or next(
        (str(p) for p in [pathlib.Path("/usr/local/cuda/bin") / name, *beside] if os.access(p, os.X_OK)), None
    )


def python(script, *flags):
    return [sys.executable, HOME / f"bench/peers/{script}.py", *flags]


def words_of(options):
    """{"epochs": 2} as --epochs 2; of a name that is given twice, the later counts."""
    return [word for name, value in options.items() for word in (f"--{name}", value)]


def app(name):
    return HOME / "build/apps" / name


def json_of(path):
    """Nothing when the file is not there or not JSON."""
    try:
        return json.loads(pathlib.Path(path).read_text())
    except (OSError, ValueError):
        return None
