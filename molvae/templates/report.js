"use strict";
// Sorts a table by a column and filters its rows. Nothing else; the page is complete without.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows[0].cells];
  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  const kept = "molvae:" + document.title + ":" + table.id;
  const state = {column: -1, falling: false, filter: ""};
  try { Object.assign(state, JSON.parse(sessionStorage.getItem(kept))); } catch { /* begin anew */ }

  const numeric = heads.map((_, c) => rows.some((row) => row.cells[c].dataset.n !== undefined));
  const key = (row, c) => {
    const cell = row.cells[c];
    if (numeric[c]) return cell.dataset.n === undefined ? null : Number(cell.dataset.n);
    return cell.textContent.trim() || null;
  };
  const compare = (a, b) => typeof a === "number" ? a - b : a.localeCompare(b, "en");

  const show = () => {
    const {column: c, falling} = state;
    const sorted = c < 0 || c >= heads.length ? rows : [...rows].sort((p, q) => {
      const a = key(p, c), b = key(q, c);
      if (a === null || b === null) return (a === null) - (b === null);  // without a value: last
      return falling ? compare(b, a) : compare(a, b);
    });
    heads.forEach((head, i) => {
      if (i === c) head.setAttribute("aria-sort", falling ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    const words = state.filter.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of sorted) {
      row.hidden = !words.every((word) => texts.get(row).includes(word));
      count += !row.hidden;
    }
    body.append(...sorted);
    said.textContent = words.length ? `${count} of ${rows.length}` : "";
    try { sessionStorage.setItem(kept, JSON.stringify(state)); } catch { /* not remembered */ }
  };

  heads.forEach((head, c) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      // Numbers begin with the largest, the second click turns.
      state.falling = state.column === c ? !state.falling : numeric[c];
      state.column = c;
      show();
    });
  });
  const box = document.createElement("p"), field = document.createElement("input");
  const said = document.createElement("span");
  box.className = "filter";
  field.type = "search";
  field.placeholder = "Filter: words that a row must hold";
  field.setAttribute("aria-label", "Filter the table");
  field.value = state.filter;
  said.setAttribute("aria-live", "polite");
  field.addEventListener("input", () => { state.filter = field.value; show(); });
  box.append(field, said);
  table.parentElement.before(box);
  show();
}
