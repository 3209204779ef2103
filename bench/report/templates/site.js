// Each form filters the rows of the table that it names: by words, and by what its lists of choices say.
for (const form of document.querySelectorAll("form.controls")) {
  const rows = [...document.getElementById(form.dataset.table).tBodies[0].rows], count = form.querySelector("output");
  const matches = (row, field) => field.type === "search"
    ? field.value.toLowerCase().split(/\s+/).every(word => row.textContent.toLowerCase().includes(word))
    : field.value === "" || JSON.parse(row.dataset[field.name]).includes(field.value);
  const apply = () => {
    const fields = [...form.querySelectorAll("input, select")];
    for (const row of rows) row.hidden = !fields.every(field => matches(row, field));
    const shown = rows.filter(row => !row.hidden).length;
    count.textContent = fields.some(field => field.value.trim()) ? `${shown} of ${rows.length}` : "";
  };
  form.addEventListener("input", apply);
  form.addEventListener("submit", event => event.preventDefault());
  apply();
}
