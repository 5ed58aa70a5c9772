import { OvationError } from "./errors.js";

/**
 * Messages on their way: each is sent until it is acknowledged, across any number of connections.
 *
 * Every message has a random key, and the server stores a key once; so a message whose ack was lost is simply sent
 * again. One message is in flight for each receiver: were a second one sent while the first is refused with "try later",
 * it could overtake it. Conversations do not wait for each other.
 */
export class Outbox {
  /**
   * @param {object} options
   * @param {number} options.limit messages at most, over all receivers
   * @param {(d: object) => Promise<object>} options.send one attempt: the ack, or an `OvationError`
   * @param {(run: () => void, ms: number) => unknown} options.delay
   * @param {(timer: unknown) => void} options.cancel
   * @param {() => import("./timing.js").Backoff} options.backoff for attempts the server refused without a hint
   */
  constructor({ limit, send, delay, cancel, backoff }) {
    this.limit = limit;
    this.send = send;
    this.delay = delay;
    this.cancel = cancel;
    this.backoff = backoff;
    /** @type {Map<number, {waiting: Entry[], sending: boolean, timer: unknown, backoff: any}>} by receiver */
    this.lanes = new Map();
    this.online = false;
  }

  /** How many messages are not acknowledged. */
  get size() {
    let size = 0;
    for (const lane of this.lanes.values()) size += lane.waiting.length;
    return size;
  }

  /** The messages that are not acknowledged, oldest first for each receiver; for storage. */
  get unsent() {
    return [...this.lanes.values()].flatMap((lane) => lane.waiting.map((entry) => entry.d));
  }

  /**
   * Takes a message. The promise ends with its ack, or with why it never will be sent.
   * @param {{to_user_id: number, content: string, key: string}} d
   * @returns {Promise<{message_id: number, create_time: number, dup?: true}>}
   */
  add(d) {
    if (this.size >= this.limit) {
      return Promise.reject(new OvationError("outbox_full", `${this.limit} messages wait already`));
    }
    const lane = this.lanes.get(d.to_user_id) ?? { waiting: [], sending: false, timer: null, backoff: this.backoff() };
    this.lanes.set(d.to_user_id, lane);
    return new Promise((resolve, reject) => {
      lane.waiting.push({ d, resolve, reject });
      this.#advance(d.to_user_id);
    });
  }

  /** There is a connection: everything that waits goes out. */
  resume() {
    this.online = true;
    for (const receiver of [...this.lanes.keys()]) this.#advance(receiver);
  }

  /** There is none: everything stays until there is. */
  pause() {
    this.online = false;
    for (const lane of this.lanes.values()) {
      this.cancel(lane.timer);
      lane.timer = null;
    }
  }

  /**
   * Gives everything up.
   * @param {OvationError} error
   */
  clear(error) {
    this.pause();
    const lanes = [...this.lanes.values()];
    this.lanes.clear();
    for (const lane of lanes) for (const entry of lane.waiting) entry.reject(error);
  }

  #advance(receiver) {
    const lane = this.lanes.get(receiver);
    if (!lane || !this.online || lane.sending || lane.timer !== null) return;
    const entry = lane.waiting[0];
    if (!entry) {
      this.lanes.delete(receiver);
      return;
    }
    lane.sending = true;
    const done = (finish) => {
      lane.sending = false;
      // Given up while it was under way.
      if (this.lanes.get(receiver) !== lane) return;
      finish();
      this.#advance(receiver);
    };
    this.send(entry.d).then(
      (ack) => done(() => this.#settle(lane, () => entry.resolve(ack))),
      (error) => done(() => this.#refused(receiver, lane, entry, error)),
    );
  }

  #settle(lane, tell) {
    lane.waiting.shift();
    lane.backoff.reset();
    tell();
  }

  #refused(receiver, lane, entry, error) {
    // Lost on the way: the next connection, or the next attempt on this one, sends it again under the same key.
    if (error.code === "disconnected") return;
    if (error.code !== "timeout" && !error.isTemporary) {
      this.#settle(lane, () => entry.reject(error));
      return;
    }
    const pause = lane.backoff.next((error.retryAfter ?? 0) * 1000);
    lane.timer = this.delay(() => {
      lane.timer = null;
      this.#advance(receiver);
    }, pause);
  }
}

/**
 * @typedef {{d: {to_user_id: number, content: string, key: string},
 *   resolve: (ack: any) => void, reject: (error: OvationError) => void}} Entry
 */
