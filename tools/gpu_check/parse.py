"""What programs print, as data: GoogleTest, compute-sanitizer, DCL_PROFILE, Nsight Compute, lines of JSON."""

import csv
import json
import re
import statistics

ENDED = re.compile(r"^\[ +(OK|SKIPPED|FAILED) +\] ([^\s,]+).*\(\d+ ms\)$")
STARTED = re.compile(r"^\[ RUN +\] (\S+)$")
WHERE = re.compile(r"^(?:\S*/)?([\w.-]+:\d+|unknown file): (?:Failure|Skipped)$")


class TestRun:
    """The tests of one program's output: names by how they ended, and the first failure of each that failed."""

    def __init__(self, output):
        self.passed, self.skipped, self.failed = [], [], []
        self.failures = {}  # name -> (file:line, text)
        self.unfinished = None  # the test that ran when the output ended
        lines = []
        for line in output.splitlines():
            if started := STARTED.match(line):
                self.unfinished, lines = started[1], []
            elif ended := ENDED.match(line):
                if ended[2] != self.unfinished:
                    continue  # the list at the end
                {"OK": self.passed, "SKIPPED": self.skipped, "FAILED": self.failed}[ended[1]].append(ended[2])
                if ended[1] == "FAILED":
                    self.failures[ended[2]] = first_failure(lines)
                self.unfinished = None
            elif self.unfinished:
                lines.append(line)
        self.rest = lines if self.unfinished else []


def first_failure(lines, most=200):
    """(file:line, the first lines after it on one line) of what a failed test printed."""
    for i, line in enumerate(lines):
        if at := WHERE.match(line):
            text = []
            for more in lines[i + 1 :]:
                if WHERE.match(more) or len(text) == 6:
                    break
                if more.strip():
                    text.append(more.strip())
            return at[1], " / ".join(text)[:most]
    return "", " / ".join(line.strip() for line in lines if line.strip())[:most]


def listed_tests(output):
    """Full names in the output of --gtest_list_tests."""
    names, suite = [], ""
    for line in output.splitlines():
        word = line.split("#")[0].rstrip()
        if re.fullmatch(r"[\w/]+\.", word):
            suite = word
        elif suite and re.fullmatch(r"  \S+", word):
            names.append(suite + word.strip())
    return names


def sanitizer_verdict(output):
    """(errors, summary) of compute-sanitizer's report; errors is None when it holds no verdict."""
    found = re.findall(r"^=+ (ERROR SUMMARY|RACECHECK SUMMARY): (.*)$", output, re.MULTILINE)
    if not found:
        return None, ""
    errors, words = 0, []
    for kind, text in found:
        count = int(text.split()[0])
        words.append(text.strip())
        errors += count
    return errors, "; ".join(words)


def first_finding(output):
    """The first error of compute-sanitizer's report, without its prefix, with the kernel it is in."""
    lines = [re.sub(r"^=+ ?", "", line).strip() for line in output.splitlines() if line.startswith("=")]
    for i, line in enumerate(lines):
        if re.match(
            r"(Error|Warning|Internal|Invalid|Barrier|Program hit|Out-of-range|Misaligned|Uninitialized|Race|Potential)",
            line,
        ):
            return " / ".join(part for part in lines[i : i + 3] if part)[:240]
    return ""


def profile_rows(output):
    """[(op, calls, seconds, percent)] of the table that DCL_PROFILE prints."""
    found = re.findall(r"^(\S.*?) +(\d+) calls +([\d.]+) s +([\d.]+) %$", output, re.MULTILINE)
    return [(op.strip(), int(calls), float(seconds), float(percent)) for op, calls, seconds, percent in found]


def slow_convolutions(output, least=0.05):
    """[(convolution and pass, its GFLOP/s, the median of that pass)] of what conv_bench prints, where it is far below."""
    rates = {}
    for what, passes in re.findall(r"^(c\d+ k\d+ .*?) +x\d+ \| (.*) GFLOP/s$", output, re.MULTILINE):
        for name, rate in re.findall(r"(\w+) (\d+)", passes):
            rates.setdefault(name, []).append((what, int(rate)))
    medians = {name: statistics.median(rate for _, rate in some) for name, some in rates.items()}
    return [
        (f"{what} {name}", rate, medians[name])
        for name, some in rates.items()
        for what, rate in some
        if rate < least * medians[name]
    ]


NANOSECONDS = {"nsecond": 1, "ns": 1, "usecond": 1e3, "us": 1e3, "msecond": 1e6, "ms": 1e6, "second": 1e9, "s": 1e9}
# Few, so that a kernel need not be run several times, its memory saved and restored in between.
DURATION, DRAM, BYTES = (
    "gpu__time_duration.sum",
    "dram__throughput.avg.pct_of_peak_sustained_elapsed",
    "dram__bytes.sum",
)


def number(text):
    try:
        return float(text.replace(",", ""))
    except (ValueError, AttributeError):
        return None  # "n/a"


def ncu_launches(text):
    """[{"name", metric: value}] for every profiled launch; times in ns. Reads --csv with one metric a line, and --page raw."""
    lines = [line for line in text.splitlines() if line.startswith('"')]
    rows = list(csv.DictReader(lines))
    if not rows:
        return []
    launches = {}
    if "Metric Name" in rows[0]:
        for row in rows:
            value = number(row["Metric Value"])
            if value is not None:
                value *= NANOSECONDS.get(row["Metric Unit"], 1) if row["Metric Name"] == DURATION else 1
                launches.setdefault(row["ID"], {"name": row["Kernel Name"]})[row["Metric Name"]] = value
    else:
        units = rows.pop(0) if not rows[0].get("ID") else {}
        for row in rows:
            launch = launches[row["ID"]] = {"name": row["Kernel Name"]}
            for metric in (DURATION, DRAM, BYTES):
                if (value := number(row.get(metric))) is not None:
                    launch[metric] = value * (NANOSECONDS.get(units.get(metric), 1) if metric == DURATION else 1)
    return [launch for launch in launches.values() if DURATION in launch]


def short_kernel_name(name, most=70):
    """Without parameters, return type and our namespaces."""
    depth, cut = 0, len(name)
    for i, c in enumerate(name):
        depth += (c == "<") - (c == ">")
        if c == "(" and depth == 0 and not name.startswith("(anonymous", i):
            cut = i
            break
    name = re.sub(r"^(void|static) ", "", name[:cut])
    name = (
        name.replace("(anonymous namespace)::", "")
        .replace("<unnamed>::", "")
        .replace("dcl::cuda::", "")
        .replace("dcl::", "")
    )
    return name if len(name) <= most else name[: most - 1] + "…"


def kernels_of(launches):
    """Launches by kernel, the longest time first: name, calls, ns, share in percent, DRAM's percent weighted by time, its bytes."""
    total = sum(launch[DURATION] for launch in launches)
    groups = {}
    for launch in launches:
        groups.setdefault(short_kernel_name(launch["name"]), []).append(launch)
    kernels = []
    for name, group in groups.items():
        time = sum(launch[DURATION] for launch in group)
        dram = sum(launch.get(DRAM, 0) * launch[DURATION] for launch in group) / time if time else 0
        kernels.append(
            {
                "name": name,
                "calls": len(group),
                "ns": time,
                "percent": 100 * time / total if total else 0,
                "dram_percent": dram,
                "bytes": sum(launch.get(BYTES, 0) for launch in group),
            }
        )
    return sorted(kernels, key=lambda k: -k["ns"])


def json_lines(output):
    """The objects on lines of their own; a line that was cut off is left out."""
    found = []
    for line in output.splitlines():
        if line.startswith("{"):
            try:
                found.append(json.loads(line))
            except ValueError:
                pass
    return found


def metrics(text):
    """Rows of a run's metrics.csv, numbers as numbers, without empty fields; without a line that is still being written."""
    convert = lambda value: value if number(value) is None else number(value)
    return [
        {k: convert(v) for k, v in row.items() if k and v}
        for row in csv.DictReader(text[: text.rfind("\n") + 1].splitlines())
    ]
