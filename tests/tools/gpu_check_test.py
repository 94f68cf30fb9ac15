"""tools/gpu-check against programs that pass, fail, crash, hang and are missing.

usage: gpu_check_test.py        (in the suite unit; needs no GPU and no build)
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

import fake_pack  # noqa: E402
from gpu_check import session  # noqa: E402
from gpu_check.sections import tests  # noqa: E402


class Run:
    """One `gpu-check run` on a fake pack, ended."""

    def __init__(self, programs, *flags, device="eigen", path=None, interrupt_at=None):
        with tempfile.TemporaryDirectory() as name:
            self.folder = pathlib.Path(name)
            fake_pack.make(self.folder / "pack", programs, ("eigen", "cuda"))
            for tool, body in (path or {}).items():
                fake_pack.script(self.folder / "bin" / tool, body)
            out = self.folder / "out"
            environment = {
                "PATH": f"{self.folder / 'bin'}:{pathlib.Path(sys.executable).parent}:/usr/bin:/bin",
                "HOME": name,
            }
            command = [
                self.folder / "pack/gpu-check",
                "run",
                "--device",
                device,
                "--out",
                out,
                "--state",
                self.folder / "state",
                *flags,
            ]
            process = subprocess.Popen(
                [sys.executable, *command],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                cwd=name,
            )
            if interrupt_at:
                self.wait_for(process, interrupt_at)
                process.send_signal(signal.SIGTERM)
            self.output = process.communicate(timeout=60)[0]
            self.code = process.returncode
            self.data = (
                json.loads((out / "gpu-check.json").read_text())
                if (out / "gpu-check.json").exists()
                else {"rows": [], "tables": []}
            )
            self.markdown = (out / "gpu-check.md").read_text() if out.exists() else ""
            self.files = sorted(p.name for p in out.iterdir()) if out.exists() else []
            self.logs = tarfile.open(out / "logs.tar.gz").getnames() if "logs.tar.gz" in self.files else []

    def wait_for(self, process, name):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and process.poll() is None:
            if any(p.name.startswith(name) and p.stat().st_size for p in self.folder.glob("state/logs/*")):
                return
            time.sleep(0.02)

    def row(self, name):
        return next(row for row in self.data["rows"] if row["name"] == name)


class TestSection(unittest.TestCase):
    def test_everything_passes(self):
        convolutions = {
            f"Forward/resnet50_{stem}_c{i}_eigen": "ok" for stem in ("cifar", "imagenet") for i in range(15)
        }
        run = Run(
            {
                "conformance/convolution": {
                    **convolutions,
                    "Forward/edge_one_eigen": "ok",
                    "Forward/edge_one_cuda": "ok",
                    "Convolution.Fused/edge_one_eigen": "ok",
                },
                "reference/knn": {"A/eigen": "ok", "B/eigen": "skip", "OfOnEveryBackend": "ok", "Other/cuda": "fail"},
                "reference/resnet": {"A/eigen": "skip"},
            },
            "--only",
            "tests",
        )
        self.assertEqual(run.code, 0, run.output)
        found = {row["name"]: (row["passed"], row["state"]) for row in run.data["rows"] if "convolution" in row["name"]}
        self.assertEqual(
            found,
            {
                "conformance convolution, fused": (1, "ok"),
                "conformance convolution of CIFAR networks, edges": (16, "ok"),
                "conformance convolution of other networks": (15, "ok"),
            },
        )
        self.assertTrue(run.row("reference knn")["result"].startswith("2 passed, 1 skipped"))
        self.assertEqual(run.row("reference resnet")["state"], "skipped")
        self.assertEqual(run.files, ["gpu-check.json", "gpu-check.md", "logs.tar.gz"])
        self.assertIn("logs/reference_knn.log", run.logs)
        self.assertIn("| conformance convolution of other networks | 15 passed", run.markdown)
        self.assertIn("commit abc1234, the eigen of a test, cuDNN 9.19.0", run.markdown)

    def test_some_programs(self):
        run = Run(
            {
                "conformance/rows": {"A/eigen": "ok"},
                "conformance/gemm": {"A/eigen": "fail"},
                "reference/knn": {"A/eigen": "ok"},
            },
            "--only",
            "tests",
            "--programs",
            "rows,reference",
        )
        self.assertEqual(run.code, 0, run.output)
        self.assertEqual(
            {row["name"] for row in run.data["rows"] if row["section"] == "tests"},
            {"conformance rows", "reference knn"},
        )

    def test_failures_crashes_and_programs_without_tests(self):
        run = Run(
            {
                "conformance/bad": {"Fine/eigen": "ok", "Broken/eigen": "fail"},
                "conformance/crashing": {"Gone/eigen": "crash", "Never/eigen": "ok"},
                "conformance/empty": {},
                "conformance/good": {"Fine/eigen": "ok"},
            },
            "--only",
            "tests",
        )
        self.assertEqual(run.code, 1, run.output)
        self.assertEqual(run.row("conformance good")["state"], "ok")
        self.assertEqual(run.row("conformance bad")["failed"], ["Backends/Suite.Broken/eigen"])
        self.assertIn(
            "suite_test.cc:42: Expected equality of these values: / 1 / 2",
            run.row("Backends/Suite.Broken/eigen")["result"],
        )
        self.assertTrue(run.row("Backends/Suite.Gone/eigen")["result"].startswith("SIGSEGV"))
        self.assertIn("2 not run", run.row("conformance crashing")["result"])
        self.assertEqual(run.row("conformance empty")["state"], "failed")
        self.assertIn("**FAILED**: 1 passed, 1 failed", run.markdown)

    def test_time_over_is_not_a_failure_nor_a_pass(self):
        run = Run(
            {"conformance/slow": {"First/eigen": "ok", "Second/eigen": "hang"}}, "--only", "tests", "--minutes", "0.1"
        )
        self.assertEqual(run.code, 75, run.output)
        self.assertEqual(run.row("conformance slow")["state"], "cut")
        self.assertTrue(
            run.row("conformance slow")["result"].startswith(
                "1 passed, 1 not run, the time was over in Backends/Suite.Second/eigen"
            )
        )
        self.assertIn("not measured: 1 passed", run.markdown)

    def test_interrupted(self):
        run = Run(
            {"conformance/a": {"First/eigen": "ok"}, "conformance/slow": {"Second/eigen": "hang"}},
            "--only",
            "tests",
            interrupt_at="conformance_slow.log",
        )
        self.assertEqual(run.code, 75, run.output)
        self.assertEqual(run.row("gpu-check")["result"], "interrupted by SIGTERM")
        self.assertIn("logs/conformance_slow.log", run.logs)

    def test_devices_and_usage(self):
        absent = Run({}, "--only", "tests", device="absent")
        self.assertEqual(absent.code, 4)
        self.assertEqual(absent.row("absent")["result"], "it is not there")
        unknown = Run({}, "--only", "tests,nothing")
        self.assertEqual((unknown.code, unknown.output.count("\n")), (2, 1))
        self.assertIn("no section nothing", unknown.output)

    def test_missing_programs_cost_their_rows_only(self):
        run = Run(
            {"conformance/a": {"First/cuda": "ok"}}, "--only", "tests,repeat,sanitizer,profile,train", device="cuda"
        )
        self.assertEqual(run.code, 1)
        self.assertEqual(run.row("conformance a")["state"], "ok")
        for tool, name in (("compute-sanitizer", "compute-sanitizer"), ("ncu", "kernels")):
            if not session.find_tool(tool):  # else that one was run, with nothing to check
                self.assertEqual(
                    (run.row(name)["state"], "this machine has no" in run.row(name)["result"]), ("skipped", True)
                )
        self.assertIn("cannot start", run.row("6 steps, bf16")["result"])
        self.assertIn("--with-cifar", run.row("CIFAR-10")["result"])


SANITIZER = """
import os, sys
if "--help" in sys.argv:
    print("--error-exitcode --print-limit --report-api-errors --kernel-name")
    sys.exit(0)
print("========= COMPUTE-SANITIZER")
tool = sys.argv[sys.argv.index("--tool") + 1]
if tool == "memcheck" and "objective" in " ".join(sys.argv):
    print("========= Invalid __global__ read of size 4 bytes")
    print("=========     at dcl::cuda::tile(float*)+0x1a0 in objective.cu:120")
    print("========= ERROR SUMMARY: 1 error")
    sys.exit(86)
if tool == "racecheck" and os.environ.get("DCL_CUDNN") != "off":
    print("========= RACECHECK SUMMARY: 1 hazard displayed (1 error, 0 warnings)")  # it fails in cuDNN's kernels
    sys.exit(86)
print("========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)" if tool == "racecheck" else "========= ERROR SUMMARY: 0 errors")
"""
NCU_LONG = """==PROF== Connected to process 7
"ID","Process ID","Kernel Name","Section Name","Metric Name","Metric Unit","Metric Value"
"0","7","void dcl::cuda::(anonymous namespace)::apply<float, 4>(const T1 *, int)","Command line profiler metrics","dram__throughput.avg.pct_of_peak_sustained_elapsed","%","80"
"0","7","void dcl::cuda::(anonymous namespace)::apply<float, 4>(const T1 *, int)","Command line profiler metrics","gpu__time_duration.sum","us","3"
"0","7","void dcl::cuda::(anonymous namespace)::apply<float, 4>(const T1 *, int)","Command line profiler metrics","dram__bytes.sum","byte","4,000,000,000"
"1","7","sm90_xmma_fprop","Command line profiler metrics","gpu__time_duration.sum","ns","1,000"
"1","7","sm90_xmma_fprop","Command line profiler metrics","dram__throughput.avg.pct_of_peak_sustained_elapsed","%","40"
"""
NCU = """
import pathlib, sys
pathlib.Path(sys.argv[sys.argv.index("--log-file") + 1]).write_text(%r)
""" % NCU_LONG


class Tools(unittest.TestCase):
    def test_sanitizer_and_profiler(self):
        run = Run(
            {f"conformance/{name}": {"A/cuda": "ok"} for name in ("objective", "rows", "convolution")},
            "--only",
            "sanitizer,profile",
            device="cuda",
            path={"compute-sanitizer": SANITIZER, "ncu": NCU},
        )
        self.assertEqual(run.code, 1, run.output)
        self.assertEqual(
            [run.row(tool)["state"] for tool in ("memcheck", "racecheck", "synccheck")], ["failed", "ok", "ok"]
        )
        self.assertIn(
            "Invalid __global__ read of size 4 bytes / at dcl::cuda::tile",
            run.row("memcheck: conformance/objective")["result"],
        )
        self.assertEqual(
            run.row("racecheck")["clean"],
            [
                "two training steps, bf16, as one graph",
                "two training steps, bf16, op by op",
                "two training steps, f32, hard, LARS",
                "two training steps, f32, supcon, SGD",
                "conformance/objective",
                "conformance/rows",
                "conformance/convolution forward",
                "conformance/convolution backward",
            ],
        )
        self.assertIn("logs/racecheck_conformance_convolution_forward.log", run.logs)
        self.assertIn("2 launches", run.row("kernels of 2 steps, bf16")["result"])
        self.assertIn("| `apply<float, 4>` | 0.5 | 1.5 | 75.0 | 80 | 2.00 |", run.markdown)

    def test_some_programs_under_one_tool(self):
        run = Run(
            {f"conformance/{name}": {"A/cuda": "ok"} for name in ("objective", "rows")},
            "--only",
            "sanitizer",
            "--programs",
            "racecheck conformance,synccheck two training steps",
            device="cuda",
            path={"compute-sanitizer": SANITIZER},
        )
        self.assertEqual(
            {row["name"]: row["clean"] for row in run.data["rows"] if row["section"] == "sanitizer"},
            {
                "racecheck": ["conformance/objective", "conformance/rows"],
                "synccheck": [
                    f"two training steps, {how}"
                    for how in ("bf16, as one graph", "bf16, op by op", "f32, hard, LARS", "f32, supcon, SGD")
                ],
            },
        )

    def test_a_profiler_without_the_metrics_still_gives_times(self):
        refusal = "import sys\nif 'dram' in ' '.join(sys.argv):\n    sys.exit('no such metric')\n"
        run = Run({}, "--only", "profile", device="cuda", path={"ncu": refusal + NCU})
        self.assertIn("2 launches", run.row("kernels of 2 steps, bf16")["result"])

    def test_sanitizer_that_cannot_use_the_device(self):
        run = Run(
            {},
            "--only",
            "sanitizer",
            device="cuda",
            path={"compute-sanitizer": 'print("========= Error: Device not supported")'},
        )
        self.assertEqual({row["state"] for row in run.data["rows"] if row["section"] == "sanitizer"}, {"skipped"})


class Programs(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.session = session.Session(
            "eigen", pathlib.Path(folder.name) / "out", pathlib.Path(folder.name) / "state", 1
        )
        least, session.LEAST_SECONDS = session.LEAST_SECONDS, 0.01
        self.addCleanup(setattr, session, "LEAST_SECONDS", least)

    def test_a_program_that_hangs_is_told_from_time_that_is_over(self):
        ended = self.session.run("hanging", ["sh", "-c", "echo before; sleep 100"], 0.3)
        self.assertEqual((ended.how, ended.state, ended.output), ("hung", "failed", "before\n"))
        self.session.section_end = time.monotonic() + 0.3
        self.assertEqual(self.session.run("late", ["sleep", "100"], 50).how, "cut")
        ended = self.session.run("later", ["sleep", "100"], 50)
        self.assertEqual((ended.how, ended.meaning), ("cut", "not run: the time was over"))

    def test_what_a_program_started_ends_with_it(self):
        ended = self.session.run("starting", ["sh", "-c", "sleep 100 & echo $!"], 5)
        self.assertTrue(ended.ok)
        status = pathlib.Path(f"/proc/{ended.output.strip()}/stat")
        for _ in range(100):  # gone, or a zombie that nobody waits for
            if not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return
            time.sleep(0.02)
        self.fail("the child still runs")

    def test_a_checkpoint_may_be_written_before_the_end(self):
        words = ["sh", "-c", "trap 'echo saved; exit 75' TERM; while :; do sleep 0.05; done"]
        ended = self.session.run("gentle", words, 3.3, gentle=3)
        self.assertEqual((ended.how, ended.code, ended.output), ("hung", 75, "saved\n"))

    def test_jobs_at_the_same_time_have_cores_of_their_own(self):
        seen = self.session.parallel([lambda: tuple(os.sched_getaffinity(0))] * 4, 2)
        self.assertEqual(len(seen), 4)
        workers = min(2, len(self.session.cores))
        self.assertLessEqual(
            {len(cores) for cores in seen}, {len(self.session.cores[i::workers]) for i in range(workers)}
        )

    def test_long_programs_are_begun_before_many_short_ones(self):
        paths = [
            pathlib.Path(f"tests/{suite}/{name}_{suite}_test")
            for suite, name in (
                ("conformance", "batch_norm"),
                ("conformance", "batch_norm_pair"),
                ("conformance", "convolution"),
                ("conformance", "gemm"),
                ("conformance", "run"),
                ("reference", "resnet"),
            )
        ]
        self.assertEqual(
            [p.name for p in tests.programs_of(self.session, paths)],
            [
                "conformance run",
                "reference resnet",
                "conformance batch_norm",
                "conformance convolution, fused",
                "conformance convolution of CIFAR networks, edges",
                "conformance batch_norm_pair",
                "conformance gemm",
                "conformance convolution of other networks",
            ],
        )

    def test_a_section_leaves_the_time_that_later_ones_need(self):
        left = {}
        self.session.run_sections(
            [(n, lambda s, n=n: left.update({n: s.left()})) for n in ("a", "b")], {"a": 5, "b": 20}
        )
        self.assertAlmostEqual(left["a"], 40, delta=1)
        self.assertAlmostEqual(left["b"], 60, delta=1)


if __name__ == "__main__":
    unittest.main()
