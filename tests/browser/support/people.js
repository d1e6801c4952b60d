// What people do again and again: the steps of the stories, by what they see on the page.
import assert from "node:assert/strict";
import { PASSWORD } from "./story.js";

export const heading = (page, name) => page.getByRole("heading", { level: 1, name });

/** Waits for a page by its title on it. */
export async function sees(page, name) {
  await heading(page, name).waitFor();
}

export async function press(page, name) {
  await page.getByRole("button", { name, exact: true }).click();
}

/** Opens a page of the portal through its menu, which is folded on a phone. */
export async function goThroughMenu(page, name) {
  const fold = page.locator(".menu > summary");
  if (await fold.isVisible()) await fold.click();
  await page.getByRole("navigation", { name: "Main" }).getByRole("link", { name, exact: true }).click();
}

/** The manager sets up the organization and is on the page with the link, which is returned. */
export async function setUp(page, server, { name = "Acme", email = "grace@acme.com", fullName = "Grace Hopper" } = {}) {
  await page.goto(server.setUp);
  await sees(page, "Set up your organization");
  await page.getByLabel("Name of your organization").fill(name);
  await page.getByLabel("Your full name").fill(fullName);
  await page.getByLabel("Your work email").fill(email);
  await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await press(page, "Create organization");
  await sees(page, "Share your link");
  return page.getByLabel("Invite link", { exact: true }).inputValue();
}

/** A registrant gives an address; the page that waits for the code is open then. */
export async function begin(page, link, email) {
  await page.goto(link);
  await page.getByLabel("Work email").fill(email);
  await press(page, "Continue");
  await sees(page, /Check your mail|Enter your code/);
}

export async function enterCode(page, code) {
  await page.getByLabel("Six-digit code").fill(code);
  await press(page, "Continue");
}

/** Sets name and password on the last page; the person is in the account then. */
export async function finish(page, fullName, password = PASSWORD) {
  await sees(page, "Almost there");
  await page.getByLabel("Full name").fill(fullName);
  await page.getByLabel("Password", { exact: true }).fill(password);
  await press(page, "Continue");
  await isInAccount(page);
}

export async function isInAccount(page) {
  await page.waitForURL("**/account");
}

/** The whole way of a person with nothing but the link. */
export async function join(stage, link, email, fullName) {
  const page = await stage.open();
  await begin(page, link, email);
  await enterCode(page, (await stage.mail.next(email)).code);
  await finish(page, fullName);
  return page;
}

export async function signIn(page, email, password = PASSWORD) {
  await page.goto("/login");
  await page.getByLabel("Email").fill(email);
  await page.getByLabel("Password", { exact: true }).fill(password);
  await press(page, "Sign in");
}

export async function signOut(page) {
  const fold = page.locator(".menu > summary");
  if (await fold.isVisible()) await fold.click();
  await press(page, "Sign out");
  await page.getByText("You are signed out.").waitFor();
}

/** The refusal at the top has the focus (with script) and leads to its field. */
export async function isRefused(page, words, script = true) {
  const summary = page.locator(".summary");
  await summary.getByText(words).waitFor();
  if (script) await page.waitForFunction(() => document.activeElement?.classList.contains("summary"));
}

/** No token, no link code: not in the title, and with script not in the address bar. */
export async function keepsToItself(page, secret, script = true) {
  assert.ok(!(await page.title()).includes(secret), "the title shows the token");
  if (script) assert.ok(!page.url().includes(secret), `the address bar shows the token: ${page.url()}`);
}

export const lastOf = (address) => new URL(address).pathname.split("/").at(-1);
