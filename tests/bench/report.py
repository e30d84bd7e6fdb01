#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
The tables of docs/benchmarks.md, out of the raw figures that bench.py wrote.

  report.py write DOC JSON   puts the tables of JSON between DOC's markers, JSON itself beside DOC
  report.py check DOC        fails unless what stands there is what its JSON gives
  report.py print JSON       to standard output

Beside DOC is in its folder bench/, as DATE-COMMIT.json; DOC's first marker names it.
"""
import json
import pathlib
import re
import statistics
import sys

BEGIN = re.compile(r"<!-- begin: made by tests/bench/report\.py from bench/([\w.-]+) -->\n")
END = "<!-- end -->\n"


def median(values):
    return statistics.median(values)


def p99(values):
    return sorted(values)[max(0, -(-len(values) * 99 // 100) - 1)]


def time_text(ns):
    """Three significant digits, at least one of them before the point's unit changes."""
    for limit, unit, name in ((1e3, 1, "ns"), (1e6, 1e3, "µs"), (1e9, 1e6, "ms"), (float("inf"), 1e9, "s")):
        value = float(f"{ns / unit:.3g}")
        if value * unit < limit:
            digits = 0 if value >= 100 else 1 if value >= 10 else 2
            return f"{value:.{digits}f} {name}"
    raise AssertionError(ns)


def bytes_text(n):
    return f"{n} B" if n < 1024 else f"{n / 1024:.1f} KiB"


def ratio_text(ratio):
    return f"{ratio:.0f}" if ratio >= 99.5 else f"{ratio:.3g}"


def figures(row, who):
    """Median and 99th percentile as text; a size has no percentile."""
    if f"{who}_bytes" in row:
        return bytes_text(row[f"{who}_bytes"]), ""
    return time_text(row[f"{who}_ns"]), time_text(row[f"{who}_p99_ns"])


def name_of(name, param, config):
    return f"{name} {param}" + (f", {config}" if config else "")


def table(headers, rows):
    yield "| " + " | ".join(headers) + " |"
    yield "|" + "---|" * len(headers)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def operation(row):
    cells = [name_of(row["name"], row["param"], row["config"]), *figures(row, "guest")]
    if "against" in row:
        side = {"linux": "Linux: ", "linux, mimalloc": "mimalloc: ", "guest": ""}[row["against_side"]]
        config = row["against_config"] if row["against_side"] == "guest" else ""
        cells += [side + name_of(row["against"], row["against_param"], config),
                  *figures(row, "base" if row["against_side"] == "guest" else "linux"), ratio_text(row["ratio"])]
    else:
        cells += ["", "", "", ""]
    target = row.get("target")
    met = f"≤ {target:g}, " + ("met" if row["ratio"] <= target else "**missed**") if target and "ratio" in row else ""
    return cells + [met]


def operations(accel, report):
    native = accel != "tcg"  # Linux is; translated code is not held to targets beside it
    yield f"### Operations, {accel.upper()}, {report['cpus']} vCPUs, {report['rounds']} rounds"
    yield ""
    headers = ["guest", "median", "p99", "against", "median", "p99", "ratio", "target"]
    yield from table(headers if native else headers[:-1],
                     (operation(row)[:None if native else -1] for row in report["rows"] if row["family"] != "scale"))
    yield f"### Among few and among many, {accel.upper()}"
    yield ""
    yield from table(headers[:-1], (operation(row)[:-1] for row in report["rows"] if row["family"] == "scale"))
    if report["absent"]:
        yield "Not measured: " + "; ".join(
            f"{name_of(row['name'], row['param'], row['config'])} ({row['side']}: {row['why']})"
            for row in report["absent"]) + "."
        yield ""


def compared(report):
    yield "### What is really compared"
    yield ""
    pairs = {}  # who is compared, by what that means
    for row in report["rows"]:
        who = row["name"] + (f" / {row['against']}" if row.get("against", row["name"]) != row["name"] else "")
        pairs.setdefault(row["what"], {})[who] = True
    for what, names in pairs.items():
        yield f"- **{', '.join(names)}**: {what}."
    yield ""


def start_and_swap(result):
    boot, swap, call = result["boot"], result["swap"], result["call"]
    yield f"### Start, call and swap, {result['accel'].upper()}"
    yield ""
    rows = [["exec of theseus-vmm to ready, 2 vCPUs, 128 MiB", time_text(median(boot["theseus"])),
             time_text(p99(boot["theseus"])), "QEMU microvm, first byte of a trivial kernel",
             time_text(median(boot["qemu_microvm_first_byte"])), ratio_text(boot["ratio"])]]
    if call["linked_ns"]:
        linked, direct = median(call["linked_ns"]), median(call["direct_ns"])
        rows.append(["call to greeter through the loader's links", time_text(linked), "", "direct call",
                     time_text(direct), ratio_text(linked / direct)])
    rows.append(["theseus-vmm resident beyond guest RAM", f"{result['resident_bytes'] / 2**20:.2f} MiB", "", "", "", ""])
    for key, what in (("wall_ns", "swap of greeter, push to done, as the operator sees it"),
                      ("guest_total_ns", "swap of greeter, guest time (stage and swap)"),
                      ("pause_ns", "pause within the swap"), ("quiesce_ns", "parking the other CPU")):
        rows.append([what, time_text(median(swap[key])), time_text(p99(swap[key])), "", "", ""])
    yield from table(["what", "median", "p99", "against", "median", "ratio"], rows)
    rows = []
    for side, zero in (("vmm", "exec"), ("guest", "first instruction")):
        before = 0
        for mark in result["marks"][side]:
            if mark["at_ns"] - before >= 200_000:
                rows.append([f"{side}: {mark['name']}", time_text(mark["at_ns"] - before),
                             f"{zero} + {time_text(mark['at_ns'])}"])
            before = mark["at_ns"]
    yield from table(["where the start goes (one run; steps of 0.2 ms and more)", "took", "done at"], rows)


def report(result):
    """All tables as Markdown."""
    lines = [f"{result['machine']}, {result['date']}, commit {result['commit']}, seed {result['seed']}", ""]
    for accel, measured in result["operations"].items():
        lines += operations(accel, measured)
    for measured in list(result["operations"].values())[:1]:
        lines += compared(measured)
    if "boot" in result:
        lines += start_and_swap(result)
    return "\n".join(lines) + "\n"


def split(doc):
    """What stands before the tables, the name of their JSON, the tables, what comes after."""
    text = doc.read_text(encoding="utf-8")
    begin = BEGIN.search(text)
    end = text.find(END, begin.end()) if begin else -1
    if end < 0:
        sys.exit(f"{doc}: the markers are missing")
    return text[:begin.start()], begin[1], text[begin.end():end], text[end + len(END):]


def load(path):
    return json.loads(path.read_text(encoding="utf-8"))


def write(doc, source):
    before, old, _, after = split(doc)
    result = load(source)
    name = f"{result['date']}-{result['commit'].replace(' ', '-')}.json"
    kept = doc.parent / "bench" / name
    if kept.resolve() != source.resolve():
        kept.write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    if old != name:
        (doc.parent / "bench" / old).unlink(missing_ok=True)
    begin = f"<!-- begin: made by tests/bench/report.py from bench/{name} -->\n"
    doc.write_text(before + begin + report(result) + END + after, encoding="utf-8")


def check(doc):
    _, name, tables, _ = split(doc)
    if tables != report(load(doc.parent / "bench" / name)):
        sys.exit(f"{doc}: its tables are not those of bench/{name}; run tests/bench/report.py write")
    print(f"{doc.name} shows bench/{name}")


def main():
    verb, *paths = sys.argv[1:] or [""]
    paths = [pathlib.Path(path) for path in paths]
    if verb == "write" and len(paths) == 2:
        write(*paths)
    elif verb == "check" and len(paths) == 1:
        check(*paths)
    elif verb == "print" and len(paths) == 1:
        print(report(load(paths[0])), end="")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
