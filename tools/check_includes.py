#!/usr/bin/env python3
"""Checks the house rule: data flows down the list of folders, includes point up it."""
import pathlib
import re
import sys

MAY_INCLUDE = {
    "base": [],
    "model": ["base"],
    "hardware": ["base"],
    "schedules": ["base"],
    "sim": ["base", "model", "hardware", "schedules"],
    "planner": ["base", "model", "hardware", "schedules", "sim"],
    "kernels": ["base", "model", "hardware", "schedules"],
    "reports": ["base", "model", "hardware", "schedules", "sim", "planner", "kernels"],
    "cli": ["base", "model", "hardware", "schedules", "sim", "planner", "reports", "kernels"],
}
root = pathlib.Path(__file__).resolve().parent.parent
faults = 0
for room, allowed in MAY_INCLUDE.items():
    for path in sorted((root / room).rglob("*")):
        if path.suffix not in (".h", ".cpp", ".cu", ".cuh"):
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            found = re.match(r'\s*#include "([^"/]+)/', line)
            if found and found[1] != room and found[1] not in allowed:
                print(f"{path.relative_to(root)}:{number}: {room}/ may not include {found[1]}/")
                faults += 1
            # The kernels are the truth that hardware/ is fitted to: they know its samples and nothing else of it.
            if room == "kernels" and re.match(r'\s*#include "(hardware/(?!samples\.h)|model/(?!operators\.h))', line):
                print(f"{path.relative_to(root)}:{number}: kernels/ uses only hardware/samples.h and model/operators.h")
                faults += 1
        if path.suffix == ".h" and not path.read_text().startswith("#pragma once"):
            print(f"{path.relative_to(root)}: starts without #pragma once")
            faults += 1
sys.exit(1 if faults else 0)
