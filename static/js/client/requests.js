import { OvationError } from "./errors.js";
import { Pace } from "./timing.js";

/** Requests that may wait for their answer or for a connection. */
const LIMIT = 256;
/** Bytes of a request and operations a second, before a `welcome` has said how many. */
const LIMITS = { message_bytes: 32_768, operations_per_second: 50 };

/**
 * Requests and their answers: ids, times, the announced bounds. Knows nothing of what an operation means.
 */
export class Requests {
  #clock;
  #limits = LIMITS;
  #pace;
  #write = null;
  #lastId = 0;
  #timer = null;
  /** @type {Map<string, {text: string, sent: boolean, bound: boolean, timer: unknown, resolve: Function, reject: Function}>} */
  #open = new Map();
  /** Ids of those that are not sent yet, in order; with some that were given up meanwhile. @type {string[]} */
  #queue = [];

  /** @param {import("../client.js").Clock} clock */
  constructor(clock) {
    this.#clock = clock;
    this.#pace = new Pace(LIMITS.operations_per_second, clock.now());
  }

  /**
   * There is a connection.
   * @param {{message_bytes: number, operations_per_second: number}} limits as announced
   * @param {(text: string) => void} write
   */
  resume(limits, write) {
    this.#limits = limits;
    this.#pace = new Pace(limits.operations_per_second, this.#clock.now());
    this.#write = write;
  }

  /** There is none: what may have reached the server, and what is of no use on another connection, has failed. */
  pause(error) {
    this.#write = null;
    this.#clock.clearTimeout(this.#timer);
    this.#timer = null;
    this.#reject((request) => request.sent || request.bound, error);
  }

  /** Everything has failed. */
  clear(error) {
    this.pause(error);
    this.#reject(() => true, error);
  }

  /**
   * @param {string} t
   * @param {object} d
   * @param {number} timeoutMs until the answer, waiting included
   * @param {boolean} bound of no use on another connection, because whoever asks will ask again there
   * @returns {Promise<any>}
   */
  add(t, d, timeoutMs, bound) {
    if (!bound && this.#open.size >= LIMIT) {
      return Promise.reject(new OvationError("busy", `${LIMIT} requests wait already`));
    }
    const id = String(++this.#lastId);
    const text = JSON.stringify({ t, id, d });
    const most = this.#limits.message_bytes;
    if (new TextEncoder().encode(text).length > most) {
      return Promise.reject(new OvationError("too_large", `${t} is larger than ${most} bytes`));
    }
    return new Promise((resolve, reject) => {
      const late = () => this.#finish(id, () => reject(new OvationError("timeout", `no answer to ${t} in time`)));
      const timer = this.#clock.setTimeout(late, timeoutMs);
      this.#open.set(id, { text, sent: false, bound, timer, resolve, reject });
      this.#queue.push(id);
      this.drain();
    });
  }

  /** A request has succeeded. One whose time was over is not known any more. */
  resolve(id, d) {
    this.#finish(id, (request) => request.resolve(d));
  }

  /** A request was refused. */
  reject(id, error) {
    this.#finish(id, (request) => request.reject(error));
  }

  /** Sends what the announced pace allows, and the rest when it does. */
  drain() {
    if (!this.#write || this.#timer !== null) return;
    while (this.#queue.length > 0) {
      const request = this.#open.get(this.#queue[0]);
      const pauseMs = request ? this.#pace.take(this.#clock.now()) : 0;
      if (pauseMs > 0) {
        this.#timer = this.#clock.setTimeout(() => {
          this.#timer = null;
          this.drain();
        }, pauseMs);
        return;
      }
      this.#queue.shift();
      if (!request) continue;
      request.sent = true;
      this.#write(request.text);
    }
  }

  #finish(id, end) {
    const request = this.#open.get(id);
    if (!request) return;
    this.#open.delete(id);
    this.#clock.clearTimeout(request.timer);
    end(request);
  }

  #reject(which, error) {
    for (const [id, request] of [...this.#open]) if (which(request)) this.reject(id, error);
    this.#queue = this.#queue.filter((id) => this.#open.has(id));
  }
}
