/**
 * Why something was not done.
 *
 * `code` is a word of the protocol (`bad_request`, `not_found`, `try_later` …, see docs/protocol.md) or one of the
 * client's own:
 *
 * | code | meaning |
 * |---|---|
 * | `disconnected` | the connection was lost before the answer; whether it was done is unknown |
 * | `timeout` | no answer in time; whether it was done is unknown |
 * | `too_large` | the request is over the announced size; it was not sent |
 * | `outbox_full` | too many messages wait already; it was not taken |
 * | `busy` | too many requests wait already; it was not sent |
 * | `closed` | the client was closed, or stopped by the server |
 * | `other_user` | the new token is another user's: what waited for the former one was dropped |
 * | `withdrawn` | what was watched is not wanted any more |
 */
export class OvationError extends Error {
  /**
   * @param {string} code
   * @param {string} message
   * @param {number} [retryAfter] seconds, where the server has a wish
   */
  constructor(code, message, retryAfter) {
    super(message);
    this.name = "OvationError";
    this.code = code;
    this.retryAfter = retryAfter;
  }

  /** Whether the same request may succeed later: it was refused before it changed anything. */
  get isTemporary() {
    return this.code === "try_later" || this.retryAfter !== undefined;
  }
}
