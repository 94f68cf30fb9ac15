"""The files that come back: gpu-check.json (everything), gpu-check.md (for docs/performance.md), logs.tar.gz."""

import json
import os
import pathlib
import tarfile

MOST_LOG = 400_000  # bytes of a log that are kept, its end
WORDS = {"ok": "", "failed": "**FAILED**: ", "skipped": "skipped: ", "cut": "not measured: "}


def replace(path, text):
    """Complete or as it was: this process may be killed at any time."""
    beside = path.with_name(path.name + ".new")
    beside.write_text(text)
    os.replace(beside, path)


def record(session):
    return {**session.head, "rows": session.rows, "tables": session.tables}


def write(session):
    replace(session.out / "gpu-check.json", json.dumps(record(session), indent=1) + "\n")
    replace(session.out / "gpu-check.md", markdown([record(session)]))


def write_logs(session):
    beside = session.out / "logs.tar.gz.new"
    with tarfile.open(beside, "w:gz", compresslevel=6) as archive:
        for log in sorted(session.logs.iterdir()):
            if log.stat().st_size > MOST_LOG:
                with open(log, "rb+") as file:
                    file.seek(-MOST_LOG, os.SEEK_END)
                    end = file.read()
                log.write_bytes(end)
            archive.add(log, "logs/" + log.name)
    os.replace(beside, session.out / "logs.tar.gz")


def cell(text):
    return str(text).replace("|", "\\|").replace("\n", " ")


def lines_of(head, rows):
    yield "| " + " | ".join(map(cell, head)) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(map(cell, row)) + " |"


def markdown(records):
    """One document of the records of several runs: sections in their order, later runs of a row in place of earlier ones."""
    heads, sections = [], {}
    for data in records:
        heads.append(
            f"{data['date']}, commit {data['commit']}, {data.get('gpu', data['device'])}, {data['cores']} cores, "
            f"Python {data['python']}"
        )
        for row in data["rows"]:
            part = sections.setdefault(row["section"], ({}, {}))
            part[0][row["name"]] = (row["name"], WORDS[row["state"]] + row["result"])
        for table in data["tables"]:
            sections.setdefault(table["section"], ({}, {}))[1][table["title"]] = table
    text = ["Runs of `gpu-check`:", ""] + [f"* {head}" for head in dict.fromkeys(heads)]
    for name, (rows, tables) in sections.items():
        text += ["", f"### {name}", ""]
        if rows:
            text += lines_of(("what", "result"), rows.values())
        for table in tables.values():
            text += ["", table["title"] + ":", ""] + list(lines_of(table["head"], table["rows"]))
    return "\n".join(text) + "\n"


def merge(args):
    records = [json.loads(pathlib.Path(file).read_text()) for file in args.files]
    print(markdown(records), end="")
