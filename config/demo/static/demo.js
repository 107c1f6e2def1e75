// Keeps the demo's page fresh and sends its forms without leaving it. Without this script everything still works.
"use strict";

const EVERY_MS = 500;
const person = () => document.getElementById("person").value;
const said = document.getElementById("said");
let seen = "";
let busy = false;
const last = {};

document.documentElement.classList.add("script");

function say(words, lost) {
  if (said.textContent !== words) said.textContent = words;
  said.hidden = !words;
  said.classList.toggle("lost", Boolean(lost));
}

// Put fresh sections in; what is open, focused or scrolled stays so.
function show(sections) {
  for (const [name, html] of Object.entries(sections)) {
    if (last[name] === html) continue;
    const first = last[name] === undefined;
    last[name] = html;
    const place = document.getElementById(name);
    const fresh = Object.assign(document.createElement("template"), { innerHTML: html }).content;
    const states = new Map([...place.querySelectorAll("details[id]")].map((each) => [each.id, each.open]));
    // When a new mail has come it is the one that is open, as the server says.
    const newMail = [...fresh.querySelectorAll("details.mail")].some((each) => !states.has(each.id));
    for (const each of fresh.querySelectorAll("details[id]")) {
      if (states.has(each.id) && !(newMail && each.classList.contains("mail"))) each.open = states.get(each.id);
    }
    const focused = place.contains(document.activeElement) ? document.activeElement : null;
    const around = focused?.closest("article")?.id;
    follow(place, fresh);
    if (focused && focused !== document.activeElement) {
      // Where the pressed button is gone (paid is paid), the next one of the same order takes its place.
      const next = document.getElementById(focused.id) ?? document.getElementById(around)?.querySelector("button");
      next?.focus({ preventScroll: true });
    }
    if (!first) {
      place.classList.remove("fresh");
      void place.offsetWidth;
      place.classList.add("fresh");
    }
  }
}

// Make the elements in `place` those of `fresh`, and leave alone what has not changed: a letter that is read, a link or
// a button that is being pressed, would lose the press if it were put there anew. What has an id is known by it.
function follow(place, fresh) {
  let here = place.firstElementChild;
  for (const wanted of [...fresh.children]) {
    let found = here;
    while (found && !(wanted.id || found.id ? found.id === wanted.id : found.isEqualNode(wanted))) {
      found = !wanted.id && found.id ? null : found.nextElementSibling;
    }
    if (!found) {
      place.insertBefore(wanted, here);
      continue;
    }
    while (here !== found) here = after(here);
    here = found.nextElementSibling;
    if (found.isEqualNode(wanted)) continue;
    if (!wanted.children.length || hasWords(wanted) || hasWords(found)) {
      found.replaceWith(wanted);
      continue;
    }
    for (const { name } of [...found.attributes]) if (!wanted.hasAttribute(name)) found.removeAttribute(name);
    for (const { name, value } of wanted.attributes) {
      if (found.getAttribute(name) !== value) found.setAttribute(name, value);
    }
    follow(found, wanted);
  }
  while (here) here = after(here);
}

// Take an element away; returns the one behind it.
function after(element) {
  const next = element.nextElementSibling;
  element.remove();
  return next;
}

function hasWords(element) {
  return [...element.childNodes].some((each) => each.nodeType === Node.TEXT_NODE && each.data.trim());
}

async function refresh() {
  if (busy || document.hidden) return;
  busy = true;
  try {
    const query = new URLSearchParams({ person: person(), seen });
    const answer = await fetch(`/live?${query}`);
    if (answer.status === 200) {
      const fresh = await answer.json();
      seen = fresh.version;
      show(fresh.sections);
    } else if (answer.status !== 204) {
      say(`The demo stumbled (${answer.status}); the terminal says why.`, true);
    }
    if (said.classList.contains("lost") && answer.ok) say("");
  } catch {
    say("The demo has ended. Start it again with make demo, then reload this page.", true);
  } finally {
    busy = false;
  }
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (form.hasAttribute("data-plain")) return;
  event.preventDefault();
  // Not `disabled`, which would take the focus away from who works by keyboard.
  if (form.dataset.busy) return;
  form.dataset.busy = "yes";
  const body = new FormData(form, event.submitter);
  try {
    const answer = await fetch(form.action, { method: "POST", body, headers: { Accept: "application/json" } });
    if (answer.ok) say((await answer.json()).said);
    else say(`That did not work (${answer.status}); the terminal says why.`, true);
  } catch {
    say("The demo has ended. Start it again with make demo, then reload this page.", true);
  } finally {
    delete form.dataset.busy;
    await refresh();
  }
});

document.getElementById("person").addEventListener("change", (event) => event.target.form.submit());
setInterval(refresh, EVERY_MS);
