#!/usr/bin/env python3
"""Checks the house rules: data flows down the list of rooms and includes point up it, sub-rooms included; no two files
need each other (x.h together with x.cpp counts as one); headers begin with #pragma once."""
import pathlib
import re
import sys

# A room, and the rooms above it whose headers it may include. A room not named here may not exist.
BELOW_MODEL = ["base", "model/ops"]
HARDWARE = ["hardware", "hardware/network", "hardware/measure"]
TRAINING = BELOW_MODEL + ["model", "hardware", "hardware/network", "schedules", "sim/engine"]
PLANNER = TRAINING + ["sim/training", "sim/training/fast"]
KERNELS = ["kernels/math", "kernels/bench", "kernels/run"]
MAY_INCLUDE = {
    "base": [],
    "model/ops": ["base"],
    "model": BELOW_MODEL,
    "hardware": BELOW_MODEL,
    "hardware/network": BELOW_MODEL + ["hardware"],
    "hardware/measure": BELOW_MODEL + ["hardware", "hardware/network"],
    "schedules": ["base"],
    "sim/engine": ["base"],
    "sim/training": TRAINING,
    "sim/training/fast": TRAINING + ["sim/training"],
    "sim/serving": BELOW_MODEL + ["model", "hardware", "hardware/network", "sim/engine"],
    "planner/budget": PLANNER,
    "planner/validation": PLANNER + ["hardware/measure", "planner/budget"],
    "planner/compare": PLANNER + ["planner/budget"],
    "planner/search": PLANNER + ["planner/validation"],
    "planner/convert": PLANNER + ["planner/search"],
    # The kernels are the truth that hardware/ is fitted to: they know its samples and nothing else of it.
    "kernels/math": BELOW_MODEL,
    "kernels/bench": BELOW_MODEL + ["hardware/measure", "kernels/math"],
    "kernels/run": BELOW_MODEL + ["schedules", "kernels/math"],
    "kernels/cuda": BELOW_MODEL + ["hardware/measure", "kernels/math", "kernels/bench"],
    "kernels/nccl": BELOW_MODEL + ["hardware/measure", "kernels/math", "kernels/bench", "kernels/cuda"],
}
EVERY_ROOM = list(MAY_INCLUDE)
MAY_INCLUDE["reports"] = EVERY_ROOM
MAY_INCLUDE["cli"] = EVERY_ROOM + ["reports"]
# Headers that price, generate or simulate: reports read results.
COMPUTES = {"hardware/price.h", "schedules/catalogue.h", "schedules/generators.h", "sim/training/operator_table.h",
            "sim/training/simulate.h", "sim/training/fast/simulate_plan.h",
            "sim/training/fast/fast_step.h"}
ONLY = {("kernels/bench", "hardware/measure"): "samples.h", ("kernels/nccl", "hardware/measure"): "samples.h"}

root = pathlib.Path(__file__).resolve().parent.parent
faults = []
needs = {}  # file without its ending -> {the same of what it includes: where}


def check_line(path, number, line):
    found = re.match(r'\s*#include "(([^"]+)/([^"/]+))"', line)
    if not found:
        return
    where = f"{path.relative_to(root)}:{number}"
    room, other = str(path.parent.relative_to(root)), found[2]
    if other != room and other not in MAY_INCLUDE[room]:
        faults.append(f"{where}: {room}/ may not include {other}/")
    if room == "reports" and found[1] in COMPUTES:
        faults.append(f"{where}: reports/ compute nothing and may not include {found[1]}")
    if ONLY.get((room, other), found[3]) != found[3]:
        faults.append(f"{where}: {room}/ uses only {other}/{ONLY[room, other]}")
    needs.setdefault(str(path.relative_to(root).with_suffix("")), {}).setdefault(found[1].rsplit(".", 1)[0], where)


def circles():
    """Sets of files that need each other (Tarjan 1972), smallest names first."""
    index, low, stack, found = {}, {}, [], []

    def visit(file):
        index[file] = low[file] = len(index)
        stack.append(file)
        for other in needs.get(file, {}):
            if other not in index:
                visit(other)
            if other in stack:
                low[file] = min(low[file], low[other])
        if low[file] == index[file]:
            circle = stack[stack.index(file):]
            del stack[stack.index(file):]
            if len(circle) > 1:
                found.append(sorted(circle))

    for file in sorted(needs):
        if file not in index:
            visit(file)
    return sorted(found)


for top in sorted({room.split("/")[0] for room in MAY_INCLUDE}):
    for path in sorted((root / top).rglob("*")):
        if path.suffix not in (".h", ".cpp", ".cu", ".cuh"):
            continue
        if str(path.parent.relative_to(root)) not in MAY_INCLUDE:
            faults.append(f"{path.relative_to(root)}: there is no such room (tools/check_includes.py lists them)")
            continue
        text = path.read_text()
        for number, line in enumerate(text.splitlines(), 1):
            check_line(path, number, line)
        if path.suffix == ".h" and not text.startswith("#pragma once"):
            faults.append(f"{path.relative_to(root)}: starts without #pragma once")
sys.setrecursionlimit(10000)
for circle in circles():
    needed = [where for file in circle for other, where in sorted(needs[file].items()) if other in circle and other != file]
    faults.append(f"{', '.join(circle)} need each other: {', '.join(needed)}")
print("\n".join(faults) if faults else "includes: no fault")
sys.exit(1 if faults else 0)
