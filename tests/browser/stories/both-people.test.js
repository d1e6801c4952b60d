// The main job, whole: a manager copies one link, a person with nothing but the link ends in the account.
import assert from "node:assert/strict";
import { PASSWORD, everywhere, story } from "../support/story.js";
import { begin, enterCode, finish, goThroughMenu, isInAccount, isRefused, keepsToItself, lastOf, press, sees, setUp } from "../support/people.js";

story("a manager shares the link and narrows it, a person joins", { variants: everywhere }, async (stage) => {
  const { open, mail, script, base } = stage;
  const manager = await open();
  if (script) await manager.context().grantPermissions(["clipboard-read", "clipboard-write"], { origin: base });

  // The manager: from the address on standard output to a link on the clipboard.
  await setUp(manager, stage.server);
  assert.ok(!manager.url().includes("token"), manager.url());
  await goThroughMenu(manager, "Identity Configuration");
  await sees(manager, "Identity Configuration");
  assert.equal(await manager.getByLabel("People sign in with").inputValue(), "password");
  assert.ok(await manager.getByLabel("Allow self-service registration using invite link").isChecked(), "on from the first day");
  const link = await manager.getByLabel("Invite link", { exact: true }).inputValue();
  assert.ok(link.startsWith(`${base}/join/`), link);
  if (script) {
    await manager.getByRole("button", { name: "Copy invite link" }).click();
    await manager.getByText("Copied.").waitFor();
    assert.equal(await manager.evaluate(() => navigator.clipboard.readText()), link);
  } else {
    assert.ok(await manager.getByRole("button", { name: "Copy invite link" }).isHidden(), "no button that does nothing");
  }

  // Some domains, watched as they are understood; with no script the reading comes with the page.
  await manager.getByLabel("Allowed domains").fill("@acme.com; Gmail.com\nada@other.org");
  const reading = manager.getByRole("list", { name: "How each line is understood" });
  if (script) await reading.getByText("addresses like ada@acme.com").waitFor();
  await manager.getByLabel("Addresses to try").fill("ada@acme.com, eve@evil-acme.com, nonsense");
  await press(manager, "Try");
  const tried = manager.getByRole("list", { name: "Who could register" });
  await tried.getByText("The entry acme.com admits it.").waitFor();
  assert.deepEqual(await tried.locator(".tag").allTextContents(), ["Can register", "Cannot register", "Not an address"]);
  assert.ok(await reading.getByText("Anyone can get such an address.").isVisible());
  assert.ok(await reading.getByText("Can't be saved").isVisible());
  await press(manager, "Save");
  await isRefused(manager, "is a whole address", script);
  await manager.getByLabel("Allowed domains").fill("@acme.com\n*.acme.com");
  await press(manager, "Save");
  await manager.getByText("Saved.").waitFor();
  assert.equal(await manager.getByLabel("Allowed domains").inputValue(), "@acme.com\n*.acme.com");

  // The registrant, in a browser that has never been here.
  const ada = await open();
  await ada.goto(link);
  await sees(ada, "Join Acme");
  await ada.getByLabel("Work email").fill("ada@elsewhere.org");
  await press(ada, "Continue");
  await isRefused(ada, "Addresses of elsewhere.org can't join with this link.", script);
  assert.equal(await ada.getByLabel("Work email").inputValue(), "ada@elsewhere.org", "what was typed is kept");
  await begin(ada, link, "ada@acme.com");
  await ada.getByText("ada@acme.com").waitFor();
  const message = await mail.next("ada@acme.com");
  assert.match(message.subject, /code to join Acme/);
  await enterCode(ada, message.code);
  await finish(ada, "Ada Lovelace");

  // Another one begins on the laptop and ends on the phone, by the link of the mail alone.
  const laptop = await open();
  await begin(laptop, link, "bob@eu.acme.com");
  const letter = await mail.next("bob@eu.acme.com");
  const bob = await open();
  await bob.goto(letter.link);
  await keepsToItself(bob, lastOf(letter.link), script);
  await finish(bob, "Bob Builder");
  await enterCode(laptop, letter.code); // too late, but no fault: it is done
  await sees(laptop, "Sign in to Acme");
  await laptop.getByLabel("Email").fill("bob@eu.acme.com");
  await laptop.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await press(laptop, "Sign in");
  await isInAccount(laptop);
});
