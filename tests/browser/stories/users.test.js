// The manager and the users: making, finding, deactivating, deleting, sharing the role.
import assert from "node:assert/strict";
import { PASSWORD, bothWays, story } from "../support/story.js";
import { begin, enterCode, finish, goThroughMenu, isRefused, join, press, sees, setUp, signIn } from "../support/people.js";

async function manages(stage) {
  const page = await stage.open();
  const link = await setUp(page, stage.server);
  return [page, link];
}

/** In the list, opens the actions of a row and chooses one. */
async function act(page, who, what) {
  await goThroughMenu(page, "Users");
  await page.getByLabel(`Actions for ${who}`).click();
  await page.locator(".actions[open]").getByText(what, { exact: true }).click();
}

story("a manager makes a user, who sets a password and signs in", { variants: bothWays }, async (stage) => {
  const { open, mail, script } = stage;
  const [grace] = await manages(stage);
  await goThroughMenu(grace, "Users");
  await sees(grace, "Users");
  await grace.getByRole("link", { name: "Create user" }).click();
  await press(grace, "Create user");
  await isRefused(grace, "Enter your email address", script);
  await grace.getByLabel("Email").fill("carol@elsewhere.org");
  await grace.getByLabel("Full name").fill("Carol Shaw");
  await press(grace, "Create user");
  await grace.getByText("Carol Shaw has an account.").waitFor();
  const carol = await open();
  await carol.goto((await mail.next("carol@elsewhere.org")).link);
  await carol.getByLabel("New password", { exact: true }).fill(PASSWORD);
  await press(carol, "Set password");
  await carol.getByText("Your password is set.").waitFor();
  await signIn(carol, "carol@elsewhere.org");
  await sees(carol, "Account");

  await goThroughMenu(grace, "Users");
  await grace.getByLabel("Search").fill("shaw");
  await press(grace, "Search");
  await grace.getByRole("link", { name: "Carol Shaw" }).waitFor();
  assert.match(grace.url(), /search=shaw/, "a view can be shared");
  assert.equal(await grace.getByRole("link", { name: "Grace Hopper" }).count(), 0);
  await grace.getByLabel("Search").fill("nobody like this");
  await press(grace, "Search");
  await grace.getByRole("heading", { name: "Nobody fits" }).waitFor();
});

story("deactivating holds at once, and can be undone; deleting cannot", { variants: bothWays }, async (stage) => {
  const { mail, open } = stage;
  const [grace, link] = await manages(stage);
  const bob = await join(stage, link, "bob@acme.com", "Bob Builder");
  await act(grace, "Bob Builder", "Deactivate");
  await grace.getByText("Bob Builder is deactivated and signed out everywhere.").waitFor();
  await bob.reload();
  await sees(bob, "Sign in to Acme");
  await begin(bob, link, "bob@acme.com"); // the neutral page; the mail says whom to ask
  const letter = await mail.next("bob@acme.com");
  assert.equal(letter.code, undefined);
  assert.match(letter.text, /ask a manager/);
  await act(grace, "Bob Builder", "Reactivate");
  await grace.getByText("Bob Builder may sign in again.").waitFor();
  await signIn(bob, "bob@acme.com");
  await sees(bob, "Account");

  await act(grace, "Bob Builder", "Delete…");
  await sees(grace, "Delete Bob Builder?");
  await grace.getByRole("link", { name: "Keep Bob Builder" }).click();
  await act(grace, "Bob Builder", "Delete…");
  await grace.getByLabel("may return through the invite link").check();
  await press(grace, "Delete Bob Builder");
  await grace.getByText("The user was deleted.").waitFor();
  await bob.reload();
  await sees(bob, "Sign in to Acme");
  const again = await open();
  await begin(again, link, "bob@acme.com");
  await enterCode(again, (await mail.next("bob@acme.com")).code);
  await finish(again, "Bob Builder");
});

story("the role is shared, two managers meet, and the last one stays", { variants: bothWays }, async (stage) => {
  const [grace, link] = await manages(stage);
  await act(grace, "Grace Hopper", "Make member…");
  await press(grace, "Make member");
  await sees(grace, "You are the last manager");

  const ada = await join(stage, link, "ada@acme.com", "Ada Lovelace");
  await act(grace, "Ada Lovelace", "Make manager…");
  await sees(grace, "Make Ada Lovelace a manager?");
  await press(grace, "Make manager");
  await grace.getByText("Ada Lovelace is a manager now").waitFor();
  await signIn(ada, "ada@acme.com");
  await goThroughMenu(ada, "Identity Configuration");
  await goThroughMenu(grace, "Identity Configuration");
  await ada.getByLabel("Allowed domains").fill("@first.example");
  await press(ada, "Save");
  await ada.getByText("Saved.", { exact: true }).waitFor();
  await grace.getByLabel("Allowed domains").fill("@second.example");
  await press(grace, "Save");
  await grace.getByText("Ada Lovelace changed this page").waitFor();
  await press(grace, "Save mine instead");
  await grace.getByText("Saved.", { exact: true }).waitFor();

  await goThroughMenu(grace, "Audit log");
  await sees(grace, "Audit log");
  await grace.getByText("allowed domains added: first.example").waitFor();
  await grace.getByText("allowed domains added: second.example; removed: first.example").waitFor();
  await grace.getByLabel("What", { exact: true }).selectOption({ label: "Role changed" });
  await press(grace, "Show");
  await grace.getByText("Made Ada Lovelace <ada@acme.com> a manager").waitFor();
  assert.equal(await grace.getByText("Saved Identity Configuration").count(), 0);
  await grace.getByLabel("From", { exact: true }).fill("2001-01-01");
  await grace.getByLabel("Until").fill("2001-01-02");
  await press(grace, "Show");
  await grace.getByRole("heading", { name: "Nothing like this happened" }).waitFor();
});
