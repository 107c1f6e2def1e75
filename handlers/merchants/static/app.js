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

// In the admin, App Bridge's save bar watches `data-save-bar` forms by itself; links within a page ask it first.
let unsaved = null;

function values(form) {
  return new URLSearchParams([...new FormData(form)].filter(([, value]) => typeof value === "string")).toString();
}

function watchForm() {
  const form = document.querySelector("form[data-save-bar]");
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
  if (!bridge && isUnsaved()) event.preventDefault();
});
document.addEventListener("turbo:before-visit", (event) => {
  if (isWithinPage(event.detail.url)) return;
  if (isUnsaved() && bridge?.saveBar?.leaveConfirmation) {
    // A browser asks nothing from within a frame of another site: the admin does, and answers only a yes.
    event.preventDefault();
    bridge.saveBar.leaveConfirmation().then(() => {
      unsaved = null;
      window.Turbo.visit(event.detail.url);
    });
  } else if (isUnsaved() && !bridge && !confirm("What you changed on this page is not saved. Leave it?")) event.preventDefault();
  else unsaved = null;
});
document.addEventListener("submit", (event) => {
  if (unsaved && event.target === unsaved.form) unsaved = null;
});

// What did not arrive, or was answered with nothing to go on from, leaves the page as it stands, with what was typed.
function stay(form, words) {
  document.querySelector("[data-stay]")?.remove();
  const banner = Object.assign(document.createElement("div"), { className: "banner critical", tabIndex: -1 });
  banner.setAttribute("role", "alert");
  banner.dataset.stay = "";
  banner.append(Object.assign(document.createElement("p"), { textContent: words }));
  document.querySelector("main .page-head")?.after(banner);
  banner.focus();
  if (form.matches("form[data-save-bar]")) unsaved = { form, before: null };
}

document.addEventListener("turbo:fetch-request-error", (event) => {
  if (!event.target.matches("form[method=post]")) return;
  stay(event.target, "This did not reach us. What you typed is still here: see whether you are online, then send it again.");
});
document.addEventListener("turbo:before-fetch-response", (event) => {
  const { status } = event.detail.fetchResponse.response;
  // In the admin a token that was refused has been sent anew already; alone, the answer brings what was typed along.
  const isRefused = bridge && status === 401;
  if (!event.target.matches("form[method=post]") || (status < 500 && !isRefused)) return;
  event.preventDefault();
  stay(event.target, isRefused
    ? "Shopify’s sign-in did not reach us, and nothing was saved. What you typed is still here: send it again in a moment."
    : "Something went wrong on our side. What you typed is still here: send it again in a minute.");
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
