// A mail scanner opens every link of a message with a real browser and presses whatever it finds. It achieves nothing.
import assert from "node:assert/strict";
import { PASSWORD, desktop, story } from "../support/story.js";
import { begin, enterCode, finish, isInAccount, press, sees, setUp, signIn } from "../support/people.js";

/** Opens each link five times, the last time pressing every button of every form as it was found. */
async function scan(stage, message) {
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

async function toSignIn(page, email) {
  await signIn(page, email);
  return page;
}

story("a scanner confirms nothing, and the person finishes with the code", { variants: [desktop] }, async (stage) => {
  const { open, mail, server } = stage;
  const link = await setUp(await open(), server);
  const ada = await open();
  await begin(ada, link, "ada@acme.com");
  const message = await mail.next("ada@acme.com");
  await scan(stage, message);
  const stranger = await toSignIn(await open(), "ada@acme.com");
  await stranger.getByText("This address and password don't match.").first().waitFor(); // there is no such user
  await ada.reload();
  await sees(ada, "Check your mail"); // nothing went on without her
  await enterCode(ada, message.code);
  await finish(ada, "Ada Lovelace");
});

story("a scanner uses up nothing, and the person finishes with the link", { variants: [desktop] }, async (stage) => {
  const { open, mail, server } = stage;
  const link = await setUp(await open(), server);
  await begin(await open(), link, "ada@acme.com");
  const message = await mail.next("ada@acme.com");
  await scan(stage, message);
  const ada = await open();
  await ada.goto(message.link);
  await finish(ada, "Ada Lovelace");
});

story("a scanner sets no password, and the person does", { variants: [desktop] }, async (stage) => {
  const { open, mail, server } = stage;
  const grace = await open();
  await setUp(grace, server);
  const elsewhere = await open();
  await elsewhere.goto("/o/acme/forgot-password");
  await elsewhere.getByLabel("Email").fill("grace@acme.com");
  await press(elsewhere, "Send the link");
  const message = await mail.next("grace@acme.com");
  await scan(stage, message);
  await isInAccount(await toSignIn(await open(), "grace@acme.com")); // the old password still works
  await elsewhere.goto(message.link);
  await elsewhere.getByLabel("New password", { exact: true }).fill(`${PASSWORD} again`);
  await press(elsewhere, "Set password");
  await elsewhere.getByText("Your password is set.").waitFor();
});
