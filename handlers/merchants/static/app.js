// What scripts add to pages that work without: quick moves between pages, the admin's save bar and toasts, a warning
// before unsaved work is lost.
const bridge = window.shopify; // App Bridge, inside Shopify's admin alone

// What a page was opened with once, and no address should keep: tokens, and what was said.
const ONCE = ["id_token", "hmac", "timestamp", "session", "bounced", "said"];

function tidyAddress() {
  const url = new URL(location.href);
  if (!ONCE.some((name) => url.searchParams.has(name))) return;
  ONCE.forEach((name) => url.searchParams.delete(name));
  history.replaceState(history.state, "", url);
}

function sayInAdmin() {
  const flash = document.querySelector("[data-flash]");
  if (!flash || !bridge?.toast) return;
  bridge.toast.show(flash.textContent.trim(), { isError: flash.dataset.tone === "critical", duration: 5000 });
  flash.remove();
}

function showProblems() {
  document.querySelector("[data-problems]")?.focus();
}

// In the admin, App Bridge's save bar watches `data-save-bar` forms by itself.
let unsaved = null;

function values(form) {
  return new URLSearchParams([...new FormData(form)].filter(([, value]) => typeof value === "string")).toString();
}

function watchForm() {
  const form = bridge ? null : document.querySelector("form[data-save-bar]");
  unsaved = form && { form, before: form.closest("main")?.querySelector("[data-problems]") ? null : values(form) };
}

function isUnsaved() {
  return unsaved !== null && document.contains(unsaved.form) && values(unsaved.form) !== unsaved.before;
}

// A link to a field with an error, or past the navigation, leaves nothing.
function isWithinPage(address) {
  const url = new URL(address, location.href);
  return url.hash !== "" && url.origin + url.pathname + url.search === location.origin + location.pathname + location.search;
}

addEventListener("beforeunload", (event) => {
  if (isUnsaved()) event.preventDefault();
});
document.addEventListener("turbo:before-visit", (event) => {
  if (isWithinPage(event.detail.url)) return;
  if (isUnsaved() && !confirm("What you changed on this page is not saved. Leave it?")) event.preventDefault();
  else unsaved = null;
});
document.addEventListener("submit", (event) => {
  if (unsaved && event.target === unsaved.form) unsaved = null;
});
document.addEventListener("turbo:submit-end", (event) => {
  // What did not arrive is still unsaved.
  if (event.detail.error && event.target.matches("form[data-save-bar]")) unsaved = { form: event.target, before: null };
});

// A link of the admin's own navigation was chosen: the page is fetched, with App Bridge's token.
document.addEventListener("shopify:navigate", (event) => {
  const url = new URL(event.target.getAttribute?.("href") ?? "", location.href);
  if (url.origin !== location.origin) return;
  event.preventDefault();
  window.Turbo.visit(url.href);
});

function ready() {
  tidyAddress();
  sayInAdmin();
  watchForm();
  showProblems();
}

document.addEventListener("turbo:render", ready);
ready();
