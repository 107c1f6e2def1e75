// Stands in for Shopify's App Bridge: fetches carry a fresh token, a bounce goes on, the save bar and toasts are kept
// in `window.bridge` for the test to look at.
(() => {
  const own = document.currentScript;
  window.bridge = { toasts: [], saveBar: false, key: document.querySelector("meta[name=shopify-api-key]")?.content };
  if ([...document.scripts].filter((script) => script.src && !script.defer && script.type !== "module")[0] !== own)
    throw new Error("App Bridge must be the first script");
  window.shopify = {
    idToken: () => window.mintToken(),
    toast: { show: (words, options) => window.bridge.toasts.push([words, options]) },
    saveBar: { show: () => (window.bridge.saveBar = true), hide: () => (window.bridge.saveBar = false) },
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
  // The save bar shows while a form that asks for it differs from how it came.
  const values = (form) => new URLSearchParams(new FormData(form)).toString();
  document.addEventListener("focusin", (event) => {
    const form = event.target.closest?.("form[data-save-bar]");
    if (form && !form.bridgeValues) form.bridgeValues = values(form);
  });
  document.addEventListener("input", (event) => {
    const form = event.target.closest?.("form[data-save-bar]");
    if (form) window.bridge.saveBar = values(form) !== form.bridgeValues;
  });
})();
