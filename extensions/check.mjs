// Checks both extensions as Shopify's command line does before it takes them: Liquid, types, sizes, words.

import { readFileSync, readdirSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { check } from "@shopify/theme-check-node";
import { bundles } from "./build.mjs";

const HERE = dirname(fileURLToPath(import.meta.url));
const THEME = join(HERE, "regulars-theme");
const ACCOUNT = join(HERE, "regulars-account");
const FOLDERS = new Set(["assets", "blocks", "snippets", "locales"]);
const MOST_LIQUID_BYTES = 500_000; // of all blocks and snippets together
const MOST_THEME_BYTES = 10_000_000;
const MOST_BUNDLE_BYTES = 64_000; // of one module of an extension of the account, compressed

const wrong = [];

for (const offense of await check(THEME, join(THEME, ".theme-check.yml"))) {
  wrong.push(`${basename(offense.uri)}:${offense.start.line + 1} ${offense.check}: ${offense.message}`);
}

const found = readdirSync(THEME, { withFileTypes: true });
for (const entry of found.filter((one) => one.isDirectory() && !FOLDERS.has(one.name))) {
  wrong.push(`regulars-theme/${entry.name}: a theme extension has no such folder`);
}
const files = [...FOLDERS].flatMap((name) => readdirSync(join(THEME, name)).map((file) => join(THEME, name, file)));
const size = (kind) => files.filter((file) => file.endsWith(kind)).reduce((sum, file) => sum + statSync(file).size, 0);
if (size(".liquid") > MOST_LIQUID_BYTES) wrong.push(`regulars-theme: ${size(".liquid")} bytes of Liquid`);
if (size("") > MOST_THEME_BYTES) wrong.push(`regulars-theme: ${size("")} bytes in all`);

for (const { name, text } of await bundles(ACCOUNT)) {
  const bytes = gzipSync(text).length;
  console.log(`regulars-account/${name}: ${text.length} bytes, ${bytes} compressed`);
  if (bytes > MOST_BUNDLE_BYTES) wrong.push(`regulars-account/${name}: ${bytes} bytes compressed`);
}

for (const [folder, kind] of [[THEME, ".json"], [THEME, ".schema.json"], [ACCOUNT, ".json"]]) {
  const english = words(folder, `en.default${kind}`);
  for (const language of ["de", "fr", "es"]) {
    const theirs = words(folder, `${language}${kind}`);
    for (const key of english) if (!theirs.has(key)) wrong.push(`${basename(folder)}: ${language}${kind} lacks ${key}`);
    for (const key of theirs) if (!english.has(key)) wrong.push(`${basename(folder)}: ${language}${kind} has ${key} alone`);
  }
}

for (const line of wrong) console.error(line);
console.log(`regulars-theme: ${size("")} bytes, ${size(".liquid")} of them Liquid`);
process.exitCode = wrong.length ? 1 : 0;

/** Every key of a file of words; the forms of a count are one. */
function words(folder, file) {
  const keys = new Set();
  const walk = (found, path) => {
    if (typeof found === "string" || "other" in found) keys.add(path);
    else for (const [key, inner] of Object.entries(found)) walk(inner, `${path}.${key}`);
  };
  walk(JSON.parse(readFileSync(join(folder, "locales", file), "utf8")), "");
  return keys;
}
