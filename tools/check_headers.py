#!/usr/bin/env python3
"""Checks that every header compiles alone: each is the only include of a translation unit."""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

root = pathlib.Path(__file__).resolve().parent.parent
build = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else root / "build/release")
rooms = ["base", "model", "hardware", "schedules", "sim", "planner", "reports", "kernels", "cli"]
headers = sorted(h for room in rooms for h in (root / room).rglob("*.h") if "cuda" not in h.parts and "nccl" not in h.parts)
compiled = (build / "compile_commands.json").read_text() if (build / "compile_commands.json").exists() else ""
libraries = [word for folder in sorted(set(re.findall(r"-isystem (\S+)", compiled))) for word in ("-isystem", folder)]
launcher = ["ccache"] if subprocess.run(["which", "ccache"], capture_output=True).returncode == 0 else []


def compile_alone(header):
    unit = build / "headers" / (str(header.relative_to(root)).replace("/", "_") + ".cpp")
    unit.parent.mkdir(parents=True, exist_ok=True)
    text = f'#include "{header.relative_to(root)}"\n'
    if not unit.exists() or unit.read_text() != text:
        unit.write_text(text)
    command = launcher + ["g++", "-std=c++20", "-Wall", "-Wextra", "-Werror", "-I", str(root), "-I", str(build / "generated")]
    command += libraries + ["-c", str(unit), "-o", str(unit.with_suffix(".o"))]
    return header, subprocess.run(command, capture_output=True, text=True)


faults = 0
with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    for header, done in pool.map(compile_alone, headers):
        if done.returncode != 0:
            print(f"{header.relative_to(root)} does not compile alone:\n{done.stderr}")
            faults += 1
sys.exit(1 if faults else 0)
