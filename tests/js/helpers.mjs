// What the tests of the client share: a clock that only tests move, and a client on a fake server.

import { webcrypto } from "node:crypto";

import { OvationClient } from "../../static/js/client.js";
import { FakeServer } from "./fake_server.mjs";
import { TestWebSocket } from "./websocket.mjs";

/** Time stands still until `advance`. */
export class FakeClock {
  #now = 0;
  #last = 0;
  #timers = new Map();

  now() {
    return this.#now;
  }

  setTimeout(run, ms) {
    this.#timers.set(++this.#last, { run, at: this.#now + ms });
    return this.#last;
  }

  clearTimeout(timer) {
    this.#timers.delete(timer);
  }

  /** Moves on, running what becomes due in its order. */
  advance(ms) {
    const end = this.#now + ms;
    for (;;) {
      const due = [...this.#timers].filter(([, timer]) => timer.at <= end).sort(([, a], [, b]) => a.at - b.at)[0];
      if (!due) break;
      this.#timers.delete(due[0]);
      this.#now = Math.max(this.#now, due[1].at);
      due[1].run();
    }
    this.#now = end;
  }

  /** Timers that are still set. */
  get pending() {
    return this.#timers.size;
  }
}

/** The first event of a type for which `wanted` holds. */
export function once(client, type, wanted = () => true) {
  return new Promise((resolve) => {
    const stop = client.on(type, (d) => {
      if (!wanted(d)) return;
      stop();
      resolve(d);
    });
  });
}

/** The next time that the client is in a state. */
export const reaches = (client, state) => once(client, "state", (d) => d.state === state);

/** Lets everything run that is ready already. */
export const settled = () => new Promise((resolve) => setImmediate(resolve));

/** A client and a fake server that end with the test. */
export async function scene(t, options = {}) {
  const server = await FakeServer.start();
  const clock = new FakeClock();
  const client = new OvationClient({
    url: server.url,
    token: "token-of-ann",
    // The real one where there is one (Node 22 and later).
    WebSocket: globalThis.WebSocket ?? TestWebSocket,
    crypto: webcrypto,
    random: () => 0.5,
    clock,
    ...options,
  });
  t.after(() => {
    client.close();
    server.stop();
  });
  /** Connects and is greeted; the server's side of it. */
  const connected = async (welcome) => {
    client.connect();
    const connection = await server.connection();
    const greeted = once(client, "welcome");
    const hello = await connection.greet(welcome);
    await greeted;
    return { connection, hello };
  };
  /** After the pause: the next connection, greeted. */
  const again = async (welcome) => {
    client.retryNow();
    const connection = await server.connection();
    const greeted = once(client, "welcome");
    const hello = await connection.greet(welcome);
    await greeted;
    return { connection, hello };
  };
  return { server, clock, client, connected, again };
}
