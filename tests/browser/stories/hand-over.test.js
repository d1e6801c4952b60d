// With no mail server everything works: what would be sent waits under Mail, and a manager passes it on by other means.
import assert from "node:assert/strict";
import { PASSWORD, bothWays, story } from "../support/story.js";
import { begin, enterCode, finish, goThroughMenu, isInAccount, press, sees, setUp, signIn } from "../support/people.js";

const without = { variants: bothWays, mail: false };

async function handOver(page, address) {
  await goThroughMenu(page, "Mail");
  await sees(page, "Mail");
  await page.getByRole("row", { name: address }).first().getByRole("link", { name: /^Hand over/ }).click();
  await sees(page, `Hand over to ${address}?`);
  await press(page, "Hand over");
  await sees(page, `Hand over to ${address}`);
  const code = page.locator("#handed-code");
  return {
    code: await code.count() ? (await code.textContent()).trim() : undefined,
    link: await page.getByLabel(/^Link/).inputValue(),
  };
}

story("a code, a link, an invitation and a new password are handed over", without, async (stage) => {
  const { open, script } = stage;
  const grace = await open();
  const link = await setUp(grace, stage.server);
  await grace.getByText("No mail server is configured").waitFor();

  const ada = await open();
  await begin(ada, link, "ada@acme.com");
  await sees(ada, "Enter your code");
  await ada.getByText("Your organization will give you a code or a link for ada@acme.com.").waitFor();
  const passed = await handOver(grace, "ada@acme.com");
  assert.match(passed.code, /^\d{3} ?\d{3}$/);
  if (script) {
    await grace.context().grantPermissions(["clipboard-read", "clipboard-write"], { origin: stage.base });
    await grace.getByRole("button", { name: "Copy link" }).click();
    await grace.getByText("Copied.").waitFor();
    assert.equal(await grace.evaluate(() => navigator.clipboard.readText()), passed.link);
  }
  await enterCode(ada, passed.code);
  await finish(ada, "Ada Lovelace");

  const bob = await open();
  await begin(bob, link, "bob@acme.com");
  const other = await open();
  await other.goto((await handOver(grace, "bob@acme.com")).link);
  await finish(other, "Bob Builder");

  await goThroughMenu(grace, "Invitations");
  await grace.getByLabel("Email addresses").fill("lin@partner.example");
  await press(grace, "Send invitations");
  await grace.getByRole("heading", { name: "The invitation waits under Mail" }).waitFor();
  const lin = await open();
  await lin.goto((await handOver(grace, "lin@partner.example")).link);
  await finish(lin, "Lin Clark");

  await bob.goto("/o/acme/forgot-password");
  await bob.getByLabel("Email").fill("bob@acme.com");
  await press(bob, "Send the link");
  await bob.getByText("a manager of Acme can now give you a link to set a new password").waitFor();
  await bob.goto((await handOver(grace, "bob@acme.com")).link);
  await bob.getByLabel("New password", { exact: true }).fill(`${PASSWORD} again`);
  await press(bob, "Set password");
  await signIn(bob, "bob@acme.com", `${PASSWORD} again`);
  await isInAccount(bob);

  await goThroughMenu(grace, "Audit log");
  await grace.getByText("Handed over: ").first().waitFor();
});
