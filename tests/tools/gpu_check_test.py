"""tools/gpu-check against programs that pass, fail, crash, hang and are missing; what tools print is parsed as it should.

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
import threading
import time
import types
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

import fake_pack  # noqa: E402
from gpu_check import floor, parse, report, session  # noqa: E402
from gpu_check.sections import peers, speed, tests, train  # noqa: E402


class Run:
    """One `gpu-check run` on a fake pack, ended."""

    def __init__(self, programs, *flags, device="eigen", path=None, interrupt_at=None):
        with tempfile.TemporaryDirectory() as name:
            self.folder = pathlib.Path(name)
            fake_pack.make(self.folder / "pack", programs, ("eigen", "cuda"))
            for tool, body in (path or {}).items():
                fake_pack.script(self.folder / "bin" / tool, body)
            out = self.folder / "out"
            environment = {"PATH": f"{self.folder / 'bin'}:{pathlib.Path(sys.executable).parent}:/usr/bin:/bin", "HOME": name}
            command = [self.folder / "pack/gpu-check", "run", "--device", device, "--out", out, "--state", self.folder / "state", *flags]
            process = subprocess.Popen([sys.executable, *command], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                       text=True, cwd=name)
            if interrupt_at:
                self.wait_for(process, interrupt_at)
                process.send_signal(signal.SIGTERM)
            self.output = process.communicate(timeout=60)[0]
            self.code = process.returncode
            self.data = json.loads((out / "gpu-check.json").read_text()) if (out / "gpu-check.json").exists() else {"rows": [], "tables": []}
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
        convolutions = {f"Forward/resnet50_{stem}_c{i}_eigen": "ok" for stem in ("cifar", "imagenet") for i in range(15)}
        run = Run({"conformance/convolution": {**convolutions, "Forward/edge_one_eigen": "ok", "Forward/edge_one_cuda": "ok",
                                               "Convolution.Fused/edge_one_eigen": "ok"},
                   "reference/knn": {"A/eigen": "ok", "B/eigen": "skip", "OfOnEveryBackend": "ok", "Other/cuda": "fail"}, "reference/resnet": {"A/eigen": "skip"}}, "--only", "tests")
        self.assertEqual(run.code, 0, run.output)
        found = {row["name"]: (row["passed"], row["state"]) for row in run.data["rows"] if "convolution" in row["name"]}
        self.assertEqual(found, {"conformance convolution, fused": (1, "ok"), "conformance convolution of CIFAR networks, edges": (16, "ok"),
                                 "conformance convolution of other networks": (15, "ok")})
        self.assertTrue(run.row("reference knn")["result"].startswith("2 passed, 1 skipped"))
        self.assertEqual(run.row("reference resnet")["state"], "skipped")
        self.assertEqual(run.files, ["gpu-check.json", "gpu-check.md", "logs.tar.gz"])
        self.assertIn("logs/reference_knn.log", run.logs)
        self.assertIn("| conformance convolution of other networks | 15 passed", run.markdown)
        self.assertIn("commit abc1234, the eigen of a test, cuDNN 9.19.0", run.markdown)

    def test_some_programs(self):
        run = Run({"conformance/rows": {"A/eigen": "ok"}, "conformance/gemm": {"A/eigen": "fail"}, "reference/knn": {"A/eigen": "ok"}},
                  "--only", "tests", "--programs", "rows,reference")
        self.assertEqual(run.code, 0, run.output)
        self.assertEqual({row["name"] for row in run.data["rows"] if row["section"] == "tests"}, {"conformance rows", "reference knn"})

    def test_failures_crashes_and_programs_without_tests(self):
        run = Run({"conformance/bad": {"Fine/eigen": "ok", "Broken/eigen": "fail"}, "conformance/crashing": {"Gone/eigen": "crash", "Never/eigen": "ok"},
                   "conformance/empty": {}, "conformance/good": {"Fine/eigen": "ok"}}, "--only", "tests")
        self.assertEqual(run.code, 1, run.output)
        self.assertEqual(run.row("conformance good")["state"], "ok")
        self.assertEqual(run.row("conformance bad")["failed"], ["Backends/Suite.Broken/eigen"])
        self.assertIn("suite_test.cc:42: Expected equality of these values: / 1 / 2", run.row("Backends/Suite.Broken/eigen")["result"])
        self.assertTrue(run.row("Backends/Suite.Gone/eigen")["result"].startswith("SIGSEGV"))
        self.assertIn("2 not run", run.row("conformance crashing")["result"])
        self.assertEqual(run.row("conformance empty")["state"], "failed")
        self.assertIn("**FAILED**: 1 passed, 1 failed", run.markdown)

    def test_time_over_is_not_a_failure_nor_a_pass(self):
        run = Run({"conformance/slow": {"First/eigen": "ok", "Second/eigen": "hang"}}, "--only", "tests", "--minutes", "0.1")
        self.assertEqual(run.code, 75, run.output)
        self.assertEqual(run.row("conformance slow")["state"], "cut")
        self.assertTrue(run.row("conformance slow")["result"].startswith("1 passed, 1 not run, the time was over in Backends/Suite.Second/eigen"))
        self.assertIn("not measured: 1 passed", run.markdown)

    def test_interrupted(self):
        run = Run({"conformance/a": {"First/eigen": "ok"}, "conformance/slow": {"Second/eigen": "hang"}}, "--only", "tests",
                  interrupt_at="conformance_slow.log")
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
        run = Run({"conformance/a": {"First/cuda": "ok"}}, "--only", "tests,repeat,sanitizer,profile,train", device="cuda")
        self.assertEqual(run.code, 1)
        self.assertEqual(run.row("conformance a")["state"], "ok")
        for tool, name in (("compute-sanitizer", "compute-sanitizer"), ("ncu", "kernels")):
            if not session.find_tool(tool):  # else that one was run, with nothing to check
                self.assertEqual((run.row(name)["state"], "this machine has no" in run.row(name)["result"]), ("skipped", True))
        self.assertIn("cannot start", run.row("6 steps, bf16")["result"])
        self.assertIn("--with-cifar", run.row("CIFAR-10")["result"])


SANITIZER = '''
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
'''
NCU_LONG = '''==PROF== Connected to process 7
"ID","Process ID","Kernel Name","Section Name","Metric Name","Metric Unit","Metric Value"
"0","7","void dcl::cuda::(anonymous namespace)::apply<float, 4>(const T1 *, int)","Command line profiler metrics","dram__throughput.avg.pct_of_peak_sustained_elapsed","%","80"
"0","7","void dcl::cuda::(anonymous namespace)::apply<float, 4>(const T1 *, int)","Command line profiler metrics","gpu__time_duration.sum","us","3"
"0","7","void dcl::cuda::(anonymous namespace)::apply<float, 4>(const T1 *, int)","Command line profiler metrics","dram__bytes.sum","byte","4,000,000,000"
"1","7","sm90_xmma_fprop","Command line profiler metrics","gpu__time_duration.sum","ns","1,000"
"1","7","sm90_xmma_fprop","Command line profiler metrics","dram__throughput.avg.pct_of_peak_sustained_elapsed","%","40"
'''
NCU = '''
import pathlib, sys
pathlib.Path(sys.argv[sys.argv.index("--log-file") + 1]).write_text(%r)
''' % NCU_LONG


class Tools(unittest.TestCase):
    def test_sanitizer_and_profiler(self):
        run = Run({f"conformance/{name}": {"A/cuda": "ok"} for name in ("objective", "rows", "convolution")}, "--only", "sanitizer,profile",
                  device="cuda", path={"compute-sanitizer": SANITIZER, "ncu": NCU})
        self.assertEqual(run.code, 1, run.output)
        self.assertEqual([run.row(tool)["state"] for tool in ("memcheck", "racecheck", "synccheck")], ["failed", "ok", "ok"])
        self.assertIn("Invalid __global__ read of size 4 bytes / at dcl::cuda::tile", run.row("memcheck: conformance/objective")["result"])
        self.assertEqual(run.row("racecheck")["clean"], [
            "two training steps, bf16, as one graph", "two training steps, bf16, op by op", "two training steps, f32, hard, LARS",
            "two training steps, f32, supcon, SGD", "conformance/objective", "conformance/rows", "conformance/convolution forward",
            "conformance/convolution backward"])
        self.assertIn("logs/racecheck_conformance_convolution_forward.log", run.logs)
        self.assertIn("2 launches", run.row("kernels of 2 steps, bf16")["result"])
        self.assertIn("| `apply<float, 4>` | 0.5 | 1.5 | 75.0 | 80 | 2.00 |", run.markdown)

    def test_some_programs_under_one_tool(self):
        run = Run({f"conformance/{name}": {"A/cuda": "ok"} for name in ("objective", "rows")}, "--only", "sanitizer",
                  "--programs", "racecheck conformance,synccheck two training steps", device="cuda", path={"compute-sanitizer": SANITIZER})
        self.assertEqual({row["name"]: row["clean"] for row in run.data["rows"] if row["section"] == "sanitizer"}, {
            "racecheck": ["conformance/objective", "conformance/rows"],
            "synccheck": [f"two training steps, {how}" for how in ("bf16, as one graph", "bf16, op by op", "f32, hard, LARS", "f32, supcon, SGD")]})

    def test_a_profiler_without_the_metrics_still_gives_times(self):
        refusal = "import sys\nif 'dram' in ' '.join(sys.argv):\n    sys.exit('no such metric')\n"
        run = Run({}, "--only", "profile", device="cuda", path={"ncu": refusal + NCU})
        self.assertIn("2 launches", run.row("kernels of 2 steps, bf16")["result"])

    def test_sanitizer_that_cannot_use_the_device(self):
        run = Run({}, "--only", "sanitizer", device="cuda", path={"compute-sanitizer": 'print("========= Error: Device not supported")'})
        self.assertEqual({row["state"] for row in run.data["rows"] if row["section"] == "sanitizer"}, {"skipped"})


class Programs(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.session = session.Session("eigen", pathlib.Path(folder.name) / "out", pathlib.Path(folder.name) / "state", 1)
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
        self.assertLessEqual({len(cores) for cores in seen}, {len(self.session.cores[i::workers]) for i in range(workers)})

    def test_long_programs_are_begun_before_many_short_ones(self):
        paths = [pathlib.Path(f"tests/{suite}/{name}_{suite}_test") for suite, name in (
            ("conformance", "batch_norm"), ("conformance", "batch_norm_pair"), ("conformance", "convolution"), ("conformance", "gemm"),
            ("conformance", "run"), ("reference", "resnet"))]
        self.assertEqual([p.name for p in tests.programs_of(self.session, paths)], [
            "conformance run", "reference resnet", "conformance batch_norm", "conformance convolution, fused",
            "conformance convolution of CIFAR networks, edges", "conformance batch_norm_pair", "conformance gemm",
            "conformance convolution of other networks"])

    def test_a_section_leaves_the_time_that_later_ones_need(self):
        left = {}
        self.session.run_sections([(n, lambda s, n=n: left.update({n: s.left()})) for n in ("a", "b")], {"a": 5, "b": 20})
        self.assertAlmostEqual(left["a"], 40, delta=1)
        self.assertAlmostEqual(left["b"], 60, delta=1)


class Parsing(unittest.TestCase):
    def test_profile_table(self):
        self.assertEqual(parse.profile_rows("noise\nconv_forward                    12 calls     1.500000 s  75.00 %\n"
                                            "adam                             3 calls     0.500000 s  25.00 %\n"),
                         [("conv_forward", 12, 1.5, 75.0), ("adam", 3, 0.5, 25.0)])

    def test_ncu_pages(self):
        wide = ('"ID","Kernel Name","gpu__time_duration.sum","dram__throughput.avg.pct_of_peak_sustained_elapsed"\n"","","nsecond","%"\n'
                '"0","a(int)","2,000","50"\n"1","a(int)","2,000","n/a"\n')
        kernels = parse.kernels_of(parse.ncu_launches(wide))
        self.assertEqual([(k["name"], k["calls"], k["ns"], k["dram_percent"]) for k in kernels], [("a", 2, 4000, 25)])
        self.assertEqual(parse.ncu_launches("==ERROR== nothing was profiled\n"), [])

    def test_lines_of_json_that_are_cut_off_are_left_out(self):
        self.assertEqual(parse.json_lines('warning\n{"a": 1}\n{"b": 2'), [{"a": 1}])

    def test_convolutions_far_below_the_others_are_found(self):
        lines = [f"c{c} k64 h32 r1 stride1           x1 | forward {20000 + c} | data {data} | filter 9000 GFLOP/s"
                 for c, data in ((64, 15000), (128, 490), (256, 18000), (512, 14000))]
        self.assertEqual(parse.slow_convolutions("\n".join(lines) + "\nforward  0.04333 s\n"), [("c128 k64 h32 r1 stride1 data", 490, 14500)])
        self.assertEqual(parse.slow_convolutions(""), [])

    def test_sanitizer_without_a_verdict(self):
        self.assertEqual(parse.sanitizer_verdict("========= Error: something")[0], None)

    def test_a_fault_of_the_sanitizer_is_told_as_one(self):
        report = ("========= COMPUTE-SANITIZER\nstep 1\n========= Internal Sanitizer Error: The Sanitizer failed to handle a hardware exception.\n"
                  "========= \n========= RACECHECK SUMMARY: 1 hazard displayed (1 error, 0 warnings)\n")
        self.assertEqual(parse.sanitizer_verdict(report)[0], 1)
        self.assertTrue(parse.first_finding(report).startswith("Internal Sanitizer Error: The Sanitizer failed"))

    def test_later_runs_take_the_place_of_earlier_rows(self):
        head = {"date": "today", "commit": "a", "device": "cuda", "cores": 16, "python": "3"}
        row = {"section": "ours", "name": "step", "state": "ok"}
        text = report.markdown([{**head, "tables": [], "rows": [{**row, "result": "20 ms"}]}, {**head, "tables": [], "rows": [{**row, "result": "15 | ms"}]}])
        self.assertIn("| step | 15 \\| ms |", text)
        self.assertNotIn("20 ms", text)


class Benchmarks(unittest.TestCase):
    def test_what_a_backend_says_of_its_convolutions_is_told(self):
        output = ("engine 78 of cuDNN gives wrong results for backward_data add: passed over, wherever it does\n"
                  "no engine runs forward n8 f32: the slow reference kernel serves it\n"
                  "cuDNN's best engine for forward n8 f32 residual takes 2.000 ms, the convolution and a pass 1.000 ms: taken in two passes, as others like it\n")
        with tempfile.TemporaryDirectory() as name:
            folder, rows = pathlib.Path(name), []

            def run(name, words, limit):
                figures = {"benchmarks": [{"name": "training_step/bf16/256/32/min_time:6.000/real_time", "real_time": 0.018, "time_unit": "s"}]}
                pathlib.Path(next(w for w in words if str(w).startswith("--benchmark_out=")).split("=")[1]).write_text(json.dumps(figures))
                return session.Ended("exit", 0, output, 1)

            clock = types.SimpleNamespace(state=folder, run=run,
                                          row=lambda name, result, state="ok", **figures: rows.append((name, result[:12], state)))
            figures = speed.benchmark(clock, "bench", "training_step/bf16", 60, flags=["--more"])
        self.assertEqual(list(figures), ["training_step/bf16/256/32"])
        self.assertEqual(rows, [("bench training_step/bf16: engines passed over", "1, such as: ", "ok"),
                                ("bench training_step/bf16: convolutions without an engine", "1, such as: ", "failed"),
                                ("bench training_step/bf16: convolutions in two passes", "1, such as: ", "ok"),
                                ("training_step/bf16/256/32", "0.018 s", "ok")])


class Peers(unittest.TestCase):
    """Steps that get ready in the background, of which one does not get to its end."""

    class Session:
        cuda, python_environment = True, {}

        def __init__(self, state, seconds):
            self.state, self.end, self.rows = state, time.monotonic() + seconds, []
            self.ready, self.together, self.timed = [], 0, []

        def left(self):
            return self.end - time.monotonic()

        def row(self, name, result, state="ok", **figures):
            self.rows.append((name, state))

        def say(self, name, ended):
            self.rows.append((name, ended.state))

        def run(self, name, words, limit, environment):
            dtype, mode, forwards, augment, turn = (words[words.index(f"--{flag}") + 1] for flag in ("dtype", "mode", "forwards", "augment", "hold"))
            end = min(self.end, time.monotonic() + limit)
            if (mode, forwards) != ("compile", "one"):
                self.together += mode == "graph"
                self.ready.append(self.together)
                time.sleep(0.02)
                self.together -= mode == "graph"
                pathlib.Path(f"{turn}.waits").touch()
                while time.monotonic() < end:
                    if turn.exists():
                        return session.Ended("exit", 0, 'AUTOTUNE\n{"num_choices": 2, "best_kernel": "addmm"}\n' + json.dumps({
                            "peer": "PyTorch", "dtype": dtype, "mode": mode, "forwards": forwards, "augment": augment, "seconds": 0.03,
                            "views_per_second": 1, "first_step_seconds": 1}), 1)
                    time.sleep(0.01)
            time.sleep(max(0, end - time.monotonic()))
            return session.Ended("cut", -9, "", 1)

    def test_one_that_compiles_for_too_long_costs_none_of_the_others(self):
        kept, peers.TIMING_SECONDS = peers.TIMING_SECONDS, 1
        self.addCleanup(setattr, peers, "TIMING_SECONDS", kept)
        with tempfile.TemporaryDirectory() as name:
            run = self.Session(pathlib.Path(name), 5)
            peers.peers(run)
        graphs = [f"step, {dtype}, graph, {passes}" for dtype in ("bf16", "fp16") for passes in ("two passes", "one pass")]
        augmented = [f"step, bf16, graph, two passes, augmentation by {source}" for source in ("torchvision", "gpu")]
        self.assertEqual(run.rows, [(step, "ok") for step in ["step, bf16, compile, two passes", *graphs, *augmented]] +
                         [("step: bf16 compile one none", "cut")])
        self.assertLessEqual(max(run.ready), 1, "two chose their convolutions at the same time")


class SideBySide(unittest.TestCase):
    """All curves train at once: together they leave a GPU no pause."""

    class Curve:
        def __init__(self, name, done, ended=None, meeting=None):
            self.name, self.epochs, self.ended, self.meeting = name, done, ended, meeting

        def done(self):
            return self.epochs

        def points(self):
            return {self.epochs: (1.5, None)}

        def train(self):
            self.meeting.wait(timeout=20)  # never over unless the others train meanwhile
            self.epochs = 10
            return self.ended

    def test_curves_that_are_not_done_train_together(self):
        said, tables = [], []
        clock = types.SimpleNamespace(table=lambda title, head, rows: tables.append(rows), say=lambda name, ended: said.append(name))
        meeting, ok, failed = threading.Barrier(2), session.Ended("exit", 0, "", 1), session.Ended("exit", 1, "no", 1)
        curves = [self.Curve("a", 0, ok, meeting), self.Curve("b", 4, failed, meeting), self.Curve("c", 10)]
        train.side_by_side(clock, curves, types.SimpleNamespace(epochs=10, arch="a", batch=4, dtype="f32"))
        self.assertEqual([c.epochs for c in curves], [10, 10, 10])
        self.assertEqual(said, ["training of b"])
        self.assertTrue(tables)

    def test_a_network_that_learns_less_than_the_peers_is_a_failure(self):
        curve = lambda name, **losses: types.SimpleNamespace(name=name, points=lambda: {int(e[1:]): (loss, None) for e, loss in losses.items()})
        peer = curve("PyTorch", e1=5.415, e5=4.709, e10=4.545)
        for ours, state, epoch in ((curve("dcl", e1=5.635, e5=5.117, e10=5.007), "failed", 10), (curve("dcl", e1=5.343, e5=4.720), "ok", 5),
                                   (curve("dcl", e1=5.635), "failed", 1)):
            rows = []
            train.compare(types.SimpleNamespace(row=lambda name, result, state, **figures: rows.append((name, state))), ours, peer)
            self.assertEqual(rows, [(f"mean loss of epoch {epoch}, dcl less PyTorch", state)])
        train.compare(None, curve("dcl"), peer)

    def test_a_line_that_is_being_written_is_left_out(self):
        self.assertEqual(parse.metrics("split,step\ntrain,1\ntrain,"), [{"split": "train", "step": 1}])


class Floor(unittest.TestCase):
    def test_counts_of_the_network(self):
        convs = floor.convolutions()
        self.assertEqual(len(convs), 53)
        self.assertEqual(sum(map(floor.weights_of, convs)), 23_447_232)  # 23,454,912 less a stem of 7x7 for one of 3x3
        self.assertAlmostEqual(sum(floor.flops_of(c, 1) for c in convs) / 2e9, 1.2978, delta=0.0001)

    def test_rates(self):
        step = lambda *more: floor.seconds(512, 790e12, 4.3e12, *more)
        self.assertTrue(0.013 < step() < 0.015, step())
        self.assertLess(step(True), step())
        self.assertAlmostEqual(floor.seconds(512, 790e15, 4.3e12) / floor.seconds(512, 790e15, 8.6e12), 2, delta=0.01)


if __name__ == "__main__":
    unittest.main()
