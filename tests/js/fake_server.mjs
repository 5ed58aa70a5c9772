// A server that says what a test wants, over real sockets (RFC 6455, text only), on a free port of the loopback.

import http from "node:http";

import { CLOSE, Decoder, TEXT, accept, closePayload, encode } from "./frames.mjs";

/** Limits as in docs/protocol.md. */
export const LIMITS = { message_bytes: 32768, operations_per_second: 50, rooms: 16, connections: 16, presence: 200 };

/** A queue that can be waited on. */
class Queue {
  #items = [];
  #waiting = [];

  put(item) {
    const waiting = this.#waiting.shift();
    if (waiting) waiting(item);
    else this.#items.push(item);
  }

  next() {
    if (this.#items.length > 0) return Promise.resolve(this.#items.shift());
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  get length() {
    return this.#items.length;
  }
}

/** A connection as the server sees it. */
class Connection {
  ended;
  #frames = new Queue();
  #socket;

  constructor(socket) {
    this.#socket = socket;
    const decoder = new Decoder();
    socket.on("data", (bytes) =>
      decoder.push(bytes, (opcode, payload) => {
        if (opcode === TEXT) this.#frames.put(JSON.parse(payload.toString()));
        if (opcode === CLOSE) socket.end();
      }),
    );
    socket.on("error", () => {});
    this.ended = new Promise((resolve) => socket.on("close", resolve));
  }

  /** The next request. */
  next() {
    return this.#frames.next();
  }

  /** How many requests came that were not looked at. */
  get waiting() {
    return this.#frames.length;
  }

  send(frame) {
    this.sendText(JSON.stringify(frame));
  }

  sendText(text) {
    this.#socket.write(encode(TEXT, Buffer.from(text), false));
  }

  ack(request, d) {
    this.send({ t: "ack", id: request.id, d });
  }

  /** Takes the hello and greets; the hello. */
  async greet(more = {}) {
    const hello = await this.next();
    const stream = hello.d.token ? { user_id: 7, epoch: "e1", seq: 41, replay: 0, unread: 0 } : {};
    this.send({ t: "welcome", id: hello.id, d: { session_id: "s", heartbeat: 25, limits: LIMITS, ...stream, ...more } });
    return hello;
  }

  close(code, reason = {}) {
    this.#socket.end(encode(CLOSE, closePayload(code, JSON.stringify(reason)), false));
  }

  cut() {
    this.#socket.destroy();
  }
}

export class FakeServer {
  #http = http.createServer();
  #connections = new Queue();
  #sockets = new Set();

  static async start() {
    const server = new FakeServer();
    server.#http.on("upgrade", (request, socket) => {
      socket.write(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
          `Sec-WebSocket-Accept: ${accept(request.headers["sec-websocket-key"])}\r\n` +
          `Sec-WebSocket-Protocol: ${request.headers["sec-websocket-protocol"]}\r\n\r\n`,
      );
      server.#sockets.add(socket);
      server.#connections.put(new Connection(socket));
    });
    await new Promise((resolve) => server.#http.listen(0, "127.0.0.1", resolve));
    return server;
  }

  get url() {
    return `ws://127.0.0.1:${this.#http.address().port}/ws`;
  }

  /** The next connection that a client makes. */
  connection() {
    return this.#connections.next();
  }

  stop() {
    for (const socket of this.#sockets) socket.destroy();
    this.#http.close();
  }
}
