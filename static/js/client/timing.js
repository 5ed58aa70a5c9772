/**
 * How long to wait, and how fast to send: plain arithmetic, without a timer of its own.
 */

/**
 * Exponential back-off with full jitter: the n-th pause is anywhere between 0 and `min(max, base * 2^n)`. Clients that
 * were cut off together so come back spread over the whole pause instead of all at its end.
 */
export class Backoff {
  /**
   * @param {object} options
   * @param {number} options.base the bound of the first pause, in ms
   * @param {number} options.max the bound of every later one, in ms
   * @param {() => number} options.random from 0 to below 1
   */
  constructor({ base, max, random }) {
    this.base = base;
    this.max = max;
    this.random = random;
    this.attempt = 0;
  }

  /**
   * The next pause in ms. A hint of the server is a floor, never shortened: the server has spread its hints already.
   * @param {number} [hintMs]
   */
  next(hintMs = 0) {
    const bound = Math.min(this.max, this.base * 2 ** this.attempt);
    // 2^31 attempts would take longer than anybody lives; 2^1024 is not a number.
    this.attempt = Math.min(this.attempt + 1, 30);
    return hintMs + this.random() * bound;
  }

  /** What comes is a first failure again. */
  reset() {
    this.attempt = 0;
  }
}

/**
 * Keeps a client below the operations a second that the server announces: a bucket of half of them that fills up with
 * half of them a second, so that no second ever sees more than all of them, wherever it begins.
 */
export class Pace {
  /**
   * @param {number} perSecond as announced
   * @param {number} nowMs
   */
  constructor(perSecond, nowMs) {
    this.rate = Math.max(1, Math.floor(perSecond / 2));
    this.tokens = this.rate;
    this.at = nowMs;
  }

  /**
   * Takes a place: 0 when one is free, else after how many ms to ask again.
   * @param {number} nowMs
   */
  take(nowMs) {
    const passed = Math.max(0, nowMs - this.at);
    this.tokens = Math.min(this.rate, this.tokens + (passed * this.rate) / 1000);
    this.at = nowMs;
    if (this.tokens >= 1) {
      this.tokens -= 1;
      return 0;
    }
    return Math.ceil(((1 - this.tokens) * 1000) / this.rate);
  }
}
