"use strict";
(() => {
  // Tables are sorted by a click on a header; cells are sizes, counts, shares, or words.
  const units = ["", "K", "M", "G", "T", "P", "E"];
  const read = (text) => {
    const range = /^(\d+)-\d+$/.exec(text);
    if (range) return Number(range[1]);
    if (text.startsWith("0x")) return Number(text);
    const found = /^([+-]?[\d,]+(?:\.\d+)?) ?(?:([KMGTPE])?(i?)B?|%)?$/.exec(text.trim());
    if (!found) return text.trim();
    const step = found[3] || / B$/.test(text) ? 1024 : 1000;
    return Number(found[1].replaceAll(",", "")) * step ** units.indexOf(found[2] || "");
  };
  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
  for (const table of document.querySelectorAll("table")) {
    const body = table.tBodies[0];
    table.tHead.addEventListener("click", (event) => {
      if (!event.target.closest("button")) return;
      const header = event.target.closest("th");
      const down = header.getAttribute("aria-sort") !== "descending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      header.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (row) => read(row.cells[header.cellIndex].textContent);
      const rows = [...body.rows].sort((a, b) => compare(key(a), key(b)) * (down ? -1 : 1));
      body.append(...rows);
    });
  }
})();
