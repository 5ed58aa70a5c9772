// A WebSocket for Node without a global one (before 22): as much of the browser's interface as a client of text needs.

import { randomBytes } from "node:crypto";
import net from "node:net";

import { CLOSE, Decoder, PING, PONG, TEXT, accept, closePayload, encode } from "./frames.mjs";

export class TestWebSocket {
  onopen = () => {};
  onmessage = () => {};
  onclose = () => {};
  onerror = () => {};
  #socket;
  #ended = false;
  #close = { code: 1006, reason: "" };

  /** Every one that was made, so that a test can cut its connection. */
  static made = [];

  constructor(url, protocols = []) {
    TestWebSocket.made.push(this);
    const { hostname, port, pathname } = new URL(url);
    const key = randomBytes(16).toString("base64");
    this.#socket = net.connect(Number(port), hostname, () => {
      const offered = protocols.length > 0 ? `Sec-WebSocket-Protocol: ${protocols.join(", ")}\r\n` : "";
      this.#socket.write(
        `GET ${pathname} HTTP/1.1\r\nHost: ${hostname}:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
          `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n${offered}\r\n`,
      );
    });
    this.#socket.setNoDelay(true);
    this.#socket.on("error", () => this.onerror({}));
    this.#socket.on("close", () => this.#end());
    this.#read(key);
  }

  send(text) {
    this.#put(TEXT, Buffer.from(text));
  }

  close(code = 1000, reason = "") {
    this.#put(CLOSE, closePayload(code, reason));
    this.#socket.end();
  }

  /** Ends the connection as a lost network does: without a word. */
  cut() {
    this.#socket.destroy();
  }

  #read(key) {
    let head = Buffer.alloc(0);
    let open = false;
    const decoder = new Decoder();
    this.#socket.on("data", (bytes) => {
      if (open) {
        decoder.push(bytes, (opcode, payload) => this.#message(opcode, payload));
        return;
      }
      head = Buffer.concat([head, bytes]);
      const end = head.indexOf("\r\n\r\n");
      if (end < 0) return;
      const text = head.subarray(0, end).toString();
      if (!text.startsWith("HTTP/1.1 101") || !text.includes(accept(key))) {
        this.#socket.destroy();
        return;
      }
      open = true;
      this.onopen({});
      decoder.push(head.subarray(end + 4), (opcode, payload) => this.#message(opcode, payload));
    });
  }

  #message(opcode, payload) {
    if (opcode === TEXT) this.onmessage({ data: payload.toString() });
    if (opcode === PING) this.#put(PONG, payload);
    if (opcode === CLOSE) {
      const code = payload.length >= 2 ? payload.readUInt16BE(0) : 1005;
      this.#close = { code, reason: payload.subarray(2).toString() };
      this.#put(CLOSE, payload);
      this.#socket.end();
    }
  }

  #put(opcode, payload) {
    if (this.#socket.writable) this.#socket.write(encode(opcode, payload, true));
  }

  #end() {
    if (this.#ended) return;
    this.#ended = true;
    this.onclose(this.#close);
  }
}
