// Photographs the Gantt chart of a report for the documents: node screenshot.mjs PAGE.html PICTURE.png
import {chromium_options} from "./browser.mjs";
const [, , file, picture] = process.argv;
const {chromium} = await import("playwright-core");
const browser = await chromium.launch(chromium_options());
const page = await browser.newPage({viewport: {width: 1100, height: 800}, colorScheme: "light"});
await page.goto(`file://${file}`);
await page.waitForFunction(() => document.documentElement.dataset.ready === "yes");
await page.evaluate(() => {
  const chart = hourglass.gantts[0];
  chart.show(0, chart.view.full * 0.22);
  chart.select(chart.blocks[chart.rank].find((block) => block.kind === 4));
});
await page.waitForTimeout(300);
await page.locator("#gantt").screenshot({path: picture});
await browser.close();
