/**
 * A list of rows of one height, of which only those in sight are elements.
 */

const SPARE_ROWS = 8;

/**
 * The scroller keeps its role and its keys; this class only fills it.
 */
export class VirtualList {
  #scroller;
  #space;
  #options;
  #count = 0;
  /** @type {Map<any, {element: HTMLElement, stamp: any}>} */
  #drawn = new Map();

  /**
   * @param {Object} options
   * @param {HTMLElement} options.scroller what scrolls; its content belongs to the list
   * @param {number} options.rowHeight pixels
   * @param {(index: number) => any} options.keyOf which thing a row shows
   * @param {(index: number) => any} options.stampOf a row is drawn anew when this changes
   * @param {(index: number) => HTMLElement} options.draw
   * @param {(row: HTMLElement, index: number) => void} [options.mark] what changes without a new row
   */
  constructor(options) {
    this.#options = options;
    this.#scroller = options.scroller;
    this.#space = document.createElement("div");
    this.#space.className = "virtual-space";
    this.#space.setAttribute("role", "presentation");
    this.#scroller.replaceChildren(this.#space);
    this.#scroller.addEventListener("scroll", () => this.render(), { passive: true });
    new ResizeObserver(() => this.render()).observe(this.#scroller);
  }

  get count() {
    return this.#count;
  }

  get rowHeight() {
    return this.#options.rowHeight;
  }

  /** Whether the last row is in sight. */
  get atEnd() {
    const { scrollTop, clientHeight, scrollHeight } = this.#scroller;
    return scrollTop + clientHeight >= scrollHeight - this.rowHeight;
  }

  /** How many rows fit. */
  get page() {
    return Math.max(1, Math.floor(this.#scroller.clientHeight / this.rowHeight) - 1);
  }

  /** Set how many rows there are, and draw those in sight. */
  setCount(count) {
    this.#count = count;
    this.#space.style.height = `${count * this.rowHeight}px`;
    this.render();
  }

  /** Move so many rows out of the way, so that those in sight stay where they are. */
  shift(rows) {
    this.#scroller.scrollTop += rows * this.rowHeight;
  }

  /** The row at a height of the window, or -1. A row that was just drawn anew is found as well. */
  rowAt(clientY) {
    const top = this.#scroller.getBoundingClientRect().top;
    const index = Math.floor((clientY - top + this.#scroller.scrollTop) / this.rowHeight);
    return index >= 0 && index < this.#count ? index : -1;
  }

  /** Scroll as little as is needed for the row to be seen; `centre` puts it in the middle. */
  reveal(index, centre = false) {
    const top = index * this.rowHeight;
    const { scrollTop, clientHeight } = this.#scroller;
    if (centre && (top < scrollTop || top + this.rowHeight > scrollTop + clientHeight)) {
      this.#scroller.scrollTop = top - clientHeight / 2;
    } else if (top < scrollTop) this.#scroller.scrollTop = top;
    else if (top + this.rowHeight > scrollTop + clientHeight) {
      this.#scroller.scrollTop = top + this.rowHeight - clientHeight;
    }
    this.render();
  }

  scrollToStart() {
    this.#scroller.scrollTop = 0;
    this.render();
  }

  scrollToEnd() {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.render();
  }

  /** Draw what is in sight, and remove the rest. */
  render() {
    const { scrollTop, clientHeight } = this.#scroller;
    const first = Math.max(0, Math.floor(scrollTop / this.rowHeight) - SPARE_ROWS);
    const end = Math.min(
      this.#count,
      Math.ceil((scrollTop + clientHeight) / this.rowHeight) + SPARE_ROWS,
    );
    const before = this.#drawn;
    this.#drawn = new Map();
    for (let index = first; index < end; index += 1) this.#prepare(index, before);
    const kept = new Set([...this.#drawn.values()].map((row) => row.element));
    for (const { element } of before.values()) if (!kept.has(element)) element.remove();
    this.#order();
  }

  #prepare(index, before) {
    const key = this.#options.keyOf(index);
    const stamp = this.#options.stampOf(index);
    let row = before.get(key);
    if (row === undefined || row.stamp !== stamp)
      row = { element: this.#options.draw(index), stamp };
    row.element.style.transform = `translateY(${index * this.rowHeight}px)`;
    this.#options.mark?.(row.element, index);
    this.#drawn.set(key, row);
  }

  /** Rows stand in the document as they stand on the screen: they are read aloud in this order. */
  #order() {
    let place = this.#space.firstElementChild;
    for (const { element } of this.#drawn.values()) {
      if (element === place) place = place.nextElementSibling;
      else this.#space.insertBefore(element, place);
    }
  }
}
