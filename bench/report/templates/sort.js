// A press on a heading sorts the table: numbers by value, empty cells last; a third press restores the order.
for (const table of document.querySelectorAll("table.results")) {
  const body = table.tBodies[0], original = [...body.rows], heads = [...table.tHead.rows[0].cells];
  const key = (row, i) => row.cells[i].dataset.sort;
  const compare = (a, b) => (a === "") - (b === "") || (isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b || 0);
  heads.forEach((head, i) => head.querySelector("button").addEventListener("click", () => {
    const next = { none: "ascending", ascending: "descending", descending: "none" }[head.ariaSort];
    const sign = next === "descending" ? -1 : 1;
    const rows = next === "none" ? original : [...original].sort((a, b) => {
      const [x, y] = [key(a, i), key(b, i)];
      return x === "" || y === "" ? compare(x, y) : sign * compare(x, y);
    });
    heads.forEach(other => { other.ariaSort = "none"; });
    head.ariaSort = next;
    body.append(...rows);
  }));
}
