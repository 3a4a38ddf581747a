/**
 * Values in words: times, numbers, outcomes, and texts that nobody vouches for.
 */

/** The outcomes in the order of their filters, with what each means. */
export const OUTCOMES = {
  live: "The turn is running",
  completed: "The answer came to its end",
  incomplete: "The model stopped before its answer was whole",
  failed: "The turn ended with an error",
  left: "The client left before the answer was over",
  cut: "The recording breaks off",
};

/** @param {string} status @returns {string} */
export function outcomeOf(status) {
  return Object.hasOwn(OUTCOMES, status) ? status : "cut";
}

/**
 * A span of time, three digits at most: `840 µs`, `12.3 ms`, `1.24 s`, `3 min 05 s`.
 *
 * @param {number|null|undefined} micros
 */
export function span(micros) {
  if (micros === null || micros === undefined) return "–";
  if (micros < 1000) return `${Math.round(micros)} µs`;
  if (micros < 999_500) return `${threeDigits(micros / 1000)} ms`;
  if (micros < 59_950_000) return `${threeDigits(micros / 1e6)} s`;
  const seconds = Math.round(micros / 1e6);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${pad(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${pad(Math.floor((seconds % 3600) / 60))} min`;
}

/** A moment of a turn in milliseconds, all with the same decimals so that they can be compared. */
export function moment(micros) {
  if (micros === null || micros === undefined) return "";
  return grouped((micros / 1000).toFixed(1));
}

/** @param {number|null|undefined} value */
export function count(value) {
  return value === null || value === undefined ? "–" : grouped(String(value));
}

/** A count in four signs at most: `940`, `3.7k`, `10k`. @param {number} value */
export function roughly(value) {
  if (value < 1000) return String(value);
  return value < 9950 ? `${(value / 1000).toFixed(1)}k` : `${Math.round(value / 1000)}k`;
}

/** @param {number|null|undefined} value tokens in a second */
export function speed(value) {
  if (value === null || value === undefined) return "–";
  return value < 10 ? value.toFixed(1) : count(Math.round(value));
}

/** @param {number} value */
export function bytes(value) {
  if (value < 1000) return `${value} B`;
  if (value < 999_500) return `${threeDigits(value / 1000)} kB`;
  return `${threeDigits(value / 1e6)} MB`;
}

/** `1 event`, `2 events`. */
export function many(number, one, more = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : more}`;
}

/** The time of day of a turn of today, else its day as well. @param {string} started ISO 8601 */
export function clock(started) {
  const when = new Date(started);
  if (Number.isNaN(when.getTime())) return "";
  const time = `${pad(when.getHours())}:${pad(when.getMinutes())}:${pad(when.getSeconds())}`;
  if (when.toDateString() === new Date().toDateString()) return time;
  return `${when.getDate()} ${MONTHS[when.getMonth()]} ${time.slice(0, 5)}`;
}

/** Day and time to the millisecond. @param {string} started ISO 8601 */
export function dayAndTime(started) {
  const when = new Date(started);
  if (Number.isNaN(when.getTime())) return "at an unknown time";
  const time = [when.getHours(), when.getMinutes(), when.getSeconds()].map(pad).join(":");
  const millis = String(when.getMilliseconds()).padStart(3, "0");
  return `${when.getDate()} ${MONTHS[when.getMonth()]} ${when.getFullYear()}, ${time}.${millis}`;
}

/**
 * A text with what would be invisible, or would turn the line around, made visible.
 *
 * @param {any} text
 * @param {number} [limit] characters; what is beyond is left out
 */
export function visible(text, limit = Infinity) {
  const whole = typeof text === "string" ? text : text === undefined ? "" : JSON.stringify(text);
  const shown = whole.length > limit ? whole.slice(0, limit) : whole;
  const seen = shown.replace(/\r\n/g, "\n").replace(UNSEEN, nameOf);
  return whole.length > limit ? `${seen}…` : seen;
}

/** The same in one line: line ends and tabs are shown as signs. */
export function oneLine(text, limit = 400) {
  return visible(text, limit).replace(/\r?\n/g, "↵").replace(/\t/g, "⇥");
}

const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
// C0 but for line end and tab, DEL and C1, marks and overrides of direction, the invisible ones.
const UNSEEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

function nameOf(sign) {
  return `‹U+${sign.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}›`;
}

function threeDigits(value) {
  return value < 9.995 ? value.toFixed(2) : value < 99.95 ? value.toFixed(1) : value.toFixed(0);
}

function pad(value) {
  return String(value).padStart(2, "0");
}

function grouped(digits) {
  return digits.replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
}
