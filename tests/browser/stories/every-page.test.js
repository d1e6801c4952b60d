// Every page, in every state that a person can bring it into, is looked at: light, dark, wide, narrow, by axe and with a ruler.
// A page that is new and not looked at here fails the last test.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { look, looked } from "../support/look.js";
import { PASSWORD, desktop, story } from "../support/story.js";
import { begin, enterCode, join, keepsToItself, lastOf, press, sees, setUp } from "../support/people.js";

const once = { variants: [desktop], timeout: 200_000 };

story("set-up, joining and signing in", once, async (stage) => {
  const { open, mail, server, base } = stage;
  const manager = await open();
  await manager.goto("/login");
  await look(manager, "features/sign_in/which.html");
  await manager.getByLabel("Short name").fill("nobody-here");
  await press(manager, "Continue");
  await look(manager, "features/sign_in/which.html", "unknown");
  await manager.goto(server.setUp);
  await look(manager, "features/set_up/set_up.html");
  await press(manager, "Create organization");
  await sees(manager, "Set up your organization");
  await look(manager, "features/set_up/set_up.html", "refused");
  const link = await setUp(manager, server);
  await look(manager, "features/set_up/welcome.html");
  await manager.goto("/settings/identity");
  await manager.getByLabel("Allowed domains").fill("@acme.com");
  await press(manager, "Save");

  const ada = await open();
  await ada.goto(server.setUp);
  await sees(ada, "This set-up address doesn't work");
  await look(ada, "features/set_up/over.html");
  await ada.goto(link);
  await look(ada, "features/join/join.html");
  await ada.getByLabel("Work email").fill("ada.lovelace.of.the.analytical.engine@a-very-long-name-of-a-domain-that-nobody-can-remember.example.org");
  await press(ada, "Continue");
  await look(ada, "features/join/join.html", "refused");
  await begin(ada, link, "ada@acme.com");
  await look(ada, "features/join/waiting.html");
  await press(ada, "Send it again");
  await ada.getByText("Another message was asked for.").waitFor();
  await ada.getByText("Use another address").click();
  await look(ada, "features/join/waiting.html", "asked again");
  await enterCode(ada, "000000");
  await look(ada, "features/join/waiting.html", "wrong code");
  await mail.next("ada@acme.com");
  await enterCode(ada, (await mail.next("ada@acme.com")).code);
  await sees(ada, "Almost there");
  await look(ada, "features/join/details.html");
  await ada.getByLabel("Password", { exact: true }).fill("acme acme acme");
  await look(ada, "features/join/details.html", "with the meter");
  await press(ada, "Continue");
  await look(ada, "features/join/details.html", "refused");
  await ada.getByLabel("Full name").fill("Ada Lovelace");
  await ada.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await press(ada, "Continue");
  await ada.waitForURL("**/account");
  await ada.goto(link);
  await look(ada, "features/join/member.html");
  await press(ada, "Sign out first");
  await ada.getByText("You are signed out.").waitFor();
  await look(ada, "features/sign_in/sign_in.html", "signed out");
  await ada.goto("/o/acme/login");
  await look(ada, "features/sign_in/sign_in.html");
  await ada.getByLabel("Email").fill("ada@acme.com");
  await ada.getByLabel("Password", { exact: true }).fill("another password");
  await press(ada, "Sign in");
  await look(ada, "features/sign_in/sign_in.html", "refused");
  await ada.goto("/o/acme/forgot-password");
  await look(ada, "features/sign_in/forgot.html");
  await press(ada, "Send the link");
  await look(ada, "features/sign_in/forgot.html", "refused");
  await ada.getByLabel("Email").fill("ada@acme.com");
  await press(ada, "Send the link");
  await sees(ada, "Check your mail");
  await look(ada, "features/sign_in/forgot.html", "asked");
  const reset = (await mail.next("ada@acme.com")).link;
  await ada.goto(reset);
  await keepsToItself(ada, lastOf(reset));
  await look(ada, "features/sign_in/reset.html");
  await press(ada, "Set password");
  await look(ada, "features/sign_in/reset.html", "refused");
  await keepsToItself(ada, lastOf(reset));
  await ada.getByLabel("New password", { exact: true }).fill(`${PASSWORD} again`);
  await press(ada, "Set password");
  await ada.getByText("Your password is set.").waitFor();
  await look(ada, "features/sign_in/sign_in.html", "password set");
  await ada.goto(reset);
  await sees(ada, "This link is over");
  await look(ada, "features/sign_in/reset_over.html");

  await ada.goto("/nowhere");
  await look(ada, "platform/web/bare.html", "404");
  await join(stage, link, "bob@acme.com", "Bob Builder").then(async (bob) => {
    await bob.goto("/settings/identity");
    await look(bob, "platform/web/bare.html", "403");
  });
});

story("how joining ends", once, async (stage) => {
  const { open, mail, server } = stage;
  const manager = await open();
  const link = await setUp(manager, server);
  const identity = async (change) => {
    await manager.goto("/settings/identity");
    await change();
    await press(manager, "Save");
    await manager.getByText("Saved.").waitFor();
  };
  const ada = await open();
  await begin(ada, link, "ada@acme.com");
  const first = await mail.next("ada@acme.com");
  await ada.getByText("Use another address").click();
  await ada.getByLabel("Work email").fill("ada@acme.org");
  await press(ada, "Use this address");
  await ada.getByText("ada@acme.org").waitFor();
  const second = await mail.next("ada@acme.org");
  await ada.goto(first.link);
  await sees(ada, "This registration was ended");
  await look(ada, "features/join/ended.html", "address changed");
  await identity(() => manager.getByLabel("Allowed domains").fill("@acme.com"));
  await ada.goto(second.link);
  await ada.getByLabel("Full name").fill("Ada Lovelace");
  await ada.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await press(ada, "Continue");
  await sees(ada, "This address can't join any more");
  await look(ada, "features/join/ended.html", "not on the list");
  await identity(() => manager.getByLabel("Allow self-service").uncheck());
  await ada.goto(second.link);
  await sees(ada, "This registration was ended");
  await ada.goto(link);
  await sees(ada, "Joining by link is closed");
  await look(ada, "features/join/ended.html", "off");
  await identity(() => manager.getByLabel("Allow self-service").check());
  await manager.goto("/settings/identity/replacement");
  await look(manager, "features/settings/replacement.html");
  await press(manager, "Replace link");
  await manager.getByText("The link was replaced.").waitFor();
  await ada.goto(link);
  await sees(ada, "This link was replaced");
  await look(ada, "features/join/ended.html", "replaced");
});

story("Identity Configuration", once, async (stage) => {
  const { open, server } = stage;
  const manager = await open();
  await setUp(manager, server);
  await manager.goto("/settings/identity");
  await look(manager, "features/settings/identity.html", "on the first day");
  await manager.getByText("Show QR code").click();
  await manager.getByLabel("Allowed domains").fill("@acme.com\n*.acme.com\ngmail.com\nco.uk\nаcme.com\nacne.com\nada@other.org\ncom\nhttps://acme.com/\nbücher.example\n@acme.com");
  await manager.getByRole("list", { name: "How each line is understood" }).getByText("bücher").first().waitFor();
  await look(manager, "features/settings/identity.html", "with a live reading");
  await manager.getByLabel("Addresses to try").fill("ada@acme.com bob@eu.acme.com eve@evil-acme.com nonsense");
  await press(manager, "Try");
  await manager.getByRole("list", { name: "Who could register" }).waitFor();
  await look(manager, "features/settings/identity.html", "tried");
  await press(manager, "Save");
  await manager.locator(".summary").waitFor();
  await look(manager, "features/settings/identity.html", "refused");
  await manager.getByLabel("Allowed domains").fill("@else.org\n@gmail.com");
  await press(manager, "Save");
  await manager.getByText("Saved.").waitFor();
  await look(manager, "features/settings/identity.html", "saved, with users who do not fit");

  const tab = await manager.context().newPage();
  await tab.goto("/settings/identity");
  await tab.getByLabel("Allowed domains").fill("@first.example");
  await press(tab, "Save");
  await tab.getByText("Saved.").waitFor();
  await manager.getByLabel("Allow self-service").uncheck();
  await press(manager, "Save");
  await sees(manager, "Somebody else saved first");
  await look(manager, "features/settings/conflict.html");
});

test("no page was forgotten", () => {
  const source = new URL("../../../src/", import.meta.url);
  const pages = readdirSync(source, { recursive: true })
    .filter((path) => path.endsWith(".html") && /extends "platform\/web\/(door|portal|base)\.html"/.test(readFileSync(new URL(path, source), "utf8")))
    .filter((path) => !/web\/(door|portal)\.html$/.test(path));
  assert.deepEqual(pages.filter((path) => !looked.has(path)), []);
});
