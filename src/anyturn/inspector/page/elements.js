/**
 * Make elements. A text is always a text: nothing in this page parses markup.
 */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an HTML element.
 *
 * @param {string} tag
 * @param {Object<string, any>} [attributes] `on…` are listeners; null, undefined and false are left out.
 * @param {...(Node|string|number|null|undefined|false|Array)} children
 * @returns {HTMLElement}
 */
export function element(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/**
 * Make an SVG element; the arguments are those of `element`.
 *
 * @returns {SVGElement}
 */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/**
 * Draw one of the symbols of index.html. Without a label it says nothing to a screen reader.
 *
 * @param {string} name
 * @param {string} [label]
 */
export function icon(name, label = "") {
  const about = label ? { role: "img", "aria-label": label } : { "aria-hidden": "true" };
  return svg("svg", { class: `icon icon-${name}`, ...about }, svg("use", { href: `#i-${name}` }));
}

/**
 * Put the text into the element if it says something else now: what is selected stays selected.
 *
 * @param {HTMLElement} target
 * @param {string} text
 */
export function say(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

function fill(target, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) target.addEventListener(name.slice(2), value);
    else target.setAttribute(name, value === true ? "" : String(value));
  }
  const given = children.flat(Infinity);
  target.append(
    ...given.filter((child) => child !== null && child !== undefined && child !== false),
  );
  return target;
}
