"use strict";
for (const table of document.querySelectorAll("table.data")) {
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const heads = Array.from(table.tHead.rows[0].cells);
  const key = (row, column) => {
    const cell = row.cells[column];
    const value = cell.dataset.key ?? cell.textContent;
    return value === "" || Number.isNaN(Number(value)) ? value : Number(value);
  };
  const compare = (one, other) =>
    typeof one === "number" && typeof other === "number"
      ? one < other ? -1 : one > other ? 1 : 0
      : String(one).localeCompare(String(other), "en", { numeric: true });
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.title = "sort";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      rows.sort((a, b) => compare(key(a, column), key(b, column)) * (down ? -1 : 1));
      body.append(...rows);
    });
  });
  if (rows.length < 4) continue;
  const tools = document.createElement("div");
  tools.className = "tools";
  const input = document.createElement("input");
  input.type = "search";
  input.placeholder = "filter rows by words";
  input.setAttribute("aria-label", "filter the rows of this table");
  const count = document.createElement("span");
  count.className = "quiet";
  count.setAttribute("role", "status");
  const texts = rows.map((row) => Array.from(row.cells, (cell) => cell.textContent.trim()).join(" \u0001 ").toLowerCase());
  const show = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    rows.forEach((row) => {
      const fits = words.every((word) => row.dataset.text.includes(word));
      row.hidden = !fits;
      shown += fits ? 1 : 0;
    });
    count.textContent = `${shown} of ${rows.length} rows`;
  };
  rows.forEach((row, index) => { row.dataset.text = texts[index]; });
  input.addEventListener("input", show);
  tools.append(input, count);
  table.parentElement.before(tools);
  show();
}
