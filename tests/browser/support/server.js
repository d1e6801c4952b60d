// The real server, in a folder of its own, on a port of its own.
import { execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { createInterface } from "node:readline";
import { promisify } from "node:util";

const built = fileURLToPath(new URL("../../../target/debug/vestibule", import.meta.url));
export const binary = resolve(process.env.VESTIBULE_BINARY ?? built);

/** Starts a server without an organization. `mail` is a mail server of smtp.js, or nothing: messages wait for hand-over. */
export async function startServer(mail) {
  if (!existsSync(binary)) throw new Error(`there is no server at ${binary}: run "cargo build", or set VESTIBULE_BINARY`);
  const folder = await mkdtemp(join(tmpdir(), "vestibule-story-"));
  const port = await freePort();
  const base = `http://127.0.0.1:${port}`;
  const env = { PATH: process.env.PATH, RUST_BACKTRACE: "1" }; // nothing of the tester's own settings
  if (mail) Object.assign(env, { VESTIBULE_SMTP_URL: mail.url, VESTIBULE_MAIL_FROM: "no-reply@vestibule.test" });
  if (process.env.TEST_POSTGRES) env.VESTIBULE_DATABASE_URL = await freshDatabase(process.env.TEST_POSTGRES);
  const child = spawn(binary, ["serve", "--listen", `127.0.0.1:${port}`], { cwd: folder, env, stdio: ["ignore", "pipe", "pipe"] });
  const log = [];
  createInterface(child.stderr).on("line", (line) => log.push(line));
  const exit = once(child, "exit");

  const setUp = await Promise.race([
    new Promise((found) => createInterface(child.stdout).on("line", (line) => {
      const address = /https?:\S+\/setup\?token=\S+/.exec(line)?.[0];
      if (address) found(address);
    })),
    exit.then(() => { throw new Error(`the server did not start:\n${log.join("\n")}`); }),
  ]);

  return {
    base,
    setUp,
    /** What the log holds that it should not. */
    faults: () => log.filter((line) => / ERROR |panicked/.test(line)),
    async stop() {
      child.kill("SIGTERM");
      const hard = setTimeout(() => child.kill("SIGKILL"), 5_000);
      await exit;
      clearTimeout(hard);
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** A new database on the server of PostgreSQL that TEST_POSTGRES names; it goes with that server. */
async function freshDatabase(server) {
  const name = `browser_${process.pid}_${randomBytes(4).toString("hex")}`;
  await promisify(execFile)("psql", [server, "--quiet", "--command", `create database ${name}`]);
  const url = new URL(server);
  url.pathname = `/${name}`;
  return url.href;
}

async function freePort() {
  const probe = createServer();
  await new Promise((listening) => probe.listen(0, "127.0.0.1", listening));
  const { port } = probe.address();
  await new Promise((closed) => probe.close(closed));
  return port;
}
