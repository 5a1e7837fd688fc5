#!/usr/bin/env python3
"""A long simulation that is interrupted says how far it came in one line, and ends with exit code 1."""
import pathlib
import signal
import subprocess
import sys
import time


def interrupt(process):
    """Sends SIGINT once the process has a handler for it."""
    status = pathlib.Path(f"/proc/{process.pid}/status")
    for _ in range(600):
        caught = [line.split()[1] for line in status.read_text().splitlines() if line.startswith("SigCgt:")]
        if caught and int(caught[0], 16) >> (signal.SIGINT - 1) & 1:
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)


def main():
    root = pathlib.Path(__file__).resolve().parent.parent.parent
    process = subprocess.Popen(
        [sys.argv[1], "simulate", "configs/plans/deepseek-v3.json", "--fold", "off", "--set", "plan.gpus=8192", "--set",
         "cluster.gpus=8192", "--set", "plan.global_batch=61440"],
        cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    interrupt(process)
    out, err = process.communicate(timeout=300)
    lines = [line for line in err.splitlines() if not line.startswith("every GPU one by one")]
    good = process.returncode == 1 and out == "" and len(lines) == 1 and "interrupted after" in lines[0]
    print(f"exit code {process.returncode}, {err!r}\n{1 if good else 0} passed, {0 if good else 1} failed")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
