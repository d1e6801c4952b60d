// Looks at a page as everybody sees it: light and dark, on a desktop and on a phone, with axe and with a ruler.
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import axe from "axe-core";
import { desktop, phone } from "./browser.js";

const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

/** The names of everything that was looked at, in this file of stories. */
export const looked = new Set();

/**
 * `template` is the page's template under src, `state` tells several states of one template apart.
 * With LOOK=folder every sight of it is kept there as a picture.
 */
export async function look(page, template, state = "") {
  looked.add(template);
  const name = `${template.replace(/\.html$/, "").replaceAll("/", "-")}${state && ` ${state}`}`;
  const before = page.viewportSize();
  assert.ok((await page.title()).trim(), `${name} has no title`);
  await page.evaluate(axe.source); // the page's policy is about the page, not about who looks at it
  for (const device of [desktop, phone]) {
    await page.setViewportSize(device.viewport);
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      const sight = `${name}, ${device.name}, ${colorScheme}`;
      const violations = await page.evaluate(
        async (values) => (await window.axe.run({ runOnly: { type: "tag", values }, resultTypes: ["violations"] })).violations,
        tags,
      );
      assert.deepEqual(violations.map(readable), [], `axe on ${sight}`);
      await keep(page, sight);
    }
    await fits(page, name, device.viewport.width);
  }
  await page.emulateMedia({ colorScheme: null, reducedMotion: null });
  await page.setViewportSize(before);
}

const readable = ({ id, help, nodes }) => `${id}: ${help}\n${nodes.map((node) => `  ${node.html}\n  ${node.failureSummary}`).join("\n")}`;

async function fits(page, name, width) {
  const widest = await page.evaluate(() => {
    const wide = [...document.querySelectorAll("body *")].filter((element) => element.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5);
    return [Math.max(document.documentElement.scrollWidth, innerWidth), wide.slice(0, 3).map((element) => element.outerHTML.slice(0, 120))];
  });
  assert.ok(widest[0] <= width, `${name} is ${widest[0]} wide at ${width}: ${widest[1].join("\n")}`);
}

async function keep(page, sight) {
  if (!process.env.LOOK) return;
  await mkdir(process.env.LOOK, { recursive: true });
  await page.screenshot({ path: join(process.env.LOOK, `${sight}.png`), fullPage: true });
}
