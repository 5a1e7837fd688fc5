#!/usr/bin/env python3
"""The loop closed on this machine, from the binary: measure its kernels, fit a profile to them, predict kernels and whole
layers that the fit did not see, and validate.

Speed is not tested: the machine may be busy. What is tested is that every link of the chain holds, and that predictions
are of the right size: each is compared with what the same run measured, as a ratio, with a bound that only a broken
chain exceeds. How near they are on a quiet machine is in docs/cpu_loop.md.
"""
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

from interrupt import interrupt

program = sys.argv[1]
root = pathlib.Path(__file__).resolve().parent.parent.parent
folder = pathlib.Path(tempfile.mkdtemp(prefix="hourglass-loop-"))
faults = 0


def expect(holds, what):
    global faults
    if not holds:
        faults += 1
        print("fault:", what)


def run(*arguments, code=0):
    done = subprocess.run([program, *map(str, arguments)], cwd=folder, capture_output=True, text=True, timeout=500)
    expect(done.returncode == code, f"{arguments[0]}: exit code {done.returncode}: {done.stderr.strip()[:500]}")
    return done.stdout


def cases(name, gemms, lengths, rows):
    """A suite of a few small cases: one thread and milliseconds, so that a busy machine leaves some runs alone."""
    every = ["forward", "input_gradient", "weight_gradient"]
    listed = [{"kernel": "gemm", "pass": every, "m": [128, 192], "n": n, "k": k} for n, k in gemms]
    listed.append({"kernel": "grouped_gemm", "pass": every, "groups": [2, 3], "m": 128, "n": gemms[0][0], "k": gemms[0][1]})
    listed.append({"kernel": "attention", "pass": every[:2], "batch": 1, "q_length": lengths[0], "kv_length": lengths[0],
                   "heads": 2, "kv_heads": [1, 2], "qk_dim": 64, "v_dim": 64, "causal": 1})
    listed.append({"kernel": "attention", "pass": every[:2], "batch": 1, "q_length": lengths[1], "kv_length": lengths[1],
                   "heads": 2, "kv_heads": [1, 2], "qk_dim": 64, "v_dim": 64, "causal": 1})
    listed.append({"kernel": "rms_norm", "pass": every, "rows": rows, "width": 512})
    listed.append({"kernel": "swiglu", "pass": every[:2], "rows": rows, "width": 512})
    listed.append({"kernel": "quantize", "rows": rows, "width": 512, "block_rows": 1})
    listed.append({"kernel": "rotary", "pass": every[:2], "rows": rows, "heads": 4, "step": 128, "width": 64})
    listed.append({"kernel": "permute", "pass": every[:2], "tokens": rows, "experts": 16, "top_k": 2, "width": 512})
    listed.append({"kernel": "router", "tokens": rows, "experts": 64, "top_k": 4, "groups": 8, "groups_per_token": 4})
    listed.append({"kernel": "cross_entropy", "pass": every[:2], "rows": rows, "vocabulary": 512})
    listed.append({"kernel": "residual", "rows": rows, "width": 512})
    (folder / name).write_text(json.dumps({"schema": "1.0.0", "cases": listed}))


def bench(suite, *more):
    return json.loads(run("bench", "--suite", suite, "--threads", 1, "--seconds", 0.05, "--format", "json", *more))


cases("fit.json", [(128, 256), (256, 256), (384, 128), (256, 512), (512, 192)], (128, 256), [256, 512, 1024, 2048])
cases("other.json", [(320, 256), (192, 384)], (192, 320), [384, 1536])

measured = bench("fit.json", "-o", "fit_samples.json", "--cluster-out", "cluster.json", "--date", "2026-01-01")
samples = json.loads((folder / "fit_samples.json").read_text())
expect(all("fault" not in case for case in measured["cases"]), "a case of the suite is at fault")
expect(len(samples["samples"]) == len(measured["cases"]), "not every case became a sample")
expect(all(case["seconds"] > 0 for case in measured["cases"]), "a time is not positive")
expect(samples["provenance"]["date"] == "2026-01-01" and "argv" in samples["provenance"], "the samples' provenance")
expect({"threads", "compiler", "libraries"} <= set(samples["device"]), "the samples' device")
expect(json.loads((folder / "cluster.json").read_text())["gpu"] == samples["device"]["name"], "the cluster's device")

fit = json.loads(run("calibrate", "--cluster", "cluster.json", "--base", root / "configs/profiles/cpu.json",
                     "fit_samples.json", "-o", "profile.json", "--format", "json"))
fitted = {entry["name"] for entry in fit["classes"]}
expect(fitted == {"gemm_bf16", "grouped_gemm_bf16", "attention", "norm", "activation", "cast", "rotary", "permute", "router",
                  "elementwise"}, f"the fitted classes are {sorted(fitted)}")
profile = json.loads((folder / "profile.json").read_text())
expect(all(profile[name]["origin"] == "fitted" for name in fitted), "a fitted class does not say so")

# Kernels that the fit did not see, measured and predicted in one run.
other = bench("other.json", "-o", "other_samples.json", "--cluster", "cluster.json", "--profile", "profile.json")
validated = json.loads(run("validate", "--samples", "other_samples.json", "--profile", "profile.json", "--cluster",
                           "cluster.json", "--format", "json"))
expect(len(validated["rows"]) == len(other["cases"]), "validate does not show every sample")
error = statistics.median(abs(case["error"]) for case in other["cases"])
print(f"held-out kernels: {len(other['cases'])}, median error {error:.1%}")
expect(error < 1.0, "the median prediction is off by more than a factor of two")

# Whole layers, in neither suite.
layers = json.loads(run("bench", "--layer", 128, "--threads", 1, "--seconds", 0.3, "--cluster", "cluster.json", "--profile",
                        "profile.json", "--format", "json"))["layers"]
expect([(layer["layer"], layer["pass"]) for layer in layers] ==
       [(kind, name) for kind in ("dense", "moe") for name in ("forward", "input_gradient", "weight_gradient")],
       "the layers' passes")
error = statistics.median(abs(layer["error"]) for layer in layers)
print(f"whole layers: median error {error:.1%}")
expect(error < 2.0, "the layers are off by more than a factor of three")

# An interrupt leaves no file behind, whole or half.
process = subprocess.Popen([program, "bench", "--suite", "deepseek-v3", "--seconds", "5", "-o", "interrupted.json"], cwd=folder,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
interrupt(process)
out, err = process.communicate(timeout=120)
expect(process.returncode == 1, f"interrupted: exit code {process.returncode}")
expect(out == "" and len(err.splitlines()) == 1 and "interrupted" in err, f"interrupted: {err!r}")
expect(not list(folder.glob("interrupted*")), "an interrupted run left a file")

for path in folder.iterdir():
    path.unlink()
folder.rmdir()
print(f"{faults} faults")
sys.exit(1 if faults else 0)
