// What every page may use; without it, every page still reads and every form still works.
document.documentElement.classList.add("js");

// "/" goes to the search field.
addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
    const field = document.querySelector("[data-slash]");
    if (field) {
      event.preventDefault();
      field.focus();
      field.select();
    }
  }
  if (event.key === "Escape") document.querySelectorAll("details[data-closes][open]").forEach((d) => (d.open = false));
});

// A filter that was chosen is sent at once, without the empty ones.
addEventListener("change", (event) => {
  if (event.target.matches("[data-sends]")) event.target.form.requestSubmit();
});
addEventListener("submit", (event) => {
  if (event.target.method !== "get") return;
  for (const field of event.target.elements) if (field.name && !field.value) field.disabled = true;
  setTimeout(() => [...event.target.elements].forEach((field) => (field.disabled = false)));
});

// On a narrow screen the pages' names stand in a row that is longer than it.
document.querySelector(".nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

// Menus close when something else is clicked.
addEventListener("click", (event) => {
  document.querySelectorAll("details[data-closes][open]").forEach((menu) => {
    if (!menu.contains(event.target)) menu.open = false;
  });
});

// Copy buttons: a text of their own, or that of an element.
addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy], [data-copy-from], [data-copy-link]");
  if (!button) return;
  await navigator.clipboard.writeText(await textOf(button.dataset));
  button.classList.add("copied");
  setTimeout(() => button.classList.remove("copied"), 1500);
});

// Selecting rows: the bar appears with the first one.
const rows = () => [...document.querySelectorAll("input[form=selecting]:enabled")];
function count() {
  const bar = document.querySelector("[data-bulk]");
  const page = document.querySelector("[data-select-page]");
  if (!bar || !page) return;
  const all = rows();
  const chosen = all.filter((row) => row.checked).length;
  bar.hidden = chosen === 0;
  bar.querySelector("[data-bulk-count]").textContent = `${chosen} selected`;
  page.checked = chosen > 0 && chosen === all.length;
  page.indeterminate = chosen > 0 && chosen < all.length;
  page.disabled = all.length === 0;
}
addEventListener("change", (event) => {
  const wholePage = event.target.matches("[data-select-page]");
  if (wholePage) rows().forEach((row) => (row.checked = event.target.checked));
  if (wholePage || event.target.matches("input[form=selecting]")) count();
});
addEventListener("click", (event) => {
  if (!event.target.closest("[data-select-none]")) return;
  rows().forEach((row) => (row.checked = false));
  count();
});
addEventListener("htmx:afterSettle", count); // rows that came later
count();

async function textOf({ copy, copyFrom, copyLink }) {
  if (copyFrom) return document.getElementById(copyFrom).textContent;
  if (!copyLink) return copy;
  const said = await (await fetch(copyLink)).json();
  return said.url ?? `${said.title} ${said.words}`;
}

// A file is sent as it is. The page of the recording opens once the server has said that it is durable.
addEventListener("submit", (event) => {
  const form = event.target.closest("[data-take-in]");
  if (!form) return;
  event.preventDefault();
  const says = form.querySelector("[data-take-in-says]");
  const progress = form.querySelector("progress");
  const button = form.querySelector("button");
  const fields = new URLSearchParams();
  for (const name of ["from", "to"]) if (form.elements[name].value) fields.set(name, form.elements[name].value);
  const request = new XMLHttpRequest(); // fetch tells nothing of what was sent so far
  request.open("PUT", `${form.dataset.takeIn}?${fields}`);
  request.setRequestHeader("X-Callreel-Token", form.elements._token.value);
  request.setRequestHeader("Content-Type", "audio/x-wav");
  request.upload.onprogress = (sent) => (progress.value = sent.loaded / sent.total);
  const over = (text) => {
    says.textContent = text;
    progress.hidden = true;
    button.disabled = false;
  };
  request.onerror = () => over("The server could not be reached. Nothing was acknowledged; send it again.");
  request.onload = () => {
    let said = {};
    try {
      said = JSON.parse(request.responseText);
    } catch {
      /* a page instead of an answer: the session ended */
    }
    if (request.status === 201) location.assign(said.path);
    else over(said.why || "It was not taken in. Load the page again and sign in if you are asked to.");
  };
  says.textContent = "";
  progress.value = 0;
  progress.hidden = false;
  button.disabled = true;
  request.send(form.elements.file.files[0]);
});
