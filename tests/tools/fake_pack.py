"""A folder as `gpu-check pack` makes it, whose programs are scripts that print what real ones do."""

import json
import pathlib
import shutil
import textwrap

ROOT = pathlib.Path(__file__).resolve().parents[2]

# A program of tests: outcomes by name. "hang" waits, "crash" ends by a signal; shards are those of GoogleTest.
TEST_PROGRAM = """
import fnmatch, os, signal, sys, time
outcomes = {outcomes!r}
pattern = next((a.split("=", 1)[1] for a in sys.argv if a.startswith("--gtest_filter=")), "*")
assert "eigen" in pattern or "cuda" in pattern, pattern
wanted, _, others = pattern.partition(":-")
outcomes = {{n: o for n, o in outcomes.items() if any(fnmatch.fnmatchcase("Backends/Suite." + n, p) for p in wanted.split(":"))
            and not any(fnmatch.fnmatchcase("Backends/Suite." + n, p) for p in others.split(":"))}}
if "--gtest_list_tests" in sys.argv:
    print("Backends/Suite.")
    print("".join("  " + n + "  # GetParam() = x\\n" for n in outcomes), end="")
    sys.exit(0)
shards, shard = (int(os.environ.get("GTEST_" + n, d)) for n, d in (("TOTAL_SHARDS", 1), ("SHARD_INDEX", 0)))
failed = []
for i, (name, outcome) in enumerate(outcomes.items()):
    if i % shards != shard:
        continue
    full = "Backends/Suite." + name
    print("[ RUN      ] " + full, flush=True)
    if outcome == "hang":
        time.sleep(600)
    if outcome == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if outcome == "fail":
        print("../tests/conformance/suite_test.cc:42: Failure\\nExpected equality of these values:\\n  1\\n  2\\n")
        failed.append(full)
    word = {{"fail": "  FAILED  ", "skip": "  SKIPPED "}}.get(outcome, "       OK ")
    print("[" + word + "] " + full + (", where GetParam() = (3, \\"x\\")" if outcome == "fail" else "") + " (1 ms)")
print("[  PASSED  ] some tests.")
for full in failed:
    print("[  FAILED  ] " + full)
sys.exit(1 if failed else 0)
"""

INFO = """
print({text!r})
"""


def script(path, body):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/usr/bin/env python3\n" + textwrap.dedent(body))
    path.chmod(0o755)


def make(folder, programs, devices=("eigen",)):
    """programs: {"conformance/good": {test: outcome}}."""
    shutil.copytree(ROOT / "tools/gpu_check", folder / "gpu_check", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(ROOT / "tools/gpu-check", folder)
    (folder / "commit").write_text("abc1234\n")
    for name, outcomes in programs.items():
        suite, program = name.split("/")
        script(folder / f"build/tests/{suite}/{program}_{suite}_test", TEST_PROGRAM.format(outcomes=outcomes))
    backends = [
        {"name": d, "available": True, "device": f"the {d} of a test", "libraries": {"cuDNN": "9.19.0"}}
        for d in devices
    ]
    backends.append({"name": "absent", "available": False, "reason": "it is not there"})
    script(folder / "build/apps/dcl-info", INFO.format(text=json.dumps({"backends": backends})))
    return folder
