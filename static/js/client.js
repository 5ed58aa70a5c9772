/**
 * A client of Ovation's real-time protocol (docs/protocol.md), for browsers and for Node. No dependencies.
 *
 * ```js
 * const client = new OvationClient({ url: "wss://example.org/ws", token, resume: JSON.parse(stored) });
 * client.on("message.new", (message) => show(message));
 * client.on("gap", () => reloadLists());
 * client.on("position", (position) => store(JSON.stringify(position)));
 * await client.connect();
 * const { message_id } = await client.sendMessage(8, "hello");
 * ```
 *
 * What it owns: one connection at a time, when to make the next one, and what must outlive a connection: the position in
 * the user's stream of events, messages that are not acknowledged (client/outbox.js), and what is watched
 * (client/watches.js). What it never does: show anything, store anything, ask the REST endpoints.
 *
 * ## States
 *
 * ```text
 *            connect()                 socket open, hello → welcome
 *   idle ──────────────▶ connecting ─────────────────────────────────▶ live
 *    ▲                    ▲      │ │                                   ▲  │
 *    │ close(),           │      │ └──welcome, events are missing──▶ replaying
 *    │ from every state   │      │                synced or gap ───────┘  │
 *    │                    │ pause is over         │                       │
 *    │                    │      ▼                ▼                       ▼
 *    │                  waiting ◀────────── the connection is lost, whatever the way
 *    │                                            │
 *    └────────────────── stopped ◀── closed with 3500–3999; connect() starts again, with another token if given
 * ```
 *
 * - `connecting` ends after `connectTimeoutMs` like a lost connection. The token is asked for on each attempt.
 * - `waiting` lasts the server's `retry_after`, plus 0 to `min(backoffMaxMs, backoffBaseMs * 2^n)`. `n` counts failures
 *   and starts again when a connection has lasted `stableMs`; so a server that greets and closes isn't hammered.
 *   `retryNow()` cuts it short, for a page that hears that the network is back.
 * - `replaying` and `live` differ only in what the page may show: requests work in both.
 * - Silence: after `heartbeat` seconds without a sign of the server a ping is sent, after twice that long the connection
 *   is lost. (A browser answers the server's own pings by itself and does not tell the page.)
 *
 * ## What is promised
 *
 * - Each durable event is delivered once and in order, over all connections, as long as `position` is kept. After its
 *   handlers have run, `position` moves behind it. Where the server cannot replay, `gap` says so once.
 * - `sendMessage` sends until it is acknowledged; the server stores it once. Messages to one receiver keep their order.
 * - Other requests are sent once. A lost connection rejects them with `disconnected`: they may have been done.
 * - Never more operations a second than `welcome` announces.
 *
 * ## Events
 *
 * Every event of the protocol under its own name, as `(d, frame)`; `*` hears all of those. And of the client itself:
 * `state` `{state, …}`, `welcome` (its `d`), `synced` `{seq}`, `gap` `{oldest, newest, former}`, `position`
 * `{user_id, epoch, seq}`, `unwatched` (a renewed watch was refused), `error` (an `OvationError`, or what a handler threw).
 */

import { OvationError } from "./client/errors.js";
import { Outbox } from "./client/outbox.js";
import { Requests } from "./client/requests.js";
import { Backoff } from "./client/timing.js";
import { Watches } from "./client/watches.js";

export { OvationError };

/**
 * @typedef {object} Options
 * @property {string} url `ws://…/ws` or `wss://…/ws`
 * @property {string | null | (() => string | null | Promise<string | null>)} [token] none for a guest
 * @property {string} [client] what this program calls itself, for the server's log
 * @property {Position | null} [resume] the `position` of an earlier life of this client
 * @property {typeof WebSocket} [WebSocket] where there is no global one (Node before 22)
 * @property {Crypto} [crypto] where there is no global one (Node before 19)
 * @property {Clock} [clock] for tests
 * @property {() => number} [random] from 0 to below 1; for tests
 * @property {number} [outboxLimit] unacknowledged messages at most; 100
 * @property {number} [requestTimeoutMs] 10,000
 * @property {number} [connectTimeoutMs] 10,000
 * @property {number} [backoffBaseMs] 500
 * @property {number} [backoffMaxMs] 30,000
 * @property {number} [stableMs] 10,000
 *
 * @typedef {{user_id: number, epoch: string, seq: number}} Position
 * @typedef {{now(): number, setTimeout(run: () => void, ms: number): unknown, clearTimeout(timer: unknown): void}} Clock
 * @typedef {"idle" | "connecting" | "replaying" | "live" | "waiting" | "stopped"} State
 */

/** A receiver shows `typing` for 6 s; renewing it after 3 bridges one lost renewal. */
const TYPING_RENEWAL_MS = 3_000;

const SYSTEM_CLOCK = {
  now: () => performance.now(),
  setTimeout: (run, ms) => setTimeout(run, ms),
  clearTimeout: (timer) => clearTimeout(timer),
};

/** A connection to Ovation that heals itself. See the head of this file. */
export class OvationClient {
  /** @type {State} */
  #state = "idle";
  /** @type {Position | null} */
  #position = null;
  /** @type {Map<string, Set<Function>>} */
  #handlers = new Map();
  #socket = null;
  #timers = { attempt: null, heartbeat: null, stable: null };
  #welcome = null;
  #resumed = false;
  #denied = null;
  #heardAt = 0;
  #typed = new Map();
  #greeted = null;

  /** @param {Options} options */
  constructor(options) {
    const { WebSocket: Socket = globalThis.WebSocket, crypto = globalThis.crypto } = options;
    if (!Socket) throw new TypeError("no WebSocket here: pass a class as options.WebSocket");
    this.#options = {
      client: "ovation.js/1",
      requestTimeoutMs: 10_000,
      connectTimeoutMs: 10_000,
      backoffBaseMs: 500,
      backoffMaxMs: 30_000,
      stableMs: 10_000,
      outboxLimit: 100,
      random: Math.random,
      clock: SYSTEM_CLOCK,
      ...options,
      Socket,
      crypto,
    };
    this.#position = options.resume ?? null;
    this.#backoff = this.#newBackoff();
    const clock = this.#options.clock;
    const shared = {
      delay: (run, ms) => clock.setTimeout(run, ms),
      cancel: (timer) => clock.clearTimeout(timer),
      backoff: () => this.#newBackoff(),
    };
    this.#requests = new Requests(clock);
    const send = (t, d) => this.#ask(t, d);
    this.#outbox = new Outbox({ ...shared, limit: this.#options.outboxLimit, send: (d) => send("message.send", d) });
    this.#watches = new Watches({ ...shared, send, emit: (t, d) => this.#emit(t, d) });
  }

  #options;
  #backoff;
  #requests;
  #outbox;
  #watches;

  /** @returns {State} */
  get state() {
    return this.#state;
  }

  /** The last durable event that was handled; store it and pass it as `resume`. @returns {Position | null} */
  get position() {
    return this.#position && { ...this.#position };
  }

  /** The `d` of the latest `welcome`: limits, session, unread messages. */
  get welcome() {
    return this.#welcome;
  }

  /** Messages without an ack, to be stored and given to `sendMessage` again with their keys. */
  get unsent() {
    return this.#outbox.unsent;
  }

  /**
   * Hears events of a type, or of all with `*`.
   * @param {string} type
   * @param {(d: any, frame?: object) => void} handler
   * @returns {() => void} stops it
   */
  on(type, handler) {
    const handlers = this.#handlers.get(type) ?? new Set();
    this.#handlers.set(type, handlers.add(handler));
    return () => handlers.delete(handler);
  }

  /**
   * Connects, and stays so until `close()` or until the server says that it makes no sense.
   * @param {object} [change]
   * @param {Options["token"]} [change.token] instead of the former one, of the same user; a page whose user changes
   *   makes a new client
   * @returns {Promise<object>} the first `welcome`; rejected when the client is stopped or closed before
   */
  connect(change = {}) {
    if ("token" in change) this.#options.token = change.token;
    if (this.#state === "idle" || this.#state === "stopped") {
      this.#greeted = deferred();
      this.#backoff.reset();
      this.#open();
    }
    return this.#greeted.promise;
  }

  /** Ends the connection and gives up everything that waits; look at `unsent` before. `connect()` begins again. */
  close() {
    const error = new OvationError("closed", "the client was closed");
    const socket = this.#detach();
    this.#setState("idle");
    socket?.close(1000);
    this.#requests.clear(error);
    this.#outbox.clear(error);
    this.#watches.clear(error);
    this.#greeted?.reject(error);
  }

  /** In `waiting`: tries at once. For when the network is back or the page is looked at again. */
  retryNow() {
    if (this.#state !== "waiting") return;
    this.#cancel("attempt");
    this.#open();
  }

  /**
   * Sends any operation, now or as soon as there is a connection within its time.
   * @param {string} t
   * @param {object} [d]
   * @param {{timeoutMs?: number}} [options]
   * @returns {Promise<any>} the `d` of the answer, or an `OvationError`
   */
  request(t, d = {}, { timeoutMs = this.#options.requestTimeoutMs } = {}) {
    if (this.#state === "idle" || this.#state === "stopped") {
      return Promise.reject(new OvationError("closed", "the client is not connected"));
    }
    return this.#requests.add(t, d, timeoutMs, false);
  }

  /**
   * Sends a message; see the promises at the head. With the same `key`, a message of an earlier life of this client.
   * @param {number} toUserId
   * @param {string} content
   * @param {{key?: string}} [options]
   * @returns {Promise<{message_id: number, create_time: number, dup?: true}>}
   */
  sendMessage(toUserId, content, { key = this.newKey() } = {}) {
    return this.#outbox.add({ to_user_id: toUserId, content, key });
  }

  /** A key for a message: 128 random bits in hexadecimal. */
  newKey() {
    const bytes = this.#options.crypto.getRandomValues(new Uint8Array(16));
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  /** A page of a conversation, newest first. @param {{before?: number, limit?: number}} [page] */
  history(withUserId, page = {}) {
    return this.request("message.history", { with_user_id: withUserId, ...page });
  }

  /** Everything up to a message was read. @returns {Promise<{message_id: number, unread: number}>} */
  markRead(withUserId, messageId) {
    return this.request("message.read", { with_user_id: withUserId, message_id: messageId });
  }

  /** Call it on every key: it is sent once in 3 s at most, and not at all without a connection. */
  typing(toUserId, on = true) {
    const now = this.#options.clock.now();
    const last = this.#typed.get(toUserId);
    if (!this.#isOpen || (on ? now - last < TYPING_RENEWAL_MS : last === undefined)) return;
    if (on) this.#typed.set(toUserId, now);
    else this.#typed.delete(toUserId);
    this.#ask("typing", { to_user_id: toUserId, on }).catch(() => {});
  }

  /** Likes a video or takes it back. @returns {Promise<{changed: boolean}>} */
  setFavorite(videoId, on) {
    return this.request("favorite.set", { video_id: videoId, on });
  }

  /**
   * Joins the room of a video, also on later connections: then `video.counters` and `video.viewers` tell how it is.
   * @returns {Promise<{video_id: number, favorite_count: number, comment_count: number, viewers: number}>}
   */
  watchVideo(videoId) {
    return this.#watches.want(`video:${videoId}`, "video.watch", { video_id: videoId }, (ack, emit) => {
      const { viewers, ...counters } = ack;
      emit("video.counters", counters);
      emit("video.viewers", { video_id: videoId, viewers });
    });
  }

  /** Leaves the room of a video. */
  unwatchVideo(videoId) {
    if (!this.#watches.drop(`video:${videoId}`) || !this.#isOpen) return;
    this.#ask("video.unwatch", { video_id: videoId }).catch((error) => error.code === "disconnected" || this.#emit("error", error));
  }

  /**
   * Watches whether friends are online, instead of those watched before.
   * @param {number[]} userIds at most as many as `welcome` says
   * @returns {Promise<{users: {user_id: number, online: boolean, last_seen?: number}[]}>}
   */
  watchPresence(userIds) {
    return this.#watches.want("presence", "presence.watch", { user_ids: userIds }, (ack, emit) => {
      for (const user of ack.users) emit("presence", user);
    });
  }

  /** Hears of new videos. @param {number} [since] the newest publish time shown @returns {Promise<{newer: number}>} */
  watchFeed(since) {
    const d = since === undefined ? {} : { since };
    return this.#watches.want("feed", "feed.watch", d, (ack, emit) => emit("feed.new", ack));
  }

  // ---- The connection ----------------------------------------------------------------------------------------------

  /** Something that is of no use on another connection. */
  #ask(t, d) {
    return this.#requests.add(t, d, this.#options.requestTimeoutMs, true);
  }

  get #isOpen() {
    return this.#state === "live" || this.#state === "replaying";
  }

  async #open() {
    const attempt = {};
    this.#socket = attempt;
    this.#denied = null;
    this.#setState("connecting");
    this.#arm("attempt", () => this.#lost({ reason: "no welcome in time" }), this.#options.connectTimeoutMs);
    try {
      const { token, url, Socket } = this.#options;
      const text = typeof token === "function" ? await token() : token;
      // Closed, or out of time, while the token was asked for.
      if (this.#socket !== attempt) return;
      this.#listen(new Socket(url, ["ovation.v1"]), text);
    } catch (error) {
      if (this.#socket !== attempt) return;
      this.#emit("error", error);
      this.#lost({ reason: "could not begin" });
    }
  }

  #listen(socket, token) {
    this.#socket = socket;
    const current = (handle) => (event) => {
      if (this.#socket === socket) handle(event);
    };
    socket.onopen = current(() => this.#hello(token));
    socket.onmessage = current(({ data }) => this.#receive(data));
    socket.onclose = current(({ code, reason }) => this.#lost({ code, ...parseReason(reason) }));
    // A close always follows and says more.
    socket.onerror = () => {};
  }

  #hello(token) {
    const d = { client: this.#options.client };
    if (token) d.token = token;
    this.#resumed = Boolean(token && this.#position);
    if (this.#resumed) d.resume = { epoch: this.#position.epoch, seq: this.#position.seq };
    this.#socket.send(JSON.stringify({ t: "hello", id: "hello", d }));
  }

  /** Lets go of the connection and of everything that hangs on it. */
  #detach() {
    const socket = this.#socket;
    this.#socket = null;
    for (const name of Object.keys(this.#timers)) this.#cancel(name);
    this.#outbox.pause();
    this.#watches.pause();
    this.#typed.clear();
    return typeof socket?.close === "function" ? socket : null;
  }

  #lost({ code = 1006, reason = "", retry_after: retryAfter = 0 }) {
    // A peer that is gone for good would never finish the closing handshake: nobody waits for it.
    this.#detach()?.close();
    const detail = { code, reason, ...(this.#denied && { error: this.#denied }) };
    this.#requests.pause(new OvationError("disconnected", `the connection was lost: ${code} ${reason}`));
    if (code >= 3500 && code <= 3999) {
      const error = this.#denied ?? new OvationError("closed", `the server ended it: ${code} ${reason}`);
      this.#requests.clear(error);
      this.#setState("stopped", detail);
      this.#greeted.reject(error);
      return;
    }
    const hintMs = Math.max(0, Number(retryAfter) || 0) * 1000;
    const pauseMs = this.#backoff.next(hintMs);
    this.#arm("attempt", () => this.#open(), pauseMs);
    this.#setState("waiting", { ...detail, pauseMs });
  }

  #welcomed(d) {
    if (this.#position && d.user_id !== undefined && d.user_id !== this.#position.user_id) {
      this.#changeUser();
      return;
    }
    this.#cancel("attempt");
    this.#welcome = d;
    const socket = this.#socket;
    this.#requests.resume(d.limits, (text) => socket.send(text));
    this.#arm("stable", () => this.#backoff.reset(), this.#options.stableMs);
    this.#listenForSilence(d.heartbeat * 1000);
    const { epoch, seq } = this.#position ?? {};
    const complete = !this.#resumed || (d.replay === 0 && d.epoch === epoch && d.seq === seq);
    this.#setState(complete ? "live" : "replaying");
    if (!this.#resumed && d.user_id !== undefined) this.#moveTo({ user_id: d.user_id, epoch: d.epoch, seq: d.seq });
    this.#emit("welcome", d);
    this.#greeted.resolve(d);
    // A handler may have closed the client.
    if (!this.#isOpen) return;
    this.#watches.resume();
    this.#outbox.resume();
    this.#requests.drain();
  }

  /** The token is another user's: what was kept for the former one must reach neither. */
  #changeUser() {
    const error = new OvationError("other_user", "the token is another user's");
    this.#position = null;
    this.#requests.clear(error);
    this.#outbox.clear(error);
    this.#watches.clear(error);
    this.#lost({ reason: "another user" });
  }

  #listenForSilence(heartbeatMs) {
    const { clock } = this.#options;
    const silentFor = () => clock.now() - this.#heardAt;
    const check = () => {
      const silent = silentFor();
      if (silent >= 2 * heartbeatMs) {
        this.#lost({ reason: "silence" });
        return;
      }
      if (silent >= heartbeatMs) this.#ask("ping", {}).catch(() => {});
      const next = silent >= heartbeatMs ? 2 * heartbeatMs - silent : heartbeatMs - silent;
      this.#arm("heartbeat", check, next);
    };
    this.#arm("heartbeat", check, heartbeatMs);
  }

  // ---- What comes --------------------------------------------------------------------------------------------------

  #receive(data) {
    this.#heardAt = this.#options.clock.now();
    const frame = parse(data);
    if (typeof frame?.t !== "string") {
      this.#lost({ code: 1007, reason: "no message of this protocol" });
      return;
    }
    const { t, d } = frame;
    if (t === "welcome") this.#welcomed(d);
    else if (t === "ack" || t === "pong") this.#requests.resolve(frame.id, d);
    else if (t === "err") this.#refused(frame);
    else if (t === "synced") this.#synced(d);
    else if (t === "gap") this.#gap(d);
    else if (frame.seq === undefined) this.#deliver(frame);
    else this.#durable(frame);
  }

  #refused({ id, code, msg, retry_after: retryAfter }) {
    const error = new OvationError(code, msg, retryAfter);
    if (this.#state === "connecting") this.#denied = error;
    else if (id === undefined) this.#emit("error", error);
    else this.#requests.reject(id, error);
  }

  #durable(frame) {
    const { seq } = this.#position ?? { seq: 0 };
    if (frame.seq <= seq) return;
    if (frame.seq !== seq + 1) {
      // Never by the protocol. What is missing is replayed to a new connection.
      this.#lost({ code: 1002, reason: `event ${frame.seq} after ${seq}` });
      return;
    }
    this.#deliver(frame);
    this.#moveTo({ ...this.#position, seq: frame.seq });
  }

  #synced(d) {
    if (this.#state === "replaying") this.#setState("live");
    this.#emit("synced", d);
  }

  #gap({ oldest, newest }) {
    if (this.#state === "replaying") this.#setState("live");
    this.#emit("gap", { oldest, newest, former: this.#position });
    this.#moveTo({ user_id: this.#welcome.user_id, epoch: this.#welcome.epoch, seq: newest });
  }

  #moveTo(position) {
    this.#position = position;
    this.#emit("position", { ...position });
  }

  // ---- Helpers -----------------------------------------------------------------------------------------------------

  #newBackoff() {
    const { backoffBaseMs: base, backoffMaxMs: max, random } = this.#options;
    return new Backoff({ base, max, random });
  }

  #setState(state, detail = {}) {
    if (this.#state === state) return;
    this.#state = state;
    this.#emit("state", { state, ...detail });
  }

  #deliver(frame) {
    this.#emit(frame.t, frame.d, frame);
    this.#emit("*", frame.d, frame);
  }

  #emit(type, d, frame) {
    for (const handler of [...(this.#handlers.get(type) ?? [])]) {
      try {
        handler(d, frame);
      } catch (error) {
        // One broken handler must not keep events from the others; without anybody to hear of it, it is uncaught.
        if (type !== "error" && this.#handlers.get("error")?.size) this.#emit("error", error);
        else queueMicrotask(() => { throw error; });
      }
    }
  }

  #arm(name, run, ms) {
    this.#cancel(name);
    this.#timers[name] = this.#options.clock.setTimeout(() => {
      this.#timers[name] = null;
      run();
    }, ms);
  }

  #cancel(name) {
    this.#options.clock.clearTimeout(this.#timers[name]);
    this.#timers[name] = null;
  }
}

/** A promise with its ends; nobody has to wait for it. */
function deferred() {
  const ends = {};
  ends.promise = new Promise((resolve, reject) => Object.assign(ends, { resolve, reject }));
  ends.promise.catch(() => {});
  return ends;
}

/** The reason of a close is short JSON; anything else is only words. */
function parseReason(text) {
  const reason = parse(text);
  return typeof reason === "object" && reason !== null ? reason : { reason: text };
}

/** What a JSON text says; undefined when it is none. */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
