// Prints, as JSON, the theme's blocks as people of several languages see them, and the bundles of the account's
// extension: what the browser tests show in a Chromium. The tags and filters of a shop's theme that liquidjs lacks
// stand here as far as the blocks use them.

import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Liquid } from "liquidjs";
import { bundles } from "./build.mjs";

const HERE = dirname(fileURLToPath(import.meta.url));
const THEME = join(HERE, "regulars-theme");
const CARD = {
  points: 1250,
  pending: 1,
  tier: "Gold & <Silver>",
  next: { name: "20 € off", points: 2000 },
  rewards: [
    { name: "5 € off", points: 500 },
    { name: "Free <b>delivery</b>", points: 1000 },
    { name: "20 € off", points: 2000 },
  ],
  page: "https://marlow.myshopify.com/apps/regulars",
};
const PEOPLE = { guest: null, newcomer: {}, regular: { card: { value: CARD } } };

const read = (...path) => readFileSync(join(THEME, ...path), "utf8");
const escaped = (text) => String(text).replace(/[&<>"']/g, (sign) => `&#${sign.codePointAt(0)};`);

function said(language, key, values) {
  const file = language === "en" ? "en.default.json" : `${language}.json`;
  let found = key.split(".").reduce((words, part) => words[part], JSON.parse(read("locales", file)));
  const count = values.count;
  if (typeof found !== "string") found = found[new Intl.PluralRules(language).select(count)] ?? found.other;
  return found.replace(/{{ (\w+) }}/g, (_, name) => escaped(values[name]));
}

function shown(block, language, metafields) {
  const engine = new Liquid({ root: join(THEME, "snippets"), partials: join(THEME, "snippets"), extname: ".liquid" });
  engine.registerFilter("t", (key, ...pairs) => said(language, key, Object.fromEntries(pairs)));
  const source = read("blocks", `${block}.liquid`);
  const [body, schema] = source.split("{% schema %}");
  const settings = JSON.parse(schema.split("{% endschema %}")[0]).settings;
  engine.registerTag("doc", {
    parse(_, rest) {
      while (rest.length) if (rest.shift().name === "enddoc") return;
    },
    render() {},
  });
  return engine.parseAndRenderSync(body, {
    block: { settings: Object.fromEntries(settings.map((one) => [one.id, one.default])), shopify_attributes: "" },
    customer: metafields && { metafields: { "$app:loyalty": metafields } },
    routes: { account_login_url: "/account/login" },
  });
}

const blocks = {};
for (const language of ["en", "de", "fr", "es"]) {
  for (const [person, metafields] of Object.entries(PEOPLE)) {
    for (const block of ["points", "corner"]) blocks[`${block} ${person} ${language}`] = shown(block, language, metafields);
  }
}
const account = Object.fromEntries((await bundles(join(HERE, "regulars-account"))).map((one) => [one.name, one.text]));
const words = JSON.parse(readFileSync(join(HERE, "regulars-account", "locales", "en.default.json"), "utf8"));
console.log(JSON.stringify({ card: CARD, blocks, account, words, css: read("assets", "regulars.css") }));
