// A mail scanner opens every link of a message with a real browser and presses whatever it finds. It achieves nothing.
import { scan } from "../support/scanner.js";
import { PASSWORD, desktop, story } from "../support/story.js";
import { begin, enterCode, finish, isInAccount, press, sees, setUp, signIn } from "../support/people.js";

async function toSignIn(page, email) {
  await signIn(page, email);
  return page;
}

story("a scanner confirms nothing, and the person finishes with the code", { variants: [desktop] }, async (stage) => {
  const { open, mail, server } = stage;
  const link = await setUp(await open(), server);
  const ada = await open();
  await begin(ada, link, "ada@acme.com");
  const message = await mail.next("ada@acme.com");
  await scan(stage, message);
  const stranger = await toSignIn(await open(), "ada@acme.com");
  await stranger.getByText("This address and password don't match.").first().waitFor(); // there is no such user
  await ada.reload();
  await sees(ada, "Check your mail"); // nothing went on without her
  await enterCode(ada, message.code);
  await finish(ada, "Ada Lovelace");
});

story("a scanner uses up nothing, and the person finishes with the link", { variants: [desktop] }, async (stage) => {
  const { open, mail, server } = stage;
  const link = await setUp(await open(), server);
  await begin(await open(), link, "ada@acme.com");
  const message = await mail.next("ada@acme.com");
  await scan(stage, message);
  const ada = await open();
  await ada.goto(message.link);
  await finish(ada, "Ada Lovelace");
});

story("a scanner sets no password, and the person does", { variants: [desktop] }, async (stage) => {
  const { open, mail, server } = stage;
  const grace = await open();
  await setUp(grace, server);
  const elsewhere = await open();
  await elsewhere.goto("/o/acme/forgot-password");
  await elsewhere.getByLabel("Email").fill("grace@acme.com");
  await press(elsewhere, "Send the link");
  const message = await mail.next("grace@acme.com");
  await scan(stage, message);
  await isInAccount(await toSignIn(await open(), "grace@acme.com")); // the old password still works
  await elsewhere.goto(message.link);
  await elsewhere.getByLabel("New password", { exact: true }).fill(`${PASSWORD} again`);
  await press(elsewhere, "Set password");
  await elsewhere.getByText("Your password is set.").waitFor();
});

story("a scanner neither confirms nor stops another address, and the person does", { variants: [desktop] }, async (stage) => {
  const { open, mail, server } = stage;
  const grace = await open();
  await setUp(grace, server);
  await grace.goto("/account");
  await grace.getByLabel("New email address").fill("grace@navy.example");
  await grace.locator("#address_password").fill(PASSWORD);
  await press(grace, "Change address");
  await grace.getByText("grace@navy.example has to confirm").waitFor();
  const toNew = await mail.next("grace@navy.example");
  await scan(stage, toNew);
  await scan(stage, await mail.next("grace@acme.com"));
  await grace.reload();
  await grace.getByText("grace@navy.example has to confirm").waitFor(); // neither way
  await grace.goto(toNew.link);
  await press(grace, "Use grace@navy.example");
  await grace.getByText("Your address is grace@navy.example now.").waitFor();
});
