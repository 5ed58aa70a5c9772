import { OvationError } from "./errors.js";

/**
 * What the client watches: rooms of videos, friends, the feed. The server forgets all of it with the connection, so it
 * is asked for again on every new one, until it is not wanted any more.
 */
export class Watches {
  /**
   * @param {object} options
   * @param {(t: string, d: object) => Promise<object>} options.send one attempt
   * @param {(t: string, d: object) => void} options.emit what a renewed watch brings, in the words of the live events
   * @param {(run: () => void, ms: number) => unknown} options.delay
   * @param {(timer: unknown) => void} options.cancel
   * @param {() => import("./timing.js").Backoff} options.backoff
   */
  constructor({ send, emit, delay, cancel, backoff }) {
    this.send = send;
    this.emit = emit;
    this.delay = delay;
    this.cancel = cancel;
    this.backoff = backoff;
    /** @type {Map<string, any>} */
    this.wanted = new Map();
    this.online = false;
  }

  /**
   * Watches under a name; a former watch of that name is replaced.
   * @param {string} name
   * @param {string} t the operation
   * @param {object} d
   * @param {(ack: any, emit: (t: string, d: object) => void) => void} renewed tells what a renewed watch brought
   * @returns {Promise<any>} the first ack
   */
  want(name, t, d, renewed) {
    this.drop(name);
    return new Promise((resolve, reject) => {
      const watch = { t, d, renewed, resolve, reject, known: false, timer: null, backoff: this.backoff() };
      this.wanted.set(name, watch);
      if (this.online) this.#ask(name, watch);
    });
  }

  /**
   * Is not wanted any more. False when it was not watched.
   * @param {string} name
   */
  drop(name) {
    const watch = this.wanted.get(name);
    if (!watch) return false;
    this.wanted.delete(name);
    this.cancel(watch.timer);
    if (!watch.known) watch.reject(new OvationError("withdrawn", `${name} is not wanted any more`));
    return true;
  }

  /** There is a connection: everything is asked for. */
  resume() {
    this.online = true;
    for (const [name, watch] of this.wanted) this.#ask(name, watch);
  }

  /** There is none. */
  pause() {
    this.online = false;
    for (const watch of this.wanted.values()) {
      this.cancel(watch.timer);
      watch.timer = null;
    }
  }

  /**
   * Nothing is wanted any more.
   * @param {OvationError} error
   */
  clear(error) {
    this.pause();
    const watches = [...this.wanted.values()];
    this.wanted.clear();
    for (const watch of watches) if (!watch.known) watch.reject(error);
  }

  async #ask(name, watch) {
    try {
      const ack = await this.send(watch.t, watch.d);
      if (this.wanted.get(name) !== watch) return;
      watch.backoff.reset();
      if (watch.known) watch.renewed(ack, this.emit);
      watch.known = true;
      watch.resolve(ack);
    } catch (error) {
      if (this.wanted.get(name) !== watch || error.code === "disconnected") return;
      if (error.code === "timeout" || error.isTemporary) {
        if (!this.online) return;
        const pause = watch.backoff.next((error.retryAfter ?? 0) * 1000);
        watch.timer = this.delay(() => this.#ask(name, watch), pause);
        return;
      }
      this.wanted.delete(name);
      if (watch.known) this.emit("unwatched", { name, ...watch.d, error });
      else watch.reject(error);
    }
  }
}
