#!/usr/bin/env python3
"""Every kind of bad input gives exactly one clear line on stderr, nothing on stdout, and exit code 1 or 2.

Each case is a command, the exit code, and words that the line must contain; PLAN, CLUSTER, PROFILE and MODEL in a command
are paths of copies of the shipped files, changed by `edit` first.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

root = pathlib.Path(__file__).resolve().parent.parent.parent
program = sys.argv[1]
faults = count = 0


scratch = tempfile.TemporaryDirectory(prefix="hourglass-bad-")


def workspace():
    """A copy of configs/ to spoil."""
    folder = pathlib.Path(tempfile.mkdtemp(dir=scratch.name))
    for kind in ("models", "clusters", "profiles", "plans"):
        (folder / kind).mkdir()
        for path in (root / "configs" / kind).glob("*.json"):
            (folder / kind / path.name).write_bytes(path.read_bytes())
    return folder


def check(what, arguments, code, *words, edit=None):
    global faults, count
    count += 1
    folder = workspace()
    paths = {"PLAN": folder / "plans/deepseek-v3.json", "CLUSTER": folder / "clusters/h800.json",
             "PROFILE": folder / "profiles/h800.json", "MODEL": folder / "models/deepseek-v3.json", "FOLDER": folder}
    if edit:
        edit(paths)
    command = [program] + [str(paths.get(word, word)) for word in arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, errors="replace")
    lines = done.stderr.splitlines()
    problems = []
    if done.returncode != code:
        problems.append(f"exit code {done.returncode}, not {code}")
    if len(lines) != 1 or not lines[0].startswith("error: "):
        problems.append(f"{len(lines)} lines on stderr: {done.stderr[:2000]}")
    if done.stdout:
        problems.append("something on stdout")
    problems += [f"'{word}' is not said" for word in words if word not in done.stderr]
    if problems:
        faults += 1
        print(f"{what}: {'; '.join(problems)}\n  {' '.join(command)}\n  {done.stderr.strip()[:500]}")


def change(which, **values):
    def edit(paths):
        document = json.loads(paths[which].read_text())
        for key, value in values.items():
            document[key] = value
        paths[which].write_text(json.dumps(document))
    return edit


def remove(which, key):
    def edit(paths):
        document = json.loads(paths[which].read_text())
        del document[key]
        paths[which].write_text(json.dumps(document))
    return edit


def text(which, content):
    return lambda paths: paths[which].write_bytes(content if isinstance(content, bytes) else content.encode())


def replaced(which, old, new):
    return lambda paths: paths[which].write_text(paths[which].read_text().replace(old, new, 1))


plan = ["plan", "PLAN"]
simulate = ["simulate", "PLAN"]
shape = ["--ranks", "8", "--micro-batches", "32"]

# The command line.
check("no command", [], 2, "command")
check("unknown command", ["plam"], 2, "did you mean 'plan'")
check("unknown option", plan + ["--formt", "json"], 2, "--formt", "did you mean '--format'")
check("guessed option", plan + ["--form", "json"], 2, "--form")
check("unknown format", plan + ["--format", "jsn"], 2, "jsn", "did you mean 'json'")
check("missing argument", ["plan"], 2, "PLAN.json")
check("too many arguments", plan + ["another.json"], 2, "too many")
check("option without value", plan + ["--set"], 2, "--set")
check("override of nothing", plan + ["--set", "plam.gpus=4"], 2, "plam", "did you mean 'plan'")
check("override without value", plan + ["--set", "plan.gpus"], 2, "plan.gpus")
check("override of an unknown key", plan + ["--set", "plan.gpu=4"], 1, "gpu")
check("rank count as a word", ["schedule", "1f1b", "--ranks", "eight", "--micro-batches", "8"], 2, "eight")
check("missing shape", ["schedule", "1f1b", "--ranks", "8"], 2, "--micro-batches")
check("unknown schedule", ["schedule", "dualpip", "--ranks", "8", "--micro-batches", "16"], 1, "did you mean 'dualpipe'")
check("illegal shape", ["schedule", "dualpipe", "--ranks", "8", "--micro-batches", "13"], 1,
      "dualpipe needs an even number of micro-batches, at least 2p = 16; got 13")
check("negative ranks", ["schedule", "1f1b", "--ranks=-8", "--micro-batches", "8"], 1, "-8")
check("too many ranks", ["schedule", "1f1b", "--ranks", "100000", "--micro-batches", "8"], 1, "100000")
check("overflowing count", ["schedule", "1f1b", "--ranks", "99999999999999999999", "--micro-batches", "8"], 2, "99999999999999999999")
check("cost that is no number", ["compare"] + shape + ["--costs", "F=one"], 2, "one")
check("unknown cost", ["compare"] + shape + ["--costs", "G=1"], 2, "G")
check("negative cost", ["compare"] + shape + ["--costs", "F=-1"], 2, "-1")
check("cost given twice", ["compare"] + shape + ["--costs", "F=1,F=2"], 2, "twice")
check("infinite cost", ["compare"] + shape + ["--costs", "F=inf"], 2, "inf")
check("plan and abstract costs", ["compare", "PLAN", "--costs", "F=1"], 2, "--costs")
check("unknown schedule in a list", ["compare"] + shape + ["--schedules", "1f1b,zbh1"], 2, "zbh1", "zb-h1")
check("no schedule under the cap", ["compare"] + shape + ["--memory-cap", "0.1"], 1, "cap")
check("sequence length of zero", ["model", "MODEL", "--sequence-length", "0"], 2, "0")

check("unknown sweep", ["compare", "--ranks", "8", "--sweep", "micro_batch=8:16"], 2, "did you mean 'micro_batches'")
check("backward sweep", ["compare", "--ranks", "8", "--sweep", "micro_batches=16:8"], 2, "16")
check("sweep that nothing can run", ["compare", "--ranks", "7", "--sweep", "micro_batches=8:9", "--schedules", "dualpipe"], 1, "dualpipe")
check("cap that no order keeps", ["schedule", "synthesize"] + shape + ["--memory-cap", "0.1", "--rounds", "5"], 1, "cap")
check("cap that the schedule breaks", ["schedule", "gpipe"] + shape + ["--memory-cap", "8"], 1, "rank 0")
check("two directions for PyTorch", ["schedule", "dualpipe"] + shape + ["--format", "pytorch"], 1, "dualpipev")
check("absent schedule file", ["schedule", "--validate", "FOLDER/nowhere.csv"], 1, "nowhere.csv")
check("a folder as schedule", ["schedule", "--validate", "FOLDER"], 1, "file")
check("a plan as schedule", ["schedule", "--validate", "PLAN"], 1, "deepseek-v3.json")
check("an unknown cell", ["schedule", "--validate", "PLAN"], 1, "row 1 column 2", "0F0x", edit=text("PLAN", "0F0,0F0x\n"))
check("a stage on two ranks", ["schedule", "--validate", "PLAN"], 1, "stage 0", edit=text("PLAN", "0F0,0B0\n0F1,0B1\n"))
check("an order that deadlocks", ["schedule", "--validate", "PLAN"], 1, "waits", edit=text("PLAN", "0F0,0B0,0F1,0B1\n1F1,1B1,1F0,1B0\n"))
check("a schedule given twice", ["schedule", "1f1b", "--validate", "PLAN"], 2, "--validate")

calibrate = ["calibrate", "--cluster", "CLUSTER", "--base", "PROFILE"]
check("nothing to calibrate on", calibrate, 2, "samples")
check("no cluster to calibrate", ["calibrate", "PLAN"], 2, "--cluster")
check("a plan as samples", calibrate + ["PLAN"], 1, "deepseek-v3.json")
check("samples without a citation", calibrate + ["PLAN"], 1, "source",
      edit=text("PLAN", '{"schema": "1.0.0", "device": {"name": "H800 SXM5"}, "source": "", "samples": []}'))
check("no usable sample", calibrate + ["PLAN"], 1, "no sample",
      edit=text("PLAN", '{"schema": "1.0.0", "device": {"name": "H800 SXM5"}, "source": "me", "samples": []}'))
check("an output that cannot be written", calibrate + [str(root / "configs/measurements/h800_deepgemm.json"), "-o", "/nowhere/p.json"], 1, "/nowhere/p.json")

check("a folder without figures", ["validate", "--configs", "FOLDER"], 1, "zero_bubble_rates.json")
check("samples without a profile", ["validate", "--samples", "PLAN"], 2, "--profile")
check("a CSV of unknown columns", ["validate", "--samples", str(root / "tests/cli/data/gemm.csv"), "--profile", "PROFILE"], 1, "no known table")
check("a collective without its name", ["collective"], 2, "NAME")
check("an unknown collective", ["collective", "all-gatter", "--bytes", "1e9"], 2, "all-gather")
check("a collective without bytes", ["collective", "all-reduce", "--cluster", "CLUSTER"], 2, "--bytes")
check("a group larger than the cluster", ["collective", "moe-dispatch", "--ranks", "4096", "--cluster", "CLUSTER", "--experts", "4096"], 1, "2048")
check("ranks that do not divide the experts", ["collective", "moe-dispatch", "--ranks", "48", "--cluster", "CLUSTER"], 1, "experts")
check("a bandwidth of nothing", ["collective", "all-reduce", "--bytes", "1e9", "--cluster", "CLUSTER", "--set", "cluster.nic_GBps=0"], 1, "nic_GBps")
check("a part of the network that is not there", ["topology", "--cluster", "CLUSTER", "--fail", "plane99"], 1, "plane99")
check("a routing that names a missing expert", ["collective", "moe-dispatch", "--ranks", "2", "--cluster", "CLUSTER", "--loads", "PLAN"], 1,
      "rank 1", "expert 4", edit=text("PLAN", '{"experts": 4, "tokens": [[[0, 1]], [[0, 4]]]}'))
check("a routing of other ranks", ["collective", "moe-dispatch", "--ranks", "4", "--cluster", "CLUSTER", "--loads", "PLAN"], 1, "2 ranks",
      edit=text("PLAN", '{"experts": 4, "tokens": [[[0, 1]], [[0, 3]]]}'))
check("a network with no way left", ["collective", "all-to-all", "--bytes", "1e9", "--ranks", "16", "--cluster", "CLUSTER"]
      + [word for plane in range(8) for word in ("--fail", f"plane{plane}")], 1, "no way", "plane or rail")
check("loads of too few experts", ["simulate", "PLAN", "--set", 'plan.network={"expert_loads":[1,2]}'], 1, "256 experts")
check("loads and skew together", ["simulate", "PLAN", "--set", 'plan.network={"expert_loads":[1,2],"expert_skew":0.1}'], 1, "expert_skew")
check("a table as a drawing", ["topology", "--cluster", "CLUSTER", "--table", "--format", "dot"], 2, "--format")
check("a fabric too small", ["topology", "--cluster", "CLUSTER", "--set", "cluster.fabric.switch_ports=8"], 1, "switches")
check("a network that is not known", ["simulate", "PLAN", "--set", 'plan.network={"routing":"random"}'], 1, "ecmp")
check("a trace that cannot be written", ["simulate", "PLAN", "--trace", "/nowhere/t.json.gz"], 1, "/nowhere/t.json.gz")
check("a CSV that is not there", ["validate", "--samples", "none.csv", "--profile", "PROFILE"], 1, "none.csv")
check("an FP8 recipe that is not known", ["plan", "PLAN", "--set", "plan.precision=fp8_row"], 1, "fp8_tensor")
check("a plan to validate", ["validate", "--samples", "PLAN", "--cluster", "CLUSTER", "--profile", "PROFILE"], 1, "deepseek-v3.json")

check("unknown log format", ["import", "ncl-tests", "PLAN"], 2, "did you mean 'nccl-tests'")
check("a plan as a log", ["import", "nccl-tests", "PLAN", "--device", "H800 SXM5"], 1, "deepseek-v3.json")
check("a log without a measurement", ["import", "deepgemm", "PLAN", "--device", "H800 SXM5"], 1, edit=text("PLAN", "hello\n" * 1000))
check("a csv without an operator", ["import", "csv", "PLAN", "--device", "H800 SXM5"], 2, edit=text("PLAN", "m,n,k,us\n1,2,3,4\n"))
check("an unreadable column map", ["import", "csv", "PLAN", "--map", "m"], 2, "m", edit=text("PLAN", "m,n,k,us\n1,2,3,4\n"))
check("a plan as a trace", ["import", "kineto", "PLAN"], 1, "deepseek-v3.json")
check("an absent trace", ["import", "kineto", "FOLDER/nowhere.json.gz"], 1, "nowhere")
check("a mapping that is none", ["import", "kineto", "PLAN", "--kernels", "PLAN"], 1, "deepseek-v3.json")
check("an absent log", ["import", "deepep", "FOLDER/nowhere"], 1, "nowhere")

check("search without a plan", ["search"], 2, "PLAN.json")
check("search under an unknown schedule", ["search", "PLAN", "--schedules", "dualpip"], 1, "did you mean 'dualpipe'")
check("headroom of everything", ["search", "PLAN", "--memory-headroom", "1"], 2, "--memory-headroom")
check("a batch of no number", ["search", "PLAN", "--global-batch", "many"], 2, "many")

# Files.
check("absent file", ["plan", "FOLDER/nowhere.json"], 1, "nowhere.json")
check("a folder", ["plan", "FOLDER"], 1, "folder")
check("an empty file", plan, 1, "deepseek-v3.json", edit=text("PLAN", ""))
check("not JSON", plan, 1, "deepseek-v3.json", edit=text("PLAN", "gpus: 2048"))
check("cut off", plan, 1, "deepseek-v3.json", edit=lambda p: p["PLAN"].write_text(p["PLAN"].read_text()[:300]))
check("binary", plan, 1, "deepseek-v3.json", edit=text("PLAN", bytes(range(256)) * 8))
check("10 MB", plan, 1, "MiB", edit=text("PLAN", "[" + "1," * 5_000_000 + "1]"))
check("deep nesting", plan, 1, "deep", edit=text("PLAN", "[" * 100_000))
check("a list, not an object", plan, 1, "deepseek-v3.json", edit=text("PLAN", "[1, 2]"))
check("duplicate key", plan, 1, "gpus", edit=replaced("PLAN", '"gpus": 2048', '"gpus": 2048, "gpus": 1024'))
check("a number too large for a double", plan, 1, edit=replaced("PLAN", '"gpus": 2048', '"gpus": 1e999'))
check("NaN", plan, 1, edit=replaced("PLAN", '"gpus": 2048', '"gpus": NaN'))

# Plans.
check("unknown key", plan, 1, "pipeline_paralel", "did you mean 'pipeline_parallel'", edit=change("PLAN", pipeline_paralel=16))
check("missing key", plan, 1, "gpus", edit=remove("PLAN", "gpus"))
check("wrong type", plan, 1, "gpus", edit=change("PLAN", gpus="2048"))
check("negative", plan, 1, "gpus", edit=change("PLAN", gpus=-2048))
check("fractional", plan, 1, "gpus", edit=change("PLAN", gpus=2048.5))
check("too many GPUs", plan, 1, "4096", edit=change("PLAN", gpus=4096))
check("indivisible GPUs", plan, 1, "multiple", edit=change("PLAN", gpus=2000))
check("indivisible batch", plan, 1, "global_batch", edit=change("PLAN", global_batch=15361))
check("indivisible experts", plan, 1, "experts", edit=change("PLAN", expert_parallel=96))
check("unknown recompute", plan, 1, "swigl", "did you mean 'swiglu'", edit=change("PLAN", recompute=["swigl"]))
check("unknown precision", plan, 1, "fp8", edit=change("PLAN", precision="fp8"))
check("layers that do not add up", simulate, 1, "61", edit=change("PLAN", layers_per_stage=[4] * 16))
check("too few micro-batches", simulate + ["--set", "plan.global_batch=512"], 1, "dualpipe", "micro-batches")
check("no stages", plan, 1, "stages", edit=change("PLAN", stages=[]))
check("a stage with two lengths", plan, 1, "exactly one", edit=change("PLAN", stages=[{"name": "a", "tokens": 1e12, "steps": 5}]))
check("model elsewhere", plan, 1, "missing.json", edit=change("PLAN", model="missing.json"))
check("MTP without a module", plan + ["--set", "plan.model=../models/deepseek-v2.json", "--set", "plan.expert_parallel=32"], 1, "multi-token")
check("a ramp above the batch", plan + ["--set", "plan.global_batch=4096", "--set", "plan.stages.0.batch_ramp.first_batch=8192"], 1, "ramp", "8192")
check("FP8 on an A100", plan + ["--set", "plan.cluster=../clusters/a100.json"], 1, "FP8")

# Models, clusters, profiles.
check("unknown family", ["model", "MODEL"], 1, "deepseek_v3", edit=change("MODEL", model_type="deepsek_v3"))
check("no layers", ["model", "MODEL"], 1, "num_hidden_layers", edit=change("MODEL", num_hidden_layers=0))
check("more experts a token than experts", ["model", "MODEL"], 1, "num_experts_per_tok", edit=change("MODEL", num_experts_per_tok=512))
check("cluster without a citation", plan, 1, "sources", edit=change("CLUSTER", sources={}))
check("unknown profile key", plan, 1, "gemmm", edit=change("PROFILE", gemmm={}))
check("profile without in_situ", plan, 1, "in_situ", edit=remove("PROFILE", "in_situ"))
check("zero bandwidth", plan + ["--set", "cluster.nic_GBps=0"], 1, "nic_GBps")

print(f"{count} kinds of bad input, {faults} faults")
sys.exit(1 if faults else 0)
