// A story: a server, its mail, and the browsers of the people in it. At its end nothing may have gone wrong in any of them.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { desktop, launch, person, phone } from "./browser.js";
import { startServer } from "./server.js";
import { startMail } from "./smtp.js";

const bare = (variant) => ({ ...variant, name: `${variant.name}, no script`, script: false });
export const everywhere = [desktop, phone, bare(desktop), bare(phone)];
export const withScript = [desktop, phone];
export const bothWays = [desktop, bare(phone)];
export { desktop, phone };

export const PASSWORD = "seven purple herons dance";

let browser; // one for all stories of a file, begun with the first
after(async () => (await browser)?.close());

/**
 * Tells a story in each of the variants. `tell` gets the stage: `open()` gives somebody a browser of their own and a
 * page in it, `mail.next(address)` reads mail, `server.setUp` is the address on standard output.
 */
export function story(name, { variants = everywhere, mail: delivers = true, timeout = 90_000 } = {}, tell) {
  for (const variant of variants) {
    test(`${name} (${variant.name})`, { timeout }, async () => {
      const mail = delivers ? await startMail() : undefined;
      const server = await startServer(mail);
      const problems = [], contexts = [];
      const open = async (device = variant) => {
        browser ??= launch();
        const context = await person(await browser, server.base, device, problems);
        contexts.push(context);
        return context.newPage();
      };
      try {
        await tell({ open, mail, server, base: server.base, variant, script: variant.script !== false, isPhone: Boolean(variant.isMobile), problems });
      } catch (error) {
        const where = contexts.flatMap((context) => context.pages()).map((page) => page.url());
        error.message += `\n\nPages open then: ${where.join(", ") || "none"}\n${[...problems, ...server.faults()].join("\n")}`;
        throw error;
      } finally {
        await Promise.all(contexts.map((context) => context.close()));
        await server.stop();
        await mail?.stop();
      }
      assert.deepEqual([...problems, ...server.faults()], []);
    });
  }
}
