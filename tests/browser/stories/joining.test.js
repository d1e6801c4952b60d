// What people really do with a link: go back, reload, press twice, open it twice, use the keyboard, mistype.
import assert from "node:assert/strict";
import { PASSWORD, bothWays, desktop, everywhere, phone, story } from "../support/story.js";
import { begin, enterCode, finish, isInAccount, isRefused, press, sees, setUp, signIn } from "../support/people.js";

async function withLink(stage, tell) {
  const manager = await stage.open(desktop);
  return tell(await setUp(manager, stage.server), manager);
}

story("reloading and going back lead on, never to a fault", { variants: bothWays }, (stage) => withLink(stage, async (link) => {
  const { open, mail } = stage;
  const ada = await open();
  await begin(ada, link, "ada@acme.com");
  await ada.reload();
  await sees(ada, "Check your mail");
  await ada.goBack();
  await sees(ada, "Join Acme");
  await ada.getByLabel("Work email").fill("ada@acme.com");
  await press(ada, "Continue");
  await sees(ada, "Check your mail");
  const { code } = await mail.next("ada@acme.com");
  assert.equal(mail.unread("ada@acme.com"), 0, "the same form within a minute sends one message");
  await enterCode(ada, code);
  await sees(ada, "Almost there");
  await ada.reload();
  await sees(ada, "Almost there");
  await ada.goBack();
  await sees(ada, "Almost there"); // a code that was accepted is not asked for again
  await finish(ada, "Ada Lovelace");
  await ada.reload();
  await isInAccount(ada);
  await ada.goBack();
  await isInAccount(ada);
  await ada.goto(link);
  await sees(ada, "You are already a member");
}));

story("a link that has left the address bar is opened once more from the message", { variants: bothWays }, (stage) => withLink(stage, async (link) => {
  const { open, mail, script } = stage;
  const ada = await open();
  await begin(ada, link, "ada@acme.com");
  const message = await mail.next("ada@acme.com");
  await ada.goto(message.link);
  await sees(ada, "Almost there");
  await ada.reload();
  await sees(ada, script ? "Open the link again" : "Almost there");
  await ada.goto(message.link);
  await sees(ada, "Almost there");
  await finish(ada, "Ada Lovelace");
  await isInAccount(ada);
}));

story("pressing twice is pressing once", { variants: everywhere }, (stage) => withLink(stage, async (link) => {
  const { open, mail } = stage;
  const ada = await open();
  const twice = (name) => ada.getByRole("button", { name, exact: true }).dblclick();
  await ada.goto(link);
  await ada.getByLabel("Work email").fill("ada@acme.com");
  await twice("Continue");
  await sees(ada, "Check your mail");
  const message = await mail.next("ada@acme.com");
  await ada.getByLabel("Six-digit code").fill(message.code);
  await twice("Continue");
  await sees(ada, "Almost there");
  await ada.getByLabel("Full name").fill("Ada Lovelace");
  await ada.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await twice("Continue");
  await ada.waitForURL(/\/account$|\/o\/acme\/login$/); // without script the second answer may be the one that is shown
  assert.equal(mail.unread("ada@acme.com"), 0, "one message");
  if (!ada.url().endsWith("/account")) await signIn(ada, "ada@acme.com");
  await isInAccount(ada);
}));

story("two tabs and two devices make one user", { variants: bothWays }, (stage) => withLink(stage, async (link) => {
  const { open, mail } = stage;
  const ada = await open();
  await begin(ada, link, "ada@acme.com");
  const { code, link: letter } = await mail.next("ada@acme.com");
  const tab = await ada.context().newPage();
  await tab.goto(letter);
  const other = await open(phone);
  await other.goto(letter);
  await enterCode(ada, code);
  for (const page of [ada, tab, other]) {
    await sees(page, "Almost there");
    await page.getByLabel("Full name").fill("Ada Lovelace");
    await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  }
  await Promise.all([ada, tab, other].map((page) => press(page, "Continue")));
  for (const page of [ada, tab, other]) await page.waitForURL(/\/account$|\/o\/acme\/login$/);
  assert.ok([ada, tab, other].some((page) => page.url().endsWith("/account")));
  await other.goto(letter);
  await other.waitForURL(/\/account$|\/o\/acme\/login$/);
}));

story("a mistyped address is changed, a code mistyped too often ends, its link goes on", { variants: bothWays }, (stage) => withLink(stage, async (link) => {
  const { open, mail, script } = stage;
  const ada = await open();
  await begin(ada, link, "ada@acne.com");
  const wrong = await mail.next("ada@acne.com");
  await ada.getByText("Use another address").click();
  await ada.getByLabel("Work email").fill("ada@@acme.com");
  await press(ada, "Use this address");
  await isRefused(ada, "There is more than one @ here.", script);
  assert.equal(await ada.getByLabel("Work email").inputValue(), "ada@@acme.com");
  await ada.getByLabel("Work email").fill("ada@acme.com");
  await press(ada, "Use this address");
  await ada.getByText("ada@acme.com").waitFor();
  const message = await mail.next("ada@acme.com");
  const stranger = await open();
  await stranger.goto(wrong.link);
  await sees(stranger, "This registration was ended");

  await enterCode(ada, "12 34");
  await isRefused(ada, "The code has six digits.", script);
  const other = message.code.startsWith("1") ? "222222" : "111111";
  for (let left = 4; left >= 0; left -= 1) {
    await enterCode(ada, other);
    await isRefused(ada, left > 1 ? `You have ${left} tries left` : left === 1 ? "You have 1 try left" : "This code can't be tried any more.", script);
  }
  await enterCode(ada, message.code);
  await isRefused(ada, "This code can't be tried any more.", script);
  await press(ada, "Send it again");
  await ada.getByText("Another message was asked for.").waitFor();
  const newest = await mail.next("ada@acme.com");
  await enterCode(ada, newest.code);
  await sees(ada, "Almost there");
  const elsewhere = await open();
  await elsewhere.goto(message.link); // of one registration every link sent works
  await finish(elsewhere, "Ada Lovelace");
}));

story("the link can be switched off, and says so at every step", { variants: bothWays }, (stage) => withLink(stage, async (link, manager) => {
  const { open, mail } = stage;
  const ada = await open(), bob = await open();
  await begin(ada, link, "ada@acme.com");
  await begin(bob, link, "bob@acme.com");
  const { code } = await mail.next("ada@acme.com");
  await manager.goto("/settings/identity");
  await manager.getByLabel("Allow self-service").uncheck();
  await press(manager, "Save");
  await manager.getByText("2 open registrations were ended.").waitFor();
  await enterCode(ada, code);
  await sees(ada, "This registration was ended");
  await bob.goto((await mail.next("bob@acme.com")).link);
  await sees(bob, "This registration was ended");
  await bob.goto(link);
  await sees(bob, "Joining by link is closed");
}));

story("an address that has an account is answered like any other, and its mail leads on", { variants: bothWays }, (stage) => withLink(stage, async (link) => {
  const { open, mail } = stage;
  const grace = await open();
  await begin(grace, link, "Grace@ACME.com");
  const message = await mail.next("grace@acme.com");
  assert.match(message.subject, /You already have an account at Acme/);
  assert.equal(message.code, undefined);
  await grace.goto(message.link);
  await sees(grace, "Sign in to Acme");
}));

story("joining by keyboard alone, always with the focus in sight", { variants: [desktop] }, (stage) => withLink(stage, async (link) => {
  const { open, mail } = stage;
  const ada = await open();
  const { keyboard } = ada;
  await ada.goto(link);
  await tabTo(ada, ada.getByLabel("Work email"));
  await keyboard.type("ada at acme.com");
  await keyboard.press("Enter");
  await isRefused(ada, "There is a blank in this address.");
  await keyboard.press("Tab"); // from the summary to its first link
  await keyboard.press("Enter");
  await ada.waitForFunction(() => document.activeElement?.id === "email");
  await keyboard.press("Control+A");
  await keyboard.type("ada@acme.com");
  await tabTo(ada, ada.getByRole("button", { name: "Continue" }));
  await keyboard.press("Enter");
  await sees(ada, "Check your mail");
  await tabTo(ada, ada.getByLabel("Six-digit code"));
  await keyboard.type((await mail.next("ada@acme.com")).code);
  await keyboard.press("Enter");
  await sees(ada, "Almost there");
  await tabTo(ada, ada.getByLabel("Full name"));
  await keyboard.type("Ada Lovelace");
  await tabTo(ada, ada.getByLabel("Password", { exact: true }));
  await keyboard.type(PASSWORD);
  await tabTo(ada, ada.getByRole("button", { name: "Show password" }));
  await keyboard.press("Space");
  assert.equal(await ada.getByLabel("Password", { exact: true }).getAttribute("type"), "text");
  await ada.getByText(/^(Good|Strong)\.$/).waitFor();
  await tabTo(ada, ada.getByRole("button", { name: "Continue" }));
  await keyboard.press("Enter");
  await isInAccount(ada);
}));

/** Presses Tab until the element has the focus; everything on the way shows that it has it. */
async function tabTo(page, target) {
  for (let presses = 0; presses < 15; presses += 1) {
    await page.keyboard.press("Tab");
    const shown = await page.evaluate(() => {
      const element = document.activeElement;
      if (!element || element === document.body) return "nothing";
      const { outlineStyle, outlineWidth } = getComputedStyle(element);
      return outlineStyle !== "none" && parseFloat(outlineWidth) >= 2 ? "" : element.outerHTML;
    });
    assert.equal(shown, "", "the focus cannot be seen");
    if (await target.evaluate((element) => element === document.activeElement)) return;
  }
  assert.fail(`Tab does not lead to ${target}`);
}
