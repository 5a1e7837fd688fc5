// What the browser tests share: Debian's chromium through playwright-core, the program under test, and a count of faults.
import {execFileSync} from "node:child_process";
import {existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync} from "node:fs";
import {tmpdir} from "node:os";
import {dirname, join, resolve} from "node:path";
import {fileURLToPath} from "node:url";

export const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
export const program = resolve(process.argv[2] || join(root, "build/release/hourglass"));
export const pictures = process.argv[3]?.endsWith(".png") ? null : process.argv[3] ? resolve(process.argv[3]) : null;  // screenshots are kept there
export const scratch = mkdtempSync(join(tmpdir(), "hourglass-browser-"));
process.on("exit", () => rmSync(scratch, {recursive: true, force: true}));
if (pictures) mkdirSync(pictures, {recursive: true});

let checks = 0, faults = 0;
export function check(holds, what) {
  ++checks;
  if (holds) return;
  ++faults;
  console.log(`FAULT: ${what}`);
}
export function finish() {
  console.log(`${checks} checks, ${faults} faults`);
  process.exit(faults > 0 ? 1 : 0);
}
export function skip(why) {
  console.log(`skipped: ${why}`);
  process.exit(faults > 0 ? 1 : 0);
}

export function hourglass(...words) {
  return execFileSync(program, words, {cwd: root, encoding: "utf8", maxBuffer: 1 << 28, stdio: ["ignore", "pipe", "pipe"]});
}
export const read = (path) => readFileSync(path, "utf8");

// Debian's chromium, as it runs without a screen, a sandbox or a network.
export function chromium_options() {
  const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser"].find((path) => existsSync(path));
  if (!executablePath) skip("chromium is not installed");
  return {executablePath, args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync"]};
}

export async function launch() {
  const options = chromium_options();
  let playwright;
  try {
    playwright = await import("playwright-core");
  } catch {
    skip("the npm packages are not installed; scripts/test does that");
  }
  return playwright.chromium.launch(options);
}

// Opens a report from disk and notes whatever it must not do.
export async function open(browser, file, options = {}) {
  const page = await browser.newPage({viewport: {width: 1440, height: 900}, ...options});
  const complaints = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(error.stack));
  page.on("request", (request) => {
    if (request.url() !== `file://${encodeURI(file)}` && !/^(data|blob):/.test(request.url())) complaints.push(`asks for ${request.url()}`);
  });
  page.on("dialog", (dialog) => {
    complaints.push(`opens a dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  await page.goto(`file://${encodeURI(file)}`);
  await page.waitForFunction(() => document.documentElement.dataset.ready === "yes", null, {timeout: 60000});
  return {page, complaints};
}
