// The live preview while somebody types, and a forecast that is looked at again until it is there.
const PAUSE = 350; // milliseconds after the last key
const AGAIN = 1500;

let typing = null;
let asked = null;

function put(place, html) {
  const open = [...place.querySelectorAll("details")].map((one) => one.open);
  place.innerHTML = html;
  place.querySelectorAll("details").forEach((one, n) => { if (n in open) one.open = open[n]; });
}

async function preview(place, form) {
  asked?.abort();
  asked = new AbortController();
  place.setAttribute("aria-busy", "true");
  try {
    const body = new URLSearchParams(new FormData(form));
    const answer = await fetch(place.dataset.preview, { method: "POST", body, signal: asked.signal });
    if (answer.ok) put(place, await answer.text());
    place.removeAttribute("aria-busy");
  } catch (error) {
    // Typed on meanwhile, or offline: the button beside the form does the same.
    if (error.name !== "AbortError") place.removeAttribute("aria-busy");
  }
}

function typed(event) {
  const place = document.querySelector("[data-preview]");
  const form = event.target.form;
  if (!place || !form || form.id !== place.dataset.form) return;
  clearTimeout(typing);
  typing = setTimeout(() => preview(place, form), PAUSE);
}

async function again(waiting) {
  const place = waiting.closest("[aria-live]");
  try {
    const answer = await fetch(waiting.dataset.again);
    if (answer.ok && document.contains(place)) put(place, await answer.text());
  } catch {
    // Offline for a moment: asked again below.
  }
  watch();
}

function watch() {
  const waiting = document.querySelector("[data-again]");
  if (waiting) setTimeout(() => again(waiting), AGAIN);
}

if (!window.regularsProgramme) {
  window.regularsProgramme = true;
  document.addEventListener("input", typed);
  document.addEventListener("turbo:render", watch);
  watch();
}
