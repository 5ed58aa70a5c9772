// Frames of RFC 6455, section 5.2, for both ends of the tests: text, close, ping and pong, fragments put together.
// No check beyond what the tests need; the server's own conformance is tested elsewhere.

import { createHash, randomBytes } from "node:crypto";

export const TEXT = 1;
export const CLOSE = 8;
export const PING = 9;
export const PONG = 10;

/** What proves that the other end understood the key. */
export function accept(key) {
  return createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
}

/** One whole frame; a client masks, a server does not. */
export function encode(opcode, payload, masked) {
  const length = payload.length;
  const head = [0x80 | opcode];
  const mark = masked ? 0x80 : 0;
  if (length < 126) head.push(mark | length);
  else if (length < 65536) head.push(mark | 126, length >> 8, length & 255);
  else head.push(mark | 127, 0, 0, 0, 0, length >>> 24, (length >>> 16) & 255, (length >>> 8) & 255, length & 255);
  if (!masked) return Buffer.concat([Buffer.from(head), payload]);
  const mask = randomBytes(4);
  return Buffer.concat([Buffer.from(head), mask, payload.map((byte, index) => byte ^ mask[index % 4])]);
}

/** A close frame's payload. */
export function closePayload(code, reason) {
  const head = Buffer.alloc(2);
  head.writeUInt16BE(code);
  return Buffer.concat([head, Buffer.from(reason)]);
}

/** Takes bytes as they come and gives whole messages as `(opcode, payload)`. */
export class Decoder {
  #bytes = Buffer.alloc(0);
  #parts = [];
  #opcode = 0;

  push(more, message) {
    this.#bytes = Buffer.concat([this.#bytes, more]);
    for (let frame = this.#take(); frame; frame = this.#take()) {
      const { fin, opcode, payload } = frame;
      if (opcode >= CLOSE) {
        message(opcode, payload);
        continue;
      }
      if (opcode !== 0) this.#opcode = opcode;
      this.#parts.push(payload);
      if (fin) message(this.#opcode, Buffer.concat(this.#parts.splice(0)));
    }
  }

  #take() {
    const bytes = this.#bytes;
    if (bytes.length < 2) return null;
    const masked = (bytes[1] & 0x80) !== 0;
    let [start, length] = [2, bytes[1] & 0x7f];
    if (length === 126) {
      if (bytes.length < 4) return null;
      [start, length] = [4, bytes.readUInt16BE(2)];
    } else if (length === 127) {
      if (bytes.length < 10) return null;
      [start, length] = [10, Number(bytes.readBigUInt64BE(2))];
    }
    const data = start + (masked ? 4 : 0);
    if (bytes.length < data + length) return null;
    let payload = bytes.subarray(data, data + length);
    if (masked) {
      const mask = bytes.subarray(start, data);
      payload = payload.map((byte, index) => byte ^ mask[index % 4]);
    }
    this.#bytes = bytes.subarray(data + length);
    return { fin: (bytes[0] & 0x80) !== 0, opcode: bytes[0] & 15, payload };
  }
}
