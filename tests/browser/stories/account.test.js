// A person's own account: name, password, where she is signed in, and another address.
import assert from "node:assert/strict";
import { PASSWORD, bothWays, story } from "../support/story.js";
import { goThroughMenu, isRefused, join, keepsToItself, lastOf, press, sees, setUp, signIn } from "../support/people.js";

const NEW = "eight green otters sleep";

/** Bob has joined with the link and is in his account. */
async function bobIn(stage) {
  const manager = await stage.open();
  const bob = await join(stage, await setUp(manager, stage.server), "bob@acme.com", "Bob Builder");
  await sees(bob, "Account");
  return bob;
}

story("name and password are changed, and other browsers are signed out", { variants: bothWays }, async (stage) => {
  const bob = await bobIn(stage);
  await bob.getByLabel("Full name").fill("  ");
  await press(bob, "Save name");
  await isRefused(bob, "Enter the full name.", stage.script);
  await bob.getByLabel("Full name").fill("Robert Builder");
  await press(bob, "Save name");
  await bob.getByText("Your name is saved.").waitFor();

  const other = await stage.open();
  await signIn(other, "bob@acme.com");
  await sees(other, "Account");
  const password = bob.locator("section", { has: bob.getByRole("heading", { name: "Password" }) });
  await password.getByLabel("Current password", { exact: true }).fill("not the password");
  await password.getByLabel("New password", { exact: true }).fill(NEW);
  await press(bob, "Change password");
  await isRefused(bob, "That is not your current password.", stage.script);
  await password.getByLabel("Current password", { exact: true }).fill(PASSWORD);
  await password.getByLabel("New password", { exact: true }).fill(NEW);
  await press(bob, "Change password");
  await bob.getByText("Your password is changed").waitFor();
  assert.match((await stage.mail.next("bob@acme.com")).subject, /was changed/);
  await other.reload();
  await sees(other, "Sign in to Acme");

  await signIn(other, "bob@acme.com", NEW);
  await bob.reload();
  await press(bob, "Sign out others");
  await bob.getByText("Signed out there.").waitFor();
  await other.reload();
  await sees(other, "Sign in to Acme");
});

story("another address counts once its mailbox has confirmed, and the old one can stop it", { variants: bothWays }, async (stage) => {
  const { mail, open, script } = stage;
  const bob = await bobIn(stage);
  const ask = async (address) => {
    await bob.goto("/account");
    await bob.getByLabel("New email address").fill(address);
    await bob.locator("#address_password").fill(PASSWORD);
    await press(bob, "Change address");
    await bob.getByText(`${address} has to confirm`).waitFor();
    return [await mail.next(address), await mail.next("bob@acme.com")];
  };
  const [, toOld] = await ask("eve@acme.com");
  await bob.goto(toOld.link);
  await sees(bob, "Stop the change of your address?");
  await keepsToItself(bob, lastOf(toOld.link), script);
  await press(bob, "Stop the change");
  await bob.getByText("Your address stays bob@acme.com.").waitFor();

  const [toNew] = await ask("robert@acme.com");
  const phone = await open();
  await phone.goto(toNew.link);
  await sees(phone, "Sign in to Acme"); // whoever reads the mail has to be who asked
  await phone.getByLabel("Email").fill("bob@acme.com");
  await phone.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await press(phone, "Sign in");
  await sees(phone, "Use the new address?");
  await keepsToItself(phone, lastOf(toNew.link), script);
  await press(phone, "Use robert@acme.com");
  await phone.getByText("Your address is robert@acme.com now.").waitFor();
  await phone.goto(toNew.link);
  await sees(phone, "This link is over");
  const again = await open();
  await signIn(again, "robert@acme.com");
  await goThroughMenu(again, "Account");
  await sees(again, "Account");
});
