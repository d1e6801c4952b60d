// Real Chromium, and a watch on every page that it opens.
import { chromium } from "playwright-core";

export const desktop = { name: "desktop", viewport: { width: 1280, height: 800 } };
export const phone = { name: "phone", viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true };

export function launch() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: process.env.WATCH !== "1",
    slowMo: process.env.WATCH === "1" ? 300 : 0,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync"],
  });
}

/** A person's browser: cookies of its own. Whatever goes wrong in it is added to `problems`. */
export async function person(browser, base, variant, problems) {
  const { name: _, script = true, ...device } = variant;
  const context = await browser.newContext({ ...device, javaScriptEnabled: script, baseURL: base, locale: "en-GB", timezoneId: "Europe/Berlin" });
  context.setDefaultTimeout(20_000);
  watch(context, base, problems);
  return context;
}

// No request leaves our own server, nothing is said on the console, nothing breaks the policy, no answer is a fault.
function watch(context, base, problems) {
  const ours = new URL(base).origin;
  context.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(`${ours}/`) && !/^(data|about|blob):/.test(url)) problems.push(`a request to somebody else: ${url}`);
  });
  context.on("response", (response) => {
    if (response.status() >= 500) problems.push(`${response.status()} from ${response.request().method()} ${response.url()}`);
    if (response.status() === 404 && response.request().resourceType() !== "document") problems.push(`404 for ${response.url()}`);
  });
  context.on("console", (message) => {
    // Chromium reports a page with status 4xx as an error of the console; such pages are part of the stories.
    if (/^Failed to load resource: the server responded with a status of 4/.test(message.text())) return;
    if (["error", "warning"].includes(message.type())) problems.push(`on the console of ${message.page()?.url()}: ${message.text()}`);
  });
  context.on("weberror", (error) => problems.push(`a script failed: ${error.error()}`));
}
