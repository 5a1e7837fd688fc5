// What the program writes is what configs/schema says, stored results of earlier versions are still read and still
// valid, the shipped inputs match their schemas, and the kept libraries are the published files, byte for byte.
//   node tests/browser/schemas.mjs [PROGRAM]
import {createHash} from "node:crypto";
import {readFileSync, readdirSync, writeFileSync} from "node:fs";
import {join} from "node:path";
import {check, finish, hourglass, read, root, scratch, skip} from "./browser.mjs";

const vendored = {  // npm: d3 7.9.2, @observablehq/plot 0.6.17
  "d3.min.js": "912111098ea99503a6f4967361d2bbdc9dbf58cf9c678c8e27e5b02d1a07f0c1",
  "d3.LICENSE": "2a6d2d5f32ba0b755ddbc1c833f766e30cdbe6ebe9a6d4e3e24427721f0b63d3",
  "plot.umd.min.js": "4358086467740777dd788d6b27a95cebdbaefdd50c730a3060117073bd7134cb",
  "plot.LICENSE": "4b295e011e0e046170041b5b46f1349393aeceb95797793a55bd21dbb543363a",
};
for (const [name, sum] of Object.entries(vendored)) {
  const found = createHash("sha256").update(readFileSync(join(root, "reports/vendor", name))).digest("hex");
  check(found === sum, `reports/vendor/${name} has sha256 ${found}`);
}

let Ajv;
try {
  Ajv = (await import("ajv")).default;
} catch {
  skip("the npm packages are not installed; scripts/test does that");
}
const ajv = new Ajv({allErrors: true, strict: false});
const folder = join(root, "configs/schema");
const files = Object.fromEntries(readdirSync(folder).map((file) => [file, JSON.parse(read(join(folder, file)))]));
for (const [file, schema] of Object.entries(files)) ajv.addSchema(schema, file);
const schemas = Object.fromEntries(Object.keys(files).map((file) => [file.replace(".schema.json", ""), ajv.getSchema(file)]));

// The schemas of a key: its own, what it refers to, and what it adds to.
function parts(schema, file) {
  if (schema.$ref) {
    const [name, pointer] = schema.$ref.split("#"), target = name || file;
    return parts((pointer ?? "").split("/").slice(1).reduce((value, key) => value[key], files[target]), target);
  }
  return [[schema, file], ...(schema.allOf ?? []).flatMap((each) => parts(each, file))];
}
// Keys of a document that no schema describes.
function undescribed(document, schema, file, path = "") {
  const all = parts(schema, file);
  if (Array.isArray(document)) {
    const items = all.find(([each]) => each.items);
    return items ? document.flatMap((value) => undescribed(value, items[0].items, items[1], `${path}[]`)) : [];
  }
  if (document === null || typeof document !== "object") return [];
  return Object.entries(document).flatMap(([key, value]) => {
    const owner = all.find(([each]) => each.properties?.[key] || typeof each.additionalProperties === "object");
    const place = owner?.[0].properties?.[key] ?? owner?.[0].additionalProperties;
    if (!place) return [`${path}.${key}`];
    const told = parts(place, owner[1]).some(([each]) => each.description) || place.description || !owner[0].properties?.[key];
    return [...(told ? [] : [`${path}.${key} without words`]), ...undescribed(value, place, owner[1], `${path}.${key}`)];
  });
}

function valid(kind, document, what) {
  const holds = schemas[kind](document);
  check(holds, `${what} is no ${kind}: ${ajv.errorsText(schemas[kind].errors).slice(0, 500)}`);
}

const plan = "configs/plans/deepseek-v3.json";
const runs = JSON.parse(read(join(root, "configs/published/runs.json"))), one_run = join(scratch, "run.json");
writeFileSync(one_run, JSON.stringify({...runs, rows: runs.rows.filter((row) => row.gpus === 8).slice(0, 1)}));
const one_case = join(scratch, "suite.json");
writeFileSync(one_case, JSON.stringify({schema: "1.0.0", cases: [{kernel: "gemm", m: 64, n: 64, k: 64}]}));
const commands = {
  simulate: [["simulate", plan], ["simulate", "configs/plans/llama-3.1-405b.json"], ["simulate", plan, "--set", 'plan.network={"failed":["plane3"],"expert_skew":0.2}']],
  plan: [["plan", plan], ["plan", "configs/plans/llama-3.1-405b.json"]],
  compare: [["compare", plan], ["compare", "--ranks", "8", "--micro-batches", "32", "--schedules", "all"]],
  sweep: [["compare", "--ranks", "8", "--sweep", "micro_batches=16:32:16"]],
  validate: [["validate"]],
  search: [["search", "configs/plans/llama-3.1-405b.json", "--set", "plan.gpus=512", "--set", "plan.global_batch=64"]],
  model: [["model", "configs/models/deepseek-v3.json"], ["model", "configs/models/llama-3.1-8b.json"]],
  collective: [["collective", "moe-dispatch", "--ranks", "64"], ["collective", "all-reduce", "--ranks", "64", "--bytes", "1e9"]],
  topology: [["topology"]],
  calibrate: [["calibrate", "--cluster", "configs/clusters/h100.json", "--base", "configs/profiles/h100.json", "configs/measurements/h100_nccl_one_node.json"]],
  diff: [["diff", "tests/browser/stored/simulate-1.0.0.json", "tests/browser/stored/simulate-1.0.0.json"]],
  "input-schedule": [["schedule", "dualpipe", "--ranks", "4", "--micro-batches", "8"]],
  catalogue: [["schedule", "--list"]],
  solve: [["plan", plan, "--solve", "gpus", "--max-days", "60"]],
  clusters: [["compare", plan, "--clusters", "h800,h100"]],
  sensitivity: [["sensitivity", plan]],
  numerics: [["numerics", "--outputs", "8", "--k", "256"]],
  trace: [["import", "kineto", "tests/cli/data/trace.json"], ["import", "kineto", "tests/hardware/data/kineto.json"]],
  fabrics: [["topology", "--table", "--set", "cluster.fabric.switch_ports=64"]],
  layouts: [["validate", "--layouts", "--runs", one_run]],
  run: [["run", "dualpipe", "--ranks", "2", "--micro-batches", "4", "--compare", "--runs", "1"]],
  bench: [["bench", "--suite", one_case, "--seconds", "0.01"], ["bench", "--layer", "16", "--seconds", "0.01"]],
};
// The tables of each kind, by their place in the document; "" is the document itself as one row.
const tables_of = {simulate: ["ranks"], plan: ["stages"], compare: ["schedules"], validate: ["rows"], search: ["front"], calibrate: ["classes"],
  diff: ["differences"], catalogue: ["catalogue"], solve: ["simulated"], clusters: ["clusters", "refused"], sensitivity: ["levers"],
  numerics: ["accumulation", "scaling", "precision"], trace: ["classes", "phases"], fabrics: ["fabrics"], layouts: ["rows"],
  run: ["", "ranks", "comparison.actions"], model: [""], collective: [""], topology: [""]};
const measured = ["run", "bench"];  // other numbers every time; test_tables.cpp compares their formats

// What csv and jsonl say of a row: every figure in it, those of objects under keys joined by dots, lists left out.
function flattened(row, prefix = "") {
  return Object.entries(row).flatMap(([key, value]) => {
    if (value === null || Array.isArray(value) || (prefix === "" && ["provenance", "schema_version"].includes(key))) return [];
    return typeof value === "object" ? flattened(value, `${prefix}${key}.`) : [[prefix + key, value]];
  });
}
function expected_rows(kind, document) {
  if (kind === "sweep") return document.points.flatMap((point) => point.schedules.map((row) => [[document.variable, point.value], ...flattened(row)]));
  const paths = kind === "bench" ? [document.layers ? "layers" : "cases"] : tables_of[kind];
  const tables = paths.map((path) => [path || "summary", path.split(".").reduce((value, key) => (key ? value?.[key] : value), document)]).filter(([, rows]) => rows);
  return tables.flatMap(([name, rows]) => [rows].flat().map((row) => [...(tables.length > 1 ? [["table", name]] : []), ...flattened(row)]));
}

const csv_cells = (line) => [...line.matchAll(/("(?:[^"]|"")*"|[^,]*)(?:,|$)/g)].slice(0, -1).map((m) => m[1].replace(/^"|"$/g, "").replaceAll('""', '"'));
for (const [kind, lines] of Object.entries(commands)) {
  for (const words of lines) {
    const document = JSON.parse(hourglass(...words, "--format", "json"));
    valid(kind, document, words.join(" "));
    const untold = [...new Set(undescribed(document, files[`${kind}.schema.json`], `${kind}.schema.json`))];
    check(untold.length === 0, `${kind}: the schema does not describe ${untold.join(", ")}`);
    const objects = hourglass(...words, "--format", "jsonl").trimEnd().split("\n").filter((line) => line).map((line) => JSON.parse(line));
    const [heading, ...lines_of_csv] = hourglass(...words, "--format", "csv").trimEnd().split("\n");
    check(/^\|( ---:?| ---:)/m.test(hourglass(...words, "--format", "markdown")), `${kind}: no Markdown table`);
    const columns = csv_cells(heading + ","), rows = kind === "input-schedule" ? objects.map((object) => Object.entries(object)) : expected_rows(kind, document);
    check(lines_of_csv.length === rows.length && objects.length === rows.length, `${kind}: ${lines_of_csv.length} rows of CSV, ${objects.length} of JSON Lines, ${rows.length} in JSON`);
    rows.forEach((row, i) => {
      const cells = csv_cells((lines_of_csv[i] ?? "") + ","), object = objects[i] ?? {};
      check(cells.filter((cell) => cell !== "").length === row.filter(([, value]) => value !== "").length, `${kind}: row ${i} of CSV has other cells than JSON`);
      check(Object.keys(object).length === row.length, `${kind}: row ${i} of JSON Lines has other keys than JSON`);
      for (const [key, value] of row) {
        const cell = cells[columns.indexOf(key)];
        if (measured.includes(kind)) {
          check(cell !== undefined && key in object, `${kind}: row ${i} has no ${key}`);
          continue;
        }
        check(object[key] === value, `${kind}: row ${i}, ${key}: JSON Lines has ${object[key]}, JSON ${value}`);
        check(typeof value === "number" ? Number(cell) === value : cell === String(value), `${kind}: row ${i}, ${key}: CSV has ${cell}, JSON ${value}`);
      }
    });
  }
}

// Results and schedules of earlier versions.
const stored = join(root, "tests/browser/stored");
for (const file of readdirSync(stored)) {
  const kind = file.split("-")[0], path = join(stored, file);
  valid(kind === "schedule" ? "input-schedule" : kind, JSON.parse(read(path)), `stored ${file}`);
  if (kind === "schedule") check(hourglass("schedule", "--validate", path).startsWith("valid"), `${file} is not read`);
  else check(hourglass("diff", path, path).includes("numbers are equal"), `${file} is not read`);
}
const result = JSON.parse(read(join(stored, "simulate-1.0.0.json")));
delete result.step_time_s;
check(!schemas.simulate(result), "a step without step_time_s passes");
check(!schemas.simulate({...JSON.parse(read(join(stored, "simulate-1.0.0.json"))), schema_version: "2.0.0"}), "schema 2 passes as 1");

// Inputs as shipped, and with a slip of the pen.
for (const [kind, name] of [["input-plan", "plans"], ["input-cluster", "clusters"], ["input-profile", "profiles"], ["input-samples", "measurements"]]) {
  for (const file of readdirSync(join(root, "configs", name))) valid(kind, JSON.parse(read(join(root, "configs", name, file))), `${name}/${file}`);
}
const full = {...JSON.parse(read(join(root, plan))), $schema: "../schema/input-plan.schema.json", reliability: {restart_min: 7, spare_nodes: 3},
  energy: {W_per_gpu: 1000, pue: 1.2}, uncertainty: {expert_imbalance: {p10: 1, p50: 1.1, p90: 1.2}, samples: 1000}, prices_per_gpu_hour: {EUR: 1.85},
  runs: [{name: "ablations", count: 3, stage: "pre-training", share: 0.01}], network: {routing: "adaptive", failed: ["plane3"]}, contention: false,
  variation: {slow_gpus: [{gpu: 3, factor: 1.2}], flapping_nics: [{gpu: 1, every_s: 2, down_s: 0.2}]}};
valid("input-plan", full, "a plan with every block");
for (const key of ["reliability", "energy", "uncertainty", "network", "variation"])
  check(!schemas["input-plan"]({...full, [key]: {...full[key], gpuz: 1}}), `an unknown key in ${key} passes`);
check(!schemas["input-plan"]({...JSON.parse(read(join(root, plan))), pipeline_paralel: 16}), "an unknown key of a plan passes");
writeFileSync(join(scratch, "two.json"), JSON.stringify({...result, schema_version: "2.0.0"}));
try {
  hourglass("diff", join(scratch, "two.json"), join(scratch, "two.json"));
  check(false, "a result of schema 2 is read");
} catch (error) {
  check(error.status === 1 && /schema 2\.0\.0/.test(error.stderr), `schema 2: ${error.stderr}`);
}
finish();
