// The pictures of the README, taken by `SCREENSHOTS=1 node run.js pictures`; otherwise a test run leaves the tree as it was.
import { mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { desktop, story } from "../support/story.js";
import { press, setUp } from "../support/people.js";

const images = fileURLToPath(new URL("../../../docs/images/", import.meta.url));

if (process.env.SCREENSHOTS === "1") {
  story("the pictures of the README", { variants: [{ ...desktop, colorScheme: "light", deviceScaleFactor: 2 }] }, async ({ open, server }) => {
    await mkdir(images, { recursive: true });
    const manager = await open();
    const link = await setUp(manager, server);
    await manager.goto("/settings/identity");
    await manager.getByLabel("Allowed domains").fill("@acme.com\n*.acme.com\n@gmail.com");
    await press(manager, "Save");
    await manager.getByText("Saved.").waitFor();
    await manager.goto("/settings/identity");
    await manager.setViewportSize({ width: 1280, height: 1040 });
    await manager.screenshot({ path: `${images}identity-configuration.png` });

    const ada = await open();
    await ada.goto(link);
    await ada.getByLabel("Work email").fill("ada@acme.com");
    await ada.setViewportSize({ width: 1280, height: 640 });
    await ada.screenshot({ path: `${images}join.png` });
  });
}
