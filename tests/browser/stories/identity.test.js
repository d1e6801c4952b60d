// Identity Configuration in the hands of a manager: copying, watching the list, not losing what was changed.
import assert from "node:assert/strict";
import { bothWays, desktop, everywhere, phone, story, withScript } from "../support/story.js";
import { goThroughMenu, press, sees, setUp } from "../support/people.js";

const domains = (page) => page.getByLabel("Allowed domains");
const isSaved = (page) => page.getByText("Saved.", { exact: true }).waitFor();
const note = (page) => page.locator("[data-unsaved-note]");

async function manages(stage) {
  const page = await stage.open();
  await setUp(page, stage.server);
  await goThroughMenu(page, "Identity Configuration");
  await sees(page, "Identity Configuration");
  return page;
}

story("Copy says so when changes are not saved yet, and copies the saved link", { variants: withScript }, async (stage) => {
  const page = await manages(stage);
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"], { origin: stage.base });
  await domains(page).fill("@acme.com");
  await page.getByRole("button", { name: "Copy invite link" }).click();
  await page.getByText("The saved link was copied; your changes are not in effect until you save.").waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), await page.getByLabel("Invite link", { exact: true }).inputValue());
});

story("where the browser refuses to copy, the text is selected and the QR code is beside it", { variants: withScript }, async (stage) => {
  const page = await manages(stage);
  await page.context().grantPermissions([], { origin: stage.base }); // none, so that writing is denied
  await page.getByRole("button", { name: "Copy invite link" }).click();
  await page.getByText("Your browser did not allow copying.").waitFor();
  const link = await page.getByLabel("Invite link", { exact: true }).inputValue();
  assert.equal(await page.evaluate(() => document.activeElement.value.slice(document.activeElement.selectionStart, document.activeElement.selectionEnd)), link);
  await page.getByText("Show QR code").click();
  assert.ok(await page.getByRole("img", { name: "QR code of the invite link" }).isVisible());
});

story("without script the QR code opens too, and nothing waits for a script", { variants: [bothWays[1]] }, async (stage) => {
  const page = await manages(stage);
  await page.getByText("Show QR code").click();
  assert.ok(await page.getByRole("img", { name: "QR code of the invite link" }).isVisible());
  assert.ok(await note(page).isHidden());
});

story("the list is read while it is typed", { variants: withScript }, async (stage) => {
  const page = await manages(stage);
  const reading = page.locator("[data-reading-target]");
  await reading.getByText("The list is empty: anyone with the link can join.").waitFor();
  await domains(page).click();
  await page.keyboard.type("@Acme.com, *.acme.com co.uk\n");
  await reading.getByText("any subdomain, such as eu.acme.com, but not acme.com itself").waitFor();
  await reading.getByText("is a public suffix").waitFor();
  await page.keyboard.type("gmial.com gmail.com");
  await reading.getByText("Anyone can get such an address.").waitFor();
  await reading.getByText("It looks like gmail.com, but is another domain.").waitFor();
  assert.equal(await reading.getAttribute("aria-live"), "polite");
  await page.reload(); // leaving is asked about, see below; nothing was saved
  await page.locator("[data-reading-target]").getByText("The list is empty").waitFor();
});

story("what is not saved is said, stays in sight, and is not lost by leaving", { variants: withScript }, async (stage) => {
  const page = await manages(stage);
  const asked = [];
  let stay = true;
  page.on("dialog", (dialog) => { asked.push(dialog.type()); return stay ? dialog.dismiss() : dialog.accept(); });

  assert.ok(await note(page).isHidden(), "nothing has changed yet");
  await page.getByLabel("Addresses to try").fill("ada@acme.com");
  assert.ok(await note(page).isHidden(), "an address that is only tried is no change");
  await page.getByLabel("Allow self-service").click();
  await domains(page).click();
  await page.keyboard.type("@acme.com");
  await page.getByText("You changed the switch and the allowed domains. Nothing is in effect until you save.").waitFor();
  await page.evaluate(() => scrollTo(0, 0));
  await page.waitForFunction(() => document.querySelector(".save").getBoundingClientRect().bottom <= innerHeight + 1);

  await goThroughMenu(page, "Account");
  assert.deepEqual(asked, ["beforeunload"]);
  assert.equal(await domains(page).inputValue(), "@acme.com");
  await press(page, "Discard");
  await note(page).waitFor({ state: "hidden" });
  assert.equal(await domains(page).inputValue(), "");
  assert.ok(await page.getByLabel("Allow self-service").isChecked());

  await domains(page).fill("@acme.com");
  await press(page, "Save");
  await isSaved(page);
  assert.deepEqual(asked, ["beforeunload"], "saving asks nothing");

  await domains(page).fill("@acme.com\n@acme.org");
  await press(page, "Try");
  await page.getByText("You changed something. Nothing is in effect until you save.").waitFor();
  await page.getByRole("link", { name: "Discard" }).click(); // leaves on purpose
  await page.waitForURL("**/settings/identity");
  assert.equal(await domains(page).inputValue(), "@acme.com");
  assert.deepEqual(asked, ["beforeunload"]);
});

story("trying an address alone changes nothing and says nothing of changes", { variants: everywhere }, async (stage) => {
  const page = await manages(stage);
  await page.getByLabel("Addresses to try").fill("ada@acme.com");
  await press(page, "Try");
  await page.getByText("The list is empty, so every domain may join.").waitFor();
  assert.ok(await note(page).isHidden());
  assert.ok(await page.getByRole("heading", { name: "Try an address" }).evaluate((title) => {
    const { top } = title.getBoundingClientRect();
    return top >= 0 && top < innerHeight;
  }), "the answer is in sight");
  await page.reload();
});

story("of two managers who save at once the second sees what changed, and chooses", { variants: [desktop, bothWays[1]] }, async (stage) => {
  const page = await manages(stage);
  const tab = await page.context().newPage();
  await tab.goto("/settings/identity");
  await domains(tab).fill("@first.example");
  await press(tab, "Save");
  await isSaved(tab);
  await domains(page).fill("@second.example");
  await press(page, "Save");
  await sees(page, "Somebody else saved first");
  await page.getByText("Nothing of yours is saved yet.").waitFor();
  await press(page, "Save mine instead");
  await isSaved(page);
  assert.equal(await domains(page).inputValue(), "@second.example");
  await domains(tab).fill("@third.example");
  await press(tab, "Save");
  await tab.getByRole("link", { name: "Keep theirs" }).click();
  await sees(tab, "Identity Configuration");
  assert.equal(await domains(tab).inputValue(), "@second.example");
});

story("the link is replaced after a question that names it", { variants: [desktop, bothWays[1]] }, async (stage) => {
  const page = await manages(stage);
  const old = await page.getByLabel("Invite link", { exact: true }).inputValue();
  await page.getByRole("link", { name: "Replace link" }).click();
  await sees(page, "Replace the invite link?");
  await page.getByText(new URL(old).pathname).waitFor();
  await page.getByRole("link", { name: "Keep the link" }).click();
  assert.equal(await page.getByLabel("Invite link", { exact: true }).inputValue(), old);
  await page.getByRole("link", { name: "Replace link" }).click();
  await press(page, "Replace link");
  await page.getByText("The link was replaced.").waitFor();
  assert.notEqual(await page.getByLabel("Invite link", { exact: true }).inputValue(), old);
  const ada = await stage.open(phone);
  await ada.goto(old);
  await sees(ada, "This link was replaced");
});
