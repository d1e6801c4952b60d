// A mail server that takes everything and keeps it, so that a person in a story can read her mail.
import { createServer } from "node:net";

/** Starts listening. `mail.next("ada@acme.com")` waits for the next message to that address that nobody has read. */
export async function startMail() {
  const unread = new Map(); // address in small letters -> messages
  const waiting = new Map(); // the same -> who waits for one
  const sockets = new Set();
  const arrive = (recipient, source) => {
    const address = recipient.toLowerCase();
    const message = { to: recipient, ...read(source) };
    const first = waiting.get(address)?.shift();
    if (first) first(message);
    else unread.set(address, [...(unread.get(address) ?? []), message]);
  };
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    converse(socket, arrive);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));

  return {
    url: `smtp://127.0.0.1:${server.address().port}?tls=none`,
    next(address) {
      const key = address.toLowerCase();
      const first = unread.get(key)?.shift();
      if (first) return Promise.resolve(first);
      return new Promise((resolve, reject) => {
        const late = setTimeout(() => reject(new Error(`no mail came to ${address}`)), 30_000);
        const take = (message) => { clearTimeout(late); resolve(message); };
        waiting.set(key, [...(waiting.get(key) ?? []), take]);
      });
    },
    /** How many messages to that address nobody has read. */
    unread: (address) => unread.get(address.toLowerCase())?.length ?? 0,
    stop() {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

function converse(socket, arrive) {
  let text = "", recipients = [], inData = false;
  const say = (line) => socket.write(`${line}\r\n`);
  say("220 stories");
  socket.setEncoding("latin1"); // bytes; the parts say their own character set
  socket.on("data", (chunk) => {
    text += chunk;
    for (;;) {
      const end = inData ? text.indexOf("\r\n.\r\n") : text.indexOf("\r\n");
      if (end < 0) return;
      if (inData) {
        const source = text.slice(0, end).replace(/\r\n\.\./g, "\r\n.");
        text = text.slice(end + 5);
        inData = false;
        for (const recipient of recipients) arrive(recipient, source);
        recipients = [];
        say("250 kept");
        continue;
      }
      const line = text.slice(0, end);
      text = text.slice(end + 2);
      const verb = line.slice(0, 4).toUpperCase();
      if (verb === "EHLO") { say("250-stories"); say("250 8BITMIME"); }
      else if (verb === "RCPT") { recipients.push(/<(.*)>/.exec(line)[1]); say("250 ok"); }
      else if (verb === "DATA") { inData = true; say("354 go on"); }
      else if (verb === "QUIT") { say("221 bye"); socket.end(); }
      else if (["HELO", "MAIL", "RSET", "NOOP"].includes(verb)) say("250 ok");
      else say("502 not here");
    }
  });
}

/** What a person sees of a message: subject, plain text, HTML, every link once, the six-digit code. */
export function read(source) {
  const parts = leaves(source);
  const find = (type) => parts.find((part) => part.type === type)?.body ?? "";
  const text = find("text/plain"), html = find("text/html");
  const inHtml = [...html.matchAll(/href="([^"]+)"/g)].map((match) => match[1].replaceAll("&#38;", "&").replaceAll("&amp;", "&"));
  const links = [...new Set([...(text.match(/https?:\/\/\S+/g) ?? []), ...inHtml])];
  return { subject: subject(headers(source).subject ?? ""), text, html, links, link: links[0], code: /^\s{4}(\d{3} ?\d{3})$/m.exec(text)?.[1] };
}

function headers(source) {
  const head = source.slice(0, source.indexOf("\r\n\r\n")).replace(/\r\n[ \t]+/g, " ");
  return Object.fromEntries(head.split("\r\n").map((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
  }));
}

function leaves(source) {
  const head = headers(source), body = source.slice(source.indexOf("\r\n\r\n") + 4);
  const kind = head["content-type"] ?? "text/plain";
  const boundary = /boundary="?([^";]+)"?/i.exec(kind)?.[1];
  if (boundary) {
    return body.split(`--${boundary}`).slice(1).filter((part) => !part.startsWith("--")).flatMap((part) => leaves(part.replace(/^\r\n/, "")));
  }
  return [{ type: kind.split(";")[0].trim().toLowerCase(), body: decode(body, head["content-transfer-encoding"] ?? "7bit") }];
}

function decode(body, encoding) {
  const bytes = {
    "quoted-printable": () => quotedPrintable(body),
    base64: () => Buffer.from(body, "base64"),
  }[encoding.toLowerCase()]?.() ?? Buffer.from(body, "latin1");
  return bytes.toString("utf8").replaceAll("\r\n", "\n");
}

function quotedPrintable(text) {
  const joined = text.replace(/[ \t]*=\r\n/g, "").replace(/=([0-9A-F]{2})/gi, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
  return Buffer.from(joined, "latin1");
}

function subject(text) {
  const words = /=\?utf-8\?([bq])\?([^?]*)\?=/gi;
  return text.replace(/\?=\s+=\?/g, "?==?").replace(words, (_, kind, word) =>
    (kind.toLowerCase() === "b" ? Buffer.from(word, "base64") : quotedPrintable(word.replaceAll("_", " "))).toString("utf8"));
}
