// A table of any length of which only the rows in sight are elements. Rows have one height, and are filled again and again.
// It is a grid to assistive technology: it has the focus, and names the active row (aria-activedescendant), so that a row may
// leave the sight, and the page's elements, without taking the focus with it.

import { eachFrame, element, setAttribute } from "/dashboard/elements.js";

const HEIGHT = 32; // as --row in tables.css
const MORE = 4; // rows above and below the sight

/**
 * `columns`: `{name, title, sorts?, unseen?}` (an unseen title is for screen readers). `fill(cells, item, row)` puts an item into a row's cells. `onActivate(item)`: Enter or a double click.
 */
export class Rows {
  items = [];
  active = -1;
  #viewport;
  #body;
  #head;
  #pool = [];
  #columns;
  #on;

  constructor(viewport, columns, on) {
    this.#viewport = viewport;
    this.#columns = columns;
    this.#on = on;
    this.#head = element("div", { role: "row", class: "row head", "aria-rowindex": 1 }, ...columns.map((column) => this.#title(column)));
    this.#body = element("div", { role: "rowgroup", class: "body" });
    viewport.append(element("div", { role: "rowgroup", class: "heads" }, this.#head), this.#body);
    this.render = eachFrame(() => this.#render());
    viewport.addEventListener("scroll", this.render, { passive: true });
    viewport.addEventListener("keydown", (event) => this.#key(event));
    new ResizeObserver(this.render).observe(viewport);
  }

  /** Show these items from the next frame on. */
  show(items) {
    this.items = items;
    if (this.active >= items.length) this.active = items.length - 1;
    this.render();
  }

  /** So many rows came in at the top: keep those in sight where they are. */
  keep(above) {
    this.#stretch();
    this.#viewport.scrollTop += above * HEIGHT;
    this.render();
  }

  /** Show by which column the rows are sorted: "ascending", "descending". */
  sorted(name, direction) {
    this.#columns.forEach((column, index) => {
      if (column.sorts) setAttribute(this.#head.children[index], "aria-sort", column.name === name ? direction : "none");
    });
  }

  /** Make a row the active one, and bring it into sight. */
  move(to) {
    if (this.items.length === 0) return;
    this.active = Math.max(0, Math.min(this.items.length - 1, to));
    this.#stretch();
    const top = this.active * HEIGHT;
    const height = this.#viewport.clientHeight - HEIGHT; // the head stays in sight
    if (top < this.#viewport.scrollTop) this.#viewport.scrollTop = top;
    else if (top + HEIGHT > this.#viewport.scrollTop + height) this.#viewport.scrollTop = top + HEIGHT - height;
    this.#render();
  }

  #title(column) {
    const shown = column.sorts
      ? element("button", { type: "button", tabindex: -1, onclick: () => this.#on.onSort(column.name) }, column.title)
      : element("span", { class: column.unseen ? "unseen" : null }, column.title);
    return element("div", { role: "columnheader", class: `cell ${column.name}`, "aria-sort": column.sorts ? "none" : null }, shown);
  }

  /** Be as high as the items, before any scroll: it could not go as far otherwise. */
  #stretch() {
    const height = `${this.items.length * HEIGHT}px`;
    if (this.#body.style.height !== height) this.#body.style.height = height;
  }

  #render() {
    const { scrollTop, clientHeight } = this.#viewport;
    setAttribute(this.#viewport, "aria-rowcount", this.items.length + 1);
    setAttribute(this.#viewport, "data-count", this.items.length);
    this.#stretch();
    const first = Math.max(0, Math.floor(scrollTop / HEIGHT) - MORE);
    const last = Math.min(this.items.length, Math.ceil((scrollTop + clientHeight) / HEIGHT) + MORE);
    while (this.#pool.length < last - first) this.#pool.push(this.#newRow(this.#pool.length));
    let named = null;
    this.#pool.forEach((row, place) => {
      // A row keeps its element while it is in sight: item n always has element n modulo the pool.
      const index = first + ((place - (first % this.#pool.length) + this.#pool.length) % this.#pool.length);
      const inSight = index < last;
      row.element.hidden = !inSight;
      if (!inSight) return;
      row.index = index;
      const offset = `translateY(${index * HEIGHT}px)`;
      if (row.element.style.transform !== offset) row.element.style.transform = offset;
      setAttribute(row.element, "aria-rowindex", index + 2);
      row.element.classList.toggle("active", index === this.active);
      if (index === this.active) named = row.element.id;
      this.#on.fill(row.cells, this.items[index], row.element);
    });
    setAttribute(this.#viewport, "aria-activedescendant", named);
  }

  #newRow(place) {
    const cells = this.#columns.map((column) => element("div", { role: "gridcell", class: `cell ${column.name}` }));
    const made = element("div", { role: "row", class: "row", id: `${this.#viewport.id}-${place}` }, ...cells);
    const row = { element: made, cells: Object.fromEntries(this.#columns.map((column, at) => [column.name, cells[at]])), index: -1 };
    made.addEventListener("click", (event) => {
      const before = this.active;
      this.move(row.index);
      this.#on.onClick?.(this.items[row.index], row.index, event, before);
    });
    made.addEventListener("dblclick", () => this.#on.onActivate?.(this.items[row.index]));
    this.#body.append(made);
    return row;
  }

  #key(event) {
    if (event.target !== this.#viewport) return;
    const page = Math.max(1, Math.floor(this.#viewport.clientHeight / HEIGHT) - 2);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (event.key in steps && !event.altKey && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      const before = this.active;
      this.move(before < 0 ? (event.key === "End" ? Infinity : 0) : before + steps[event.key]);
      this.#on.onMove?.(before, this.active, event);
    } else if (event.key === "Enter" && this.active >= 0) {
      event.preventDefault();
      this.#on.onActivate?.(this.items[this.active]);
    } else this.#on.onKey?.(event);
  }
}
