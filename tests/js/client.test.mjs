// The client against a server that says what each test wants. Time is the tests' own, and nothing sleeps.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import nodeTest from "node:test";

import { OvationClient } from "../../static/js/client.js";
import { LIMITS } from "./fake_server.mjs";
import { once, reaches, scene, settled } from "./helpers.mjs";
import { TestWebSocket } from "./websocket.mjs";

/** A test that waits for something which never comes fails instead of waiting. */
const test = (name, run) => nodeTest(name, { timeout: 20_000 }, run);
const event = (seq, d = { n: seq }) => ({ t: "message.new", seq, d });
const isHexKey = (key) => /^[0-9a-f]{32}$/.test(key);

test("hello comes first and carries the token, and the promise of connect is the welcome", async (t) => {
  const { server, client } = await scene(t);
  const connecting = client.connect();
  const connection = await server.connection();
  const hello = await connection.greet();
  assert.equal(hello.t, "hello");
  assert.deepEqual(hello.d, { client: "ovation.js/1", token: "token-of-ann" });
  assert.equal((await connecting).seq, 41);
  assert.equal(client.state, "live");
  assert.deepEqual(client.position, { user_id: 7, epoch: "e1", seq: 41 });
});

test("a guest has no token, no position, and watches videos", async (t) => {
  const { client, connected } = await scene(t, { token: null });
  const { connection, hello } = await connected();
  assert.deepEqual(hello.d, { client: "ovation.js/1" });
  const watching = client.watchVideo(5);
  const request = await connection.next();
  assert.deepEqual([request.t, request.d], ["video.watch", { video_id: 5 }]);
  connection.ack(request, { video_id: 5, favorite_count: 1, comment_count: 0, viewers: 1 });
  assert.equal((await watching).favorite_count, 1);
  assert.equal(client.position, null);
});

test("a token is asked for on each attempt, and an attempt whose token fails is repeated", async (t) => {
  const tokens = ["first", null, "third"];
  const token = async () => {
    const next = tokens.shift();
    if (next === null) throw new Error("the session is being renewed");
    return next;
  };
  const { server, client, connected } = await scene(t, { token });
  const { connection, hello } = await connected();
  assert.equal(hello.d.token, "first");
  const errors = [];
  client.on("error", (error) => errors.push(error.message));
  const waiting = reaches(client, "waiting");
  connection.cut();
  await waiting;
  const failed = reaches(client, "waiting");
  client.retryNow();
  await failed;
  assert.deepEqual(errors, ["the session is being renewed"]);
  client.retryNow();
  const next = await (await server.connection()).greet();
  assert.equal(next.d.token, "third");
});

test("requests get their own answers, in whatever order they come", async (t) => {
  const { client, connected } = await scene(t);
  const { connection } = await connected();
  const [one, two] = [client.setFavorite(1, true), client.history(8, { limit: 2 })];
  const [first, second] = [await connection.next(), await connection.next()];
  assert.deepEqual(second.d, { with_user_id: 8, limit: 2 });
  connection.ack(second, { messages: [] });
  connection.send({ t: "err", id: first.id, code: "not_found", msg: "no such video" });
  assert.deepEqual(await two, { messages: [] });
  await assert.rejects(one, { name: "OvationError", code: "not_found", message: "no such video", isTemporary: false });
});

test("a request without an answer ends in time, and its late answer harms nobody", async (t) => {
  const { clock, client, connected } = await scene(t);
  const { connection } = await connected();
  const asked = client.request("ping");
  const request = await connection.next();
  clock.advance(9_999);
  clock.advance(1);
  await assert.rejects(asked, { code: "timeout" });
  connection.send({ t: "pong", id: request.id, d: { time: 1 } });
  connection.send(event(42));
  await once(client, "message.new");
});

test("a request waits for a connection, but one that was sent fails with it", async (t) => {
  const { server, client, connected, again } = await scene(t);
  const early = client.request("ping");
  await assert.rejects(early, { code: "closed" });
  const { connection } = await connected();
  const sent = client.markRead(8, 1);
  await connection.next();
  const waiting = reaches(client, "waiting");
  connection.cut();
  await assert.rejects(sent, { code: "disconnected" });
  await waiting;
  const patient = client.request("ping");
  const failed = reaches(client, "waiting");
  client.retryNow();
  (await server.connection()).cut();
  await failed;
  const { connection: second } = await again();
  const request = await second.next();
  second.send({ t: "pong", id: request.id, d: { time: 5 } });
  assert.deepEqual(await patient, { time: 5 });
});

test("a request over the announced size is not sent", async (t) => {
  const { client, connected } = await scene(t);
  const { connection } = await connected({ limits: { ...LIMITS, message_bytes: 200 } });
  await assert.rejects(client.sendMessage(8, "é".repeat(100)), { code: "too_large" });
  client.request("ping").catch(() => {});
  assert.equal((await connection.next()).t, "ping");
});

test("never more operations in any second than announced", async (t) => {
  const { clock, client, connected } = await scene(t);
  const { connection } = await connected({ limits: { ...LIMITS, operations_per_second: 10 } });
  const times = [];
  for (let index = 0; index < 40; index += 1) client.request("ping").catch(() => {});
  const arrivals = (async () => {
    while (times.length < 40) {
      await connection.next();
      times.push(clock.now());
    }
  })();
  while (times.length < 40) {
    await settled();
    if (connection.waiting === 0) clock.advance(50);
  }
  await arrivals;
  for (const start of times) {
    const inSecond = times.filter((time) => time >= start && time < start + 1000).length;
    assert.ok(inSecond <= 10, `${inSecond} within a second`);
  }
});

// ---- Reconnecting ---------------------------------------------------------------------------------------------------

test("the pause is random below a bound that doubles up to its maximum", async (t) => {
  for (const [random, expected] of [
    [0, [0, 0, 0, 0, 0, 0, 0]],
    [0.5, [250, 500, 1000, 2000, 4000, 8000, 15000]],
    [0.999, [499.5, 999, 1998, 3996, 7992, 15984, 29970]],
  ]) {
    const { server, client } = await scene(t, { random: () => random });
    const pauses = [];
    client.on("state", (d) => d.state === "waiting" && pauses.push(d.pauseMs));
    client.connect();
    for (const _ of expected) {
      const waiting = reaches(client, "waiting");
      (await server.connection()).cut();
      await waiting;
      client.retryNow();
    }
    assert.deepEqual(pauses, expected);
    client.close();
  }
});

test("the attempt comes when the pause is over and not before", async (t) => {
  const { server, clock, client } = await scene(t);
  client.connect();
  const waiting = reaches(client, "waiting");
  (await server.connection()).cut();
  assert.equal((await waiting).pauseMs, 250);
  clock.advance(249);
  assert.equal(client.state, "waiting");
  clock.advance(1);
  assert.equal(client.state, "connecting");
  await server.connection();
});

test("the server's hint is a floor of the pause", async (t) => {
  const { client, connected } = await scene(t);
  const { connection } = await connected();
  const waiting = reaches(client, "waiting");
  connection.close(3001, { reason: "restart", retry_after: 1.7 });
  const detail = await waiting;
  assert.deepEqual([detail.code, detail.reason, detail.pauseMs], [3001, "restart", 1950]);
});

test("a connection that lasted makes the next failure a first one; one that did not, does not", async (t) => {
  const { clock, client, connected, again } = await scene(t);
  let { connection } = await connected();
  const lose = async () => {
    const waiting = reaches(client, "waiting");
    connection.cut();
    return (await waiting).pauseMs;
  };
  assert.equal(await lose(), 250);
  ({ connection } = await again());
  clock.advance(9_999);
  assert.equal(await lose(), 500);
  ({ connection } = await again());
  clock.advance(10_000);
  assert.equal(await lose(), 250);
});

test("no welcome in time is a lost connection", async (t) => {
  const { server, clock, client } = await scene(t);
  client.connect();
  const connection = await server.connection();
  await connection.next();
  const waiting = reaches(client, "waiting");
  clock.advance(10_000);
  assert.equal((await waiting).reason, "no welcome in time");
  await connection.ended;
});

for (const code of [3500, 3501, 3503, 3504, 3999]) {
  test(`${code} stops the client by itself, and connect begins again with another token`, async (t) => {
    const { server, clock, client } = await scene(t);
    const connecting = client.connect();
    const connection = await server.connection();
    const hello = await connection.next();
    const stopped = reaches(client, "stopped");
    connection.send({ t: "err", id: hello.id, code: "unauthorized", msg: "the token has expired" });
    connection.close(code, { reason: "some_word" });
    const detail = await stopped;
    assert.deepEqual([detail.code, detail.reason, detail.error.message], [code, "some_word", "the token has expired"]);
    await assert.rejects(connecting, { code: "unauthorized" });
    clock.advance(3_600_000);
    assert.equal(client.state, "stopped");
    assert.equal(clock.pending, 0, "no timer is left");
    await assert.rejects(client.request("ping"), { code: "closed" });
    client.connect({ token: "another" });
    assert.equal((await (await server.connection()).greet()).d.token, "another");
  });
}

for (const code of [1000, 1001, 1011, 3000, 3008, 3012, 3013, 3499, 4000]) {
  test(`${code} does not stop it`, async (t) => {
    const { client, connected } = await scene(t);
    const { connection } = await connected();
    const waiting = reaches(client, "waiting");
    connection.close(code, { reason: "x" });
    assert.equal((await waiting).code, code);
  });
}

test("silence is asked after with a ping, then taken for a loss", async (t) => {
  const { clock, client, connected } = await scene(t);
  const { connection } = await connected();
  clock.advance(24_999);
  await settled();
  assert.equal(connection.waiting, 0);
  clock.advance(1);
  const ping = await connection.next();
  assert.equal(ping.t, "ping");
  const heard = once(client, "typing");
  connection.send({ t: "pong", id: ping.id, d: { time: 1 } });
  connection.send({ t: "typing", d: { from_user_id: 8, on: true } });
  await heard;
  clock.advance(25_000);
  assert.equal((await connection.next()).t, "ping");
  const waiting = reaches(client, "waiting");
  clock.advance(24_999);
  assert.equal(client.state, "live");
  clock.advance(1);
  assert.equal((await waiting).reason, "silence");
});

test("close ends everything: nothing waits, nothing comes back, no timer stays", async (t) => {
  const { clock, client, connected } = await scene(t);
  const { connection } = await connected();
  const ends = [client.request("ping"), client.sendMessage(8, "x"), client.watchVideo(1)];
  client.close();
  for (const end of ends) await assert.rejects(end, { code: "closed" });
  await connection.ended;
  clock.advance(3_600_000);
  assert.equal(client.state, "idle");
  assert.equal(clock.pending, 0);
});

for (const text of ["{", "7", "null", '"text"', "{}"]) {
  test(`what is no message loses the connection instead of the client: ${text}`, async (t) => {
    const { client, connected, again } = await scene(t);
    const { connection } = await connected();
    const waiting = reaches(client, "waiting");
    connection.sendText(text);
    assert.equal((await waiting).reason, "no message of this protocol");
    await again();
  });
}

// ---- Durable events ---------------------------------------------------------------------------------------------------

test("each durable event is delivered once, in order, over all connections", async (t) => {
  const { client, connected, again } = await scene(t);
  const seen = [];
  const positions = [];
  client.on("message.new", (d, frame) => seen.push(frame.seq));
  client.on("position", (position) => positions.push(position.seq));
  const { connection } = await connected();
  for (const seq of [42, 43, 43, 42, 41]) connection.send(event(seq));
  const waiting = reaches(client, "waiting");
  connection.close(3008, { reason: "slow_consumer" });
  await waiting;
  assert.deepEqual(seen, [42, 43]);

  const { connection: second, hello } = await again({ seq: 45, replay: 2 });
  assert.deepEqual(hello.d.resume, { epoch: "e1", seq: 43 });
  assert.equal(client.state, "replaying");
  const synced = once(client, "synced");
  const last = once(client, "position", ({ seq }) => seq === 46);
  for (const seq of [43, 44, 45]) second.send(event(seq));
  second.send({ t: "synced", d: { seq: 45 } });
  second.send(event(46));
  await synced;
  assert.equal(client.state, "live");
  await last;
  assert.deepEqual(seen, [42, 43, 44, 45, 46]);
  assert.deepEqual(positions, [41, 42, 43, 44, 45, 46]);
});

test("a position of an earlier life is where it goes on, and nothing missing is live at once", async (t) => {
  const { client, connected } = await scene(t, { resume: { user_id: 7, epoch: "e1", seq: 41 } });
  const { hello } = await connected();
  assert.deepEqual(hello.d.resume, { epoch: "e1", seq: 41 });
  assert.equal(client.state, "live");
});

test("a hole is never delivered: the connection is made anew and the missing event comes", async (t) => {
  const { client, connected, again } = await scene(t);
  const seen = [];
  client.on("message.new", (d, frame) => seen.push(frame.seq));
  const { connection } = await connected();
  const waiting = reaches(client, "waiting");
  connection.send(event(42));
  connection.send(event(44));
  assert.equal((await waiting).reason, "event 44 after 42");
  const { hello } = await again({ seq: 44, replay: 2 });
  assert.equal(hello.d.resume.seq, 42);
  assert.deepEqual(seen, [42]);
});

test("a gap is told once and moves the position", async (t) => {
  const { client, connected } = await scene(t, { resume: { user_id: 7, epoch: "e0", seq: 99 } });
  const gap = once(client, "gap");
  const { connection } = await connected();
  assert.equal(client.state, "replaying");
  connection.send({ t: "gap", d: { oldest: 12, newest: 41 } });
  assert.deepEqual(await gap, { oldest: 12, newest: 41, former: { user_id: 7, epoch: "e0", seq: 99 } });
  assert.equal(client.state, "live");
  assert.deepEqual(client.position, { user_id: 7, epoch: "e1", seq: 41 });
  connection.send(event(42));
  await once(client, "message.new");
});

test("a handler that fails keeps no event from the others", async (t) => {
  const { client, connected } = await scene(t);
  const { connection } = await connected();
  const failed = once(client, "error");
  client.on("message.new", () => {
    throw new Error("a bug of the page");
  });
  const heard = once(client, "message.new");
  connection.send(event(42));
  assert.equal((await failed).message, "a bug of the page");
  await heard;
  assert.equal(client.position.seq, 42);
});

test("the token of another user takes nothing over from the former one", async (t) => {
  const { server, client, connected } = await scene(t);
  const { connection } = await connected();
  const unsent = client.sendMessage(8, "for ann's eyes only");
  await connection.next();
  const watch = client.watchPresence([8]);
  await connection.next();
  const stopped = reaches(client, "stopped");
  connection.close(3503, { reason: "token_revoked" });
  await stopped;
  assert.equal(client.unsent.length, 1, "a login of the same user would go on");
  client.connect({ token: "token-of-ben" });
  const like = client.setFavorite(1, true);
  const waiting = reaches(client, "waiting");
  await (await server.connection()).greet({ user_id: 9, seq: 5 });
  for (const end of [unsent, watch, like]) await assert.rejects(end, { code: "other_user" });
  await waiting;
  client.retryNow();
  const second = await server.connection();
  const welcome = once(client, "welcome");
  const hello = await second.greet({ user_id: 9, seq: 5 });
  assert.equal(hello.d.resume, undefined);
  await welcome;
  client.request("ping").catch(() => {});
  assert.equal((await second.next()).t, "ping", "nothing of ann's comes before it");
  assert.deepEqual(client.position, { user_id: 9, epoch: "e1", seq: 5 });
});

// ---- Messages ---------------------------------------------------------------------------------------------------------

test("a message is sent again under its key until it is acknowledged", async (t) => {
  const { client, connected, again } = await scene(t);
  const sent = client.sendMessage(8, "hello");
  let { connection } = await connected();
  const keys = new Set();
  for (let life = 0; life < 3; life += 1) {
    const request = await connection.next();
    assert.equal(request.t, "message.send");
    keys.add(request.d.key);
    const waiting = reaches(client, "waiting");
    connection.cut();
    await waiting;
    ({ connection } = await again());
  }
  const request = await connection.next();
  keys.add(request.d.key);
  connection.ack(request, { message_id: 1, create_time: 5, dup: true });
  assert.deepEqual(await sent, { message_id: 1, create_time: 5, dup: true });
  assert.equal(keys.size, 1);
  assert.ok(isHexKey([...keys][0]));
  assert.deepEqual(client.unsent, []);
});

test("one receiver's messages keep their order, and nobody waits for another receiver", async (t) => {
  const { clock, client, connected } = await scene(t);
  const { connection } = await connected();
  const acks = [client.sendMessage(8, "one"), client.sendMessage(8, "two"), client.sendMessage(9, "other")];
  const first = await connection.next();
  const other = await connection.next();
  assert.deepEqual([first.d.content, other.d.content], ["one", "other"]);
  connection.send({ t: "err", id: first.id, code: "try_later", msg: "the store is away", retry_after: 2 });
  connection.ack(other, { message_id: 3, create_time: 3 });
  await acks[2];
  await settled();
  clock.advance(2_249);
  await settled();
  assert.equal(connection.waiting, 0, "not before the hint, and two not before one");
  clock.advance(1);
  const repeated = await connection.next();
  assert.deepEqual(repeated.d, first.d);
  connection.ack(repeated, { message_id: 1, create_time: 1 });
  await acks[0];
  const second = await connection.next();
  assert.equal(second.d.content, "two");
  connection.ack(second, { message_id: 2, create_time: 2 });
  await acks[1];
});

test("a message that is refused for good ends, and the next one goes", async (t) => {
  const { client, connected } = await scene(t);
  const { connection } = await connected();
  const [bad, good] = [client.sendMessage(8, ""), client.sendMessage(8, "x")];
  const request = await connection.next();
  connection.send({ t: "err", id: request.id, code: "bad_request", msg: "content is empty" });
  await assert.rejects(bad, { code: "bad_request" });
  connection.ack(await connection.next(), { message_id: 1, create_time: 1 });
  await good;
});

test("an ack that does not come is asked for again on the same connection", async (t) => {
  const { clock, client, connected } = await scene(t);
  const { connection } = await connected();
  const sent = client.sendMessage(8, "x");
  const first = await connection.next();
  clock.advance(10_000);
  await settled();
  clock.advance(250);
  const second = await connection.next();
  assert.equal(second.d.key, first.d.key);
  connection.ack(second, { message_id: 1, create_time: 1, dup: true });
  await sent;
});

test("the outbox is bounded", async (t) => {
  const { client } = await scene(t, { outboxLimit: 2 });
  client.sendMessage(8, "one").catch(() => {});
  client.sendMessage(9, "two", { key: "from-an-earlier-life-0" }).catch(() => {});
  await assert.rejects(client.sendMessage(8, "three"), { code: "outbox_full" });
  assert.deepEqual(client.unsent.map((message) => message.content), ["one", "two"]);
  assert.equal(client.unsent[1].key, "from-an-earlier-life-0");
});

// ---- Watches ----------------------------------------------------------------------------------------------------------

test("rooms, friends and the feed are joined again, and what changed meanwhile is told", async (t) => {
  const { client, connected, again } = await scene(t);
  let { connection } = await connected();
  const answers = {
    "video.watch": { video_id: 5, favorite_count: 1, comment_count: 2, viewers: 3 },
    "presence.watch": { users: [{ user_id: 8, online: true }] },
    "feed.watch": { newer: 0 },
  };
  const answer = async () => {
    const request = await connection.next();
    connection.ack(request, answers[request.t]);
    return [request.t, request.d];
  };
  const joined = [client.watchVideo(5), client.watchPresence([8]), client.watchFeed(1000), client.watchVideo(6)];
  const asked = [await answer(), await answer(), await answer(), await answer()];
  await Promise.all(joined);
  client.unwatchVideo(6);
  const leave = await connection.next();
  assert.deepEqual([leave.t, leave.d], ["video.unwatch", { video_id: 6 }]);
  const waiting = reaches(client, "waiting");
  connection.cut();
  await waiting;

  answers["video.watch"].favorite_count = 9;
  answers["presence.watch"].users[0].online = false;
  answers["feed.watch"].newer = 4;
  const told = Promise.all(["video.counters", "video.viewers", "presence", "feed.new"].map((type) => once(client, type)));
  ({ connection } = await again());
  const renewed = [await answer(), await answer(), await answer()];
  assert.deepEqual(renewed, asked.slice(0, 3));
  assert.deepEqual(await told, [
    { video_id: 5, favorite_count: 9, comment_count: 2 },
    { video_id: 5, viewers: 3 },
    { user_id: 8, online: false },
    { newer: 4 },
  ]);
});

test("a watch that is refused at first is rejected, and later told; neither is asked for again", async (t) => {
  const { client, connected, again } = await scene(t);
  let { connection } = await connected();
  const refuse = (request) => connection.send({ t: "err", id: request.id, code: "not_found", msg: "no such video" });
  const never = client.watchVideo(1);
  refuse(await connection.next());
  await assert.rejects(never, { code: "not_found" });
  const joined = client.watchVideo(2);
  connection.ack(await connection.next(), { video_id: 2, favorite_count: 0, comment_count: 0, viewers: 1 });
  await joined;
  for (const left of [1, 0]) {
    const waiting = reaches(client, "waiting");
    connection.cut();
    await waiting;
    const told = once(client, "unwatched");
    ({ connection } = await again());
    if (left === 1) {
      refuse(await connection.next());
      const { name, video_id, error } = await told;
      assert.deepEqual([name, video_id, error.code], ["video:2", 2, "not_found"]);
    } else {
      client.request("ping").catch(() => {});
      assert.equal((await connection.next()).t, "ping", "nothing is asked for before it");
    }
  }
});

test("typing is sent at most once in three seconds, and its end at once", async (t) => {
  const { clock, client, connected } = await scene(t);
  client.typing(8);
  const { connection } = await connected();
  for (let index = 0; index < 61; index += 1) {
    client.typing(8);
    clock.advance(50);
  }
  client.typing(8, false);
  client.typing(8, false);
  client.request("ping").catch(() => {});
  const got = [];
  for (let request = await connection.next(); request.t !== "ping"; request = await connection.next()) {
    got.push(request.d.on);
  }
  assert.deepEqual(got, [true, true, false]);
});

test("without any WebSocket the constructor says what to do", () => {
  const { WebSocket: global } = globalThis;
  if (global) return;
  assert.throws(() => new OvationClient({ url: "ws://127.0.0.1:1/ws" }), /options\.WebSocket/);
});

test("the client in 30 lines of the book goes on where it was, takes a gap, and stops when told to", async (t) => {
  const { server } = await scene(t);
  const book = readFileSync(new URL("../../docs/protocol.md", import.meta.url), "utf8");
  const [, code] = book.match(/```js\n([^]*?)```/);
  assert.ok(code.trim().split("\n").length <= 36);
  class Here extends TestWebSocket {
    constructor(url, protocol) {
      assert.equal(url, "wss://example.org/ws");
      super(server.url, [protocol]);
    }
  }
  const pauses = [];
  const soon = (run, ms) => {
    pauses.push(ms);
    setImmediate(run);
  };
  const make = new Function("WebSocket", "location", "setTimeout", `${code}; return ovation;`);
  const ovation = make(Here, { host: "example.org" }, soon);
  const seen = [];
  ovation("token-of-ann", (type, d) => seen.push(d.n), () => seen.push("reload"));

  const first = await server.connection();
  assert.deepEqual((await first.greet()).d, { token: "token-of-ann", client: "minimal/1" });
  for (const seq of [42, 43, 43]) first.send(event(seq));
  first.close(3001, { reason: "restart", retry_after: 2 });
  const second = await server.connection();
  assert.deepEqual((await second.greet({ seq: 50, epoch: "e2" })).d.resume, { epoch: "e1", seq: 43 });
  assert.ok(pauses[0] >= 2000 && pauses[0] < 3000, `${pauses}`);
  second.send({ t: "gap", d: { oldest: 1, newest: 50 } });
  second.send(event(51));
  second.cut();
  const third = await server.connection();
  assert.deepEqual((await third.next()).d.resume, { epoch: "e2", seq: 51 });
  third.close(3500, { reason: "invalid_token" });
  await third.ended;
  await settled();
  assert.deepEqual(seen, ["reload", 42, 43, "reload", 51]);
  assert.equal(pauses.length, 2);
});
