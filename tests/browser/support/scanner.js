// What a mail scanner does with a message: a real browser opens every link, again and again, and presses what it finds.
import assert from "node:assert/strict";
import { desktop } from "./browser.js";

/** Opens each link five times and presses every button of every form as it was found. None of that may lead on. */
export async function scan(stage, message) {
  const scanner = await stage.open(desktop);
  for (const link of message.links) {
    for (let time = 0; time < 5; time += 1) {
      await scanner.goto(link);
      const buttons = scanner.locator("form button:not([type=button]):visible");
      for (let n = 0; n < await buttons.count(); n += 1) {
        const answer = scanner.waitForResponse((response) => response.request().method() === "POST");
        await buttons.nth(n).click();
        assert.notEqual((await answer).status(), 303, `pressing button ${n} of ${link} led on`);
        await scanner.goto(link);
      }
    }
  }
  await scanner.context().close();
}
