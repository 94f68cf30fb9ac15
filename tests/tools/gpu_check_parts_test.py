"""The parts of tools/gpu-check: what it makes of what tools print, of peers that get ready side by side, and the floor."""

import json
import pathlib
import sys
import tempfile
import threading
import time
import types
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))

from gpu_check import floor, parse, report, session  # noqa: E402
from gpu_check.sections import peers, speed, train  # noqa: E402


class Parsing(unittest.TestCase):
    def test_profile_table(self):
        self.assertEqual(
            parse.profile_rows(
                "noise\nconv_forward                    12 calls     1.500000 s  75.00 %\n"
                "adam                             3 calls     0.500000 s  25.00 %\n"
            ),
            [("conv_forward", 12, 1.5, 75.0), ("adam", 3, 0.5, 25.0)],
        )

    def test_ncu_pages(self):
        wide = (
            '"ID","Kernel Name","gpu__time_duration.sum","dram__throughput.avg.pct_of_peak_sustained_elapsed"\n"","","nsecond","%"\n'
            '"0","a(int)","2,000","50"\n"1","a(int)","2,000","n/a"\n'
        )
        kernels = parse.kernels_of(parse.ncu_launches(wide))
        self.assertEqual([(k["name"], k["calls"], k["ns"], k["dram_percent"]) for k in kernels], [("a", 2, 4000, 25)])
        self.assertEqual(parse.ncu_launches("==ERROR== nothing was profiled\n"), [])

    def test_lines_of_json_that_are_cut_off_are_left_out(self):
        self.assertEqual(parse.json_lines('warning\n{"a": 1}\n{"b": 2'), [{"a": 1}])

    def test_convolutions_far_below_the_others_are_found(self):
        lines = [
            f"c{c} k64 h32 r1 stride1           x1 | forward {20000 + c} | data {data} | filter 9000 GFLOP/s"
            for c, data in ((64, 15000), (128, 490), (256, 18000), (512, 14000))
        ]
        self.assertEqual(
            parse.slow_convolutions("\n".join(lines) + "\nforward  0.04333 s\n"),
            [("c128 k64 h32 r1 stride1 data", 490, 14500)],
        )
        self.assertEqual(parse.slow_convolutions(""), [])

    def test_sanitizer_without_a_verdict(self):
        self.assertEqual(parse.sanitizer_verdict("========= Error: something")[0], None)

    def test_a_fault_of_the_sanitizer_is_told_as_one(self):
        report = (
            "========= COMPUTE-SANITIZER\nstep 1\n========= Internal Sanitizer Error: The Sanitizer failed to handle a hardware exception.\n"
            "========= \n========= RACECHECK SUMMARY: 1 hazard displayed (1 error, 0 warnings)\n"
        )
        self.assertEqual(parse.sanitizer_verdict(report)[0], 1)
        self.assertTrue(parse.first_finding(report).startswith("Internal Sanitizer Error: The Sanitizer failed"))

    def test_later_runs_take_the_place_of_earlier_rows(self):
        head = {"date": "today", "commit": "a", "device": "cuda", "cores": 16, "python": "3"}
        row = {"section": "ours", "name": "step", "state": "ok"}
        text = report.markdown(
            [
                {**head, "tables": [], "rows": [{**row, "result": "20 ms"}]},
                {**head, "tables": [], "rows": [{**row, "result": "15 | ms"}]},
            ]
        )
        self.assertIn("| step | 15 \\| ms |", text)
        self.assertNotIn("20 ms", text)


class Benchmarks(unittest.TestCase):
    def test_what_a_backend_says_of_its_convolutions_is_told(self):
        output = (
            "engine 78 of cuDNN gives wrong results for backward_data add: passed over, wherever it does\n"
            "no engine runs forward n8 f32: the slow reference kernel serves it\n"
            "cuDNN's best engine for forward n8 f32 residual takes 2.000 ms, the convolution and a pass 1.000 ms: taken in two passes, as others like it\n"
        )
        with tempfile.TemporaryDirectory() as name:
            folder, rows = pathlib.Path(name), []

            def run(name, words, limit):
                figures = {
                    "benchmarks": [
                        {
                            "name": "training_step/bf16/256/32/min_time:6.000/real_time",
                            "real_time": 0.018,
                            "time_unit": "s",
                        }
                    ]
                }
                pathlib.Path(next(w for w in words if str(w).startswith("--benchmark_out=")).split("=")[1]).write_text(
                    json.dumps(figures)
                )
                return session.Ended("exit", 0, output, 1)

            clock = types.SimpleNamespace(
                state=folder,
                run=run,
                row=lambda name, result, state="ok", **figures: rows.append((name, result[:12], state)),
            )
            figures = speed.benchmark(clock, "bench", "training_step/bf16", 60, flags=["--more"])
        self.assertEqual(list(figures), ["training_step/bf16/256/32"])
        self.assertEqual(
            rows,
            [
                ("bench training_step/bf16: engines passed over", "1, such as: ", "ok"),
                ("bench training_step/bf16: convolutions without an engine", "1, such as: ", "failed"),
                ("bench training_step/bf16: convolutions in two passes", "1, such as: ", "ok"),
                ("training_step/bf16/256/32", "0.018 s", "ok"),
            ],
        )


class Peers(unittest.TestCase):
    """Steps that get ready in the background, of which one does not get to its end."""

    class Session:
        cuda, python_environment = True, {}
        wants = session.Session.wants

        def __init__(self, state, seconds, programs=""):
            self.options = types.SimpleNamespace(programs=programs)
            self.state, self.end, self.rows = state, time.monotonic() + seconds, []
            self.ready, self.together, self.timed = [], 0, []

        def left(self):
            return self.end - time.monotonic()

        def row(self, name, result, state="ok", **figures):
            self.rows.append((name, state))

        def say(self, name, ended):
            self.rows.append((name, ended.state))

        def run(self, name, words, limit, environment):
            dtype, mode, forwards, augment, turn = (
                words[words.index(f"--{flag}") + 1] for flag in ("dtype", "mode", "forwards", "augment", "hold")
            )
            end = min(self.end, time.monotonic() + limit)
            if (mode, forwards) != ("compile", "one"):
                self.together += mode == "graph"
                self.ready.append(self.together)
                time.sleep(0.02)
                self.together -= mode == "graph"
                pathlib.Path(f"{turn}.waits").touch()
                while time.monotonic() < end:
                    if turn.exists():
                        return session.Ended(
                            "exit",
                            0,
                            'AUTOTUNE\n{"num_choices": 2, "best_kernel": "addmm"}\n'
                            + json.dumps(
                                {
                                    "peer": "PyTorch",
                                    "dtype": dtype,
                                    "mode": mode,
                                    "forwards": forwards,
                                    "augment": augment,
                                    "seconds": 0.03,
                                    "views_per_second": 1,
                                    "first_step_seconds": 1,
                                }
                            ),
                            1,
                        )
                    time.sleep(0.01)
            time.sleep(max(0, end - time.monotonic()))
            return session.Ended("cut", -9, "", 1)

    def test_one_that_compiles_for_too_long_costs_none_of_the_others(self):
        kept, peers.TIMING_SECONDS = peers.TIMING_SECONDS, 1
        self.addCleanup(setattr, peers, "TIMING_SECONDS", kept)
        with tempfile.TemporaryDirectory() as name:
            run = self.Session(pathlib.Path(name), 5)
            peers.peers(run)
        graphs = [
            f"step, {dtype}, graph, {passes}" for dtype in ("bf16", "fp16") for passes in ("two passes", "one pass")
        ]
        augmented = [f"step, bf16, graph, two passes, augmentation by {source}" for source in ("torchvision", "gpu")]
        wide = [f"step, {dtype}, graph, two passes" for dtype in ("tf32", "f32")]
        self.assertEqual(
            run.rows,
            [(step, "ok") for step in ["step, bf16, compile, two passes", *graphs, *augmented, *wide]]
            + [("step: bf16 compile one none", "cut")],
        )
        self.assertLessEqual(max(run.ready), 1, "two chose their convolutions at the same time")

    def test_those_that_are_asked_for(self):
        with tempfile.TemporaryDirectory() as name:
            run = self.Session(pathlib.Path(name), 5, "fp16,compile two")
            peers.peers(run)
        self.assertEqual([step for step, _ in run.rows if "fp16" not in step], ["step, bf16, compile, two passes"])
        self.assertEqual(len(run.rows), 3)


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
        clock = types.SimpleNamespace(
            table=lambda title, head, rows: tables.append(rows), say=lambda name, ended: said.append(name)
        )
        meeting, ok, failed = threading.Barrier(2), session.Ended("exit", 0, "", 1), session.Ended("exit", 1, "no", 1)
        curves = [self.Curve("a", 0, ok, meeting), self.Curve("b", 4, failed, meeting), self.Curve("c", 10)]
        train.side_by_side(clock, curves, types.SimpleNamespace(epochs=10, arch="a", batch=4, dtype="f32"))
        self.assertEqual([c.epochs for c in curves], [10, 10, 10])
        self.assertEqual(said, ["training of b"])
        self.assertTrue(tables)

    def test_a_network_that_learns_less_than_the_peers_is_a_failure(self):
        curve = lambda name, **losses: types.SimpleNamespace(
            name=name, points=lambda: {int(e[1:]): (loss, None) for e, loss in losses.items()}
        )
        peer = curve("PyTorch", e1=5.415, e5=4.709, e10=4.545)
        for ours, state, epoch in (
            (curve("dcl", e1=5.635, e5=5.117, e10=5.007), "failed", 10),
            (curve("dcl", e1=5.343, e5=4.720), "ok", 5),
            (curve("dcl", e1=5.635), "failed", 1),
        ):
            rows = []
            train.compare(
                types.SimpleNamespace(row=lambda name, result, state, **figures: rows.append((name, state))), ours, peer
            )
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
