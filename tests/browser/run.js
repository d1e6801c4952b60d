// Runs the stories two at a time. `node run.js NAME…` runs the files whose names hold one of the words.
import { readdirSync } from "node:fs";
import { run } from "node:test";
import { spec } from "node:test/reporters";

const folder = new URL("stories/", import.meta.url);
const wanted = process.argv.slice(2);
const files = readdirSync(folder)
  .filter((name) => name.endsWith(".test.js") && (wanted.length === 0 || wanted.some((word) => name.includes(word))))
  .map((name) => new URL(name, folder).pathname);
if (files.length === 0) throw new Error(`no story is called ${wanted.join(" or ")}`);

const reporter = new spec();
run({ files, concurrency: Number(process.env.STORIES_AT_ONCE ?? 2), timeout: 600_000 })
  .on("test:fail", () => { process.exitCode = 1; })
  .compose(reporter)
  .pipe(process.stdout);
