// The client against a real server, whose address is in OVATION_TEST_URL. Real time: what is waited for are events.

import assert from "node:assert/strict";
import { webcrypto } from "node:crypto";
import test from "node:test";

import { OvationClient } from "../../static/js/client.js";
import { once, reaches } from "./helpers.mjs";
import { TestWebSocket } from "./websocket.mjs";

const base = process.env.OVATION_TEST_URL;
const options = { skip: base ? false : "OVATION_TEST_URL names no server", timeout: 60_000 };

async function register(name) {
  const query = new URLSearchParams({ username: `${name}-${Date.now() % 1e9}`, password: "123456" });
  const response = await fetch(`${base}/douyin/user/register/?${query}`, { method: "POST" });
  const { user_id: id, token } = await response.json();
  assert.ok(id > 0 && token);
  return { id, token };
}

/** A client that ends with the test, and the sockets it made. */
function client(t, token, more = {}) {
  const sockets = [];
  class Counted extends TestWebSocket {
    constructor(...args) {
      super(...args);
      sockets.push(this);
    }
  }
  const url = `${base.replace(/^http/, "ws")}/ws`;
  const made = new OvationClient({ url, token, WebSocket: Counted, crypto: webcrypto, backoffBaseMs: 20, ...more });
  t.after(() => made.close());
  return { client: made, cut: () => sockets.at(-1).cut(), sockets };
}

/** Every message a client hears, and a promise of the n-th. */
function heard(client) {
  const messages = [];
  const waiting = [];
  client.on("message.new", (d, frame) => {
    messages.push({ seq: frame.seq, content: d.content });
    for (const look of waiting.splice(0)) look();
  });
  const reach = async (count) => {
    while (messages.length < count) await new Promise((resolve) => waiting.push(resolve));
    return messages;
  };
  return { messages, reach };
}

test("two clients chat, connections are cut, and nothing is lost, repeated or out of order", options, async (t) => {
  const [ann, ben] = [await register("ann"), await register("ben")];
  const [a, b] = [client(t, ann.token), client(t, ben.token)];
  const [toAnn, toBen] = [heard(a.client), heard(b.client)];
  const welcome = await a.client.connect();
  assert.equal(welcome.user_id, ann.id);
  await b.client.connect();

  const total = 30;
  const acks = [];
  for (let index = 0; index < total; index += 1) {
    acks.push(a.client.sendMessage(ben.id, `message ${index}`));
    if (index % 10 === 4) {
      await acks.at(-1);
      const back = once(a.client, "welcome");
      a.cut();
      await back;
    }
    if (index % 10 === 9) {
      const back = once(b.client, "welcome");
      b.cut();
      await back;
    }
  }
  const ids = (await Promise.all(acks)).map((ack) => ack.message_id);
  assert.equal(new Set(ids).size, total);
  const expected = Array.from({ length: total }, (_, index) => ({ seq: index + 1, content: `message ${index}` }));
  assert.deepEqual(await toBen.reach(total), expected);
  assert.deepEqual(await toAnn.reach(total), expected, "the sender's devices see the same order");
  assert.ok(a.sockets.length > 3 && b.sockets.length > 3, "the connections were cut indeed");
});

test("a later life of the client goes on where the former one was", options, async (t) => {
  const [ann, ben] = [await register("cleo"), await register("dan")];
  const sender = client(t, ann.token).client;
  const first = client(t, ben.token).client;
  await Promise.all([sender.connect(), first.connect()]);
  const position = once(first, "position", ({ seq }) => seq === 1);
  await sender.sendMessage(ben.id, "one");
  const resume = await position;
  first.close();
  await sender.sendMessage(ben.id, "two");
  await sender.sendMessage(ben.id, "three");

  const second = client(t, ben.token, { resume }).client;
  const { messages } = heard(second);
  const synced = once(second, "synced");
  const welcome = await second.connect();
  assert.equal(welcome.replay, 2);
  assert.deepEqual(await synced, { seq: 3 });
  assert.deepEqual(messages, [{ seq: 2, content: "two" }, { seq: 3, content: "three" }]);
});

test("the same key is the same message", options, async (t) => {
  const [ann, ben] = [await register("eve"), await register("finn")];
  const sender = client(t, ann.token).client;
  await sender.connect();
  const key = sender.newKey();
  const first = await sender.sendMessage(ben.id, "once", { key });
  const again = await sender.sendMessage(ben.id, "once", { key });
  assert.deepEqual(again, { ...first, dup: true });
  await assert.rejects(sender.sendMessage(ben.id, "other", { key }), { code: "key_conflict" });
});

test("a token that is none stops the client", options, async (t) => {
  const { client: forged, sockets } = client(t, "forged");
  const stopped = reaches(forged, "stopped");
  await assert.rejects(forged.connect());
  assert.equal((await stopped).code, 3500);
  assert.equal(sockets.length, 1);
});

test("a guest is greeted without a stream", options, async (t) => {
  const guest = client(t, null).client;
  const welcome = await guest.connect();
  assert.equal(welcome.user_id, undefined);
  await assert.rejects(guest.sendMessage(1, "x"), { code: "unauthorized" });
  assert.ok((await guest.request("ping")).time > 1_600_000_000_000);
});
