// A manager invites addresses; the allowed domains do not apply to them, and the address stays as it was invited.
import assert from "node:assert/strict";
import { scan } from "../support/scanner.js";
import { PASSWORD, bothWays, story } from "../support/story.js";
import { begin, enterCode, finish, goThroughMenu, isInAccount, isRefused, keepsToItself, lastOf, press, sees, setUp, signIn } from "../support/people.js";

story("one or many are invited, with an answer for each line", { variants: bothWays }, async (stage) => {
  const { open, mail, script } = stage;
  const grace = await open();
  const link = await setUp(grace, stage.server);
  await goThroughMenu(grace, "Identity Configuration");
  await grace.getByLabel("Allowed domains").fill("@acme.com\nlin@partner.example");
  await press(grace, "Save");
  await isRefused(grace, "is a whole address", script);
  await grace.getByRole("link", { name: "Invite lin@partner.example" }).click(); // leaving is asked about, and meant
  await sees(grace, "Invitations");
  assert.equal(await grace.getByLabel("Email addresses").inputValue(), "lin@partner.example");
  await grace.getByLabel("Email addresses").fill("lin@partner.example, zoe@partner.example\ngrace@acme.com nonsense");
  await press(grace, "Send invitations");
  await grace.getByRole("heading", { name: "2 of 4 invitations are on their way" }).waitFor();
  const lines = grace.getByRole("list", { name: "What became of each line" });
  assert.deepEqual(await lines.locator(".tag").allTextContents(), ["Invited", "Invited", "Already a user", "Not an address"]);
  assert.equal(await grace.getByLabel("Email addresses").inputValue(), "nonsense");

  await goThroughMenu(grace, "Identity Configuration");
  await grace.getByLabel("Allowed domains").fill("@acme.com");
  await press(grace, "Save");
  await grace.getByText("Saved.", { exact: true }).waitFor();
  const lin = await open();
  const invitation = (await mail.next("lin@partner.example")).link;
  await lin.goto(link);
  await lin.getByLabel("Work email").fill("lin@partner.example");
  await press(lin, "Continue");
  await isRefused(lin, "If you were invited, open the link in your invitation.", script);
  await lin.goto(invitation);
  await keepsToItself(lin, lastOf(invitation), script);
  await lin.getByText("lin@partner.example").first().waitFor();
  await finish(lin, "Lin Clark");
  await lin.goto(invitation);
  await lin.waitForURL(/\/account$|\/o\/acme\/login$/); // it has succeeded

  const pending = (await mail.next("zoe@partner.example")).link;
  const row = async (what) => {
    await goThroughMenu(grace, "Invitations");
    await grace.getByLabel("Actions for zoe@partner.example").click();
    await press(grace, what);
  };
  await row("Send again");
  await grace.getByText("The invitation is sent again.").waitFor();
  const zoe = await open();
  await zoe.goto(pending);
  await sees(zoe, "This invitation is over");
  const newest = (await mail.next("zoe@partner.example")).link;
  await zoe.goto(newest);
  await sees(zoe, "Almost there");
  await row("Revoke");
  await grace.getByText("The invitation is revoked.").waitFor();
  await zoe.reload(); // with a script the link has left the address bar
  await sees(zoe, stage.script ? "Open the link again" : "This invitation is over");
  await zoe.goto(newest);
  await sees(zoe, "This invitation is over");
  await grace.getByRole("heading", { name: "Nobody is invited at the moment" }).waitFor();
});

story("an invited manager comes by the invitation, not by a code", { variants: bothWays }, async (stage) => {
  const { open, mail } = stage;
  const grace = await open();
  const link = await setUp(grace, stage.server);
  const ada = await open();
  await begin(ada, link, "ada@acme.com"); // before she was invited
  const { code } = await mail.next("ada@acme.com");
  await goThroughMenu(grace, "Invitations");
  await grace.getByLabel("Email addresses").fill("ada@acme.com");
  await grace.getByLabel("They join as").selectOption({ label: "Manager: all of Settings too" });
  await press(grace, "Send invitations");
  await grace.getByRole("heading", { name: "The invitation is on its way" }).waitFor();
  await enterCode(ada, code);
  await sees(ada, "Almost there");
  await ada.getByLabel("Full name").fill("Ada Lovelace");
  await ada.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await press(ada, "Continue");
  await sees(ada, "You have an invitation");
  await ada.goto((await mail.next("ada@acme.com")).link);
  await finish(ada, "Ada Lovelace");
  await goThroughMenu(ada, "Identity Configuration");
  await sees(ada, "Identity Configuration");
});

story("a scanner accepts no invitation, and the person does", { variants: [bothWays[0]] }, async (stage) => {
  const { open, mail } = stage;
  const grace = await open();
  await setUp(grace, stage.server);
  await goThroughMenu(grace, "Invitations");
  await grace.getByLabel("Email addresses").fill("lin@partner.example");
  await press(grace, "Send invitations");
  const message = await mail.next("lin@partner.example");
  await scan(stage, message);
  const lin = await open();
  await signIn(lin, "lin@partner.example", PASSWORD);
  await isRefused(lin, "This address and password don't match.");
  await lin.goto(message.link);
  await finish(lin, "Lin Clark");
  await isInAccount(lin);
});
