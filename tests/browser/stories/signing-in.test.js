// Signing out, signing in, and getting back in without the password.
import assert from "node:assert/strict";
import { PASSWORD, bothWays, story } from "../support/story.js";
import { isInAccount, isRefused, join, keepsToItself, lastOf, press, sees, setUp, signIn, signOut } from "../support/people.js";

story("sign out, sign in, forget the password and set a new one", { variants: bothWays }, async (stage) => {
  const { open, mail, script, server } = stage;
  const grace = await open();
  await setUp(grace, server);
  await signOut(grace);
  await grace.goBack();
  await grace.reload();
  await sees(grace, "Sign in to Acme"); // nothing of the portal is left
  await signIn(grace, "grace@acme.com", "not the password");
  await isRefused(grace, "This address and password don't match.", script);
  assert.equal(await grace.getByLabel("Email").inputValue(), "grace@acme.com");
  assert.equal(await grace.getByLabel("Password", { exact: true }).inputValue(), "", "a password is never shown back");
  await signIn(grace, "Grace@Acme.com");
  await isInAccount(grace);

  const elsewhere = await open();
  await elsewhere.goto("/login");
  await elsewhere.getByRole("link", { name: "Forgot your password?" }).click();
  for (const address of ["nobody@acme.com", "grace@acme.com"]) {
    await elsewhere.goto("/o/acme/forgot-password");
    await elsewhere.getByLabel("Email").fill(address);
    await press(elsewhere, "Send the link");
    await elsewhere.getByText(`If ${address} has an account, a message with a link is on its way.`).waitFor();
  }
  const { link } = await mail.next("grace@acme.com");
  assert.equal(mail.unread("nobody@acme.com"), 0);
  await elsewhere.goto(link);
  await keepsToItself(elsewhere, lastOf(link), script);
  await elsewhere.getByLabel("New password", { exact: true }).fill("short");
  await press(elsewhere, "Set password");
  await isRefused(elsewhere, "Use at least 12 characters.", script);
  await elsewhere.getByLabel("New password", { exact: true }).fill("eight green otters sleep");
  await press(elsewhere, "Set password");
  await elsewhere.getByText("Your password is set. Sign in with it.").waitFor();
  await elsewhere.goto(link);
  await sees(elsewhere, "This link is over");
  await grace.goto("/settings/identity");
  await sees(grace, "Sign in to Acme"); // signed out everywhere
  await grace.getByLabel("Email").fill("grace@acme.com");
  await grace.getByLabel("Password", { exact: true }).fill("eight green otters sleep");
  await press(grace, "Sign in");
  await sees(grace, "Identity Configuration"); // and back to where she wanted to go
  assert.match((await mail.next("grace@acme.com")).subject, /was changed/);
});

story("a member sees no settings", { variants: bothWays }, async (stage) => {
  const manager = await stage.open();
  const bob = await join(stage, await setUp(manager, stage.server), "bob@acme.com", "Bob Builder");
  assert.equal(await bob.getByRole("link", { name: "Settings" }).count(), 0);
  await bob.goto("/settings/identity");
  await sees(bob, "You can't do this from here");
});
