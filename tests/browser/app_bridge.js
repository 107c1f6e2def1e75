// Stands in for Shopify's App Bridge: fetches carry a fresh token, a bounce goes on, and the navigation, title, save bar
// and toasts are handed to the stand-in for the admin around us; `window.bridge` keeps them for the test to look at.
(() => {
  const own = document.currentScript;
  window.bridge = { toasts: [], saveBar: false, key: document.querySelector("meta[name=shopify-api-key]")?.content };
  if ([...document.scripts].filter((script) => script.src && !script.defer && script.type !== "module")[0] !== own)
    throw new Error("App Bridge must be the first script");
  const tell = (what) => parent.postMessage(what, "*");
  const setSaveBar = (shown) => tell({ saveBar: (window.bridge.saveBar = shown) });
  window.shopify = {
    idToken: () => window.mintToken(),
    toast: {
      show: (words, options) => {
        window.bridge.toasts.push([words, options]);
        tell({ toast: words });
      },
    },
    scopes: {
      request: async (names) => {
        window.bridge.asked = names;
        return { result: window.declines ? "declined-all" : "granted-all" };
      },
    },
    saveBar: {
      show: () => setSaveBar(true),
      hide: () => setSaveBar(false),
      // Answers where nothing is unsaved, or once the merchant has said to leave: `window.leaves` is that word.
      leaveConfirmation: async () => {
        if (!window.bridge.saveBar) return;
        tell({ toast: "Leave page with unsaved changes?" });
        if (!window.leaves) await new Promise(() => {});
      },
    },
  };
  const plain = window.fetch;
  window.fetch = async (input, options = {}) => {
    const url = new URL(input.url ?? input, location.href);
    if (url.origin !== location.origin) return plain(input, options);
    const ask = async () => {
      const headers = new Headers(options.headers ?? input.headers);
      headers.set("Authorization", `Bearer ${await window.mintToken()}`);
      return plain(input, { ...options, headers });
    };
    const answer = await ask();
    return answer.headers.has("X-Shopify-Retry-Invalid-Session-Request") ? ask() : answer;
  };
  const reload = new URLSearchParams(location.search).get("shopify-reload");
  if (reload) {
    window.mintToken().then((token) => {
      const url = new URL(reload, location.origin);
      url.searchParams.set("id_token", token);
      location.replace(url);
    });
  }
  // What the admin shows around the page, and what is pressed there.
  const arrived = () => {
    const links = [...document.querySelectorAll("s-app-nav s-link")];
    tell({
      nav: links.map((link) => [link.getAttribute("href"), link.textContent.trim()]),
      title: document.querySelector("ui-title-bar")?.getAttribute("title") ?? "",
    });
    setSaveBar(false);
  };
  document.addEventListener("DOMContentLoaded", arrived);
  document.addEventListener("turbo:render", arrived);
  addEventListener("message", ({ source, data }) => {
    if (source !== parent) return;
    const form = document.querySelector("form[data-save-bar]");
    if (data.press === "Save") form?.requestSubmit();
    if (data.press === "Discard") form?.reset(), setSaveBar(false);
    if (data.go) {
      const link = [...document.querySelectorAll("s-app-nav s-link")].find((one) => one.getAttribute("href") === data.go);
      const moves = new CustomEvent("shopify:navigate", { bubbles: true, cancelable: true });
      if (link.dispatchEvent(moves)) location.assign(data.go);
    }
  });
  // The save bar shows while a form that asks for it differs from how it came.
  const values = (form) => new URLSearchParams(new FormData(form)).toString();
  document.addEventListener("focusin", (event) => {
    const form = event.target.closest?.("form[data-save-bar]");
    if (form && !form.bridgeValues) form.bridgeValues = values(form);
  });
  document.addEventListener("input", (event) => {
    const form = event.target.closest?.("form[data-save-bar]");
    if (form) setSaveBar(values(form) !== form.bridgeValues);
  });
  document.addEventListener("submit", (event) => {
    if (event.target.matches("form[data-save-bar]")) setSaveBar(false);
  });
})();
